//! Requests that wait until the store which several homes share has said where somebody is.
//!
//! A home whose own table has no bindings for a subscriber asks, and the request waits as it
//! came. When the answer comes, or after `limits::ASK_MAX`, it is routed as if another shard had
//! handed it over, by what the table says then. The shard does not wait. Nothing has been done
//! for the request before: no credentials were looked at, and no transaction was made.
//!
//! Beyond the bounds, of all and of one source, nothing is asked: the table has to do.

use super::{Net, Request, Timer};
use crate::limits;
use crate::send::Output;
use crate::time::Instant;

impl Net {
    /// Whether a request may wait: there is room, and its source has not had its share.
    pub(crate) fn may_ask_store(&self, request: &Request<'_>) -> bool {
        let ingress = &request.ingress;
        let source = Some(ingress.source.ip());
        let source = source.filter(|_| !ingress.principal.is_cluster_node());
        self.asks.has_room(request.bytes.len(), source)
    }

    /// Has a request wait for what the store says of an address of record.
    pub(super) fn ask_store(&mut self, now: Instant, request: &Request<'_>, aor: &[u8]) {
        self.counters.shared_asked += 1;
        let until = now + limits::ASK_MAX;
        if self.asks.is_empty() {
            self.txns.set_timer(until, Timer::Asks);
        }
        let mut ingress = request.ingress;
        ingress.handed = ingress.handed.saturating_add(1);
        let id = self.asks.push(until, ingress, request.bytes, aor);
        let key = self.pool.copy(aor);
        self.outbox.push(Output::Ask { key, id });
    }

    /// Asks once more for all that is waited for: whoever was asked is gone.
    pub(crate) fn ask_store_again(&mut self) {
        for (id, aor) in self.asks.all() {
            let key = self.pool.copy(aor);
            self.outbox.push(Output::Ask { key, id });
        }
    }
}
