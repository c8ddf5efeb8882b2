//! The transactions of the foreign home (RFC 3261 §16.7, §17): to one server after the
//! other, to one flow of a device after the other, to all devices at once.

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
pub(super) struct Pass {
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

impl Pass {
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
        let passes = self.passes.iter().map(|pass| {
            let branches = pass.branches.iter().filter_map(|branch| branch.due(tcp));
            let refusal = pass.refusal.map(|(next, _)| next);
            branches.chain(refusal).chain([pass.end()]).min().unwrap()
        });
        passes.min()
    }

    pub(crate) fn tick(&mut self, now: Instant) {
        self.passes.retain(|pass| pass.end() > now);
        for index in 0..self.passes.len() {
            self.repeat_refusal(now, index);
            for number in 0..self.passes[index].branches.len() {
                self.tick_branch(now, index, number);
            }
        }
    }

    fn repeat_refusal(&mut self, now: Instant, index: usize) {
        let pass = &mut self.passes[index];
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
        let branch = &mut self.passes[index].branches[number];
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
        let branch = &mut self.passes[index].branches[number];
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
        for index in 0..self.passes.len() {
            for number in 0..self.passes[index].branches.len() {
                let branch = &self.passes[index].branches[number];
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
        if self.passes[index].branches.is_empty() {
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
        self.passes[index].branches.push(Branch {
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

    /// A server is not there: the next one (RFC 3263 §4.3), or the next flow.
    fn leave(&mut self, now: Instant, index: usize, number: usize, status: u16) {
        let pass = &mut self.passes[index];
        let (is_over, is_cancelled) = (pass.over.is_some(), pass.is_cancelled);
        let branch = &mut pass.branches[number];
        branch.stage = Stage::Left;
        let mut attempt = branch.attempt.clone();
        if is_over {
            return;
        }
        if is_cancelled {
            return self.failed(now, (index, number), 487);
        }
        if attempt.servers.is_empty() {
            if attempt.others.is_empty() {
                return self.failed(now, (index, number), status);
            }
            let others = attempt.others.split_off(1);
            attempt = attempt.others.remove(0);
            attempt.others = others;
        }
        self.start(now, index, attempt);
    }

    fn failed(&mut self, now: Instant, (index, number): (usize, usize), status: u16) {
        let pass = &mut self.passes[index];
        pass.branches[number].answer = Some(answer(&pass.text, status, "", self.serial));
        pass.branches[number].stage = Stage::Done;
        self.finish(now, index);
    }

    /// The best answer, when all have one (RFC 3261 §16.7-6).
    fn finish(&mut self, now: Instant, index: usize) {
        let pass = &self.passes[index];
        let waits = |branch: &Branch| matches!(branch.stage, Stage::Silent | Stage::Heard);
        if pass.over.is_some() || pass.branches.iter().any(waits) {
            return;
        }
        let answers = pass
            .branches
            .iter()
            .filter_map(|branch| branch.answer.as_ref());
        let rank = |answer: &&Text| match answer.status() {
            600.. => 0,
            status @ (408 | 430 | 503) => status + 1_000,
            status => status,
        };
        let Some(mut best) = answers.min_by_key(rank).cloned() else {
            return;
        };
        if best.status() == 503 {
            best.start = "SIP/2.0 500 No Server Takes It".to_owned();
        }
        self.give(now, index, &best);
    }

    /// Sends an answer to whoever sent the request.
    fn give(&mut self, now: Instant, index: usize, text: &Text) {
        let bytes = written(text);
        let pass = &mut self.passes[index];
        let (tcp, mut to) = pass.way;
        if tcp && self.lost.contains(&to) {
            // RFC 3261 §18.2.2
            to = pass.text.via().and_then(|via| via.addr()).unwrap_or(to);
            pass.way.1 = to;
        }
        let status = text.status();
        pass.last = Some(bytes.clone());
        if status >= 200 {
            pass.over.get_or_insert(now);
        }
        if status >= 300 && pass.is_invite() && !tcp {
            pass.refusal = Some((now + T1 * 2, T1 * 2));
        }
        self.out.push(Sent { tcp, to, bytes });
    }

    /// Answers by itself.
    pub(super) fn refuse(&mut self, now: Instant, key: &str, status: u16, extra: &str) {
        if let Some(index) = self.index(key) {
            self.serial += 1;
            let text = answer(&self.passes[index].text, status, extra, self.serial);
            self.give(now, index, &text);
        }
    }

    fn index(&self, key: &str) -> Option<usize> {
        self.passes.iter().position(|pass| pass.key == key)
    }

    /// A copy of a request gets the same answer.
    pub(super) fn repeats(&mut self, key: &str) -> bool {
        let Some(index) = self.index(key) else {
            return false;
        };
        let pass = &self.passes[index];
        let (tcp, to) = pass.way;
        if let Some(bytes) = pass.last.clone() {
            self.out.push(Sent { tcp, to, bytes });
        }
        true
    }

    pub(super) fn ack(&mut self, _: Instant, own: &str, text: Text) {
        let invite = own.replace(" ACK", " INVITE");
        if let Some(index) = self.index(&invite) {
            let pass = &mut self.passes[index];
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
        self.passes
            .push(Pass::new(now, own.to_owned(), way, text.clone()));
        let invite = self.index(&own.replace(" CANCEL", " INVITE"));
        self.refuse(now, own, if invite.is_some() { 200 } else { 481 }, "");
        if let Some(index) = invite {
            self.passes[index].is_cancelled = true;
            self.cancel_all(now, index);
        }
    }

    fn cancel_all(&mut self, now: Instant, index: usize) {
        for number in 0..self.passes[index].branches.len() {
            if self.passes[index].branches[number].stage == Stage::Heard {
                self.send_cancel(now, index, number);
            }
        }
    }

    fn send_cancel(&mut self, now: Instant, index: usize, number: usize) {
        let branch = &mut self.passes[index].branches[number];
        if std::mem::replace(&mut branch.is_cancelled, true) {
            return;
        }
        branch.cancel = Some((now, now + T1 * 2, T1 * 2));
        let (to, bytes) = (branch.to, branch.own("CANCEL", None));
        let tcp = self.setup.tcp;
        self.out.push(Sent { tcp, to, bytes });
    }

    pub(super) fn response(&mut self, now: Instant, mut text: Text) {
        let Some(id) = text.via().map(|via| via.branch.to_owned()) else {
            return;
        };
        let found = self.passes.iter().enumerate().find_map(|(index, pass)| {
            let mut branches = pass.branches.iter();
            Some((index, branches.position(|branch| branch.id == id)?))
        });
        let Some((index, number)) = found else { return };
        if text.method() == "CANCEL" {
            self.passes[index].branches[number].cancel = None;
            return;
        }
        take_via(&mut text);
        if self.passes[index].is_invite() {
            self.answered_invite(now, (index, number), text);
        } else {
            self.answered(now, (index, number), text);
        }
    }

    fn answered(&mut self, now: Instant, (index, number): (usize, usize), text: Text) {
        if text.status() < 200 {
            self.passes[index].branches[number].stage = Stage::Heard;
            return;
        }
        self.ended(now, (index, number), text);
    }

    fn answered_invite(&mut self, now: Instant, (index, number): (usize, usize), text: Text) {
        let (status, to) = (text.status(), text.first("to").map(str::to_owned));
        let pass = &mut self.passes[index];
        let is_wanted = pass.over.is_none() && !pass.is_cancelled;
        let branch = &mut pass.branches[number];
        match status {
            ..200 => {
                // One that has been given up may ring all the same.
                if matches!(branch.stage, Stage::Silent | Stage::Left) {
                    branch.stage = Stage::Heard;
                }
                if !is_wanted && branch.stage == Stage::Heard {
                    self.send_cancel(now, index, number);
                }
                if status > 100 && self.passes[index].over.is_none() {
                    self.give(now, index, &text);
                }
            }
            200..300 => {
                branch.stage = Stage::Done;
                branch.cancel = None;
                self.give(now, index, &text);
                self.cancel_all(now, index);
            }
            _ => {
                let (at, bytes) = (branch.to, branch.own("ACK", to.as_deref()));
                let tcp = self.setup.tcp;
                self.out.push(Sent { tcp, to: at, bytes });
                self.ended(now, (index, number), text);
            }
        }
    }

    /// A branch has a final answer that is not a 2xx to an INVITE.
    fn ended(&mut self, now: Instant, (index, number): (usize, usize), text: Text) {
        let pass = &mut self.passes[index];
        let (is_over, is_cancelled) = (pass.over.is_some(), pass.is_cancelled);
        let branch = &mut pass.branches[number];
        branch.cancel = None;
        if matches!(branch.stage, Stage::Done | Stage::Left) {
            return;
        }
        let status = text.status();
        branch.answer = Some(text);
        branch.stage = Stage::Done;
        let may_go_on = !is_over && !is_cancelled;
        if status == 503 && !branch.attempt.servers.is_empty() && may_go_on {
            return self.leave(now, index, number, status);
        }
        if matches!(status, 408 | 430 | 503) && !branch.attempt.others.is_empty() && may_go_on {
            branch.attempt.servers.clear();
            return self.leave(now, index, number, status);
        }
        if status >= 600 {
            self.cancel_all(now, index);
        }
        self.finish(now, index);
    }
}

/// Ours is a line of its own.
fn take_via(text: &mut Text) {
    let first = text.headers.iter().position(|(name, _)| name == "via");
    let first = first.unwrap();
    let rest = text.headers[first].1.split_once(',');
    match rest.map(|(_, rest)| rest.trim().to_owned()) {
        Some(rest) => text.headers[first].1 = rest,
        None => {
            text.headers.remove(first);
        }
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
