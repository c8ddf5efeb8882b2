//! The bindings (RFC 3261 §10.3, RFC 3327 §5.3, RFC 5626 §6) and who may make them.

use std::collections::{BTreeMap, BTreeSet};

use steadfast::digest::{self, Algorithm, DigestInput, Qop};
use steadfast::time::{Duration, Instant};

use super::DOMAIN;
use crate::text::{Text, param, uri_of, user_and_host};

/// One flow of a device.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) uri: String,
    pub(super) path: Vec<String>,
    instance: Option<String>,
    reg_id: u32,
    until: Instant,
    /// Counts the REGISTERs.
    serial: u32,
}

#[derive(Debug)]
pub(super) struct Registrar {
    passwords: BTreeMap<String, String>,
    nonces: BTreeSet<String>,
    bound: BTreeMap<String, Vec<Bound>>,
    serial: u32,
}

impl Registrar {
    pub(super) fn new(accounts: &[(String, String)]) -> Self {
        Self {
            passwords: accounts.iter().cloned().collect(),
            nonces: BTreeSet::new(),
            bound: BTreeMap::new(),
            serial: 0,
        }
    }

    /// The lines of a 200, or those of a refusal.
    pub(super) fn register(&mut self, now: Instant, text: &Text) -> Result<String, (u16, String)> {
        let (user, host) = user_and_host(uri_of(text.first("to").unwrap_or_default()));
        let (user, host) = (user.to_owned(), host.to_owned());
        let is_he = self.user_of(text, "authorization") == Some(user.clone());
        if !is_he || host != DOMAIN {
            return Err((401, self.challenge_line("WWW-Authenticate")));
        }
        self.serial += 1;
        let default = text.first("expires").and_then(|value| value.parse().ok());
        let bound = self.bound.entry(user).or_default();
        for value in text.values("contact") {
            let number = |name| param(value, name).and_then(|value| value.parse::<u32>().ok());
            let instance = value.split("+sip.instance=\"").nth(1);
            let instance = instance.and_then(|rest| rest.split('"').next());
            let instance = instance.map(str::to_owned);
            let reg_id = number("reg-id").filter(|_| instance.is_some()).unwrap_or(0);
            let expires = number("expires").or(default).unwrap_or(600).min(3_600);
            let uri = uri_of(value).to_owned();
            bound.retain(|old| {
                let is_flow = reg_id > 0 && old.reg_id == reg_id && old.instance == instance;
                let is_contact = reg_id == 0 && old.reg_id == 0 && old.uri == uri;
                !(is_flow || is_contact || value == "*") && old.until > now
            });
            if value != "*" && expires > 0 {
                let path = text.values("path").into_iter();
                bound.push(Bound {
                    uri,
                    path: path.map(str::to_owned).collect(),
                    instance,
                    reg_id,
                    until: now + Duration::from_secs(expires.into()),
                    serial: self.serial,
                });
            }
        }
        let mut lines: String = bound.iter().map(|one| one.line(now)).collect();
        for path in text.values("path") {
            lines += &format!("Path: {path}\r\n");
        }
        let does = |tag: &str| text.values("supported").contains(&tag);
        let has_flow = text
            .values("contact")
            .iter()
            .any(|c| c.contains(";reg-id="));
        if does("outbound") && has_flow {
            lines += "Require: outbound\r\nSupported: path, outbound\r\n";
        }
        Ok(lines)
    }

    /// The devices of a user, the newest flow of each first.
    pub(super) fn find(&self, now: Instant, user: &str) -> Vec<Vec<Bound>> {
        let mut devices: Vec<Vec<Bound>> = Vec::new();
        let bound = self.bound.get(user).into_iter().flatten();
        for one in bound.filter(|one| one.until > now) {
            let is_its = |flows: &&mut Vec<Bound>| {
                one.instance.is_some() && flows[0].instance == one.instance
            };
            match devices.iter_mut().find(is_its) {
                Some(flows) => flows.push(one.clone()),
                None => devices.push(vec![one.clone()]),
            }
        }
        for flows in &mut devices {
            flows.sort_by_key(|one| std::cmp::Reverse(one.serial));
        }
        devices
    }

    /// Asks a caller of the domain who he is, unless an edge says that he is who he
    /// says, or he has shown it; nothing else than an edge reaches this home.
    pub(super) fn challenge(&mut self, text: &mut Text) -> Option<String> {
        let (user, host) = text.sender();
        let said = format!("<sip:{user}@{host}>");
        if text.first("p-asserted-identity") == Some(&said) || host != DOMAIN {
            return None;
        }
        let user = user.to_owned();
        if self.user_of(text, "proxy-authorization") != Some(user) {
            return Some(self.challenge_line("Proxy-Authenticate"));
        }
        text.headers
            .retain(|(name, _)| name != "proxy-authorization");
        None
    }

    fn challenge_line(&mut self, header: &str) -> String {
        self.serial += 1;
        let nonce = format!("n{:x}", crate::dice::fnv(self.serial.into(), b"nonce"));
        self.nonces.insert(nonce.clone());
        format!(
            "{header}: Digest realm=\"{DOMAIN}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"\r\n"
        )
    }

    /// Who has answered a challenge of ours (RFC 7616 §3.4.6).
    fn user_of(&self, text: &Text, header: &str) -> Option<String> {
        let mut lines = text.headers.iter().filter(|(name, _)| name == header);
        lines.find_map(|(_, value)| {
            let value = value.strip_prefix("Digest ")?;
            let fields = value
                .split(',')
                .filter_map(|field| field.trim().split_once('='));
            let fields: BTreeMap<&str, &str> = fields
                .map(|(name, value)| (name, value.trim_matches('"')))
                .collect();
            let field = |name| fields.get(name).copied();
            let (user, nonce) = (field("username")?, field("nonce")?);
            let password = self.passwords.get(user)?;
            let qop = Qop::Auth {
                nc: field("nc")?.as_bytes(),
                cnonce: field("cnonce")?.as_bytes(),
            };
            let answered = DigestInput {
                nonce: nonce.as_bytes(),
                qop,
                method: text.method().as_bytes(),
                uri: field("uri")?.as_bytes(),
            };
            let ha1 = digest::ha1(
                Algorithm::Md5,
                user.as_bytes(),
                DOMAIN.as_bytes(),
                password.as_bytes(),
            );
            let want = digest::response(Algorithm::Md5, ha1.as_bytes(), &answered);
            let is_right = want.as_bytes() == field("response")?.as_bytes();
            (is_right && self.nonces.contains(nonce)).then(|| user.to_owned())
        })
    }
}

impl Bound {
    fn line(&self, now: Instant) -> String {
        let mut line = format!(
            "Contact: <{}>;expires={}",
            self.uri,
            self.until.since(now).as_secs()
        );
        if let Some(instance) = &self.instance {
            line += &format!(";+sip.instance=\"{instance}\"");
        }
        if self.reg_id > 0 {
            line += &format!(";reg-id={}", self.reg_id);
        }
        line + "\r\n"
    }
}
