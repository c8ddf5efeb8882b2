//! A call of either side: how far it has come, and what is kept of it meanwhile.
//! `calling` and `answering` move it along.

use super::dialog::Dialog;
use super::{Agent, emit};
use crate::bytes::Buf;
use crate::id::{Flow, ServerId};
use crate::proxy::Net;
use crate::send::Event;
use crate::time::{Duration, Instant};

/// One call, of either side.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) stage: CallStage,
    pub(super) dialog: Option<Dialog>,
    /// The flow that the dialog was set up on.
    pub(super) flow: Option<Flow>,
    /// Our ACK, for a 2xx that comes again.
    pub(super) acked: Option<(Flow, Buf)>,
    /// The number of our INVITE that was answered.
    pub(super) invite: u32,
    /// Our own 2xx, until its ACK comes.
    pub(super) unacked: Option<Unacked>,
}

/// How far a call has come.
#[derive(Debug)]
pub(super) enum CallStage {
    /// We call.
    Calling {
        /// The far side was heard ringing.
        rung: bool,
        /// A CANCEL may be sent (RFC 3261 §9.1).
        provisional: bool,
        /// It is to be cancelled.
        hangup: bool,
    },
    /// It rings here.
    Ringing(Incoming),
    /// We have answered, and the caller does not know yet.
    Answered {
        /// It is over as soon as they do.
        hangup: bool,
    },
    /// Both know.
    Up,
    /// Our BYE is under way.
    Leaving,
}

impl Call {
    pub(super) const fn new(number: u32, stage: CallStage) -> Self {
        Self {
            number,
            stage,
            dialog: None,
            flow: None,
            acked: None,
            invite: 0,
            unacked: None,
        }
    }
}

/// A call that rings here, with its answers ready.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) server: ServerId,
    pub(super) ok: Buf,
    pub(super) busy: Buf,
    pub(super) cancelled: Buf,
    /// When it is answered.
    pub(super) alarm: u32,
}

/// A 2xx to an INVITE that is sent until its ACK comes (RFC 3261 §13.3.1.4).
#[derive(Debug)]
pub(super) struct Unacked {
    pub(super) server: ServerId,
    pub(super) ok: Buf,
    pub(super) alarm: u32,
    pub(super) wait: Duration,
    pub(super) until: Instant,
}

impl Agent {
    /// Calls count from 1, since people read it.
    pub(super) const fn next_call(&mut self) -> u32 {
        self.last_call = self.last_call.wrapping_add(1);
        self.last_call
    }

    pub(super) fn call_index(&self, number: u32) -> Option<usize> {
        self.calls.iter().position(|call| call.number == number)
    }
}

/// Says that a call goes on over another flow than the one it was set up on.
pub(super) fn switched(net: &mut Net, call: u32, flow: Flow) {
    if let Some(proxy) = net.flows.peer(flow) {
        emit(net, Event::Switched { call, proxy });
    }
}

/// Says that a call came to nothing; `status` is 0 where no answer says so.
pub(super) fn fail(net: &mut Net, call: u32, status: u16, why: String) {
    emit(net, Event::Failed { call, status, why });
}
