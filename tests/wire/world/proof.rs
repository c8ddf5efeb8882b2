//! Certificates in a `World`: TLS is spoken at port 5061, and who has which
//! domains is known without any cryptography.

use std::net::SocketAddr;

use steadfast::id::Transport;
use steadfast::send::AcceptedConnection;

use super::super::cables::End;
use super::{Answers, Event, World};

impl World {
    /// Opens a connection from an address of the test to a node. What is sent
    /// between the two from now on goes over it.
    pub(crate) fn connect(&mut self, from: &str, to: &str) {
        assert!(self.knock(from, to), "no connection from {from} to {to}");
    }

    /// Opens a connection to a core-side listener of a node.
    pub(crate) fn connect_at_core(&mut self, from: &str, to: &str) {
        assert!(self.knock_at(from, to, true), "no way from {from} to {to}");
    }

    /// Opens a connection to a node; false where the node refuses it.
    pub(crate) fn knock(&mut self, from: &str, to: &str) -> bool {
        self.knock_at(from, to, false)
    }

    /// Whether the node takes a connection over TLS, which then says nothing.
    pub(crate) fn greet(&mut self, from: &str, to: &str) -> bool {
        let (addr, to) = (from.parse().unwrap(), to.parse().unwrap());
        let end = steadfast::send::End {
            transport: Transport::Tls,
            addr,
            core_side: false,
        };
        let index = self.index(addr, to);
        self.shards[index].admit_connection(self.now, &end)
    }

    fn knock_at(&mut self, from: &str, to: &str, core_side: bool) -> bool {
        let (from, to): (SocketAddr, _) = (from.parse().unwrap(), to.parse().unwrap());
        let index = self.index(from, to);
        let identities = self.proven.get(&from).cloned().unwrap_or_default();
        let transport = speaks(to);
        let accepted = AcceptedConnection {
            transport,
            peer: from,
            core_side,
            identities: if transport == Transport::Tls {
                &identities
            } else {
                &[]
            },
        };
        let shard = &mut self.shards[index];
        if !shard.admit_connection(self.now, &accepted.end()) {
            return false;
        }
        let stream = shard.accept(self.now, &accepted);
        if transport == Transport::Tls {
            shard.handshake_done(from.ip());
        }
        let Some(stream) = stream else {
            return false;
        };
        self.cables
            .join(End::test(from), End::node(index, stream, to));
        true
    }

    /// The DNS answers what it has held back.
    pub(crate) fn answer_names(&mut self, answers: Answers) {
        self.names.answers = answers;
        for (index, name, question) in std::mem::take(&mut self.names.held) {
            let records = self.names.records(&question);
            self.wire.push_back(Event::Resolved(index, name, records));
        }
        self.settle();
    }

    /// The domains that whoever lives at an address has a certificate for.
    pub(super) fn identities(&self, addr: SocketAddr) -> Vec<Box<str>> {
        match self.nodes.get(&addr) {
            Some(&(index, _)) => vec![self.kinds[index].domain().into()],
            None => self.proven.get(&addr).cloned().unwrap_or_default(),
        }
    }

    /// Gives an address of the test a certificate for these domains.
    pub(crate) fn prove(&mut self, addr: &str, domains: &[&str]) {
        let domains = domains.iter().map(|domain| (*domain).into()).collect();
        self.proven.insert(addr.parse().unwrap(), domains);
    }
}

/// What connections to an address speak: TLS at its usual port.
pub(super) fn speaks(addr: SocketAddr) -> Transport {
    if addr.port() == Transport::Tls.default_port() {
        Transport::Tls
    } else {
        Transport::Tcp
    }
}
