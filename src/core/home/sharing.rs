//! Several shards, one home: which shard changes a row, and how the others and the store
//! get it.
//!
//! - The REGISTERs of an address of record are all served by one shard, its keeper, which
//!   its hash decides, wherever they arrive: two devices that register at once
//!   lose nothing, and a nonce is counted in one place.
//! - That shard gives every changed row to all others, flows included, so that
//!   a call is routed where it arrives; each binds the Path to the flow by itself.
//!   A row that gets lost on the way comes again with the next refresh.
//! - What a shard learns from Record-Routes it gives to all others once.
//!
//! The price is the memory of all rows on each shard. Calls need no keeper: the shard at
//! which a request arrives routes it.

use super::state::Home;
use crate::id::Flow;
use crate::proxy::{Net, Step};
use crate::scan::address::first_uri;
use crate::send::{Far, Handoff, HomeHandoff, Output};
use crate::stick::{Bound, Source};
use crate::time::Instant;

impl Home {
    /// The shard that serves the REGISTERs of an address of record.
    pub(super) fn keeper(net: &Net, aor: &[u8]) -> u8 {
        net.shard_set.of(net.secrets.hash([aor]))
    }

    /// Hands the row of `aor` to the store and to the other shards; to the latter alone where
    /// several homes share the store, which is told of changes.
    pub(super) fn store(&mut self, step: &mut Step<'_>, aor: &[u8]) {
        let is_kept = self.settings.is_stored && !self.settings.is_shared;
        if !is_kept && step.net.shard_set.is_alone() {
            return;
        }
        let key = step.net.pool.copy(aor);
        let mut live = false;
        let room = self.location.encoded_len(step.now, aor);
        let row = step.net.pool.build(room, |out| {
            live = self.location.encode(step.now, aor, step.net.wall, out)
        });
        let value = live.then_some(row);
        self.share(step, aor, value.as_deref());
        if is_kept {
            let number = match self.settings.is_durable {
                true => self.tentative.next_number(),
                false => 0,
            };
            let row = Output::Store { key, value, number };
            step.net.outbox.push(row);
        }
    }

    /// Gives the row of `aor` to the other shards and not to the store.
    pub(super) fn share_row(&self, step: &mut Step<'_>, aor: &[u8]) {
        if step.net.shard_set.is_alone() {
            return;
        }
        let mut row = Vec::with_capacity(self.location.encoded_len(step.now, aor));
        let live = self.location.encode(step.now, aor, step.net.wall, &mut row);
        self.share(step, aor, live.then_some(&row[..]));
    }

    /// Gives the row of `aor`, as it is stored, to all other shards; no value where no
    /// binding is left.
    fn share(&self, step: &mut Step<'_>, aor: &[u8], value: Option<&[u8]>) {
        if step.net.shard_set.is_alone() {
            return;
        }
        let bindings = self.location.bindings(step.now, aor);
        let flows = bindings
            .map(|binding| {
                let flow = binding.flow?;
                step.net.flows.share(flow);
                Some((flow, step.net.flows.far(flow)?))
            })
            .collect();
        step.net.tell_all(&Handoff::Home(HomeHandoff::Row {
            key: aor.into(),
            value: value.map(Into::into),
            flows,
        }));
    }

    /// Gives a Record-Route URI that was bound for the first time to all other shards.
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
        net.tell_all(&Handoff::Home(HomeHandoff::Stuck {
            uri: uri.into(),
            flow,
            far,
            until,
        }));
    }

    /// Takes in what another shard shares.
    pub(crate) fn on_handoff(&mut self, step: &mut Step<'_>, handoff: HomeHandoff) {
        match handoff {
            HomeHandoff::Row { key, value, flows } => {
                self.take_in_row(step, &key, value.as_deref(), flows);
            }
            HomeHandoff::Stuck {
                uri,
                flow,
                far,
                until,
            } => {
                self.learn_flow(step, flow, far);
                self.stick
                    .bind(step.now, flow, &uri, Source::RecordRoute, until);
            }
        }
    }

    /// Takes in the record of an address of record, and has its dialogs go where its phones
    /// are now.
    fn take_in_row(
        &mut self,
        step: &mut Step<'_>,
        aor: &[u8],
        value: Option<&[u8]>,
        flows: Box<[Option<(Flow, Far)>]>,
    ) {
        let is_new = |(flow, _): &(Flow, Far)| {
            let mut known = self.location.bindings(step.now, aor);
            known.all(|binding| binding.flow != Some(*flow))
        };
        // No phone has moved unless there is a new flow: most rows are refreshed ones.
        let before: Vec<_> = if flows.iter().flatten().any(is_new) {
            self.location.bindings(step.now, aor).cloned().collect()
        } else {
            Vec::new()
        };
        let only_flows = flows
            .iter()
            .map(|flow| flow.as_ref().map(|(flow, _)| *flow));
        let taken = self
            .location
            .copy_in(step.now, step.net.wall, aor, value, only_flows);
        if taken.is_ok() {
            self.bind_row(step, aor, flows);
            self.move_dialogs(step, aor, &before);
        }
    }

    /// Makes a flow of another shard known to this one, with the domains that are linked to
    /// it.
    fn learn_flow(&mut self, step: &mut Step<'_>, flow: Flow, far: Far) {
        if step.net.flows.learn(flow, far) {
            self.link_certificate(step, flow);
        }
        self.link_edge(step, flow);
    }

    /// Binds each Path of a row from another shard to the flow that its REGISTER came on
    /// (S-4), under the domain test as there.
    fn bind_row(&mut self, step: &mut Step<'_>, aor: &[u8], flows: Box<[Option<(Flow, Far)>]>) {
        for (flow, far) in flows.into_iter().flatten() {
            self.learn_flow(step, flow, far);
        }
        for binding in self.location.bindings(step.now, aor) {
            if let (Some(flow), Some(uri)) = (binding.flow, first_uri(binding.path())) {
                self.stick
                    .bind(step.now, flow, uri, Source::Path, binding.expires);
            }
        }
        self.bind_sibling_flows(step, aor);
    }
}
