//! A request of our own until its final answer: sent, challenged, redirected,
//! and sent another way when its flow dies (RFC 3261 §8.1.3; S-22, H-8).

use super::credentials::Learned;
use super::route::uri_of;
use super::{Agent, text};
use crate::id::{ClientId, Flow};
use crate::limits;
use crate::proxy::{Owner, Response, Step};
use crate::scan::{Name, StartLine};

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A registration, by its reg-id.
    Register(u32),
    /// The INVITE of a call.
    Invite(u32),
    /// A later INVITE of a call.
    Renew(u32),
    /// The BYE of a call.
    Bye(u32),
    /// The end of a fork of a call that nobody wants twice.
    Excess,
}

/// The Contact of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contact {
    /// None.
    Absent,
    /// Where a dialog reaches us.
    Target,
    /// A binding (RFC 5626 §4.2.1).
    Binding {
        /// Its reg-id.
        reg_id: u32,
        /// How long, in seconds; 0 removes it.
        expires_s: u32,
    },
}

/// One request.
#[derive(Debug)]
pub(super) struct ClientRequest {
    pub(super) purpose: Purpose,
    pub(super) method: &'static str,
    pub(super) uri: Vec<u8>,
    /// Route values, each a name-addr.
    pub(super) routes: Vec<Vec<u8>>,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) call_id: Vec<u8>,
    pub(super) cseq: u32,
    pub(super) contact: Contact,
    pub(super) body: Vec<u8>,
    /// What the transaction's owner is called; another one for each attempt.
    pub(super) number: u32,
    pub(super) client: Option<ClientId>,
    pub(super) flow: Option<Flow>,
    /// Something came back.
    pub(super) heard: bool,
    /// The timer that ends our patience with the flow.
    pub(super) suspicion: u32,
    /// Its flow has fallen silent; it waits for an answer that may come all
    /// the same, until that timer fires.
    pub(super) outlives: Option<&'static str>,
    /// Where 3xx have led so far (D-U7).
    pub(super) redirects: Vec<Vec<u8>>,
    /// Challenges so far.
    pub(super) challenges: u8,
    /// Flows that have failed it.
    pub(super) tried: Vec<Flow>,
}

impl ClientRequest {
    /// The URI that it goes to first: of its topmost Route, else its Request-URI.
    pub(super) fn first_hop(&self) -> &[u8] {
        let route = self.routes.first();
        route.map_or(&self.uri[..], |route| uri_of(route))
    }
}

/// Why a request has no good end.
#[derive(Debug)]
pub(super) struct Failure {
    /// Of the answer; 0 when there was none.
    pub(super) status: u16,
    /// A sentence without a full stop.
    pub(super) why: String,
    /// Trying again helps nobody.
    pub(super) is_final: bool,
    /// Seconds to wait, when the answer says so.
    pub(super) retry_after_s: Option<u32>,
    /// The flow itself failed under it.
    pub(super) flow: bool,
}

impl Failure {
    pub(super) fn new(status: u16, why: String) -> Self {
        Self {
            status,
            why,
            is_final: false,
            retry_after_s: None,
            flow: false,
        }
    }

    pub(super) fn silence() -> Self {
        Self {
            flow: true,
            ..Self::new(0, "nobody answered within 32 seconds".to_owned())
        }
    }

    pub(super) fn lost(why: &str) -> Self {
        Self {
            flow: true,
            ..Self::new(0, why.to_owned())
        }
    }

    pub(super) fn hopeless(status: u16, why: String) -> Self {
        Self {
            is_final: true,
            ..Self::new(status, why)
        }
    }

    /// What the answer itself says.
    pub(super) fn answer(response: &Response<'_>) -> Self {
        let reason = match response.message.start() {
            Some(StartLine::Response { reason, .. }) => text(reason.of(response.bytes)),
            Some(StartLine::Request { .. }) | None => String::new(),
        };
        let retry_after = response
            .message
            .first(Name::RetryAfter)
            .map(|header| header.value.of(response.bytes));
        let digits = |value: &[u8]| {
            let end = value
                .iter()
                .position(|byte| !byte.is_ascii_digit())
                .unwrap_or(value.len());
            std::str::from_utf8(&value[..end]).ok()?.parse().ok()
        };
        Self {
            retry_after_s: retry_after.and_then(digits),
            ..Self::new(
                response.status,
                format!("the answer was {} {reason}", response.status),
            )
        }
    }
}

impl Agent {
    /// A request of that purpose with nothing in it that tells it apart.
    pub(super) fn start_request(&self, purpose: Purpose, method: &'static str) -> ClientRequest {
        ClientRequest {
            purpose,
            method,
            uri: Vec::new(),
            routes: Vec::new(),
            from: Vec::new(),
            to: Vec::new(),
            call_id: Vec::new(),
            cseq: 1,
            contact: Contact::Absent,
            body: Vec::new(),
            number: 0,
            client: None,
            flow: None,
            heard: false,
            suspicion: 0,
            outlives: None,
            redirects: Vec::new(),
            challenges: 0,
            tried: Vec::new(),
        }
    }

    /// `<sip:user@domain>`.
    pub(super) fn address(&self) -> Vec<u8> {
        let Self { settings, .. } = self;
        format!("<sip:{}@{}>", settings.user, settings.domain).into_bytes()
    }

    fn request_index(&self, number: u32) -> Option<usize> {
        let mut all = self.requests.iter();
        all.position(|outgoing| outgoing.number == number)
    }

    pub(super) fn take_request(&mut self, number: u32) -> Option<ClientRequest> {
        let index = self.request_index(number)?;
        Some(self.requests.remove(index))
    }

    /// Sends it over `flow`, in a transaction of its own.
    pub(super) fn send(&mut self, step: &mut Step<'_>, mut outgoing: ClientRequest, flow: Flow) {
        outgoing.number = self.number();
        // Named before anything can fail, so that the next attempt leaves it out.
        outgoing.flow = Some(flow);
        let reserved = step.net.txns.reserve(Owner::Agent(outgoing.number));
        let Some((client, (transport, sent_by))) = reserved.zip(step.net.flows.reached_at(flow))
        else {
            let failure = Failure::lost("there is no socket towards the next hop");
            return self.failed(step, outgoing, failure);
        };
        let mut branch = Vec::new();
        step.net.txns.write_branch(client, &mut branch);
        let cnonce = step.net.secrets.chance();
        let bytes = step.net.pool.build(2_048, |out| {
            self.write(&outgoing, transport, sent_by, &branch, cnonce, out);
        });
        step.net.txns.start(
            step.now,
            client,
            outgoing.method.as_bytes(),
            flow,
            bytes.clone(),
        );
        step.net.counters.requests_out += 1;
        step.net.transmit(flow, bytes);
        outgoing.client = Some(client);
        outgoing.heard = false;
        outgoing.outlives = None;
        outgoing.suspicion = self.alarm(step.net, step.now + limits::AGENT_SILENCE_MAX);
        self.requests.push(outgoing);
    }

    /// A response to one of our requests.
    pub(super) fn heard(&mut self, step: &mut Step<'_>, number: u32, response: &Response<'_>) {
        let Some(index) = self.request_index(number) else {
            // The request has had its final answer.
            return self.heard_late(step, number, response);
        };
        self.requests[index].heard = true;
        if let Some(flow) = self.requests[index].flow {
            self.pong(step, flow);
        }
        if response.status < 200 {
            let purpose = self.requests[index].purpose;
            return self.provisional(step, purpose, response);
        }
        let outgoing = self.requests.remove(index);
        match response.status {
            200..300 => self.accepted(step, outgoing, response),
            300..=399 => self.redirected(step, outgoing, response),
            401 | 407 => self.challenged(step, outgoing, response),
            _ => self.refused(step, outgoing, response),
        }
    }

    fn provisional(&mut self, step: &mut Step<'_>, purpose: Purpose, response: &Response<'_>) {
        if let Purpose::Invite(call) = purpose {
            self.progress(step, call, response);
        }
    }

    fn accepted(&mut self, step: &mut Step<'_>, outgoing: ClientRequest, response: &Response<'_>) {
        match outgoing.purpose {
            Purpose::Register(reg_id) => self.registered_with(step, reg_id, outgoing, response),
            Purpose::Invite(call) => self.answered(step, call, outgoing, response),
            Purpose::Renew(call) => self.renewed(step, call, outgoing, response),
            Purpose::Bye(call) => self.ended(step.net, call),
            Purpose::Excess => {}
        }
    }

    fn refused(
        &mut self,
        step: &mut Step<'_>,
        mut outgoing: ClientRequest,
        response: &Response<'_>,
    ) {
        if response.status == 423 && self.lengthen(&mut outgoing, response) {
            outgoing.cseq += 1;
            return self.repeat(step, outgoing);
        }
        let mut failure = Failure::answer(response);
        failure.is_final = matches!(response.status, 403 | 404 | 405 | 420 | 439);
        // S-22: only what says that nobody has looked at the request.
        failure.flow = matches!(response.status, 430 | 503 | 504);
        self.failed(step, outgoing, failure);
    }

    /// The same request again over the same flow.
    fn repeat(&mut self, step: &mut Step<'_>, outgoing: ClientRequest) {
        match outgoing.flow {
            Some(flow) if step.net.flows.lives(flow) => self.send(step, outgoing, flow),
            Some(_) | None => self.failed(step, outgoing, Failure::lost("the connection is gone")),
        }
    }

    fn challenged(
        &mut self,
        step: &mut Step<'_>,
        mut outgoing: ClientRequest,
        response: &Response<'_>,
    ) {
        let status = response.status;
        match self.credentials.learn(response) {
            Learned::Nothing => {
                let why = "the challenge offers no digest algorithm spoken here";
                self.failed(
                    step,
                    outgoing,
                    Failure::hopeless(status, format!("{status}: {why}")),
                )
            }
            Learned::Fresh { .. } if outgoing.challenges >= limits::AGENT_CHALLENGES_MAX => {
                let why = format!("{status} again and again: the password is never enough");
                self.failed(step, outgoing, Failure::hopeless(status, why))
            }
            Learned::Fresh { stale: false } if outgoing.challenges > 0 => {
                let user = &self.settings.auth_user;
                let why =
                    format!("{status}: the user name \"{user}\" or its password is not accepted");
                self.failed(step, outgoing, Failure::hopeless(status, why))
            }
            Learned::Fresh { .. } => {
                outgoing.challenges += 1;
                outgoing.cseq += 1;
                self.repeat(step, outgoing);
            }
        }
    }

    /// It has no good end: the one who waits for it decides what follows.
    pub(super) fn failed(
        &mut self,
        step: &mut Step<'_>,
        outgoing: ClientRequest,
        failure: Failure,
    ) {
        match outgoing.purpose {
            Purpose::Register(reg_id) => self.not_registered(step, reg_id, outgoing, failure),
            Purpose::Invite(call) | Purpose::Renew(call) | Purpose::Bye(call) => {
                self.call_failed(step, call, outgoing, failure);
            }
            Purpose::Excess => {}
        }
    }
}
