//! The flows of one phone stand in for one another (RFC 5626 §7, H-7).
//!
//! A phone that speaks RFC 5626 alone registers with each of its configured
//! edges as if there were no other, and where these are not one another's first
//! choice their Paths differ: the token of a dialog then names edges that may all
//! be gone while the phone has a flow through another. The registrar knows what
//! no edge does: that both Paths lead to one instance. So each of its Paths
//! sticks to the other flows too, as next best behind the flow that a dialog was
//! recorded on, and the edge there finds the phone by user and instance. A phone
//! that takes Outbound-Proxy has one Path on all flows, and nothing is added.

use super::location::same_instance;
use super::policy::Home;
use super::{Binding, routing};
use crate::proxy::Net;
use crate::scan::address::Address;
use crate::span::Span;
use crate::stick::Source;
use crate::time::Instant;

impl Home {
    /// Binds every Path of `aor` to the other flows of its instance, each under
    /// the domain test and as long as both registrations hold.
    pub(super) fn stick_kin(&mut self, net: &mut Net, now: Instant, aor: &[u8]) {
        let mut paths = std::mem::take(&mut self.paths);
        let all = || self.location.bindings(now, aor);
        for one in all() {
            for other in all().filter(|other| are_kin(one, other)) {
                let flow = other.flow.filter(|flow| one.flow != Some(*flow));
                if let (Some(flow), Some(uri)) = (flow, top(one.path())) {
                    let until = one.expires.min(other.expires);
                    paths.push((flow, net.pool.copy(uri), until));
                }
            }
        }
        for (flow, uri, until) in paths.drain(..) {
            self.bind(net, now, flow, &uri, Source::Path, until);
        }
        self.paths = paths;
    }
}

/// Two flows of one phone, with different Paths.
fn are_kin(one: &Binding, other: &Binding) -> bool {
    let (Some(a), Some(b)) = (one.instance(), other.instance()) else {
        return false;
    };
    one.reg_id().is_some()
        && other.reg_id().is_some_and(|id| one.reg_id() != Some(id))
        && one.path() != other.path()
        && same_instance(a, b)
}

/// The URI of the topmost Path value.
fn top(path: &[u8]) -> Option<&[u8]> {
    let end = routing::first_value(path).min(path.len());
    let top = Address::parse(path, Span::new(0, end)).ok()?;
    Some(top.uri.of(path))
}
