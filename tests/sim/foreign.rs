//! A home that is no steadfast: registrar and proxy of the domain as Kamailio is
//! one with the files of `tuning/homes`, written from RFC 3261, 3263 and 3327 and
//! sharing no code with what it is put behind. It has no stickiness, reads no
//! token, and follows no redirect: what is for a phone goes by its Path, whose host
//! it looks up anew each time.
//!
//! `registrar` has the bindings and the passwords, `passes` the transactions. Here is what
//! it does with a request.

mod registrar;
mod transactions;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use steadfast::time::Instant;

use super::cast::SOS;
use super::dice::Dice;
use super::phone::Sent;
use super::text::{Text, Via, uri_of, user_and_host};
use super::zone::Zone;
use registrar::Registrar;
use transactions::{Attempt, Transaction};

pub(crate) const DOMAIN: &str = "example.com";

/// How it is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) addr: SocketAddr,
    /// What it speaks with the edges.
    pub(crate) tcp: bool,
    /// What the DNS says to it.
    pub(crate) zone: Zone,
    /// Users and their passwords.
    pub(crate) accounts: Vec<(String, String)>,
    /// Its answer to a REGISTER has a Service-Route (RFC 3608).
    pub(crate) says_service_route: bool,
}

/// The home.
pub(crate) struct Foreign {
    setup: Setup,
    dice: Dice,
    /// Counts the starts.
    boot: u32,
    serial: u32,
    registrar: Registrar,
    transactions: Vec<Transaction>,
    /// Peers whose connections have ended.
    lost: BTreeSet<SocketAddr>,
    out: Vec<Sent>,
}

/// What becomes of a request that begins something.
enum Route {
    /// The devices of a user, of each all flows.
    To(Vec<Attempt>),
    Refuse(u16, String),
}

impl Foreign {
    pub(crate) fn new(setup: Setup, dice: Dice) -> Self {
        Self {
            registrar: Registrar::new(&setup.accounts),
            setup,
            dice,
            boot: 0,
            serial: 0,
            transactions: Vec::new(),
            lost: BTreeSet::new(),
            out: Vec::new(),
        }
    }

    /// It is started again, with nothing in memory.
    pub(crate) fn restart(&mut self) {
        let dice = self.dice.fork("restart");
        *self = Self {
            boot: self.boot + 1,
            ..Self::new(self.setup.clone(), dice)
        };
    }

    pub(crate) fn take(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.out)
    }

    /// One message, or one datagram.
    pub(crate) fn receive(&mut self, now: Instant, from: SocketAddr, tcp: bool, bytes: &[u8]) {
        let Some(text) = Text::read(bytes) else {
            return;
        };
        self.lost.remove(&from);
        if text.is_request() {
            self.request(now, (tcp, from), text);
        } else {
            self.response(now, text);
        }
    }

    fn request(&mut self, now: Instant, way: (bool, SocketAddr), mut text: Text) {
        let Some(via) = text.via() else { return };
        let key = key(&via, text.method());
        note_source(&mut text, way.1);
        match text.method() {
            "ACK" => return self.ack(now, &key, text),
            "CANCEL" => return self.cancel(now, way, &key, &text),
            _ => {}
        }
        if self.repeats(&key) {
            return;
        }
        self.transactions
            .push(Transaction::new(now, key.clone(), way, text.clone()));
        let forwards = text.first("max-forwards").and_then(|v| v.parse().ok());
        if forwards.unwrap_or(70) == 0 {
            return self.refuse(now, &key, 483, "");
        }
        if text.method() == "INVITE" {
            self.refuse(now, &key, 100, "");
        }
        if text.method() == "REGISTER" {
            let (status, extra) = self.register(now, &text);
            return self.refuse(now, &key, status, &extra);
        }
        if text.to_tag().is_some() {
            return match self.along(text) {
                Some(attempt) => self.begin(now, &key, vec![attempt]),
                None => self.refuse(now, &key, 404, ""),
            };
        }
        match self.call(now, text) {
            Route::To(attempts) => self.begin(now, &key, attempts),
            Route::Refuse(status, extra) => self.refuse(now, &key, status, &extra),
        }
    }

    fn register(&mut self, now: Instant, text: &Text) -> (u16, String) {
        let line = self.says_service_route();
        let says = self.registrar.register(now, text);
        match says {
            Ok(lines) => (200, format!("{lines}{line}")),
            Err((status, lines)) => (status, lines),
        }
    }

    fn says_service_route(&self) -> String {
        if self.setup.says_service_route {
            format!("Service-Route: <sip:{DOMAIN};lr>\r\n")
        } else {
            String::new()
        }
    }

    /// A request within a dialog goes by its Route, whoever sends it.
    fn along(&mut self, mut text: Text) -> Option<Attempt> {
        let mut routes = routes_of(&text);
        let all = routes.len();
        while routes.first().is_some_and(|route| self.is_own(route)) {
            routes.remove(0);
        }
        if routes.len() == all {
            return None;
        }
        let servers = self
            .setup
            .zone
            .servers(uri_of(routes.first()?), &mut self.dice);
        put_routes(&mut text, &routes);
        (!servers.is_empty()).then_some(Attempt {
            text,
            servers,
            others: Vec::new(),
        })
    }

    /// A request that begins something, for a user of the domain.
    fn call(&mut self, now: Instant, mut text: Text) -> Route {
        if let Some(challenge) = self.registrar.challenge(&mut text) {
            return Route::Refuse(407, challenge);
        }
        let mut routes = routes_of(&text);
        routes.retain(|route| !self.is_own(route));
        if !routes.is_empty() {
            return Route::Refuse(403, String::new());
        }
        put_routes(&mut text, &[]);
        let (user, host) = user_and_host(text.uri());
        let user = match text.uri().starts_with("urn:service:sos") {
            true => SOS,
            false if host == DOMAIN => user,
            false => return Route::Refuse(403, String::new()),
        };
        let devices = self.registrar.find(now, user);
        if devices.is_empty() {
            return Route::Refuse(480, String::new());
        }
        if matches!(text.method(), "INVITE" | "SUBSCRIBE") {
            let transport = if self.setup.tcp { ";transport=tcp" } else { "" };
            let value = format!("<sip:{}{transport};lr>", self.setup.addr);
            text.headers.insert(0, ("record-route".to_owned(), value));
        }
        let attempts = devices.into_iter().filter_map(|flows| {
            let mut flows: Vec<Attempt> = flows
                .into_iter()
                .filter_map(|bound| {
                    let mut text = text.clone();
                    text.start = format!("{} {} SIP/2.0", text.method(), bound.uri);
                    put_routes(&mut text, &bound.path);
                    let path = uri_of(bound.path.first()?);
                    let servers = self.setup.zone.servers(path, &mut self.dice);
                    (!servers.is_empty()).then_some(Attempt {
                        text,
                        servers,
                        others: Vec::new(),
                    })
                })
                .collect();
            (!flows.is_empty()).then(|| {
                let mut first = flows.remove(0);
                first.others = flows;
                first
            })
        });
        Route::To(attempts.collect())
    }

    fn is_own(&self, route: &str) -> bool {
        let (user, host) = user_and_host(uri_of(route));
        user.is_empty() && (host == DOMAIN || host == self.setup.addr.to_string())
    }
}

fn key(via: &Via<'_>, method: &str) -> String {
    format!("{} {} {method}", via.branch, via.sent_by)
}

/// RFC 3581 §4.
fn note_source(text: &mut Text, from: SocketAddr) {
    let Some((_, via)) = text.headers.iter_mut().find(|(name, _)| name == "via") else {
        return;
    };
    let seen = format!(";received={};rport={}", from.ip(), from.port());
    *via = via.replacen(";rport", &seen, 1);
}

fn routes_of(text: &Text) -> Vec<String> {
    let routes = text.values("route").into_iter();
    routes.map(str::to_owned).collect()
}

fn put_routes(text: &mut Text, routes: &[String]) {
    text.headers.retain(|(name, _)| name != "route");
    let lines = routes
        .iter()
        .map(|route| ("route".to_owned(), route.clone()));
    text.headers.splice(0..0, lines);
}

/// A message on the wire.
fn written(text: &Text) -> Vec<u8> {
    let mut out = format!("{}\r\n", text.start);
    for (name, value) in &text.headers {
        if name != "content-length" {
            out += &format!("{name}: {value}\r\n");
        }
    }
    out += &format!("Content-Length: {}\r\n\r\n", text.body.len());
    let mut bytes = out.into_bytes();
    bytes.extend_from_slice(&text.body);
    bytes
}
