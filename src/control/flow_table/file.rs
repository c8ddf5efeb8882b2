//! The file of flows: taking it, looking whether it can be believed, setting it
//! aside.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::control::private;
use crate::limits;

use super::format::{HEAD, Head};

/// Why there can be no table, each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum FlowsFault {
    /// Another process has the file.
    #[error("the table of flows {} is in use by another process", .0.display())]
    Taken(PathBuf),
    /// There cannot be a file.
    #[error("the table of flows {} cannot be used: {why}; make its folder, or name another file in `flows`", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the kernel said.
        why: io::Error,
    },
    /// What every table needs.
    #[error("the table of flows cannot be read or written: {0}")]
    Kernel(#[from] io::Error),
}

/// Why a file is set aside.
pub(super) type Unfit = String;

fn unusable(path: &Path) -> impl Fn(io::Error) -> FlowsFault {
    let path = path.to_owned();
    move |why| FlowsFault::Unusable {
        path: path.clone(),
        why,
    }
}

/// Finds out whether there could be a file, and makes none.
///
/// # Errors
/// When there is no folder for it.
pub fn check(path: &Path) -> Result<(), FlowsFault> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    if path.is_dir() {
        return Err(unusable(path)(io::ErrorKind::IsADirectory.into()));
    }
    let found = fs::metadata(folder.unwrap_or_else(|| Path::new(".")));
    match found.map_err(unusable(path))?.is_dir() {
        true => Ok(()),
        false => Err(unusable(path)(io::ErrorKind::NotADirectory.into())),
    }
}

/// Opens the file for this process alone; `None`: there is none. One that is no
/// regular file, but a link to one perhaps, is set aside.
pub(super) fn take(path: &Path) -> Result<Option<File>, FlowsFault> {
    let patience = Instant::now() + limits::BIND_PATIENCE;
    loop {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(unusable(path)(why)),
        };
        if found.is_dir() {
            return Err(unusable(path)(io::ErrorKind::IsADirectory.into()));
        }
        if !found.is_file() {
            let what = if found.file_type().is_fifo() {
                "a pipe"
            } else {
                "a link"
            };
            set_aside(path, &format!("it is {what}, and not a file"))?;
            return Ok(None);
        }
        let mut options = File::options();
        options.read(true).write(true);
        let file = match options.custom_flags(libc::O_NOFOLLOW).open(path) {
            Ok(file) => file,
            // It belongs to somebody else, who cannot be asked to change that.
            Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {
                set_aside(path, "it cannot be opened, so somebody else has made it")?;
                return Ok(None);
            }
            Err(why) => return Err(unusable(path)(why)),
        };
        match file.try_lock() {
            // It may have been replaced since it was opened.
            Ok(()) if is_at(&file, path) => return Ok(Some(file)),
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) if Instant::now() > patience => {
                return Err(FlowsFault::Taken(path.to_owned()));
            }
            // A process that has just ended has it for a moment longer.
            Err(fs::TryLockError::WouldBlock) => std::thread::sleep(limits::BIND_PATIENCE / 100),
            Err(fs::TryLockError::Error(why)) => return Err(unusable(path)(why)),
        }
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let there = fs::symlink_metadata(path);
    let same = |there: fs::Metadata| {
        let own = file.metadata()?;
        Ok((own.dev(), own.ino()) == (there.dev(), there.ino()))
    };
    there.and_then(same).unwrap_or(false)
}

/// What a file is that is ours, whole, and to be believed.
pub(super) fn look(file: &File, path: &Path, owner: &str) -> Result<Head, Unfit> {
    let status = file.metadata().map_err(|why| why.to_string())?;
    if status.uid() != nix::unistd::geteuid().as_raw() {
        return Err("it belongs to another user".to_owned());
    }
    if status.mode() & 0o022 != 0 {
        return Err("others could write it".to_owned());
    }
    private::keep(file, path).map_err(|why| why.to_string())?;
    let mut page = [0; HEAD];
    let read = file.read_exact_at(&mut page, 0);
    read.map_err(|_short| "its first page is not there".to_owned())?;
    let head = Head::read(&page).map_err(|why| why.to_string())?;
    if *head.owner != *owner {
        return Err(format!("it is that of {}", head.owner));
    }
    if status.len() != head.file_len() {
        return Err(format!(
            "it has {} bytes and should have {}",
            status.len(),
            head.file_len()
        ));
    }
    Ok(head)
}

/// Gives the file another name, so that it is there for whoever wants to know, and
/// out of the way. An older one of that name goes.
pub(super) fn set_aside(path: &Path, why: &str) -> Result<(), FlowsFault> {
    let aside = beside(path, ".damaged");
    fs::rename(path, &aside).map_err(unusable(path))?;
    let (file, aside) = (path.display(), aside.display());
    tracing::warn!(%file, %aside, why, "the table of flows cannot be believed and is set aside: UDP phones are reached again once they refresh");
    Ok(())
}

/// Makes an empty file, taken by this process, in place of any other; `None` where
/// the disk has no room, which the log says.
pub(super) fn make(path: &Path, head: &Head) -> Result<Option<File>, FlowsFault> {
    let new = beside(path, ".new");
    match fs::remove_file(&new) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(unusable(path)(why)),
        Ok(()) | Err(_) => {}
    }
    let mut options = File::options();
    let options = options.read(true).write(true).create_new(true);
    let file = options.mode(private::FILE).open(&new);
    let file = file.map_err(unusable(path))?;
    let filled = fill(&file, &new, head);
    if let Err(why) = filled {
        fs::remove_file(&new).map_err(unusable(path))?;
        if !is_want_of_room(&why) {
            return Err(unusable(path)(why));
        }
        let (file, bytes) = (path.display(), head.file_len());
        tracing::warn!(%file, bytes, %why, "there is no room for the table of flows: after a restart UDP phones are deaf until they refresh; make room, or lower `flows_max`");
        return Ok(None);
    }
    fs::rename(&new, path).map_err(unusable(path))?;
    Ok(Some(file))
}

fn fill(file: &File, path: &Path, head: &Head) -> io::Result<()> {
    private::keep(file, path)?;
    file.try_lock().map_err(io::Error::from)?;
    let len = i64::try_from(head.file_len()).map_err(io::Error::other)?;
    nix::fcntl::posix_fallocate(file.as_fd(), 0, len)?;
    file.write_all_at(&head.write(), 0)
}

fn is_want_of_room(why: &io::Error) -> bool {
    matches!(
        why.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// The name with something behind it.
fn beside(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    name.into()
}
