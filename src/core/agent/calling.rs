//! The side that calls: INVITE, and what its answers mean (RFC 3261 §13.2). A request that
//! fails with its flow takes another one (H-6, H-8).

use super::call::{Call, CallStage, fail, switched};
use super::compose::bracketed;
use super::dialog::Dialog;
use super::request::{ClientRequest, Contact, Purpose, RequestFailure};
use super::{Agent, emit, sdp};
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Net, Response, Step};
use crate::send::{Event, Party};

impl Agent {
    /// D-U14: INVITE with the Service-Route of a flow that lives.
    pub(super) fn call(&mut self, step: &mut Step<'_>, uri: &str) {
        let number = self.next_call();
        let live = self.registrations.iter().find(|r| r.is_live());
        let way = live.and_then(|r| Some((r.flow?, r.service_route.clone())));
        let full = self.calls.len() >= limits::AGENT_CALLS_MAX;
        let Some((flow, routes)) = way.filter(|_| !full) else {
            let why = if full {
                "there are too many calls"
            } else {
                "no flow is registered"
            };
            return fail(step.net, number, 0, why.to_owned());
        };
        let mut outgoing = self.start_request(Purpose::Invite(number), "INVITE");
        outgoing.uri = uri.as_bytes().to_vec();
        outgoing.routes = routes;
        let tag = format!(";tag={:016x}", step.net.secrets.chance());
        outgoing.from = [self.address(), tag.into_bytes()].concat();
        outgoing.to = bracketed(uri.as_bytes());
        outgoing.call_id = format!(
            "{:016x}{:016x}",
            step.net.secrets.chance(),
            step.net.secrets.chance()
        )
        .into_bytes();
        outgoing.contact = Contact::Target;
        if let Some((_, addr)) = step.net.flows.reached_at(flow) {
            sdp::offer(addr, step.net.secrets.chance(), &mut outgoing.body);
        }
        let stage = CallStage::Calling {
            rung: false,
            provisional: false,
            hangup: false,
        };
        self.calls.push(Call::new(number, stage));
        self.send(step, outgoing, flow);
    }

    /// A provisional response to our INVITE.
    pub(super) fn progress(&mut self, step: &mut Step<'_>, number: u32, response: &Response<'_>) {
        let Some(index) = self.call_index(number) else {
            return;
        };
        let CallStage::Calling {
            rung,
            provisional,
            hangup,
        } = &mut self.calls[index].stage
        else {
            return;
        };
        // Only now may it leave: before a provisional it would match nothing (RFC 3261 §9.1).
        let cancel = *hangup && !*provisional;
        *provisional = true;
        if (180..=183).contains(&response.status) && !*rung {
            *rung = true;
            emit(step.net, Event::Ringing { call: number });
        }
        if cancel {
            self.cancel(step, number);
        }
    }

    /// A 2xx to our INVITE: the call is up, or ends at once when it was
    /// given up meanwhile.
    pub(super) fn answered(
        &mut self,
        step: &mut Step<'_>,
        number: u32,
        outgoing: ClientRequest,
        response: &Response<'_>,
    ) {
        let Some((index, flow)) = self.call_index(number).zip(outgoing.flow) else {
            return;
        };
        let dialog = Dialog::of_answer(response.bytes, response.message, outgoing.cseq);
        // S-8: the neighbour's Record-Route is the bottom-most.
        dialog.bind_route(&mut self.stick, step.now, flow);
        let acked = self.ack(step, &dialog);
        let call = &mut self.calls[index];
        let hangup = matches!(call.stage, CallStage::Calling { hangup: true, .. });
        call.acked = acked;
        call.invite = outgoing.number;
        call.flow = Some(flow);
        call.dialog = Some(dialog);
        call.stage = CallStage::Up;
        emit(step.net, Event::Established { call: number });
        if hangup {
            self.leave(step, index);
        }
    }

    /// A further 2xx to an INVITE that had its final answer: the same one
    /// again, or another fork, or one of a call that is over here; those are
    /// ended at once (RFC 3261 §13.2.2.4).
    pub(super) fn late_response(
        &mut self,
        step: &mut Step<'_>,
        number: u32,
        response: &Response<'_>,
    ) {
        let method = response.message.cseq_method().of(response.bytes);
        if !(200..300).contains(&response.status) || method != b"INVITE" {
            return;
        }
        let mut calls = self.calls.iter();
        let known = calls.find(|call| {
            let dialog = call.dialog.as_ref();
            dialog.is_some_and(|dialog| dialog.is_from(response.bytes, response.message))
        });
        let cseq = response.message.cseq();
        if let Some(call) = known {
            if call.invite == number
                && let Some((flow, bytes)) = call.acked.clone()
            {
                step.net.transmit(flow, bytes);
            } else if let Some(dialog) = &call.dialog {
                // Of a re-INVITE that was given up.
                let dialog = Dialog {
                    cseq,
                    ..dialog.clone()
                };
                self.ack(step, &dialog);
            }
            return;
        }
        let mut fork = Dialog::of_answer(response.bytes, response.message, cseq);
        // The ACK first: the far side repeats its 2xx until it has one.
        self.ack(step, &fork);
        fork.cseq += 1;
        let bye = self.request_within(&fork, Purpose::Unowned, "BYE");
        if let Ok(flow) = self.sticky_flow(step, &bye) {
            self.send(step, bye, flow);
        }
    }

    /// Our BYE was answered.
    pub(super) fn ended(&mut self, net: &mut Net, number: u32) {
        if let Some(index) = self.call_index(number) {
            self.calls.remove(index);
            let by = Party::Us;
            emit(net, Event::Ended { call: number, by });
        }
    }

    /// A request of a call failed. When it was the flow's fault the next flow
    /// gets it (S-22, H-8); else the call is over.
    pub(super) fn call_failed(
        &mut self,
        step: &mut Step<'_>,
        number: u32,
        mut outgoing: ClientRequest,
        failure: RequestFailure,
    ) {
        let Some(index) = self.call_index(number) else {
            return;
        };
        let stage = &self.calls[index].stage;
        let rings = matches!(
            stage,
            CallStage::Calling {
                provisional: true,
                ..
            }
        );
        let cancelled = matches!(stage, CallStage::Calling { hangup: true, .. });
        // What rings stays where it is: another INVITE would ring the phone a second time.
        if failure.flow
            && !rings
            && let Some(flow) = self.next_flow(step, index, &mut outgoing)
        {
            switched(step.net, number, flow);
            return self.send(step, outgoing, flow);
        }
        // RFC 3261 §14.1: a call outlives a refused offer, unless there is
        // nobody to talk to.
        let outlives = matches!(outgoing.purpose, Purpose::Renew(_))
            && !failure.flow
            && !matches!(failure.status, 0 | 408 | 481);
        if outlives {
            let (status, why) = (failure.status, failure.why);
            let call = number;
            return emit(step.net, Event::NotRenewed { call, status, why });
        }
        self.calls.remove(index);
        let why = if cancelled {
            "it was given up before it was answered".to_owned()
        } else {
            failure.why
        };
        fail(step.net, number, failure.status, why);
    }

    /// Another flow for a request that has failed on its own: of those that
    /// are registered, and with none left the one that the call was set up
    /// over, which may be better than its keep-alives.
    fn next_flow(
        &mut self,
        step: &mut Step<'_>,
        index: usize,
        outgoing: &mut ClientRequest,
    ) -> Option<Flow> {
        outgoing.tried.extend(outgoing.flow);
        let live = |r: &&super::Registration| {
            r.is_live() && r.flow.is_some_and(|flow| !outgoing.tried.contains(&flow))
        };
        if matches!(outgoing.purpose, Purpose::Invite(_)) {
            // No dialog holds it to a route yet: it takes the Service-Route of its new flow.
            let registration = self.registrations.iter().find(live)?;
            outgoing.routes.clone_from(&registration.service_route);
            return registration.flow;
        }
        let target = outgoing.first_hop();
        let chance = step.net.secrets.chance();
        let sticky = self.stick.find(step.now, target, &outgoing.tried, chance);
        sticky
            .map(|found| found.flow)
            .or_else(|| self.registrations.iter().find(live)?.flow)
            .or_else(|| {
                let own = self.calls.get(index)?.flow;
                own.filter(|flow| step.net.flows.lives(*flow) && !outgoing.tried.contains(flow))
            })
    }
}
