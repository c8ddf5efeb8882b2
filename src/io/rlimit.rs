//! What the process may use of the kernel.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::Fault;
use crate::limits;

/// Checks that the executors' rings may be locked into memory.
///
/// # Errors
/// `Fault::LockedMemory` with the limit there is.
pub(super) fn locked_memory() -> Result<(), Fault> {
    let (limit, _) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(io::Error::from)?;
    if limit < limits::LOCKED_MEMORY_MIN {
        return Err(Fault::LockedMemory { limit });
    }
    Ok(())
}

/// Allows as many open files as the process may allow itself: each stream is
/// one, and the usual default of 1024 is for programs that use `select`.
///
/// # Errors
/// When the kernel refuses what it had offered.
pub fn raise_open_files() -> Result<(), Fault> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).map_err(io::Error::from)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).map_err(io::Error::from)?;
    Ok(())
}

/// Checks that so many shards with so many listeners each may open what they need, and that
/// something is left for connections.
///
/// # Errors
/// `Fault::OpenFiles` with what is needed.
pub fn check_files(shards: usize, listeners: usize) -> Result<(), Fault> {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let of_shard = limits::FILES_OF_SHARD + limits::FILES_OF_LISTENER * number(listeners);
    // As much for connections as is kept back from them.
    let needed = 2 * limits::FILES_RESERVED + of_shard.saturating_mul(number(shards));
    let limit = open_files()?;
    if limit < needed {
        return Err(Fault::OpenFiles { limit, needed });
    }
    Ok(())
}

/// How many files the process may have open.
///
/// # Errors
/// What the kernel said.
pub(super) fn open_files() -> io::Result<u64> {
    Ok(getrlimit(Resource::RLIMIT_NOFILE)?.0)
}
