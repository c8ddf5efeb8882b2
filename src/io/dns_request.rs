//! Questions on their way to the control thread, which speaks DNS.

use std::sync::Arc;

use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::limits;
use crate::locate::{LookupId, Question};

/// A question of one shard.
#[derive(Clone, Debug)]
pub struct DnsRequest {
    /// Its index among the shards.
    pub shard: usize,
    /// To be named in the answer.
    pub name: LookupId,
    /// What is request.
    pub question: Arc<Question>,
}

/// A shard's way to the DNS. Never waits.
#[derive(Clone, Debug)]
pub struct DnsSender {
    shard: usize,
    sender: Sender<DnsRequest>,
}

/// A bounded channel from the shards to the DNS: the end of shard 0.
#[must_use]
pub fn to_dns() -> (DnsSender, Receiver<DnsRequest>) {
    let (sender, receiver) = channel(limits::DNS_QUEUE_MAX);
    (DnsSender { shard: 0, sender }, receiver)
}

impl DnsSender {
    /// The end of another shard.
    #[must_use]
    pub fn of(&self, shard: usize) -> Self {
        Self {
            shard,
            sender: self.sender.clone(),
        }
    }

    /// Asks; false when the control thread is that far behind, or gone.
    #[must_use]
    pub(super) fn ask(&self, name: LookupId, question: Arc<Question>) -> bool {
        let shard = self.shard;
        let request = DnsRequest {
            shard,
            name,
            question,
        };
        self.sender.try_send(request).is_ok()
    }
}
