//! Promises about calls. Each holds where nothing it stands on was hurt, and
//! each is counted, so that a run that promises nothing is seen.

use std::net::IpAddr;

use steadfast::limits;
use steadfast::time::{Duration, Instant};

use super::calls::{Bye, Call, Fork};
use crate::cast::Speaks;
use crate::plot::{QUIET_S, at};
use crate::world::{Harm, World};

/// How often each promise was put to the test.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tested {
    pub(crate) answers: u32,
    /// Answers on whose way a node stood still or lost its connections.
    pub(crate) hindered: u32,
    /// Answers whose caller had lost its connection, and had to be called back.
    pub(crate) returned: u32,
    /// Answers to a phone over TCP that lost its connection, where only the name in its Via says
    /// where it listens.
    pub(crate) looked_up: u32,
    pub(crate) acks: u32,
    pub(crate) endings: u32,
    /// Endings with an edge of the dialog lost.
    pub(crate) failovers: u32,
    /// Endings whose BYE was lost with its connection and went again.
    pub(crate) resent: u32,
    pub(crate) settled: u32,
    pub(crate) refusals: u32,
    pub(crate) reached: u32,
    pub(crate) silenced: u32,
    /// Endings by a phone whose address has changed.
    pub(crate) moved: u32,
    /// Endings by a phone whose edge had died, and which the DNS led to a sibling.
    pub(crate) led_on: u32,
    /// Endings towards a phone whose edge had died, and which has a flow to another one.
    pub(crate) stranded: u32,
    pub(crate) emergencies: u32,
    /// Calls from other domains.
    pub(crate) guests: u32,
}

impl Tested {
    pub(crate) const fn add(&mut self, other: &Self) {
        self.answers += other.answers;
        self.hindered += other.hindered;
        self.returned += other.returned;
        self.looked_up += other.looked_up;
        self.acks += other.acks;
        self.endings += other.endings;
        self.failovers += other.failovers;
        self.resent += other.resent;
        self.settled += other.settled;
        self.refusals += other.refusals;
        self.reached += other.reached;
        self.silenced += other.silenced;
        self.moved += other.moved;
        self.led_on += other.led_on;
        self.stranded += other.stranded;
        self.emergencies += other.emergencies;
        self.guests += other.guests;
    }

    /// Each by its name.
    pub(crate) const fn all(&self) -> [(&'static str, u32); 17] {
        [
            ("answers", self.answers),
            ("hindered", self.hindered),
            ("returned", self.returned),
            ("looked up", self.looked_up),
            ("acks", self.acks),
            ("endings", self.endings),
            ("failovers", self.failovers),
            ("resent", self.resent),
            ("settled", self.settled),
            ("refusals", self.refusals),
            ("reached", self.reached),
            ("silenced", self.silenced),
            ("moved", self.moved),
            ("led on", self.led_on),
            ("stranded", self.stranded),
            ("emergencies", self.emergencies),
            ("guests", self.guests),
        ]
    }
}

/// RFC 3261 §17: 64·T1.
pub(super) const LIFE: Duration = Duration::from_secs(32);
/// What is left of a registration this long before it expires is not certain.
pub(super) const UNCERTAIN: Duration = Duration::from_secs(5);
/// Within this time a phone that was refused because no home was there is back,
/// even when the edge it tries first is gone (back-off and Timer F).
const RETURNED: Duration = Duration::from_secs(60);

/// A phone knows by then that its connection is lost.
const LEARNED: Duration = Duration::from_millis(200);
/// TCP has told a phone by then that an edge is gone which went without a word.
const HALF_OPEN: Duration = limits::TCP_KEEPALIVE.saturating_add(Duration::from_secs(5));
/// Where one server refuses the connection, the next one has answered by then.
const REFUSED: Duration = Duration::from_secs(8);

/// Where an edge has no flow, the others have been asked by then.
const ASKED: Duration = Duration::from_secs(8);

/// No registration is older.
pub(super) const LONGEST: Duration = Duration::from_secs(120);

/// Judges a whole run.
pub(crate) fn verdict(world: &World) -> Result<Tested, (String, String)> {
    let mut tested = Tested::default();
    for (id, call) in &world.judge.calls.calls {
        let court = Court { world, id, call };
        court.judge(&mut tested).map_err(|what| {
            let what = format!("{what}: call {id} {call:#?}");
            (what, id.clone())
        })?;
    }
    for (id, visit) in &world.judge.admission.visits {
        visit
            .judge(world, &mut tested)
            .map_err(|what| (format!("{what}: {id} {visit:#?}"), id.clone()))?;
    }
    Ok(tested)
}

struct Court<'a> {
    world: &'a World,
    id: &'a str,
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
        self.world.was_clean(who, from, until)
    }

    fn speaks(&self, phone: IpAddr) -> Speaks {
        self.world.cast.phone(phone).speaks
    }

    /// True when nothing worse hurt `who` than that.
    fn bore(&self, harm: Harm, who: IpAddr, from: Instant, until: Instant) -> bool {
        until < at(QUIET_S) && self.world.harm(who, from, until) <= harm
    }

    /// True when nothing hurt the callee and the proxies of a call, but that
    /// `own` may have been stopped, or have lost its connections to the homes.
    fn way_is_clean(&self, fork: &Fork, until: Instant, own: Option<IpAddr>) -> bool {
        let from = self.call.invited;
        let bears = |node: &IpAddr| {
            let most = if own == Some(*node) {
                Harm::Still
            } else {
                Harm::Nothing
            };
            self.bore(most, *node, from, until)
        };
        fork.path.iter().all(bears) && self.clean(fork.callee, from, until)
    }

    /// No 2xx to an INVITE is lost while its way exists, nor is its ACK. A
    /// caller that lost its connection listens all the same.
    fn answer(&self, fork: &Fork, tested: &mut Tested) -> Result<(), String> {
        let (caller, begun, end) = (self.call.caller, self.call.invited, fork.answered + LIFE);
        let is_clean = self.way_is_clean(fork, end, None);
        let bears = |node: &IpAddr| self.bore(Harm::Still, *node, begun, end);
        let callee = self.clean(fork.callee, begun, end);
        if !callee || !fork.path.iter().all(bears) || !self.bore(Harm::Severed, caller, begun, end)
        {
            return Ok(());
        }
        tested.answers += 1;
        tested.hindered += u32::from(!is_clean);
        if fork.heard.is_none_or(|heard| heard > end) {
            return Err("a 2xx to an INVITE was lost".to_owned());
        }
        if !self.clean(caller, begun, end) {
            // Its ACK may have been lost with the connection.
            let named = self.world.cast.phone(caller).name.is_some();
            tested.returned += u32::from(fork.called_back);
            tested.looked_up += u32::from(fork.called_back && named);
            return Ok(());
        }
        if !is_clean {
            return Ok(());
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

    /// An established call can be ended by both sides, even when what one of
    /// them sends waits for its edge to go on, or is lost with the connection
    /// between that edge and the home.
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
        let (mut own, mut other) = (fork.path.last(), fork.path.first());
        if bye.from == fork.callee {
            std::mem::swap(&mut own, &mut other);
        }
        let own_edge = own.copied();
        let own = own_edge.filter(|own| other != Some(own));
        // Whose registration ran out has no flow: a phone of RFC 3261 at any time,
        // the others when they were refused for want of a home.
        let refreshed = self.world.homes_are_clean(bye.sent - RETURNED, bye.sent);
        let has_flow = |phone: &IpAddr| {
            let holds = self.speaks(*phone) != Speaks::Plain && refreshed;
            holds || self.world.is_served(*phone, bye.sent, bye.sent)
        };
        let whole = self.way_is_clean(fork, end, own)
            && self.clean(both[0], self.call.invited, end)
            && both.iter().all(has_flow);
        let served = |phone: &IpAddr| {
            self.speaks(*phone) != Speaks::Plain && self.world.is_served(*phone, bye.sent, end)
        };
        let before = bye.sent - Duration::from_secs(2);
        let other = both[usize::from(bye.from == both[0])];
        // An edge, or a shard of it, that it has left without a word takes it to be
        // where it was until that registration is over.
        let early = self.call.invited - LONGEST;
        let world = self.world;
        let stays = !world.has_borne(Harm::Moved, other, early, end);
        // What it has sent over a connection that others have forgotten is lost.
        let is_heard = !world.has_borne(Harm::Severed, bye.from, self.call.invited, end);
        // Who resolves his routes has no other way than where they lead.
        let keeps_to = own_edge.filter(|_| world.cast.phone(bye.from).resolves());
        let leads = keeps_to.is_none_or(|own| self.clean(own, self.call.invited, end));
        let backed = stays
            && is_heard
            && leads
            && self.has_token(fork, bye)
            && both.iter().all(served)
            && world.homes_are_clean(before, end);
        let whole = whole && stays;
        let moved = self.moved(fork, bye, end) && self.clean(other, self.call.invited, end);
        let moved = moved && stays && has_flow(&other);
        let led_on = stays && has_flow(&other) && !whole && !moved;
        let led_on = led_on.then(|| self.led_on(fork, bye)).flatten();
        let stranded = stays && !whole && has_flow(&bye.from) && self.stranded(fork, bye);
        if !whole && !backed && !moved && !stranded && led_on.is_none() {
            return Ok(());
        }
        let end = if stranded {
            bye.sent + ASKED
        } else if backed {
            end
        } else {
            led_on.unwrap_or(end)
        };
        tested.stranded += u32::from(stranded);
        tested.moved += u32::from(moved);
        tested.led_on += u32::from(led_on.is_some());
        tested.endings += 1;
        tested.failovers += u32::from(!whole && !moved && backed);
        tested.resent += u32::from(self.world.judge.was_sent_again(self.id));
        self.is_ended(bye, end)
    }

    /// The BYE has arrived by then, and been answered well.
    fn is_ended(&self, bye: &Bye, end: Instant) -> Result<(), String> {
        // Both may hang up at the same moment: then the call is gone.
        let met = self.call.byes.iter().any(|other| {
            other.from != bye.from && other.sent < end.min(bye.sent + LIFE) && other.came.is_some()
        });
        if bye.came.is_none_or(|came| came > end) && !met {
            return Err("a call could not be ended: the BYE did not arrive".to_owned());
        }
        match bye.answered {
            Some((when, 200 | 481)) if when <= end => Ok(()),
            _ if met => Ok(()),
            _ => Err("a call could not be ended: no good answer to the BYE".to_owned()),
        }
    }

    /// True when nothing hurt a call but that whoever ends it has gone on from
    /// another address before: there it shows the mark of its dialog.
    fn moved(&self, fork: &Fork, bye: &Bye, end: Instant) -> bool {
        let (world, from) = (self.world, self.call.invited);
        let mut path = fork.path.iter();
        end < at(QUIET_S)
            && world.harm(bye.from, from, end) == Harm::Moved
            && !world.has_borne(Harm::Severed, bye.from, from, end)
            && !world.moves_after(bye.from, bye.sent, end)
            && path.all(|node| self.clean(*node, from, end))
    }

    /// True when the side that is told has a token in the route set of the other one. A
    /// caller without a registration at the edge that he called through has a flow token
    /// of that edge alone, which ends with its run (O-2).
    fn has_token(&self, fork: &Fork, bye: &Bye) -> bool {
        let (caller, invited) = (self.call.caller, self.call.invited);
        let called = |edge: &IpAddr| self.world.is_served_by(caller, *edge, invited, invited);
        bye.from == caller || fork.path.last().is_some_and(called)
    }

    /// True when nothing hurt a call but that the edge of the side that is told has died
    /// before, and that side has a flow all the same, to whichever edge: the one that died
    /// may be in its token, and the other one not (H-12).
    fn stranded(&self, fork: &Fork, bye: &Bye) -> bool {
        let (world, from, end) = (self.world, self.call.invited, bye.sent + ASKED);
        let (Some(&callers), Some(&callees)) = (fork.path.last(), fork.path.first()) else {
            return false;
        };
        let (own, far, other) = if bye.from == fork.callee {
            (callees, callers, self.call.caller)
        } else {
            (callers, callees, fork.callee)
        };
        let mut path = fork.path.iter();
        own != far
            && self.has_token(fork, bye)
            && world.has_died(far, fork.answered, bye.sent)
            && self.bore(Harm::Gone, far, from, end)
            && path.all(|node| *node == far || self.clean(*node, from, end))
            && world.homes_are_clean(from, end)
            && self.clean(bye.from, from, end)
            && self.clean(other, from, end)
            && world.is_served(other, bye.sent, end)
    }

    /// Until when an ending is answered whose phone resolves its routes, and whose edge
    /// has died before: the DNS leads it to a sibling (RFC 3263 §4.3), at once where
    /// the connection is refused, else when nobody has answered for 64·T1. What it
    /// sends before it can have heard of that death is lost with the connection.
    fn led_on(&self, fork: &Fork, bye: &Bye) -> Option<Instant> {
        let (world, from) = (self.world, self.call.invited);
        let phone = world.cast.phone(bye.from);
        let (callers, callees) = (*fork.path.last()?, *fork.path.first()?);
        let (own, other) = if bye.from == fork.callee {
            (callees, self.call.caller)
        } else {
            (callers, fork.callee)
        };
        let (end, most) = if phone.tcp {
            (bye.sent + REFUSED, Harm::Dead)
        } else {
            (bye.sent + LIFE * 2, Harm::Gone)
        };
        let learned = bye.sent - LEARNED;
        let has_died = world.has_died(own, fork.answered, learned)
            && !world.has_died(own, learned, end)
            && self.bore(most, own, from, end);
        let mut further = fork.path.iter().filter(|node| **node != own);
        // A connection to a sibling that has gone without a word looks open until TCP
        // finds out, or until the phone writes and loses what it wrote.
        let half_open =
            |edge: IpAddr| phone.tcp && world.has_borne(Harm::Gone, edge, learned - HALF_OPEN, end);
        let mut siblings = world.cast.edges.iter().filter(|edge| edge.ip() != own);
        // Its connection to the sibling may be one that others have forgotten before.
        let is_heard = !world.has_borne(Harm::Severed, bye.from, from - LONGEST, end);
        // One edge of both has taken the flow of the other side with it.
        (phone.resolves()
            && is_heard
            && callers != callees
            && has_died
            && further.all(|node| self.clean(*node, from, end))
            && siblings.all(|edge| self.clean(edge.ip(), learned, end) && !half_open(edge.ip()))
            && self.clean(bye.from, from, end)
            && self.clean(other, from, end))
        .then_some(end)
    }

    /// Timer C and all other timers: an INVITE has an end.
    fn settled(&self, tested: &mut Tested) -> Result<(), String> {
        let end = self.call.invited_at + Duration::from_secs(225);
        // The edge knows the phone, so that the INVITE has come there.
        let (caller, edge, begun) = (self.call.caller, self.call.edge, self.call.invited_at);
        let mut attackers = self.world.cast.attackers.iter();
        if attackers.any(|attacker| attacker.user.as_ref() == Some(&self.call.user)) {
            // An attacker says once what a phone says until it is acknowledged.
            return Ok(());
        }
        if !self.world.is_served_by(caller, edge, begun, begun)
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
                || !self.world.homes_are_clean(call.invited, end)
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
        let end = call.invited_at + LIFE;
        let phones = self.world.cast.phones.iter();
        let devices = phones.filter(|phone| phone.user == call.user);
        let mut devices = devices.map(|phone| phone.addr.ip());
        let early = call.invited_at - LONGEST;
        let served = devices.any(|phone| {
            self.world.is_served(phone, call.invited_at, end)
                && !self.world.has_borne(Harm::Moved, phone, early, end)
        });
        let cancelled = call.cancelled.is_some_and(|when| when < end);
        if cancelled
            || !served
            || !self.world.has_one_registrar()
            || !self.world.homes_are_clean(early, end)
            || !self
                .world
                .is_served_by(call.caller, call.edge, call.invited_at, end)
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
