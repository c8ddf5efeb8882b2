//! Where a URI leads: to an address, or to the servers of a name, which the DNS is asked
//! for (RFC 3263). [`Servers`](super::Servers) holds what it has said.

use std::sync::Arc;

use super::Net;
use super::servers::Located;
use crate::locate::{LookupId, Question};
use crate::send::{Hop, NameId, Output};
use crate::time::Instant;
use crate::uri::Uri;

impl Net {
    /// Where a URI leads by itself: an address, or a name to be located.
    /// `None` when neither can be.
    pub fn hop(&mut self, now: Instant, bytes: &[u8], uri: &Uri) -> Option<Hop> {
        let literal = Hop::literal(&mut self.flows.names, bytes, uri);
        literal.or_else(|| self.servers.locator.name(now, bytes, uri).map(Hop::Named))
    }

    /// Who must be at a server of the name, over TLS: the domain of the URI,
    /// wherever the DNS leads (N-8).
    pub(super) fn tls_domain(&mut self, name: LookupId) -> Option<NameId> {
        let domain = self.servers.locator.domain(name)?;
        self.flows.names.intern(domain.as_bytes())
    }

    /// Looks for a name's servers, and asks for them where it is time to.
    pub(super) fn locate(&mut self, now: Instant, name: LookupId) -> Located {
        let chance = self.secrets.chance();
        let health = &self.liveness.health;
        let (found, question) = self.servers.locate(now, name, chance, health);
        self.send_question(name, question);
        found
    }

    /// Looks for a name's servers without asking, by what the DNS said last.
    pub(super) fn locate_last(&mut self, now: Instant, name: LookupId, chance: u64) -> Located {
        let health = &self.liveness.health;
        self.servers.locate_last(now, name, chance, health)
    }

    /// Asks for a name before anybody waits for it, and keeps it fresh.
    pub(crate) fn prefetch(&mut self, now: Instant, name: LookupId) {
        let question = self.servers.locator.find(now, name).1;
        self.send_question(name, question);
    }

    fn send_question(&mut self, name: LookupId, question: Option<Arc<Question>>) {
        if let Some(question) = question {
            self.counters.names_asked += 1;
            self.outbox.push(Output::Resolve { name, question });
        }
    }
}
