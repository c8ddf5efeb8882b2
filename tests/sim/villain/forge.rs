//! The attacks.

use std::net::SocketAddr;

use steadfast::time::Duration;

use super::lore::{Dialog, any};
use super::{Blow, Draft, EVIL, Gang};
use crate::cast::VICTIM;
use crate::text::{Text, param, uri_of};

/// What a villain puts behind an address in place of a tag.
const TAGS: [&str; 8] = [
    ";tag=",
    ";tag=\"\"",
    ";tag=\"x\"",
    ";tag",
    ";tag=a;tag=b",
    ";TAG=forged",
    ";tag=forged",
    " ; tag = \"a b\"",
];
const METHODS: [&str; 9] = [
    "INVITE",
    "MESSAGE",
    "OPTIONS",
    "REFER",
    "SUBSCRIBE",
    "NOTIFY",
    "BYE",
    "UPDATE",
    "INFO",
];

impl Gang {
    pub(super) fn attack(&mut self, face: usize) -> Vec<Blow> {
        let is_known = self.cast.rogues[face].user.is_some();
        match self.dice.below(17) {
            0 | 1 if is_known => vec![self.honest_call(face)],
            0..6 => self.mangle().into_iter().collect(),
            6 => vec![self.theft(face)],
            7 => vec![self.detour(face)],
            8 => vec![self.other_port(face)],
            9 | 10 => vec![self.mask(face)],
            11 => vec![self.forged_source(face)],
            12 => vec![self.foreigner(face)],
            13 => self.crossfire(),
            14 => vec![self.false_binding(face)],
            15 => vec![self.disguise(face)],
            _ => self.hang_up().into_iter().collect(),
        }
    }

    fn node(&mut self) -> SocketAddr {
        let cast = &self.cast;
        let nodes: Vec<SocketAddr> = cast.homes.iter().chain(&cast.edges).copied().collect();
        nodes[self.dice.index(nodes.len())]
    }

    fn edge(&mut self) -> SocketAddr {
        self.cast.edges[self.dice.index(self.cast.edges.len())]
    }

    /// A subscriber.
    fn user(&mut self) -> String {
        let phones = &self.cast.phones;
        phones[self.dice.index(phones.len())].user.clone()
    }

    fn method(&mut self) -> String {
        // What rings is worth most.
        let lot = self.dice.index(METHODS.len() + 4);
        METHODS.get(lot).unwrap_or(&"INVITE").to_string()
    }

    /// An address that nothing may be sent to, and some to which it may not be.
    fn anywhere(&mut self) -> String {
        let (home, edge) = (self.cast.homes[0].ip(), self.cast.edges[0].ip());
        let other = self.edge().ip();
        match self.dice.below(12) {
            0 => "127.0.0.1:6379".to_owned(),
            1 => format!("{home}:6379"),
            2 => format!("{edge}:1900"),
            3 => format!("{other}:22"),
            4 => "169.254.169.254:80".to_owned(),
            5 => "10.0.9.9:5060".to_owned(),
            6 => "224.0.1.75:5060".to_owned(),
            7 => "0.0.0.0:5060".to_owned(),
            8 => format!("{home}:1900"),
            _ => format!("{VICTIM}:5060"),
        }
    }

    pub(super) fn anywhere_contact(&mut self) -> String {
        let lr = if self.dice.permille(500) { ";lr" } else { "" };
        format!("Contact: <sip:x@{}{lr}>\r\n", self.anywhere())
    }

    fn hostile_uri(&mut self) -> String {
        let (address, user) = (self.anywhere(), self.user());
        let home = self.cast.homes[0];
        let (host, port) = address.rsplit_once(':').unwrap();
        match self.dice.below(8) {
            0 => format!("sip:x@{address}"),
            1 => format!("sip:x@{address};transport=tcp"),
            2 => format!("sip:{user}@example.com;maddr={host}"),
            3 => format!("sip:{user}@example.com:{port};maddr={host};transport=tcp"),
            4 => format!("sip:x@elsewhere.example;maddr={}", home.ip()),
            5 => format!("sip:{user}@example.com:{port};maddr={}", home.ip()),
            6 => format!("sip:{address};lr"),
            _ => format!("sip:{user}@{}:{port}", home.ip()),
        }
    }

    /// A Route value out of any of the shapes.
    fn hostile_route(&mut self) -> String {
        let address = self.anywhere();
        let edge = self.edge();
        let known = any(&self.lore.values, &mut self.dice).cloned();
        let other = any(&self.lore.values, &mut self.dice).cloned();
        let transport = if self.dice.permille(300) {
            ";transport=tcp"
        } else {
            ""
        };
        match (self.dice.below(9), known) {
            (0, _) => "<sip:example.com;lr>".to_owned(),
            (1, _) => "<sip:edge.example.com;lr>".to_owned(),
            (2, _) => format!("<sip:{edge};lr>"),
            (3 | 4, _) => format!("<sip:{address};lr{transport}>"),
            (5, _) => format!("<sip:evil@edge.example.com;lr;maddr={VICTIM}>"),
            (6, Some(known)) => remark(&known, other.as_deref().and_then(mark)),
            (_, Some(known)) => known,
            (_, None) => "<sip:u1+e1+e2+x@edge.example.com;lr>".to_owned(),
        }
    }

    /// Headers that only the trust domain may write, some of them.
    pub(super) fn identities(&mut self) -> String {
        let user = self.user();
        let all = [
            format!("P-Asserted-Identity: <sip:{user}@example.com>\r\n"),
            format!("P-Asserted-Identity: \"Boss\" <sip:{user}@example.com>, <tel:+1>\r\n"),
            format!("p-preferred-identity : <sip:{user}@example.com>\r\n"),
            format!("Remote-Party-ID: <sip:{user}@example.com>;party=calling\r\n"),
            "P-Charging-Vector: icid-value=1\r\n".to_owned(),
            "P-Charging-Function-Addresses: ccf=1\r\n".to_owned(),
            "P-Access-Network-Info: 3GPP\r\n".to_owned(),
            "P-Visited-Network-ID: other\r\n".to_owned(),
            "Feature-Caps: *;+x\r\n".to_owned(),
            "Privacy: id\r\n".to_owned(),
            "Privacy: id\r\n".to_owned(),
            "Priority: emergency\r\n".to_owned(),
        ];
        let mut out = String::new();
        for line in all {
            if self.dice.permille(180) {
                out += &line;
            }
        }
        out
    }

    /// The Record-Route of an answer: as it came, or worse.
    pub(super) fn record_routes(&mut self, text: &Text) -> String {
        let mut values: Vec<String> = text
            .values("record-route")
            .into_iter()
            .map(str::to_owned)
            .collect();
        let address = self.anywhere();
        match self.dice.below(8) {
            0 => values.insert(0, format!("<sip:{address};lr>")),
            1 if !values.is_empty() => values[0] = format!("<sip:{VICTIM};lr>"),
            2 if values.len() > 1 => {
                values.remove(0);
            }
            _ => {}
        }
        let lines = values
            .iter()
            .map(|value| format!("Record-Route: {value}\r\n"));
        lines.collect()
    }

    fn call_id(&mut self) -> String {
        self.serial += 1;
        format!("{EVIL}-{}", self.serial)
    }

    /// A tag, or what might be taken for one.
    fn false_tag(&mut self) -> &'static str {
        if self.dice.permille(500) {
            return "";
        }
        TAGS[self.dice.index(TAGS.len())]
    }

    /// Something to begin, from somebody to a subscriber.
    fn fresh(&mut self, from: &str) -> Draft {
        let (method, uri) = (self.method(), format!("sip:{}@example.com", self.user()));
        let call_id = self.call_id();
        let tag = self.serial;
        Draft {
            method,
            from: format!("<{from}>;tag=f{tag}"),
            to: format!("<{uri}>"),
            uri,
            call_id,
            cseq: 1,
            extra: self.identities(),
            ..Draft::default()
        }
    }

    fn own_uri(&self, face: usize) -> String {
        let user = self.cast.rogues[face].user.as_deref();
        let domain = if user.is_some() {
            "example.com"
        } else {
            "elsewhere.example"
        };
        format!("sip:{}@{domain}", user.unwrap_or("mallory"))
    }

    /// A call as anybody makes it: so one learns marks and tokens. To a subscriber,
    /// or to another villain who is in it.
    fn honest_call(&mut self, face: usize) -> Blow {
        let from = self.own_uri(face);
        let mut draft = self.fresh(&from);
        draft.method = "INVITE".to_owned();
        if self.dice.permille(400) {
            draft.uri = format!("sip:v{}@example.com", 1 + self.dice.below(2));
            draft.to = format!("<{}>", draft.uri);
        }
        draft.routes.clone_from(&self.faces[face].service_route);
        if self.dice.permille(300) {
            draft.extra += &format!("Record-Route: <sip:{};lr>\r\n", self.anywhere());
        }
        draft.extra += &if self.dice.permille(200) {
            self.anywhere_contact()
        } else {
            self.contact(face)
        };
        let edge = self.cast.edges[self.faces[face].edge];
        self.keep(face, edge, draft)
    }

    /// The own side of a dialog, with something changed, or at another node, or
    /// from another address.
    fn mangle(&mut self) -> Option<Blow> {
        let dialog = any(&self.lore.dialogs, &mut self.dice)?.clone();
        let mut draft = dialog.draft();
        draft.method = self.method();
        draft.cseq += u32::try_from(self.dice.below(50)).unwrap();
        draft.extra = self.identities();
        let contact = self.contact(dialog.face);
        draft.extra += &contact;
        for _ in 0..1 + self.dice.below(2) {
            self.spoil(&mut draft);
        }
        let face = if self.dice.permille(700) {
            dialog.face
        } else {
            self.dice.index(self.faces.len())
        };
        let to = match self.dice.below(3) {
            0 => dialog.at,
            1 => self.node(),
            _ => first_hop(&draft).unwrap_or(dialog.at),
        };
        // Nobody sends to what is no node.
        let to = if self.cast.is_node(to.ip()) {
            to
        } else {
            self.edge()
        };
        Some(self.send(face, to, &draft))
    }

    fn spoil(&mut self, draft: &mut Draft) {
        let address = self.anywhere();
        let len = draft.routes.len();
        let pick = self.dice.index(len.max(1));
        let known = any(&self.lore.values, &mut self.dice).cloned();
        match self.dice.below(14) {
            0 => draft.routes.push(format!("<sip:{address};lr>")),
            1 if len > 0 => draft.routes[len - 1] = format!("<sip:{address};lr>"),
            2 if len > 0 => draft.routes.truncate(pick),
            3 if len > 0 => {
                draft.routes.remove(pick);
            }
            4 if len > 0 => draft.routes.insert(pick, self.hostile_route()),
            5 if len > 0 => {
                let other = known.as_deref().and_then(mark);
                draft.routes[pick] = remark(&draft.routes[pick], other);
            }
            6 if len > 0 => draft.routes[pick] = known.unwrap_or_default(),
            7 => std::mem::swap(&mut draft.from, &mut draft.to),
            8 => draft.call_id = self.call_id(),
            9 => draft.uri = self.hostile_uri(),
            10 => {
                let contact = any(&self.lore.contacts, &mut self.dice).cloned();
                draft.uri = contact.unwrap_or_default();
            }
            11 => {
                let bare = draft.to.split(";tag").next().unwrap_or_default();
                draft.to = format!("{bare}{}", TAGS[self.dice.index(TAGS.len())]);
            }
            12 => {
                let bare = draft.from.split(";tag").next().unwrap_or_default();
                draft.from = format!("{bare};tag=another");
            }
            _ => {
                draft.from = draft.from.replace("sip:", "sip:x");
            }
        }
        draft.routes.retain(|route| !route.is_empty());
        if draft.uri.is_empty() {
            draft.uri = format!("sip:x@{address}");
        }
    }

    /// Straight to a phone's edge by a token that everybody in a call could read.
    fn theft(&mut self, face: usize) -> Blow {
        let from = self.own_uri(face);
        let mut draft = self.fresh(&from);
        let values: Vec<String> = (self.lore.values.iter())
            .filter(|value| value.contains('@'))
            .cloned()
            .collect();
        let token = any(&values, &mut self.dice).cloned();
        draft.routes = token.into_iter().collect();
        if self.dice.permille(300) {
            draft.routes.insert(0, self.hostile_route());
        }
        if let Some(contact) = any(&self.lore.contacts, &mut self.dice) {
            draft.uri.clone_from(contact);
        }
        draft.to += self.false_tag();
        draft.extra += &self.contact(face);
        let edge = self.node();
        self.keep(face, edge, draft)
    }

    /// The home, the cluster, and then somebody else.
    fn detour(&mut self, face: usize) -> Blow {
        let from = self.own_uri(face);
        let mut draft = self.fresh(&from);
        draft.routes = vec![
            "<sip:example.com;lr>".to_owned(),
            "<sip:edge.example.com;lr>".to_owned(),
        ];
        if self.dice.permille(500) {
            draft.routes.remove(self.dice.index(2));
        }
        for _ in 0..1 + self.dice.below(3) {
            draft.routes.push(self.hostile_route());
        }
        draft.to += self.false_tag();
        draft.extra += &self.contact(face);
        let to = self.node();
        self.keep(face, to, draft)
    }

    /// Addresses of the cluster at ports that are not its own.
    fn other_port(&mut self, face: usize) -> Blow {
        let from = self.own_uri(face);
        let mut draft = self.fresh(&from);
        draft.uri = self.hostile_uri();
        if self.dice.permille(300) {
            draft.routes.push(self.hostile_route());
        }
        if self.dice.permille(300) {
            draft.via = format!(";received={VICTIM};maddr={VICTIM};guest;loose;keep");
        }
        draft.to += self.false_tag();
        let to = self.node();
        self.keep(face, to, draft)
    }

    /// As somebody else, with one's own password when asked.
    fn mask(&mut self, face: usize) -> Blow {
        let from = format!("sip:{}@example.com", self.user());
        let mut draft = self.fresh(&from);
        if self.dice.permille(300) {
            draft.routes.clone_from(&self.faces[face].service_route);
        }
        if self.dice.permille(200) {
            draft.uri = "urn:service:sos.police".to_owned();
        }
        draft.to += self.false_tag();
        draft.via = if self.dice.permille(500) {
            ";guest".to_owned()
        } else {
            String::new()
        };
        draft.extra += &self.contact(face);
        let to = match self.dice.below(3) {
            0 => self.node(),
            1 => self.edge(),
            _ => self.cast.edges[self.faces[face].edge],
        };
        self.keep(face, to, draft)
    }

    /// A datagram from a subscriber's address, in his name or in another one.
    fn forged_source(&mut self, face: usize) -> Blow {
        let phones = self.cast.phones.iter().filter(|phone| !phone.tcp);
        let phones: Vec<_> = phones.cloned().collect();
        let Some(phone) = any(&phones, &mut self.dice).cloned() else {
            return self.mask(face);
        };
        let name = if self.dice.permille(600) {
            phone.user.clone()
        } else {
            self.user()
        };
        let mut draft = self.fresh(&format!("sip:{name}@example.com"));
        if let Some(dialog) = any(&self.lore.dialogs, &mut self.dice)
            && self.dice.permille(400)
        {
            let method = draft.method;
            draft = Draft {
                method,
                ..dialog.draft()
            };
        }
        if self.dice.permille(300) {
            draft.routes.push(self.hostile_route());
        }
        draft.extra += &self.contact(face);
        let to = self.edge();
        self.send_as(face, phone.addr, (false, to), &draft)
    }

    /// A datagram from where a node lives, but from none of its ports.
    fn disguise(&mut self, face: usize) -> Blow {
        let from = format!("sip:{}@example.com", self.user());
        let mut draft = self.fresh(&from);
        draft.via = ";guest;oc;keep".to_owned();
        if self.dice.permille(500) {
            draft.routes.push(self.hostile_route());
        }
        draft.to += self.false_tag();
        draft.extra += &format!("P-Asserted-Identity: <{from}>\r\n");
        draft.extra += &self.contact(face);
        let mut as_node = self.node();
        as_node.set_port(7_000 + u16::try_from(self.dice.below(1_000)).unwrap());
        let to = self.node();
        self.send_as(face, as_node, (false, to), &draft)
    }

    /// From another domain.
    fn foreigner(&mut self, face: usize) -> Blow {
        let mut draft = self.fresh("sip:mallory@elsewhere.example");
        if self.dice.permille(500) {
            draft.method = "INVITE".to_owned();
        }
        if self.dice.permille(300) {
            draft.extra += &format!("Record-Route: <sip:{};lr>\r\n", self.anywhere());
        }
        draft.extra += &if self.dice.permille(200) {
            self.anywhere_contact()
        } else {
            self.contact(face)
        };
        let to = self.node();
        self.keep(face, to, draft)
    }

    /// Answers and CANCELs where they do not belong: to any of the proxies that
    /// a request came through, by the Vias that it showed.
    fn crossfire(&mut self) -> Vec<Blow> {
        let Some(stack) = any(&self.lore.stacks, &mut self.dice).cloned() else {
            return Vec::new();
        };
        let text = &stack.text;
        let vias = text.values("via");
        let from = self.dice.index(vias.len());
        let addr = crate::text::Via::read(vias[from]).and_then(|via| via.addr());
        let Some(addr) = addr.filter(|addr| self.cast.is_node(addr.ip())) else {
            return Vec::new();
        };
        let cancels = self.dice.permille(300) && from + 1 < vias.len();
        let method = if cancels { "CANCEL" } else { text.method() };
        let mut out = if cancels {
            format!("CANCEL {} SIP/2.0\r\n", text.uri())
        } else {
            let status = ["200 OK", "180 Ringing", "603 Decline", "302 Moved"];
            format!("SIP/2.0 {}\r\n", status[self.dice.index(status.len())])
        };
        // A CANCEL has the Via of whoever sent the request there.
        let until = if cancels { from + 2 } else { vias.len() };
        for via in &vias[from + usize::from(cancels)..until] {
            out += &format!("Via: {via}\r\n");
        }
        for name in ["from", "call-id"] {
            out += &format!("{name}: {}\r\n", text.first(name).unwrap_or_default());
        }
        let tag = if cancels || text.to_tag().is_some() {
            ""
        } else {
            ";tag=crossfire"
        };
        out += &format!("To: {}{tag}\r\n", text.first("to").unwrap_or_default());
        out += &format!("CSeq: {} {method}\r\n", text.cseq());
        if !cancels {
            out += &self.record_routes(text);
            out += &self.anywhere_contact();
            out += &self.identities();
        }
        out += "Content-Length: 0\r\n\r\n";
        vec![Blow {
            face: stack.face,
            from: self.cast.rogues[stack.face].addr,
            tcp: stack.tcp && addr == stack.from,
            to: addr,
            after: Duration::ZERO,
            bytes: out.into_bytes(),
        }]
    }

    /// A binding of somebody else, or one that leads elsewhere.
    fn false_binding(&mut self, face: usize) -> Blow {
        let (victim, own) = (self.user(), self.own_uri(face));
        let to = self.node();
        let aor = if self.dice.permille(500) {
            format!("sip:{victim}@example.com")
        } else {
            own
        };
        let mut draft = self.fresh(&aor);
        draft.method = "REGISTER".to_owned();
        draft.uri = "sip:example.com".to_owned();
        draft.to = format!("<{aor}>");
        draft.routes = vec![self.hostile_route()];
        draft.extra += "Expires: 60\r\nSupported: path\r\n";
        draft.extra += &if self.cast.is_home(to.ip()) {
            "Contact: <sip:x@127.0.0.1:6379>\r\n".to_owned()
        } else {
            self.contact(face)
        };
        self.send(face, to, &draft)
    }

    /// The end of a call of theirs.
    fn hang_up(&mut self) -> Option<Blow> {
        let len = self.lore.dialogs.len();
        let pick = self.dice.index(len.max(1));
        let dialog: Dialog = (len > 0).then(|| self.lore.dialogs[pick].clone())?;
        if self.dice.permille(500) {
            self.lore.dialogs.remove(pick);
        }
        let bye = Draft {
            method: "BYE".to_owned(),
            ..dialog.draft()
        };
        let to = first_hop(&bye).filter(|to| self.cast.is_node(to.ip()));
        Some(self.send(dialog.face, to.unwrap_or(dialog.at), &bye))
    }
}

/// The mark in a Route value.
fn mark(value: &str) -> Option<&str> {
    let named = || Some(param(value, "gunk")?.rsplit_once('.')?.1);
    param(value, "dlg").or_else(named)
}

/// The value with another mark.
fn remark(value: &str, other: Option<&str>) -> String {
    match (mark(value), other) {
        (Some(own), Some(other)) => value.replace(own, other),
        (Some(own), None) => value
            .replace(&format!(";dlg={own}"), "")
            .replace(&format!(".{own}"), ""),
        (None, Some(other)) => value.replace(";lr", &format!(";lr;dlg={other}")),
        (None, None) => value.to_owned(),
    }
}

/// Where the topmost Route leads by itself.
fn first_hop(draft: &Draft) -> Option<SocketAddr> {
    crate::text::addr_of(uri_of(draft.routes.first()?))
}
