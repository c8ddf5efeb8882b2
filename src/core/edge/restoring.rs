//! UDP phones do not notice that their edge was restarted. They could not be reached until
//! their next refresh, an hour perhaps, while STUN goes on answering that all is
//! well (RFC 5626 §4.4.2). So flow bindings over UDP are kept outside the process: a row
//! for each (`row`), put out as `Output::Store` and given back as
//! `Input::Restored` at the next start.
//!
//! - Every shard gets every row, and all of them compute the same holder of
//!   it: the shard that held it before, modulo the number of shards. Nothing has
//!   to be handed over.
//! - The kernel may give a phone's datagrams to another shard than before: after a
//!   reboot, or when there are more shards or fewer. That shard has the flow in
//!   `Edge::flows_elsewhere` and hands its requests on, until the phone's next REGISTER binds the
//!   flow there.
//! - A row shows where a phone is and nothing else. An edge that was down does not know whether
//!   the user is still a subscriber with the same password, so the home challenges calls
//!   over such a flow, until the phone refreshes (I-14).

use std::net::SocketAddr;

use super::flow_bindings::TableChange;
use super::row::{self, Clocks, StoredFlowBinding};
use super::state::Edge;
use super::{EdgeSet, FlowBinding, Subscriber};
use crate::id::{Flow, SocketId, Transport};
use crate::limits;
use crate::proxy::{Net, Step};
use crate::send::Output;
use crate::time::Instant;

impl Edge {
    /// Binds a row of an earlier run, before any traffic.
    pub fn restore(&mut self, step: &mut Step<'_>, key: &[u8], value: &[u8]) {
        let clock = Clocks {
            now: step.now,
            wall: step.net.wall,
        };
        let row = StoredFlowBinding::read(clock, key, value);
        let found = row.and_then(|row| Some((row, flow_of(step.net, &row)?)));
        match found {
            Some((row, flow)) => self.restore_row(step, &row, flow),
            // Expired, or of a listener that is gone: one shard has the row removed.
            None if step.net.shard_set.own == 0 => {
                let key = step.net.pool.copy(key);
                step.net.outbox.push(Output::Store {
                    key,
                    value: None,
                    number: 0,
                });
            }
            None => {}
        }
    }

    fn restore_row(&mut self, step: &mut Step<'_>, row: &StoredFlowBinding<'_>, flow: Flow) {
        let holder = row.shard % step.net.shard_set.count.max(1);
        // The address was proven in the earlier run to receive what is sent to it.
        step.net.guard.prove(step.now, row.peer.ip());
        if holder == step.net.shard_set.own {
            let edges = self.edges_of(row);
            let Subscriber { user, realm, .. } = row.subscriber;
            let aor = [user, b"@", realm].concat();
            let bound = self.flow_bindings.restore(&FlowBinding {
                subscriber: row.subscriber,
                aor: &aor,
                reg_id: row.reg_id,
                flow,
                edges,
                flags: row.flags,
                follows: row.follows,
                is_restored: true,
                is_tls: false,
                is_kept_open: row.is_kept_open && self.pings(),
                expires: row.expires,
            });
            step.net.counters.restored += u64::from(bound.is_ok());
            self.arm_pings(step);
        } else {
            let flow = flow_hash(step.net, flow);
            self.flows_elsewhere
                .set(step.now, flow, holder, row.expires);
        }
        self.note_holder(step, &row.subscriber, holder, row.expires);
    }

    /// The edges that a row names and that are still members; this edge where none is.
    fn edges_of(&mut self, row: &StoredFlowBinding<'_>) -> EdgeSet {
        let members = &self.settings.members;
        let index = |name: &[u8]| members.iter().position(|it| it.name.as_bytes() == name);
        self.indices.clear();
        self.indices.extend(row.edges().filter_map(index));
        match EdgeSet::new(&self.indices) {
            Some(set) if !self.indices.is_empty() => set,
            Some(_) | None => self.own_set(),
        }
    }

    /// The other shard that holds the flow of a request by a row of an earlier run; `None` where
    /// there is none.
    #[must_use]
    pub(crate) fn holder_of_flow(&self, net: &Net, now: Instant, flow: Flow) -> Option<u8> {
        if self.flows_elsewhere.len() == 0 || self.flow_bindings.is_used(now, flow) {
            return None;
        }
        self.flows_elsewhere
            .holder(now, flow_hash(net, flow), net.shard_set.own)
    }

    /// Forgets which other shard holds a flow, since a request of it was handed to this one.
    pub(crate) fn forget_flow_elsewhere(&mut self, net: &Net, now: Instant, flow: Flow) {
        let flow = flow_hash(net, flow);
        while let Some(shard) = self.flows_elsewhere.holder(now, flow, net.shard_set.own) {
            self.flows_elsewhere.set(now, flow, shard, Instant::ZERO);
        }
    }

    /// Puts out the changes to flow bindings over UDP, for the disk.
    pub(crate) fn write_down(&mut self, step: &mut Step<'_>) {
        while let Some(change) = self.flow_bindings.next_change() {
            match change {
                TableChange::Bound(index) => {
                    if let Some(binding) = self.flow_bindings.at(index) {
                        self.write_row(step, &binding);
                    }
                }
                TableChange::Gone(gone) => {
                    let subscriber = gone.subscriber();
                    let room = 6 + subscriber.user.len() + subscriber.instance.len();
                    let key = step.net.pool.build(room, |out| {
                        row::write_key(&subscriber, gone.reg_id, out);
                    });
                    step.net.outbox.push(Output::Store {
                        key,
                        value: None,
                        number: 0,
                    });
                }
            }
        }
    }

    fn write_row(&self, step: &mut Step<'_>, binding: &FlowBinding<'_>) {
        let Flow::Udp { socket, peer } = binding.flow else {
            return;
        };
        let locals = step.net.flows.locals();
        let Some(local) = locals.get(usize::from(socket.0)).map(|local| local.addr) else {
            return;
        };
        let key = step.net.pool.build(limits::FLOW_ROW_MAX, |out| {
            row::write_key(&binding.subscriber, binding.reg_id, out);
        });
        let clock = Clocks {
            now: step.now,
            wall: step.net.wall,
        };
        let value = step.net.pool.build(limits::FLOW_ROW_MAX, |out| {
            let shard = step.net.shard_set.own;
            row::write_value(binding, shard, local, peer, clock, out);
            for index in binding.edges.iter() {
                if let Some(member) = self.settings.members.get(index) {
                    row::write_name(member.name.as_bytes(), out);
                }
            }
        });
        // A row that does not fit is removed instead: what is on disk for its key leads to an
        // earlier flow.
        let fits = key.len() + value.len() <= limits::FLOW_ROW_MAX;
        step.net.counters.flows_too_long += u64::from(!fits);
        let value = fits.then_some(value);
        step.net.outbox.push(Output::Store {
            key,
            value,
            number: 0,
        });
    }
}

/// The flow that a row names; `None` where nothing listens there any more.
fn flow_of(net: &Net, row: &StoredFlowBinding<'_>) -> Option<Flow> {
    let mut locals = net.flows.locals().iter();
    let socket = locals.position(|local| {
        local.transport == Transport::Udp && local.addr == row.local && !local.upstream
    })?;
    Some(Flow::Udp {
        socket: SocketId(u16::try_from(socket).ok()?),
        peer: row.peer,
    })
}

/// The hash by which a flow is in `Edge::flows_elsewhere`.
fn flow_hash(net: &Net, flow: Flow) -> u64 {
    let Flow::Udp { socket, peer } = flow else {
        return 0;
    };
    let ends = [socket.0, peer.port()].map(u16::to_be_bytes);
    match peer {
        SocketAddr::V4(peer) => net
            .secrets
            .hash([&peer.ip().octets()[..], ends.as_flattened()]),
        SocketAddr::V6(peer) => net
            .secrets
            .hash([&peer.ip().octets()[..], ends.as_flattened()]),
    }
}
