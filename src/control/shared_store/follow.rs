//! What other homes change.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use data_encoding::HEXLOWER;
use redis::cmd;

use super::link::{Link, Trouble};
use super::tell_all;
use crate::io::{Order, Orders};
use crate::limits;

/// A number that the store gives an entry of its list of changes: milliseconds, and which of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct EntryId(u64, u64);

/// How far the list of changes was read.
#[derive(Clone)]
pub(super) struct Position {
    /// The store that it is a list of, as long as that loses nothing.
    store: String,
    last: EntryId,
}

/// Where to begin, and what is to be done besides.
pub(super) struct Begun {
    pub(super) position: Position,
    /// All there is has to be read.
    pub(super) reads_all: bool,
    /// The store has lost something of what it had.
    pub(super) has_lost: bool,
    /// Changes may have passed that nobody here has heard of.
    pub(super) has_gap: bool,
}

/// One entry of the stream as the store sends it.
type Entry = (String, HashMap<String, Vec<u8>>);

impl EntryId {
    fn read(text: &str) -> Option<Self> {
        let (time, number) = text.split_once('-')?;
        Some(Self(time.parse().ok()?, number.parse().ok()?))
    }

    fn text(self) -> String {
        format!("{}-{}", self.0, self.1)
    }
}

impl Position {
    /// Finds out where to go on after `before`, or where to begin. Who `goes_on` for another
    /// process has missed what passed meanwhile.
    pub(super) async fn find(
        link: &mut Link,
        before: Option<&Self>,
        goes_on: bool,
    ) -> Result<Begun, Trouble> {
        let key = link.key("store");
        let name = HEXLOWER.encode(&crate::config::random::<8>()?);
        let mut give = cmd("SET");
        give.arg(&key).arg(&name).arg("NX");
        let _: Option<String> = link.ask(&give).await?;
        let store: String = link.ask(cmd("GET").arg(&key)).await?;
        let (newest, missed) = ends(link).await?;
        let begun = match before {
            Some(before) if before.store == store && before.last <= newest => Begun {
                reads_all: missed > before.last,
                has_lost: false,
                has_gap: missed > before.last,
                // Every entry that there is yet is read where some are gone.
                position: before.clone(),
            },
            other => Begun {
                position: Self {
                    store,
                    last: newest,
                },
                reads_all: true,
                has_lost: other.is_some(),
                has_gap: goes_on,
            },
        };
        Ok(begun)
    }
}

/// The newest entry of the list of changes, and the newest that it has no more.
async fn ends(link: &mut Link) -> Result<(EntryId, EntryId), Trouble> {
    let key = link.key("changes");
    let exists: bool = link.ask(cmd("EXISTS").arg(&key)).await?;
    if !exists {
        return Ok((EntryId::default(), EntryId::default()));
    }
    let mut say = cmd("XINFO");
    say.arg("STREAM").arg(&key);
    let all: HashMap<String, redis::Value> = link.ask(&say).await?;
    let id = |name: &str| {
        let value = all.get(name)?.clone();
        EntryId::read(&redis::from_redis_value::<String>(value).ok()?)
    };
    let newest = id("last-generated-id").ok_or(Trouble::Strange)?;
    // A store before version 7 does not say: what is gone may be all but what is there.
    let missed = match id("max-deleted-entry-id") {
        Some(missed) => missed,
        None => oldest(link, &key).await?,
    };
    Ok((newest, missed))
}

/// The oldest entry of the list of changes.
async fn oldest(link: &mut Link, key: &str) -> Result<EntryId, Trouble> {
    let mut say = cmd("XRANGE");
    say.arg(key).arg("-").arg("+").arg("COUNT").arg(1);
    let first: Vec<Entry> = link.ask(&say).await?;
    let first = first.first().and_then(|(id, _)| EntryId::read(id));
    Ok(first.unwrap_or_default())
}

/// Tells the shards what other homes change until the store fails; first, if it is to, all that
/// the store has.
pub(super) async fn follow(
    mut link: Link,
    mut listening: Link,
    position: &mut Position,
    reads_all: bool,
    shards: &[Orders],
) -> Trouble {
    let followed = async {
        if reads_all {
            read_all(&mut link, shards).await?;
        }
        let mut looked = Instant::now();
        loop {
            follow_on(&mut link, &mut listening, position, shards).await?;
            if looked.elapsed() >= limits::SHARED_BLOCK {
                look(&mut link, position).await?;
                looked = Instant::now();
            }
        }
    };
    let ended: Result<Infallible, Trouble> = followed.await;
    match ended {
        Ok(never) => match never {},
        Err(why) => why,
    }
}

/// Finds out whether the store has been emptied meanwhile.
async fn look(link: &mut Link, position: &Position) -> Result<(), Trouble> {
    let store: Option<String> = link.ask(cmd("GET").arg(link.key("store"))).await?;
    match store.is_some_and(|store| store == position.store) {
        true => Ok(()),
        false => Err(Trouble::Emptied),
    }
}

/// Reads everything that the store has.
async fn read_all(link: &mut Link, shards: &[Orders]) -> Result<(), Trouble> {
    let (mut cursor, mut count) = (0, 0);
    loop {
        let (next, aors) = link.scan(cursor).await?;
        count += aors.len();
        for some in aors.chunks(limits::SHARED_BATCH_MAX) {
            tell_rows(link, some, shards).await?;
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    tracing::info!(records = count, "read the registrations of all homes");
    Ok(())
}

/// Waits for the next changes and tells the shards what came of them.
async fn follow_on(
    link: &mut Link,
    listening: &mut Link,
    position: &mut Position,
    shards: &[Orders],
) -> Result<(), Trouble> {
    let mut say = cmd("XREAD");
    say.arg("COUNT").arg(limits::SHARED_BATCH_MAX);
    say.arg("BLOCK")
        .arg(limits::SHARED_BLOCK.as_millis().to_string());
    say.arg("STREAMS").arg(link.key("changes"));
    say.arg(position.last.text());
    let streams: Option<Vec<(String, Vec<Entry>)>> = listening.ask(&say).await?;
    let entries = streams.into_iter().flatten().flat_map(|(_, some)| some);
    let mut aors: Vec<Box<[u8]>> = Vec::new();
    let mut last = position.last;
    for (id, fields) in entries {
        last = EntryId::read(&id).ok_or(Trouble::Strange)?;
        // What came of our own changes was told with them.
        let is_own = fields
            .get("h")
            .is_some_and(|home| home == link.home().as_bytes());
        if let Some(aor) = fields.get("a").filter(|_| !is_own) {
            aors.push(aor[..].into());
        }
    }
    aors.sort_unstable();
    aors.dedup();
    tell_rows(link, &aors, shards).await?;
    position.last = last;
    Ok(())
}

/// Reads these addresses of record, and tells every shard: each takes those that it keeps.
pub(super) async fn tell_rows(
    link: &mut Link,
    aors: &[Box<[u8]>],
    shards: &[Orders],
) -> Result<(), Trouble> {
    let rows = link.rows(aors).await?;
    let answers = aors.iter().zip(rows);
    let answers = answers.map(|(aor, row)| row.told(aor.clone(), 0));
    let answers: Arc<[_]> = answers.collect();
    if !answers.is_empty() {
        tell_all(shards, &Order::Shared(answers));
    }
    Ok(())
}
