//! Several shards, one home: who changes a record, and how the others have it.
//!
//! - The REGISTERs of an address of record are all served by one shard, the one
//!   its hash falls to, wherever they arrive: two devices that register at once
//!   lose nothing, and a nonce is counted in one place.
//! - That shard gives every changed record to all others, flows included, so that
//!   a call is routed where it arrives; each sticks the Path to the flow by itself.
//!   A record that gets lost on the way comes again with the next refresh.
//! - What a shard learns from Record-Routes it gives to all others once.
//!
//! The price is the memory of all records on each shard. Calls need no owner and
//! are never handed over whole.

use super::policy::Home;
use crate::id::Flow;
use crate::proxy::{Net, Policy};
use crate::scan::address::Address;
use crate::scan::first_value;
use crate::send::{Far, Handoff};
use crate::stick::{Bound, Source};
use crate::time::Instant;

impl Home {
    /// The shard that serves an address of record.
    pub(super) fn keeper(net: &Net, aor: &[u8]) -> u8 {
        net.shard_set.of(net.secrets.hash([aor]))
    }

    /// Gives the record of `aor`, as it is stored, to all other shards.
    pub(super) fn share(&self, net: &mut Net, now: Instant, aor: &[u8], value: Option<&[u8]>) {
        if net.shard_set.is_alone() {
            return;
        }
        let bindings = self.location.bindings(now, aor);
        let flows = bindings
            .map(|binding| {
                let flow = binding.flow?;
                net.flows.share(flow);
                Some((flow, net.flows.far(flow)?))
            })
            .collect();
        net.tell_all(&Handoff::Row {
            key: aor.into(),
            value: value.map(Into::into),
            flows,
        });
    }

    /// Gives a Record-Route URI that is newly bound to all other shards.
    pub(super) fn share_bound(
        &self,
        net: &mut Net,
        flow: Flow,
        uri: &[u8],
        bound: Bound,
        until: Instant,
    ) {
        if net.shard_set.is_alone() || bound != Bound::New {
            return;
        }
        let Some(far) = net.flows.far(flow) else {
            return;
        };
        net.flows.share(flow);
        net.tell_all(&Handoff::Stuck {
            uri: uri.into(),
            flow,
            far,
            until,
        });
    }

    /// Takes in what another shard shares.
    pub(super) fn take_in(&mut self, net: &mut Net, now: Instant, news: Handoff) {
        match news {
            Handoff::Row { key, value, flows } => {
                let (wall, value) = (net.wall, value.as_deref());
                let is_new = |flow: &Flow| {
                    let mut known = self.location.bindings(now, &key);
                    known.all(|binding| binding.flow != Some(*flow))
                };
                let mut came = flows.iter().flatten();
                let moves = came.any(|(flow, _)| is_new(flow));
                let before: Vec<_> = if moves {
                    self.location.bindings(now, &key).cloned().collect()
                } else {
                    Vec::new()
                };
                let only_flows = flows
                    .iter()
                    .map(|flow| flow.as_ref().map(|(flow, _)| *flow));
                if self
                    .location
                    .copy_in(now, wall, &key, value, only_flows)
                    .is_ok()
                {
                    self.stick_row(net, now, &key, flows);
                    self.follow(net, now, &key, &before);
                }
            }
            Handoff::Stuck {
                uri,
                flow,
                far,
                until,
            } => {
                self.learn(net, now, flow, far);
                self.stick.bind(now, flow, &uri, Source::RecordRoute, until);
            }
            Handoff::Message { .. }
            | Handoff::Send { .. }
            | Handoff::Gone { .. }
            | Handoff::Unreachable { .. }
            | Handoff::Heard { .. }
            | Handoff::Silent { .. }
            | Handoff::Holds { .. }
            | Handoff::Moved(_)
            | Handoff::Refreshed { .. }
            | Handoff::Over { .. }
            | Handoff::Renewed { .. }
            | Handoff::Stray { .. }
            | Handoff::Revoked { .. } => {}
        }
    }

    /// A flow of another shard is one of ours to use, and proves the same here.
    fn learn(&mut self, net: &mut Net, now: Instant, flow: Flow, far: Far) {
        if net.flows.learn(flow, far) {
            self.on_peer_certificate(net, now, flow);
        }
        self.link(net, now, flow);
    }

    /// S-4 on this shard: each Path sticks to the flow it came on, under the
    /// same test as where it came.
    fn stick_row(
        &mut self,
        net: &mut Net,
        now: Instant,
        aor: &[u8],
        flows: Box<[Option<(Flow, Far)>]>,
    ) {
        for (flow, far) in flows.into_iter().flatten() {
            self.learn(net, now, flow, far);
        }
        let mut paths = std::mem::take(&mut self.paths);
        for binding in self.location.bindings(now, aor) {
            let path = binding.path();
            if let Some(flow) = binding.flow
                && let Ok(top) = Address::parse(path, first_value(path))
            {
                paths.push((flow, net.pool.copy(top.uri.of(path)), binding.expires));
            }
        }
        for (flow, uri, until) in paths.drain(..) {
            self.stick.bind(now, flow, &uri, Source::Path, until);
        }
        self.paths = paths;
        self.bind_sibling_flows(net, now, aor);
    }
}
