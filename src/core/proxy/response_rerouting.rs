//! Answers whose connection is gone: over a new one to where the request
//! came from, at the port of its Via (RFC 3261 §18.2.2), and when nobody listens
//! there, to the sent-by itself: an address, a name with a port, or a name that
//! SRV records lead on from (RFC 3263 §5; N-10).
//!
//! An answer waits here only while its connection is being opened or its name
//! is being looked up. A later answer to the same request replaces it: a caller that was
//! away needs the last one. What was written to a connection that broke afterwards is lost.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::locating::to;
use super::matching::server_of;
use super::servers::Located;
use super::{Proxy, Turn};
use crate::bytes::{Buf, Pool};
use crate::carry::carried;
use crate::guard::SourceLimit;
use crate::id::{Flow, ServerId, StreamId, Transport};
use crate::limits;
use crate::locate::LookupId;
use crate::omit::Omit;
use crate::scan::via::Via;
use crate::scan::{Message, scan};
use crate::send::Hop;
use crate::time::Instant;
use crate::trust::{Ingress, Principal};
use crate::uri::Uri;

/// An answer under way to a caller whose connection is gone.
#[derive(Debug, Serialize, Deserialize)]
struct PendingResponse {
    server: ServerId,
    bytes: Buf,
    /// Where its request came in.
    ingress: Ingress,
    waits: Option<Waits>,
    /// The sent-by, until it has been looked up.
    sent_by: Option<Hop>,
    /// Hops that were not tried yet, the next one last.
    untried: Vec<Hop>,
    /// Where it was tried.
    tried: Vec<SocketAddr>,
}

/// What an answer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Waits {
    /// This connection.
    Opening(StreamId),
    /// The DNS, until then.
    Locating(LookupId, Instant),
}

/// The answers that wait for a connection to their caller, or for the DNS.
#[derive(Debug, Default)]
pub(super) struct Returns {
    pending: Vec<PendingResponse>,
}

impl Returns {
    /// Finds a new way for an answer whose connection is gone, and lets its
    /// transaction have it. An answer that has to wait for the DNS leaves later.
    /// `outline` is room for that of the answer.
    pub(super) fn reroute(
        &mut self,
        turn: &mut Turn<'_>,
        server: ServerId,
        ingress: Ingress,
        response: &Buf,
        outline: &mut Message,
    ) {
        let Some(flow @ Flow::Stream(_)) = turn.net.txns.server_flow(server) else {
            return;
        };
        let mut pending = self.pending.iter_mut();
        // The connection for it is being opened, or its name looked up.
        if let Some(earlier) = pending.find(|earlier| earlier.server == server) {
            earlier.bytes = response.clone();
            return;
        }
        if turn.net.flows.lives(flow) || scan(response, outline).is_err() {
            return;
        }
        // Whoever was called can write another Via than his caller's.
        let Some(&via) = outline.top_via() else {
            return;
        };
        if server_of(&turn.net.txns, response, outline, &via) != Some(server) {
            turn.net.counters.stray_responses += 1;
            return;
        }
        let Some((first, sent_by)) = turn.return_hops(response, &via, ingress.source.ip()) else {
            return;
        };
        // The sent-by of a stranger may name anybody, who would get our answers unasked.
        let sent_by = sent_by.filter(|_| ingress.principal != Principal::Stranger);
        let mut answer = PendingResponse {
            server,
            bytes: response.clone(),
            ingress,
            waits: None,
            sent_by,
            untried: vec![first],
            tried: Vec::new(),
        };
        answer.try_next_hop(turn);
        if answer.waits.is_some() && self.pending.len() < limits::RETURNS_MAX {
            self.pending.push(answer);
        }
    }

    /// A connection is up: what waited for it has left.
    fn flow_up(&mut self, stream: StreamId) {
        self.pending
            .retain(|answer| answer.waits != Some(Waits::Opening(stream)));
    }

    /// A connection could not be opened: what waited for it tries the next way.
    pub(super) fn flow_lost(&mut self, turn: &mut Turn<'_>, flow: Flow) {
        if let Flow::Stream(stream) = flow {
            self.continue_with(turn, |waits| waits == Waits::Opening(stream));
        }
    }

    /// The DNS has answered.
    pub(super) fn located(&mut self, turn: &mut Turn<'_>, name: LookupId) {
        let is_it = |waits| matches!(waits, Waits::Locating(wanted, _) if wanted == name);
        self.continue_with(turn, is_it);
    }

    /// Gives up what the DNS was too slow for.
    fn sweep(&mut self, now: Instant) {
        let is_late = |waits| matches!(waits, Waits::Locating(_, until) if until <= now);
        self.pending
            .retain(|answer| !answer.waits.is_some_and(is_late));
    }

    fn continue_with(&mut self, turn: &mut Turn<'_>, is_ready: impl Fn(Waits) -> bool) {
        for answer in &mut self.pending {
            if answer.waits.is_some_and(&is_ready)
                && let Some(flow) = answer.try_next_hop(turn)
            {
                turn.net.transmit(flow, answer.bytes.clone());
            }
        }
        self.pending.retain(|answer| answer.waits.is_some());
    }
}

impl Proxy {
    /// A connection is up: the answers that waited for it have left.
    pub fn flow_up(&mut self, stream: StreamId) {
        self.returns.flow_up(stream);
    }

    /// Bounded house-keeping, about once a second.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.returns.sweep(now);
        self.dialogs.sweep(now);
    }
}

impl PendingResponse {
    /// Tries one hop after the other until a flow leads to one of them, which is returned.
    /// Where its connection is still being opened, the answer waits for that.
    fn try_next_hop(&mut self, turn: &mut Turn<'_>) -> Option<Flow> {
        self.waits = None;
        while self.tried.len() < limits::RETURN_TRIES_MAX {
            let Some(hop) = self.untried.pop() else {
                match self.sent_by.take()? {
                    Hop::Named(name) => self.look_up(turn, name)?,
                    hop @ (Hop::To { .. } | Hop::Flow(_)) => self.untried.push(hop),
                }
                continue;
            };
            let Hop::To {
                transport, addr, ..
            } = hop
            else {
                continue;
            };
            if self.tried.contains(&addr) || !self.may_try(turn, transport, addr) {
                continue;
            }
            self.tried.push(addr);
            let hop = turn.with_proven_name(hop);
            if let Some(flow) = turn.net.reach(hop) {
                turn.net.txns.set_server_flow(self.server, flow);
                self.waits = turn.net.flows.opening(flow).map(Waits::Opening);
                return Some(flow);
            }
        }
        None
    }

    /// The servers of the sent-by; `None` when they are not known yet, or when
    /// there are none.
    fn look_up(&mut self, turn: &mut Turn<'_>, name: LookupId) -> Option<()> {
        match turn.net.locate(turn.now, name) {
            Located::Ready => {
                let proof = turn.net.tls_domain(name);
                let servers = turn.net.servers.found.iter().rev();
                self.untried = servers
                    .map(|&(transport, addr)| to(transport, addr, proof))
                    .collect();
                Some(())
            }
            Located::Pending => {
                self.sent_by = Some(Hop::Named(name));
                self.waits = Some(Waits::Locating(name, turn.now + limits::DNS_WAIT_MAX));
                None
            }
            Located::Nowhere(_) => None,
        }
    }

    /// Whether an answer may go there. Where the request came from, it may; where its Via
    /// leads, only some times a second for one source, since whoever is named there has not
    /// asked for it.
    fn may_try(&self, turn: &mut Turn<'_>, transport: Transport, addr: SocketAddr) -> bool {
        let Ingress {
            source, principal, ..
        } = self.ingress;
        // What a sibling relayed may not come from outside, and its answer goes there.
        let is_ours = principal.is_cluster_node() && turn.policy.may_return(addr);
        (is_ours || turn.may_reach(transport, addr, None))
            && (self.tried.is_empty()
                || principal.is_cluster_node()
                || turn
                    .net
                    .guard
                    .admit(turn.now, source.ip(), SourceLimit::Roaming))
    }
}

impl Turn<'_> {
    /// Where the answer to a request goes whose connection is gone: first to the
    /// caller's address, at the port of the Via, then to the sent-by.
    fn return_hops(
        &mut self,
        bytes: &[u8],
        via: &Via,
        caller: IpAddr,
    ) -> Option<(Hop, Option<Hop>)> {
        let transport = Transport::from_via_token(via.transport.of(bytes))?;
        let host = via.host.of(bytes);
        let port = via.port.unwrap_or_else(|| transport.default_port());
        let first = Hop::To {
            transport,
            addr: SocketAddr::new(caller, port),
            name: self.net.flows.names.intern(host),
        };
        let scheme: &[u8] = match transport {
            Transport::Tls => b"sips:",
            Transport::Udp | Transport::Tcp => b"sip:",
        };
        // RFC 3263 §5 is §4 with the transport given.
        let uri = [scheme, via.sent_by.of(bytes), b";transport=tcp"].concat();
        let parsed = Uri::of(&uri).ok();
        let sent_by = parsed.and_then(|parsed| self.net.hop(self.now, &uri, &parsed));
        let leads_on = transport.is_stream() && !self.net.omit.leaves_out(Omit::SentBy);
        Some((first, sent_by.filter(|_| leads_on)))
    }

    /// Over TLS whoever is at the end proves the name in the Via, or the domain
    /// of the home or edge that we know to live there: an address in a Via is
    /// nothing that a certificate of SIP names (RFC 5922 §7.1).
    fn with_proven_name(&mut self, hop: Hop) -> Hop {
        let Hop::To {
            transport,
            addr,
            name,
        } = hop
        else {
            return hop;
        };
        let domain = self.policy.domain_at(self.net, self.now, addr);
        let known = domain.map(str::as_bytes);
        let name = known.map_or(name, |known| self.net.flows.names.intern(known));
        Hop::To {
            transport,
            addr,
            name,
        }
    }
}

impl Returns {
    /// Has the buffers that were read belong to a pool.
    pub(super) fn adopt_bufs(&mut self, pool: &Pool) {
        pool.adopt_all(self.pending.iter_mut().map(|pending| &mut pending.bytes));
    }
}

carried!(Returns {
    values: pending;
});
