//! Another process that is to go on in the place of this one: who asked for it, and what it is
//! given that the control thread knows.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::io::Orders;
use crate::limits;
use crate::upgrade::{ControlSockets, Given, Kept, hand_over};

/// Somebody wants it.
pub(super) struct Request {
    /// The program, instead of what is now where this one was started from.
    pub(super) program: Option<PathBuf>,
    /// Answered by what came of it, or why nothing did.
    pub(super) answer: oneshot::Sender<Result<String, String>>,
}

/// What a node goes by when it is to be handed on.
pub(super) struct Standing {
    pub(super) kept: Kept,
    /// The keys that wait for a restart.
    pub(super) pending: Vec<String>,
    /// It was told to end.
    pub(super) drains: bool,
    pub(super) shards: Arc<[Orders]>,
}

/// What is handed on besides what the shards leave.
pub(super) struct Handing {
    pub(super) given: Given,
    pub(super) control_sockets: Arc<ControlSockets>,
    /// Who serves the sockets of the thread is told.
    pub(super) handed_on: Arc<Notify>,
    pub(super) requests: mpsc::Receiver<Request>,
}

impl Handing {
    pub(super) fn new(
        given: Given,
        control_sockets: ControlSockets,
        handed_on: &Arc<Notify>,
        requests: mpsc::Receiver<Request>,
    ) -> Self {
        Self {
            given,
            control_sockets: Arc::new(control_sockets),
            handed_on: Arc::clone(handed_on),
            requests,
        }
    }

    /// Hands the node on and ends this process, or says why it goes on.
    pub(super) async fn hand_over(&self, node: Standing, request: Request) {
        let done = self.try_to(node, request.program).await;
        if let Err(why) = &done {
            tracing::error!("{why}");
        }
        let is_done = done.is_ok();
        if is_done {
            self.handed_on.notify_waiters();
        }
        if request.answer.send(done).is_err() {
            tracing::debug!("whoever asked for it has gone");
        }
        if is_done {
            sleep(limits::UPGRADE_LAST_WORDS).await;
            // Nothing is closed in order: it is the other process's now.
            std::process::exit(0);
        }
    }

    async fn try_to(&self, node: Standing, program: Option<PathBuf>) -> Result<String, String> {
        let Standing {
            kept,
            pending,
            drains,
            shards,
        } = node;
        if drains {
            return Err("the node drains, and ends soon: start the new program then".to_owned());
        }
        if !pending.is_empty() {
            return Err(format!(
                "{} waits for a restart, so that no other process can go on as this one does: \
                 restart the node instead, or change the file back and run `steadfast reload`",
                pending.join(", ")
            ));
        }
        let (given, control_sockets) = (self.given.clone(), Arc::clone(&self.control_sockets));
        let work = spawn_blocking(move || {
            hand_over(&given, &control_sockets, &kept, &shards, program.as_deref())
        });
        work.await
            .map_err(|why| format!("the upgrade failed: {why}"))?
    }
}
