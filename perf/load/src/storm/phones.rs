//! The phones of the storm: their flows and their calls.

use steadfast_core::limits;

/// One flow of a phone: two of them stand beside one another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// Where it leads.
    pub(super) edge: u8,
    /// A REGISTER made it, and it has not failed since.
    pub(super) is_up: bool,
    /// What it waits for now.
    pub(super) waits: Waits,
    /// Counts its attempts, so that an answer finds the right one.
    pub(super) attempt: u16,
    /// Times that it failed since it last worked (RFC 5626 §4.5).
    pub(super) failures: u8,
    /// The edge has read the attempt under way: a repeated one is absorbed.
    pub(super) is_read: bool,
    /// Its connection is up; nothing of it where it needs none.
    pub(super) is_connected: bool,
    /// The phone has a TLS session with this edge, which saves it a signature.
    pub(super) is_known: bool,
    /// When the attempt under way began.
    pub(super) began_ms: u32,
}

/// What a flow, or a call, waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    /// Its time.
    Time,
    /// Its connection, and the TLS handshake.
    Connection,
    /// The answer to a REGISTER without credentials.
    Challenge,
    /// The answer to the next one.
    Ok,
}

/// One call, as it begins or ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) phone: u32,
    pub(super) state: CallState,
    pub(super) attempt: u16,
    pub(super) began_ms: u32,
    /// The edge has read the attempt under way.
    pub(super) is_read: bool,
    /// It is on a connection, where nothing is sent again.
    pub(super) is_sent: bool,
}

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallState {
    Nothing,
    Beginning,
    Up,
    Ending,
}

/// When a request without an answer is sent again, counted from its first
/// time: Timer E (RFC 3261 §17.1.2.2). `None`: it has failed.
pub(super) fn again_after_ms(passed_ms: u32) -> Option<u32> {
    let [t1, t2, all] = [limits::T1, limits::T2, limits::T1_64]
        .map(|time| u32::try_from(time.as_millis()).unwrap_or(u32::MAX));
    let next = (passed_ms + t1).min(t2);
    (passed_ms < all).then(|| next.min(all - passed_ms))
}

/// The wait before a flow is tried again (RFC 5626 §4.5).
pub(super) fn back_off_ms(failures: u8, has_other: bool, chance: u64) -> u32 {
    let (alone, beside, most) = limits::AGENT_BACK_OFF_S;
    let base = if has_other { beside } else { alone };
    let wait = most.min(base << failures.min(10)) * 1_000;
    let spread = chance % (wait / 2 + 1);
    u32::try_from(wait / 2 + spread).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_repeated_as_timer_e_has_it() {
        let mut at = 0;
        let mut times = Vec::new();
        while let Some(wait) = again_after_ms(at) {
            at += wait;
            times.push(at);
        }
        assert_eq!(times[..4], [500, 1_500, 3_500, 7_500]);
        assert_eq!(times.last(), Some(&32_000));
    }

    #[test]
    fn a_failure_waits_longer_each_time_and_never_longer_than_half_an_hour() {
        for chance in [0, 1, 12_345, u64::MAX] {
            let wait = back_off_ms(1, false, chance);
            assert!((30_000..=60_000).contains(&wait), "{wait}");
            let wait = back_off_ms(200, true, chance);
            assert!((900_000..=1_800_000).contains(&wait), "{wait}");
        }
    }
}
