//! By what a file is told from what it was before.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::SystemTime;

/// What changes when a file does: which one it is, its length and its time.
pub(super) type Stamp = Option<(u64, u64, SystemTime)>;

/// The stamp of one file; `None`: it is not there.
pub(super) fn stamp(path: &Path) -> Stamp {
    let found = std::fs::metadata(path).ok()?;
    Some((found.ino(), found.len(), found.modified().ok()?))
}
