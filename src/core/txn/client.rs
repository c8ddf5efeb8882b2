//! Client transactions, RFC 3261 §17.1 with RFC 6026 §7.2: one request that
//! we sent and what we heard.
//!
//! As on the server side each function is one event, timers are asked for
//! with `due`, and no event brings the due time forward except to "now".
//! The request is kept until its final response and no longer.

use std::mem;

use super::flow_waiters::{FlowWaiters, NONE, RingLinks};
use super::pace::{Backoff, Pace, TimerEvent};
use super::{Kind, ResponseAction, Send};
use crate::bytes::Buf;
use crate::id::{Flow, Slot};
use crate::limits;
use crate::time::Instant;

/// One client transaction.
#[derive(Debug)]
pub(super) struct Client<O> {
    /// Where the request went, once it has gone, and who waits there besides.
    pub(super) ring: RingLinks,
    pub(super) owner: O,
    /// True while the wheel holds an entry for it.
    pub(super) is_armed: bool,
    /// The flow is a stream: nothing is sent twice on it.
    is_reliable: bool,
    pub(super) name: Name,
    state: State,
}

/// How its responses find it (RFC 3261 §17.1.3).
#[derive(Clone, Copy, Debug)]
pub(super) enum Name {
    /// By its own branch, and this fingerprint of its method.
    Own { method: u32 },
    /// By the branch of the INVITE that it cancels (§9.1).
    Cancel { invite: Slot },
}

/// The states of both machines.
#[derive(Debug)]
enum State {
    Reserved,
    InviteCalling {
        request: Buf,
        pace: Pace,
    },
    /// No timer: the proxy bounds this state by Timer C (RFC 3261 §16.6-11).
    InviteProceeding {
        request: Buf,
    },
    InviteAccepted {
        end: Instant,
    },
    /// Completed, and the user has yet to make the ACK out of the request.
    InviteRefused {
        request: Buf,
        end: Instant,
    },
    /// Completed; without an ACK on a stream, where no refusal comes twice.
    InviteCompleted {
        ack: Option<Buf>,
        end: Instant,
    },
    OtherTrying {
        request: Buf,
        pace: Pace,
    },
    OtherProceeding {
        request: Buf,
        pace: Pace,
    },
    OtherCompleted {
        end: Instant,
    },
}

/// What a transaction waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    /// Any response.
    AnyResponse,
    /// The final one, after a provisional.
    FinalResponse,
    /// Nothing: it has its final response, or no request yet.
    Nothing,
}

/// What a wake-up did.
#[derive(Debug)]
pub(super) enum ClientWake {
    /// Nothing; the due time has moved.
    Rest,
    /// Send this again.
    Resend(Buf),
    /// Over: no final response came, though a provisional one may have.
    Timeout { heard: bool },
    /// Over.
    Done,
}

impl<O: Copy> Client<O> {
    /// Reserved: nothing has been sent.
    pub(super) const fn new(owner: O, name: Name) -> Self {
        Self {
            ring: RingLinks::NOWHERE,
            owner,
            is_armed: false,
            is_reliable: false,
            name,
            state: State::Reserved,
        }
    }

    /// The first copy of `request` goes out now, by a flow that is given apart.
    pub(super) fn start(
        &mut self,
        now: Instant,
        kind: Kind,
        method: u32,
        is_reliable: bool,
        request: Buf,
    ) {
        self.is_reliable = is_reliable;
        if let Name::Own { method: own } = &mut self.name {
            *own = method;
        }
        let pace = |unreliable| {
            Pace::new(
                now,
                if is_reliable {
                    Backoff::Never
                } else {
                    unreliable
                },
            )
        };
        self.state = match kind {
            Kind::Invite => State::InviteCalling {
                request,
                pace: pace(Backoff::Doubling),
            },
            Kind::Other => State::OtherTrying {
                request,
                pace: pace(Backoff::DoublingToT2),
            },
        };
    }

    /// Ends the retransmissions of an INVITE.
    pub(super) fn stop_retransmitting(&mut self) {
        if let State::InviteCalling { request, .. } = &self.state {
            let request = request.clone();
            self.state = State::InviteProceeding { request };
        }
    }

    /// The request, while it may be needed: for retransmission, CANCEL, ACK.
    pub(super) const fn request(&self) -> Option<&Buf> {
        match &self.state {
            State::InviteCalling { request, .. }
            | State::InviteProceeding { request }
            | State::InviteRefused { request, .. }
            | State::OtherTrying { request, .. }
            | State::OtherProceeding { request, .. } => Some(request),
            State::Reserved
            | State::InviteAccepted { .. }
            | State::InviteCompleted { .. }
            | State::OtherCompleted { .. } => None,
        }
    }

    /// True between the provisional and the final response to an INVITE.
    pub(super) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::InviteProceeding { .. })
    }

    /// True once its request has gone.
    pub(super) const fn has_left(&self) -> bool {
        self.ring.entry != NONE
    }

    /// Which response the transaction waits for.
    pub(super) const fn awaits(&self) -> Awaits {
        match &self.state {
            State::InviteCalling { .. } | State::OtherTrying { .. } => Awaits::AnyResponse,
            State::InviteProceeding { .. } | State::OtherProceeding { .. } => Awaits::FinalResponse,
            State::Reserved
            | State::InviteAccepted { .. }
            | State::InviteRefused { .. }
            | State::InviteCompleted { .. }
            | State::OtherCompleted { .. } => Awaits::Nothing,
        }
    }

    /// Takes in a response; `waiters` knows the flow of the request.
    pub(super) fn response(
        &mut self,
        now: Instant,
        status: u16,
        waiters: &FlowWaiters,
    ) -> ResponseAction {
        let is_reliable = self.is_reliable;
        let (state, heard) = match (mem::replace(&mut self.state, State::Reserved), status) {
            (State::InviteCalling { request, .. } | State::InviteProceeding { request }, ..200) => {
                (State::InviteProceeding { request }, ResponseAction::Pass)
            }
            // RFC 6026 §7.2: the transaction stays for Timer M, since further 2xx of other forks are
            // for the same user; before RFC 6026 each would have been a stray.
            (State::InviteCalling { .. } | State::InviteProceeding { .. }, 200..300) => (
                State::InviteAccepted {
                    end: now + limits::T1_64,
                },
                ResponseAction::Pass,
            ),
            (State::InviteCalling { request, .. } | State::InviteProceeding { request }, 300..) => {
                // Timer D, over a stream too, where §17.1.1.2 has zero: the refusal does not come
                // again there, but the 2xx of another fork may.
                let end = now + limits::T1_64;
                (
                    State::InviteRefused { request, end },
                    ResponseAction::PassAndAck,
                )
            }
            // A 2xx after a final response is another fork's (RFC 3261 §16.7-5).
            (
                state @ (State::InviteAccepted { .. }
                | State::InviteRefused { .. }
                | State::InviteCompleted { .. }),
                200..300,
            ) => (state, ResponseAction::Pass),
            (
                State::InviteCompleted {
                    ack: Some(ack),
                    end,
                },
                300..,
            ) => {
                let bytes = ack.clone();
                let flow = waiters.flow(self.ring.entry);
                let heard = flow.map_or(ResponseAction::Absorb, |flow| {
                    ResponseAction::Again(Send { flow, bytes })
                });
                (
                    State::InviteCompleted {
                        ack: Some(ack),
                        end,
                    },
                    heard,
                )
            }
            (
                State::OtherTrying { request, mut pace }
                | State::OtherProceeding { request, mut pace },
                ..200,
            ) => {
                // §17.1.2.2: Timer E goes on at T2, where Timer A stops: a final response to a
                // non-INVITE is only sent again when the request comes again.
                pace.slow_down();
                (
                    State::OtherProceeding { request, pace },
                    ResponseAction::Pass,
                )
            }
            (State::OtherTrying { .. } | State::OtherProceeding { .. }, 200..) => {
                // Timer K.
                let end = if is_reliable { now } else { now + limits::T4 };
                (State::OtherCompleted { end }, ResponseAction::Pass)
            }
            (
                state @ (State::Reserved
                | State::InviteAccepted { .. }
                | State::InviteRefused { .. }
                | State::InviteCompleted { .. }
                | State::OtherCompleted { .. }),
                _,
            ) => (state, ResponseAction::Absorb),
        };
        self.state = state;
        heard
    }

    /// The ACK for the final response, which goes by `flow`; `None` when none is
    /// awaited.
    pub(super) fn ack(&mut self, ack: Buf, flow: Flow) -> Option<Send> {
        let State::InviteRefused { end, .. } = self.state else {
            return None;
        };
        let kept = (!self.is_reliable).then(|| ack.clone());
        self.state = State::InviteCompleted { ack: kept, end };
        Some(Send { flow, bytes: ack })
    }

    /// When `wake` is to be called; `None` while only an event can go on.
    pub(super) fn due(&self) -> Option<Instant> {
        match &self.state {
            State::Reserved | State::InviteProceeding { .. } => None,
            State::InviteCalling { pace, .. }
            | State::OtherTrying { pace, .. }
            | State::OtherProceeding { pace, .. } => Some(pace.due()),
            State::InviteAccepted { end }
            | State::InviteRefused { end, .. }
            | State::InviteCompleted { end, .. }
            | State::OtherCompleted { end } => Some(*end),
        }
    }

    /// Time has passed.
    pub(super) fn wake(&mut self, now: Instant) -> ClientWake {
        if self.due().is_none_or(|due| now < due) {
            return ClientWake::Rest;
        }
        let heard = matches!(self.state, State::OtherProceeding { .. });
        match &mut self.state {
            State::Reserved | State::InviteProceeding { .. } => ClientWake::Rest,
            State::InviteCalling { request, pace }
            | State::OtherTrying { request, pace }
            | State::OtherProceeding { request, pace } => match pace.advance(now) {
                TimerEvent::Rest => ClientWake::Rest,
                TimerEvent::Send => ClientWake::Resend(request.clone()),
                TimerEvent::End => ClientWake::Timeout { heard },
            },
            State::InviteAccepted { .. }
            | State::InviteRefused { .. }
            | State::InviteCompleted { .. }
            | State::OtherCompleted { .. } => ClientWake::Done,
        }
    }
}

const _: () = assert!(
    size_of::<Client<[u32; 3]>>() <= 80,
    "a million of these linger for 32 s"
);

#[cfg(test)]
mod tests {
    use crate::txn::trial::{TCP, Trial, UDP};

    // T-1
    #[test]
    fn an_invite_is_repeated_until_timer_b() {
        let mut t = Trial::new();
        t.client("INVITE", UDP);
        let want = [500, 1_500, 3_500, 7_500, 15_500, 31_500].map(|at| (at, "resend INVITE"));
        t.check(31_999, &want);
        t.check(99_000, &[(32_000, "client timeout, heard: false")]);
        assert_eq!(t.txn.clients(), 0);
    }

    // T-1
    #[test]
    fn another_request_is_repeated_until_timer_f() {
        let mut t = Trial::new();
        t.client("BYE", UDP);
        let want = [
            500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
        ];
        t.check(31_999, &want.map(|at| (at, "resend BYE")));
        t.check(99_000, &[(32_000, "client timeout, heard: false")]);
    }

    // T-1
    #[test]
    fn a_stream_repeats_nothing() {
        for method in ["INVITE", "BYE"] {
            let mut t = Trial::new();
            t.client(method, TCP);
            t.check(99_000, &[(32_000, "client timeout, heard: false")]);
        }
    }

    // T-1
    #[test]
    fn a_provisional_calms_timer_e_and_leaves_timer_f() {
        let mut t = Trial::new();
        let id = t.client("BYE", UDP);
        t.check(600, &[(500, "resend BYE")]);
        assert_eq!(t.hear(id, 100), "pass");
        let want = [1_500, 5_500, 9_500, 13_500, 17_500, 21_500, 25_500, 29_500];
        t.check(31_999, &want.map(|at| (at, "resend BYE")));
        t.check(99_000, &[(32_000, "client timeout, heard: true")]);
    }

    // T-1
    #[test]
    fn a_provisional_stops_timers_a_and_b() {
        let mut t = Trial::new();
        let id = t.client("INVITE", UDP);
        assert_eq!((t.hear(id, 100), t.hear(id, 180)), ("pass", "pass"));
        t.check(180_000, &[]);
        assert_eq!(
            t.txn.client_request(id).map(|request| request.to_vec()),
            Some(b"INVITE".to_vec())
        );
        assert_eq!(t.hear(id, 200), "pass");
        t.check(300_000, &[(212_000, "client done")]);
    }

    // T-1
    #[test]
    fn a_refusal_is_acknowledged_each_time_until_timer_d() {
        let mut t = Trial::new();
        let id = t.client("INVITE", UDP);
        t.check(1_000, &[(500, "resend INVITE")]);
        assert_eq!(t.hear(id, 486), "pass and ack");
        assert_eq!(t.hear(id, 486), "absorb");
        assert_eq!(
            t.txn.client_request(id).map(|request| request.to_vec()),
            Some(b"INVITE".to_vec())
        );
        assert_eq!(t.ack(id), "ACK");
        assert_eq!(
            (t.ack(id), t.txn.client_request(id).is_none()),
            ("nothing", true)
        );
        t.check(32_999, &[]);
        assert_eq!(
            (t.hear(id, 486), t.hear(id, 503)),
            ("again ACK", "again ACK")
        );
        assert_eq!((t.hear(id, 180), t.hear(id, 200)), ("absorb", "pass"));
        t.check(99_000, &[(33_000, "client done")]);
        assert_eq!(t.hear(id, 486), "absorb");
    }

    // T-1, P-27
    #[test]
    fn on_a_stream_timer_d_waits_for_a_2xx_only() {
        let mut t = Trial::new();
        let id = t.client("INVITE", TCP);
        t.check(20, &[]);
        assert_eq!(
            (t.hear(id, 486), t.ack(id), t.hear(id, 486)),
            ("pass and ack", "ACK", "absorb")
        );
        t.check(32_019, &[]);
        assert_eq!((t.hear(id, 180), t.hear(id, 200)), ("absorb", "pass"));
        t.check(99_000, &[(32_020, "client done")]);
        assert_eq!(t.hear(id, 200), "absorb");
    }

    // T-1
    #[test]
    fn on_a_stream_timer_k_is_zero() {
        let mut t = Trial::new();
        let id = t.client("BYE", TCP);
        assert_eq!(t.hear(id, 200), "pass");
        t.check(99_000, &[(0, "client done")]);
    }

    // T-1
    #[test]
    fn a_final_to_another_request_waits_for_timer_k() {
        let mut t = Trial::new();
        let id = t.client("BYE", UDP);
        t.check(700, &[(500, "resend BYE")]);
        assert_eq!(
            (t.hear(id, 481), t.hear(id, 481), t.hear(id, 100)),
            ("pass", "absorb", "absorb")
        );
        assert!(t.txn.client_request(id).is_none());
        t.check(99_000, &[(5_700, "client done")]);
    }

    // T-5
    #[test]
    fn every_2xx_passes_until_timer_m() {
        for flow in [UDP, TCP] {
            let mut t = Trial::new();
            let id = t.client("INVITE", flow);
            t.check(100, &[]);
            assert_eq!((t.hear(id, 180), t.hear(id, 200)), ("pass", "pass"));
            assert!(t.txn.client_request(id).is_none());
            assert_eq!(t.ack(id), "nothing");
            t.check(32_099, &[]);
            assert_eq!((t.hear(id, 200), t.hear(id, 202)), ("pass", "pass"));
            assert_eq!((t.hear(id, 183), t.hear(id, 486)), ("absorb", "absorb"));
            t.check(99_000, &[(32_100, "client done")]);
            assert_eq!(t.hear(id, 200), "absorb");
        }
    }

    // T-1
    #[test]
    fn a_provisional_that_meets_a_late_wake_up_ends_nothing() {
        let mut t = Trial::new();
        let id = t.client("BYE", UDP);
        t.now = Trial::ms(2_000);
        assert_eq!(t.hear(id, 100), "pass");
        t.check(2_000, &[(2_000, "resend BYE")]);
        t.check(9_000, &[(4_500, "resend BYE"), (8_500, "resend BYE")]);
    }

    // T-10
    #[test]
    fn a_dead_flow_names_those_that_wait_on_it() {
        let mut t = Trial::new();
        let calling = t.client("INVITE", TCP);
        let trying = t.client("BYE", TCP);
        let answered = t.client("INVITE", TCP);
        let elsewhere = t.client("BYE", UDP);
        t.txn.reserve(9).unwrap();
        assert_eq!(
            (t.hear(calling, 180), t.hear(answered, 200)),
            ("pass", "pass")
        );
        let mut found = Vec::new();
        t.txn.clients_on(TCP, &mut found);
        assert_eq!(found, [(calling, 0), (trying, 0)]);
        for id in [calling, trying, answered] {
            t.txn.fail(id);
        }
        let alive =
            [calling, trying, answered, elsewhere].map(|id| t.txn.client_owner(id).is_some());
        assert_eq!(alive, [false, false, true, true]);
        t.txn.abandon(elsewhere);
        t.check(99_000, &[(32_000, "client done")]);
    }
}
