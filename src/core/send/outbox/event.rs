//! Events of a user agent, for the program that drives it.

use std::net::SocketAddr;

/// Something that happened to the agent's registrations or calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A 3xx was followed (D-U3, D-U4).
    Redirected {
        /// The flow it is about.
        reg_id: u32,
        /// The URI that now stands in the Route or in the Request-URI.
        to: String,
    },
    /// A flow is registered for the first time, or again after a loss.
    Registered {
        /// The flow.
        reg_id: u32,
        /// Where it leads.
        proxy: SocketAddr,
        /// How long the binding was granted for, in seconds.
        expires_s: u32,
        /// Flows that are registered now.
        flows: usize,
    },
    /// The binding of a flow that is registered was granted anew.
    Refreshed {
        /// The flow.
        reg_id: u32,
        /// Where it leads.
        proxy: SocketAddr,
    },
    /// Every flow that the agent knows of is registered or has failed once, or
    /// one is and the others are late.
    Ready {
        /// Flows that are registered.
        flows: usize,
        /// Flows that it knows of.
        of: usize,
    },
    /// A registration was not granted.
    NotRegistered {
        /// The flow.
        reg_id: u32,
        /// The status of the answer; 0 when there was none.
        status: u16,
        /// What happened, as a sentence without a full stop.
        why: String,
        /// Seconds until the next attempt; `None`: there is no point in one.
        retry_s: Option<u64>,
    },
    /// A registered flow stopped working.
    FlowLost {
        /// The flow.
        reg_id: u32,
        /// Where it led.
        proxy: SocketAddr,
        /// What was seen.
        why: &'static str,
        /// Seconds until it is registered anew.
        retry_s: u64,
    },
    /// All bindings are gone because we asked for it.
    Unregistered,
    /// A call comes in.
    Incoming {
        /// The call.
        call: u32,
        /// The From of the caller.
        from: String,
    },
    /// The far side rings.
    Ringing {
        /// The call.
        call: u32,
    },
    /// The call is answered.
    Established {
        /// The call.
        call: u32,
    },
    /// The far side accepted the call's renewal.
    Renewed {
        /// The call.
        call: u32,
    },
    /// The far side refused the call's renewal; the call goes on.
    NotRenewed {
        /// The call.
        call: u32,
        /// The status of the answer.
        status: u16,
        /// What happened, as a sentence without a full stop.
        why: String,
    },
    /// A request of a call goes another way than the dialog did before (H-8).
    Switched {
        /// The call.
        call: u32,
        /// The way it takes.
        proxy: SocketAddr,
    },
    /// An answered call is over.
    Ended {
        /// The call.
        call: u32,
        /// Who hung up.
        by: Party,
    },
    /// A call came to nothing.
    Failed {
        /// The call.
        call: u32,
        /// The status of the answer; 0 when there was none.
        status: u16,
        /// What happened, as a sentence without a full stop.
        why: String,
    },
}

/// A side of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// This agent.
    Us,
    /// The other one.
    Them,
}
