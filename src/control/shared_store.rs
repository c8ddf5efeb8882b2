//! Registrations in Valkey or Redis, which several homes share.
//!
//! A thread of its own has two connections: over one it gives the store what the shards change,
//! asks what they ask and reads everything at the start; over the other it waits for what other
//! homes change.
//!
//! | key | what |
//! |---|---|
//! | `steadfast:1:{DOMAIN}:aor:AOR` | a hash: a field for each binding (`home::SharedChange`), and `v`, the version of all of them; it ends with its last binding |
//! | `steadfast:1:{DOMAIN}:changes` | a stream: of each change the address of record (`a`), its version (`v`) and the home (`h`) |
//! | `steadfast:1:{DOMAIN}:version` | the last version that was given |
//! | `steadfast:1:{DOMAIN}:store` | a random text, by which a store that has lost everything is known |
//!
//! `1` is the version of all that. The braces put what belongs to a domain into one slot of a
//! cluster, since a change touches three of these keys.
//!
//! - A change is a script in the store, whole or not at all, by the Call-ID and CSeq of what it
//!   finds there (`change.lua`). Sent again after a failure it changes nothing twice.
//! - The stream says what to read again, and nothing else: a home that was away reads on where it
//!   stopped, and everything where the list does not go back so far.
//! - While the store is away, homes go on with what they know. What they have acknowledged waits,
//!   and is carried out when the store is back unless another home has newer bindings. With
//!   `durable` nothing is acknowledged, and so nothing waits.
//! - A store that has lost something (it was started again, or a replica took its place) is told
//!   all that the homes have.

mod answer;
mod follow;
mod link;
mod write;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use tokio::sync::mpsc::Receiver;
use tokio::time::{sleep, timeout};

use crate::config::SharedAt;
use crate::home::Tell;
use crate::io::{KeptBindings, Order, Orders, Record, SharedAnswer, SharedQuestion, StoreState};
use crate::limits;

use follow::Position;
use link::{Link, Trouble};
use write::Waiting;

/// The store, of which nothing is open yet.
pub struct SharedStore {
    at: SharedAt,
    domain: String,
    state: Arc<StoreState>,
    is_durable: bool,
    goes_on: bool,
}

/// What the shards have for the store.
pub struct FromShards {
    /// What they change.
    pub records: Receiver<Record>,
    /// What they ask.
    pub questions: Receiver<SharedQuestion>,
    /// Set where a change found no room on its way.
    pub has_dropped: Arc<AtomicBool>,
}

/// The thread's own.
struct Worker {
    store: SharedStore,
    shards: Arc<[Orders]>,
    from: FromShards,
    /// How this run of the home is called in the list of changes.
    home: String,
    waiting: Waiting,
    position: Option<Position>,
    /// When the log was last told that the store is away.
    said: Option<Instant>,
}

/// Finds out whether the store answers.
///
/// # Errors
/// Why it does not, as a sentence.
pub fn reach(at: &SharedAt) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|why| why.to_string())?;
    let reached = runtime.block_on(Link::open(at, "", ""));
    reached
        .map(drop)
        .map_err(|why| format!("the store {at} cannot be used: {why}"))
}

impl SharedStore {
    /// The store of a domain. With `is_durable` answers wait for it; one that `goes_on` where
    /// another process has stopped has registrations already.
    #[must_use]
    pub fn new(at: SharedAt, domain: &str, is_durable: bool, goes_on: bool) -> Self {
        Self {
            at,
            domain: domain.to_owned(),
            state: Arc::default(),
            is_durable,
            goes_on,
        }
    }

    /// How it is, for whoever is asked.
    #[must_use]
    pub fn state(&self) -> Arc<StoreState> {
        Arc::clone(&self.state)
    }

    /// Works on a thread of its own until every shard is gone.
    pub(super) fn start(
        self,
        from: FromShards,
        shards: &Arc<[Orders]>,
    ) -> io::Result<JoinHandle<()>> {
        let seed = crate::config::random::<8>()?;
        let worker = Worker {
            store: self,
            shards: Arc::clone(shards),
            from,
            home: HEXLOWER.encode(&seed),
            waiting: Waiting::default(),
            position: None,
            said: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let thread = std::thread::Builder::new().name("store".into());
        thread.spawn(move || runtime.block_on(worker.work()))
    }
}

impl Worker {
    async fn work(mut self) {
        let mut pause = limits::SHARED_RETRY;
        let mut ends: Option<Instant> = None;
        loop {
            let since = Instant::now();
            let Err(why) = self.session().await else {
                return;
            };
            // What went well for a while is tried again at once.
            if since.elapsed() > limits::SHARED_RETRY_MAX {
                pause = limits::SHARED_RETRY;
            }
            self.complain(&why);
            if self.wait(pause).await {
                let ends = *ends.get_or_insert_with(|| Instant::now() + limits::SHARED_END_MAX);
                let (store, lost) = (&self.store.at, self.waiting.records.len());
                if lost == 0 || Instant::now() >= ends {
                    if lost > 0 {
                        tracing::error!(%store, lost, "the node ends and the store does not answer: these changes are not in it");
                    }
                    return;
                }
            }
            pause = limits::SHARED_RETRY_MAX.min(pause * 2);
        }
    }

    /// Works with the store until it fails; `Ok` once every shard is gone and all is written.
    async fn session(&mut self) -> Result<(), Trouble> {
        let SharedStore { at, domain, .. } = &self.store;
        let mut link = Link::open(at, domain, &self.home).await?;
        let listening = Link::open(at, domain, &self.home).await?;
        let goes_on = self.store.goes_on;
        let begun = Position::find(&mut link, self.position.as_ref(), goes_on).await?;
        let is_incomplete =
            self.waiting.take_incomplete() || self.from.has_dropped.swap(false, Ordering::AcqRel);
        let position = self.position.insert(begun.position);
        if is_incomplete || begun.has_lost {
            tell_all(&self.shards, &Order::TellShared(Tell::All));
        } else if begun.has_gap {
            tell_all(&self.shards, &Order::TellShared(Tell::Ask));
        }
        self.store.state.note_mended();
        if self.store.is_durable {
            // Of nothing more than before, and by that of no failure.
            tell_all(&self.shards, &Order::Stored { up_to: 0 });
        }
        if self.said.take().is_some() {
            tracing::info!(store = %self.store.at, "the store answers again");
        }
        let shards = &self.shards;
        self.waiting.settle_doubts(&mut link, shards).await?;
        let writing = write::write(
            link.clone(),
            &mut self.from.records,
            &mut self.waiting,
            &self.store.state,
            write::Readers {
                shards,
                is_durable: self.store.is_durable,
            },
        );
        let asking = answer::answer(link.clone(), &mut self.from.questions, shards);
        let following = follow::follow(link, listening, position, begun.reads_all, shards);
        tokio::select! {
            written = writing => written,
            failed = asking => Err(failed),
            failed = following => Err(failed),
        }
    }

    /// Says in the log that the store is away, and to the shards what comes of that.
    fn complain(&mut self, why: &Trouble) {
        self.store.state.note_failed();
        self.take_in();
        let is_new = self
            .said
            .is_none_or(|at| at.elapsed() >= limits::STORE_ALERT_EVERY);
        if is_new {
            self.said = Some(Instant::now());
            let (store, unsaved) = (&self.store.at, self.store.state.unsaved());
            let meanwhile = match self.store.is_durable {
                true => "registrations are refused with 503 until it is back",
                false => "registrations are taken, and other homes hear of them when it is back",
            };
            tracing::error!(%store, unsaved, "the store that the homes share cannot be used: {why}; {meanwhile}");
        }
    }

    /// Takes in what the shards have put out, and tells them what is lost of it.
    fn take_in(&mut self) {
        while let Ok(record) = self.from.records.try_recv() {
            self.waiting.push(record);
        }
        let (state, is_durable) = (&self.store.state, self.store.is_durable);
        self.waiting.store_failed(state, is_durable);
        if is_durable {
            tell_all(&self.shards, &Order::NotStored);
        }
    }

    /// Waits for the next try; meanwhile who asks is told that nobody knows. True: every shard
    /// is gone.
    async fn wait(&mut self, pause: Duration) -> bool {
        let end = Instant::now() + pause;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match timeout(left, self.from.questions.recv()).await {
                Ok(Some(question)) => tell_unknown(&self.shards, question),
                Ok(None) => sleep(left).await,
                Err(_over) => {}
            }
            if Instant::now() >= end {
                self.take_in();
                return self.from.records.is_closed() && self.from.records.is_empty();
            }
        }
    }
}

/// Tells whoever asked that the store cannot say.
fn tell_unknown(shards: &[Orders], question: SharedQuestion) {
    let SharedQuestion { shard, id, key } = question;
    let answer = SharedAnswer {
        key,
        version: 0,
        bindings: KeptBindings::Unknown,
        number: 0,
        is_refused: false,
        ask: id,
    };
    if let Some(shard) = shards.get(usize::from(shard)) {
        tell(shard, &Order::Shared([answer].into()));
    }
}

fn tell_all(shards: &[Orders], order: &Order) {
    for shard in shards {
        tell(shard, order);
    }
}

/// Tells a shard, also one whose inbox is full: what it has would not be what the store has.
fn tell(shard: &Orders, order: &Order) {
    while !shard.offer(order.clone()) {
        std::thread::sleep(limits::INBOX_PAUSE);
    }
}
