//! The client transactions of a phone (RFC 3261 §17.1): copies, the next server, answers.

use super::*;

impl Phone {
    pub(super) fn tick_clients(&mut self, now: Instant) {
        self.clients
            .retain(|client| client.done.is_none_or(|done| done + LIFE > now));
        let mut failed = Vec::new();
        let mut moves = Vec::new();
        let mut silent = Vec::new();
        let resolves = self.who.zone.is_some();
        for (index, client) in self.clients.iter_mut().enumerate() {
            if client.done.is_some() {
                continue;
            }
            let waits = client.method == "INVITE" && client.heard;
            if now >= client.start + LIFE && !waits {
                client.done = Some(now);
                if client.rest.is_empty() {
                    failed.push((client.purpose, client.moved));
                } else {
                    silent.push(index);
                }
                continue;
            }
            if now >= client.start + PATIENCE && !client.heard && !client.moved && !resolves {
                moves.push(index);
            }
            if now < client.next {
                continue;
            }
            if !client.tcp && !waits {
                let bytes = client.bytes.clone();
                self.out.push(Sent {
                    tcp: false,
                    to: client.to,
                    bytes,
                });
            }
            client.gap = match client.method {
                "INVITE" => client.gap * 2,
                _ => (client.gap * 2).min(T2),
            };
            client.next = if waits {
                now + LIFE * 100
            } else {
                now + client.gap
            };
        }
        for index in moves {
            self.move_client(now, index);
        }
        for index in silent {
            self.try_next_server(now, index);
        }
        for (purpose, moved) in failed {
            if !moved {
                self.failed(now, purpose, 408);
            }
        }
    }

    /// Sends a request to the next server of its name, in a new transaction (RFC 3263
    /// §4.3); false when there is none.
    pub(super) fn try_next_server(&mut self, now: Instant, index: usize) -> bool {
        let Some((next, rest)) = self.clients[index].rest.split_first() else {
            return false;
        };
        let (next, rest) = (*next, rest.to_vec());
        let branch = self.branch();
        let client = &mut self.clients[index];
        client.done.get_or_insert(now);
        client.rest.clear();
        let (purpose, method) = (client.purpose, client.method);
        let bytes = client.under(&branch);
        self.start_client(now, purpose, method, (self.who.tcp, next), branch, bytes);
        self.clients.last_mut().unwrap().rest = rest;
        true
    }

    pub(super) fn response(&mut self, now: Instant, text: &Text) {
        let Some(via) = text.via() else { return };
        let found = self
            .clients
            .iter()
            .position(|c| c.branch == via.branch && c.method == text.method());
        let Some(index) = found else { return };
        let client = &mut self.clients[index];
        client.heard = true;
        let status = text.status();
        if status < 200 {
            return self.progress(now, index, text);
        }
        let again = client.done.is_some();
        client.done.get_or_insert(now);
        if client.method == "INVITE" && status >= 300 {
            self.ack_refusal(index, text);
        }
        // RFC 3263 §4.3
        if status == 503 && !again && self.try_next_server(now, index) {
            return;
        }
        let purpose = self.clients[index].purpose;
        if let Purpose::Register(binding) = purpose
            && !again
        {
            self.registers_at(binding, self.clients[index].to);
        }
        match purpose {
            Purpose::Invite(leg) | Purpose::Reinvite(leg) if status < 300 => {
                self.accepted(now, leg, purpose, text);
            }
            _ if again => {}
            Purpose::Register(binding) if status < 300 => self.registered(now, binding, text),
            Purpose::Register(binding) if status == 401 => self.challenged(now, binding, text),
            Purpose::Invite(leg) if status == 407 && self.invite_again(now, leg, index, text) => {}
            Purpose::Bye(leg) => self.left(leg),
            Purpose::Register(_) | Purpose::Invite(_) | Purpose::Reinvite(_) => {
                self.failed(now, purpose, status);
            }
            Purpose::Nothing => {}
        }
    }

    /// RFC 3261 §17.1.1.3.
    pub(super) fn ack_refusal(&mut self, index: usize, response: &Text) {
        let client = &self.clients[index];
        let invite = &client.text;
        let mut out = format!("ACK {} SIP/2.0\r\n", invite.uri());
        for (name, value) in &invite.headers {
            match &name[..] {
                "via" | "route" | "from" | "call-id" | "max-forwards" => {
                    out += &format!("{name}: {value}\r\n");
                }
                "to" => out += &format!("To: {}\r\n", response.first("to").unwrap_or(value)),
                "cseq" => out += &format!("CSeq: {} ACK\r\n", invite.cseq()),
                _ => {}
            }
        }
        out += "Content-Length: 0\r\n\r\n";
        self.out.push(Sent {
            tcp: client.tcp,
            to: client.to,
            bytes: out.into_bytes(),
        });
    }

    /// Sends a request in a new transaction.
    pub(super) fn send_request(
        &mut self,
        now: Instant,
        purpose: Purpose,
        method: &'static str,
        (tcp, to): (bool, SocketAddr),
        written: &Written<'_>,
    ) -> String {
        let branch = self.branch();
        let bytes = self.write(method, &branch, written);
        self.start_client(now, purpose, method, (tcp, to), branch.clone(), bytes);
        branch
    }

    pub(super) fn start_client(
        &mut self,
        now: Instant,
        purpose: Purpose,
        method: &'static str,
        (tcp, to): (bool, SocketAddr),
        branch: String,
        bytes: Vec<u8>,
    ) {
        self.clients.push(Client {
            text: Text::read(&bytes).unwrap(),
            branch,
            method,
            bytes: bytes.clone(),
            tcp,
            to,
            start: now,
            next: now + T1,
            gap: T1,
            heard: false,
            done: None,
            purpose,
            moved: false,
            rest: Vec::new(),
        });
        self.out.push(Sent { tcp, to, bytes });
    }

    /// Sends a request in a new transaction to the first of some servers.
    pub(super) fn send_to_servers(
        &mut self,
        now: Instant,
        purpose: Purpose,
        method: &'static str,
        servers: &[SocketAddr],
        written: &Written<'_>,
    ) {
        self.send_request(now, purpose, method, (self.who.tcp, servers[0]), written);
        self.clients.last_mut().unwrap().rest = servers[1..].to_vec();
    }

    /// Where a Route leads, when the phone resolves it; none where it has no idea.
    pub(super) fn servers(&mut self, route: Option<&String>) -> Vec<SocketAddr> {
        let (Some(zone), Some(route)) = (&self.who.zone, route) else {
            return Vec::new();
        };
        zone.servers(uri_of(route), &mut self.dice)
    }
}
