//! Tests of the store: what a restart finds, and what damage and a full disk do.

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::io::StoreSender;

thread_local! {
    /// The disk that the stores of this test are on.
    static DISK: Arc<FaultyDisk> = Arc::default();
}

/// What a disk does to whoever writes.
#[derive(Debug)]
struct FaultyDisk {
    /// How many writes it takes before it is full.
    writes: AtomicU64,
}

impl Default for FaultyDisk {
    fn default() -> Self {
        let writes = AtomicU64::new(u64::MAX);
        Self { writes }
    }
}

/// A file on the disk of this test.
#[derive(Debug)]
pub(super) struct Faults(Arc<FaultyDisk>);

impl Default for Faults {
    fn default() -> Self {
        Self(DISK.with(Arc::clone))
    }
}

impl Faults {
    pub(super) fn write(&self) -> io::Result<()> {
        let take = |left: u64| left.checked_sub(u64::from(left != u64::MAX));
        let writes = &self.0.writes;
        match writes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(()),
            Err(_) => Err(io::ErrorKind::StorageFull.into()),
        }
    }
}

/// Lets the disk of this test take so many writes more.
fn room_for(writes: u64) {
    DISK.with(|disk| disk.writes.store(writes, Ordering::Relaxed));
}

/// A folder of this test's own, gone when dropped.
struct TempFolder(PathBuf);

impl TempFolder {
    fn new(name: &str) -> Self {
        let name = format!("steadfast-store-{}-{name}", std::process::id());
        // In memory where that can be had: a thousand stores are much for a disk.
        let memory = Path::new("/dev/shm");
        let folder = memory.is_dir().then(|| memory.to_owned());
        let path = folder.unwrap_or_else(std::env::temp_dir).join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("location.redb")
    }

    /// The files that were set aside.
    fn aside(&self) -> Vec<PathBuf> {
        let all = std::fs::read_dir(&self.0).unwrap();
        let all = all.map(|entry| entry.unwrap().path());
        let is_aside = |path: &PathBuf| path.to_string_lossy().contains(".redb.damaged-");
        let mut all: Vec<_> = all.filter(is_aside).collect();
        all.sort();
        all
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

fn record(key: &str, value: Option<&str>) -> Record {
    Record {
        key: key.as_bytes().into(),
        value: value.map(|value| value.as_bytes().into()),
        shard: 0,
        number: 0,
    }
}

/// As many rows as make a tree of some pages.
fn rows(count: usize) -> Vec<Record> {
    let text = "x".repeat(400);
    let row = |number| record(&format!("{number:08}"), Some(&text));
    (0..count).map(row).collect()
}

/// Runs the writer on this thread, whose disk it is.
fn write_out(store: Store, receiver: tokio::sync::mpsc::Receiver<Record>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime
        .unwrap()
        .block_on(store.write_behind(receiver, writer::Waiting::new(Arc::default())));
}

fn found(path: &Path) -> Vec<Record> {
    Store::open(path).unwrap().take_records()
}

#[test]
fn what_was_written_is_there_after_a_restart() {
    let folder = TempFolder::new("restart");
    let mut store = Store::open(&folder.file()).unwrap();
    assert_eq!(store.take_records(), []);
    let mut batch = [
        record("joe", Some("a")),
        record("ann", Some("b")),
        record("joe", Some("c")),
    ];
    store.write(&mut batch).unwrap();
    drop(store);
    let mut store = Store::open(&folder.file()).unwrap();
    let want = [record("ann", Some("b")), record("joe", Some("c"))];
    assert_eq!(store.take_records(), want);
    store
        .write(&mut [record("ann", None), record("eve", None)])
        .unwrap();
    drop(store);
    assert_eq!(found(&folder.file()), [record("joe", Some("c"))]);
    assert_eq!(folder.aside(), [] as [PathBuf; 0]);
}

#[test]
fn the_store_keeps_a_bounded_part_of_itself_in_memory() {
    let folder = TempFolder::new("cache");
    let store = Store::open(&folder.file()).unwrap();
    let text = "x".repeat(1_000);
    let row = |number| record(&format!("{number:08}"), Some(&text));
    let enough = 2 * limits::STORE_CACHE_MAX / text.len();
    for first in (0..enough).step_by(limits::STORE_BATCH_MAX) {
        let mut batch: Vec<_> = (first..first + limits::STORE_BATCH_MAX).map(row).collect();
        store.write(&mut batch).unwrap();
    }
    let open = store.open.as_ref().unwrap();
    assert!(read(&open.database).unwrap().len() >= enough);
    assert!(open.database.cache_stats().evictions() > 0);
}

#[test]
fn a_store_is_for_its_owner_alone() {
    let folder = TempFolder::new("private");
    let mode = || {
        std::fs::metadata(folder.file())
            .unwrap()
            .permissions()
            .mode()
            & 0o777
    };
    drop(Store::open(&folder.file()).unwrap());
    assert_eq!(mode(), 0o600);
    let loose = std::fs::Permissions::from_mode(0o664);
    std::fs::set_permissions(folder.file(), loose).unwrap();
    assert_eq!(found(&folder.file()), []);
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_store_in_use_is_refused() {
    let folder = TempFolder::new("taken");
    let _store = Store::open(&folder.file()).unwrap();
    let want = format!(
        "the store {} is in use by another process",
        folder.file().display()
    );
    assert_eq!(Store::open(&folder.file()).err().unwrap().to_string(), want);
}

#[test]
fn the_last_records_are_written_before_the_writer_ends() {
    let folder = TempFolder::new("last");
    let store = Store::open(&folder.file()).unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(8);
    for number in ["1", "2", "3"] {
        sender.try_send(record(number, Some("x"))).unwrap();
    }
    drop(sender);
    write_out(store, receiver);
    assert_eq!(found(&folder.file()).len(), 3);
}

#[test]
fn a_cut_zeroed_or_bent_store_is_never_believed_and_never_a_panic() {
    let folder = TempFolder::new("bent");
    let path = folder.file();
    let store = Store::open(&path).unwrap();
    let all = rows(60);
    for batch in all.clone().chunks_mut(20) {
        store.write(batch).unwrap();
    }
    // As a process leaves it that is killed, and as one leaves it that ends.
    let killed = std::fs::read(&path).unwrap();
    drop(store);
    let ended = std::fs::read(&path).unwrap();
    let (mut whole, mut aside) = (0, 0);
    for good in [&killed, &ended] {
        for harm in harms(good) {
            std::fs::write(&path, harm.done_to(good)).unwrap();
            let first = found(&path);
            let set_aside = folder.aside();
            // All that was there, or what was there one batch before, or nothing, and then
            // the file is kept.
            match &set_aside[..] {
                [] => assert!(
                    all.starts_with(&first) && first.len() >= 40,
                    "{harm:?}: {} rows",
                    first.len()
                ),
                [_] => assert_eq!(first, [], "{harm:?}"),
                more => panic!("{harm:?}: {more:?}"),
            }
            if set_aside.is_empty() {
                assert_eq!(first, found(&path), "{harm:?}: the second time");
            }
            whole += usize::from(first.len() == all.len());
            aside += set_aside.len();
            for file in &set_aside {
                std::fs::remove_file(file).unwrap();
            }
        }
    }
    // What no row stands in may say anything.
    assert!(whole > 0 && aside > 0, "{whole} whole, {aside} set aside");
}

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Harm {
    CutAt(usize),
    PageZeroed(usize),
    BitBent(usize, u8),
}

impl Harm {
    fn done_to(self, good: &[u8]) -> Vec<u8> {
        let mut bad = good.to_vec();
        match self {
            Self::CutAt(at) => bad.truncate(at),
            Self::PageZeroed(page) => bad[page * 4_096..(page + 1) * 4_096].fill(0),
            Self::BitBent(at, bit) => bad[at] ^= 1 << bit,
        }
        bad
    }
}

/// Cuts at every kind of place, each page zeroed, and bits bent: one of each byte by which the
/// file is laid out, and of some of all others.
fn harms(good: &[u8]) -> Vec<Harm> {
    let used = good.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let places = [1, 8, 9, 64, 319, 320, 4_095, 4_096, 4_097];
    let cuts = places
        .into_iter()
        .chain([used / 2, used - 1, good.len() - 1]);
    let is_used = |page: &usize| good[page * 4_096..][..4_096].iter().any(|byte| *byte != 0);
    let pages: Vec<_> = (0..used.div_ceil(4_096)).filter(is_used).collect();
    let bent = pages.iter().flat_map(|page| {
        let from = page * 4_096;
        [from + 3 + page * 97 % 4_000]
    });
    let bent = (9..40).chain((64..320).step_by(19)).chain(bent);
    let bent = bent.map(|at| Harm::BitBent(at, u8::try_from(at % 8).unwrap()));
    let zeroed = pages.iter().map(|page| Harm::PageZeroed(*page));
    cuts.map(Harm::CutAt).chain(zeroed).chain(bent).collect()
}

#[test]
fn a_full_disk_loses_nothing_that_comes_before_it_has_room_again() {
    for writes in 0..60 {
        let folder = TempFolder::new(&format!("full-{writes}"));
        room_for(u64::MAX);
        let mut store = Store::open(&folder.file()).unwrap();
        store.write(&mut rows(200)).unwrap();
        room_for(writes);
        let mut more = rows(600);
        let failed = store.write(&mut more);
        let is_full = matches!(failed, Err(Trouble::Failed(_)));
        assert!(is_full || failed.is_ok(), "{writes}: {failed:?}");
        if is_full {
            // Still full: nothing is set aside for that.
            let again = store.reopen().and_then(|()| store.write(&mut more));
            assert!(
                matches!(again, Err(Trouble::Failed(_))),
                "{writes}: {again:?}"
            );
            room_for(u64::MAX);
            store
                .reopen()
                .unwrap_or_else(|why| panic!("{writes}: {why:?}"));
            store.write(&mut more).unwrap();
        }
        drop(store);
        assert_eq!(found(&folder.file()), rows(600), "{writes}");
        assert_eq!(folder.aside(), [] as [PathBuf; 0], "{writes}");
    }
}

#[test]
fn a_store_that_fails_says_so_until_it_is_written_again() {
    let folder = TempFolder::new("again");
    let store = Store::open(&folder.file()).unwrap();
    let state = store.state();
    let (sender, receiver) = crate::io::to_store(Arc::clone(&state));
    let put = |sender: &StoreSender, key: &str| sender.give(record(key, Some("x")));
    // That disk is full for good. The thread opens the file on one that is not.
    room_for(0);
    put(&sender, "joe");
    let writer = store.start_writing(receiver, &Arc::default()).unwrap();
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while !is_so() {
            assert!(std::time::Instant::now() < end, "{what}");
            std::thread::yield_now();
        }
    };
    until("it fails", &|| state.is_failing());
    put(&sender, "ann");
    put(&sender, "ann");
    until("it works", &|| !state.is_failing());
    assert_eq!((state.failed_batches(), state.set_aside()), (1, 0));
    put(&sender, "eve");
    until("all is there", &|| state.unsaved() == 0);

    // Somebody takes it away, and cuts the next one short.
    std::fs::remove_file(folder.file()).unwrap();
    put(&sender, "bob");
    until("all is there", &|| {
        state.unsaved() == 0 && !state.is_failing()
    });
    std::fs::write(folder.file(), b"redb").unwrap();
    put(&sender, "dan");
    until("all is there", &|| {
        state.unsaved() == 0 && !state.is_failing()
    });
    assert_eq!(state.set_aside(), 1);
    drop(sender);
    writer.join().unwrap();
    room_for(u64::MAX);
    assert_eq!(found(&folder.file()), [record("dan", Some("x"))]);
    assert_eq!(folder.aside().len(), 1);
}
