//! A registration over one flow, as its agent keeps it (RFC 5626 §4.2).

use std::net::SocketAddr;

use super::keepalive::Keepalive;
use crate::id::Flow;
use crate::time::Instant;

/// One flow and the binding that was made over it.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) reg_id: u32,
    pub(super) call_id: Vec<u8>,
    pub(super) from: Vec<u8>,
    pub(super) cseq: u32,
    pub(super) uri: Vec<u8>,
    /// The Route values of its REGISTER: what a redirect pushed (D-U6) or what
    /// Outbound-Proxy says (D-U10).
    pub(super) routes: Vec<Vec<u8>>,
    pub(super) flow: Option<Flow>,
    /// The far side of the flow that was bound last.
    pub(super) proxy: Option<SocketAddr>,
    /// The end of the binding while there is one.
    pub(super) until: Option<Instant>,
    /// Route set of requests outside dialogs (D-U13, D-U14).
    pub(super) service_route: Vec<Vec<u8>>,
    pub(super) keepalive: Keepalive,
    /// The timer of its next REGISTER.
    pub(super) alarm: u32,
    /// When that timer fires.
    pub(super) due: Instant,
    /// `due` was chosen while another flow worked, from the longer of the two waits
    /// (O-27).
    pub(super) is_long_wait: bool,
    /// Attempts that have failed one after the other.
    pub(super) failures: u32,
    /// Which address of a name with several is tried, counted on without end. One that
    /// registered us is asked first when its flow is lost; after a failure it is the next
    /// one's turn.
    pub(super) address_index: usize,
    pub(super) stage: RegistrationStage,
}

/// How far a registration has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RegistrationStage {
    /// Neither granted nor failed yet.
    New,
    /// Granted or failed at least once.
    Settled,
    /// Its binding is being removed.
    Removing,
    /// Its binding is removed.
    Removed,
}

impl Registration {
    pub(super) const fn is_live(&self) -> bool {
        self.until.is_some() && self.flow.is_some()
    }
}
