//! Pooled, counted buffers: how bytes outlive the call that brought them.
//!
//! A [`Buf`] is cheap to clone (a count) and immutable once shared; when the
//! last clone goes, its memory returns to the pool it came from, so a shard
//! that is warm allocates nothing. One shard, one [`Pool`]: nothing here is `Send`.
//!
//! Messages leave as one contiguous `Buf` rather than as a gather list: a
//! stateful proxy must keep what it sent for retransmission anyway, so the one
//! copy of a message buys both.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits;

/// Smallest capacity of each size class, in bytes. They lie close where messages
/// are, since a transaction keeps what it sent for half a minute.
const CLASSES: [usize; 12] = [
    128, 256, 384, 512, 768, 1024, 1280, 1536, 2048, 4096, 16_384, 65_536,
];

type Shelf = Vec<Rc<Memory>>;

/// What a buffer is made of, and the shelf that it was taken from.
#[derive(Debug)]
struct Memory {
    bytes: Vec<u8>,
    class: usize,
    /// The pool that it returns to, while it is in use: a buffer is one pointer.
    pool: Option<Pool>,
}

/// Hands out empty buffers and takes used ones back.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    stock: Rc<Stock>,
}

#[derive(Debug)]
struct Stock {
    shelves: RefCell<[Shelf; CLASSES.len()]>,
    /// Bytes of the buffers in use.
    used: Cell<usize>,
    /// Their bound.
    most: Cell<usize>,
    /// What comes back is freed.
    is_short: Cell<bool>,
}

impl Default for Stock {
    fn default() -> Self {
        Self {
            shelves: RefCell::default(),
            used: Cell::new(0),
            most: Cell::new(limits::BUFFER_BYTES_MAX),
            is_short: Cell::new(false),
        }
    }
}

impl Pool {
    /// A pool with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A buffer with the bytes that `write` puts into it; `room` is the
    /// expected length and chooses the size class. Writing more is allowed, but
    /// it costs the allocator each time.
    pub fn build(&self, room: usize, write: impl FnOnce(&mut Vec<u8>)) -> Buf {
        let mut memory = self.take(room);
        if let Some(Memory { bytes, pool, .. }) = Rc::get_mut(&mut memory) {
            *pool = Some(self.clone());
            bytes.clear();
            write(bytes);
        }
        self.stock
            .used
            .set(self.stock.used.get() + memory.bytes.capacity());
        Buf {
            memory: Some(memory),
        }
    }

    /// A buffer holding a copy of `bytes`.
    #[must_use]
    pub fn copy(&self, bytes: &[u8]) -> Buf {
        self.build(bytes.len(), |out| out.extend_from_slice(bytes))
    }

    /// Bytes of the buffers in use, clones counted once.
    #[must_use]
    pub fn used(&self) -> usize {
        self.stock.used.get()
    }

    /// Bytes that may yet come into use.
    #[must_use]
    pub fn free(&self) -> usize {
        self.stock.most.get().saturating_sub(self.stock.used.get())
    }

    /// True at the bound: nothing new is to be begun.
    #[must_use]
    pub(crate) fn is_exhausted(&self) -> bool {
        self.stock.used.get() >= self.stock.most.get()
    }

    /// The bound is so many bytes, instead of `limits::BUFFER_BYTES_MAX`.
    pub(crate) fn set_bound(&self, bytes: usize) {
        self.stock.most.set(bytes);
    }

    /// While memory is short nothing is kept ready: what comes back is freed, and each call of
    /// this frees some of what lies there, the largest first.
    pub(crate) fn set_short(&self, is_short: bool) {
        self.stock.is_short.set(is_short);
        if !is_short {
            return;
        }
        let mut left = limits::POOL_TRIM_MAX;
        for shelf in self.stock.shelves.borrow_mut().iter_mut().rev() {
            let stay = shelf.len().saturating_sub(left);
            left -= shelf.len() - stay;
            shelf.truncate(stay);
            if stay == 0 {
                shelf.shrink_to_fit();
            }
        }
    }

    /// Counts a buffer that no other pool has, and takes its memory when the last clone goes.
    pub(crate) fn adopt(&self, buf: &mut Buf) {
        let Some(memory) = buf.memory.as_mut().and_then(Rc::get_mut) else {
            return;
        };
        if memory.pool.is_none() {
            memory.pool = Some(self.clone());
            self.stock
                .used
                .set(self.stock.used.get() + memory.bytes.capacity());
        }
    }

    /// As `adopt`, of all of them.
    pub(crate) fn adopt_all<'b>(&self, bufs: impl IntoIterator<Item = &'b mut Buf>) {
        bufs.into_iter().for_each(|buf| self.adopt(buf));
    }

    /// Buffers that lie ready, over all classes.
    #[must_use]
    pub fn idle(&self) -> usize {
        self.stock.shelves.borrow().iter().map(Vec::len).sum()
    }

    fn take(&self, room: usize) -> Rc<Memory> {
        let class = CLASSES
            .iter()
            .position(|&size| room <= size)
            .unwrap_or(CLASSES.len() - 1);
        let ready = self.stock.shelves.borrow_mut()[class].pop();
        ready.unwrap_or_else(|| {
            let bytes = Vec::with_capacity(CLASSES[class]);
            let pool = None;
            Rc::new(Memory { bytes, class, pool })
        })
    }

    fn give(&self, memory: Rc<Memory>) {
        let (capacity, class) = (memory.bytes.capacity(), memory.class);
        self.stock
            .used
            .set(self.stock.used.get().saturating_sub(capacity));
        // One that grew past its class is freed: on the shelf of a larger one,
        // which did not miss it, it would lie for ever, and its own would make
        // another one each time.
        let shelf = &mut self.stock.shelves.borrow_mut()[class];
        let most = limits::POOL_IDLE_MAX.min(limits::POOL_IDLE_BYTES_MAX / CLASSES[class]);
        let is_short = self.stock.is_short.get();
        if capacity == CLASSES[class] && shelf.len() < most && !is_short {
            shelf.push(memory);
        }
    }
}

/// Counted, immutable bytes from a pool.
#[derive(Clone, Debug)]
pub struct Buf {
    /// `Some` until drop.
    memory: Option<Rc<Memory>>,
}

impl Buf {
    /// Bytes that it keeps in use.
    #[must_use]
    pub fn size(&self) -> usize {
        let memory = self.memory.as_deref();
        memory.map_or(0, |memory| memory.bytes.capacity())
    }
}

impl std::ops::Deref for Buf {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.memory.as_deref().map_or(&[], |memory| &memory.bytes)
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(mut memory) = self.memory.take()
            && let Some(pool) = Rc::get_mut(&mut memory).and_then(|last| last.pool.take())
        {
            pool.give(memory);
        }
    }
}

impl Serialize for Buf {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        // What it costs whoever made us keep it, and whose it is again, does not change.
        let class = self.memory.as_deref().map_or(0, |memory| memory.class);
        let extra = self.size().saturating_sub(CLASSES[class]);
        (class, extra, Bytes(self)).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Buf {
    /// A buffer of no pool, until `Pool::adopt`.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (class, extra, text) = <(usize, usize, &[u8])>::deserialize(from)?;
        let room = CLASSES.get(class).copied();
        let room = room.ok_or_else(|| D::Error::custom("no such class of buffers"))?;
        let mut bytes = Vec::with_capacity(room + extra.min(text.len()));
        bytes.extend_from_slice(text);
        let pool = None;
        Ok(Self {
            memory: Some(Rc::new(Memory { bytes, class, pool })),
        })
    }
}

/// Written in one piece.
struct Bytes<'a>(&'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_clone_returns_the_memory() {
        let pool = Pool::new();
        let first = pool.copy(b"INVITE");
        let second = first.clone();
        let address = first.as_ptr();
        drop(first);
        assert_eq!((&second[..], pool.idle()), (&b"INVITE"[..], 0));
        assert_eq!(pool.used(), CLASSES[0]);
        drop(second);
        assert_eq!((pool.idle(), pool.used()), (1, 0));
        assert_eq!(pool.copy(b"ACK").as_ptr(), address);
    }

    #[test]
    fn buffers_that_grow_do_not_pile_up() {
        let pool = Pool::new();
        for _ in 0..10 {
            drop(pool.build(10, |out| out.resize(1_024, b'x')));
        }
        assert_eq!((pool.idle(), pool.used()), (0, 0));
    }
}
