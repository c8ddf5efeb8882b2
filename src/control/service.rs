//! What the service manager is told of the node (sd_notify(3)), where one has started it.

use std::sync::Arc;

use sd_notify::NotifyState;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use crate::io::{Order, Orders, Question};
use crate::limits;

/// The node takes traffic.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The node takes its files over, until `ready`.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the kernel does not tell the time"),
    }
}

/// The node drains, and begins nothing new.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells the manager in each half of the time that it gives that every shard answers; nothing
/// where one does not, so that it starts the node anew. Without such a time this never ends
/// either.
pub(super) async fn watchdog(shards: Arc<[Orders]>) {
    let Some(time) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    loop {
        sleep(time / 2).await;
        if all_answer(&shards).await {
            tell(&[NotifyState::Watchdog]);
        }
    }
}

/// Whether every shard answers in `limits::ANSWER_MAX`.
pub(super) async fn all_answer(shards: &[Orders]) -> bool {
    let (answer, mut answers) = mpsc::channel(shards.len().max(1));
    for (shard, orders) in shards.iter().enumerate() {
        orders.give(Order::Ask {
            question: Question::Numbers,
            answer: answer.clone(),
            shard,
        });
    }
    drop(answer);
    let mut left = shards.len();
    while left > 0
        && let Ok(Some(_)) = timeout(limits::ANSWER_MAX, answers.recv()).await
    {
        left -= 1;
    }
    left == 0
}

/// Without a manager it is told to nobody.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told how the node is");
    }
}
