//! What the process may use of the kernel.

#![expect(
    unsafe_code,
    reason = "getrlimit and setrlimit have no safe interface in std"
)]

use std::io;

use super::Fault;
use crate::limits;

/// Checks that the executors' rings may be locked into memory.
///
/// # Errors
/// `Fault::LockedMemory` with the limit there is.
pub fn locked_memory() -> Result<(), Fault> {
    let limit = read(libc::RLIMIT_MEMLOCK)?.rlim_cur;
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
    let mut limit = read(libc::RLIMIT_NOFILE)?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is read during the call only.
    let done = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    if done < 0 {
        Err(io::Error::last_os_error().into())
    } else {
        Ok(())
    }
}

/// How many files the process may have open.
///
/// # Errors
/// What the kernel said.
pub(super) fn open_files() -> io::Result<u64> {
    Ok(read(libc::RLIMIT_NOFILE)?.rlim_cur)
}

fn read(resource: libc::__rlimit_resource_t) -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place to write to.
    let done = unsafe { libc::getrlimit(resource, &raw mut limit) };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(limit)
    }
}
