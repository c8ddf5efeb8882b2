//! Attackers: some have an account and some have none. Every mark, token and tag that ever
//! came to one of them is known to all of them, and used in what they forge.
//!
//! Here is what they do as any phone: register, call, answer. `attacks` has what they
//! forge, `observed` what they know.

mod attacks;
mod observed;
mod values;

use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::cast::{Cast, EVIL_PASSWORD, VICTIM};
use super::dice::Dice;
use super::judge::VISIT;
use super::proof;
use super::text::{Text, uri_of};
use observed::{Dialog, Observed, Stack};

/// How their Call-IDs begin.
pub(crate) const ATTACKER_CALL_ID: &str = "evil";

/// A message that an attacker sends.
#[derive(Clone, Debug)]
pub(crate) struct AttackMessage {
    /// The index of its sender.
    pub(crate) attacker: usize,
    /// The address that it claims to come from; over TCP its own.
    pub(crate) from: SocketAddr,
    pub(crate) tcp: bool,
    pub(crate) to: SocketAddr,
    pub(crate) after: Duration,
    pub(crate) bytes: Vec<u8>,
}

/// All attackers of a run.
pub(crate) struct Attackers {
    cast: Cast,
    dice: Dice,
    serial: u32,
    observed: Observed,
    each: Vec<Attacker>,
    is_quiet: bool,
}

/// The state of one attacker.
#[derive(Clone, Debug, Default)]
struct Attacker {
    /// When it is to register again.
    due: Option<Instant>,
    cseq: u32,
    service_route: Vec<String>,
    /// The edge it registers at.
    edge: usize,
}

/// A request in parts, as an attacker writes it.
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

impl Attackers {
    pub(crate) fn new(cast: Cast, mut dice: Dice) -> Self {
        let attacker = |_| Attacker {
            edge: dice.index(cast.edges.len()),
            ..Attacker::default()
        };
        let attackers = (0..cast.attackers.len()).map(attacker).collect();
        Self {
            cast,
            dice,
            serial: 0,
            observed: Observed::default(),
            each: attackers,
            is_quiet: false,
        }
    }

    pub(crate) const fn quiet(&mut self) {
        self.is_quiet = true;
    }

    /// One of them does something.
    pub(crate) fn act(&mut self, now: Instant, attacker: usize) -> Vec<AttackMessage> {
        let is_due = self.each[attacker].due.is_none_or(|due| due <= now);
        if let Some(user) = self.cast.attackers[attacker].user.clone()
            && is_due
        {
            self.each[attacker].due = Some(now + Duration::from_secs(20));
            return vec![self.register(attacker, &user, "")];
        }
        self.attack(attacker)
    }

    /// Somebody from elsewhere calls through an edge: for help, or a subscriber
    /// where the edges let strangers do so.
    pub(crate) fn call_as_visitor(&mut self, edge: SocketAddr, uri: &str) -> Vec<AttackMessage> {
        let attacker = self.cast.attackers.len() - 1;
        self.serial += 1;
        let draft = Draft {
            method: "INVITE".to_owned(),
            uri: uri.to_owned(),
            from: format!("<sip:visitor@elsewhere.example>;tag=g{}", self.serial),
            to: format!("<{uri}>"),
            call_id: format!("{VISIT}-{}", self.serial),
            cseq: 1,
            extra: self.contact(attacker),
            ..Draft::default()
        };
        let message = self.send(attacker, edge, &draft);
        if message.tcp {
            return vec![message];
        }
        let again = |wait_ms| AttackMessage {
            after: Duration::from_millis(wait_ms),
            ..message.clone()
        };
        [0, 500, 1_500, 3_500, 7_500, 15_500].map(again).into()
    }

    fn contact(&self, attacker: usize) -> String {
        let setup = &self.cast.attackers[attacker];
        let transport = if setup.tcp { ";transport=tcp" } else { "" };
        format!("Contact: <sip:m{attacker}@{}{transport}>\r\n", setup.addr)
    }

    /// From its own address, by its own transport.
    fn send(&mut self, attacker: usize, to: SocketAddr, draft: &Draft) -> AttackMessage {
        let setup = self.cast.attackers[attacker].clone();
        self.send_as(attacker, setup.addr, (setup.tcp, to), draft)
    }

    fn send_as(
        &mut self,
        attacker: usize,
        from: SocketAddr,
        (tcp, to): (bool, SocketAddr),
        draft: &Draft,
    ) -> AttackMessage {
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
        AttackMessage {
            attacker,
            from,
            tcp,
            to,
            after: Duration::ZERO,
            bytes: text.into_bytes(),
        }
    }

    fn register(&mut self, attacker: usize, user: &str, line: &str) -> AttackMessage {
        let own = &mut self.each[attacker];
        own.cseq += 1;
        let (cseq, edge) = (own.cseq, self.cast.edges[own.edge]);
        let contact = self.contact(attacker);
        let contact = contact.trim_end();
        let extra = format!(
            "{contact};+sip.instance=\"<urn:uuid:evil{attacker}>\";reg-id=1\r\nSupported: path, outbound\r\n\
             Expires: 90\r\n{line}"
        );
        let draft = Draft {
            method: "REGISTER".to_owned(),
            uri: "sip:example.com".to_owned(),
            routes: vec!["<sip:edge.example.com;lr>".to_owned()],
            from: format!("<sip:{user}@example.com>;tag=r{attacker}"),
            to: format!("<sip:{user}@example.com>"),
            call_id: format!("{ATTACKER_CALL_ID}-reg-{attacker}"),
            cseq,
            extra,
            ..Draft::default()
        };
        self.send(attacker, edge, &draft)
    }

    /// A message has come to one of them.
    pub(crate) fn on_message(
        &mut self,
        attacker: usize,
        from: SocketAddr,
        tcp: bool,
        bytes: &[u8],
    ) -> Vec<AttackMessage> {
        let Some(text) = Text::read(bytes) else {
            return Vec::new();
        };
        self.observed.learn(&text);
        if self.is_quiet {
            return Vec::new();
        }
        if text.is_request() {
            self.on_request(attacker, from, tcp, &text)
        } else {
            self.on_response(attacker, from, &text)
        }
    }

    fn on_response(
        &mut self,
        attacker: usize,
        from: SocketAddr,
        text: &Text,
    ) -> Vec<AttackMessage> {
        let user = self.cast.attackers[attacker].user.clone();
        match (text.method(), text.status(), user) {
            ("REGISTER", 401, Some(user))
                if text.call_id() == format!("{ATTACKER_CALL_ID}-reg-{attacker}") =>
            {
                let login = (&user[..], EVIL_PASSWORD);
                let line = proof::answer(text, login, "REGISTER", "sip:example.com");
                line.map(|line| self.register(attacker, &user, &line))
                    .into_iter()
                    .collect()
            }
            ("REGISTER", 200, _) => {
                let routes = text.values("service-route").into_iter();
                self.each[attacker].service_route = routes.map(str::to_owned).collect();
                Vec::new()
            }
            ("INVITE", 200..300, _) => self.enter_dialog(attacker, from, text),
            ("INVITE", 300.., user) => {
                let mut messages: Vec<AttackMessage> =
                    self.ack_refusal(attacker, from, text).into_iter().collect();
                if let (407, Some(user)) = (text.status(), user) {
                    messages.extend(self.authorize(attacker, from, &user, text));
                }
                messages
            }
            (_, 407, Some(user)) => self
                .authorize(attacker, from, &user, text)
                .into_iter()
                .collect(),
            _ => Vec::new(),
        }
    }

    /// Enters a dialog that one of them has asked for, and acknowledges it.
    fn enter_dialog(&mut self, attacker: usize, at: SocketAddr, text: &Text) -> Vec<AttackMessage> {
        let routes = text.values("record-route");
        let dialog = Dialog {
            attacker,
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
        self.observed.enter(dialog);
        vec![self.send(attacker, at, &ack)]
    }

    /// The ACK of a refusal (RFC 3261 §17.1.1.3).
    fn ack_refusal(
        &mut self,
        attacker: usize,
        at: SocketAddr,
        text: &Text,
    ) -> Option<AttackMessage> {
        let sent = self.observed.sent_under(text.via()?.branch)?.clone();
        let draft = Draft {
            method: "ACK".to_owned(),
            to: text.first("to").unwrap_or_default().to_owned(),
            extra: String::new(),
            ..sent
        };
        let mut message = self.send(attacker, at, &draft);
        let own = format!("z9hG4bK.evil.{}", self.serial);
        let whole = String::from_utf8_lossy(&message.bytes).replace(&own, text.via()?.branch);
        message.bytes = whole.into_bytes();
        Some(message)
    }

    /// Sends a request again with its own password, whoever it is said to be from.
    fn authorize(
        &mut self,
        attacker: usize,
        at: SocketAddr,
        user: &str,
        text: &Text,
    ) -> Option<AttackMessage> {
        let sent = self.observed.sent_under(text.via()?.branch)?.clone();
        if sent.extra.contains("Proxy-Authorization") {
            return None;
        }
        let line = proof::answer(text, (user, EVIL_PASSWORD), &sent.method, &sent.uri)?;
        let draft = Draft {
            cseq: sent.cseq + 1,
            extra: format!("{}{line}", sent.extra),
            ..sent
        };
        Some(self.send_kept(attacker, at, draft))
    }

    /// Sends a request that may be sent again, or acknowledged.
    fn send_kept(&mut self, attacker: usize, to: SocketAddr, draft: Draft) -> AttackMessage {
        let message = self.send(attacker, to, &draft);
        let branch = format!("z9hG4bK.evil.{}", self.serial);
        self.observed.sent.push((branch, draft));
        message
    }

    /// A request has come to one of them: it answers as it likes.
    fn on_request(
        &mut self,
        attacker: usize,
        from: SocketAddr,
        tcp: bool,
        text: &Text,
    ) -> Vec<AttackMessage> {
        let method = text.method();
        if method == "ACK" {
            return Vec::new();
        }
        let stack = Stack {
            attacker,
            from,
            tcp,
            text: text.clone(),
        };
        self.observed.stacks.push(stack);
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
            ("INVITE", 2) => ("305 Use Proxy", self.forbidden_contact()),
            ("INVITE", 3) => return Vec::new(),
            _ => ("200 OK", self.contact(attacker)),
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
            self.observed.enter(Dialog {
                attacker,
                call_id: text.call_id().to_owned(),
                local: format!("{}{tag}", text.first("to").unwrap_or_default()),
                remote: text.first("from").unwrap_or_default().to_owned(),
                routes: routes.map(str::to_owned).collect(),
                target: uri_of(text.first("contact").unwrap_or_default()).to_owned(),
                cseq: 0,
                at: from,
            });
        }
        vec![AttackMessage {
            attacker,
            from: self.cast.attackers[attacker].addr,
            tcp,
            to: from,
            after: self.dice.millis(1, 900),
            bytes: out.into_bytes(),
        }]
    }
}
