//! 3xx: a Contact with `lr` is pushed into the Route (D-U3), one without is an
//! ordinary retarget (D-U4). Never the same URI twice for one request, and
//! never more than `limits::AGENT_REDIRECTS_MAX` (D-U7).

use super::compose::bracketed;
use super::request::{ClientRequest, Failure, Purpose};
use super::{Agent, tell, text};
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
        mut ask: ClientRequest,
        response: &Response<'_>,
    ) {
        let Some(target) = next(&ask, response) else {
            let why = format!("the answer was {} and leads nowhere new", response.status);
            return self.failed(step, ask, Failure::new(response.status, why));
        };
        if ask.redirects.len() >= limits::AGENT_REDIRECTS_MAX {
            let why = format!("gave up after {} redirects", limits::AGENT_REDIRECTS_MAX);
            return self.failed(step, ask, Failure::new(response.status, why));
        }
        let turn = match ask.purpose {
            Purpose::Register(reg_id) => self.turn(reg_id),
            Purpose::Invite(_) | Purpose::Renew(_) | Purpose::Bye(_) | Purpose::Excess => 0,
        };
        push(&mut ask, &target);
        match self.open(step.net, &ask, turn) {
            Ok(flow) => {
                if let Purpose::Register(reg_id) = ask.purpose {
                    let to = text(&target.uri);
                    tell(step.net, Event::Redirected { reg_id, to });
                }
                self.send(step, ask, flow);
            }
            Err(failure) => self.failed(step, ask, failure),
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
fn next(ask: &ClientRequest, response: &Response<'_>) -> Option<Target> {
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
        .find(|target| !ask.redirects.contains(&target.uri))
}

/// D-U5: everything but Route (or Request-URI) and CSeq stays.
fn push(ask: &mut ClientRequest, target: &Target) {
    ask.redirects.push(target.uri.clone());
    ask.cseq += 1;
    if target.loose {
        ask.routes
            .splice(..ask.routes.len().min(1), [bracketed(&target.uri)]);
    } else {
        ask.uri.clone_from(&target.uri);
    }
}
