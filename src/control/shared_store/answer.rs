//! What the shards ask the store.

use tokio::sync::mpsc::Receiver;

use super::link::{Link, Trouble};
use super::{tell, tell_unknown};
use crate::io::{Order, Orders, SharedQuestion};
use crate::limits;

/// Answers what comes until the store fails; what was asked then is answered all the same.
pub(super) async fn answer(
    mut link: Link,
    questions: &mut Receiver<SharedQuestion>,
    shards: &[Orders],
) -> Trouble {
    let mut batch = Vec::new();
    while questions
        .recv_many(&mut batch, limits::SHARED_BATCH_MAX)
        .await
        > 0
    {
        let keys: Vec<_> = batch.iter().map(|one| one.key.clone()).collect();
        let rows = match link.rows(&keys).await {
            Ok(rows) => rows,
            Err(why) => {
                for question in batch {
                    tell_unknown(shards, question);
                }
                return why;
            }
        };
        for (question, row) in batch.drain(..).zip(rows) {
            let SharedQuestion { shard, id, key } = question;
            if let Some(shard) = shards.get(usize::from(shard)) {
                tell(shard, &Order::Shared([row.told(key, id)].into()));
            }
        }
    }
    // The shards are gone, and their last changes may be on their way yet.
    std::future::pending().await
}
