//! What redb reads and writes: a file whose head was looked at before, and that grows by
//! blocks which are really there.
//!
//! - redb makes tables as long as the first page of its file says, and reads what a page
//!   number names: a bent bit there asks for more memory than there is, which ends the
//!   process. So the head must have the shape of every store, and nothing is read beyond
//!   the end.
//! - After an end in order redb believes its file unseen. Here it is told every time that
//!   the process before was killed: then it compares the checksum of every page, from the
//!   root down, before it uses one, and takes the last transaction that is whole.
//! - redb lengthens its file first and writes later. Where the disk is full, that write would
//!   fail in the middle of a transaction; blocks that are taken when the file grows make it
//!   the growing that fails, with nothing written.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

/// The file of the store.
#[derive(Debug)]
pub(super) struct Backend {
    file: FileBackend,
    /// The same file, to ask for blocks.
    blocks: File,
    len: Arc<AtomicU64>,
    #[cfg(test)]
    faults: super::tests::Faults,
}

impl Backend {
    /// Takes the file for this process alone.
    ///
    /// # Errors
    /// `WouldBlock` when another process has it, `InvalidData` and `UnexpectedEof` when it is
    /// damaged, and whatever the kernel says.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let blocks = file.try_clone()?;
        let file = FileBackend::new(file).map_err(|error| {
            match matches!(error, redb::DatabaseError::DatabaseAlreadyOpen) {
                true => io::ErrorKind::WouldBlock.into(),
                false => io::Error::other(error),
            }
        })?;
        let found = file.len()?;
        if found > 0 {
            look_at_head(&file, found)?;
        }
        let len = Arc::new(AtomicU64::new(found));
        Ok(Self {
            file,
            blocks,
            len,
            #[cfg(test)]
            faults: super::tests::Faults::default(),
        })
    }

    /// How long the file is, from here on: nobody else changes that.
    pub(super) fn len_known(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.len)
    }

    /// Lengthens the file with blocks behind it, where the file system can say whether there
    /// are any.
    fn lengthen(&self, from: u64, to: u64) -> io::Result<()> {
        let [offset, more] = [from, to - from].map(i64::try_from);
        let (Ok(offset), Ok(more)) = (offset, more) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        match nix::fcntl::posix_fallocate(self.blocks.as_fd(), offset, more) {
            Ok(()) => Ok(()),
            Err(nix::Error::EOPNOTSUPP | nix::Error::EINVAL) => self.file.set_len(to),
            Err(why) => {
                // Some of them may have been taken already.
                self.file.set_len(from)?;
                Err(why.into())
            }
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(len as u64);
        if end.is_none_or(|end| end > self.len.load(Ordering::Relaxed)) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read(offset, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let before = self.file.len()?;
        // What is cut off goes before anybody looks whether it is there.
        if len < before {
            self.len.store(len, Ordering::Relaxed);
            return self.file.set_len(len);
        }
        #[cfg(test)]
        self.faults.write()?;
        if len > before {
            self.lengthen(before, len)?;
        }
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self, eventual: bool) -> io::Result<()> {
        self.file.sync_data(eventual)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.write()?;
        self.file.write(offset, data)
    }
}

/// The head of a file of redb, as its `design.md` has it: a magic number, a byte of flags, two
/// that are not used, and five numbers of four bytes, the lowest byte first.
pub(super) const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
const FLAGS_AT: usize = 9;
const NUMBERS_AT: usize = 12;
/// The flag for which of two transactions is the last.
const WHICH: u8 = 1;
/// The flag that the process before did not end in order.
const WAS_KILLED: u8 = 2;
/// Bytes of a page, pages before the data of a region, and most pages of data in one: the
/// first three of the numbers, the same in all files that are made here.
const SHAPE: [u32; 3] = [4_096, 130, 1 << 20];

/// Refuses a head that is none of a store, and has redb look at all the rest.
fn look_at_head(file: &FileBackend, len: u64) -> io::Result<()> {
    let [page, before, most] = SHAPE;
    if len < page.into() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let head = file.read(0, NUMBERS_AT + 5 * 4)?;
    let (numbers, _) = head[NUMBERS_AT..].as_chunks();
    let numbers: Vec<_> = numbers
        .iter()
        .map(|four| u32::from_le_bytes(*four))
        .collect();
    let (shape, regions) = numbers.split_at(SHAPE.len());
    // Whole ones, and the pages of data in one more that is not whole.
    let &[whole, rest] = regions else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let region = u64::from(before + most) * u64::from(page);
    let is_there = u64::from(whole) * region <= len && rest < most && (whole, rest) != (0, 0);
    if !head.starts_with(MAGIC) || shape != SHAPE || !is_there {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let flags = head[FLAGS_AT] & WHICH | WAS_KILLED;
    match head[FLAGS_AT] == flags {
        true => Ok(()),
        false => file.write(FLAGS_AT as u64, &[flags]),
    }
}
