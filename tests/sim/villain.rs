//! Villains: some have an account and some have none, and they share what they
//! learn. What they write is forged as well as they can: every mark, token and
//! tag that ever came to one of them is at hand.
//!
//! Here is what they do like anybody: register, call, answer. `forge` has their
//! attacks, `lore` what they know.

mod forge;
mod lore;

use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::cast::{Cast, EVIL_PASSWORD, VICTIM};
use super::dice::Dice;
use super::judge::VISIT;
use super::proof;
use super::text::{Text, uri_of};
use lore::{Dialog, Lore, Stack};

/// How their Call-IDs begin.
pub(crate) const EVIL: &str = "evil";

/// Something to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Blow {
    /// Which of them sends it.
    pub(crate) face: usize,
    /// The address that it claims to come from; over TCP its own.
    pub(crate) from: SocketAddr,
    pub(crate) tcp: bool,
    pub(crate) to: SocketAddr,
    pub(crate) after: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// All villains of a run.
pub(crate) struct Gang {
    cast: Cast,
    dice: Dice,
    serial: u32,
    lore: Lore,
    faces: Vec<Face>,
    is_quiet: bool,
}

/// One of them.
#[derive(Clone, Debug, Default)]
struct Face {
    /// When it is to register again.
    due: Option<Instant>,
    cseq: u32,
    service_route: Vec<String>,
    /// The edge it registers at.
    edge: usize,
}

/// A request in parts, as a villain writes it.
#[derive(Clone, Debug, Default)]
struct Draft {
    method: String,
    uri: String,
    routes: Vec<String>,
    from: String,
    to: String,
    call_id: String,
    cseq: u32,
    /// Whole lines.
    extra: String,
    /// Further parameters of its Via.
    via: String,
}

impl Gang {
    pub(crate) fn new(cast: Cast, mut dice: Dice) -> Self {
        let face = |_| Face {
            edge: dice.index(cast.edges.len()),
            ..Face::default()
        };
        let faces = (0..cast.rogues.len()).map(face).collect();
        Self {
            cast,
            dice,
            serial: 0,
            lore: Lore::default(),
            faces,
            is_quiet: false,
        }
    }

    pub(crate) const fn quiet(&mut self) {
        self.is_quiet = true;
    }

    /// One of them does something.
    pub(crate) fn prowl(&mut self, now: Instant, face: usize) -> Vec<Blow> {
        let is_due = self.faces[face].due.is_none_or(|due| due <= now);
        if let Some(user) = self.cast.rogues[face].user.clone()
            && is_due
        {
            self.faces[face].due = Some(now + Duration::from_secs(20));
            return vec![self.register(face, &user, "")];
        }
        self.attack(face)
    }

    /// Somebody from elsewhere calls through an edge: for help, or a subscriber
    /// where the edges let strangers do so.
    pub(crate) fn visit(&mut self, edge: SocketAddr, uri: &str) -> Vec<Blow> {
        let face = self.cast.rogues.len() - 1;
        self.serial += 1;
        let draft = Draft {
            method: "INVITE".to_owned(),
            uri: uri.to_owned(),
            from: format!("<sip:visitor@elsewhere.example>;tag=g{}", self.serial),
            to: format!("<{uri}>"),
            call_id: format!("{VISIT}-{}", self.serial),
            cseq: 1,
            extra: self.contact(face),
            ..Draft::default()
        };
        let blow = self.send(face, edge, &draft);
        if blow.tcp {
            return vec![blow];
        }
        let again = |wait_ms| Blow {
            after: Duration::from_millis(wait_ms),
            ..blow.clone()
        };
        [0, 500, 1_500, 3_500, 7_500, 15_500].map(again).into()
    }

    fn contact(&self, face: usize) -> String {
        let rogue = &self.cast.rogues[face];
        let transport = if rogue.tcp { ";transport=tcp" } else { "" };
        format!("Contact: <sip:m{face}@{}{transport}>\r\n", rogue.addr)
    }

    /// From its own address, by its own transport.
    fn send(&mut self, face: usize, to: SocketAddr, draft: &Draft) -> Blow {
        let rogue = self.cast.rogues[face].clone();
        self.send_as(face, rogue.addr, (rogue.tcp, to), draft)
    }

    fn send_as(
        &mut self,
        face: usize,
        from: SocketAddr,
        (tcp, to): (bool, SocketAddr),
        draft: &Draft,
    ) -> Blow {
        self.serial += 1;
        let transport = if tcp { "TCP" } else { "UDP" };
        let Draft {
            method,
            uri,
            routes,
            from: sender,
            to: callee,
            call_id,
            cseq,
            extra,
            via,
        } = draft;
        let routes: String = routes.iter().map(|r| format!("Route: {r}\r\n")).collect();
        let text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {from};rport;branch=z9hG4bK.evil.{}{via}\r\n{routes}\
             Max-Forwards: 70\r\nFrom: {sender}\r\nTo: {callee}\r\nCall-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n\
             {extra}Content-Length: 0\r\n\r\n",
            self.serial
        );
        Blow {
            face,
            from,
            tcp,
            to,
            after: Duration::ZERO,
            bytes: text.into_bytes(),
        }
    }

    fn register(&mut self, face: usize, user: &str, line: &str) -> Blow {
        let own = &mut self.faces[face];
        own.cseq += 1;
        let (cseq, edge) = (own.cseq, self.cast.edges[own.edge]);
        let contact = self.contact(face);
        let contact = contact.trim_end();
        let extra = format!(
            "{contact};+sip.instance=\"<urn:uuid:evil{face}>\";reg-id=1\r\nSupported: path, outbound\r\n\
             Expires: 90\r\n{line}"
        );
        let draft = Draft {
            method: "REGISTER".to_owned(),
            uri: "sip:example.com".to_owned(),
            routes: vec!["<sip:edge.example.com;lr>".to_owned()],
            from: format!("<sip:{user}@example.com>;tag=r{face}"),
            to: format!("<sip:{user}@example.com>"),
            call_id: format!("{EVIL}-reg-{face}"),
            cseq,
            extra,
            ..Draft::default()
        };
        self.send(face, edge, &draft)
    }

    /// A message has come to one of them.
    pub(crate) fn told(
        &mut self,
        face: usize,
        from: SocketAddr,
        tcp: bool,
        bytes: &[u8],
    ) -> Vec<Blow> {
        let Some(text) = Text::read(bytes) else {
            return Vec::new();
        };
        self.lore.learn(&text);
        if self.is_quiet {
            return Vec::new();
        }
        if text.is_request() {
            self.asked(face, from, tcp, &text)
        } else {
            self.answered(face, from, &text)
        }
    }

    fn answered(&mut self, face: usize, from: SocketAddr, text: &Text) -> Vec<Blow> {
        let user = self.cast.rogues[face].user.clone();
        match (text.method(), text.status(), user) {
            ("REGISTER", 401, Some(user)) if text.call_id() == format!("{EVIL}-reg-{face}") => {
                let login = (&user[..], EVIL_PASSWORD);
                let line = proof::answer(text, login, "REGISTER", "sip:example.com");
                line.map(|line| self.register(face, &user, &line))
                    .into_iter()
                    .collect()
            }
            ("REGISTER", 200, _) => {
                let routes = text.values("service-route").into_iter();
                self.faces[face].service_route = routes.map(str::to_owned).collect();
                Vec::new()
            }
            ("INVITE", 200..300, _) => self.accepted(face, from, text),
            ("INVITE", 300.., user) => {
                let mut blows: Vec<Blow> = self.refused(face, from, text).into_iter().collect();
                if let (407, Some(user)) = (text.status(), user) {
                    blows.extend(self.prove(face, from, &user, text));
                }
                blows
            }
            (_, 407, Some(user)) => self.prove(face, from, &user, text).into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Enters a dialog that one of them has asked for, and acknowledges it.
    fn accepted(&mut self, face: usize, at: SocketAddr, text: &Text) -> Vec<Blow> {
        let routes = text.values("record-route");
        let dialog = Dialog {
            face,
            call_id: text.call_id().to_owned(),
            local: text.first("from").unwrap_or_default().to_owned(),
            remote: text.first("to").unwrap_or_default().to_owned(),
            routes: routes.into_iter().rev().map(str::to_owned).collect(),
            target: uri_of(text.first("contact").unwrap_or_default()).to_owned(),
            cseq: text.cseq(),
            at,
        };
        let ack = Draft {
            method: "ACK".to_owned(),
            ..dialog.draft()
        };
        let ack = Draft {
            cseq: text.cseq(),
            ..ack
        };
        self.lore.enter(dialog);
        vec![self.send(face, at, &ack)]
    }

    /// The ACK of a refusal (RFC 3261 §17.1.1.3).
    fn refused(&mut self, face: usize, at: SocketAddr, text: &Text) -> Option<Blow> {
        let sent = self.lore.sent_under(text.via()?.branch)?.clone();
        let draft = Draft {
            method: "ACK".to_owned(),
            to: text.first("to").unwrap_or_default().to_owned(),
            extra: String::new(),
            ..sent
        };
        let mut blow = self.send(face, at, &draft);
        let own = format!("z9hG4bK.evil.{}", self.serial);
        let whole = String::from_utf8_lossy(&blow.bytes).replace(&own, text.via()?.branch);
        blow.bytes = whole.into_bytes();
        Some(blow)
    }

    /// Sends a request again with its own password, whoever it is said to be from.
    fn prove(&mut self, face: usize, at: SocketAddr, user: &str, text: &Text) -> Option<Blow> {
        let sent = self.lore.sent_under(text.via()?.branch)?.clone();
        if sent.extra.contains("Proxy-Authorization") {
            return None;
        }
        let line = proof::answer(text, (user, EVIL_PASSWORD), &sent.method, &sent.uri)?;
        let draft = Draft {
            cseq: sent.cseq + 1,
            extra: format!("{}{line}", sent.extra),
            ..sent
        };
        Some(self.keep(face, at, draft))
    }

    /// Sends a request that may be sent again, or acknowledged.
    fn keep(&mut self, face: usize, to: SocketAddr, draft: Draft) -> Blow {
        let blow = self.send(face, to, &draft);
        let branch = format!("z9hG4bK.evil.{}", self.serial);
        self.lore.sent.push((branch, draft));
        blow
    }

    /// A request has come to one of them: it answers as it likes.
    fn asked(&mut self, face: usize, from: SocketAddr, tcp: bool, text: &Text) -> Vec<Blow> {
        let method = text.method();
        if method == "ACK" {
            return Vec::new();
        }
        let stack = Stack {
            face,
            from,
            tcp,
            text: text.clone(),
        };
        self.lore.stacks.push(stack);
        let tag = match text.to_tag() {
            Some(_) => String::new(),
            None => {
                self.serial += 1;
                format!(";tag=m{}", self.serial)
            }
        };
        let lot = self.dice.below(10);
        let (status, body) = match (method, lot) {
            ("INVITE", 0) => ("486 Busy Here", String::new()),
            ("INVITE", 1) => ("302 Moved", format!("Contact: <sip:x@{VICTIM};lr>\r\n")),
            ("INVITE", 2) => ("305 Use Proxy", self.anywhere_contact()),
            ("INVITE", 3) => return Vec::new(),
            _ => ("200 OK", self.contact(face)),
        };
        let identities = self.identities();
        let mut out = format!("SIP/2.0 {status}\r\n");
        for (name, value) in &text.headers {
            match &name[..] {
                "via" | "from" | "call-id" | "cseq" => out += &format!("{name}: {value}\r\n"),
                "to" => out += &format!("To: {value}{tag}\r\n"),
                _ => {}
            }
        }
        out += &self.record_routes(text);
        out += &format!("{body}{identities}Content-Length: 0\r\n\r\n");
        if method == "INVITE" && status.starts_with('2') && !tag.is_empty() {
            let routes = text.values("record-route").into_iter();
            self.lore.enter(Dialog {
                face,
                call_id: text.call_id().to_owned(),
                local: format!("{}{tag}", text.first("to").unwrap_or_default()),
                remote: text.first("from").unwrap_or_default().to_owned(),
                routes: routes.map(str::to_owned).collect(),
                target: uri_of(text.first("contact").unwrap_or_default()).to_owned(),
                cseq: 0,
                at: from,
            });
        }
        vec![Blow {
            face,
            from: self.cast.rogues[face].addr,
            tcp,
            to: from,
            after: self.dice.millis(1, 900),
            bytes: out.into_bytes(),
        }]
    }
}
