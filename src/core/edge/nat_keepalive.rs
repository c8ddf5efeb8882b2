//! Phones behind an address translation that do nothing to stay reachable: over
//! UDP, with a Via that names another address than the source (RFC 3581
//! §4), and without keep-alives agreed on (RFC 5626 §5.4, RFC 6223).
//!
//! The edge sends them four zero bytes before the mapping is forgotten, which is
//! what nathelper of Kamailio and OpenSIPS sends by default: no phone answers it
//! or stumbles over it, and most translations keep a mapping open for what comes in
//! as well (RFC 4787 §4.3, which only demands it of what goes out). Once in
//! `limits::NAT_PING_EVERY` each, in parts, so that a hundred thousand are no burst;
//! the walk goes along the bindings that there are, and keeps nothing of its own.
//!
//! A translation that only what goes out keeps open is helped by having the phone
//! register again soon (`NatKeepalive::Short`), for which the phone alone is told a
//! shorter time than its registrar has granted. Nothing ends with that time: the
//! binding at the registrar and the flow here live as long as the registrar says, so
//! a phone that is late for its edge is in time for everybody else.

use super::NatKeepalive;
use super::granted::Granted;
use super::state::Edge;
use crate::edit::{Edits, decimal};
use crate::grammar::params::{self, Param};
use crate::id::Flow;
use crate::limits;
use crate::pacing;
use crate::proxy::{Net, Response, Step, Timer};
use crate::scan::{Message, Name};
use crate::trust::Ingress;

/// What is sent: neither a SIP message nor a keep-alive that is answered begins like this.
const PING: [u8; 4] = [0; 4];

impl Edge {
    /// Whether the operator has the edge send pings to phones behind an address translation.
    pub(super) fn pings(&self) -> bool {
        self.settings.rules.nat_keepalive == NatKeepalive::Ping
    }

    /// K-7: keeps the phone whose REGISTER is `request` reachable as `nat_keepalive` says:
    /// with `Short` it shortens the time in `response`, in which `ours` is the phone's Contact. True
    /// where the phone is to be sent pings.
    pub(super) fn keep_reachable(
        &self,
        net: &mut Net,
        ingress: &Ingress,
        request: &Message,
        response: &Response<'_>,
        ours: Granted,
        edits: &mut Edits,
    ) -> bool {
        let is_translated = || is_translated(ingress, request, response);
        match self.settings.rules.nat_keepalive {
            NatKeepalive::Ping => is_translated(),
            NatKeepalive::Short if is_translated() => {
                shorten(
                    response,
                    ours,
                    pacing::nat_expires_s(net.secrets.chance()),
                    edits,
                );
                false
            }
            NatKeepalive::Short | NatKeepalive::Off => false,
        }
    }

    /// Sends the pings of the next part of a round, and sets the timer again while any phone is to
    /// be pinged.
    pub(super) fn keep_open(&mut self, step: &mut Step<'_>) {
        if let Some(parts) = self.pings.parts.take()
            && self.pings()
        {
            let ping = step.net.pool.copy(&PING);
            self.flow_bindings.next_kept_open(step.now, parts, |flow| {
                step.net.counters.nat_pings += 1;
                step.net.transmit(flow, ping.clone());
            });
        }
        self.arm_pings(step);
    }

    /// Sets the timer where it does not run and a phone is to be pinged: the operator may have
    /// ended the pings.
    pub(super) fn arm_pings(&mut self, step: &mut Step<'_>) {
        let count = self.flow_bindings.kept_open();
        if count == 0 || self.pings.parts.is_some() || !self.pings() {
            return;
        }
        // As many parts as keep each burst below that number.
        let parts = count.div_ceil(limits::NAT_PINGS_AT_ONCE);
        let parts = parts.min(limits::NAT_PING_PARTS);
        self.pings.parts = Some(parts);
        step.net
            .txns
            .set_timer(step.now + limits::NAT_PING_EVERY / parts, Timer::Later);
    }
}

/// Whether a phone over UDP sends from another address than its Via names, and has agreed on no
/// keep-alives.
fn is_translated(ingress: &Ingress, request: &Message, response: &Response<'_>) -> bool {
    let agreed = || {
        let message = response.message;
        message.has_token(response.bytes, Name::Require, "outbound")
            || message.first(Name::FlowTimer).is_some()
    };
    let Some(via) = request.top_via() else {
        return false;
    };
    let source = ingress.source;
    let is_elsewhere = via.ip.map(|ip| ip.to_canonical()) != Some(source.ip().to_canonical())
        || via.port.unwrap_or(5060) != source.port();
    matches!(ingress.flow, Flow::Udp { .. }) && is_elsewhere && via.keep.is_none() && !agreed()
}

/// Shortens the time of the Contact `ours` in a 2xx to `seconds`, where it is longer. Other
/// Contacts are another phone's and stay as they are; so does the Expires header where there are
/// several Contacts, since it is theirs too.
fn shorten(response: &Response<'_>, ours: Granted, seconds: u32, edits: &mut Edits) {
    if ours.seconds <= seconds {
        return;
    }
    let ours = ours.contact;
    let (bytes, message) = (response.bytes, response.message);
    let mut params = params::iter(bytes, ours.params);
    let is_expires = |param: &Param| param.name.of(bytes).eq_ignore_ascii_case(b"expires");
    match params.find(is_expires) {
        Some(param) => edits.replace(param.whole.range(), |out| {
            out.extend_from_slice(b"expires=");
            decimal(out, seconds);
        }),
        None => edits.insert(usize::from(ours.value.end), |out| {
            out.extend_from_slice(b";expires=");
            decimal(out, seconds);
        }),
    }
    let is_alone = message.values(bytes, Name::Contact).nth(1).is_none();
    if let Some(expires) = message.first(Name::Expires).filter(|_| is_alone) {
        edits.replace(expires.value.range(), |out| decimal(out, seconds));
    }
}
