//! Several shards of one edge: this shard announces to the others which phones it holds flows
//! of, and finds the shard for a request that came to the wrong one.
//!
//! In the steady state no call needs this: the home sends requests
//! for a phone over the flow its REGISTER came over, which is a flow of the
//! shard that holds the phone.

use super::state::Edge;
use super::{FlowBindings, Subscriber};
use crate::proxy::{Net, Step};
use crate::send::{EdgeHandoff, Handoff, HeldBinding};
use crate::time::Instant;

impl Edge {
    /// The shard that a request for a subscriber is to be handed to, after it was handed over
    /// `handed` times: first the one that has the directory for this phone, then the one that the
    /// directory names. No shard gets it twice.
    pub(super) fn holder(
        &self,
        step: &Step<'_>,
        subscriber: &Subscriber<'_>,
        handed: u8,
    ) -> Option<u8> {
        if step.net.shard_set.is_alone() {
            return None;
        }
        let phone = phone(step.net, subscriber);
        let directory_shard = step.net.shard_set.of(phone);
        if directory_shard == step.net.shard_set.own {
            self.directory.holder(step.now, phone, directory_shard)
        } else {
            (handed == 0).then_some(directory_shard)
        }
    }

    /// A sentence on which shard holds the subscriber's flow, as far as this one knows;
    /// `held`: this one does.
    pub(super) fn why_held(
        &self,
        step: &Step<'_>,
        subscriber: &Subscriber<'_>,
        held: bool,
    ) -> String {
        let phone = phone(step.net, subscriber);
        let directory_shard = step.net.shard_set.of(phone);
        let own = step.net.shard_set.own;
        match self.directory.holder(step.now, phone, own) {
            _ if directory_shard != own => {
                format!("shard {directory_shard} knows which shard holds the flow")
            }
            _ if held => format!("this shard, {own}, holds the flow"),
            Some(shard) => format!("shard {shard} holds the flow"),
            None => "no shard holds a flow of this phone".to_owned(),
        }
    }

    /// Announces that this shard holds a phone until `until`. `new_reg_id`: the reg-id of the
    /// binding where it is new on this shard, so that another shard that had it lets go of it.
    pub(super) fn announce_phone(
        &mut self,
        step: &mut Step<'_>,
        subscriber: &Subscriber<'_>,
        until: Instant,
        new_reg_id: Option<u32>,
    ) {
        // A single shard has all flow bindings in its own table.
        if step.net.shard_set.is_alone() {
            return;
        }
        let phone = phone(step.net, subscriber);
        let directory_shard = step.net.shard_set.of(phone);
        // Only a binding that is new here can have been another shard's; a refresh came over the
        // flow that this shard has.
        let came = new_reg_id.map(|reg_id| HeldBinding {
            user: subscriber.user.into(),
            realm: subscriber.realm.into(),
            instance: subscriber.instance.into(),
            reg_id,
        });
        if directory_shard != step.net.shard_set.own {
            return step.net.outbox.hand(
                directory_shard,
                Handoff::Edge(EdgeHandoff::Holds { phone, until, came }),
            );
        }
        self.directory.set(step.now, phone, directory_shard, until);
        if let Some(held) = came {
            self.release_elsewhere(step, phone, directory_shard, &held);
        }
    }

    /// Enters which shard holds a phone, where this shard has the directory for it.
    pub(super) fn note_holder(
        &mut self,
        step: &Step<'_>,
        subscriber: &Subscriber<'_>,
        holder: u8,
        until: Instant,
    ) {
        if step.net.shard_set.is_alone() {
            return;
        }
        let phone = phone(step.net, subscriber);
        if step.net.shard_set.of(phone) == step.net.shard_set.own
            && !self.directory.is_later(phone, holder, until)
        {
            self.directory.set(step.now, phone, holder, until);
        }
    }

    /// A phone was bound at `shard`: every other shard that holds it removes its own binding
    /// with that reg-id, as one shard does by itself when a binding is replaced.
    pub(super) fn release_elsewhere(
        &mut self,
        step: &mut Step<'_>,
        phone: u64,
        shard: u8,
        held: &HeldBinding,
    ) {
        for other in (0..step.net.shard_set.count).filter(|other| *other != shard) {
            // By the directory that shard has no live binding of the phone.
            if !self.directory.is_later(phone, other, step.now) {
                continue;
            }
            if other == step.net.shard_set.own {
                self.release_binding(step, held);
            } else {
                step.net
                    .outbox
                    .hand(other, Handoff::Edge(EdgeHandoff::Moved(held.clone())));
            }
        }
    }

    /// Removes a binding that another shard has now.
    pub(super) fn release_binding(&mut self, step: &mut Step<'_>, held: &HeldBinding) {
        let subscriber = Subscriber {
            user: &held.user,
            realm: &held.realm,
            instance: &held.instance,
        };
        self.unbind_phone(step, &subscriber, held.reg_id);
    }

    /// Removes a binding, and announces it where the phone has no other on this shard.
    pub(super) fn unbind_phone(
        &mut self,
        step: &mut Step<'_>,
        subscriber: &Subscriber<'_>,
        reg_id: u32,
    ) {
        self.flow_bindings.unbind(subscriber, reg_id);
        if self
            .flow_bindings
            .flow_of(step.now, subscriber, None)
            .is_none()
        {
            self.announce_phone(step, subscriber, Instant::ZERO, None);
        }
    }
}

/// Announces that this shard does not hold a phone any more, where it does not. (That a binding
/// expires need not be announced: the directory has the time.) Returns the phone where its
/// directory is on this shard, for the caller to enter: this function is called while the table
/// of bindings is borrowed.
pub(super) fn release_phone(
    flow_bindings: &FlowBindings,
    step: &mut Step<'_>,
    subscriber: &Subscriber<'_>,
) -> Option<u64> {
    let gone = !step.net.shard_set.is_alone()
        && flow_bindings.flow_of(step.now, subscriber, None).is_none();
    let phone = gone.then(|| phone(step.net, subscriber))?;
    let directory_shard = step.net.shard_set.of(phone);
    if directory_shard == step.net.shard_set.own {
        return Some(phone);
    }
    let until = Instant::ZERO;
    let came = None;
    step.net.outbox.hand(
        directory_shard,
        Handoff::Edge(EdgeHandoff::Holds { phone, until, came }),
    );
    None
}

/// The hash by which all shards know a phone.
pub(super) fn phone(net: &Net, subscriber: &Subscriber<'_>) -> u64 {
    net.secrets.hash(subscriber.fields())
}
