//! Promises about calls. Each holds where nothing it stands on was hurt, and
//! each is counted, so that a run that promises nothing is seen.

use std::net::IpAddr;

use steadfast::time::{Duration, Instant};

use super::books::{Bye, Call, Fork};
use crate::cast::Speaks;
use crate::plot::{QUIET_S, at};
use crate::world::World;

/// How often each promise was put to the test.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tested {
    pub(crate) answers: u32,
    pub(crate) acks: u32,
    pub(crate) endings: u32,
    /// Endings with an edge of the dialog lost.
    pub(crate) failovers: u32,
    pub(crate) settled: u32,
    pub(crate) refusals: u32,
    pub(crate) reached: u32,
    pub(crate) silenced: u32,
}

impl Tested {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.acks += other.acks;
        self.endings += other.endings;
        self.failovers += other.failovers;
        self.settled += other.settled;
        self.refusals += other.refusals;
        self.reached += other.reached;
        self.silenced += other.silenced;
    }

    /// Each by its name.
    pub(crate) const fn all(&self) -> [(&'static str, u32); 8] {
        [
            ("answers", self.answers),
            ("acks", self.acks),
            ("endings", self.endings),
            ("failovers", self.failovers),
            ("settled", self.settled),
            ("refusals", self.refusals),
            ("reached", self.reached),
            ("silenced", self.silenced),
        ]
    }
}

/// RFC 3261 §17: 64·T1.
const LIFE: Duration = Duration::from_secs(32);
/// A registration is certain for this long after its 200.
const CERTAIN: Duration = Duration::from_secs(85);

/// Judges a whole run.
pub(crate) fn verdict(world: &World) -> Result<Tested, (String, String)> {
    let mut tested = Tested::default();
    for (id, call) in &world.judge.books.calls {
        let court = Court { world, call };
        court.judge(&mut tested).map_err(|what| {
            let what = format!("{what}: call {id} {call:#?}");
            (what, id.clone())
        })?;
    }
    Ok(tested)
}

struct Court<'a> {
    world: &'a World,
    call: &'a Call,
}

impl Court<'_> {
    fn judge(&self, tested: &mut Tested) -> Result<(), String> {
        for fork in self.call.forks.values() {
            self.answer(fork, tested)?;
        }
        for bye in &self.call.byes {
            self.ending(bye, tested)?;
        }
        self.settled(tested)?;
        self.refusals(tested)?;
        self.silenced(tested)?;
        self.reached(tested)
    }

    fn clean(&self, who: IpAddr, from: Instant, until: Instant) -> bool {
        until < at(QUIET_S) && self.world.is_clean(who, from, until)
    }

    fn speaks(&self, phone: IpAddr) -> Speaks {
        let mut phones = self.world.cast.phones.iter();
        phones.find(|p| p.addr.ip() == phone).unwrap().speaks
    }

    fn path_is_clean(&self, fork: &Fork, from: Instant, until: Instant) -> bool {
        let mut path = fork.path.iter();
        path.all(|node| self.clean(*node, from, until))
            && self.clean(self.call.caller, from, until)
            && self.clean(fork.callee, from, until)
    }

    /// No 2xx to an INVITE is lost while its way exists, nor is its ACK.
    fn answer(&self, fork: &Fork, tested: &mut Tested) -> Result<(), String> {
        let end = fork.answered + LIFE;
        if !self.path_is_clean(fork, self.call.invited, end) {
            return Ok(());
        }
        tested.answers += 1;
        if fork.heard.is_none_or(|heard| heard > end) {
            return Err("a 2xx to an INVITE was lost".to_owned());
        }
        // A BYE ends the wait for the ACK.
        let over = |bye: &Bye| bye.sent < end;
        if self.call.byes.iter().any(over) && fork.acked.is_none() {
            return Ok(());
        }
        tested.acks += 1;
        if fork.acked.is_none_or(|acked| acked > end) {
            return Err("the ACK of a 2xx was lost".to_owned());
        }
        Ok(())
    }

    /// True when the phone is registered for certain through some edge.
    fn is_served(&self, phone: IpAddr, from: Instant, until: Instant) -> bool {
        let mut edges = self.world.cast.edges.iter();
        edges.any(|edge| self.is_served_by(phone, edge.ip(), from, until))
    }

    /// The same through this edge.
    fn is_served_by(&self, phone: IpAddr, edge: IpAddr, from: Instant, until: Instant) -> bool {
        let granted = self.world.judge.books.granted.iter();
        let mut granted = granted.filter(|(who, at, when)| {
            (*who, *at) == (phone, edge) && *when + Duration::from_secs(1) < from
        });
        let Some((.., when)) = granted.next_back() else {
            return false;
        };
        let since = *when - Duration::from_secs(2);
        *when + CERTAIN > until && self.clean(edge, since, until) && self.clean(phone, since, until)
    }

    fn homes_are_clean(&self, from: Instant, until: Instant) -> bool {
        let mut homes = self.world.cast.homes.iter();
        homes.all(|home| self.clean(home.ip(), from, until))
    }

    /// An established call can be ended by both sides.
    fn ending(&self, bye: &Bye, tested: &mut Tested) -> Result<(), String> {
        let forks = &self.call.forks;
        let Some(fork) = forks.iter().find_map(|(tag, fork)| {
            (bye.to_tag == *tag || fork.callee == bye.from).then_some(fork)
        }) else {
            return Ok(());
        };
        // A call that was never established on both sides promises nothing.
        if fork.acked.is_none_or(|acked| acked > bye.sent) || fork.heard.is_none() {
            return Ok(());
        }
        let end = bye.sent + LIFE;
        let both = [self.call.caller, fork.callee];
        let whole = self.path_is_clean(fork, self.call.invited, end);
        let served = |phone: &IpAddr| {
            self.speaks(*phone) != Speaks::Plain && self.is_served(*phone, bye.sent, end)
        };
        let before = bye.sent - Duration::from_secs(2);
        let backed = both.iter().all(served) && self.homes_are_clean(before, end);
        if !whole && !backed {
            return Ok(());
        }
        tested.endings += 1;
        tested.failovers += u32::from(!whole);
        // Both may hang up at the same moment: then the call is gone.
        let met = self
            .call
            .byes
            .iter()
            .any(|other| other.from != bye.from && other.sent < end && other.came.is_some());
        if bye.came.is_none_or(|came| came > end) && !met {
            return Err("a call could not be ended: the BYE did not arrive".to_owned());
        }
        match bye.answered {
            Some((when, 200 | 481)) if when <= end => Ok(()),
            _ if met => Ok(()),
            _ => Err("a call could not be ended: no good answer to the BYE".to_owned()),
        }
    }

    /// Timer C and all other timers: an INVITE has an end.
    fn settled(&self, tested: &mut Tested) -> Result<(), String> {
        let end = self.call.invited + Duration::from_secs(225);
        // The edge knows the phone, so that the INVITE has come there.
        let (caller, edge, begun) = (self.call.caller, self.call.edge, self.call.invited);
        if !self.is_served_by(caller, edge, begun, begun)
            || !self.clean(caller, begun, end)
            || !self.clean(edge, begun, end)
        {
            return Ok(());
        }
        tested.settled += 1;
        if self.call.settled.is_none_or(|settled| settled > end) {
            return Err("an INVITE never had a final answer".to_owned());
        }
        Ok(())
    }

    fn refusals(&self, tested: &mut Tested) -> Result<(), String> {
        for ((who, _), refusal) in &self.call.refusals {
            let end = refusal.at + LIFE;
            let clean = |node| self.clean(node, self.call.invited, end);
            if !clean(*who) || !clean(refusal.to) {
                continue;
            }
            tested.refusals += 1;
            if !refusal.acked {
                return Err("a refused INVITE was not acknowledged".to_owned());
            }
        }
        Ok(())
    }

    /// No phone rings on for a caller who has hung up or has an answer.
    fn silenced(&self, tested: &mut Tested) -> Result<(), String> {
        let call = self.call;
        let Some(over) = call.cancelled.into_iter().chain(call.settled).min() else {
            return Ok(());
        };
        let end = over + LIFE;
        // What came later may be another attempt of the caller's.
        let rings = call.rings.iter().filter(|(_, ring)| ring.came < over);
        for ((phone, _), ring) in rings {
            // By which proxies it came is not written on a call without an answer.
            let mut edges = self.world.cast.edges.iter();
            if !edges.all(|edge| self.clean(edge.ip(), call.invited, end))
                || !self.homes_are_clean(call.invited, end)
                || !self.clean(call.caller, call.invited, end)
                || !self.clean(*phone, call.invited, end)
            {
                continue;
            }
            tested.silenced += 1;
            if ring.over.is_none_or(|over| over > end) {
                return Err("a phone rang on when its call was over".to_owned());
            }
        }
        Ok(())
    }

    /// A call to a phone that is registered for certain arrives there.
    fn reached(&self, tested: &mut Tested) -> Result<(), String> {
        let call = self.call;
        let end = call.invited + LIFE;
        let phones = self.world.cast.phones.iter();
        let mut devices = phones.filter(|phone| phone.user == call.user);
        let served = devices.any(|phone| self.is_served(phone.addr.ip(), call.invited, end));
        let early = call.invited - CERTAIN;
        let cancelled = call.cancelled.is_some_and(|when| when < end);
        if cancelled
            || !served
            || !self.homes_are_clean(early, end)
            || !self.is_served_by(call.caller, call.edge, call.invited, end)
        {
            return Ok(());
        }
        tested.reached += 1;
        if call.reached.is_none_or(|reached| reached > end) {
            return Err("a call did not reach a registered phone".to_owned());
        }
        Ok(())
    }
}
