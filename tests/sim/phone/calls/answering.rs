//! The side that is called (RFC 3261 §9.2, §12.2.2, §13.3, §14.2, §15.1.2).

use std::net::SocketAddr;

use steadfast::time::Instant;

use super::super::{LIFE, Phone, Sent, Server, T1, T2};
use super::{Leg, Stage, Unacked, own_tag};
use crate::text::{Text, param, uri_of};

impl Phone {
    /// A request came.
    pub(in crate::phone) fn request(
        &mut self,
        now: Instant,
        from: SocketAddr,
        tcp: bool,
        text: &Text,
    ) {
        let Some(via) = text.via() else { return };
        let key = Self::key(&via, text.method());
        let index = self.servers.iter().position(|server| server.key == key);
        if text.method() == "ACK" {
            if let Some(index) = index {
                self.servers[index].refusal = None;
            }
            return self.acked(now, text);
        }
        if let Some(index) = index {
            let server = &self.servers[index];
            if let Some(bytes) = server.last.clone() {
                self.out.push(Sent {
                    tcp,
                    to: from,
                    bytes,
                });
            }
            return;
        }
        self.servers.push(Server {
            key: key.clone(),
            last: None,
            tcp,
            from,
            born: now,
            invite: None,
            refusal: None,
        });
        match text.method() {
            "INVITE" if text.to_tag().is_some() => self.reinvited(now, &key, text),
            "INVITE" => self.invited(now, &key, text),
            "BYE" => self.bye_came(now, &key, text),
            "CANCEL" => self.cancel_came(now, &key, via.branch, text),
            _ => self.answer(now, &key, text, 200, ""),
        }
    }

    fn acked(&mut self, now: Instant, text: &Text) {
        let tag = text.to_tag().unwrap_or_default();
        let mut leaving = None;
        for leg in &mut self.legs {
            let ours = leg.call_id == text.call_id() && param(&leg.local, "tag") == Some(tag);
            let it = leg.unacked.as_ref().is_some_and(|u| u.cseq == text.cseq());
            if ours && it {
                leg.unacked = None;
                if leg.stage == Stage::Answered {
                    leg.stage = Stage::Up;
                    leaving = leg.hangup.then_some(leg.number);
                }
            }
        }
        if let Some(number) = leaving {
            self.bye(now, number);
        }
    }

    /// Answers a request in its transaction; gives back the bytes.
    fn answer(&mut self, now: Instant, key: &str, text: &Text, status: u16, tag: &str) {
        let invite = text.method() == "INVITE";
        let mut out = format!("SIP/2.0 {status} As The Script Says\r\n");
        for (name, value) in &text.headers {
            match &name[..] {
                "via" | "from" | "call-id" | "cseq" => out += &format!("{name}: {value}\r\n"),
                "record-route" if invite => out += &format!("Record-Route: {value}\r\n"),
                "to" if value.contains(";tag=") || tag.is_empty() => {
                    out += &format!("To: {value}\r\n");
                }
                "to" => out += &format!("To: {value};tag={tag}\r\n"),
                _ => {}
            }
        }
        if invite {
            out += &format!("Contact: {}\r\n", self.contact());
        }
        out += &self.odd_header();
        let body = if status == 200 {
            self.body()
        } else {
            Vec::new()
        };
        out += &format!("Content-Length: {}\r\n\r\n", body.len());
        let mut bytes = out.into_bytes();
        bytes.extend_from_slice(&body);
        let Some(server) = self.servers.iter_mut().find(|s| s.key == key) else {
            return;
        };
        server.last = Some(bytes.clone());
        if invite && status >= 300 && !server.tcp {
            server.refusal = Some((now + T1, T1, now + LIFE));
        }
        let (tcp, to) = (server.tcp, server.from);
        self.out.push(Sent { tcp, to, bytes });
    }

    fn invited(&mut self, now: Instant, key: &str, text: &Text) {
        self.serial += 1;
        let number = self.serial;
        let tag = format!("{number}.{}.{}", self.boot, self.who.addr.ip());
        let merged = self.legs.iter().any(|l| l.call_id == text.call_id());
        let busy = self.legs.len() > 3 || self.quiet;
        let lot = self.dice.below(100);
        let refusal = match lot {
            _ if merged => Some(482),
            _ if busy => Some(486),
            0..8 => Some(486),
            8..11 => Some(404),
            11..13 => Some(603),
            13..15 => Some(503),
            _ => None,
        };
        if let Some(status) = refusal {
            return self.answer(now, key, text, status, &tag);
        }
        if lot > 20 {
            self.answer(now, key, text, 180, &tag);
        }
        // Some ring for ever, some answer at once.
        let alarm = match lot {
            15..21 => Some(now + self.dice.millis(1, 50)),
            21..33 => None,
            _ => Some(now + self.dice.millis(100, 4_000)),
        };
        let routes = text.values("record-route").into_iter();
        let server = self.servers.last().unwrap();
        self.legs.push(Leg {
            number,
            call_id: text.call_id().to_owned(),
            stage: Stage::Ringing,
            local: format!("{};tag={tag}", text.first("to").unwrap_or_default()),
            remote: text.first("from").unwrap_or_default().to_owned(),
            routes: routes.map(str::to_owned).collect(),
            target: uri_of(text.first("contact").unwrap_or_default()).to_owned(),
            cseq: 0,
            remote_cseq: text.cseq(),
            way: (server.tcp, server.from),
            server: key.to_owned(),
            alarm,
            unacked: None,
            hangup: false,
            acks: Vec::new(),
        });
        self.invites(key, text);
    }

    /// Keeps the INVITE for the answer that comes later.
    fn invites(&mut self, key: &str, text: &Text) {
        let server = self.servers.iter_mut().find(|s| s.key == key).unwrap();
        server.invite = Some(text.clone());
    }

    fn pick_up(&mut self, now: Instant, number: u32) {
        let leg = self.leg(number).unwrap();
        leg.alarm = None;
        leg.stage = Stage::Answered;
        let (key, tag) = (leg.server.clone(), own_tag(leg));
        let invite = self.servers.iter().find(|s| s.key == key);
        let Some(invite) = invite.and_then(|s| s.invite.clone()) else {
            return;
        };
        self.answer(now, &key, &invite, 200, &tag);
        self.wait_for_ack(now, number, &key, invite.cseq());
    }

    fn wait_for_ack(&mut self, now: Instant, number: u32, key: &str, cseq: u32) {
        let server = self.servers.iter().find(|s| s.key == key).unwrap();
        let unacked = Unacked {
            bytes: server.last.clone().unwrap(),
            way: (server.tcp, server.from),
            cseq,
            next: now + T1,
            gap: T1,
            end: now + LIFE,
        };
        self.leg(number).unwrap().unacked = Some(unacked);
    }

    pub(super) fn refuse(&mut self, now: Instant, number: u32, status: u16) {
        let leg = self.leg(number).unwrap();
        leg.stage = Stage::Over;
        let (key, tag) = (leg.server.clone(), own_tag(leg));
        let invite = self.servers.iter().find(|s| s.key == key);
        if let Some(invite) = invite.and_then(|s| s.invite.clone()) {
            self.answer(now, &key, &invite, status, &tag);
        }
        self.left(number);
    }

    fn reinvited(&mut self, now: Instant, key: &str, text: &Text) {
        let Some(number) = self.dialog(text) else {
            return self.answer(now, key, text, 481, "");
        };
        let leg = self.leg(number).unwrap();
        if leg.stage != Stage::Up || leg.unacked.is_some() {
            return self.answer(now, key, text, 491, "");
        }
        leg.remote_cseq = text.cseq();
        leg.target = uri_of(text.first("contact").unwrap_or_default()).to_owned();
        self.answer(now, key, text, 200, "");
        self.wait_for_ack(now, number, key, text.cseq());
    }

    fn dialog(&self, text: &Text) -> Option<u32> {
        // Two forks of a call of ours differ in their remote tag alone.
        let tags = (text.to_tag(), text.sender_tag());
        let is_it = |leg: &&Leg| {
            let own = (param(&leg.local, "tag"), param(&leg.remote, "tag"));
            leg.call_id == text.call_id() && own == tags
        };
        let leg = self.legs.iter().find(is_it)?;
        Some(leg.number)
    }

    fn bye_came(&mut self, now: Instant, key: &str, text: &Text) {
        let Some(number) = self.dialog(text) else {
            return self.answer(now, key, text, 481, "");
        };
        self.answer(now, key, text, 200, "");
        if self.leg(number).unwrap().stage == Stage::Ringing {
            return self.refuse(now, number, 487);
        }
        self.left(number);
    }

    fn cancel_came(&mut self, now: Instant, key: &str, branch: &str, text: &Text) {
        let branch = format!("{branch} ");
        let invite = |leg: &&Leg| leg.server.starts_with(&branch) && leg.stage == Stage::Ringing;
        let number = self.legs.iter().find(invite).map(|leg| leg.number);
        let known = self
            .servers
            .iter()
            .any(|s| s.key.starts_with(&branch) && s.key != key);
        self.answer(now, key, text, if known { 200 } else { 481 }, "c");
        if let Some(number) = number {
            self.refuse(now, number, 487);
        }
    }

    pub(in crate::phone) fn tick_legs(&mut self, now: Instant) {
        let due = |leg: &&Leg| leg.alarm.is_some_and(|alarm| alarm <= now);
        let ready: Vec<u32> = self.legs.iter().filter(due).map(|l| l.number).collect();
        for number in ready {
            self.pick_up(now, number);
        }
        let mut lost = Vec::new();
        for leg in &mut self.legs {
            let Some(unacked) = leg.unacked.as_mut().filter(|u| u.next <= now) else {
                continue;
            };
            if now >= unacked.end {
                leg.unacked = None;
                lost.push(leg.number);
                continue;
            }
            unacked.gap = (unacked.gap * 2).min(T2);
            unacked.next = now + unacked.gap;
            let ((tcp, to), bytes) = (unacked.way, unacked.bytes.clone());
            self.out.push(Sent { tcp, to, bytes });
        }
        for number in lost {
            // RFC 3261 §13.3.1.4: no ACK came, so the session ends.
            self.bye(now, number);
        }
    }
}
