//! The passing of time: what is due, and what it means for the transaction that waits for it.

use super::agenda::{Task, Transaction};
use super::client::ClientWake;
use super::server::ServerWake;
use super::{Send, TimerId, Transactions};
use crate::id::{ClientId, ServerId};
use crate::time::Instant;

/// Something that is due.
#[derive(Clone, Debug)]
pub enum Due<O, U> {
    /// A retransmission of a request.
    Repeat {
        /// Its owner.
        owner: O,
        /// The request, as it went.
        send: Send,
    },
    /// A retransmission of a final response.
    Resend(Send),
    /// Timer B or F: the client transaction is over without a final response.
    ClientTimeout {
        /// What it was.
        id: ClientId,
        /// Its owner.
        owner: O,
        /// A provisional response had come.
        heard: bool,
    },
    /// A non-INVITE over UDP is unanswered at the moment when 100 may be, and
    /// should be, sent (RFC 4320 §4.1).
    Trying {
        /// To be answered.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// Timer H: the server transaction is over and no ACK came.
    AckTimeout {
        /// What it was.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// The server transaction is over.
    ServerDone {
        /// What it was.
        id: ServerId,
        /// Its owner.
        owner: O,
    },
    /// The client transaction is over, some time after its final response.
    ClientDone {
        /// What it was.
        id: ClientId,
        /// Its owner.
        owner: O,
    },
    /// A timer of the user's own.
    User(U),
}

impl<O: Copy, U: Copy> Transactions<O, U> {
    /// Sets a timer of the user's own.
    pub(crate) fn set_timer(&mut self, at: Instant, what: U) -> TimerId {
        self.agenda.wheel.set(at, Task::User(what))
    }

    /// Takes it off; nothing happens when it has fired.
    pub(crate) fn cancel_timer(&mut self, id: TimerId) {
        self.agenda.wheel.cancel(id);
    }

    /// When to call `due` at the latest. It may find nothing then.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.agenda.deadline()
    }

    /// Whether nothing is due at `now`, as far as that is known without a search: nearly always.
    #[inline]
    pub(crate) fn is_quiet(&mut self, now: Instant) -> bool {
        self.agenda.at_once.is_empty() && self.agenda.wheel.is_quiet(now)
    }

    /// One thing that is due at `now`; call it until it gives `None`.
    pub fn due(&mut self, now: Instant) -> Option<Due<O, U>> {
        loop {
            let task = match self.agenda.at_once.pop_front() {
                Some(transaction) => Task::Wake(transaction),
                None => self.fired(now)?,
            };
            let due = match task {
                Task::User(what) => Some(Due::User(what)),
                Task::Wake(Transaction::Server(id)) => self.wake_server(now, id),
                Task::Wake(Transaction::Client(id)) => self.wake_client(now, id),
            };
            if due.is_some() {
                return due;
            }
        }
    }

    /// The next entry that comes off the wheel.
    fn fired(&mut self, now: Instant) -> Option<Task<U>> {
        let task = self.agenda.wheel.pop(now)?;
        match task {
            Task::Wake(Transaction::Server(id)) => {
                if let Some(server) = self.servers.get_mut(id) {
                    server.is_armed = false;
                }
            }
            Task::Wake(Transaction::Client(id)) => {
                if let Some(client) = self.clients.get_mut(id) {
                    client.is_armed = false;
                }
            }
            Task::User(_) => {}
        }
        Some(task)
    }

    fn wake_server(&mut self, now: Instant, id: ServerId) -> Option<Due<O, U>> {
        let server = self.servers.get_mut(id)?;
        let (flow, owner) = (server.flow, server.owner);
        let due = match server.wake(now) {
            ServerWake::Done => return self.end_server(id),
            ServerWake::AckTimeout => {
                self.servers.remove(id);
                return Some(Due::AckTimeout { id, owner });
            }
            ServerWake::Rest => None,
            ServerWake::Resend(bytes) => Some(Due::Resend(Send { flow, bytes })),
            ServerWake::Trying => Some(Due::Trying { id, owner }),
        };
        self.arm_server(now, id);
        due
    }

    fn wake_client(&mut self, now: Instant, id: ClientId) -> Option<Due<O, U>> {
        let flow = self.clients.flow(id);
        let client = self.clients.get_mut(id)?;
        let owner = client.owner;
        let due = match client.wake(now) {
            ClientWake::Done => return self.end_client(id),
            ClientWake::Timeout { heard } => {
                self.clients.remove(id);
                return Some(Due::ClientTimeout { id, owner, heard });
            }
            ClientWake::Rest => None,
            ClientWake::Resend(bytes) => flow.map(|flow| Due::Repeat {
                owner,
                send: Send { flow, bytes },
            }),
        };
        self.arm_client(now, id);
        due
    }

    fn end_server(&mut self, id: ServerId) -> Option<Due<O, U>> {
        self.servers.remove(id).map(|server| Due::ServerDone {
            id,
            owner: server.owner,
        })
    }

    fn end_client(&mut self, id: ClientId) -> Option<Due<O, U>> {
        self.clients.remove(id).map(|client| Due::ClientDone {
            id,
            owner: client.owner,
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::txn::trial::{Trial, UDP};

    #[test]
    fn the_users_timers_share_the_wheel() {
        let mut t = Trial::new();
        t.txn.set_timer(Trial::ms(700), "ring");
        let gone = t.txn.set_timer(Trial::ms(600), "gone");
        t.txn.cancel_timer(gone);
        t.client("INVITE", UDP);
        t.check(1_000, &[(500, "resend INVITE"), (700, "ring")]);
    }

    // T-1
    #[test]
    fn a_long_stall_ends_what_it_must_and_repeats_nothing() {
        let mut t = Trial::new();
        t.client("INVITE", UDP);
        let refused = t.server("INVITE", UDP);
        assert_eq!(t.answer(refused, 500), "500");
        t.now = Trial::ms(3_600_000);
        t.check(
            3_600_000,
            &[
                (3_600_000, "client timeout, heard: false"),
                (3_600_000, "ack timeout"),
            ],
        );
        assert_eq!(t.txn.deadline(), None);
    }

    #[test]
    fn a_transaction_never_has_two_entries() {
        let mut t = Trial::new();
        let client = t.client("BYE", UDP);
        let server = t.server("INVITE", UDP);
        for step in 1..40 {
            t.run(step * 100);
            t.hear(client, 100);
            t.answer(server, if step < 20 { 180 } else { 486 });
            t.again(server);
            assert!(t.txn.agenda.wheel.len() <= 2, "at step {step}");
        }
    }
}
