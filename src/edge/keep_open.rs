//! Phones behind an address translation that do nothing to stay reachable: over
//! UDP, with a Via that names another place than the one it came from (RFC 3581
//! §4), and without keep-alives agreed on (RFC 5626 §5.4, RFC 6223).
//!
//! The edge sends them four zero bytes before the mapping is forgotten, which is
//! what nathelper of Kamailio and OpenSIPS sends by default: no phone answers it
//! or stumbles over it, and most translations keep a mapping open for what comes in
//! as well (RFC 4787 §4.3, which only demands it of what goes out). Once in
//! `limits::NAT_PING_EVERY` each, in parts, so that a hundred thousand are no burst;
//! the walk goes along the records that there are, and keeps nothing of its own.

use super::policy::Edge;
use crate::id::Flow;
use crate::limits;
use crate::proxy::{Net, Response, Timer};
use crate::scan::{Message, Name};
use crate::time::Instant;
use crate::trust::Ingress;

/// No message begins so, and none of the keep-alives that are answered.
const PING: [u8; 4] = [0; 4];

/// How the walk goes on.
#[derive(Debug, Default)]
pub(super) struct Pings {
    /// Into how many parts the round is cut while the timer runs; none: it does not.
    parts: Option<u32>,
}

impl Edge {
    /// Whether the phone behind a REGISTER that `response` grants is to be kept
    /// reachable by the edge.
    pub(super) fn is_kept_open(
        &self,
        ingress: &Ingress,
        request: &Message,
        response: &Response<'_>,
    ) -> bool {
        let agreed = || {
            let message = response.message;
            message.has_token(response.bytes, Name::Require, "outbound")
                || message.first(Name::FlowTimer).is_some()
        };
        let Some(via) = request.top_via() else {
            return false;
        };
        let source = ingress.source;
        let is_translated = via.ip.map(|ip| ip.to_canonical()) != Some(source.ip().to_canonical())
            || via.port.unwrap_or(5060) != source.port();
        self.settings.rules.pings_nat
            && matches!(ingress.flow, Flow::Udp { .. })
            && is_translated
            && via.keep.is_none()
            && !agreed()
    }

    /// Sends what is due, and sets the timer again while there is anybody left.
    pub(super) fn keep_open(&mut self, net: &mut Net, now: Instant) {
        if let Some(parts) = self.pings.parts.take() {
            let ping = net.pool.copy(&PING);
            self.registrations.next_kept_open(now, parts, |flow| {
                net.counters.nat_pings += 1;
                net.transmit(flow, ping.clone());
            });
        }
        self.arm_pings(net, now);
    }

    /// Sets the timer where it does not run and somebody is to be kept reachable.
    pub(super) fn arm_pings(&mut self, net: &mut Net, now: Instant) {
        let count = self.registrations.kept_open();
        if count == 0 || self.pings.parts.is_some() {
            return;
        }
        let parts = count.div_ceil(limits::NAT_PINGS_AT_ONCE);
        let parts = parts.min(limits::NAT_PING_PARTS);
        self.pings.parts = Some(parts);
        net.txns
            .set_timer(now + limits::NAT_PING_EVERY / parts, Timer::Later);
    }
}
