//! How much of what is new a shard takes in while it is late, and which of it.
//!
//! - The shell says how late the shard is: how long the oldest message that it
//!   has just handled may have waited. Short bursts are smoothed away; where
//!   `limits::LATE_MAX` is passed all the same, a share of the requests is
//!   refused, which grows by as much as the shard is too late and shrinks
//!   slowly (multiplicative decrease, additive increase of what is admitted).
//! - The share is one of all requests. Who pays is decided by [`RequestClass`]: every
//!   request adds to a debt, and a refusal pays one off. The lowest class pays
//!   as soon as there is one to pay, the next only where the debt has grown by
//!   `limits::CLASS_STEP` since those below it did not suffice (as RFC 7415
//!   §3.5.1 does it). No chance is involved, and no share is estimated.
//! - Where the node may use so much memory and no more, the shell says what share of
//!   what is new is to be refused for that as well, by the same order of worth.
//! - The same [`Thinning`] serves the share that a peer asks for (RFC 7339
//!   §5.10.1).
//!
//! Not here: how one source is kept from asking for too much ([`guard`](crate::guard)), what
//! the refused are told, and how a peer asks ([`proxy`](crate::proxy)).

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::time::{Duration, Instant};

/// What a request is worth, the first to be refused first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequestClass {
    /// A registration of a phone that has none here, and what stands for
    /// itself (OPTIONS, MESSAGE, SUBSCRIBE). It is what a storm consists of, and
    /// a phone with two flows is still reached by the other one.
    New,
    /// A registration that is renewed: it lasts for a while yet, but refused
    /// for too long it becomes a new one, and a silent phone.
    Renewal,
    /// A call: refused, it is lost.
    Call,
    /// An emergency call: refused only where nothing else is left to refuse.
    Emergency,
    /// What belongs to a call or a transaction that there is: never refused,
    /// since refusing it saves nothing.
    Standing,
}

impl RequestClass {
    /// Whole requests of debt at which one of this class pays.
    const fn price(self) -> Option<u32> {
        match self {
            Self::New => Some(1),
            Self::Renewal => Some(1 + limits::CLASS_STEP),
            Self::Call => Some(1 + 2 * limits::CLASS_STEP),
            Self::Emergency => Some(1 + 3 * limits::CLASS_STEP),
            Self::Standing => None,
        }
    }
}

/// One request, in the units of `Thinning::debt`.
const REQUEST: u32 = 100;
/// Where the debt stops to grow: the price of the dearest class and one step.
const DEBT_MAX: u32 = (1 + 4 * limits::CLASS_STEP) * REQUEST;

/// Refuses a share of all requests, the least worth first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thinning {
    loss: u8,
    debt: u32,
}

impl Thinning {
    /// Refuses nothing.
    pub const NONE: Self = Self { loss: 0, debt: 0 };

    /// The share from now on, in percent; more than all counts as all.
    pub const fn set(&mut self, percent: u8) {
        self.loss = if percent > 100 { 100 } else { percent };
        if percent == 0 {
            self.debt = 0;
        }
    }

    /// The share, in percent.
    #[must_use]
    pub const fn loss(&self) -> u8 {
        self.loss
    }

    /// Whether a request of that class goes on.
    pub const fn admits(&mut self, class: RequestClass) -> bool {
        let debt = self.debt + self.loss as u32;
        self.debt = if debt > DEBT_MAX { DEBT_MAX } else { debt };
        match class.price() {
            Some(price) if self.debt >= price * REQUEST => {
                self.debt -= REQUEST;
                false
            }
            Some(_) | None => true,
        }
    }
}

/// All requests, in the units of `Admission::admitted`.
const ALL: u32 = 1_000;

/// The admission of one shard.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Admission {
    /// How late the shard is, smoothed over its turns, in microseconds.
    late: u64,
    /// The most of it in this period.
    latest: u64,
    /// When the share is looked at again.
    due: Instant,
    /// The share that is taken in, in thousandths.
    admitted: u32,
    thinning: Thinning,
    /// What is refused for want of memory.
    short: Thinning,
    /// When the share was settled last, while there is something to tell.
    reported_at: Option<Instant>,
    /// When it was more than none last.
    shed: Instant,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            late: 0,
            latest: 0,
            due: Instant::ZERO,
            admitted: ALL,
            thinning: Thinning::NONE,
            short: Thinning::NONE,
            reported_at: None,
            shed: Instant::ZERO,
        }
    }
}

impl Admission {
    /// The shard has come to the end of a turn in which it was so late.
    pub fn measured(&mut self, now: Instant, late: Duration) {
        let sample = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        // A turn is worth as much as another, however long it was: one stall
        // of the machine is no overload.
        self.late = (self.late * 7).saturating_add(sample) / 8;
        self.latest = self.latest.max(self.late);
        if now >= self.due {
            self.settle(now, late);
        }
    }

    /// Memory is so short that this share of what comes is to be refused, in percent.
    pub(crate) const fn set_short(&mut self, now: Instant, percent: u8) {
        if self.short.loss == percent {
            return;
        }
        self.short.set(percent);
        self.shed = now;
        self.reported_at = Some(now);
    }

    /// True while a share is refused for want of memory.
    #[must_use]
    pub(crate) const fn is_short(&self) -> bool {
        self.short.loss > 0
    }

    /// True while a share is refused: otherwise `admits` takes all in.
    #[must_use]
    pub(crate) const fn is_shedding(&self) -> bool {
        self.loss() > 0
    }

    /// Whether a request of that class is taken in.
    pub fn admits(&mut self, now: Instant, class: RequestClass) -> bool {
        if !self.is_shedding() {
            return true;
        }
        if now >= self.due {
            self.settle(now, Duration::ZERO);
        }
        // Both add up what is owed, whoever pays.
        let is_in_time = self.thinning.admits(class);
        self.short.admits(class) && is_in_time
    }

    /// The share that is refused now, in percent: the larger one of both.
    #[must_use]
    pub const fn loss(&self) -> u8 {
        let (late, short) = (self.thinning.loss, self.short.loss);
        if late > short { late } else { short }
    }

    /// What peers are told: the share in percent, none for a while after its end,
    /// and when that was settled, which grows with every change. `None`: there
    /// is nothing to tell.
    #[must_use]
    pub fn report(&self) -> Option<(u8, Instant)> {
        self.reported_at
            .map(|reported_at| (self.loss(), reported_at))
    }

    /// The end of a period, or of several when nothing happened until the turn
    /// that was so late.
    fn settle(&mut self, now: Instant, late: Duration) {
        let period = limits::ADMISSION_PERIOD;
        let target = u64::try_from(limits::LATE_MAX.as_micros()).unwrap_or(u64::MAX);
        let idle = now.since(self.due).saturating_sub(late);
        if idle >= period {
            // What was measured before says nothing any more.
            (self.late, self.latest) = (0, 0);
        }
        if self.latest > target {
            let to = target.max(self.latest / 2);
            let admitted = u64::from(self.admitted) * to / self.latest;
            self.admitted = u32::try_from(admitted).unwrap_or(ALL);
            self.admitted = self.admitted.max(limits::ADMITTED_MIN);
        } else if self.admitted < ALL {
            let passed = idle.as_millis() / period.as_millis() + 1;
            let passed = u32::try_from(passed).unwrap_or(ALL).min(ALL);
            self.admitted = (self.admitted + passed * limits::ADMITTED_STEP).min(ALL);
        }
        let loss = (ALL - self.admitted).div_ceil(10);
        self.thinning.set(u8::try_from(loss).unwrap_or(100));
        let loss = self.loss();
        if loss > 0 {
            self.shed = now;
        }
        let is_news =
            loss > 0 || self.reported_at.is_some() && now.since(self.shed) < limits::OC_END;
        self.reported_at = is_news.then_some(now);
        self.latest = self.late;
        self.due = now + period;
    }
}

const _: () = assert!(
    limits::ADMITTED_MIN > 0,
    "nobody would ever be let in again"
);
const _: () = assert!(
    limits::CLASS_STEP > 0,
    "the classes would all pay at the same price"
);

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = limits::ADMISSION_PERIOD;

    /// How many of `count` requests of each class are refused, in turn.
    fn refused(thinning: &mut Thinning, classes: &[RequestClass], count: usize) -> Vec<usize> {
        let mut refused = vec![0; classes.len()];
        for _ in 0..count {
            for (index, class) in classes.iter().enumerate() {
                refused[index] += usize::from(!thinning.admits(*class));
            }
        }
        refused
    }

    #[test]
    fn a_share_of_all_is_refused_and_the_least_worth_pays_it() {
        // V-4
        let all = [
            RequestClass::Standing,
            RequestClass::Emergency,
            RequestClass::Call,
            RequestClass::Renewal,
            RequestClass::New,
        ];
        // Of 500 requests: a fifth are the new ones, two fifths those that are
        // renewed as well, and so on. What stands is spared at any price.
        for (loss, want) in [
            (0, [0, 0, 0, 0, 0]),
            (10, [0, 0, 0, 0, 50]),
            (20, [0, 0, 0, 0, 100]),
            (30, [0, 0, 0, 50, 100]),
            (50, [0, 0, 50, 100, 100]),
            (70, [0, 50, 100, 100, 100]),
            (100, [0, 100, 100, 100, 100]),
        ] {
            let mut thinning = Thinning::NONE;
            thinning.set(loss);
            // The debts that the classes wait for are built up.
            refused(&mut thinning, &all, 1_000);
            let got = refused(&mut thinning, &all, 100);
            for (got, want) in got.iter().zip(want) {
                assert!(got.abs_diff(want) <= 1, "{loss} %: {got} for {want}");
            }
        }
    }

    #[test]
    fn where_all_are_alike_exactly_the_share_is_refused() {
        for class in [
            RequestClass::New,
            RequestClass::Call,
            RequestClass::Emergency,
        ] {
            let mut thinning = Thinning::NONE;
            thinning.set(35);
            refused(&mut thinning, &[class], 1_000);
            assert_eq!(refused(&mut thinning, &[class], 100), [35], "{class:?}");
        }
    }

    #[test]
    fn a_shard_short_of_memory_takes_in_no_more_than_it_may_however_early_it_is() {
        // V-6
        let mut admission = Admission::default();
        let now = Instant::ZERO + Duration::from_secs(1);
        admission.set_short(now, 100);
        assert_eq!(admission.report(), Some((100, now)));
        let mut takes = |class| (0..1_000).filter(|_| admission.admits(now, class)).count();
        // Each class is asked to pay once those below it have not sufficed.
        assert!(takes(RequestClass::Call) < 50);
        assert!(takes(RequestClass::New) == 0);
        assert_eq!(takes(RequestClass::Standing), 1_000);
        admission.set_short(now, 0);
        assert!(!admission.is_shedding() && admission.admits(now, RequestClass::New));
        // Peers are told for a while that it is over, and then nothing.
        assert_eq!(admission.report(), Some((0, now)));
        let later = now + limits::OC_END + PERIOD;
        admission.measured(later, Duration::ZERO);
        assert_eq!(admission.report(), None);
    }

    #[test]
    fn one_stall_is_no_overload_and_a_standing_queue_is() {
        let mut admission = Admission::default();
        let mut now = Instant::ZERO;
        let mut turns = |admission: &mut Admission, count: u64, late: Duration| {
            for _ in 0..count {
                now = now + Duration::from_millis(5);
                admission.measured(now, late);
            }
            now
        };
        turns(&mut admission, 1, limits::LATE_MAX * 7);
        turns(&mut admission, 50, Duration::ZERO);
        assert!(!admission.is_shedding());
        // Twice as late as may be: half is taken in after a period, and less
        // after each one more.
        turns(&mut admission, 100, limits::LATE_MAX * 2);
        let loss = admission.loss();
        assert!(loss > 90, "{loss}");
        let now = turns(&mut admission, 200, limits::LATE_MAX * 2);
        assert_eq!(
            u32::from(admission.loss()),
            100 - limits::ADMITTED_MIN / 10,
            "somebody is always let in"
        );
        let refused = (0..100).filter(|_| !admission.admits(now, RequestClass::New));
        assert_eq!(refused.count(), usize::from(admission.loss()));
        // In time again: what is taken in grows step by step, also while
        // nobody says how late it is.
        let steps = ALL / limits::ADMITTED_STEP;
        let half = now + PERIOD * (steps / 2);
        admission.measured(half, Duration::ZERO);
        assert!(
            (40..=60).contains(&admission.loss()),
            "{}",
            admission.loss()
        );
        assert!(admission.admits(now + PERIOD * (steps + 1), RequestClass::New));
        assert!(!admission.is_shedding());
    }
}
