//! UDP phones do not notice that their edge was restarted, and would be deaf until
//! their next refresh, an hour perhaps, while STUN goes on telling them that all is
//! well (RFC 5626 §4.4.2). So what leads over UDP is kept outside the process: a row
//! for each registration (`row`), put out as `Output::Store` and given back as
//! `Input::Restored` at the next start.
//!
//! - Every shard is given every row, and all of them come to one opinion of who
//!   holds it: the shard that held it before, modulo how many there are. Nothing has
//!   to be handed over.
//! - The kernel may give a phone's datagrams to another shard than before: after a
//!   reboot, or when there are more shards or fewer. That one has the flow among its
//!   `strays` and hands its requests on, until the phone's next REGISTER makes the
//!   flow its own.
//! - A row is believed as far as it goes: it says where a phone is. That its user is
//!   a subscriber still and has the same password, nobody has told an edge that was
//!   down, so the home asks whoever calls over such a flow, until the phone refreshes
//!   (I-14).

use std::net::SocketAddr;

use super::flow_bindings::Note;
use super::row::{self, Clock, Row};
use super::state::Edge;
use super::{EdgeSet, FlowBinding, Subscriber};
use crate::id::{Flow, SocketId, Transport};
use crate::limits;
use crate::proxy::{Net, Step};
use crate::send::Output;
use crate::time::Instant;

impl Edge {
    /// Takes back a row of an earlier run, before any traffic.
    pub fn restore(&mut self, step: &mut Step<'_>, key: &[u8], value: &[u8]) {
        let clock = Clock {
            now: step.now,
            wall: step.net.wall,
        };
        let row = Row::read(clock, key, value);
        let found = row.and_then(|row| Some((row, flow_of(step.net, &row)?)));
        match found {
            Some((row, flow)) => self.take_back(step, &row, flow),
            // Over, or of a listener that is gone.
            None if step.net.shard_set.own == 0 => {
                let key = step.net.pool.copy(key);
                step.net.outbox.push(Output::Store { key, value: None });
            }
            None => {}
        }
    }

    fn take_back(&mut self, step: &mut Step<'_>, row: &Row<'_>, flow: Flow) {
        let holder = row.shard % step.net.shard_set.count.max(1);
        // It was proven before: its address gets what is sent to it.
        step.net.guard.prove(step.now, row.peer.ip());
        if holder == step.net.shard_set.own {
            let edges = self.named(row);
            let Subscriber { user, realm, .. } = row.subscriber;
            let aor = [user, b"@", realm].concat();
            let bound = self.registrations.restore(&FlowBinding {
                subscriber: row.subscriber,
                aor: &aor,
                reg_id: row.reg_id,
                flow,
                edges,
                flags: row.flags,
                follows: row.follows,
                is_restored: true,
                is_kept_open: row.is_kept_open && self.pings(),
                expires: row.expires,
            });
            step.net.counters.restored += u64::from(bound.is_ok());
            self.arm_pings(step);
        } else {
            let stray = stray(step.net, flow);
            self.strays.set(step.now, stray, holder, row.expires);
        }
        self.note_holder(step, &row.subscriber, holder, row.expires);
    }

    /// The edges that a row names, of those that there are.
    fn named(&mut self, row: &Row<'_>) -> EdgeSet {
        let members = &self.settings.members;
        let index = |name: &[u8]| members.iter().position(|it| it.name.as_bytes() == name);
        self.places.clear();
        self.places.extend(row.edges().filter_map(index));
        match EdgeSet::new(&self.places) {
            Some(set) if !self.places.is_empty() => set,
            Some(_) | None => self.alone(),
        }
    }

    /// The shard that holds the flow of a request, where it is another one's by
    /// what an earlier run has left.
    #[must_use]
    pub(crate) fn keeper_of(&self, net: &Net, now: Instant, flow: Flow) -> Option<u8> {
        if self.strays.len() == 0 || self.registrations.is_used(now, flow) {
            return None;
        }
        self.strays.holder(now, stray(net, flow), net.shard_set.own)
    }

    /// A request of that flow was handed to this shard: it is nobody else's.
    pub(crate) fn forget_strays(&mut self, net: &Net, now: Instant, flow: Flow) {
        let stray = stray(net, flow);
        while let Some(shard) = self.strays.holder(now, stray, net.shard_set.own) {
            self.strays.set(now, stray, shard, Instant::ZERO);
        }
    }

    /// Puts out what has changed of what leads over UDP.
    pub(crate) fn write_down(&mut self, step: &mut Step<'_>) {
        while let Some(note) = self.registrations.next_note() {
            match note {
                Note::Bound(index) => {
                    if let Some(registration) = self.registrations.at(index) {
                        self.write_row(step, &registration);
                    }
                }
                Note::Gone(gone) => {
                    let subscriber = gone.subscriber();
                    let room = 6 + subscriber.user.len() + subscriber.instance.len();
                    let key = step.net.pool.build(room, |out| {
                        row::write_key(&subscriber, gone.reg_id, out);
                    });
                    step.net.outbox.push(Output::Store { key, value: None });
                }
            }
        }
    }

    fn write_row(&self, step: &mut Step<'_>, registration: &FlowBinding<'_>) {
        let Flow::Udp { socket, peer } = registration.flow else {
            return;
        };
        let locals = step.net.flows.locals();
        let Some(local) = locals.get(usize::from(socket.0)).map(|local| local.addr) else {
            return;
        };
        let key = step.net.pool.build(limits::FLOW_ROW_MAX, |out| {
            row::write_key(&registration.subscriber, registration.reg_id, out);
        });
        let clock = Clock {
            now: step.now,
            wall: step.net.wall,
        };
        let value = step.net.pool.build(limits::FLOW_ROW_MAX, |out| {
            let shard = step.net.shard_set.own;
            row::write_value(registration, shard, local, peer, clock, out);
            for index in registration.edges.iter() {
                if let Some(member) = self.settings.members.get(index) {
                    row::write_name(member.name.as_bytes(), out);
                }
            }
        });
        // What does not fit takes what stands in its place with it: it leads elsewhere.
        let fits = key.len() + value.len() <= limits::FLOW_ROW_MAX;
        step.net.counters.flows_too_long += u64::from(!fits);
        let value = fits.then_some(value);
        step.net.outbox.push(Output::Store { key, value });
    }
}

/// The flow that a row names; `None` where nothing listens there any more.
fn flow_of(net: &Net, row: &Row<'_>) -> Option<Flow> {
    let mut locals = net.flows.locals().iter();
    let socket = locals.position(|local| {
        local.transport == Transport::Udp && local.addr == row.local && !local.upstream
    })?;
    Some(Flow::Udp {
        socket: SocketId(u16::try_from(socket).ok()?),
        peer: row.peer,
    })
}

/// What this shard calls a flow among its strays.
fn stray(net: &Net, flow: Flow) -> u64 {
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
