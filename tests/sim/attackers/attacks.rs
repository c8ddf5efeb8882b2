//! The attacks.

use std::net::SocketAddr;

use steadfast::time::Duration;

use super::observed::{Dialog, any};
use super::values::{TAGS, mark, with_mark};
use super::{AttackMessage, Attackers, Draft};
use crate::cast::VICTIM;
use crate::text::uri_of;

impl Attackers {
    pub(super) fn attack(&mut self, attacker: usize) -> Vec<AttackMessage> {
        let is_known = self.cast.attackers[attacker].user.is_some();
        match self.dice.below(17) {
            0 | 1 if is_known => vec![self.honest_call(attacker)],
            0..6 => self.altered_dialog().into_iter().collect(),
            6 => vec![self.stolen_token(attacker)],
            7 => vec![self.route_beyond_home(attacker)],
            8 => vec![self.other_port(attacker)],
            9 | 10 => vec![self.in_another_name(attacker)],
            11 => vec![self.forged_source(attacker)],
            12 => vec![self.of_another_domain(attacker)],
            13 => self.stray_answer_or_cancel(),
            14 => vec![self.false_binding(attacker)],
            15 => vec![self.as_node(attacker)],
            _ => self.hang_up().into_iter().collect(),
        }
    }

    /// Something to begin, from somebody to a subscriber.
    fn new_request(&mut self, from: &str) -> Draft {
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

    /// A call as anybody makes it: so one learns marks and tokens. To a subscriber,
    /// or to another attacker who is in it.
    fn honest_call(&mut self, attacker: usize) -> AttackMessage {
        let from = self.own_uri(attacker);
        let mut draft = self.new_request(&from);
        draft.method = "INVITE".to_owned();
        if self.dice.permille(400) {
            draft.uri = format!("sip:v{}@example.com", 1 + self.dice.below(2));
            draft.to = format!("<{}>", draft.uri);
        }
        draft.routes.clone_from(&self.each[attacker].service_route);
        if self.dice.permille(300) {
            draft.extra += &format!("Record-Route: <sip:{};lr>\r\n", self.forbidden_address());
        }
        draft.extra += &if self.dice.permille(200) {
            self.forbidden_contact()
        } else {
            self.contact(attacker)
        };
        let edge = self.cast.edges[self.each[attacker].edge];
        self.send_kept(attacker, edge, draft)
    }

    /// The own side of a dialog, with something changed, or at another node, or
    /// from another address.
    fn altered_dialog(&mut self) -> Option<AttackMessage> {
        let dialog = any(&self.observed.dialogs, &mut self.dice)?.clone();
        let mut draft = dialog.draft();
        draft.method = self.method();
        draft.cseq += u32::try_from(self.dice.below(50)).unwrap();
        draft.extra = self.identities();
        let contact = self.contact(dialog.attacker);
        draft.extra += &contact;
        for _ in 0..1 + self.dice.below(2) {
            self.alter(&mut draft);
        }
        let attacker = if self.dice.permille(700) {
            dialog.attacker
        } else {
            self.dice.index(self.each.len())
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
        Some(self.send(attacker, to, &draft))
    }

    fn alter(&mut self, draft: &mut Draft) {
        let address = self.forbidden_address();
        let len = draft.routes.len();
        let pick = self.dice.index(len.max(1));
        let known = any(&self.observed.values, &mut self.dice).cloned();
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
                draft.routes[pick] = with_mark(&draft.routes[pick], other);
            }
            6 if len > 0 => draft.routes[pick] = known.unwrap_or_default(),
            7 => std::mem::swap(&mut draft.from, &mut draft.to),
            8 => draft.call_id = self.call_id(),
            9 => draft.uri = self.hostile_uri(),
            10 => {
                let contact = any(&self.observed.contacts, &mut self.dice).cloned();
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
    fn stolen_token(&mut self, attacker: usize) -> AttackMessage {
        let from = self.own_uri(attacker);
        let mut draft = self.new_request(&from);
        let values: Vec<String> = (self.observed.values.iter())
            .filter(|value| value.contains('@'))
            .cloned()
            .collect();
        let token = any(&values, &mut self.dice).cloned();
        draft.routes = token.into_iter().collect();
        if self.dice.permille(300) {
            draft.routes.insert(0, self.hostile_route());
        }
        if let Some(contact) = any(&self.observed.contacts, &mut self.dice) {
            draft.uri.clone_from(contact);
        }
        draft.to += self.false_tag();
        draft.extra += &self.contact(attacker);
        let edge = self.node();
        self.send_kept(attacker, edge, draft)
    }

    /// The home, the cluster, and then somebody else.
    fn route_beyond_home(&mut self, attacker: usize) -> AttackMessage {
        let from = self.own_uri(attacker);
        let mut draft = self.new_request(&from);
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
        draft.extra += &self.contact(attacker);
        let to = self.node();
        self.send_kept(attacker, to, draft)
    }

    /// Addresses of the cluster at ports that are not its own.
    fn other_port(&mut self, attacker: usize) -> AttackMessage {
        let from = self.own_uri(attacker);
        let mut draft = self.new_request(&from);
        draft.uri = self.hostile_uri();
        if self.dice.permille(300) {
            draft.routes.push(self.hostile_route());
        }
        if self.dice.permille(300) {
            draft.via = format!(";received={VICTIM};maddr={VICTIM};guest;loose;keep");
        }
        draft.to += self.false_tag();
        let to = self.node();
        self.send_kept(attacker, to, draft)
    }

    /// As somebody else, with one's own password when asked.
    fn in_another_name(&mut self, attacker: usize) -> AttackMessage {
        let from = format!("sip:{}@example.com", self.user());
        let mut draft = self.new_request(&from);
        if self.dice.permille(300) {
            draft.routes.clone_from(&self.each[attacker].service_route);
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
        draft.extra += &self.contact(attacker);
        let to = match self.dice.below(3) {
            0 => self.node(),
            1 => self.edge(),
            _ => self.cast.edges[self.each[attacker].edge],
        };
        self.send_kept(attacker, to, draft)
    }

    /// A datagram from a subscriber's address, in his name or in another one.
    fn forged_source(&mut self, attacker: usize) -> AttackMessage {
        let phones = self.cast.phones.iter().filter(|phone| !phone.tcp);
        let phones: Vec<_> = phones.cloned().collect();
        let Some(phone) = any(&phones, &mut self.dice).cloned() else {
            return self.in_another_name(attacker);
        };
        let name = if self.dice.permille(600) {
            phone.user.clone()
        } else {
            self.user()
        };
        let mut draft = self.new_request(&format!("sip:{name}@example.com"));
        if let Some(dialog) = any(&self.observed.dialogs, &mut self.dice)
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
        draft.extra += &self.contact(attacker);
        let to = self.edge();
        self.send_as(attacker, phone.addr, (false, to), &draft)
    }

    /// A datagram from where a node lives, but from none of its ports.
    fn as_node(&mut self, attacker: usize) -> AttackMessage {
        let from = format!("sip:{}@example.com", self.user());
        let mut draft = self.new_request(&from);
        draft.via = ";guest;oc;keep".to_owned();
        if self.dice.permille(500) {
            draft.routes.push(self.hostile_route());
        }
        draft.to += self.false_tag();
        draft.extra += &format!("P-Asserted-Identity: <{from}>\r\n");
        draft.extra += &self.contact(attacker);
        let mut as_node = self.node();
        as_node.set_port(7_000 + u16::try_from(self.dice.below(1_000)).unwrap());
        let to = self.node();
        self.send_as(attacker, as_node, (false, to), &draft)
    }

    /// From another domain.
    fn of_another_domain(&mut self, attacker: usize) -> AttackMessage {
        let mut draft = self.new_request("sip:mallory@elsewhere.example");
        if self.dice.permille(500) {
            draft.method = "INVITE".to_owned();
        }
        if self.dice.permille(300) {
            draft.extra += &format!("Record-Route: <sip:{};lr>\r\n", self.forbidden_address());
        }
        draft.extra += &if self.dice.permille(200) {
            self.forbidden_contact()
        } else {
            self.contact(attacker)
        };
        let to = self.node();
        self.send_kept(attacker, to, draft)
    }

    /// Answers and CANCELs where they do not belong: to any of the proxies that
    /// a request came through, by the Vias that it showed.
    fn stray_answer_or_cancel(&mut self) -> Vec<AttackMessage> {
        let Some(stack) = any(&self.observed.stacks, &mut self.dice).cloned() else {
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
            out += &self.forbidden_contact();
            out += &self.identities();
        }
        out += "Content-Length: 0\r\n\r\n";
        vec![AttackMessage {
            attacker: stack.attacker,
            from: self.cast.attackers[stack.attacker].addr,
            tcp: stack.tcp && addr == stack.from,
            to: addr,
            after: Duration::ZERO,
            bytes: out.into_bytes(),
        }]
    }

    /// A binding of somebody else, or one that leads elsewhere.
    fn false_binding(&mut self, attacker: usize) -> AttackMessage {
        let (victim, own) = (self.user(), self.own_uri(attacker));
        let to = self.node();
        let aor = if self.dice.permille(500) {
            format!("sip:{victim}@example.com")
        } else {
            own
        };
        let mut draft = self.new_request(&aor);
        draft.method = "REGISTER".to_owned();
        draft.uri = "sip:example.com".to_owned();
        draft.to = format!("<{aor}>");
        draft.routes = vec![self.hostile_route()];
        draft.extra += "Expires: 60\r\nSupported: path\r\n";
        draft.extra += &if self.cast.is_home(to.ip()) {
            "Contact: <sip:x@127.0.0.1:6379>\r\n".to_owned()
        } else {
            self.contact(attacker)
        };
        self.send(attacker, to, &draft)
    }

    /// The end of a call of theirs.
    fn hang_up(&mut self) -> Option<AttackMessage> {
        let len = self.observed.dialogs.len();
        let pick = self.dice.index(len.max(1));
        let dialog: Dialog = (len > 0).then(|| self.observed.dialogs[pick].clone())?;
        if self.dice.permille(500) {
            self.observed.dialogs.remove(pick);
        }
        let bye = Draft {
            method: "BYE".to_owned(),
            ..dialog.draft()
        };
        let to = first_hop(&bye).filter(|to| self.cast.is_node(to.ip()));
        Some(self.send(dialog.attacker, to.unwrap_or(dialog.at), &bye))
    }
}

/// Where the topmost Route leads by itself.
fn first_hop(draft: &Draft) -> Option<SocketAddr> {
    crate::text::addr_of(uri_of(draft.routes.first()?))
}
