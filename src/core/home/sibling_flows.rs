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

use super::Binding;
use super::location::same_instance;
use super::state::Home;
use super::stickiness::bind;
use crate::proxy::Step;
use crate::scan::address::first_uri;
use crate::stick::Source;

impl Home {
    /// Binds every Path of `aor` to the other flows of its instance, each under
    /// the domain test and as long as both registrations hold.
    pub(super) fn bind_sibling_flows(&mut self, step: &mut Step<'_>, aor: &[u8]) {
        let Self {
            location,
            stick,
            cluster,
            ..
        } = self;
        let now = step.now;
        let bindings = || location.bindings(now, aor);
        for binding in bindings() {
            for sibling in bindings().filter(|other| are_siblings(binding, other)) {
                let flow = sibling.flow.filter(|flow| binding.flow != Some(*flow));
                if let (Some(flow), Some(uri)) = (flow, first_uri(binding.path())) {
                    let until = binding.expires.min(sibling.expires);
                    bind(stick, cluster, step, flow, uri, Source::Path, until);
                }
            }
        }
    }
}

/// Whether two bindings are flows of one phone with different Paths.
fn are_siblings(one: &Binding, other: &Binding) -> bool {
    let (Some(a), Some(b)) = (one.instance(), other.instance()) else {
        return false;
    };
    one.reg_id().is_some()
        && other.reg_id().is_some_and(|id| one.reg_id() != Some(id))
        && one.path() != other.path()
        && same_instance(a, b)
}
