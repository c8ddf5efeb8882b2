//! 3xx: a Contact with `lr` is pushed into the Route (D-U3), one without is an
//! ordinary retarget (D-U4). Never the same URI twice for one request, and
//! never more than `limits::AGENT_REDIRECTS_MAX` (D-U7).

use super::compose::bracketed;
use super::request::{ClientRequest, Purpose, RequestFailure};
use super::{Agent, emit, text};
use crate::limits;
use crate::proxy::{Response, Step};
use crate::scan::Name;
use crate::send::Event;
use crate::uri::Uri;

impl Agent {
    /// A 3xx came.
    pub(super) fn redirected(
        &mut self,
        step: &mut Step<'_>,
        mut outgoing: ClientRequest,
        response: &Response<'_>,
    ) {
        let Some(target) = next_target(&outgoing, response) else {
            let why = format!("the answer was {} and leads nowhere new", response.status);
            return self.failed(step, outgoing, RequestFailure::new(response.status, why));
        };
        if outgoing.redirects.len() >= limits::AGENT_REDIRECTS_MAX {
            let why = format!("gave up after {} redirects", limits::AGENT_REDIRECTS_MAX);
            return self.failed(step, outgoing, RequestFailure::new(response.status, why));
        }
        let address_index = match outgoing.purpose {
            Purpose::Register(reg_id) => self.address_index(reg_id),
            Purpose::Invite(_) | Purpose::Renew(_) | Purpose::Bye(_) | Purpose::Unowned => 0,
        };
        retarget(&mut outgoing, &target);
        match self.open(step.net, &outgoing, address_index) {
            Ok(flow) => {
                if let Purpose::Register(reg_id) = outgoing.purpose {
                    let to = text(&target.uri);
                    emit(step.net, Event::Redirected { reg_id, to });
                }
                self.send(step, outgoing, flow);
            }
            Err(failure) => self.failed(step, outgoing, failure),
        }
    }
}

/// Where a 3xx leads.
#[derive(Debug)]
struct Target {
    uri: Vec<u8>,
    /// It has `lr`.
    loose: bool,
}

/// The first Contact that was not tried yet.
fn next_target(outgoing: &ClientRequest, response: &Response<'_>) -> Option<Target> {
    let bytes = response.bytes;
    let contacts = response.message.values(bytes, Name::Contact);
    contacts
        .filter_map(|value| {
            let uri = Uri::in_value(bytes, value).ok()?;
            Some(Target {
                uri: uri.whole.of(bytes).to_vec(),
                loose: uri.is_loose(bytes),
            })
        })
        .find(|target| !outgoing.redirects.contains(&target.uri))
}

/// D-U5: everything but Route (or Request-URI) and CSeq stays.
fn retarget(outgoing: &mut ClientRequest, target: &Target) {
    outgoing.redirects.push(target.uri.clone());
    outgoing.cseq += 1;
    if target.loose {
        outgoing
            .routes
            .splice(..outgoing.routes.len().min(1), [bracketed(&target.uri)]);
    } else {
        outgoing.uri.clone_from(&target.uri);
    }
}
