//! The sockets that questions come in by: whether they could be opened, opening them, and what
//! goes with the node.
//!
//! Nothing is taken away but a socket of a node that was killed, and our own.

use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::control::private;
use crate::limits;

/// Why nobody can ask, each a sentence that goes on after the key.
#[derive(Debug, thiserror::Error)]
pub enum AdminFault {
    /// The socket.
    #[error("cannot open the control socket {}: {why}", path.display())]
    Control {
        /// Where.
        path: PathBuf,
        /// What is in the way.
        why: io::Error,
    },
    /// The port.
    #[error("cannot serve metrics on {addr}: {}", crate::io::reason(why))]
    Metrics {
        /// Where.
        addr: SocketAddr,
        /// What the kernel said.
        why: io::Error,
    },
}

/// The sockets that questions come in by.
#[derive(Debug, Default)]
pub struct AdminSockets {
    pub(super) control: Option<(UnixListener, SocketFile)>,
    pub(super) metrics: Option<std::net::TcpListener>,
}

impl AdminSockets {
    /// Opens what is asked for. A socket file that nobody listens on is that of
    /// a node that was killed, and is replaced.
    ///
    /// # Errors
    /// What keeps one from being opened.
    pub fn open(control: Option<&Path>, metrics: Option<SocketAddr>) -> Result<Self, AdminFault> {
        let control = control.map(|path| {
            open_socket(path).map_err(|why| AdminFault::Control {
                path: path.to_owned(),
                why,
            })
        });
        let metrics = metrics.map(|addr| {
            let opened = std::net::TcpListener::bind(addr).and_then(|port| {
                port.set_nonblocking(true)?;
                Ok(port)
            });
            opened.map_err(|why| AdminFault::Metrics { addr, why })
        });
        Ok(Self {
            control: control.transpose()?,
            metrics: metrics.transpose()?,
        })
    }
}

impl AdminSockets {
    /// Those of the process before, which are open.
    ///
    /// # Errors
    /// When the file of the control socket is gone.
    pub fn inherited(
        control: Option<(OwnedFd, &Path)>,
        metrics: Option<OwnedFd>,
    ) -> io::Result<Self> {
        let control = control.map(|(socket, path)| {
            let file = SocketFile::of(path)?;
            Ok::<_, io::Error>((UnixListener::from(socket), file))
        });
        Ok(Self {
            control: control.transpose()?,
            metrics: metrics.map(Into::into),
        })
    }

    /// Descriptors of both.
    ///
    /// # Errors
    /// When there are no more.
    pub(in crate::control) fn descriptors(&self) -> io::Result<[Option<OwnedFd>; 2]> {
        let control = self.control.as_ref();
        let control = control.map(|(socket, _)| socket.as_fd().try_clone_to_owned());
        let metrics = self.metrics.as_ref();
        let metrics = metrics.map(|port| port.as_fd().try_clone_to_owned());
        Ok([control.transpose()?, metrics.transpose()?])
    }
}

/// Finds out whether there could be a control socket, and changes nothing. With `binds` also
/// whether both it and the port are free.
///
/// # Errors
/// What would keep a node from opening one.
pub fn check(
    control: Option<&Path>,
    metrics: Option<SocketAddr>,
    binds: bool,
) -> Result<(), AdminFault> {
    if let Some(path) = control {
        let found = look(path).and_then(|found| match found {
            Found::Socket if binds => free(path),
            Found::Socket | Found::Nothing => Ok(()),
        });
        found.map_err(|why| AdminFault::Control {
            path: path.to_owned(),
            why,
        })?;
    }
    match metrics.filter(|_| binds) {
        Some(addr) => std::net::TcpListener::bind(addr)
            .map(drop)
            .map_err(|why| AdminFault::Metrics { addr, why }),
        None => Ok(()),
    }
}

/// What is where the control socket is to be.
enum Found {
    /// A socket, of a node that runs or has run.
    Socket,
    Nothing,
}

/// What is there. Anything but a socket is somebody's, and is not ours to take away.
fn look(path: &Path) -> io::Result<Found> {
    // A path may be too long for a socket.
    SockAddr::unix(path)?;
    let kind = match std::fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            std::fs::metadata(folder.unwrap_or_else(|| Path::new(".")))?;
            return Ok(Found::Nothing);
        }
        Err(error) => return Err(error),
    };
    let what = match kind {
        kind if kind.is_socket() => return Ok(Found::Socket),
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a link",
        _ => "a file",
    };
    let why = format!("{what} is there, and no socket: move it away, or name another path");
    Err(io::Error::new(io::ErrorKind::AlreadyExists, why))
}

/// An error unless it is sure that nobody listens on a socket.
fn free(path: &Path) -> io::Result<()> {
    match UnixStream::connect(path) {
        Ok(_) => {
            let why = "another node answers there; end it, or name another path";
            Err(io::Error::new(io::ErrorKind::AddrInUse, why))
        }
        Err(error) => is_left_behind(&error),
    }
}

/// Whether what kept us from a socket says that nobody listens there any more. Whoever may not
/// connect, or finds a node with too many callers, does not know.
fn is_left_behind(error: &io::Error) -> io::Result<()> {
    let is_sure = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound
    );
    if is_sure {
        return Ok(());
    }
    let why = format!(
        "a socket is there, and whether a node listens on it cannot be told ({error}): move it \
         away, or name another path"
    );
    Err(io::Error::new(error.kind(), why))
}

/// The file of our own control socket, which goes with the node.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// The device and the number of the file there.
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            id: id_of(path)?,
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // What has taken its place meanwhile is somebody's: a new node's, for one.
        let removed = match id_of(&self.path) {
            Ok(id) if id == self.id => std::fs::remove_file(&self.path),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::debug!(%error, "the control socket is gone already");
        }
    }
}

fn id_of(path: &Path) -> io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn open_socket(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    if let Found::Socket = look(path)? {
        free(path)?;
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let socket = Socket::from(private::keep_socket(socket.into())?);
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    socket.listen(limits::CONTROL_BACKLOG)?;
    socket.set_nonblocking(true)?;
    // What a file system makes of a mode is its own affair.
    std::fs::set_permissions(path, Permissions::from_mode(private::FILE))?;
    Ok((UnixListener::from(OwnedFd::from(socket)), file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let path = std::env::temp_dir().join(format!("steadfast-admin-{}", std::process::id()));
        let left = UnixListener::bind(&path).unwrap();
        drop(left);
        let admin_sockets = AdminSockets::open(Some(&path), None).unwrap();
        let taken = AdminSockets::open(Some(&path), None)
            .unwrap_err()
            .to_string();
        assert!(taken.contains("another node answers there"), "{taken}");
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(
            check(Some(&path), None, false).is_ok(),
            "a running node is not in the way"
        );
        let taken = check(Some(&path), None, true).unwrap_err().to_string();
        assert!(taken.contains("another node answers there"), "{taken}");
        drop(admin_sockets);
        assert!(!path.exists());
    }

    #[test]
    fn what_took_the_place_of_our_socket_stays() {
        let path = std::env::temp_dir().join(format!("steadfast-place-{}", std::process::id()));
        let first = AdminSockets::open(Some(&path), None).unwrap();
        std::fs::remove_file(&path).unwrap();
        let second = AdminSockets::open(Some(&path), None).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_ok(), "the new node's");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        drop(second);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_socket_that_nobody_can_tell_the_state_of_stays() {
        let path = std::env::temp_dir().join(format!("steadfast-busy-{}", std::process::id()));
        // Not one that we can connect to, and somebody is there all the same.
        let other = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        for fault in [
            AdminSockets::open(Some(&path), None).unwrap_err(),
            check(Some(&path), None, true).unwrap_err(),
        ] {
            let fault = fault.to_string();
            assert!(fault.contains("a socket is there, and whether"), "{fault}");
        }
        assert!(path.exists());
        drop(other);
        std::fs::remove_file(&path).unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        is_left_behind(&denied).unwrap_err();
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        is_left_behind(&refused).unwrap();
    }

    #[test]
    fn what_is_no_socket_is_never_taken_away() {
        let folder = std::env::temp_dir().join(format!("steadfast-sockets-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("inner")).unwrap();
        let file = folder.join("file");
        std::fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(&file, folder.join("link")).unwrap();
        for (name, what) in [
            ("file", "a file"),
            ("link", "a link"),
            ("inner", "a folder"),
        ] {
            let path = folder.join(name);
            let want = format!(
                "cannot open the control socket {}: {what} is there, and no socket: move it away, or \
                 name another path",
                path.display()
            );
            for binds in [false, true] {
                assert_eq!(
                    check(Some(&path), None, binds).unwrap_err().to_string(),
                    want
                );
            }
            let opened = AdminSockets::open(Some(&path), None);
            assert_eq!(opened.unwrap_err().to_string(), want);
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
        let nowhere = folder.join("gone/e1.sock");
        let fault = check(Some(&nowhere), None, false).unwrap_err().to_string();
        assert!(
            fault.ends_with("No such file or directory (os error 2)"),
            "{fault}"
        );
        let long = folder.join("e".repeat(108));
        let fault = check(Some(&long), None, false).unwrap_err().to_string();
        assert!(fault.contains("SUN_LEN"), "{fault}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
