//! The registrations of a scripted phone (RFC 3261 §10, RFC 5626 §4.2).

use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::{Phone, Purpose, Who, Written};
use crate::cast::PASSWORD;
use crate::proof;
use crate::text::Text;

/// One binding: of RFC 5626 one per edge, else one that goes from edge to edge
/// when it fails.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) edges: Vec<SocketAddr>,
    turn: usize,
    /// Where the DNS has led it.
    at: Option<SocketAddr>,
    led_by: String,
    reg_id: u32,
    call_id: String,
    cseq: u32,
    pub(super) service_route: Vec<String>,
    /// Granted until.
    pub(super) until: Option<Instant>,
    pub(super) alarm: Option<Instant>,
    busy: bool,
}

impl Binding {
    pub(super) fn all(who: &Who, boot: u32) -> Vec<Self> {
        let binding = |(index, edges): (usize, Vec<SocketAddr>)| Self {
            edges,
            turn: 0,
            at: None,
            led_by: who.led_by[index].clone(),
            reg_id: u32::try_from(index).unwrap() + 1,
            call_id: format!("reg-{}-{index}-{boot}", who.addr.ip()),
            cseq: 0,
            service_route: Vec::new(),
            until: None,
            alarm: None,
            busy: false,
        };
        let sets: Vec<Vec<SocketAddr>> = if who.outbound {
            who.edges.iter().take(2).map(|edge| vec![*edge]).collect()
        } else {
            vec![who.edges.clone()]
        };
        sets.into_iter().enumerate().map(binding).collect()
    }

    pub(super) fn edge(&self) -> SocketAddr {
        self.at.unwrap_or(self.edges[self.turn % self.edges.len()])
    }
}

impl Phone {
    pub(crate) fn start(&mut self, now: Instant) {
        for binding in 0..self.bindings.len() {
            self.register(now, binding, "");
        }
    }

    pub(super) fn tick_bindings(&mut self, now: Instant) {
        for index in 0..self.bindings.len() {
            if self.bindings[index].alarm.is_some_and(|alarm| alarm <= now) {
                self.bindings[index].alarm = None;
                self.register(now, index, "");
            }
        }
    }

    fn register(&mut self, now: Instant, index: usize, credentials: &str) {
        if std::mem::replace(&mut self.bindings[index].busy, true) && credentials.is_empty() {
            return;
        }
        let binding = &mut self.bindings[index];
        binding.cseq += 1;
        let (cseq, reg_id, edge) = (binding.cseq, binding.reg_id, binding.edge());
        let (call_id, led_by) = (binding.call_id.clone(), binding.led_by.clone());
        // It stays where it is as long as it is there.
        let stays = binding.until.is_some() || !credentials.is_empty();
        let mut servers = self.servers(Some(&led_by));
        if servers.is_empty() {
            servers.push(edge);
        } else if stays {
            servers.retain(|server| *server != edge);
            servers.insert(0, edge);
        }
        let host = self.who.addr.ip();
        let (mark, tags) = if self.who.outbound {
            (
                format!(";+sip.instance=\"<urn:uuid:{host}>\";reg-id={reg_id}"),
                "path, outbound",
            )
        } else {
            (String::new(), "path")
        };
        let extra = format!(
            "Contact: {}{mark}\r\nSupported: {tags}\r\nExpires: {}\r\n{credentials}",
            self.contact(),
            self.who.expires_s
        );
        let aor = self.aor();
        let written = Written {
            uri: "sip:example.com",
            routes: &[led_by],
            from: &format!("{aor};tag=f{host}"),
            to: &aor,
            call_id: &call_id,
            cseq,
            extra: &extra,
            body: b"",
        };
        let purpose = Purpose::Register(index);
        self.send_to_servers(now, purpose, "REGISTER", &servers, &written);
    }

    /// A server of its name has answered a REGISTER: that is where the phone is.
    pub(super) fn registers_at(&mut self, index: usize, server: SocketAddr) {
        if self.who.zone.is_some() {
            self.bindings[index].at = Some(server);
        }
    }

    pub(super) fn challenged(&mut self, now: Instant, index: usize, text: &Text) {
        let login = (&self.who.user[..], PASSWORD);
        let Some(line) = proof::answer(text, login, "REGISTER", "sip:example.com") else {
            return self.failed(now, Purpose::Register(index), 401);
        };
        self.register(now, index, &line);
    }

    pub(super) fn registered(&mut self, now: Instant, index: usize, text: &Text) {
        let expires = Duration::from_secs(self.who.expires_s.into());
        let wait = expires / 2 + self.dice.millis(0, 10_000);
        let binding = &mut self.bindings[index];
        binding.busy = false;
        binding.until = Some(now + expires);
        let routes = text.values("service-route").into_iter();
        binding.service_route = routes.map(str::to_owned).collect();
        binding.alarm = Some(now + wait);
    }

    pub(super) fn register_failed(&mut self, now: Instant, index: usize) {
        let wait = self.dice.millis(2_000, 15_000);
        let binding = &mut self.bindings[index];
        binding.busy = false;
        binding.until = None;
        binding.turn += 1;
        binding.alarm = Some(now + wait);
    }

    /// The phone has another address: it registers there before long.
    pub(super) fn register_soon(&mut self, now: Instant) {
        for index in 0..self.bindings.len() {
            let wait = self.dice.millis(1_500, 5_000);
            let binding = &mut self.bindings[index];
            if binding.until.is_some() {
                binding.busy = false;
                binding.alarm = Some(now + wait);
            }
        }
    }

    /// O-11: a flow that is gone is registered anew.
    pub(super) fn lost_flow(&mut self, now: Instant, edge: SocketAddr) {
        let wait = self.dice.millis(500, 3_000);
        for binding in &mut self.bindings {
            if binding.edge() == edge && binding.until.take().is_some() && !binding.busy {
                binding.alarm = Some(now + wait);
            }
        }
    }

    /// A binding that is granted, but not through `not`.
    pub(super) fn live(&self, now: Instant, not: Option<SocketAddr>) -> Option<&Binding> {
        let mut live = self
            .bindings
            .iter()
            .filter(|binding| binding.until.is_some_and(|until| until > now));
        live.find(|binding| Some(binding.edge()) != not)
    }
}
