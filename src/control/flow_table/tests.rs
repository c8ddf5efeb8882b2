//! The file of flows after every kind of harm that a file can come to.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::format::HEAD;
use super::*;

const OWNER: &str = "edge.example.com/e1";
const SLOTS: u32 = 6;

/// A folder of this test's own, gone when dropped.
struct TempFolder(PathBuf);

impl TempFolder {
    fn new(name: &str) -> Self {
        let folder = format!("steadfast-{}-flows-{name}", std::process::id());
        let folder = std::env::temp_dir().join(folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn path(&self) -> PathBuf {
        self.0.join("flows.table")
    }

    fn aside(&self) -> PathBuf {
        self.0.join("flows.table.damaged")
    }

    fn opened(&self) -> (FlowTable, Vec<(String, String)>) {
        let opened = open(&self.path(), OWNER, SLOTS);
        (opened.table.unwrap(), said(&opened.rows))
    }

    /// The table with these rows in it, closed.
    fn with(name: &str, rows: &[(&str, &str)]) -> Self {
        let temp = Self::new(name);
        let (mut table, found) = temp.opened();
        assert_eq!(found, []);
        for (key, value) in rows {
            table.write(&record(key, Some(value), 0)).unwrap();
        }
        temp
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn open(path: &Path, owner: &str, slots: u32) -> Opened {
    FlowTable::open(path, owner, slots, |_, value| value != b"over").unwrap()
}

fn record(key: &str, value: Option<&str>, shard: u8) -> Record {
    Record {
        key: key.as_bytes().into(),
        value: value.map(|value| value.as_bytes().into()),
        shard,
        number: 0,
    }
}

fn said(rows: &[Record]) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let pair = |row: &Record| (text(&row.key), text(row.value.as_ref().unwrap()));
    let mut rows: Vec<_> = rows.iter().map(pair).collect();
    rows.sort();
    rows
}

fn pairs(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    rows.iter().map(pair).collect()
}

#[test]
fn what_was_written_is_there_at_the_next_start() {
    let temp = TempFolder::with(
        "next",
        &[("joe", "1"), ("ann", "2"), ("joe", "3"), ("eve", "4")],
    );
    let (mut table, rows) = temp.opened();
    assert_eq!(rows, pairs(&[("ann", "2"), ("eve", "4"), ("joe", "3")]));
    table.write(&record("ann", None, 1)).unwrap();
    table.write(&record("bob", None, 0)).unwrap();
    table.write(&record("joe", Some("over"), 0)).unwrap();
    drop(table);
    assert_eq!(temp.opened().1, pairs(&[("eve", "4")]));
    // What was over has been taken out.
    let all = FlowTable::open(&temp.path(), OWNER, SLOTS, |_, _| true).unwrap();
    assert_eq!(said(&all.rows), pairs(&[("eve", "4")]));
    let mode = fs::metadata(temp.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
    assert!(!temp.aside().exists());
}

#[test]
fn a_row_is_gone_by_the_word_of_the_shard_that_wrote_it_last() {
    let temp = TempFolder::with("owner", &[("joe", "1")]);
    let (mut table, _) = temp.opened();
    // The phone has come to shard 1, and shard 0, which had it, hears of it later.
    table.write(&record("joe", Some("2"), 1)).unwrap();
    table.write(&record("joe", None, 0)).unwrap();
    drop(table);
    let (mut table, rows) = temp.opened();
    assert_eq!(rows, pairs(&[("joe", "2")]));
    table.write(&record("joe", None, 0)).unwrap();
    drop(table);
    assert_eq!(temp.opened().1, []);
}

#[test]
fn a_full_table_keeps_what_it_has_and_has_room_again() {
    let names: Vec<_> = (0..SLOTS).map(|number| number.to_string()).collect();
    let rows: Vec<_> = names.iter().map(|name| (name.as_str(), "x")).collect();
    let temp = TempFolder::with("full", &rows);
    let len = fs::metadata(temp.path()).unwrap().len();
    let (mut table, found) = temp.opened();
    assert_eq!(found, pairs(&rows));
    table.write(&record("late", Some("y"), 0)).unwrap();
    assert!(table.is_full);
    table.write(&record("3", None, 0)).unwrap();
    table.write(&record("late", Some("y"), 0)).unwrap();
    // A row that is too long takes the place of nobody, its own with it.
    let long = "z".repeat(limits::FLOW_ROW_MAX);
    table.write(&record("4", Some(&long), 0)).unwrap();
    drop(table);
    let want = [
        ("0", "x"),
        ("1", "x"),
        ("2", "x"),
        ("5", "x"),
        ("late", "y"),
    ];
    assert_eq!(temp.opened().1, pairs(&want));
    assert_eq!(fs::metadata(temp.path()).unwrap().len(), len);
    assert_eq!(len, (HEAD + SLOT * SLOTS as usize) as u64);
    // The longest row there can be.
    let (mut table, _) = temp.opened();
    let long = "z".repeat(limits::FLOW_ROW_MAX - 4);
    table.write(&record("long", Some(&long), 0)).unwrap();
    drop(table);
    assert!(temp.opened().1.contains(&("long".to_owned(), long)));
}

#[test]
fn whichever_byte_changes_nothing_is_believed_that_was_not_written() {
    let rows = [("ann", "2"), ("joe", "1")];
    let temp = TempFolder::with("flip", &rows);
    let good = fs::read(temp.path()).unwrap();
    let (mut asides, mut losses) = (0, 0);
    // The first page up to its zeros and its digest, and both rows.
    let told = (0..96).chain(HEAD - 40..HEAD + 3 * SLOT);
    for at in told {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(temp.path(), &bad).unwrap();
        let (table, found) = temp.opened();
        assert!(found.iter().all(|row| pairs(&rows).contains(row)), "{at}");
        if temp.aside().exists() {
            assert_eq!(fs::read(temp.aside()).unwrap(), bad, "{at}");
            assert_eq!(found, [], "{at}");
            fs::remove_file(temp.aside()).unwrap();
            asides += 1;
        } else {
            losses += rows.len() - found.len();
        }
        drop(table);
    }
    // Each byte of the first page ends the file, each byte of a row that row.
    assert_eq!((asides, losses), (96 + 40, 2 * SLOT));
}

#[test]
fn a_torn_row_is_free_again() {
    let temp = TempFolder::with("torn", &[("ann", "2"), ("joe", "1")]);
    let mut bytes = fs::read(temp.path()).unwrap();
    // The beginning of a new row over an old one.
    bytes[HEAD..HEAD + 40].copy_from_slice(&[7; 40]);
    fs::write(temp.path(), &bytes).unwrap();
    let (mut table, rows) = temp.opened();
    assert_eq!(rows, pairs(&[("joe", "1")]));
    for number in 0..SLOTS - 1 {
        let key = number.to_string();
        table.write(&record(&key, Some("x"), 0)).unwrap();
    }
    assert!(!table.is_full && table.free.is_empty());
    drop(table);
    assert_eq!(temp.opened().1.len(), SLOTS as usize);
}

#[test]
fn a_row_at_another_place_is_no_row() {
    let temp = TempFolder::with("moved", &[("ann", "2")]);
    let mut bytes = fs::read(temp.path()).unwrap();
    bytes.copy_within(HEAD..HEAD + SLOT, HEAD + 2 * SLOT);
    bytes[HEAD..HEAD + SLOT].fill(0);
    fs::write(temp.path(), &bytes).unwrap();
    assert_eq!(temp.opened().1, []);
}

#[test]
fn what_is_not_ours_is_set_aside() {
    type Harm = fn(&TempFolder);
    let harms: [(&str, Harm); 7] = [
        ("another-edge", |temp| {
            drop(open(&temp.path(), "edge.example.com/e2", SLOTS));
        }),
        ("truncated", |temp| {
            let file = File::options().write(true).open(temp.path()).unwrap();
            file.set_len((HEAD + SLOT) as u64).unwrap();
        }),
        ("grown", |temp| {
            let file = File::options().write(true).open(temp.path()).unwrap();
            file.set_len((HEAD + 7 * SLOT) as u64).unwrap();
        }),
        ("empty", |temp| fs::write(temp.path(), "").unwrap()),
        ("text", |temp| {
            fs::write(temp.path(), "joe = 1\n".repeat(1_000)).unwrap();
        }),
        ("writable-by-others", |temp| {
            let mode = Permissions::from_mode(0o660);
            fs::set_permissions(temp.path(), mode).unwrap();
        }),
        ("link", |temp| {
            let other = temp.0.join("other");
            fs::rename(temp.path(), &other).unwrap();
            std::os::unix::fs::symlink(&other, temp.path()).unwrap();
        }),
    ];
    for (name, harm) in harms {
        let temp = TempFolder::with(name, &[("joe", "1")]);
        harm(&temp);
        let (mut table, rows) = temp.opened();
        assert_eq!((rows, temp.aside().exists()), (Vec::new(), true), "{name}");
        // It begins anew, and goes on.
        table.write(&record("ann", Some("2"), 0)).unwrap();
        drop(table);
        fs::remove_file(temp.aside()).unwrap();
        assert_eq!(temp.opened().1, pairs(&[("ann", "2")]), "{name}");
        assert!(!temp.aside().exists(), "{name}");
    }
}

#[test]
fn a_file_that_others_may_read_is_tightened_and_believed() {
    let temp = TempFolder::with("loose", &[("joe", "1")]);
    fs::set_permissions(temp.path(), Permissions::from_mode(0o644)).unwrap();
    assert_eq!(temp.opened().1, pairs(&[("joe", "1")]));
    let mode = fs::metadata(temp.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[test]
fn a_file_of_another_user_is_set_aside() {
    // Only root can give a file away.
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let temp = TempFolder::with("foreign", &[("joe", "1")]);
    std::os::unix::fs::chown(temp.path(), Some(65_534), None).unwrap();
    assert_eq!(temp.opened().1, []);
    assert!(temp.aside().exists());
}

#[test]
fn another_length_keeps_what_has_room() {
    let rows = [("ann", "2"), ("eve", "3"), ("joe", "1")];
    let temp = TempFolder::with("resized", &rows);
    let wide = open(&temp.path(), OWNER, 50);
    assert_eq!(said(&wide.rows), pairs(&rows));
    drop(wide);
    let len = |slots: usize| (HEAD + SLOT * slots) as u64;
    assert_eq!(fs::metadata(temp.path()).unwrap().len(), len(50));
    assert_eq!(said(&open(&temp.path(), OWNER, 50).rows), pairs(&rows));
    // This run serves all of them, the next one those that had room.
    assert_eq!(said(&open(&temp.path(), OWNER, 2).rows), pairs(&rows));
    assert_eq!(fs::metadata(temp.path()).unwrap().len(), len(2));
    assert_eq!(open(&temp.path(), OWNER, 2).rows.len(), 2);
    assert!(!temp.aside().exists());
}

#[test]
fn a_table_in_use_is_refused() {
    let temp = TempFolder::with("taken", &[("joe", "1")]);
    let _table = temp.opened();
    let again = FlowTable::open(&temp.path(), OWNER, SLOTS, |_, _| true);
    let want = format!(
        "the table of flows {} is in use by another process",
        temp.path().display()
    );
    assert_eq!(again.err().unwrap().to_string(), want);
}

#[test]
fn a_folder_that_is_not_there_is_a_mistake() {
    let path = Path::new("/nowhere/at/all/flows.table");
    let want = "the table of flows /nowhere/at/all/flows.table cannot be used: No such file or \
                directory (os error 2); make its folder, or name another file in `flows`";
    let opened = FlowTable::open(path, OWNER, SLOTS, |_, _| true);
    assert_eq!(opened.err().unwrap().to_string(), want);
    assert_eq!(check(path).unwrap_err().to_string(), want);
    let temp = TempFolder::with("checked", &[("joe", "1")]);
    check(&temp.path()).unwrap();
    assert_eq!(temp.opened().1, pairs(&[("joe", "1")]));
}

#[test]
fn an_edge_without_room_for_the_table_goes_on_without() {
    // A memory file system refuses what exceeds it before it gives any of it away.
    let name = format!("steadfast-{}-flows", std::process::id());
    let path = Path::new("/dev/shm").join(name);
    let opened = open(&path, OWNER, u32::MAX);
    assert!(opened.table.is_none() && opened.rows.is_empty());
    assert!(!path.exists());
}

#[test]
fn whoever_has_no_room_for_a_longer_one_keeps_the_old_one() {
    let name = format!("steadfast-{}-flows-old", std::process::id());
    let path = Path::new("/dev/shm").join(name);
    let mut table = open(&path, OWNER, SLOTS).table.unwrap();
    table.write(&record("joe", Some("1"), 0)).unwrap();
    drop(table);
    let opened = open(&path, OWNER, u32::MAX);
    let (table, rows) = (opened.table.unwrap(), said(&opened.rows));
    fs::remove_file(&path).unwrap();
    assert_eq!((table.head.slots, rows), (SLOTS, pairs(&[("joe", "1")])));
}

/// Runs the writer until it has nothing more to read.
fn write_behind(table: FlowTable, records: &[Record], has_dropped: bool) {
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    for record in records {
        sender.try_send(record.clone()).unwrap();
    }
    drop(sender);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let has_dropped = Arc::new(AtomicBool::new(has_dropped));
    let written = table.write_behind(receiver, has_dropped, Arc::default());
    runtime.unwrap().block_on(written);
}

#[test]
fn the_last_rows_are_written_before_the_writer_ends() {
    let temp = TempFolder::new("last");
    let (table, _) = temp.opened();
    let rows = ["1", "2", "3"].map(|name| record(name, Some("x"), 0));
    write_behind(table, &rows, false);
    assert_eq!(temp.opened().1.len(), 3);
}

#[test]
fn whoever_falls_behind_starts_over() {
    let temp = TempFolder::with("behind", &[("joe", "1")]);
    let (table, _) = temp.opened();
    write_behind(table, &[record("ann", Some("2"), 0)], true);
    let (mut table, rows) = temp.opened();
    assert_eq!(rows, []);
    table.write(&record("ann", Some("3"), 0)).unwrap();
    drop(table);
    assert_eq!(temp.opened().1, pairs(&[("ann", "3")]));
    // Nothing of what was before is left in it, by whichever id.
    let bytes = fs::read(temp.path()).unwrap();
    assert!(bytes[HEAD + SLOT..].iter().all(|byte| *byte == 0));
}

#[test]
fn a_table_that_cannot_be_written_is_set_aside() {
    let temp = TempFolder::with("broken", &[("joe", "1")]);
    let (mut table, _) = temp.opened();
    // As a disk that fails: nothing can be written through this one.
    table.file = File::open(temp.path()).unwrap();
    write_behind(table, &[record("joe", None, 0)], false);
    assert!(temp.aside().exists() && !temp.path().exists());
    assert_eq!(temp.opened().1, []);
}
