//! When phones are told to come back: spread, so that those whom one moment
//! brought together (an edge that died, a network that returned) are not
//! together again an hour later, and always sooner rather than later than asked.
//!
//! The chance comes in as an argument, each time another number.

use crate::limits;

/// Keep-alive interval for one phone, in seconds (RFC 5626 §5.4).
#[must_use]
pub(crate) fn flow_timer_s(chance: u64) -> u32 {
    shorter(limits::FLOW_TIMER_S, limits::FLOW_TIMER_SPREAD, chance)
}

/// What a registration lasts for that could last for `granted_s`: never less
/// than the least that a phone may ask for (RFC 3261 §10.3). People choose round
/// numbers; one that is not round was granted by this function, to a phone that
/// asks each time for what it got last, and is granted again: shortened each time
/// it would come down to the least.
#[must_use]
pub fn expires_s(granted_s: u32, chance: u64) -> u32 {
    /// Seconds that people count in.
    const ROUND: u32 = 10;
    if !granted_s.is_multiple_of(ROUND) {
        return granted_s;
    }
    let shortened = shorter(granted_s, limits::EXPIRES_SPREAD, chance);
    let is_round = shortened < granted_s && shortened.is_multiple_of(ROUND);
    let spread = shortened + u32::from(is_round);
    spread.max(granted_s.min(limits::EXPIRES_MIN_S))
}

/// When a phone behind an address translation is to register again, in seconds.
#[must_use]
pub(crate) fn nat_expires_s(chance: u64) -> u32 {
    shorter(limits::NAT_EXPIRES_S, limits::EXPIRES_SPREAD, chance)
}

/// Longest Retry-After where such a share is refused, in seconds: so long that
/// those who are refused come back no faster than they would have been taken in.
#[must_use]
pub fn retry_within_s(loss_percent: u8) -> u32 {
    let (_, longest) = limits::RETRY_AFTER_S;
    let admitted = 100_u32.saturating_sub(loss_percent.into()).max(1);
    (longest * 100 / admitted).min(limits::RETRY_AFTER_MAX_S)
}

/// A Retry-After of at most `longest_s` (RFC 3261 §20.33).
#[must_use]
pub fn retry_after_s(longest_s: u32, chance: u64) -> u32 {
    let (shortest, _) = limits::RETRY_AFTER_S;
    let spread = longest_s.saturating_sub(shortest);
    shortest + below(spread + 1, chance)
}

/// Less than `whole` by up to one part in `parts` of it.
fn shorter(whole: u32, parts: u32, chance: u64) -> u32 {
    whole - below(whole / parts + 1, chance)
}

/// A number below `bound`, all about as likely.
fn below(bound: u32, chance: u64) -> u32 {
    u32::try_from(chance % u64::from(bound)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least and the most of it, over many chances.
    fn range(of: impl Fn(u64) -> u32) -> (u32, u32) {
        let all = || (0..10_000).map(&of);
        (all().min().unwrap(), all().max().unwrap())
    }

    #[test]
    fn who_asks_for_what_was_granted_last_is_not_ground_down() {
        for chance in 0..10_000 {
            let granted = expires_s(3_600, chance);
            let again = (0..100).fold(granted, |granted_again, more| {
                expires_s(granted_again, chance + more)
            });
            assert!(again >= 3_151, "{granted} became {again}");
        }
    }

    #[test]
    fn nobody_is_told_to_come_later_than_asked() {
        assert_eq!(range(flow_timer_s), (96, limits::FLOW_TIMER_S));
        assert_eq!(range(|chance| expires_s(3_600, chance)), (3_151, 3_600));
        assert_eq!(range(|chance| expires_s(0, chance)), (0, 0));
        // Never too brief for the phone to ask for it again.
        let least = limits::EXPIRES_MIN_S;
        assert_eq!(range(|chance| expires_s(least, chance)), (least, least));
        assert_eq!(range(|chance| expires_s(70, chance)), (62, 70));
        // Nor so brief that a registrar refuses who asks for what he got.
        assert_eq!(range(nat_expires_s), (least, limits::NAT_EXPIRES_S));
        assert_eq!(range(|chance| retry_after_s(15, chance)), (5, 15));
        assert_eq!(range(|chance| retry_after_s(120, chance)), (5, 120));
        assert_eq!(range(|chance| retry_after_s(0, chance)), (5, 5));
        let within = [0, 50, 80, 99, 100].map(retry_within_s);
        assert_eq!(within, [15, 30, 75, 120, 120]);
    }
}
