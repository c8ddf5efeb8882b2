//! The calls of a scripted phone, both sides (RFC 3261 §9, §12 to §15).

mod answering;

use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::{Phone, Purpose, Sent, Written};
use crate::cast::PASSWORD;
use crate::proof;
use crate::text::{Text, addr_of, param, uri_of};

/// How the Call-IDs of an attacker begin.
pub(crate) const CLAIM: &str = "claim";

/// One dialog, or one to be.
#[derive(Debug)]
pub(super) struct Leg {
    number: u32,
    call_id: String,
    stage: Stage,
    local: String,
    remote: String,
    routes: Vec<String>,
    target: String,
    cseq: u32,
    remote_cseq: u32,
    way: (bool, SocketAddr),
    /// Key of the server transaction of the INVITE at hand.
    server: String,
    /// When it is answered.
    alarm: Option<Instant>,
    /// A 2xx that waits for its ACK.
    unacked: Option<Unacked>,
    /// A BYE goes out as soon as the ACK has come.
    hangup: bool,
    /// ACKs by CSeq and tag of the 2xx they are for.
    acks: Vec<(u32, String, Sent)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Calling { heard: bool, cancel: bool },
    Ringing,
    Answered,
    Up,
    Leaving,
    Over,
}

#[derive(Debug)]
struct Unacked {
    bytes: Vec<u8>,
    way: (bool, SocketAddr),
    cseq: u32,
    next: Instant,
    gap: Duration,
    end: Instant,
}

impl Leg {
    pub(super) fn due(&self) -> Option<Instant> {
        let unacked = self.unacked.as_ref().map(|unacked| unacked.next);
        self.alarm.into_iter().chain(unacked).min()
    }
}

impl Phone {
    fn leg(&mut self, number: u32) -> Option<&mut Leg> {
        self.legs.iter_mut().find(|leg| leg.number == number)
    }

    /// Calls; false when no flow is registered.
    pub(crate) fn call(&mut self, now: Instant, uri: &str) -> bool {
        let Some(binding) = self.live(now, None) else {
            return false;
        };
        let (edge, routes) = (binding.edge(), binding.service_route.clone());
        self.serial += 1;
        let number = self.serial;
        let local = format!("{};tag={number}.{}", self.aor(), self.boot);
        let call_id = format!("call-{}-{}-{number}", self.who.addr.ip(), self.boot);
        let remote = format!("<{uri}>");
        let body = self.body();
        let extra = format!("Contact: {}\r\n", self.contact());
        let written = Written {
            uri,
            routes: &routes,
            from: &local,
            to: &remote,
            call_id: &call_id,
            cseq: 1,
            extra: &extra,
            body: &body,
        };
        let mut servers = self.servers(routes.first());
        if servers.is_empty() {
            servers.push(edge);
        }
        let way = (self.who.tcp, servers[0]);
        self.send_to_servers(now, Purpose::Invite(number), "INVITE", &servers, &written);
        self.legs.push(Leg {
            number,
            call_id,
            stage: Stage::Calling {
                heard: false,
                cancel: false,
            },
            local,
            remote,
            routes,
            target: uri.to_owned(),
            cseq: 1,
            remote_cseq: 0,
            way,
            server: String::new(),
            alarm: None,
            unacked: None,
            hangup: false,
            acks: Vec::new(),
        });
        true
    }

    /// The proxy asks who calls (RFC 3261 §22.3); false when it has been told.
    pub(super) fn invite_again(
        &mut self,
        now: Instant,
        number: u32,
        index: usize,
        text: &Text,
    ) -> bool {
        let uri = self.clients[index].text.uri().to_owned();
        let login = (&self.who.user[..], PASSWORD);
        let line = proof::answer(text, login, "INVITE", &uri);
        let way = (self.clients[index].tcp, self.clients[index].to);
        let is_first = self.clients[index]
            .text
            .first("proxy-authorization")
            .is_none();
        let body = self.body();
        let contact = self.contact();
        let (Some(line), Some(leg)) = (line.filter(|_| is_first), self.leg(number)) else {
            return false;
        };
        let Stage::Calling { heard, .. } = &mut leg.stage else {
            return false;
        };
        *heard = false;
        leg.cseq += 1;
        let (routes, cseq) = (leg.routes.clone(), leg.cseq);
        let (from, to, call_id) = (leg.local.clone(), leg.remote.clone(), leg.call_id.clone());
        let written = Written {
            uri: &uri,
            routes: &routes,
            from: &from,
            to: &to,
            call_id: &call_id,
            cseq,
            extra: &format!("Contact: {contact}\r\n{line}"),
            body: &body,
        };
        self.send_request(now, Purpose::Invite(number), "INVITE", way, &written);
        true
    }

    /// Ends every call, in the way of its stage.
    pub(crate) fn hang_up(&mut self, now: Instant) {
        let numbers: Vec<(u32, Stage)> = self.legs.iter().map(|l| (l.number, l.stage)).collect();
        for (number, stage) in numbers {
            match stage {
                Stage::Calling { heard, .. } => {
                    let stage = Stage::Calling {
                        heard,
                        cancel: true,
                    };
                    self.leg(number).unwrap().stage = stage;
                    if heard {
                        self.cancel(now, number);
                    }
                }
                Stage::Ringing => self.refuse(now, number, 486),
                // RFC 3261 §15: not before the ACK.
                Stage::Answered => self.leg(number).unwrap().hangup = true,
                Stage::Up => self.bye(now, number),
                Stage::Leaving | Stage::Over => {}
            }
        }
    }

    /// Sends a re-INVITE in every call that is up and quiet.
    pub(crate) fn reinvite(&mut self, now: Instant) {
        let up = |leg: &&Leg| leg.stage == Stage::Up && leg.unacked.is_none();
        let numbers: Vec<u32> = self.legs.iter().filter(up).map(|l| l.number).collect();
        for number in numbers {
            self.within(now, number, Purpose::Reinvite(number), "INVITE");
        }
    }

    fn bye(&mut self, now: Instant, number: u32) {
        let leg = self.leg(number).unwrap();
        leg.stage = Stage::Leaving;
        leg.unacked = None;
        self.within(now, number, Purpose::Bye(number), "BYE");
    }

    /// A request inside the dialog.
    fn within(&mut self, now: Instant, number: u32, purpose: Purpose, method: &'static str) {
        let body = self.body();
        let extra = format!("Contact: {}\r\n", self.contact());
        let servers = self.ways(number);
        let leg = self.leg(number).unwrap();
        leg.cseq += 1;
        let (uri, routes) = (leg.target.clone(), leg.routes.clone());
        let (from, to) = (leg.local.clone(), leg.remote.clone());
        let (call_id, cseq) = (leg.call_id.clone(), leg.cseq);
        let written = Written {
            uri: &uri,
            routes: &routes,
            from: &from,
            to: &to,
            call_id: &call_id,
            cseq,
            extra: &extra,
            body: &body,
        };
        self.send_to_servers(now, purpose, method, &servers, &written);
    }

    /// Where a request of the dialog goes: by its topmost Route when that is
    /// an address, or a name and the phone resolves it; else where the dialog was set
    /// up.
    fn ways(&mut self, number: u32) -> Vec<SocketAddr> {
        let leg = self.leg(number).unwrap();
        let (first, set_up) = (leg.routes.first().cloned(), leg.way.1);
        let servers = self.servers(first.as_ref());
        if !servers.is_empty() {
            return servers;
        }
        let named = first.as_deref().map(uri_of).and_then(addr_of);
        vec![named.unwrap_or(set_up)]
    }

    /// The first of these.
    fn way(&mut self, number: u32) -> (bool, SocketAddr) {
        let servers = self.ways(number);
        (self.who.tcp, servers[0])
    }

    fn cancel(&mut self, now: Instant, number: u32) {
        let of = |purpose| purpose == Purpose::Invite(number);
        let found = self
            .clients
            .iter()
            .find(|c| of(c.purpose) && c.done.is_none());
        let Some(invite) = found else { return };
        let mut out = format!("CANCEL {} SIP/2.0\r\n", invite.text.uri());
        for (name, value) in &invite.text.headers {
            match &name[..] {
                "via" | "route" | "from" | "to" | "call-id" | "max-forwards" => {
                    out += &format!("{name}: {value}\r\n");
                }
                "cseq" => out += &format!("CSeq: {} CANCEL\r\n", invite.text.cseq()),
                _ => {}
            }
        }
        out += "Content-Length: 0\r\n\r\n";
        let (branch, way) = (invite.branch.clone(), (invite.tcp, invite.to));
        self.start_client(
            now,
            Purpose::Nothing,
            "CANCEL",
            way,
            branch,
            out.into_bytes(),
        );
    }

    pub(super) fn progress(&mut self, now: Instant, index: usize, _: &Text) {
        let Purpose::Invite(number) = self.clients[index].purpose else {
            return;
        };
        let Some(leg) = self.leg(number) else { return };
        if let Stage::Calling {
            heard: false,
            cancel,
        } = leg.stage
        {
            leg.stage = Stage::Calling {
                heard: true,
                cancel,
            };
            if cancel {
                self.cancel(now, number);
            }
        }
    }

    /// A 2xx to an INVITE or re-INVITE of ours.
    pub(super) fn accepted(&mut self, now: Instant, number: u32, purpose: Purpose, text: &Text) {
        let tag = text.to_tag().unwrap_or_default().to_owned();
        let cseq = text.cseq();
        let Some(leg) = self.leg(number) else { return };
        if let Some((.., sent)) = leg.acks.iter().find(|(c, t, _)| *c == cseq && *t == tag) {
            let (tcp, to, bytes) = (sent.tcp, sent.to, sent.bytes.clone());
            return self.out.push(Sent { tcp, to, bytes });
        }
        let first = matches!(leg.stage, Stage::Calling { .. });
        let ours = first || param(&leg.remote, "tag") == Some(&tag);
        if !ours {
            return self.end_fork(now, number, text);
        }
        let hangup = matches!(leg.stage, Stage::Calling { cancel: true, .. });
        self.enter(number, text);
        self.ack(number, cseq, &tag);
        if purpose == Purpose::Invite(number) && first {
            self.leg(number).unwrap().stage = Stage::Up;
            if hangup {
                self.bye(now, number);
            }
            self.intrude(now, text);
        }
    }

    fn enter(&mut self, number: u32, text: &Text) {
        let leg = self.leg(number).unwrap();
        if let Some(contact) = text.first("contact") {
            leg.target = uri_of(contact).to_owned();
        }
        if matches!(leg.stage, Stage::Calling { .. }) {
            leg.remote = text.first("to").unwrap_or_default().to_owned();
            let routes = text.values("record-route");
            leg.routes = routes.into_iter().rev().map(str::to_owned).collect();
        }
    }

    /// RFC 3261 §13.2.2.4.
    fn ack(&mut self, number: u32, cseq: u32, tag: &str) {
        let (tcp, to) = self.way(number);
        let branch = self.branch();
        let leg = self.leg(number).unwrap();
        let (uri, routes) = (leg.target.clone(), leg.routes.clone());
        let (local, remote) = (leg.local.clone(), leg.remote.clone());
        let call_id = leg.call_id.clone();
        let written = Written {
            uri: &uri,
            routes: &routes,
            from: &local,
            to: &remote,
            call_id: &call_id,
            cseq,
            extra: "",
            body: b"",
        };
        let bytes = self.write("ACK", &branch, &written);
        let kept = Sent {
            tcp,
            to,
            bytes: bytes.clone(),
        };
        self.out.push(Sent { tcp, to, bytes });
        let leg = self.leg(number).unwrap();
        leg.acks.push((cseq, tag.to_owned(), kept));
    }

    /// The attack of the draft's section 13: an INVITE straight to the home
    /// that claims the Record-Route of the phone called before. Whoever answers
    /// it, the home must not take that URI to where the claim came from.
    fn intrude(&mut self, now: Instant, text: &Text) {
        let routes = text.values("record-route");
        let route = routes.into_iter().find(|r| r.contains("@edge.example.com"));
        let (Some(home), Some(route)) = (self.who.intrudes, route) else {
            return;
        };
        self.serial += 1;
        let call_id = format!("{CLAIM}-{}-{}", self.who.addr.ip(), self.serial);
        let contact = text.first("contact").unwrap_or_default();
        let extra = format!("Record-Route: {route}\r\nContact: {contact}\r\n");
        let uri = format!("sip:u{}@example.com", 1 + self.dice.below(6));
        let written = Written {
            uri: &uri,
            routes: &[],
            from: &format!("<sip:mallory@elsewhere.example>;tag=v{}", self.serial),
            to: &format!("<{uri}>"),
            call_id: &call_id,
            cseq: 1,
            extra: &extra,
            body: b"",
        };
        self.send_request(now, Purpose::Nothing, "INVITE", (false, home), &written);
    }

    /// Another device answered too: its call is ended at once.
    fn end_fork(&mut self, now: Instant, number: u32, text: &Text) {
        self.serial += 1;
        let fork = self.serial;
        let leg = self.leg(number).unwrap();
        let copy = Leg {
            number: fork,
            call_id: leg.call_id.clone(),
            stage: Stage::Calling {
                heard: true,
                cancel: true,
            },
            local: leg.local.clone(),
            remote: String::new(),
            routes: Vec::new(),
            target: String::new(),
            cseq: leg.cseq,
            remote_cseq: 0,
            way: leg.way,
            server: String::new(),
            alarm: None,
            unacked: None,
            hangup: false,
            acks: Vec::new(),
        };
        self.legs.push(copy);
        self.enter(fork, text);
        let tag = text.to_tag().unwrap_or_default().to_owned();
        self.ack(fork, text.cseq(), &tag);
        // The same 2xx again is for the first leg, which then knows this ACK.
        let sent = self.legs.last().unwrap().acks[0].2.bytes.clone();
        let (tcp, to) = self.way(fork);
        let bytes = sent;
        let kept = (text.cseq(), tag, Sent { tcp, to, bytes });
        self.leg(number).unwrap().acks.push(kept);
        self.bye(now, fork);
    }

    pub(super) fn left(&mut self, number: u32) {
        self.legs.retain(|leg| leg.number != number);
    }

    /// A request had no good end.
    pub(super) fn failed(&mut self, now: Instant, purpose: Purpose, _: u16) {
        match purpose {
            Purpose::Register(binding) => self.register_failed(now, binding),
            Purpose::Invite(leg) => {
                if let Some(leg) = self.leg(leg)
                    && matches!(leg.stage, Stage::Calling { .. })
                {
                    leg.stage = Stage::Over;
                }
                self.legs.retain(|leg| leg.stage != Stage::Over);
            }
            Purpose::Bye(leg) => self.left(leg),
            Purpose::Reinvite(_) | Purpose::Nothing => {}
        }
    }

    /// Sends a request of a dialog over the other flow (draft §10); false when
    /// there is none.
    pub(super) fn move_client(&mut self, now: Instant, index: usize) -> bool {
        let client = &mut self.clients[index];
        let (purpose, method, at) = (client.purpose, client.method, client.to);
        client.moved = true;
        if !matches!(purpose, Purpose::Bye(_) | Purpose::Reinvite(_)) {
            client.moved = false;
            return false;
        }
        let Some(edge) = self.live(now, Some(at)).map(super::Binding::edge) else {
            return false;
        };
        let branch = self.branch();
        let bytes = self.clients[index].under(&branch);
        let way = (self.who.tcp, edge);
        self.start_client(now, purpose, method, way, branch, bytes);
        self.clients.last_mut().unwrap().moved = true;
        true
    }
}

fn own_tag(leg: &Leg) -> String {
    param(&leg.local, "tag").unwrap_or_default().to_owned()
}
