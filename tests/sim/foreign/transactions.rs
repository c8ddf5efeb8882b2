//! The transactions of the foreign home (RFC 3261 §16.7, §17): to one server after the
//! other, to one flow of a device after the other, to all devices at once.

mod responses;

use std::net::SocketAddr;

use steadfast::time::{Duration, Instant};

use super::{Foreign, written};
use crate::phone::Sent;
use crate::text::Text;

/// An edge that has said nothing for so long is dead (`fr_timer`).
const PATIENCE: Duration = Duration::from_secs(1);
/// The first copy over UDP (`retr_timer1`).
const T1: Duration = Duration::from_millis(250);
const T2: Duration = Duration::from_secs(4);
/// How long a phone may ring (`fr_inv_timer`).
const RINGING: Duration = Duration::from_secs(120);
const LIFE: Duration = Duration::from_secs(32);

/// A request as it is to leave, and where to.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) text: Text,
    /// One after the other, while none of them answers.
    pub(super) servers: Vec<SocketAddr>,
    /// Other flows of the same device, one after the other.
    pub(super) others: Vec<Self>,
}

/// A request that came in, and what has become of it.
#[derive(Debug)]
pub(super) struct Transaction {
    key: String,
    way: (bool, SocketAddr),
    text: Text,
    /// The answer that a copy of it gets.
    last: Option<Vec<u8>>,
    born: Instant,
    /// It has its final answer.
    over: Option<Instant>,
    /// A refusal that waits for its ACK over UDP: next copy and gap.
    refusal: Option<(Instant, Duration)>,
    branches: Vec<Branch>,
    is_cancelled: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing has been heard.
    Silent,
    Heard,
    /// Another server, or another flow, has been asked since.
    Left,
    Done,
}

#[derive(Debug)]
struct Branch {
    id: String,
    to: SocketAddr,
    bytes: Vec<u8>,
    attempt: Attempt,
    stage: Stage,
    start: Instant,
    next: Instant,
    gap: Duration,
    /// Since when a CANCEL is under way: next copy and gap, until it is answered.
    cancel: Option<(Instant, Instant, Duration)>,
    is_cancelled: bool,
    answer: Option<Text>,
}

impl Transaction {
    pub(super) const fn new(
        now: Instant,
        key: String,
        way: (bool, SocketAddr),
        text: Text,
    ) -> Self {
        Self {
            key,
            way,
            text,
            last: None,
            born: now,
            over: None,
            refusal: None,
            branches: Vec::new(),
            is_cancelled: false,
        }
    }

    fn is_invite(&self) -> bool {
        self.text.method() == "INVITE"
    }

    /// When it is forgotten.
    fn end(&self) -> Instant {
        self.over
            .map_or(self.born + RINGING * 2, |over| over + LIFE + T2)
    }
}

impl Branch {
    /// What is due first.
    fn due(&self, tcp: bool) -> Option<Instant> {
        let cancel = self.cancel.map(|(_, next, _)| next);
        let own = match self.stage {
            Stage::Silent if tcp => Some(self.start + PATIENCE),
            Stage::Silent => Some(self.next.min(self.start + PATIENCE)),
            Stage::Heard => Some(self.start + RINGING),
            Stage::Left | Stage::Done => None,
        };
        cancel.into_iter().chain(own).min()
    }

    /// A request of the home's own that belongs to this one (RFC 3261 §9.1, §17.1.1.3).
    fn own(&self, method: &str, to: Option<&str>) -> Vec<u8> {
        let text = Text::read(&self.bytes).unwrap();
        let mut headers: Vec<(String, String)> = Vec::new();
        let mut vias = 0;
        for (name, value) in &text.headers {
            match &name[..] {
                "via" => {
                    vias += 1;
                    if vias == 1 {
                        headers.push((name.clone(), value.clone()));
                    }
                }
                "to" => headers.push((name.clone(), to.unwrap_or(value).to_owned())),
                "route" | "from" | "call-id" | "max-forwards" => {
                    headers.push((name.clone(), value.clone()));
                }
                "cseq" => headers.push((name.clone(), format!("{} {method}", text.cseq()))),
                _ => {}
            }
        }
        written(&Text {
            start: format!("{method} {} SIP/2.0", text.uri()),
            headers,
            body: Vec::new(),
        })
    }
}

impl Foreign {
    /// When `tick` is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let tcp = self.setup.tcp;
        let passes = self.transactions.iter().map(|pass| {
            let branches = pass.branches.iter().filter_map(|branch| branch.due(tcp));
            let refusal = pass.refusal.map(|(next, _)| next);
            branches.chain(refusal).chain([pass.end()]).min().unwrap()
        });
        passes.min()
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        self.transactions.retain(|pass| pass.end() > now);
        for index in 0..self.transactions.len() {
            self.repeat_refusal(now, index);
            for number in 0..self.transactions[index].branches.len() {
                self.tick_branch(now, index, number);
            }
        }
    }

    fn repeat_refusal(&mut self, now: Instant, index: usize) {
        let pass = &mut self.transactions[index];
        let Some((next, gap)) = &mut pass.refusal else {
            return;
        };
        if *next <= now {
            *gap = (*gap * 2).min(T2);
            *next = now + *gap;
            let bytes = pass.last.clone().unwrap();
            let (tcp, to) = pass.way;
            self.out.push(Sent { tcp, to, bytes });
        }
    }

    fn tick_branch(&mut self, now: Instant, index: usize, number: usize) {
        let tcp = self.setup.tcp;
        let branch = &mut self.transactions[index].branches[number];
        if let Some((since, next, gap)) = &mut branch.cancel
            && *next <= now
        {
            *gap = (*gap * 2).min(T2);
            *next = now + *gap;
            if now >= *since + LIFE {
                // RFC 3261 §9.1: nobody answers any more.
                branch.cancel = None;
                if branch.stage == Stage::Heard {
                    return self.failed(now, (index, number), 408);
                }
            } else if !tcp {
                let (to, bytes) = (branch.to, branch.own("CANCEL", None));
                self.out.push(Sent { tcp, to, bytes });
            }
        }
        let branch = &mut self.transactions[index].branches[number];
        match branch.stage {
            Stage::Silent if now >= branch.start + PATIENCE => self.leave(now, index, number, 408),
            Stage::Silent if now >= branch.next && !tcp => {
                branch.gap *= 2;
                branch.next = now + branch.gap;
                let (to, bytes) = (branch.to, branch.bytes.clone());
                self.out.push(Sent { tcp, to, bytes });
            }
            Stage::Heard if now >= branch.start + RINGING && !branch.is_cancelled => {
                self.send_cancel(now, index, number);
                self.failed(now, (index, number), 408);
            }
            Stage::Silent | Stage::Heard | Stage::Left | Stage::Done => {}
        }
    }

    /// A connection has ended; `refused`: it never was there.
    pub(crate) fn closed(&mut self, now: Instant, peer: SocketAddr, refused: bool) {
        self.lost.insert(peer);
        if !refused || !self.setup.tcp {
            return;
        }
        for index in 0..self.transactions.len() {
            for number in 0..self.transactions[index].branches.len() {
                let branch = &self.transactions[index].branches[number];
                if branch.to == peer && branch.stage == Stage::Silent {
                    self.leave(now, index, number, 500);
                }
            }
        }
    }

    pub(super) fn begin(&mut self, now: Instant, key: &str, attempts: Vec<Attempt>) {
        let Some(index) = self.index(key) else { return };
        for attempt in attempts {
            self.start(now, index, attempt);
        }
        if self.transactions[index].branches.is_empty() {
            self.refuse(now, key, 480, "");
        }
    }

    /// Sends it to the first server that is left.
    fn start(&mut self, now: Instant, index: usize, mut attempt: Attempt) {
        let to = attempt.servers.remove(0);
        let (id, mut text) = (self.branch(), attempt.text.clone());
        self.stamp(&mut text, &id);
        let bytes = written(&text);
        let tcp = self.setup.tcp;
        self.out.push(Sent {
            tcp,
            to,
            bytes: bytes.clone(),
        });
        self.transactions[index].branches.push(Branch {
            id,
            to,
            bytes,
            attempt,
            stage: Stage::Silent,
            start: now,
            next: now + T1,
            gap: T1,
            cancel: None,
            is_cancelled: false,
            answer: None,
        });
    }

    fn branch(&mut self) -> String {
        self.serial += 1;
        format!("z9hG4bK.home.{}.{}", self.boot, self.serial)
    }

    /// Our Via on top, and one hop less.
    fn stamp(&self, text: &mut Text, id: &str) {
        let forwards = text
            .first("max-forwards")
            .and_then(|v| v.parse::<u32>().ok());
        text.headers.retain(|(name, _)| name != "max-forwards");
        let forwards = forwards.unwrap_or(70).saturating_sub(1).to_string();
        text.headers
            .insert(0, ("max-forwards".to_owned(), forwards));
        let transport = if self.setup.tcp { "TCP" } else { "UDP" };
        let via = format!("SIP/2.0/{transport} {};branch={id}", self.setup.addr);
        text.headers.insert(0, ("via".to_owned(), via));
    }

    /// Answers by itself.
    pub(super) fn refuse(&mut self, now: Instant, key: &str, status: u16, extra: &str) {
        if let Some(index) = self.index(key) {
            self.serial += 1;
            let text = answer(&self.transactions[index].text, status, extra, self.serial);
            self.respond(now, index, &text);
        }
    }

    fn index(&self, key: &str) -> Option<usize> {
        self.transactions.iter().position(|pass| pass.key == key)
    }

    /// A copy of a request gets the same answer.
    pub(super) fn repeats(&mut self, key: &str) -> bool {
        let Some(index) = self.index(key) else {
            return false;
        };
        let pass = &self.transactions[index];
        let (tcp, to) = pass.way;
        if let Some(bytes) = pass.last.clone() {
            self.out.push(Sent { tcp, to, bytes });
        }
        true
    }

    pub(super) fn ack(&mut self, _: Instant, own: &str, text: Text) {
        let invite = own.replace(" ACK", " INVITE");
        if let Some(index) = self.index(&invite) {
            let pass = &mut self.transactions[index];
            pass.refusal = None;
            let last = pass.last.as_deref().and_then(Text::read);
            if last.is_some_and(|last| last.status() >= 300) {
                return;
            }
        }
        // Of a 2xx: by its Route, without a transaction.
        let Some(attempt) = self.along(text) else {
            return;
        };
        let (id, mut text) = (self.branch(), attempt.text);
        self.stamp(&mut text, &id);
        self.out.push(Sent {
            tcp: self.setup.tcp,
            to: attempt.servers[0],
            bytes: written(&text),
        });
    }

    pub(super) fn cancel(&mut self, now: Instant, way: (bool, SocketAddr), own: &str, text: &Text) {
        if self.repeats(own) {
            return;
        }
        self.transactions
            .push(Transaction::new(now, own.to_owned(), way, text.clone()));
        let invite = self.index(&own.replace(" CANCEL", " INVITE"));
        self.refuse(now, own, if invite.is_some() { 200 } else { 481 }, "");
        if let Some(index) = invite {
            self.transactions[index].is_cancelled = true;
            self.cancel_all(now, index);
        }
    }

    fn send_cancel(&mut self, now: Instant, index: usize, number: usize) {
        let branch = &mut self.transactions[index].branches[number];
        if std::mem::replace(&mut branch.is_cancelled, true) {
            return;
        }
        branch.cancel = Some((now, now + T1 * 2, T1 * 2));
        let (to, bytes) = (branch.to, branch.own("CANCEL", None));
        let tcp = self.setup.tcp;
        self.out.push(Sent { tcp, to, bytes });
    }
}

/// An answer of the home's own.
fn answer(request: &Text, status: u16, extra: &str, serial: u32) -> Text {
    let mut headers = Vec::new();
    for (name, value) in &request.headers {
        let value = match &name[..] {
            "via" | "from" | "call-id" | "cseq" => value.clone(),
            "to" if status > 100 && request.to_tag().is_none() => {
                format!("{value};tag=h{serial}")
            }
            "to" => value.clone(),
            _ => continue,
        };
        headers.push((name.clone(), value));
    }
    let lines = extra.lines().filter_map(|line| line.split_once(": "));
    headers.extend(lines.map(|(name, value)| (name.to_owned(), value.to_owned())));
    Text {
        start: format!("SIP/2.0 {status} Of The Home"),
        headers,
        body: Vec::new(),
    }
}
