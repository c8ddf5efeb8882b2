//! The client side of every request: sent, challenged, redirected, and sent another way
//! when its flow dies, until its final answer (RFC 3261 §8.1.3; S-22, H-8).

use super::Agent;
use super::credentials::Learned;
use super::request::{ClientRequest, Contact, Purpose, RequestFailure};
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Owner, Response, Step};

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
            silence_timer: 0,
            orphaned: None,
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

    pub(super) fn remove_request(&mut self, number: u32) -> Option<ClientRequest> {
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
            let failure = RequestFailure::lost("there is no socket towards the next hop");
            return self.failed(step, outgoing, failure);
        };
        let branch = step.net.txns.branch(client);
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
        outgoing.orphaned = None;
        outgoing.silence_timer = self.alarm(step.net, step.now + limits::AGENT_SILENCE_MAX);
        self.requests.push(outgoing);
    }

    /// A response to one of our requests.
    pub(super) fn heard(&mut self, step: &mut Step<'_>, number: u32, response: &Response<'_>) {
        let Some(index) = self.request_index(number) else {
            // The request has had its final answer.
            return self.late_response(step, number, response);
        };
        self.requests[index].heard = true;
        if let Some(flow) = self.requests[index].flow {
            // Any answer shows that the flow works, as one to a keep-alive would.
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
            Purpose::Register(reg_id) => self.register_accepted(step, reg_id, outgoing, response),
            Purpose::Invite(call) => self.answered(step, call, outgoing, response),
            Purpose::Renew(call) => self.renewed(step, call, outgoing, response),
            Purpose::Bye(call) => self.ended(step.net, call),
            Purpose::Unowned => {}
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
        let mut failure = RequestFailure::answer(response);
        // To these the same request would get the same answer.
        failure.is_final = matches!(response.status, 403 | 404 | 405 | 420 | 439);
        // S-22: only what says that nobody has looked at the request.
        failure.flow = matches!(response.status, 430 | 503 | 504);
        self.failed(step, outgoing, failure);
    }

    /// The same request again over the same flow.
    fn repeat(&mut self, step: &mut Step<'_>, outgoing: ClientRequest) {
        match outgoing.flow {
            Some(flow) if step.net.flows.lives(flow) => self.send(step, outgoing, flow),
            Some(_) | None => self.failed(
                step,
                outgoing,
                RequestFailure::lost("the connection is gone"),
            ),
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
                    RequestFailure::hopeless(status, format!("{status}: {why}")),
                )
            }
            Learned::Fresh { .. } if outgoing.challenges >= limits::AGENT_CHALLENGES_MAX => {
                let why = format!("{status} again and again: the password is never enough");
                self.failed(step, outgoing, RequestFailure::hopeless(status, why))
            }
            // The nonce was not too old, so what was hashed with it is wrong.
            Learned::Fresh { stale: false } if outgoing.challenges > 0 => {
                let user = &self.settings.auth_user;
                let why =
                    format!("{status}: the user name \"{user}\" or its password is not accepted");
                self.failed(step, outgoing, RequestFailure::hopeless(status, why))
            }
            Learned::Fresh { .. } => {
                // RFC 3261 §22.2: a new request, so that its CSeq is the next one.
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
        failure: RequestFailure,
    ) {
        match outgoing.purpose {
            Purpose::Register(reg_id) => self.not_registered(step, reg_id, outgoing, failure),
            Purpose::Invite(call) | Purpose::Renew(call) | Purpose::Bye(call) => {
                self.call_failed(step, call, outgoing, failure);
            }
            Purpose::Unowned => {}
        }
    }
}
