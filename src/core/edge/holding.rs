//! Several shards, one edge: telling the others which phones this shard holds,
//! and finding the shard of a request that came to the wrong one.
//!
//! In the steady state nothing of it happens to a call: the home sends requests
//! for a phone over the flow its REGISTER came on, which is the flow of the
//! shard that holds the phone.

use super::state::Edge;
use super::{FlowBindings, Subscriber};
use crate::proxy::{Net, Step};
use crate::send::{Handoff, Held};
use crate::time::Instant;

impl Edge {
    /// The other shard that may hold the subscriber's flow, for a request that
    /// was handed over `handed` times: first the one that keeps the directory,
    /// then the one the directory names. Nobody is asked twice.
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
        let keeper = step.net.shard_set.of(phone);
        if keeper == step.net.shard_set.own {
            self.directory.holder(step.now, phone, keeper)
        } else {
            (handed == 0).then_some(keeper)
        }
    }

    /// What this shard knows of who holds the subscriber's flow, in words;
    /// `held`: it does itself.
    pub(super) fn why_held(
        &self,
        step: &Step<'_>,
        subscriber: &Subscriber<'_>,
        held: bool,
    ) -> String {
        let phone = phone(step.net, subscriber);
        let keeper = step.net.shard_set.of(phone);
        let own = step.net.shard_set.own;
        match self.directory.holder(step.now, phone, own) {
            _ if keeper != own => format!("shard {keeper} knows which shard holds the flow"),
            _ if held => format!("this shard, {own}, holds the flow"),
            Some(shard) => format!("shard {shard} holds the flow"),
            None => "no shard holds a flow of this phone".to_owned(),
        }
    }

    /// Says that this shard holds a phone until then; `came`: by a registration
    /// with this reg-id that it did not have before.
    pub(super) fn claim_phone(
        &mut self,
        step: &mut Step<'_>,
        subscriber: &Subscriber<'_>,
        until: Instant,
        came: Option<u32>,
    ) {
        // Alone, the table of registrations is all there is to know.
        if step.net.shard_set.is_alone() {
            return;
        }
        let phone = phone(step.net, subscriber);
        let keeper = step.net.shard_set.of(phone);
        // Only what is new can have been another shard's until now; a refresh came over
        // the flow that this shard has.
        let came = came.map(|reg_id| Held {
            user: subscriber.user.into(),
            realm: subscriber.realm.into(),
            instance: subscriber.instance.into(),
            reg_id,
        });
        if keeper != step.net.shard_set.own {
            return step
                .net
                .outbox
                .hand(keeper, Handoff::Holds { phone, until, came });
        }
        self.directory.set(step.now, phone, keeper, until);
        if let Some(held) = came {
            self.moved_to(step, phone, keeper, &held);
        }
    }

    /// Takes note of who holds a phone, where it falls to this shard to know.
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

    /// A registration of a phone came to `shard`: whoever else holds that phone
    /// gives it up. Its old flow is nobody's then, as if it had come to the same
    /// shard again.
    pub(super) fn moved_to(&mut self, step: &mut Step<'_>, phone: u64, shard: u8, held: &Held) {
        for other in (0..step.net.shard_set.count).filter(|other| *other != shard) {
            // Who holds nothing any more has nothing to give up.
            if !self.directory.is_later(phone, other, step.now) {
                continue;
            }
            if other == step.net.shard_set.own {
                self.give_up(step, held);
            } else {
                step.net.outbox.hand(other, Handoff::Moved(held.clone()));
            }
        }
    }

    /// A registration of this shard is another one's.
    pub(super) fn give_up(&mut self, step: &mut Step<'_>, held: &Held) {
        let subscriber = Subscriber {
            user: &held.user,
            realm: &held.realm,
            instance: &held.instance,
        };
        self.unbind_phone(step, &subscriber, held.reg_id);
    }

    /// Forgets a registration, and says so where the phone has no other here.
    pub(super) fn unbind_phone(
        &mut self,
        step: &mut Step<'_>,
        subscriber: &Subscriber<'_>,
        reg_id: u32,
    ) {
        self.registrations.unbind(subscriber, reg_id);
        if self
            .registrations
            .flow_of(step.now, subscriber, None)
            .is_none()
        {
            self.claim_phone(step, subscriber, Instant::ZERO, None);
        }
    }
}

/// Says that this shard does not hold a phone any more, where it does not. The
/// end of a registration needs no word: the directory knows it. Where the directory of
/// this phone is on this shard, the phone is given back for the caller to take note of:
/// the tables are borrowed while one of them tells of it.
pub(super) fn release_phone(
    registrations: &FlowBindings,
    step: &mut Step<'_>,
    subscriber: &Subscriber<'_>,
) -> Option<u64> {
    let gone = !step.net.shard_set.is_alone()
        && registrations.flow_of(step.now, subscriber, None).is_none();
    let phone = gone.then(|| phone(step.net, subscriber))?;
    let keeper = step.net.shard_set.of(phone);
    if keeper == step.net.shard_set.own {
        return Some(phone);
    }
    let until = Instant::ZERO;
    let came = None;
    step.net
        .outbox
        .hand(keeper, Handoff::Holds { phone, until, came });
    None
}

/// What all shards call the phone.
pub(super) fn phone(net: &Net, subscriber: &Subscriber<'_>) -> u64 {
    net.secrets
        .hash([subscriber.user, subscriber.realm, subscriber.instance])
}
