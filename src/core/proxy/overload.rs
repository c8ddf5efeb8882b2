//! Overload control between the elements of the cluster (RFC 7339, V-1
//! to V-6): what a peer asks us to leave out, and what we ask of it.
//!
//! - Our Vias towards an element of the cluster offer it (V-1). A peer that
//!   offered it finds in the responses which share to leave out, while there is
//!   one and for a moment after (V-2); while there is none they say nothing.
//! - A share belongs to the address and port of the server (V-3), and only an
//!   element of the cluster may ask for one (V-5).
//! - What is left out never leaves: its branch fails as by a 503, a stand-by is
//!   tried, and a phone is told when to come back. What belongs to a call is
//!   never left out (V-4).
//! - Nobody further away sees any of it: the parameters are taken off every Via
//!   that is not ours, in requests and in responses (V-4).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Context, Net, Request, Response, Turn};
use crate::admission::{Admission, RequestClass, Thinning};
use crate::edit::Edits;
use crate::edit::answer::{self, Report, SEQ_SECOND};
use crate::grammar::params;
use crate::limits;
use crate::scan::Name;
use crate::scan::via::Via;
use crate::send::Hop;
use crate::time::{Duration, Instant, Wall};

/// What our own Via says (V-1).
pub(super) const OFFER: &[u8] = b";oc;oc-algo=\"loss\"";

/// The shares that servers ask us to leave out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Restraint {
    servers: Vec<Server>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Server {
    addr: SocketAddr,
    until: Instant,
    /// oc-seq of what it said, in hundred-thousandths.
    seq: u64,
    thinning: Thinning,
}

/// What a server said in our Via.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OcParams {
    loss: u8,
    validity: Duration,
    seq: u64,
}

impl Restraint {
    /// Whether nobody asks for anything: then nothing else is looked up here.
    #[must_use]
    pub(super) const fn is_empty(&self) -> bool {
        self.servers.is_empty()
    }

    /// V-3: the newest word counts, and no longer than it is valid.
    fn update(&mut self, now: Instant, addr: SocketAddr, oc: OcParams) {
        self.servers.retain(|server| server.until > now);
        let known = self.servers.iter_mut().find(|server| server.addr == addr);
        let until = now + oc.validity.min(limits::OC_VALIDITY_MAX);
        match known {
            Some(server) if oc.seq >= server.seq => {
                (server.until, server.seq) = (until, oc.seq);
                server.thinning.set(oc.loss);
            }
            Some(_) => {}
            None if oc.loss == 0 || oc.validity.is_zero() => {}
            None => {
                if self.servers.len() >= limits::OC_SERVERS_MAX {
                    let ends = self.servers.iter().enumerate();
                    let first = ends.min_by_key(|(_, server)| server.until);
                    if let Some((index, _)) = first {
                        self.servers.swap_remove(index);
                    }
                }
                let mut thinning = Thinning::NONE;
                thinning.set(oc.loss);
                self.servers.push(Server {
                    addr,
                    until,
                    seq: oc.seq,
                    thinning,
                });
            }
        }
    }

    /// V-4: the share that a server wants to lose, when a request of that class
    /// is in it.
    fn refuses(&mut self, now: Instant, addr: SocketAddr, class: RequestClass) -> Option<u8> {
        let index = self.servers.iter().position(|server| server.addr == addr)?;
        if self.servers[index].until <= now {
            self.servers.swap_remove(index);
            return None;
        }
        let thinning = &mut self.servers[index].thinning;
        (!thinning.admits(class)).then(|| thinning.loss())
    }
}

impl OcParams {
    /// Reads our own Via as it came back; `None` where it says nothing that
    /// could be honoured.
    fn read(bytes: &[u8], via: &Via) -> Option<Self> {
        let loss = decimal_of(via.oc?.of(bytes))?;
        let mut oc = Self {
            loss: u8::try_from(loss).ok().filter(|loss| *loss <= 100)?,
            validity: Duration::from_millis(limits::OC_VALIDITY_MS.into()),
            seq: 0,
        };
        for param in params::iter(bytes, via.params) {
            let value = param.value.unwrap_or_default().of(bytes);
            let is = |name: &[u8]| param.name.of(bytes).eq_ignore_ascii_case(name);
            if is(b"oc-algo") && !value.eq_ignore_ascii_case(b"loss") {
                return None;
            } else if is(b"oc-validity") {
                oc.validity = Duration::from_millis(decimal_of(value)?);
            } else if is(b"oc-seq") {
                oc.seq = sequence(value)?;
            }
        }
        Some(oc)
    }
}

/// The number of an oc-seq, `seconds.fraction`, in hundred-thousandths: as many
/// digits as a fraction may have (RFC 7339 §9).
fn sequence(value: &[u8]) -> Option<u64> {
    let mut parts = value.split(|byte| *byte == b'.');
    let seconds = decimal_of(parts.next()?)?;
    let fraction = parts.next().unwrap_or(b"0");
    let digits = u32::try_from(fraction.len())
        .ok()
        .filter(|digits| *digits <= 5)?;
    let fraction = decimal_of(fraction)? * 10_u64.pow(5 - digits);
    seconds.checked_mul(SEQ_SECOND)?.checked_add(fraction)
}

/// A number that is nothing else.
fn decimal_of(digits: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(digits).ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

impl Restraint {
    /// V-3, V-5: takes notice of what an element of the cluster said in our Via.
    pub(super) fn note_answer(&mut self, turn: &Turn<'_>, via: &Via, response: &Response<'_>) {
        let hop = Hop::Flow(response.flow);
        if turn.policy.is_cluster_node(turn.net, hop)
            && let Some(oc) = OcParams::read(response.bytes, via)
            && let Some(server) = turn.net.flows.peer(response.flow)
        {
            self.update(turn.now, server, oc);
        }
    }

    /// V-4: the share that the server of a branch wants to lose, when the request
    /// is in it; that is counted.
    pub(super) fn keeps_back(
        &mut self,
        turn: &mut Turn<'_>,
        hop: Hop,
        class: RequestClass,
    ) -> Option<u8> {
        let server = match hop {
            Hop::To { addr, .. } => Some(addr),
            Hop::Flow(flow) => turn.net.flows.peer(flow),
            Hop::Named(_) => None,
        };
        let loss = self.refuses(turn.now, server?, class);
        turn.net.counters.restrained += u64::from(loss.is_some());
        loss
    }
}

/// V-2: what the Via of a peer that offered overload control is to say; `None` where there
/// is nothing to tell.
pub(super) fn report(admission: &Admission, wall: Wall) -> Option<Report> {
    let (loss, settled) = admission.report()?;
    let start = wall.unix_at_zero * SEQ_SECOND;
    Some(Report {
        loss,
        validity_ms: if loss == 0 { 0 } else { limits::OC_VALIDITY_MS },
        seq: start + settled.as_micros() / (1_000_000 / SEQ_SECOND),
    })
}

/// Writes the report into a response that passes upstream, without what anybody further
/// down wrote there (V-4).
pub(super) fn report_upstream(
    net: &Net,
    context: &Context,
    response: &Response<'_>,
    edits: &mut Edits,
) {
    let (bytes, message) = (response.bytes, response.message);
    let headers = bytes.get(..message.headers_end()).unwrap_or_default();
    let report = report(&net.admission, net.wall);
    if !context.ingress.wants_report
        || report.is_none() && memchr::memmem::find(headers, b";oc").is_none()
    {
        return;
    }
    let next = message.values(bytes, Name::Via).nth(1);
    let Some(Ok(via)) = next.map(|value| Via::parse(bytes, value)) else {
        return;
    };
    for cut in answer::overload(bytes, &via) {
        edits.remove(cut);
    }
    if let Some(report) = report {
        edits.insert(usize::from(via.value.end), |out| report.write(out));
    }
}

/// V-4: takes the parameters of every hop before us off a request.
pub(super) fn strip(request: &Request<'_>, edits: &mut Edits) {
    let (bytes, message) = (request.bytes, request.message);
    if request.via.oc.is_some() {
        for cut in answer::overload(bytes, request.via) {
            edits.remove(cut);
        }
    }
    if !message.has_second_via() {
        return;
    }
    for line in message.all(Name::Via) {
        // Nobody else in the cluster leaves any: nearly always nothing is here.
        let value = line.value.of(bytes);
        let is_top =
            line.value.start <= request.via.value.start && request.via.value.end == line.value.end;
        if is_top || memchr::memmem::find(value, b"oc").is_none() {
            continue;
        }
        let inside = |value: &crate::span::Span| {
            value.start >= line.value.start
                && value.end <= line.value.end
                && value.start != request.via.value.start
        };
        for value in message.values(bytes, Name::Via).filter(inside) {
            if let Ok(via) = Via::parse(bytes, value) {
                for cut in answer::overload(bytes, &via) {
                    edits.remove(cut);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[track_caller]
    fn check(params: &str, want: Option<(u8, u64, u64)>) {
        let text = format!("SIP/2.0/UDP h;branch=z9hG4bKx{params}");
        let bytes = text.as_bytes();
        let via = Via::parse(bytes, Span::new(0, text.len())).unwrap();
        let oc = OcParams::read(bytes, &via).map(|oc| {
            let validity = u64::try_from(oc.validity.as_millis()).unwrap();
            (oc.loss, validity, oc.seq)
        });
        assert_eq!(oc, want, "{params}");
    }

    #[test]
    fn a_share_is_read_as_the_rfc_writes_it() {
        // V-2, V-3
        check(
            ";oc=20;oc-algo=\"loss\";oc-validity=1000;oc-seq=1282321615.782",
            Some((20, 1_000, 128_232_161_578_200)),
        );
        check(";OC=7", Some((7, 500, 0)));
        check(";oc=0;oc-validity=0;oc-seq=5.00001", Some((0, 0, 500_001)));
        for nothing in [
            "",
            ";oc",
            ";oc=",
            ";oc;oc-algo=\"loss\"",
            ";oc=101",
            ";oc=-1",
            ";oc=20;oc-algo=\"rate\"",
            ";oc=20;oc-validity=soon",
            ";oc=20;oc-seq=1.123456",
            ";oc=99999999999999999999",
            ";oc=5;oc-seq=99999999999999999.0",
        ] {
            check(nothing, None);
        }
    }

    #[test]
    fn a_share_is_of_one_server_and_ends() {
        // V-3
        let mut restraint = Restraint::default();
        let [one, other] = ["192.0.2.1:5060", "192.0.2.1:5061"].map(|addr| addr.parse().unwrap());
        let oc = |loss, ms, seq| OcParams {
            loss,
            validity: Duration::from_millis(ms),
            seq,
        };
        let now = Instant::from_micros(1_000_000);
        let ms = |ms| now + Duration::from_millis(ms);
        restraint.update(now, one, oc(100, 500, 5));
        assert!(restraint.refuses(ms(1), one, RequestClass::New).is_some());
        assert!(
            restraint
                .refuses(ms(1), one, RequestClass::Standing)
                .is_none()
        );
        assert!(restraint.refuses(ms(1), other, RequestClass::New).is_none());
        // An older word says nothing, a newer one does.
        restraint.update(ms(2), one, oc(0, 0, 4));
        assert!(restraint.refuses(ms(3), one, RequestClass::New).is_some());
        assert!(restraint.refuses(ms(500), one, RequestClass::New).is_none());
        assert!(restraint.is_empty());
        restraint.update(now, one, oc(100, 500, 5));
        restraint.update(ms(1), one, oc(100, 0, 6));
        assert!(restraint.refuses(ms(1), one, RequestClass::New).is_none());
        for port in 0..2_000 {
            let addr = SocketAddr::new(one.ip(), port);
            restraint.update(now, addr, oc(50, u64::from(port) + 1, 1));
        }
        assert_eq!(restraint.servers.len(), limits::OC_SERVERS_MAX);
        assert!(!restraint.is_empty());
    }
}
