//! A phone as the tests play it: it writes its messages by hand.

use steadfast::digest::{self, Algorithm, DigestInput, Qop};

use super::world::World;

/// One phone at one UDP port.
pub(crate) struct Phone {
    pub(crate) name: &'static str,
    addr: &'static str,
    /// Of its address of record.
    domain: &'static str,
    sticky: bool,
    /// The other edge of its set, after `register`.
    pub(crate) backup: String,
    /// Its route set, in the order in which it writes it.
    pub(crate) routes: Vec<String>,
    remote: String,
    pub(crate) remote_target: String,
    local: String,
    pub(crate) call_id: String,
}

impl Phone {
    pub(crate) fn new(name: &'static str, addr: &'static str, sticky: bool) -> Self {
        Self {
            name,
            addr,
            domain: "example.com",
            sticky,
            backup: String::new(),
            routes: Vec::new(),
            remote: String::new(),
            remote_target: String::new(),
            local: String::new(),
            call_id: String::new(),
        }
    }

    /// Somebody of a domain that nobody here serves: he has no password here.
    pub(crate) fn foreign(name: &'static str, addr: &'static str) -> Self {
        Self {
            domain: "elsewhere.example",
            ..Self::new(name, addr, false)
        }
    }

    /// Registers through `edge`, and a sticky phone through its backup too.
    pub(crate) fn register(&mut self, world: &mut World, edge: &str) {
        let ok = self.register_flow(world, edge, "<sip:edge.example.com;lr>", 1);
        if !self.sticky {
            return;
        }
        let outbound = Self::values(&ok, "Outbound-Proxy").remove(0);
        let maddr = outbound
            .split("maddr=")
            .nth(1)
            .unwrap()
            .split(['>', ';'])
            .next()
            .unwrap();
        self.backup = format!("{maddr}:5060");
        let backup = self.backup.clone();
        self.register_flow(world, &backup, &outbound, 2);
    }

    fn register_flow(&self, world: &mut World, edge: &str, route: &str, reg_id: u32) -> String {
        let tags = if self.sticky {
            "path, outbound, alt-proxies"
        } else {
            "path"
        };
        let flow = if self.sticky {
            format!(
                ";+sip.instance=\"<urn:uuid:{}>\";reg-id={reg_id}",
                self.name
            )
        } else {
            String::new()
        };
        let (name, addr) = (self.name, self.addr);
        let request = |cseq: u32, extra: &str| {
            format!(
                "REGISTER sip:example.com SIP/2.0\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bK{name}r{reg_id}{cseq}\n\
                 Route: {route}\nMax-Forwards: 70\nFrom: <sip:{name}@example.com>;tag=f\nTo: <sip:{name}@example.com>\n\
                 Call-ID: reg-{name}-{reg_id}\nCSeq: {cseq} REGISTER\nContact: <sip:{name}@{addr}>{flow}\n\
                 Supported: {tags}\n{extra}Content-Length: 0\n\n"
            )
        };
        world.send(addr, edge, &request(1, ""));
        if !world.has(addr) {
            // An unproven source is asked for its password when it tries again.
            world.pass(steadfast::limits::T1);
            world.send(addr, edge, &request(1, ""));
        }
        let challenge = self.receive(world);
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        world.send(addr, edge, &request(2, &authorization(name, &challenge)));
        let ok = self.receive(world);
        assert!(ok.starts_with("SIP/2.0 200 "), "{ok}");
        ok
    }

    /// A request that stands for itself.
    pub(crate) fn request(
        &self,
        method: &str,
        uri: &str,
        cseq: u32,
        routes: &str,
        body: &str,
    ) -> String {
        let (name, addr, domain) = (self.name, self.addr, self.domain);
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bK{name}c{cseq}\n{routes}Max-Forwards: 70\n\
             From: <sip:{name}@{domain}>;tag={name}\nTo: <{uri}>\nCall-ID: call-{name}\nCSeq: {cseq} {method}\n\
             Contact: <sip:{name}@{addr}>\nContent-Length: {}\n\n{body}",
            body.len()
        )
    }

    pub(crate) fn send(&self, world: &mut World, to: &str, text: &str) {
        world.send(self.addr, to, text);
    }

    /// The 180 to what it has sent, past answers that say less.
    #[track_caller]
    pub(crate) fn ringing(&self, world: &mut World) -> String {
        loop {
            let text = self.receive(world);
            if text.starts_with("SIP/2.0 180 ") {
                return text;
            }
        }
    }

    #[track_caller]
    pub(crate) fn receive(&self, world: &mut World) -> String {
        world.receive(self.addr).text
    }

    /// The status of the next message, which must be a response.
    #[track_caller]
    pub(crate) fn status(&self, world: &mut World) -> u16 {
        let text = self.receive(world);
        let status = text.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(..3));
        status
            .unwrap_or_else(|| panic!("not a response: {text}"))
            .parse()
            .unwrap()
    }

    /// Where it is.
    pub(crate) const fn addr(&self) -> &'static str {
        self.addr
    }

    /// Answers a request with a redirect.
    pub(crate) fn redirect(&self, world: &mut World, edge: &str, request: &str, contact: &str) {
        let ours = format!("Contact: <sip:{}@{}>", self.name, self.addr);
        let answer = self.response(request, 302, "Moved");
        world.send(
            self.addr,
            edge,
            &answer.replace(&ours, &format!("Contact: {contact}")),
        );
    }

    /// Answers a request it received.
    pub(crate) fn answer(
        &self,
        world: &mut World,
        edge: &str,
        request: &str,
        status: u16,
        reason: &str,
    ) {
        world.send(self.addr, edge, &self.response(request, status, reason));
    }

    pub(crate) fn response(&self, request: &str, status: u16, reason: &str) -> String {
        let mut out = format!("SIP/2.0 {status} {reason}\n");
        for line in request.split("\r\n") {
            let name = line.split(':').next().unwrap();
            if matches!(
                name,
                "Via" | "v" | "From" | "f" | "Call-ID" | "i" | "CSeq" | "Record-Route"
            ) {
                out += &format!("{line}\n");
            } else if matches!(name, "To" | "t") {
                let tag = if line.contains(";tag=") || status == 100 {
                    String::new()
                } else {
                    format!(";tag={}", self.name)
                };
                out += &format!("{line}{tag}\n");
            }
        }
        out += &format!(
            "Contact: <sip:{}@{}>\nContent-Length: 0\n\n",
            self.name, self.addr
        );
        out
    }

    /// Enters the dialog that `message` made: a 2xx for the caller, the INVITE
    /// for the called.
    pub(crate) fn dialog(&mut self, message: &str, caller: bool) {
        self.routes = Self::values(message, "Record-Route");
        if caller {
            self.routes.reverse();
        }
        let value = |name: &str| Self::values(message, name).remove(0);
        let (from, to) = (value("From"), value("To"));
        let to = if to.contains(";tag=") {
            to
        } else {
            format!("{to};tag={}", self.name)
        };
        (self.local, self.remote) = if caller { (from, to) } else { (to, from) };
        self.remote_target = value("Contact").trim_matches(['<', '>']).to_owned();
        self.call_id = value("Call-ID");
    }

    /// Enters the dialog that another phone is in, with all that it knows of it.
    pub(crate) fn enter(&mut self, other: &Self) {
        self.routes.clone_from(&other.routes);
        self.local.clone_from(&other.local);
        self.remote.clone_from(&other.remote);
        self.remote_target.clone_from(&other.remote_target);
        self.call_id.clone_from(&other.call_id);
    }

    /// Sends a request of the dialog.
    pub(crate) fn in_dialog(&self, world: &mut World, edge: &str, method: &str, cseq: u32) {
        self.in_dialog_with(world, edge, (method, cseq), "");
    }

    /// Sends a request within the dialog, with further header lines.
    pub(crate) fn in_dialog_with(
        &self,
        world: &mut World,
        edge: &str,
        what: (&str, u32),
        lines: &str,
    ) {
        world.send(self.addr, edge, &self.of_dialog(what, lines));
    }

    fn of_dialog(&self, (method, cseq): (&str, u32), lines: &str) -> String {
        let routes: String = self
            .routes
            .iter()
            .map(|route| format!("Route: {route}\n"))
            .collect();
        format!(
            "{method} {} SIP/2.0\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bK{}d{method}{cseq}\n{routes}Max-Forwards: 70\n\
             From: {}\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\n{lines}Content-Length: 0\n\n",
            self.remote_target, self.addr, self.name, self.local, self.remote, self.call_id
        )
    }

    /// The last value of its route set: the far side's edge.
    pub(crate) fn route_to_far_edge(&self) -> String {
        self.routes.last().unwrap().clone()
    }

    /// The number behind the first `name` in a message, which must be at most
    /// `whole` and less by no more than a part of `parts` of it.
    #[track_caller]
    pub(crate) fn shortened(message: &str, name: &str, whole: u32, parts: u32) -> u32 {
        let found = message.split(name).nth(1);
        let found = found.unwrap_or_else(|| panic!("no {name} in {message}"));
        let digits = found.split(|next: char| !next.is_ascii_digit()).next();
        let number = digits.unwrap().parse().unwrap();
        let range = whole - whole / parts..=whole;
        assert!(range.contains(&number), "{name}{number}, not in {range:?}");
        number
    }

    /// All values of a header, in order, by its name or its compact form (RFC 3261 §7.3.3).
    pub(crate) fn values(message: &str, name: &str) -> Vec<String> {
        let compact = match name {
            "Via" => "v",
            "From" => "f",
            "To" => "t",
            "Call-ID" => "i",
            "Contact" => "m",
            "Supported" => "k",
            _ => name,
        };
        let lines = message.split("\r\n");
        let lines = lines.filter_map(|line| {
            let (spelled, value) = line.split_once(": ")?;
            [name, compact].contains(&spelled).then_some(value)
        });
        lines
            .flat_map(|line| line.split(", "))
            .map(str::to_owned)
            .collect()
    }
}

/// Answers the MD5 challenge of a REGISTER.
pub(crate) fn authorization(name: &str, challenge: &str) -> String {
    Login::new(name).answer(challenge)
}

/// How a phone answers a challenge.
pub(crate) struct Login<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    pub(crate) algorithm: Algorithm,
    pub(crate) nc: &'a str,
    pub(crate) method: &'a str,
    pub(crate) uri: &'a str,
}

impl<'a> Login<'a> {
    pub(crate) fn new(user: &'a str) -> Self {
        Self {
            user,
            password: "secret",
            algorithm: Algorithm::Md5,
            nc: "00000001",
            method: "REGISTER",
            uri: "sip:example.com",
        }
    }

    /// The Authorization line for the nonce of `challenge`.
    pub(crate) fn answer(&self, challenge: &str) -> String {
        let token = format!("algorithm={},", self.algorithm.name());
        let mut lines = challenge.split("\r\n");
        let line = lines.find(|line| line.starts_with("WWW-Authenticate") && line.contains(&token));
        let line = line.unwrap_or_else(|| panic!("no {token} in {challenge}"));
        self.with_nonce(
            line.split("nonce=\"")
                .nth(1)
                .unwrap()
                .split('"')
                .next()
                .unwrap(),
        )
    }

    /// The Proxy-Authorization line for the nonce of a proxy's `challenge`.
    #[track_caller]
    pub(crate) fn answer_proxy(&self, challenge: &str) -> String {
        assert!(challenge.starts_with("SIP/2.0 407 "), "{challenge}");
        let as_registrar = challenge.replace("Proxy-Authenticate", "WWW-Authenticate");
        format!("Proxy-{}", self.answer(&as_registrar))
    }

    /// The Authorization line for a nonce.
    pub(crate) fn with_nonce(&self, nonce: &str) -> String {
        let Self { user, nc, uri, .. } = self;
        let password = self.password.as_bytes();
        let ha1 = digest::ha1(self.algorithm, user.as_bytes(), b"example.com", password);
        let answered = DigestInput {
            nonce: nonce.as_bytes(),
            qop: Qop::Auth {
                nc: nc.as_bytes(),
                cnonce: b"xyz",
            },
            method: self.method.as_bytes(),
            uri: uri.as_bytes(),
        };
        let response = digest::response(self.algorithm, ha1.as_bytes(), &answered);
        let response = std::str::from_utf8(response.as_bytes()).unwrap();
        let token = self.algorithm.name();
        format!(
            "Authorization: Digest username=\"{user}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm={token}, qop=auth, nc={nc}, cnonce=\"xyz\"\n"
        )
    }
}

/// One REGISTER, written by hand.
#[derive(Clone)]
pub(crate) struct Register<'a> {
    pub(crate) user: &'a str,
    /// Where the phone is.
    pub(crate) from: &'a str,
    pub(crate) uri: &'a str,
    /// Its Route value; empty: none.
    pub(crate) route: String,
    pub(crate) call_id: &'a str,
    pub(crate) cseq: u32,
    /// Contact, Supported, Expires and the like.
    pub(crate) lines: String,
}

impl<'a> Register<'a> {
    /// A plain phone's, through the cluster.
    pub(crate) fn new(user: &'a str, from: &'a str) -> Self {
        Self {
            user,
            from,
            uri: "sip:example.com",
            route: "<sip:edge.example.com;lr>".to_owned(),
            call_id: "reg",
            cseq: 0,
            lines: format!("Contact: <sip:{user}@{from}>\n"),
        }
    }

    /// Sends it with the next CSeq; what comes back.
    #[track_caller]
    pub(crate) fn send(&mut self, world: &mut World, to: &str, credentials: &str) -> String {
        self.ask(world, to, credentials);
        world.receive(self.from).text
    }

    /// Sends it with the next CSeq; the text that was sent.
    pub(crate) fn ask(&mut self, world: &mut World, to: &str, credentials: &str) -> String {
        self.cseq += 1;
        let (user, from, cseq) = (self.user, self.from, self.cseq);
        let route = match &self.route[..] {
            "" => String::new(),
            route => format!("Route: {route}\n"),
        };
        let text = format!(
            "REGISTER {} SIP/2.0\nVia: SIP/2.0/UDP {from};rport;branch=z9hG4bK{user}{}{cseq}\n{route}Max-Forwards: 70\n\
             From: <sip:{user}@example.com>;tag=f\nTo: <sip:{user}@example.com>\nCall-ID: {}\nCSeq: {cseq} REGISTER\n\
             {}{credentials}Content-Length: 0\n\n",
            self.uri, self.call_id, self.call_id, self.lines
        );
        world.send(from, to, &text);
        text
    }

    /// Sends it, answers the challenge and gives the answer to that.
    #[track_caller]
    pub(crate) fn login(&mut self, world: &mut World, to: &str) -> String {
        let challenge = self.send(world, to, "");
        assert!(challenge.starts_with("SIP/2.0 401 "), "{challenge}");
        self.send(world, to, &authorization(self.user, &challenge))
    }
}
