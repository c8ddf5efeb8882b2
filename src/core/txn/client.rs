//! Client transactions, RFC 3261 §17.1 with RFC 6026 §7.2: one request that
//! we sent and what we heard.
//!
//! As on the server side each function is one event, timers are asked for
//! with `due`, and no event brings the due time forward except to "now".
//! The request is kept until its final response and no longer.

use std::mem;

use serde::{Deserialize, Serialize};

use super::pace::{Backoff, Pace, TimerEvent};
use super::queue_links::{NONE, QueueLinks};
use super::{Send, TransactionKind};
use crate::bytes::Buf;
use crate::id::{Flow, Slot};
use crate::limits;
use crate::time::Instant;

/// One client transaction.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ClientTransaction<O> {
    /// Where the request went, once it has gone, and who waits there besides.
    pub(super) queue: QueueLinks,
    pub(super) owner: O,
    /// True while the wheel holds an entry for it.
    pub(super) is_armed: bool,
    /// The flow is a stream: nothing is sent twice on it.
    is_reliable: bool,
    pub(super) name: ResponseMatch,
    state: State,
}

/// How its responses find it (RFC 3261 §17.1.3).
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum ResponseMatch {
    /// By its own branch, and this fingerprint of its method.
    Own { method: u32 },
    /// By the branch of the INVITE that it cancels (§9.1).
    Cancel { invite: Slot },
}

/// The states of both machines.
#[derive(Debug, Serialize, Deserialize)]
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

/// What a response means to the user above: a [`ResponseAction`](super::ResponseAction) that
/// has yet to be told the flow.
#[derive(Debug)]
pub(super) enum Heard {
    Pass,
    PassAndAck,
    /// This ACK is to be sent again.
    Again(Buf),
    Absorb,
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

impl<O: Copy> ClientTransaction<O> {
    /// The request or ACK that it keeps.
    pub(super) const fn buf(&mut self) -> Option<&mut Buf> {
        match &mut self.state {
            State::InviteCalling { request, .. }
            | State::InviteProceeding { request }
            | State::InviteRefused { request, .. }
            | State::OtherTrying { request, .. }
            | State::OtherProceeding { request, .. } => Some(request),
            State::InviteCompleted { ack, .. } => ack.as_mut(),
            State::Reserved | State::InviteAccepted { .. } | State::OtherCompleted { .. } => None,
        }
    }

    /// Reserved: nothing has been sent.
    pub(super) const fn new(owner: O, name: ResponseMatch) -> Self {
        Self {
            queue: QueueLinks::NOWHERE,
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
        kind: TransactionKind,
        method: u32,
        is_reliable: bool,
        request: Buf,
    ) {
        self.is_reliable = is_reliable;
        if let ResponseMatch::Own { method: own } = &mut self.name {
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
            TransactionKind::Invite => State::InviteCalling {
                request,
                pace: pace(Backoff::Doubling),
            },
            TransactionKind::Other => State::OtherTrying {
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

    /// True while its request has left once, and nothing was heard.
    pub(super) fn was_sent_once(&self) -> bool {
        match &self.state {
            State::InviteCalling { pace, .. } | State::OtherTrying { pace, .. } => {
                pace.is_at_first()
            }
            State::Reserved
            | State::InviteProceeding { .. }
            | State::InviteAccepted { .. }
            | State::InviteRefused { .. }
            | State::InviteCompleted { .. }
            | State::OtherProceeding { .. }
            | State::OtherCompleted { .. } => false,
        }
    }

    /// True between the provisional and the final response to an INVITE.
    pub(super) const fn is_proceeding(&self) -> bool {
        matches!(self.state, State::InviteProceeding { .. })
    }

    /// True once its request has gone.
    pub(super) const fn has_left(&self) -> bool {
        self.queue.entry != NONE
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

    /// Takes in a response.
    pub(super) fn response(&mut self, now: Instant, status: u16) -> Heard {
        let is_reliable = self.is_reliable;
        let (state, heard) = match (mem::replace(&mut self.state, State::Reserved), status) {
            (State::InviteCalling { request, .. } | State::InviteProceeding { request }, ..200) => {
                (State::InviteProceeding { request }, Heard::Pass)
            }
            // RFC 6026 §7.2: the transaction stays for Timer M, since further 2xx of other forks are
            // for the same user; before RFC 6026 each would have been a stray.
            (State::InviteCalling { .. } | State::InviteProceeding { .. }, 200..300) => (
                State::InviteAccepted {
                    end: now + limits::T1_64,
                },
                Heard::Pass,
            ),
            (State::InviteCalling { request, .. } | State::InviteProceeding { request }, 300..) => {
                // Timer D, over a stream too, where §17.1.1.2 has zero: the refusal does not come
                // again there, but the 2xx of another fork may.
                let end = now + limits::T1_64;
                (State::InviteRefused { request, end }, Heard::PassAndAck)
            }
            // A 2xx after a final response is another fork's (RFC 3261 §16.7-5).
            (
                state @ (State::InviteAccepted { .. }
                | State::InviteRefused { .. }
                | State::InviteCompleted { .. }),
                200..300,
            ) => (state, Heard::Pass),
            (
                State::InviteCompleted {
                    ack: Some(ack),
                    end,
                },
                300..,
            ) => {
                let heard = Heard::Again(ack.clone());
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
                (State::OtherProceeding { request, pace }, Heard::Pass)
            }
            (State::OtherTrying { .. } | State::OtherProceeding { .. }, 200..) => {
                // Timer K.
                let end = if is_reliable { now } else { now + limits::T4 };
                (State::OtherCompleted { end }, Heard::Pass)
            }
            (
                state @ (State::Reserved
                | State::InviteAccepted { .. }
                | State::InviteRefused { .. }
                | State::InviteCompleted { .. }
                | State::OtherCompleted { .. }),
                _,
            ) => (state, Heard::Absorb),
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
    size_of::<ClientTransaction<[u32; 3]>>() <= 80,
    "a million of these linger for 32 s"
);

#[cfg(test)]
mod tests;
