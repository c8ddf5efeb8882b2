//! What is wrong with a store: whether its file is damaged, or the disk is at fault.
//!
//! redb has assertions where it does not expect what it reads, in opening, reading, writing
//! and closing (its issues 620, 1303 and 1333). Nothing of them leaves this room: whatever
//! works on a database does it `guarded`.

use std::cell::Cell;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::SystemTime;

use crate::limits;
use crate::time::date;

/// Why a database could not do something.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// Another process has it.
    #[error("another process has it")]
    Taken,
    /// Its file is not what was written, in so many words.
    #[error("{0}")]
    Damaged(String),
    /// The disk, or the kernel, did not do its part.
    #[error("{0}")]
    Failed(String),
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the libraries have words of their own for the rest"
)]
impl From<io::Error> for Trouble {
    fn from(why: io::Error) -> Self {
        match why.kind() {
            io::ErrorKind::WouldBlock => Self::Taken,
            io::ErrorKind::InvalidData => Self::Damaged("it is no store".to_owned()),
            io::ErrorKind::UnexpectedEof => Self::Damaged("it is cut short".to_owned()),
            _ => Self::Failed(why.to_string()),
        }
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the libraries have words of their own for the rest"
)]
impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Self {
        use redb::Error;
        match error {
            Error::DatabaseAlreadyOpen => Self::Taken,
            Error::Io(why) => why.into(),
            Error::Corrupted(why) => Self::Damaged(why),
            Error::PreviousIo | Error::LockPoisoned(_) | Error::ValueTooLarge(_) => {
                Self::Failed(error.to_string())
            }
            // A file of redb with other tables in it, or of another version.
            other => Self::Damaged(other.to_string()),
        }
    }
}

macro_rules! trouble_from {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Trouble {
            fn from(error: redb::$error) -> Self {
                redb::Error::from(error).into()
            }
        })*
    };
}

trouble_from!(
    CommitError,
    DatabaseError,
    StorageError,
    TableError,
    TransactionError
);

/// Works on a database; what redb is surprised by is damage.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, Trouble>) -> Result<T, Trouble> {
    static HOOK: Once = Once::new();
    thread_local!(static IS_GUARDED: Cell<bool> = const { Cell::new(false) });
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if IS_GUARDED.get() {
                tracing::debug!("the store: {info}");
            } else {
                before(info);
            }
        }));
    });
    IS_GUARDED.set(true);
    // Whoever catches this closes the database, whatever state it is in.
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_GUARDED.set(false);
    match done {
        Ok(done) => done,
        Err(_) => Err(Trouble::Damaged("what it says makes no sense".to_owned())),
    }
}

/// Renames a damaged file to `FILE.damaged-DATE`, and gives that name. The oldest beyond
/// `limits::STORES_SET_ASIDE` goes: a disk that damages every file would fill.
pub(super) fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since_epoch.map_or(0, |passed| passed.as_secs());
    let mut name = path.as_os_str().to_owned();
    name.push(format!("{MARK}{}", stamp(seconds)));
    let aside = PathBuf::from(name);
    std::fs::rename(path, &aside)?;
    let mut all = all_aside(path)?;
    all.sort();
    let too_many = all.len().saturating_sub(limits::STORES_SET_ASIDE);
    for old in all.iter().take(too_many) {
        std::fs::remove_file(old)?;
    }
    Ok(aside)
}

const MARK: &str = ".damaged-";

fn all_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    let mut start = path.file_name().unwrap_or_default().to_owned();
    start.push(MARK);
    let entries = std::fs::read_dir(folder.unwrap_or_else(|| Path::new(".")))?;
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.as_encoded_bytes();
        if name.starts_with(start.as_encoded_bytes()) {
            all.push(entry.path());
        }
    }
    Ok(all)
}

/// A time as `20261130T101500Z`, from seconds since 1970.
fn stamp(seconds: u64) -> String {
    let date = date(seconds).replace(['-', ':'], "").replacen(' ', "T", 1);
    date.replace(" UTC", "Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_time_without_what_file_names_lack() {
        assert_eq!(stamp(1_796_033_700), "20261130T101500Z");
    }
}
