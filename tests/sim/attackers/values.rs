//! The values that forged messages are made of: addresses, URIs, routes, tags and
//! headers.

use std::net::SocketAddr;

use super::observed::any;
use super::{ATTACKER_CALL_ID, Attackers};
use crate::cast::VICTIM;
use crate::text::{Text, param};

/// What an attacker puts behind an address in place of a tag.
pub(super) const TAGS: [&str; 8] = [
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

impl Attackers {
    pub(super) fn node(&mut self) -> SocketAddr {
        let cast = &self.cast;
        let nodes: Vec<SocketAddr> = cast.homes.iter().chain(&cast.edges).copied().collect();
        nodes[self.dice.index(nodes.len())]
    }

    pub(super) fn edge(&mut self) -> SocketAddr {
        self.cast.edges[self.dice.index(self.cast.edges.len())]
    }

    /// A subscriber.
    pub(super) fn user(&mut self) -> String {
        let phones = &self.cast.phones;
        phones[self.dice.index(phones.len())].user.clone()
    }

    pub(super) fn method(&mut self) -> String {
        // What rings is worth most.
        let lot = self.dice.index(METHODS.len() + 4);
        METHODS.get(lot).unwrap_or(&"INVITE").to_string()
    }

    /// An address that nothing may be sent to, and some to which it may not be.
    pub(super) fn forbidden_address(&mut self) -> String {
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

    pub(super) fn forbidden_contact(&mut self) -> String {
        let lr = if self.dice.permille(500) { ";lr" } else { "" };
        format!("Contact: <sip:x@{}{lr}>\r\n", self.forbidden_address())
    }

    pub(super) fn hostile_uri(&mut self) -> String {
        let (address, user) = (self.forbidden_address(), self.user());
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
    pub(super) fn hostile_route(&mut self) -> String {
        let address = self.forbidden_address();
        let edge = self.edge();
        let known = any(&self.observed.values, &mut self.dice).cloned();
        let other = any(&self.observed.values, &mut self.dice).cloned();
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
            (6, Some(known)) => with_mark(&known, other.as_deref().and_then(mark)),
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
        let address = self.forbidden_address();
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

    pub(super) fn call_id(&mut self) -> String {
        self.serial += 1;
        format!("{ATTACKER_CALL_ID}-{}", self.serial)
    }

    /// A tag, or what might be taken for one.
    pub(super) fn false_tag(&mut self) -> &'static str {
        if self.dice.permille(500) {
            return "";
        }
        TAGS[self.dice.index(TAGS.len())]
    }

    pub(super) fn own_uri(&self, attacker: usize) -> String {
        let user = self.cast.attackers[attacker].user.as_deref();
        let domain = if user.is_some() {
            "example.com"
        } else {
            "elsewhere.example"
        };
        format!("sip:{}@{domain}", user.unwrap_or("mallory"))
    }
}

/// The mark in a Route value.
pub(super) fn mark(value: &str) -> Option<&str> {
    let named = || Some(param(value, "gunk")?.rsplit_once('.')?.1);
    param(value, "dlg").or_else(named)
}

/// The value with another mark.
pub(super) fn with_mark(value: &str, other: Option<&str>) -> String {
    match (mark(value), other) {
        (Some(own), Some(other)) => value.replace(own, other),
        (Some(own), None) => value
            .replace(&format!(";dlg={own}"), "")
            .replace(&format!(".{own}"), ""),
        (None, Some(other)) => value.replace(";lr", &format!(";lr;dlg={other}")),
        (None, None) => value.to_owned(),
    }
}
