//! Requests from outside: the side that is called (RFC 3261 §8.2, §9.2,
//! §13.3, §14.2, §15.1.2).

use super::calling::{Call, Stage, fail};
use super::compose::{ALLOW, put};
use super::dialog::{self, Dialog};
use super::request::Contact;
use super::route::uri_of;
use super::{Agent, sdp, tell, text};
use crate::bytes::Buf;
use crate::id::ServerId;
use crate::limits;
use crate::proxy::{Net, Owner, Request};
use crate::scan::{Method, Name};
use crate::send::{Event, Party};
use crate::stick::Source;
use crate::time::{Duration, Instant};
use crate::txn::{Kind, ServerKey};

/// A call that rings here, with its answers ready.
#[derive(Debug)]
pub(super) struct Incoming {
    server: ServerId,
    ok: Buf,
    busy: Buf,
    cancelled: Buf,
    /// When it is answered.
    alarm: u32,
}

/// A 2xx to an INVITE that is sent until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacked {
    server: ServerId,
    ok: Buf,
    alarm: u32,
    wait: Duration,
    until: Instant,
}

impl Agent {
    /// Takes in one request that scanned.
    pub fn request(&mut self, net: &mut Net, now: Instant, request: &Request<'_>) {
        net.counters.requests_in += 1;
        let method = request.message.method();
        if method == Method::Ack {
            return self.ack_came(net, now, request);
        }
        let key = net.server_key(request, None);
        if let Some(server) = net.txns.find_server(key) {
            net.counters.retransmissions_in += 1;
            let again = net.txns.request_again(server);
            return net.transmit_send(again);
        }
        match method {
            Method::Invite if request.in_dialog() => self.reinvited(net, now, request, key),
            Method::Invite => self.invited(net, now, request, key),
            Method::Bye => self.bye_came(net, now, request, key),
            Method::Cancel => self.cancel_came(net, now, request, key),
            Method::Options => {
                let lines = [ALLOW, "Accept: application/sdp\r\n"].concat();
                reply(net, now, request, key, 200, "OK", lines.as_bytes());
            }
            Method::Other => reply(
                net,
                now,
                request,
                key,
                501,
                "Not Implemented",
                ALLOW.as_bytes(),
            ),
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
                net,
                now,
                request,
                key,
                405,
                "Method Not Allowed",
                ALLOW.as_bytes(),
            ),
        }
    }

    fn invited(&mut self, net: &mut Net, now: Instant, request: &Request<'_>, key: ServerKey) {
        if !self.is_served_by(net, request) {
            return reply(net, now, request, key, 403, "Not From An Edge Of Mine", b"");
        }
        let mut lines = Vec::new();
        for value in request.message.values(request.bytes, Name::Require) {
            put(
                &mut lines,
                &[b"Unsupported: ", value.of(request.bytes), b"\r\n"],
            );
        }
        if !lines.is_empty() {
            return reply(net, now, request, key, 420, "Bad Extension", &lines);
        }
        if self.is_merged(request) {
            return reply(net, now, request, key, 482, "Request Merged", b"");
        }
        let Some(after) = self.settings.answer_after else {
            return reply(net, now, request, key, 486, "Busy Here", b"");
        };
        if self.calls.len() >= limits::AGENT_CALLS_MAX {
            return reply(net, now, request, key, 486, "Busy Here", b"");
        }
        let Some(server) =
            net.txns
                .open_server(now, key, Kind::Invite, request.reply_flow(), Owner::Local)
        else {
            return net.answer_stateless(request, 503, "Transaction Table Full", b"");
        };
        self.dialog_lines(net, request, &mut lines);
        let ringing = net.answer(request, 180, "Ringing", &lines);
        let send = net.txns.respond(now, server, 180, ringing);
        net.transmit_send(send);
        let incoming = Incoming {
            server,
            ok: self.ok(net, request, lines),
            busy: net.answer(request, 486, "Busy Here", b""),
            cancelled: net.answer(request, 487, "Request Terminated", b""),
            alarm: self.alarm(net, now + after),
        };
        let number = self.next_call();
        let mut tag = [0; 16];
        let tag = net.tag(
            request.bytes,
            request.message,
            request.ingress.source.ip(),
            &mut tag,
        );
        let mut call = Call::new(number, Stage::Ringing(incoming));
        call.dialog = Some(Dialog::of_invite(request.bytes, request.message, tag));
        call.flow = Some(request.ingress.flow);
        self.calls.push(call);
        let from = text(&dialog::value(request.bytes, request.message, Name::From));
        tell(net, Event::Incoming { call: number, from });
    }

    /// Whether a request came from where calls come from: an edge or the home that
    /// it was told of, or that it registered with. Whoever calls a phone past
    /// them has not been asked who he is.
    fn is_served_by(&self, net: &Net, request: &Request<'_>) -> bool {
        let source = request.ingress.source.ip();
        let told = self.settings.names.iter().map(|(_, addr)| addr.ip());
        let flows = self.registrations.iter().filter_map(|one| one.flow);
        let flows = flows.filter_map(|flow| net.flows.peer(flow));
        let mut known = told.chain(flows.map(|peer| peer.ip()));
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

    fn ok(&self, net: &mut Net, request: &Request<'_>, mut lines: Vec<u8>) -> Buf {
        let mut body = Vec::new();
        if let Some((_, addr)) = net.flows.reached_at(request.ingress.flow) {
            let offered = request.message.body().of(request.bytes);
            sdp::answer(offered, addr, net.chance(), &mut body);
        }
        lines.extend_from_slice(b"Content-Type: application/sdp\r\n");
        net.answer_with(request, 200, "OK", &lines, &body)
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
    fn reinvited(&mut self, net: &mut Net, now: Instant, request: &Request<'_>, key: ServerKey) {
        let (bytes, message) = (request.bytes, request.message);
        let Some(place) = self.call_of(request) else {
            return reply(net, now, request, key, 481, "No Such Dialog", b"");
        };
        if !matches!(self.calls[place].stage, Stage::Up) || self.calls[place].unacked.is_some() {
            return reply(net, now, request, key, 491, "Request Pending", b"");
        }
        if let Some(dialog) = &mut self.calls[place].dialog {
            if message.cseq() <= dialog.remote_cseq {
                return reply(net, now, request, key, 500, "CSeq Out Of Order", b"");
            }
            dialog.remote_cseq = message.cseq();
            if let Some(target) = dialog::target(bytes, message) {
                dialog.target = target;
            }
        }
        let flow = request.reply_flow();
        let opened = net
            .txns
            .open_server(now, key, Kind::Invite, flow, Owner::Local);
        let Some(server) = opened else {
            return net.answer_stateless(request, 503, "Transaction Table Full", b"");
        };
        let mut lines = Vec::new();
        self.dialog_lines(net, request, &mut lines);
        let ok = self.ok(net, request, lines);
        self.send_ok(net, now, place, server, ok);
    }

    /// Picks up.
    fn pick_up(&mut self, net: &mut Net, now: Instant, place: usize) {
        let call = &mut self.calls[place];
        let answered = Stage::Answered { hangup: false };
        let Stage::Ringing(incoming) = std::mem::replace(&mut call.stage, answered) else {
            return;
        };
        let first = call
            .dialog
            .as_ref()
            .and_then(|dialog| dialog.routes.first());
        if let Some((first, flow)) = first.zip(call.flow) {
            // S-5
            let until = now + limits::AGENT_DIALOG_MAX;
            self.stick
                .bind(now, flow, uri_of(first), Source::RecordRoute, until);
        }
        self.send_ok(net, now, place, incoming.server, incoming.ok);
    }

    fn send_ok(&mut self, net: &mut Net, now: Instant, place: usize, server: ServerId, ok: Buf) {
        let send = net.txns.respond(now, server, 200, ok.clone());
        net.transmit_send(send);
        let unacked = Unacked {
            server,
            ok,
            alarm: self.alarm(net, now + limits::T1),
            wait: limits::T1,
            until: now + limits::T1_64,
        };
        self.calls[place].unacked = Some(unacked);
    }

    /// A timer of a call.
    pub(super) fn call_due(&mut self, net: &mut Net, now: Instant, number: u32) {
        let rings = |call: &Call| matches!(&call.stage, Stage::Ringing(incoming) if incoming.alarm == number);
        if let Some(place) = self.calls.iter().position(rings) {
            return self.pick_up(net, now, place);
        }
        let waits = |call: &Call| call.unacked.as_ref().is_some_and(|u| u.alarm == number);
        let Some(place) = self.calls.iter().position(waits) else {
            return;
        };
        let Some(mut unacked) = self.calls[place].unacked.take() else {
            return;
        };
        if now >= unacked.until {
            let call = self.calls[place].number;
            fail(
                net,
                call,
                0,
                "the caller never acknowledged the answer".to_owned(),
            );
            return self.leave(net, now, place);
        }
        let send = net
            .txns
            .respond(now, unacked.server, 200, unacked.ok.clone());
        net.transmit_send(send);
        unacked.wait = (unacked.wait * 2).min(limits::T2);
        unacked.alarm = self.alarm(net, now + unacked.wait);
        self.calls[place].unacked = Some(unacked);
    }

    fn ack_came(&mut self, net: &mut Net, now: Instant, request: &Request<'_>) {
        let key = net.server_key(request, Some(b"INVITE"));
        if let Some(server) = net.txns.find_server(key)
            && net.txns.acked(now, server, false)
        {
            return;
        }
        let (bytes, message) = (request.bytes, request.message);
        let holds = |call: &Call| {
            call.dialog
                .as_ref()
                .is_some_and(|d| d.holds(bytes, message))
        };
        let Some(place) = self.calls.iter().position(holds) else {
            net.counters.stray_acks += 1;
            return;
        };
        let call = &mut self.calls[place];
        call.unacked = None;
        if let Stage::Answered { hangup } = call.stage {
            call.stage = Stage::Up;
            let call = call.number;
            tell(net, Event::Established { call });
            if hangup {
                self.leave(net, now, place);
            }
        }
    }

    fn bye_came(&mut self, net: &mut Net, now: Instant, request: &Request<'_>, key: ServerKey) {
        let Some(place) = self.call_of(request) else {
            return reply(net, now, request, key, 481, "No Such Dialog", b"");
        };
        reply(net, now, request, key, 200, "OK", b"");
        let call = self.calls.remove(place);
        if let Stage::Ringing(incoming) = call.stage {
            // RFC 3261 §15.1.2: the INVITE still needs an answer.
            let send = net
                .txns
                .respond(now, incoming.server, 487, incoming.cancelled);
            net.transmit_send(send);
        }
        let by = Party::Them;
        tell(
            net,
            Event::Ended {
                call: call.number,
                by,
            },
        );
    }

    fn cancel_came(&mut self, net: &mut Net, now: Instant, request: &Request<'_>, key: ServerKey) {
        let invite = net.server_key(request, Some(b"INVITE"));
        let Some(server) = net.txns.find_server(invite) else {
            return reply(net, now, request, key, 481, "Nothing To Cancel", b"");
        };
        reply(net, now, request, key, 200, "OK", b"");
        let rings = |call: &Call| matches!(&call.stage, Stage::Ringing(incoming) if incoming.server == server);
        let Some(place) = self.calls.iter().position(rings) else {
            return;
        };
        let call = self.calls.remove(place);
        if let Stage::Ringing(incoming) = call.stage {
            let send = net.txns.respond(now, server, 487, incoming.cancelled);
            net.transmit_send(send);
        }
        let why = "the caller gave up before it was answered".to_owned();
        fail(net, call.number, 487, why);
    }

    /// Refuses a call that rings.
    pub(super) fn decline(&mut self, net: &mut Net, now: Instant, place: usize) {
        let call = self.calls.remove(place);
        if let Stage::Ringing(incoming) = call.stage {
            let send = net.txns.respond(now, incoming.server, 486, incoming.busy);
            net.transmit_send(send);
        }
        fail(net, call.number, 486, "it was declined".to_owned());
    }
}

/// Answers and keeps the transaction for retransmissions.
fn reply(
    net: &mut Net,
    now: Instant,
    request: &Request<'_>,
    key: ServerKey,
    status: u16,
    reason: &str,
    lines: &[u8],
) {
    let kind = if request.message.method() == Method::Invite {
        Kind::Invite
    } else {
        Kind::Other
    };
    let flow = request.reply_flow();
    let Some(server) = net.txns.open_server(now, key, kind, flow, Owner::Local) else {
        return net.answer_stateless(request, status, reason, lines);
    };
    let bytes = net.answer(request, status, reason, lines);
    net.counters.answers += 1;
    let send = net.txns.respond(now, server, status, bytes);
    net.transmit_send(send);
}
