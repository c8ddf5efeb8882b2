//! What every role works with: flows, transactions, buffers, the outbox and
//! the counters of one shard. Roles decide, `Net` carries out.

use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, SocketAddr};

use super::{Counters, Rejected, Response, Restraint};
use crate::admission::Admission;
use crate::bytes::{Buf, Pool};
use crate::edit::answer::{self, Answer};
use crate::edit::decimal;
use crate::error::Malformed;
use crate::grammar::params;
use crate::guard::Guard;
use crate::id::{Flow, ShardSet, Slot, Transport};
use crate::limits;
use crate::locate::Locator;
use crate::omit::Omit;
use crate::pacing;
use crate::scan::via::Via;
use crate::scan::{Message, Method, Name};
use crate::secret::{Chance, Mac};
use crate::send::{End, Far, Flows, Handoff, Health, Hop, Output, Peers, Reach};
use crate::time::{Instant, Wall};
use crate::trust::{Destinations, Ingress, Keep};
use crate::txn::{Send, TimerId, Transactions};

/// Whose transaction it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A proxied request and one of its branches (the server side: branch 0).
    Proxy {
        /// The response context.
        context: Slot,
        /// Which branch.
        branch: u8,
    },
    /// The CANCEL of a branch.
    Cancel {
        /// The response context.
        context: Slot,
    },
    /// Answered here; nobody waits.
    Local,
    /// A request of the user agent.
    Agent(u32),
}

/// Timers that share the transactions' wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Timer C of a branch, or the grace of its CANCEL (RFC 3261 §16.8, §9.1).
    Branch {
        /// The response context.
        context: Slot,
        /// Which branch.
        branch: u8,
    },
    /// A stream's unfinished message is due.
    Partial(Slot),
    /// A stream whose phone promised keep-alives must have been heard.
    Silence(Slot),
    /// Keep-alives between the elements of the cluster.
    Liveness,
    /// The next piece of what the role has put off.
    Later,
    /// Bounded sweep of expired registrations and bindings.
    Sweep,
    /// The user agent's own.
    Agent(u32),
}

/// The machinery of one shard.
#[derive(Debug)]
pub struct Net {
    /// What the simulation leaves out.
    pub omit: Omit,
    /// Buffers.
    pub pool: Pool,
    /// Flows.
    pub flows: Flows,
    /// Transactions and timers.
    pub txns: Transactions<Owner, Timer>,
    /// Destinations that failed a moment ago.
    pub health: Health,
    /// Elements of the cluster that are watched.
    pub peers: Peers,
    /// Who asks for too much.
    pub guard: Guard,
    /// How much of what is new is taken in.
    pub admission: Admission,
    /// What servers of the cluster ask us to leave out.
    pub restraint: Restraint,
    /// Where nothing is sent to on behalf of anybody but a peer.
    pub destinations: Destinations,
    /// Names and their servers.
    pub locator: Locator,
    /// Servers of the name at hand, in the order in which to try them.
    pub(super) located: Vec<(Transport, SocketAddr)>,
    /// What the shell is to do.
    pub outbox: VecDeque<Output>,
    /// What happened.
    pub counters: Counters,
    /// What was refused, and why.
    pub rejected: Rejected,
    /// Calendar time of the clock's zero.
    pub wall: Wall,
    /// SIGTERM came.
    pub draining: bool,
    /// The operator knows that `sips` is refused.
    pub(super) told_of_sips: bool,
    /// The shards of this node.
    pub shard_set: ShardSet,
    /// The flow of the datagram at hand, where it came to this shard itself.
    pub ingress_flow: Option<Flow>,
    /// Room for a branch parameter.
    pub(super) text: Vec<u8>,
    /// The timer of the keep-alives.
    pub(super) liveness_timer: Option<(Instant, TimerId)>,
    /// The time of the step.
    pub(crate) clock: Instant,
    hasher: ahash::RandomState,
    mac: Mac,
    chance: Chance,
}

/// A received request with what was already read from it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its outline.
    pub message: &'a Message,
    /// Its topmost Via.
    pub via: &'a Via,
    /// Where it came in, and what was found out there.
    pub ingress: Ingress,
}

impl Request<'_> {
    /// True when the To carries a tag: the request stands inside a dialog.
    #[must_use]
    pub fn in_dialog(&self) -> bool {
        self.message.to_tag().is_some()
    }

    /// Whether it is for an emergency service (RFC 5031), which nobody is kept
    /// from (I-7).
    #[must_use]
    pub fn is_emergency(&self) -> bool {
        is_sos(self.message.request_uri().of(self.bytes))
    }

    /// Whether an edge says in its Via that a stranger sent it, whom its receiver
    /// may answer without asking who he is.
    #[must_use]
    pub(crate) fn shows_guest(&self) -> bool {
        params::find(self.bytes, self.via.params, super::build::GUEST).is_some()
    }

    /// Whether it has one Via value: its sender has made it.
    #[must_use]
    pub(crate) fn is_first_hop(&self) -> bool {
        // Where anything stands behind the first it may still be no value.
        !self.message.has_second_via() || self.message.count(self.bytes, Name::Via) == 1
    }

    /// The address a response over UDP goes to (RFC 3261 §18.2.2, RFC 3581
    /// §4). `maddr` is not followed: it would let a sender aim our answers.
    #[must_use]
    pub(crate) fn reply_flow(&self) -> Flow {
        reply_flow(self.ingress.flow, self.via)
    }
}

/// The URN of every emergency service begins so.
const SOS: &[u8] = b"urn:service:sos";

/// Whether a Request-URI is that of an emergency call (RFC 5031).
pub(super) fn is_sos(uri: &[u8]) -> bool {
    let prefix = uri.get(..SOS.len()).unwrap_or_default();
    prefix.eq_ignore_ascii_case(SOS) && matches!(uri.get(SOS.len()), None | Some(b'.'))
}

fn reply_flow(flow: Flow, via: &Via) -> Flow {
    match flow {
        Flow::Udp { socket, peer } if via.rport.is_none() => {
            let port = via.port.unwrap_or(5060);
            Flow::Udp {
                socket,
                peer: SocketAddr::new(peer.ip(), port),
            }
        }
        Flow::Udp { .. } | Flow::Stream(_) => flow,
    }
}

impl Net {
    /// The machinery over these endpoints.
    #[must_use]
    pub fn new(
        flows: Flows,
        wall: Wall,
        seed: [u64; 4],
        shard_set: ShardSet,
        now: Instant,
    ) -> Self {
        let [a, b, c, d] = shard_set.seed;
        Self {
            omit: Omit::Nothing,
            pool: Pool::new(),
            destinations: Destinations::default(),
            locator: Locator::new(flows.spoken(), seed),
            located: Vec::new(),
            flows,
            txns: Transactions::new(now, seed, shard_set.own),
            health: Health::default(),
            peers: Peers::new(seed),
            guard: Guard::new(seed),
            admission: Admission::default(),
            restraint: Restraint::default(),
            outbox: VecDeque::new(),
            counters: Counters::default(),
            rejected: Rejected::default(),
            wall,
            draining: false,
            told_of_sips: false,
            shard_set,
            ingress_flow: None,
            text: Vec::new(),
            liveness_timer: None,
            clock: now,
            hasher: ahash::RandomState::with_seeds(b, c, d, a),
            mac: Mac::new(shard_set.seed, "steadfast words"),
            chance: Chance::new(seed),
        }
    }

    /// A number nobody outside can foresee.
    pub fn chance(&mut self) -> u64 {
        self.chance.number()
    }

    /// The keep-alive interval that the phone of an accepted REGISTER gets: one
    /// number, wherever the answer names it (K-1).
    #[must_use]
    pub(crate) fn flow_timer_s(&self, response: &Response<'_>) -> u32 {
        let call_id = response.message.first(Name::CallId);
        let call_id = call_id.map(|header| header.value.of(response.bytes));
        let cseq = response.message.cseq().to_be_bytes();
        pacing::flow_timer_s(self.mac([call_id.unwrap_or_default(), &cseq]))
    }

    /// A keyed hash of these parts that may be shown to anybody, the same on all
    /// shards of the process for as long as it lives.
    #[must_use]
    pub fn mac<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        self.mac.of(parts)
    }

    /// The same at less cost, where two inputs that come to one result do no
    /// more harm than a collision of the result itself.
    #[must_use]
    pub fn print<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        self.mac.veil(self.hash(parts))
    }

    /// A fast keyed hash of these parts, the same on all shards of the process
    /// for as long as it lives. Nobody outside may see it.
    #[must_use]
    pub fn hash<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for part in parts {
            hasher.write(part);
            hasher.write_usize(part.len());
        }
        hasher.finish()
    }

    /// Writes a Retry-After, each time another one, spread the further the
    /// larger the share that is refused.
    pub(crate) fn retry_after(&mut self, loss_percent: u8, lines: &mut Vec<u8>) {
        let longest = pacing::retry_within_s(loss_percent);
        let after = pacing::retry_after_s(longest, self.chance());
        lines.extend_from_slice(b"Retry-After: ");
        decimal(lines, after);
        lines.extend_from_slice(b"\r\n");
    }

    /// Watches a connection that was accepted: it is closed when nothing was
    /// said on it after `limits::FIRST_MESSAGE_MAX`, and when nobody uses it
    /// any more after `limits::FLOW_SILENCE_MAX`.
    pub(crate) fn watch_silence(&mut self, now: Instant, flow: Flow) {
        let Flow::Stream(id) = flow else { return };
        if let Some(stream) = self.flows.stream_mut(id) {
            stream.heard = now;
            let due = now + limits::FIRST_MESSAGE_MAX;
            self.txns.set_timer(due, Timer::Silence(id.0));
        }
    }

    /// O-9: the phone at the end of this flow was told to keep it alive, so
    /// that its silence means something even while it is registered. UDP needs
    /// no watch: a flow without refresh expires.
    pub(crate) fn expect_keepalives(&mut self, flow: Flow) {
        if let Flow::Stream(id) = flow
            && let Some(stream) = self.flows.stream_mut(id)
        {
            stream.promised = true;
        }
    }

    /// Puts a message on the wire, by way of the shard that holds the flow.
    pub fn transmit(&mut self, flow: Flow, bytes: Buf) {
        let Some(to) = self.flows.elsewhere(flow) else {
            return self.outbox.push_back(Output::Transmit { flow, bytes });
        };
        self.counters.handed_sends += 1;
        let bytes = bytes[..].into();
        self.hand(to, Handoff::Send { flow, bytes });
    }

    /// Whether a message may go to an address on behalf of somebody who is no
    /// peer, wherever that address stood (I-6).
    #[must_use]
    pub(crate) fn permits(&self, addr: SocketAddr) -> bool {
        if self.omit.leaves_out(Omit::Destinations) {
            return true;
        }
        let ip = addr.ip().to_canonical();
        let is_host = self.flows.is_host(ip);
        let is_port = is_host && self.flows.is_local(ip, addr.port());
        self.destinations.permit(addr, (is_host, is_port))
    }

    /// Gives another shard something.
    pub fn hand(&mut self, to: u8, handoff: Handoff) {
        self.outbox.push_back(Output::Handoff { to, handoff });
    }

    /// Gives every other shard the same.
    pub(crate) fn tell_all(&mut self, handoff: &Handoff) {
        for to in self.shard_set.others() {
            self.hand(to, handoff.clone());
        }
    }

    /// Hands a message over as it came.
    pub(crate) fn hand_over(&mut self, to: u8, mut ingress: Ingress, bytes: &[u8]) {
        let Ingress { flow, source, .. } = ingress;
        self.flows.share(flow);
        let far = self.flows.far(flow).unwrap_or_else(|| Far {
            end: End::new(self.flows.transport(flow), source),
            identities: Box::default(),
        });
        ingress.handed = ingress.handed.saturating_add(1);
        let message = Handoff::Message {
            ingress,
            far,
            bytes: bytes.into(),
        };
        self.hand(to, message);
    }

    /// Hands a request over, and counts it.
    pub(super) fn hand_request(&mut self, to: u8, request: &Request<'_>) {
        if request.message.method() == Method::Register {
            self.counters.handed_registers += 1;
        } else {
            self.counters.handed_over += 1;
        }
        self.hand_over(to, request.ingress, request.bytes);
    }

    /// Puts on the wire what a transaction handed back.
    pub(crate) fn transmit_send(&mut self, send: Option<Send>) {
        if let Some(Send { flow, bytes }) = send {
            self.transmit(flow, bytes);
        }
    }

    /// The flow to a hop, opening a connection where one is needed.
    pub fn reach(&mut self, hop: Hop) -> Option<Flow> {
        match self.flows.reach(hop) {
            Reach::Flow(flow) => Some(flow),
            Reach::Open(stream) => {
                let opened = self.flows.stream(stream)?;
                let tls = opened.name.and_then(|name| self.flows.names.get(name));
                let from = self.flows.connects_from(opened.transport, opened.peer);
                self.outbox.push_back(Output::Connect {
                    stream,
                    peer: opened.peer,
                    from,
                    tls: tls.map(Into::into),
                });
                Some(Flow::Stream(stream))
            }
            Reach::Nowhere => None,
        }
    }

    /// Builds a local answer. The To tag follows from the request alone, so a
    /// retransmission gets the same one.
    #[must_use]
    pub fn answer(&self, request: &Request<'_>, status: u16, reason: &str, headers: &[u8]) -> Buf {
        self.answer_with(request, status, reason, headers, b"")
    }

    /// The same with a body, whose type stands in `headers`.
    #[must_use]
    pub(crate) fn answer_with(
        &self,
        request: &Request<'_>,
        status: u16,
        reason: &str,
        headers: &[u8],
        body: &[u8],
    ) -> Buf {
        let (bytes, message) = (request.bytes, request.message);
        let ingress = &request.ingress;
        self.build_answer(bytes, message, ingress, (status, reason), (headers, body))
    }

    fn build_answer(
        &self,
        bytes: &[u8],
        message: &Message,
        ingress: &Ingress,
        (status, reason): (u16, &str),
        (headers, body): (&[u8], &[u8]),
    ) -> Buf {
        let (source, mut tag) = (ingress.source, [0; 16]);
        let tag = if status == 100 {
            &[][..]
        } else {
            self.tag(bytes, message, source.ip(), &mut tag)
        };
        let answer = Answer {
            status,
            reason,
            tag,
            headers,
            body,
            keeps: ingress.keep == Keep::Wanted,
            report: self.report().filter(|_| ingress.wants_report),
        };
        // Of a long request it repeats little, and it is kept for half a minute.
        let room = bytes.len().min(limits::ANSWER_ROOM) + headers.len() + body.len();
        self.pool.build(room, |out| {
            answer::write(&answer, bytes, message, source, out);
        })
    }

    /// The To tag of our answers to the request, which no other request has, and
    /// none from elsewhere: whoever shows it to us has received it there.
    #[must_use]
    pub fn tag<'t>(
        &self,
        bytes: &[u8],
        message: &Message,
        source: IpAddr,
        tag: &'t mut [u8; 16],
    ) -> &'t [u8] {
        self.tag_of(self.epoch(), bytes, message, source, tag)
    }

    /// Whether an ACK carries that tag, of now or of a moment ago.
    pub(super) fn has_tag(&self, ack: &Request<'_>, shown: &[u8]) -> bool {
        let (now, mut own) = (self.epoch(), [0; 16]);
        let source = ack.ingress.source.ip();
        [now, now.wrapping_sub(1)]
            .into_iter()
            .any(|epoch| self.tag_of(epoch, ack.bytes, ack.message, source, &mut own) == shown)
    }

    /// A tag is of its time, so that who had an address before cannot show what
    /// he received there for ever.
    fn epoch(&self) -> u64 {
        self.wall.unix(self.clock) / limits::TAG_EPOCH_S
    }

    fn tag_of<'t>(
        &self,
        epoch: u64,
        bytes: &[u8],
        message: &Message,
        source: IpAddr,
        tag: &'t mut [u8; 16],
    ) -> &'t [u8] {
        let value = |name| {
            message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        // Without the method, so that a CANCEL is answered with the tag of its
        // INVITE (RFC 3261 §9.2).
        let cseq = message.cseq().to_be_bytes();
        let source = match source.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
            IpAddr::V6(ip) => ip.octets(),
        };
        let (call_id, from) = (value(Name::CallId), value(Name::From));
        let mut rest = [0; 28];
        rest[..16].copy_from_slice(&source);
        rest[16..24].copy_from_slice(&epoch.to_be_bytes());
        rest[24..].copy_from_slice(&cseq);
        hex(self.mac([call_id, from, &rest[..]]), tag);
        tag
    }

    /// The answer to a message with a defect where `Malformed::answer` gives
    /// one, and where it goes: a response or an ACK never has one, nor what has
    /// no Via. A Via that does not parse goes back as it is, to where it came
    /// from.
    pub(crate) fn malformed(
        &mut self,
        bytes: &[u8],
        message: &Message,
        (flow, source): (Flow, SocketAddr),
        defect: Malformed,
    ) -> Option<Send> {
        self.counters.malformed += 1;
        let silent = !message.is_request()
            || message.method() == Method::Ack
            || message.first(Name::Via).is_none();
        let answer = defect.answer().filter(|_| !silent)?;
        let ingress = Ingress::by(flow, source);
        let bytes = self.build_answer(bytes, message, &ingress, answer, (b"", b""));
        let flow = message.top_via().map_or(flow, |via| reply_flow(flow, via));
        self.counters.answers += 1;
        Some(Send { flow, bytes })
    }

    /// Answers without a transaction; a retransmission is answered again.
    pub(crate) fn answer_stateless(
        &mut self,
        request: &Request<'_>,
        status: u16,
        reason: &str,
        headers: &[u8],
    ) {
        let bytes = self.answer(request, status, reason, headers);
        self.counters.answers += 1;
        self.transmit(request.reply_flow(), bytes);
    }
}

/// Writes `number` as 16 hexadecimal digits, all at once.
pub(crate) fn hex(number: u64, out: &mut [u8; 16]) {
    /// This byte, sixteen times.
    const fn each(byte: u8) -> u128 {
        u128::from_ne_bytes([byte; 16])
    }
    // Four bits to a byte, by halves.
    let mut digits = u128::from(number);
    digits = (digits | digits << 32) & 0x0000_0000_ffff_ffff_0000_0000_ffff_ffff;
    digits = (digits | digits << 16) & 0x0000_ffff_0000_ffff_0000_ffff_0000_ffff;
    digits = (digits | digits << 8) & 0x00ff_00ff_00ff_00ff_00ff_00ff_00ff_00ff;
    digits = (digits | digits << 4) & each(0x0f);
    // One where it is ten or more, and so many further to the letters.
    let letters = (digits + each(6)) >> 4 & each(1);
    *out = (digits + each(b'0') + letters * u128::from(b'a' - b'0' - 10)).to_be_bytes();
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn a_number_is_written_as_others_write_it() {
        for number in [0, 1, 9, 10, 0x0123_4567_89ab_cdef, 0xa0b1_c2d3, u64::MAX] {
            let mut out = [0; 16];
            hex(number, &mut out);
            assert_eq!(out, *format!("{number:016x}").as_bytes());
        }
    }
}
