//! The inputs that are kept: the torture messages where the machine has them,
//! and those of `tests/corpus`, one folder for each body.

use std::path::{Path, PathBuf};

/// Every file of one body's folder, by name.
pub(crate) fn kept(body: &str) -> Vec<Vec<u8>> {
    files(&folder(body))
}

/// Keeps what a body stumbled over.
pub(crate) fn keep(body: &str, bytes: &[u8]) {
    let path = folder(body).join(format!("found-{}", std::process::id()));
    std::fs::write(&path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    eprintln!("kept as {}", path.display());
}

fn folder(body: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(body)
}

/// The torture messages of RFC 4475 and RFC 5118; none, with a word on it,
/// where they are not at hand.
pub(crate) fn torture() -> Vec<Vec<u8>> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    let folder = std::env::var_os("STEADFAST_CORPUS").map_or(beside, PathBuf::from);
    let found: Vec<Vec<u8>> = ["rfc4475", "rfc5118/wire", "rfc5118/wire-cl-fixed"]
        .into_iter()
        .flat_map(|part| files(&folder.join(part)))
        .collect();
    if found.is_empty() {
        eprintln!(
            "no torture messages at {} (set STEADFAST_CORPUS)",
            folder.display()
        );
    }
    found
}

fn files(folder: &Path) -> Vec<Vec<u8>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    paths
        .iter()
        .map(|path| {
            std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        })
        .collect()
}
