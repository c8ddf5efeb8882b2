//! A trial: transactions in virtual time, told in words.

use super::{Due, ResponseAction, Send, TransactionKind, Transactions};
use crate::bytes::Pool;
use crate::id::{ClientId, Flow, ServerId, Slot, SocketId, StreamId};
use crate::time::Instant;

/// A datagram flow.
pub(super) const UDP: Flow = Flow::Udp {
    socket: SocketId(0),
    peer: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5060),
};
/// A connection.
pub(super) const TCP: Flow = Flow::Stream(StreamId(Slot {
    index: 1,
    generation: 0,
}));
/// Another one.
pub(super) const OTHER_TCP: Flow = Flow::Stream(StreamId(Slot {
    index: 2,
    generation: 0,
}));

/// Transactions, a pool and a clock that starts at zero.
pub(super) struct Trial {
    pub(super) txn: Transactions<u32, &'static str>,
    pub(super) pool: Pool,
    pub(super) now: Instant,
    opened: u32,
}

impl Trial {
    pub(super) fn new() -> Self {
        let txn = Transactions::new(Instant::ZERO, [11, 12, 13, 14], 0);
        Self {
            txn,
            pool: Pool::new(),
            now: Instant::ZERO,
            opened: 0,
        }
    }

    pub(super) const fn ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// Starts a client transaction whose request is its method.
    pub(super) fn client(&mut self, method: &str, flow: Flow) -> ClientId {
        let id = self.txn.reserve(0).unwrap();
        self.txn.start(
            self.now,
            id,
            method.as_bytes(),
            flow,
            self.pool.copy(method.as_bytes()),
        );
        id
    }

    /// Opens a server transaction under a key of its own.
    pub(super) fn server(&mut self, method: &str, flow: Flow) -> ServerId {
        self.opened += 1;
        let key =
            self.txn
                .keys()
                .cookie(&self.opened.to_le_bytes(), b"host", 5060, method.as_bytes());
        self.txn
            .open_server(
                self.now,
                key,
                TransactionKind::of(method.as_bytes()),
                flow,
                0,
            )
            .unwrap()
    }

    pub(super) fn branch(&self, id: ClientId) -> Vec<u8> {
        self.txn.branch(id).to_vec()
    }

    pub(super) fn hear(&mut self, id: ClientId, status: u16) -> &'static str {
        match self.txn.response(self.now, id, status) {
            ResponseAction::Pass => "pass",
            ResponseAction::PassAndAck => "pass and ack",
            ResponseAction::Again(send) => {
                assert_eq!(
                    (&send.bytes[..], Some(send.flow)),
                    (&b"ACK"[..], self.txn.client_flow(id))
                );
                "again ACK"
            }
            ResponseAction::Absorb => "absorb",
        }
    }

    pub(super) fn ack(&mut self, id: ClientId) -> &'static str {
        let ack = self.pool.copy(b"ACK");
        text(self.txn.ack(id, ack))
    }

    /// The user answers with the status as the whole message.
    pub(super) fn answer(&mut self, id: ServerId, status: u16) -> &'static str {
        let response = self.pool.copy(status.to_string().as_bytes());
        text(self.txn.respond(self.now, id, status, response))
    }

    pub(super) fn again(&self, id: ServerId) -> &'static str {
        text(self.txn.request_again(id))
    }

    /// Sleeps from deadline to deadline up to `until_ms` and tells what was
    /// due, with the milliseconds.
    pub(super) fn run(&mut self, until_ms: u64) -> Vec<(u64, String)> {
        let mut told = Vec::new();
        while let Some(at) = self.txn.deadline().filter(|&at| at <= Self::ms(until_ms)) {
            self.now = self.now.max(at);
            while let Some(due) = self.txn.due(self.now) {
                told.push((self.now.as_micros() / 1_000, tell(&due)));
            }
        }
        self.now = self.now.max(Self::ms(until_ms));
        told
    }

    #[track_caller]
    pub(super) fn check(&mut self, until_ms: u64, want: &[(u64, &str)]) {
        let told = self.run(until_ms);
        let told: Vec<_> = told.iter().map(|(at, what)| (*at, what.as_str())).collect();
        assert_eq!(told, want);
    }
}

fn tell(due: &Due<u32, &'static str>) -> String {
    match due {
        Due::Repeat { send, .. } | Due::Resend(send) => {
            format!("resend {}", String::from_utf8_lossy(&send.bytes))
        }
        Due::ClientTimeout { heard, .. } => format!("client timeout, heard: {heard}"),
        Due::Trying { .. } => "trying".into(),
        Due::AckTimeout { .. } => "ack timeout".into(),
        Due::ServerDone { .. } => "server done".into(),
        Due::ClientDone { .. } => "client done".into(),
        Due::User(what) => (*what).into(),
    }
}

/// The message, as one of the few that the trials use.
fn text(send: Option<Send>) -> &'static str {
    let Some(send) = send else { return "nothing" };
    let known = [
        "ACK", "100", "180", "183", "200", "202", "408", "486", "500",
    ];
    known
        .into_iter()
        .find(|known| known.as_bytes() == &send.bytes[..])
        .expect("a message the trials use")
}
