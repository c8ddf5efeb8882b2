//! Keys: read from files, or made from the kernel's randomness.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// `N` bytes that nobody can guess.
///
/// # Errors
/// When the kernel has none to give, which it always has.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Random numbers for a shard: for its hashes and for its choices.
///
/// # Errors
/// As for `random`.
pub fn seed() -> io::Result<[u64; 4]> {
    let bytes: [u8; 32] = random()?;
    let mut seed = [0; 4];
    for (word, bytes) in seed.iter_mut().zip(bytes.as_chunks().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    Ok(seed)
}

/// Writes a key into a new file, for `read`; nobody else may read it.
///
/// # Errors
/// When the file cannot be made.
pub fn keep(path: &Path, key: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    writeln!(file, "{}", HEXLOWER_PERMISSIVE.encode(key))
}

/// Reads a file of keys in hex, one a line; `#` begins a comment. The error
/// goes on after the name of the key that names the file.
pub(super) fn read<const N: usize>(path: &Path) -> Result<Vec<[u8; N]>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|why| format!("names {name}, which cannot be read: {why}"))?;
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let hex = line.split('#').next().unwrap_or("").trim();
        if hex.is_empty() {
            continue;
        }
        let key = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).ok();
        let key = key.and_then(|bytes| <[u8; N]>::try_from(bytes).ok());
        keys.push(key.ok_or_else(|| {
            let line = index + 1;
            format!(
                "names {name}, whose line {line} should be one key of {} hex digits",
                2 * N
            )
        })?);
    }
    if keys.is_empty() {
        return Err(format!(
            "names {name}, which holds no key of {} hex digits",
            2 * N
        ));
    }
    Ok(keys)
}

/// The key of TLS session tickets, likewise.
pub(super) fn ticket_key(token_key: &[u8; 64]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new(token_key.into());
    mac.update(b"steadfast: TLS tickets");
    mac.finalize().into_bytes().into()
}

/// The key of RFC 5626 flow tokens: the same on every edge that shares
/// `token_key`, and of no use for anything else.
pub(super) fn flow_key(token_key: &[u8; 64]) -> [u8; 32] {
    // Any length of key is accepted by HMAC; 64 bytes are its block size.
    let mut mac = Hmac::<Sha256>::new(token_key.into());
    mac.update(b"steadfast: flow tokens");
    mac.finalize().into_bytes().into()
}
