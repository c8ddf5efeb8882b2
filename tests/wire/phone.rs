//! A phone as the tests play it: it writes its messages by hand.

use steadfast::digest::{self, Algorithm, Answered, Qop};

use super::world::World;

/// One phone at one UDP port.
pub(crate) struct Phone {
    name: &'static str,
    addr: &'static str,
    sticky: bool,
    /// The other edge of its set, after `register`.
    pub(crate) backup: String,
    routes: Vec<String>,
    remote: String,
    remote_target: String,
    local: String,
    call_id: String,
}

impl Phone {
    pub(crate) fn new(name: &'static str, addr: &'static str, sticky: bool) -> Self {
        Self {
            name,
            addr,
            sticky,
            backup: String::new(),
            routes: Vec::new(),
            remote: String::new(),
            remote_target: String::new(),
            local: String::new(),
            call_id: String::new(),
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
            .trim_end_matches('>');
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
        let (name, addr) = (self.name, self.addr);
        format!(
            "{method} {uri} SIP/2.0\nVia: SIP/2.0/UDP {addr};rport;branch=z9hG4bK{name}c{cseq}\n{routes}Max-Forwards: 70\n\
             From: <sip:{name}@example.com>;tag={name}\nTo: <{uri}>\nCall-ID: call-{name}\nCSeq: {cseq} {method}\n\
             Contact: <sip:{name}@{addr}>\nContent-Length: {}\n\n{body}",
            body.len()
        )
    }

    pub(crate) fn send(&self, world: &mut World, to: &str, text: &str) {
        world.send(self.addr, to, text);
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

    /// Answers a request it received.
    pub(crate) fn answer(
        &self,
        world: &mut World,
        edge: &str,
        request: &str,
        status: u16,
        reason: &str,
    ) {
        let mut out = format!("SIP/2.0 {status} {reason}\n");
        for line in request.split("\r\n") {
            let name = line.split(':').next().unwrap();
            if matches!(name, "Via" | "From" | "Call-ID" | "CSeq" | "Record-Route") {
                out += &format!("{line}\n");
            } else if name == "To" {
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
        world.send(self.addr, edge, &out);
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

    /// Sends a request of the dialog.
    pub(crate) fn in_dialog(&self, world: &mut World, edge: &str, method: &str, cseq: u32) {
        let routes: String = self
            .routes
            .iter()
            .map(|route| format!("Route: {route}\n"))
            .collect();
        let text = format!(
            "{method} {} SIP/2.0\nVia: SIP/2.0/UDP {};rport;branch=z9hG4bK{}d{method}{cseq}\n{routes}Max-Forwards: 70\n\
             From: {}\nTo: {}\nCall-ID: {}\nCSeq: {cseq} {method}\nContent-Length: 0\n\n",
            self.remote_target, self.addr, self.name, self.local, self.remote, self.call_id
        );
        world.send(self.addr, edge, &text);
    }

    /// All values of a header, in order.
    pub(crate) fn values(message: &str, name: &str) -> Vec<String> {
        let prefix = format!("{name}: ");
        let lines = message
            .split("\r\n")
            .filter_map(|line| line.strip_prefix(&prefix));
        lines
            .flat_map(|line| line.split(", "))
            .map(str::to_owned)
            .collect()
    }
}

/// Answers the MD5 challenge of a REGISTER.
pub(crate) fn authorization(name: &str, challenge: &str) -> String {
    let line = challenge
        .split("\r\n")
        .find(|line| line.starts_with("WWW-Authenticate") && line.contains("=MD5"));
    let line = line.unwrap_or_else(|| panic!("no challenge in {challenge}"));
    let nonce = line
        .split("nonce=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let ha1 = digest::ha1(Algorithm::Md5, name.as_bytes(), b"example.com", b"secret");
    let answered = Answered {
        nonce: nonce.as_bytes(),
        qop: Qop::Auth {
            nc: b"00000001",
            cnonce: b"xyz",
        },
        method: b"REGISTER",
        uri: b"sip:example.com",
    };
    let response = digest::response(Algorithm::Md5, ha1.as_bytes(), &answered);
    let response = std::str::from_utf8(response.as_bytes()).unwrap();
    format!(
        "Authorization: Digest username=\"{name}\", realm=\"example.com\", nonce=\"{nonce}\", uri=\"sip:example.com\", \
         response=\"{response}\", algorithm=MD5, qop=auth, nc=00000001, cnonce=\"xyz\"\n"
    )
}
