//! Memory that the kernel receives into: a ring of buffers that any socket may take from
//! when something has come, so that none is set aside for a connection that says nothing.
//!
//! The kernel takes buffers from the head and the shard gives each back at the tail once
//! its contents are dealt with. Where none is left the receive ends with ENOBUFS, and what
//! has come stays in the socket until the receive is started again.

#![expect(
    unsafe_code,
    reason = "the kernel reads the ring of buffers as raw memory"
)]

use std::alloc::{self, Layout};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Buffers of one length.
pub(in crate::io) struct Buffers {
    /// The entries that the kernel reads, in memory of their own.
    entries: NonNull<BufRingEntry>,
    bytes: Box<[u8]>,
    stride: usize,
    len: usize,
    tail: u16,
    /// Number of buffers: a power of two, as the kernel wants it.
    count: u16,
    group: u16,
}

/// Distance of two buffers beyond their length: slots a power of two apart fight for the
/// same cache sets.
const APART: usize = 13 * 64;

impl Buffers {
    /// `count` buffers of `len` bytes, which receives find by the number `group`.
    ///
    /// # Errors
    /// When the kernel does not take them: `count` is no power of two, or it knows no
    /// such rings.
    pub(super) fn register(ring: &IoUring, group: u16, count: u16, len: usize) -> io::Result<Self> {
        let layout = layout(count)?;
        // SAFETY: the layout is not empty.
        let memory = unsafe { alloc::alloc_zeroed(layout) };
        let Some(entries) = NonNull::new(memory.cast::<BufRingEntry>()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let stride = len.next_multiple_of(64) + APART;
        let mut buffers = Self {
            entries,
            bytes: vec![0; usize::from(count) * stride].into(),
            stride,
            len,
            tail: 0,
            count,
            group,
        };
        // SAFETY: the entries are page-aligned, `count` of them, and stay where they are
        // until `buffers` is dropped, which the shard does after its ring.
        unsafe {
            ring.submitter()
                .register_buf_ring_with_flags(memory as u64, count, group, 0)?;
        }
        for index in 0..count {
            buffers.give_back(index);
        }
        Ok(buffers)
    }

    /// The number by which receives find them.
    pub(super) const fn group(&self) -> u16 {
        self.group
    }

    /// The first `count` bytes of buffer `index`, which the kernel has filled.
    pub(in crate::io) fn filled(&mut self, index: u16, count: usize) -> &mut [u8] {
        let start = usize::from(index) * self.stride;
        let end = start + count.min(self.len);
        self.bytes.get_mut(start..end).unwrap_or_default()
    }

    /// Lets the kernel fill buffer `index` again.
    pub(in crate::io) fn give_back(&mut self, index: u16) {
        let start = usize::from(index) * self.stride;
        let Some(buffer) = self.bytes.get_mut(start..start + self.len) else {
            return;
        };
        let at = usize::from(self.tail & (self.count - 1));
        // SAFETY: `at` is below `count`, for which there is memory, zeroed at first; the
        // kernel reads an entry only below the tail that is published below.
        let mut entry = unsafe { self.entries.add(at) };
        // SAFETY: as above; nobody else has a reference to it.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(buffer.as_mut_ptr() as u64);
        entry.set_len(u32::try_from(buffer.len()).unwrap_or(u32::MAX));
        entry.set_bid(index);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the entries are initialized, and their memory begins at a page.
        let tail = unsafe { BufRingEntry::tail(self.entries.as_ptr()) };
        // SAFETY: it is aligned for a u16, lives as long as the entries, and the kernel
        // only reads it.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        if let Ok(layout) = layout(self.count) {
            // SAFETY: allocated with this layout. The kernel writes into buffers only
            // within an enter of the shard's ring, which is closed by now.
            unsafe { alloc::dealloc(self.entries.as_ptr().cast(), layout) };
        }
    }
}

/// Memory for so many entries, which the kernel wants to begin at a page.
fn layout(count: u16) -> io::Result<Layout> {
    const PAGE: usize = 4_096;
    let size = usize::from(count) * size_of::<BufRingEntry>();
    Layout::from_size_align(size, PAGE).map_err(io::Error::other)
}
