//! Several shards, one edge: telling the others which phones this shard holds,
//! and finding the shard of a request that came to the wrong one.
//!
//! In the steady state nothing of it happens to a call: the home sends requests
//! for a phone over the flow its REGISTER came on, which is the flow of the
//! shard that holds the phone.

use super::policy::Edge;
use super::{Registrations, Subscriber};
use crate::proxy::Net;
use crate::send::Handoff;
use crate::time::Instant;

impl Edge {
    /// The other shard that may hold the subscriber's flow, for a request that
    /// was handed over `handed` times: first the one that keeps the directory,
    /// then the one the directory names. Nobody is asked twice.
    pub(super) fn holder(
        &self,
        net: &Net,
        now: Instant,
        subscriber: &Subscriber<'_>,
        handed: u8,
    ) -> Option<u8> {
        if net.team.is_alone() {
            return None;
        }
        let phone = phone(net, subscriber);
        let keeper = net.team.of(phone);
        if keeper == net.team.own {
            self.directory.holder(now, phone, keeper)
        } else {
            (handed == 0).then_some(keeper)
        }
    }

    /// What this shard knows of who holds the subscriber's flow, in words;
    /// `held`: it does itself.
    pub(super) fn why_held(
        &self,
        net: &Net,
        now: Instant,
        subscriber: &Subscriber<'_>,
        held: bool,
    ) -> String {
        let phone = phone(net, subscriber);
        let keeper = net.team.of(phone);
        let own = net.team.own;
        match self.directory.holder(now, phone, own) {
            _ if keeper != own => format!("shard {keeper} knows which shard holds the flow"),
            _ if held => format!("this shard, {own}, holds the flow"),
            Some(shard) => format!("shard {shard} holds the flow"),
            None => "no shard holds a flow of this phone".to_owned(),
        }
    }

    /// Says that this shard holds a phone until then.
    pub(super) fn hold(
        &mut self,
        net: &mut Net,
        now: Instant,
        subscriber: &Subscriber<'_>,
        until: Instant,
    ) {
        if net.team.is_alone() {
            return;
        }
        let phone = phone(net, subscriber);
        let keeper = net.team.of(phone);
        if keeper == net.team.own {
            self.directory.set(now, phone, keeper, until);
        } else {
            net.hand(keeper, Handoff::Holds { phone, until });
        }
    }
}

/// Says that this shard does not hold a phone any more, where it does not. The
/// end of a registration needs no word: the directory knows it.
pub(super) fn let_go(
    registrations: &Registrations,
    net: &mut Net,
    now: Instant,
    subscriber: &Subscriber<'_>,
) -> Option<u64> {
    let gone = !net.team.is_alone() && registrations.flow_of(now, subscriber, None).is_none();
    let phone = gone.then(|| phone(net, subscriber))?;
    let keeper = net.team.of(phone);
    if keeper == net.team.own {
        return Some(phone);
    }
    let until = Instant::ZERO;
    net.hand(keeper, Handoff::Holds { phone, until });
    None
}

/// What all shards call the phone.
fn phone(net: &Net, subscriber: &Subscriber<'_>) -> u64 {
    net.hash([subscriber.user, subscriber.realm, subscriber.instance])
}
