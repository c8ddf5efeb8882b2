//! Requests from outside: the side that is called (RFC 3261 §8.2, §9.2,
//! §13.3, §14.2, §15.1.2).

use super::call::{Call, CallStage, Incoming, Unacked, fail};
use super::compose::{ALLOW, append};
use super::dialog::{self, Dialog};
use super::request::Contact;
use super::{Agent, emit, sdp, text};
use crate::bytes::Buf;
use crate::id::ServerId;
use crate::limits;
use crate::proxy::{Net, Owner, Request, Step};
use crate::scan::{Method, Name};
use crate::send::{Event, Party};
use crate::txn::{ServerKey, TransactionKind};

impl Agent {
    /// Takes in one request that scanned.
    pub fn request(&mut self, step: &mut Step<'_>, request: &Request<'_>) {
        step.net.counters.requests_in += 1;
        let method = request.message.method();
        if method == Method::Ack {
            return self.ack_came(step, request);
        }
        let key = request.server_key(step.net.txns.keys(), None);
        if let Some(server) = step.net.txns.find_server(key) {
            step.net.counters.retransmissions_in += 1;
            let again = step.net.txns.request_again(server);
            return step.net.transmit_send(again);
        }
        match method {
            Method::Invite if request.in_dialog() => self.reinvited(step, request, key),
            Method::Invite => self.invited(step, request, key),
            Method::Bye => self.bye_came(step, request, key),
            Method::Cancel => self.cancel_came(step, request, key),
            Method::Options => {
                let lines = [ALLOW, "Accept: application/sdp\r\n"].concat();
                reply(step, request, key, 200, "OK", lines.as_bytes());
            }
            Method::Other => reply(step, request, key, 501, "Not Implemented", ALLOW.as_bytes()),
            Method::Ack
            | Method::Info
            | Method::Message
            | Method::Notify
            | Method::Prack
            | Method::Publish
            | Method::Refer
            | Method::Register
            | Method::Subscribe
            | Method::Update => reply(
                step,
                request,
                key,
                405,
                "Method Not Allowed",
                ALLOW.as_bytes(),
            ),
        }
    }

    fn invited(&mut self, step: &mut Step<'_>, request: &Request<'_>, key: ServerKey) {
        if !self.is_served_by(step.net, request) {
            return reply(step, request, key, 403, "Not From An Edge Of Mine", b"");
        }
        let mut lines = Vec::new();
        for value in request.message.values(request.bytes, Name::Require) {
            append(
                &mut lines,
                &[b"Unsupported: ", value.of(request.bytes), b"\r\n"],
            );
        }
        if !lines.is_empty() {
            return reply(step, request, key, 420, "Bad Extension", &lines);
        }
        if self.is_merged(request) {
            return reply(step, request, key, 482, "Request Merged", b"");
        }
        let Some(after) = self.settings.answer_after else {
            return reply(step, request, key, 486, "Busy Here", b"");
        };
        if self.calls.len() >= limits::AGENT_CALLS_MAX {
            return reply(step, request, key, 486, "Busy Here", b"");
        }
        let Some(server) = open_invite(step, request, key) else {
            return;
        };
        // All answers are written now, while there is the request to write them from.
        self.dialog_lines(step.net, request, &mut lines);
        let ringing = step.net.build_answer(request, 180, "Ringing", &lines);
        respond(step, server, 180, ringing);
        let incoming = Incoming {
            server,
            ok: self.ok_with_sdp(step.net, request, lines),
            busy: step.net.build_answer(request, 486, "Busy Here", b""),
            cancelled: step
                .net
                .build_answer(request, 487, "Request Terminated", b""),
            alarm: self.alarm(step.net, step.now + after),
        };
        let number = self.next_call();
        let tag = step.net.secrets.tag(
            step.net.wall.unix(step.now),
            request.bytes,
            request.message,
            request.ingress.source.ip(),
        );
        let mut call = Call::new(number, CallStage::Ringing(incoming));
        call.dialog = Some(Dialog::of_invite(request.bytes, request.message, &tag));
        call.flow = Some(request.ingress.flow);
        self.calls.push(call);
        let from = text(&dialog::value(request.bytes, request.message, Name::From));
        emit(step.net, Event::Incoming { call: number, from });
    }

    /// Whether a request came from where calls come from: an edge or the home that
    /// it was told of, or that it registered with. Whoever calls a phone past
    /// them has not been asked who he is.
    fn is_served_by(&self, net: &Net, request: &Request<'_>) -> bool {
        let source = request.ingress.source.ip();
        let named = self.settings.names.iter().map(|(_, addr)| addr.ip());
        let flows = self.registrations.iter().filter_map(|one| one.flow);
        let flows = flows.filter_map(|flow| net.flows.peer(flow));
        let mut known = named.chain(flows.map(|peer| peer.ip()));
        self.settings.home.ip() == source || known.any(|ip| ip == source)
    }

    /// RFC 3261 §8.2.2.2: the same INVITE by another way.
    fn is_merged(&self, request: &Request<'_>) -> bool {
        let (bytes, message) = (request.bytes, request.message);
        let call_id = dialog::value(bytes, message, Name::CallId);
        let from = dialog::value(bytes, message, Name::From);
        let dialogs = self.calls.iter().filter_map(|call| call.dialog.as_ref());
        dialogs.into_iter().any(|dialog| {
            dialog.call_id == call_id
                && dialog.remote_cseq == message.cseq()
                && dialog::tag(&dialog.remote) == dialog::tag(&from)
        })
    }

    /// Record-Route as it came, and where requests of the dialog reach us.
    fn dialog_lines(&self, net: &Net, request: &Request<'_>, lines: &mut Vec<u8>) {
        for header in request.message.all(Name::RecordRoute) {
            lines.extend_from_slice(header.line.of(request.bytes));
        }
        if let Some((transport, addr)) = net.flows.reached_at(request.ingress.flow) {
            self.write_contact(Contact::Target, transport, addr, lines);
        }
        lines.extend_from_slice(ALLOW.as_bytes());
    }

    fn ok_with_sdp(&self, net: &mut Net, request: &Request<'_>, mut lines: Vec<u8>) -> Buf {
        let mut body = Vec::new();
        if let Some((_, addr)) = net.flows.reached_at(request.ingress.flow) {
            let offered = request.message.body().of(request.bytes);
            sdp::answer(offered, addr, net.secrets.chance(), &mut body);
        }
        lines.extend_from_slice(b"Content-Type: application/sdp\r\n");
        net.build_answer_with_body(request, 200, "OK", &lines, &body)
    }

    /// The call whose dialog a request belongs to (RFC 3261 §12.2.2).
    fn call_of(&self, request: &Request<'_>) -> Option<usize> {
        let (bytes, message) = (request.bytes, request.message);
        self.calls.iter().position(|call| {
            call.dialog
                .as_ref()
                .is_some_and(|dialog| dialog.holds(bytes, message))
        })
    }

    /// RFC 3261 §14.2: the session stays what it is, the target may move.
    fn reinvited(&mut self, step: &mut Step<'_>, request: &Request<'_>, key: ServerKey) {
        let (bytes, message) = (request.bytes, request.message);
        let Some(index) = self.call_of(request) else {
            return reply(step, request, key, 481, "No Such Dialog", b"");
        };
        if !matches!(self.calls[index].stage, CallStage::Up) || self.calls[index].unacked.is_some()
        {
            return reply(step, request, key, 491, "Request Pending", b"");
        }
        if let Some(dialog) = &mut self.calls[index].dialog {
            if message.cseq() <= dialog.remote_cseq {
                return reply(step, request, key, 500, "CSeq Out Of Order", b"");
            }
            dialog.remote_cseq = message.cseq();
            if let Some(target) = dialog::target(bytes, message) {
                dialog.target = target;
            }
        }
        let Some(server) = open_invite(step, request, key) else {
            return;
        };
        let mut lines = Vec::new();
        self.dialog_lines(step.net, request, &mut lines);
        let ok = self.ok_with_sdp(step.net, request, lines);
        self.send_ok(step, index, server, ok);
    }

    /// Picks up.
    fn pick_up(&mut self, step: &mut Step<'_>, index: usize) {
        let call = &mut self.calls[index];
        let answered = CallStage::Answered { hangup: false };
        let CallStage::Ringing(incoming) = std::mem::replace(&mut call.stage, answered) else {
            return;
        };
        // S-5
        if let Some((dialog, flow)) = call.dialog.as_ref().zip(call.flow) {
            dialog.bind_route(&mut self.stick, step.now, flow);
        }
        self.send_ok(step, index, incoming.server, incoming.ok);
    }

    fn send_ok(&mut self, step: &mut Step<'_>, index: usize, server: ServerId, ok: Buf) {
        respond(step, server, 200, ok.clone());
        let unacked = Unacked {
            server,
            ok,
            alarm: self.alarm(step.net, step.now + limits::T1),
            wait: limits::T1,
            until: step.now + limits::T1_64,
        };
        self.calls[index].unacked = Some(unacked);
    }

    /// A timer of a call.
    pub(super) fn on_call_timer(&mut self, step: &mut Step<'_>, number: u32) {
        let rings = |call: &Call| matches!(&call.stage, CallStage::Ringing(incoming) if incoming.alarm == number);
        if let Some(index) = self.calls.iter().position(rings) {
            return self.pick_up(step, index);
        }
        let waits = |call: &Call| call.unacked.as_ref().is_some_and(|u| u.alarm == number);
        let Some(index) = self.calls.iter().position(waits) else {
            return;
        };
        let Some(mut unacked) = self.calls[index].unacked.take() else {
            return;
        };
        if step.now >= unacked.until {
            let call = self.calls[index].number;
            fail(
                step.net,
                call,
                0,
                "the caller never acknowledged the answer".to_owned(),
            );
            return self.leave(step, index);
        }
        respond(step, unacked.server, 200, unacked.ok.clone());
        unacked.wait = (unacked.wait * 2).min(limits::T2);
        unacked.alarm = self.alarm(step.net, step.now + unacked.wait);
        self.calls[index].unacked = Some(unacked);
    }

    fn ack_came(&mut self, step: &mut Step<'_>, request: &Request<'_>) {
        let key = request.server_key(step.net.txns.keys(), Some(b"INVITE"));
        if let Some(server) = step.net.txns.find_server(key)
            && step.net.txns.acked(step.now, server, false)
        {
            return;
        }
        let (bytes, message) = (request.bytes, request.message);
        let holds = |call: &Call| {
            call.dialog
                .as_ref()
                .is_some_and(|d| d.holds(bytes, message))
        };
        let Some(index) = self.calls.iter().position(holds) else {
            step.net.counters.stray_acks += 1;
            return;
        };
        let call = &mut self.calls[index];
        call.unacked = None;
        if let CallStage::Answered { hangup } = call.stage {
            call.stage = CallStage::Up;
            let call = call.number;
            emit(step.net, Event::Established { call });
            if hangup {
                self.leave(step, index);
            }
        }
    }

    fn bye_came(&mut self, step: &mut Step<'_>, request: &Request<'_>, key: ServerKey) {
        let Some(index) = self.call_of(request) else {
            return reply(step, request, key, 481, "No Such Dialog", b"");
        };
        reply(step, request, key, 200, "OK", b"");
        let call = self.calls.remove(index);
        if let CallStage::Ringing(incoming) = call.stage {
            // RFC 3261 §15.1.2: the INVITE still needs an answer.
            respond(step, incoming.server, 487, incoming.cancelled);
        }
        let by = Party::Them;
        emit(
            step.net,
            Event::Ended {
                call: call.number,
                by,
            },
        );
    }

    fn cancel_came(&mut self, step: &mut Step<'_>, request: &Request<'_>, key: ServerKey) {
        let invite = request.server_key(step.net.txns.keys(), Some(b"INVITE"));
        let Some(server) = step.net.txns.find_server(invite) else {
            return reply(step, request, key, 481, "Nothing To Cancel", b"");
        };
        reply(step, request, key, 200, "OK", b"");
        let rings = |call: &Call| matches!(&call.stage, CallStage::Ringing(incoming) if incoming.server == server);
        let Some(index) = self.calls.iter().position(rings) else {
            return;
        };
        let call = self.calls.remove(index);
        if let CallStage::Ringing(incoming) = call.stage {
            respond(step, server, 487, incoming.cancelled);
        }
        let why = "the caller gave up before it was answered".to_owned();
        fail(step.net, call.number, 487, why);
    }
}

/// Answers and keeps the transaction for retransmissions.
fn reply(
    step: &mut Step<'_>,
    request: &Request<'_>,
    key: ServerKey,
    status: u16,
    reason: &str,
    lines: &[u8],
) {
    let kind = if request.message.method() == Method::Invite {
        TransactionKind::Invite
    } else {
        TransactionKind::Other
    };
    let flow = request.reply_flow();
    let Some(server) = step
        .net
        .txns
        .open_server(step.now, key, kind, flow, Owner::Local)
    else {
        return answer_stateless(step, request, status, reason, lines);
    };
    let bytes = step.net.build_answer(request, status, reason, lines);
    step.net.counters.answers += 1;
    respond(step, server, status, bytes);
}

/// Answers without a transaction; a retransmission is answered again.
fn answer_stateless(
    step: &mut Step<'_>,
    request: &Request<'_>,
    status: u16,
    reason: &str,
    lines: &[u8],
) {
    let answer = step.net.stateless_answer(request, status, reason, lines);
    step.net.transmit_send(Some(answer));
}

/// Sends a response by the transaction of its request.
pub(super) fn respond(step: &mut Step<'_>, server: ServerId, status: u16, bytes: Buf) {
    let send = step.net.txns.respond(step.now, server, status, bytes);
    step.net.transmit_send(send);
}

/// Opens the transaction of an INVITE; without room for it the INVITE is refused.
fn open_invite(step: &mut Step<'_>, request: &Request<'_>, key: ServerKey) -> Option<ServerId> {
    let (flow, kind) = (request.reply_flow(), TransactionKind::Invite);
    let opened = step
        .net
        .txns
        .open_server(step.now, key, kind, flow, Owner::Local);
    if opened.is_none() {
        answer_stateless(step, request, 503, "Transaction Table Full", b"");
    }
    opened
}
