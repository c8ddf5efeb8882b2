//! One call, with what both of its ends remember.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

use crate::compose::put;
use crate::outline::{Head, MessageOutline, uri};
use crate::wires::Line;

#[derive(Debug)]
pub(super) struct Call {
    pub(super) caller: usize,
    pub(super) callee: usize,
    /// Which of the caller's ways it takes.
    pub(super) way: usize,
    pub(super) intended: Instant,
    /// When the BYE went.
    pub(super) hung_up: Instant,
    pub(super) phase: Phase,
    /// Changes with what the caller waits for.
    pub(super) stamp: u32,
    /// Its Route lines, the URI it sends to and its To line (RFC 3261 §12.1.2).
    pub(super) routes: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) to: Vec<u8>,
    /// The callee's 200, where it goes, and whether the ACK has come.
    pub(super) answer: Vec<u8>,
    pub(super) answer_line: Line,
    pub(super) answer_to: SocketAddrV4,
    pub(super) is_acked: bool,
}

/// How far the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has sent an INVITE and heard nothing.
    Inviting,
    /// It has heard a provisional answer.
    Ringing,
    /// It has sent the ACK.
    Up,
    /// It has sent a BYE.
    Ending,
}

impl Default for Call {
    fn default() -> Self {
        let nowhere = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        Self {
            caller: 0,
            callee: 0,
            way: 0,
            intended: Instant::now(),
            hung_up: Instant::now(),
            phase: Phase::Inviting,
            stamp: 0,
            routes: Vec::new(),
            target: Vec::new(),
            to: Vec::new(),
            answer: Vec::new(),
            answer_line: Line::Stream(u32::MAX),
            answer_to: nowhere,
            is_acked: false,
        }
    }
}

impl Call {
    pub(super) fn begin(&mut self, (caller, callee): (usize, usize), intended: Instant) {
        (self.caller, self.callee, self.intended) = (caller, callee, intended);
        self.phase = Phase::Inviting;
        self.answer.clear();
        self.is_acked = false;
    }

    /// The dialog, from the 200.
    pub(super) fn remember(&mut self, outline: &MessageOutline, bytes: &[u8]) {
        self.routes.clear();
        for route in outline.reversed(bytes, Head::RecordRoute) {
            put(&mut self.routes, &[b"Route: ", route, b"\r\n"]);
        }
        self.target.clear();
        let contact = outline.value(bytes, Head::Contact);
        self.target
            .extend_from_slice(uri(contact.unwrap_or_default()));
        self.to.clear();
        outline.repeat(bytes, Head::To, &mut self.to);
    }
}
