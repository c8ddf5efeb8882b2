//! Files that nobody but their owner may read: registrations, keys, the socket of
//! a running node. They are made so whatever the umask says, and what is looser
//! is tightened.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The mode of such a file.
pub(crate) const FILE: u32 = 0o600;

/// Makes an open file its owner's alone; of one that was not, the log says so.
pub(crate) fn keep(file: &File, path: &Path) -> io::Result<()> {
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode == FILE {
        return Ok(());
    }
    file.set_permissions(Permissions::from_mode(FILE))?;
    if mode & 0o077 != 0 {
        let file = path.display();
        tracing::warn!(%file, was = format!("{mode:o}"), "others could read a file of ours; it is its owner's alone from here on");
    }
    Ok(())
}

/// Gives a socket that is not bound yet the mode of private files: the name that it is bound to
/// gets the socket's mode (`unix(7)`), and is never open to anybody else.
pub(crate) fn keep_socket(socket: OwnedFd) -> io::Result<OwnedFd> {
    let file = File::from(socket);
    file.set_permissions(Permissions::from_mode(FILE))?;
    Ok(file.into())
}
