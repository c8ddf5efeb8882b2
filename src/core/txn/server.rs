//! Server transactions, RFC 3261 §17.2 with RFC 6026 §7.1 and RFC 4320 §4:
//! one request that came in and what we answered.
//!
//! Each function is one event and its effect on the state; timers are not
//! kept here but asked for with `due`. No event brings the due time forward
//! except to "now", so whoever keeps the timers never moves one.

use serde::{Deserialize, Serialize};

use super::TransactionKind;
use super::key::ServerKey;
use super::pace::{Backoff, Pace, TimerEvent};
use crate::bytes::Buf;
use crate::guard::Charge;
use crate::id::Flow;
use crate::limits;
use crate::time::Instant;

/// One server transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ServerTransaction<O> {
    pub(super) key: ServerKey,
    /// Where responses go.
    pub(super) flow: Flow,
    pub(super) owner: O,
    /// True while the wheel holds an entry for it.
    pub(super) is_armed: bool,
    /// The bytes that its source is charged with.
    pub(super) charge: Charge,
    state: State,
}

/// The states of both machines. Where nothing ends a state by time, the user
/// above does by answering.
#[derive(Debug, Serialize, Deserialize)]
enum State {
    InviteProceeding {
        last: Option<Buf>,
    },
    InviteAccepted {
        end: Instant,
    },
    InviteCompleted {
        response: Buf,
        pace: Pace,
    },
    InviteConfirmed {
        end: Instant,
    },
    /// Unanswered, and too early for a 100 (RFC 4320 §4.1).
    OtherTrying {
        until: Instant,
    },
    /// No final response, and a 100 may go or has gone.
    OtherProceeding {
        last: Option<Buf>,
    },
    /// Without a response when the user gave up: nothing may be sent then
    /// (RFC 4320 §4.2).
    OtherCompleted {
        response: Option<Buf>,
        end: Instant,
    },
}

/// What a wake-up did.
#[derive(Debug)]
pub(super) enum ServerWake {
    /// Nothing; the due time has moved.
    Rest,
    /// Send this again.
    Resend(Buf),
    /// A non-INVITE is unanswered at the time a 100 is due.
    Trying,
    /// Over: no ACK came.
    AckTimeout,
    /// Over.
    Done,
}

impl<O: Copy> ServerTransaction<O> {
    pub(super) fn new(
        now: Instant,
        key: ServerKey,
        kind: TransactionKind,
        flow: Flow,
        owner: O,
    ) -> Self {
        let state = match kind {
            TransactionKind::Invite => State::InviteProceeding { last: None },
            TransactionKind::Other if flow.is_reliable() => State::OtherProceeding { last: None },
            TransactionKind::Other => State::OtherTrying {
                until: now + limits::NON_INVITE_TRYING,
            },
        };
        Self {
            key,
            flow,
            owner,
            is_armed: false,
            charge: Charge::default(),
            state,
        }
    }

    /// The answer that it keeps.
    pub(super) const fn buf(&mut self) -> Option<&mut Buf> {
        match &mut self.state {
            State::InviteProceeding { last: response }
            | State::OtherProceeding { last: response }
            | State::OtherCompleted { response, .. } => response.as_mut(),
            State::InviteCompleted { response, .. } => Some(response),
            State::InviteAccepted { .. }
            | State::InviteConfirmed { .. }
            | State::OtherTrying { .. } => None,
        }
    }

    /// Bytes of the final answer that it keeps; `None` before there is one.
    pub(super) fn kept(&self) -> Option<usize> {
        match &self.state {
            State::InviteProceeding { .. }
            | State::OtherTrying { .. }
            | State::OtherProceeding { .. } => None,
            State::InviteAccepted { .. } | State::InviteConfirmed { .. } => Some(0),
            State::InviteCompleted { response, .. } => Some(response.size()),
            State::OtherCompleted { response, .. } => Some(response.as_ref().map_or(0, Buf::size)),
        }
    }

    /// The request came again: the response to send again, if any.
    pub(super) fn request_again(&self) -> Option<Buf> {
        match &self.state {
            State::InviteProceeding { last: response }
            | State::OtherProceeding { last: response }
            | State::OtherCompleted { response, .. } => response.clone(),
            State::InviteCompleted { response, .. } => Some(response.clone()),
            State::InviteAccepted { .. }
            | State::InviteConfirmed { .. }
            | State::OtherTrying { .. } => None,
        }
    }

    /// The user answers. `None`: the rules forbid to send it.
    pub(super) fn respond(&mut self, now: Instant, status: u16, response: Buf) -> Option<Buf> {
        match &mut self.state {
            State::InviteProceeding { last } => {
                match status {
                    ..200 => *last = Some(response.clone()),
                    // Timer L (RFC 6026 §7.1): nothing is retransmitted, as the UAS repeats its 2xx end
                    // to end, but a repeated INVITE must not become a new request.
                    200..300 => {
                        self.state = State::InviteAccepted {
                            end: now + limits::T1_64,
                        }
                    }
                    300.. => {
                        let backoff = if self.flow.is_reliable() {
                            Backoff::Never
                        } else {
                            Backoff::DoublingToT2
                        };
                        let pace = Pace::new(now, backoff);
                        self.state = State::InviteCompleted {
                            response: response.clone(),
                            pace,
                        };
                    }
                }
                Some(response)
            }
            State::InviteAccepted { .. } => matches!(status, 200..300).then_some(response),
            State::OtherTrying { until } if status < 200 && now < *until => None,
            State::OtherTrying { .. } | State::OtherProceeding { .. } => {
                self.respond_other(now, status, response)
            }
            // RFC 3261 §16.7-5: another fork has answered after all.
            State::InviteCompleted { .. } | State::InviteConfirmed { .. } => {
                matches!(status, 200..300).then_some(response)
            }
            State::OtherCompleted { .. } => None,
        }
    }

    fn respond_other(&mut self, now: Instant, status: u16, response: Buf) -> Option<Buf> {
        let response = match status {
            100 => {
                self.state = State::OtherProceeding {
                    last: Some(response.clone()),
                };
                return Some(response);
            }
            ..200 => return None,
            // RFC 4320 §4.2: its client has timed out by then, and the 408 would be a stray.
            408 => None,
            200.. => Some(response),
        };
        // Timer J.
        let end = if self.flow.is_reliable() {
            now
        } else {
            now + limits::T1_64
        };
        self.state = State::OtherCompleted {
            response: response.clone(),
            end,
        };
        response
    }

    /// True while an INVITE has no final response: there is nothing to acknowledge.
    pub(super) const fn is_early(&self) -> bool {
        matches!(self.state, State::InviteProceeding { .. })
    }

    /// Takes in an ACK. False where it does not end here, because it acknowledges a 2xx
    /// (RFC 6026 §7.1) or nothing at all.
    pub(super) fn acked(&mut self, now: Instant, forks: bool) -> bool {
        match self.state {
            State::InviteCompleted { .. } => {
                // Timer I; with branches that may still give a 2xx as long as Timer D of theirs, so
                // that the 2xx finds the transaction (RFC 3261 §16.7-5).
                let end = match (forks, self.flow.is_reliable()) {
                    (true, _) => now + limits::T1_64,
                    (false, true) => now,
                    (false, false) => now + limits::T4,
                };
                self.state = State::InviteConfirmed { end };
                true
            }
            State::InviteConfirmed { .. } => true,
            State::InviteProceeding { .. }
            | State::InviteAccepted { .. }
            | State::OtherTrying { .. }
            | State::OtherProceeding { .. }
            | State::OtherCompleted { .. } => false,
        }
    }

    /// When `wake` is to be called; `None` while only an event can go on.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::InviteProceeding { .. } | State::OtherProceeding { .. } => None,
            State::InviteCompleted { pace, .. } => Some(pace.due()),
            State::OtherTrying { until: at }
            | State::InviteAccepted { end: at }
            | State::InviteConfirmed { end: at }
            | State::OtherCompleted { end: at, .. } => Some(*at),
        }
    }

    /// Time has passed.
    pub(super) fn wake(&mut self, now: Instant) -> ServerWake {
        if self.due().is_none_or(|due| now < due) {
            return ServerWake::Rest;
        }
        match &mut self.state {
            State::InviteProceeding { .. } | State::OtherProceeding { .. } => ServerWake::Rest,
            State::InviteCompleted { response, pace } => match pace.advance(now) {
                TimerEvent::Rest => ServerWake::Rest,
                TimerEvent::Send => ServerWake::Resend(response.clone()),
                TimerEvent::End => ServerWake::AckTimeout,
            },
            State::OtherTrying { .. } => {
                self.state = State::OtherProceeding { last: None };
                ServerWake::Trying
            }
            State::InviteAccepted { .. }
            | State::InviteConfirmed { .. }
            | State::OtherCompleted { .. } => ServerWake::Done,
        }
    }
}

const _: () = assert!(
    size_of::<ServerTransaction<[u32; 3]>>() <= 112,
    "a million of these linger for 32 s"
);

#[cfg(test)]
mod tests {
    use crate::txn::trial::{OTHER_TCP, TCP, Trial, UDP};

    // T-1
    #[test]
    fn a_refusal_is_repeated_until_timer_h() {
        let mut t = Trial::new();
        let id = t.server("INVITE", UDP);
        t.check(250, &[]);
        assert_eq!(t.answer(id, 486), "486");
        let want = [
            750, 1_750, 3_750, 7_750, 11_750, 15_750, 19_750, 23_750, 27_750, 31_750,
        ];
        t.check(32_249, &want.map(|at| (at, "resend 486")));
        assert_eq!(t.again(id), "486");
        t.check(99_000, &[(32_250, "ack timeout")]);
        assert_eq!((t.txn.servers(), t.again(id)), (0, "nothing"));
    }

    // T-1
    #[test]
    fn an_ack_ends_its_repetition() {
        let mut t = Trial::new();
        let id = t.server("INVITE", UDP);
        assert_eq!(t.answer(id, 486), "486");
        t.check(1_000, &[(500, "resend 486")]);
        assert!(t.txn.acked(t.now, id, true));
        t.check(5_999, &[]);
        assert!(t.txn.acked(t.now, id, true));
        assert_eq!((t.again(id), t.answer(id, 486)), ("nothing", "nothing"));
        t.check(99_000, &[(33_000, "server done")]);
    }

    // T-1
    #[test]
    fn an_answer_of_our_own_ends_by_timer_i() {
        for (flow, end) in [(UDP, 5_000), (TCP, 0)] {
            let mut t = Trial::new();
            let id = t.server("INVITE", flow);
            assert_eq!(t.answer(id, 486), "486");
            assert!(t.txn.acked(t.now, id, false));
            t.check(99_000, &[(end, "server done")]);
        }
    }

    // P-27
    #[test]
    fn a_2xx_passes_a_refusal_that_went_before_it() {
        let mut t = Trial::new();
        let id = t.server("INVITE", UDP);
        assert_eq!((t.answer(id, 486), t.answer(id, 200)), ("486", "200"));
        t.check(1_000, &[(500, "resend 486")]);
        assert!(t.txn.acked(t.now, id, true));
        assert_eq!(
            (t.answer(id, 200), t.answer(id, 180), t.again(id)),
            ("200", "nothing", "nothing")
        );
        t.check(99_000, &[(33_000, "server done")]);
    }

    // T-1
    #[test]
    fn on_a_stream_timers_g_and_j_are_off() {
        let mut t = Trial::new();
        let id = t.server("INVITE", TCP);
        assert_eq!(t.answer(id, 486), "486");
        t.check(99_000, &[(32_000, "ack timeout")]);
        let id = t.server("INVITE", TCP);
        assert_eq!(t.answer(id, 486), "486");
        assert!(t.txn.acked(t.now, id, true));
        t.check(140_000, &[(131_000, "server done")]);
        let id = t.server("BYE", TCP);
        assert_eq!(t.answer(id, 200), "200");
        t.check(199_000, &[(140_000, "server done")]);
    }

    // T-1
    #[test]
    fn an_answer_to_another_request_is_kept_until_timer_j() {
        let mut t = Trial::new();
        let id = t.server("BYE", UDP);
        assert_eq!((t.again(id), t.answer(id, 200)), ("nothing", "200"));
        assert_eq!(
            (t.again(id), t.answer(id, 200), t.answer(id, 100)),
            ("200", "nothing", "nothing")
        );
        t.check(31_999, &[]);
        assert_eq!(t.again(id), "200");
        t.check(99_000, &[(32_000, "server done")]);
    }

    // T-2
    #[test]
    fn the_last_provisional_answers_a_repeated_invite() {
        let mut t = Trial::new();
        let id = t.server("INVITE", UDP);
        assert_eq!(
            (t.again(id), t.answer(id, 100), t.again(id)),
            ("nothing", "100", "100")
        );
        assert_eq!((t.answer(id, 180), t.again(id)), ("180", "180"));
        t.check(600_000, &[]);
        assert_eq!(t.again(id), "180");
    }

    // T-5
    #[test]
    fn accepted_passes_2xx_and_absorbs_the_invite() {
        for flow in [UDP, TCP] {
            let mut t = Trial::new();
            let id = t.server("INVITE", flow);
            assert_eq!((t.answer(id, 180), t.answer(id, 200)), ("180", "200"));
            assert_eq!(t.again(id), "nothing");
            t.check(31_999, &[]);
            assert_eq!((t.answer(id, 200), t.answer(id, 202)), ("200", "202"));
            assert_eq!(
                (t.answer(id, 183), t.answer(id, 500), t.again(id)),
                ("nothing", "nothing", "nothing")
            );
            assert!(
                !t.txn.acked(t.now, id, true),
                "an ACK to a 2xx is for the user"
            );
            t.check(99_000, &[(32_000, "server done")]);
            assert_eq!(t.answer(id, 200), "nothing");
        }
    }

    // T-6
    #[test]
    fn a_response_takes_the_connection_that_replaced_the_lost_one() {
        let mut t = Trial::new();
        let id = t.server("INVITE", TCP);
        assert_eq!(t.answer(id, 180), "180");
        t.txn.set_server_flow(id, OTHER_TCP);
        let sent = t.txn.respond(t.now, id, 200, t.pool.copy(b"200")).unwrap();
        assert_eq!(
            (sent.flow, t.txn.server_flow(id)),
            (OTHER_TCP, Some(OTHER_TCP))
        );
        t.check(99_000, &[(32_000, "server done")]);
    }

    // T-8
    #[test]
    fn over_udp_a_100_to_another_request_waits_for_its_time() {
        let mut t = Trial::new();
        let id = t.server("BYE", UDP);
        assert_eq!(t.answer(id, 100), "nothing");
        t.check(3_499, &[]);
        assert_eq!((t.answer(id, 100), t.again(id)), ("nothing", "nothing"));
        t.check(3_500, &[(3_500, "trying")]);
        assert_eq!((t.answer(id, 180), t.again(id)), ("nothing", "nothing"));
        assert_eq!((t.answer(id, 100), t.again(id)), ("100", "100"));
        t.check(10_000, &[]);
        assert_eq!((t.answer(id, 200), t.again(id)), ("200", "200"));
        t.check(99_000, &[(42_000, "server done")]);
    }

    // T-8
    #[test]
    fn over_a_stream_a_100_goes_at_any_time_and_is_never_asked_for() {
        let mut t = Trial::new();
        let id = t.server("BYE", TCP);
        t.check(10_000, &[]);
        assert_eq!(
            (t.answer(id, 183), t.answer(id, 100), t.answer(id, 200)),
            ("nothing", "100", "200")
        );
    }

    // T-9
    #[test]
    fn a_408_lets_another_request_die_in_silence() {
        let mut t = Trial::new();
        let id = t.server("BYE", UDP);
        t.check(10_000, &[(3_500, "trying")]);
        assert_eq!(
            (t.answer(id, 408), t.again(id), t.answer(id, 200)),
            ("nothing", "nothing", "nothing")
        );
        t.check(99_000, &[(42_000, "server done")]);
        assert_eq!(t.answer(id, 200), "nothing");
        let id = t.server("BYE", TCP);
        assert_eq!(t.answer(id, 408), "nothing");
        t.check(99_000, &[(99_000, "server done")]);
        let id = t.server("INVITE", TCP);
        assert_eq!(t.answer(id, 408), "408");
    }
}
