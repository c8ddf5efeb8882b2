//! One attempt of a request: where it goes, and how far it has come.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Net, Target, Timer, Turn};
use crate::bytes::Buf;
use crate::id::{ClientId, Slot, Transport};
use crate::limits;
use crate::send::Hop;
use crate::time::{Duration, Instant};
use crate::txn::TimerId;

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BranchState {
    /// Not started.
    Waiting,
    /// Started, but the address of its server is still being asked for.
    Locating,
    /// Sent, nothing heard. `cancel`: to be cancelled as soon as it is allowed.
    Trying {
        /// A CANCEL waits for the first provisional (P-33).
        cancel: bool,
    },
    /// A provisional came.
    Proceeding {
        /// CANCEL is sent.
        cancelled: bool,
    },
    /// Over, with this status.
    Done(u16),
    /// Never to be started.
    Skipped,
}

/// One attempt.
#[derive(Debug, Serialize, Deserialize)]
pub struct Branch {
    pub(super) target: Target,
    pub(super) state: BranchState,
    pub(super) client: Option<ClientId>,
    pub(super) timer: Option<TimerId>,
    /// When Timer C (or the grace of a CANCEL) really is due; the timer on the
    /// wheel may be earlier and is then set again.
    pub(super) due: Instant,
    /// The final answer as it would go upstream, kept while others may be better.
    pub(super) last: Option<Buf>,
    pub(super) tcp_fallback: TcpFallback,
    pub(super) answer_weight: AnswerWeight,
    /// It went to an element of ours, and nobody else answers it.
    pub(super) is_inside: bool,
    /// Its final answer is that of whoever the request was for, and not of an
    /// element on the way there.
    pub(super) is_from_target: bool,
    /// Whoever it was sent to cannot have taken it: it was not written, or an ICMP error quotes
    /// its only copy, or it was answered so (V-8).
    pub(super) is_untaken: bool,
    /// It repeats one that was cut off, and is not repeated itself.
    pub(super) is_resent: bool,
    /// A provisional other than 100 came.
    pub(super) rings: bool,
    /// It rang as long as it may while others wait, and was cancelled.
    pub(super) rang_out: bool,
    /// It stands by because the DNS named it as a further server: not for an
    /// answer other than 503 (N-7).
    pub(super) is_located: bool,
    /// Its share of the request's Max-Breadth (L-4).
    pub(super) breadth: u16,
}

/// Whether the final answer waits for a pending branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum AnswerWeight {
    /// It does.
    Awaited,
    /// Its peer is silent and its stand-by was started beside it: its answer
    /// counts until somebody has answered the request itself.
    StandbyStarted,
    /// Its connection was lost with nothing heard, and it was sent again: its
    /// answer counts where the other one found that it had arrived after all.
    FlowLost,
}

/// Whether a request too long for a datagram took a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum TcpFallback {
    /// Not so far.
    None,
    /// It went by TCP instead of by UDP to this address.
    Stream(SocketAddr),
    /// TCP was refused.
    Refused,
}

impl Branch {
    pub(super) const fn new(target: Target) -> Self {
        Self {
            target,
            state: BranchState::Waiting,
            client: None,
            timer: None,
            due: Instant::ZERO,
            last: None,
            tcp_fallback: TcpFallback::None,
            answer_weight: AnswerWeight::Awaited,
            is_inside: false,
            is_from_target: false,
            is_untaken: false,
            is_resent: false,
            rings: false,
            rang_out: false,
            is_located: false,
            breadth: 0,
        }
    }

    /// Every buffer that is kept with it.
    pub(super) fn bufs(&mut self) -> impl Iterator<Item = &mut Buf> {
        let Target {
            uri, route, learns, ..
        } = &mut self.target;
        let target = uri.iter_mut().chain(route).chain(learns);
        target.chain(&mut self.last)
    }

    /// a long request goes by TCP, unless that was refused already.
    pub(super) const fn prefer_stream(&mut self) {
        if let (
            Hop::To {
                transport: transport @ Transport::Udp,
                addr,
                ..
            },
            TcpFallback::None,
        ) = (&mut self.target.hop, self.tcp_fallback)
        {
            *transport = Transport::Tcp;
            self.tcp_fallback = TcpFallback::Stream(*addr);
        }
    }

    /// TCP was refused; the request may go by UDP after all. False when
    /// it had not left that way.
    pub(super) const fn leave_stream(&mut self) -> bool {
        let TcpFallback::Stream(addr) = self.tcp_fallback else {
            return false;
        };
        self.tcp_fallback = TcpFallback::Refused;
        self.target.hop = Hop::to(Transport::Udp, addr);
        true
    }

    /// Makes it one that has not been started.
    pub(super) fn begin_again(&mut self) {
        self.state = BranchState::Waiting;
        self.answer_weight = AnswerWeight::Awaited;
        self.is_untaken = false;
        self.last = None;
        if self.tcp_fallback == TcpFallback::Refused {
            self.tcp_fallback = TcpFallback::None;
        }
    }

    pub(super) const fn is_pending(&self) -> bool {
        matches!(
            self.state,
            BranchState::Locating | BranchState::Trying { .. } | BranchState::Proceeding { .. }
        )
    }

    /// It is a target of its own, and has not been started.
    pub(super) fn is_ready(&self) -> bool {
        self.state == BranchState::Waiting && self.target.after.is_none()
    }

    /// It is the stand-by of another branch, and has not been started.
    pub(super) fn is_standby(&self) -> bool {
        self.state == BranchState::Waiting && self.target.after.is_some()
    }

    /// It is the stand-by of that branch, and has not been started.
    pub(super) fn stands_by_for(&self, index: usize) -> bool {
        self.state == BranchState::Waiting && self.target.after.map(usize::from) == Some(index)
    }

    /// Has its timer fire after a while, and not when it was to fire before.
    pub(super) fn set_due(
        &mut self,
        turn: &mut Turn<'_>,
        slot: Slot,
        index: usize,
        after: Duration,
    ) {
        if let Some(timer) = self.timer.take() {
            turn.net.txns.cancel_timer(timer);
        }
        self.due = turn.now + after;
        let timer = Timer::Branch {
            context: slot,
            branch: u8::try_from(index).unwrap_or(u8::MAX),
        };
        self.timer = Some(turn.net.txns.set_timer(self.due, timer));
    }

    /// What it ends with when whoever was to answer it is gone.
    pub(super) fn loss_status(&self, net: &Net) -> u16 {
        match (self.state, self.client) {
            // Its request may have arrived: a provisional has it cancelled then.
            (BranchState::Trying { cancel: true }, _) => 408,
            // Its CANCEL is unanswered and may be lost as well, so that it may ring on.
            (BranchState::Proceeding { cancelled: true }, Some(invite))
                if net.txns.has_cancel(invite) =>
            {
                408
            }
            (BranchState::Proceeding { cancelled: true }, _) => 487,
            _ => self.target.failure_status(),
        }
    }

    /// Sets an end to the transaction of a branch that has ended without it:
    /// an INVITE that was heard of has no timer but Timer C, which went with
    /// its branch.
    pub(super) fn arm_final_deadline(&mut self, turn: &mut Turn<'_>, slot: Slot, index: usize) {
        if self.client.is_some() && matches!(self.state, BranchState::Done(_)) {
            self.set_due(turn, slot, index, limits::T1_64);
        }
    }
}
