//! How much memory the node uses, and how much it may.
//!
//! Counted is what the program has allocated and not freed, and not what the kernel has given
//! it: pages that are free inside the process are used again before it asks for more, and what
//! was needed once would count for ever. What is not on the heap (the program, its stacks, its
//! rings) is looked at once, at the end of the start. Nor is what the ciphers of a handshake, which
//! are C, allocate by themselves: 1.6 KiB as long as it goes on, and `HANDSHAKES_MAX` bounds them.
//!
//! Each shard asks here ten times a second what share of what is new it is to refuse; by what
//! order of worth is the admission's business ([`admission`](crate::admission)). Beside that the
//! kernel's own count is looked at each second: where it is near the bound and the heap
//! explains most of it, all that is new is refused.

#![expect(
    unsafe_code,
    reason = "an allocator is unsafe to implement; it does nothing but count and pass on"
)]

mod cgroup;

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering};
use std::time::Duration;

use crate::limits;

pub use cgroup::limit as cgroup_limit;

/// What the configuration says of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// Three quarters of what the control group of the process may use, where that is bounded.
    OfGroup,
    /// So many bytes.
    Bytes(usize),
    /// Whatever there is.
    Nothing,
}

impl Bound {
    /// In bytes, where the group may use `group`; `None`: there is none.
    #[must_use]
    pub fn bytes(self, group: Option<usize>) -> Option<usize> {
        match self {
            Self::OfGroup => group.map(|bytes| bytes / 4 * 3),
            Self::Bytes(bytes) => Some(bytes),
            Self::Nothing => None,
        }
    }
}

/// An allocator that counts what is in use.
pub struct Counted<A>(pub A);

// SAFETY: each method is that of the allocator inside, with the same arguments and result;
// counting neither allocates nor fails.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counted<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: what the caller owes is passed on as it is.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        take(layout.size());
        // SAFETY: as above.
        unsafe { self.0.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        take(layout.size());
        // SAFETY: as above.
        unsafe { self.0.realloc(block, layout, size) }
    }
}

/// Bytes in use by threads, each of which counts in a place of its own as long as there are
/// enough: shards do not meet there. A block that another thread frees makes one place too
/// large and another too small; the sum is right.
static PLACES: [Place; PLACES_MAX] = [const { Place(AtomicIsize::new(0)) }; PLACES_MAX];
/// Places that were given away.
static GIVEN: AtomicUsize = AtomicUsize::new(0);
/// More than the shards of most machines.
const PLACES_MAX: usize = 64;

/// A line of the cache to itself.
#[repr(align(128))]
struct Place(AtomicIsize);

thread_local! {
    /// The place of this thread; `PLACES_MAX`: it has none yet.
    static OWN: Cell<usize> = const { Cell::new(PLACES_MAX) };
}

fn own() -> &'static AtomicIsize {
    // A thread that ends may still free what it had.
    let own = OWN.try_with(|own| {
        if own.get() == PLACES_MAX {
            own.set(GIVEN.fetch_add(1, Ordering::Relaxed) % PLACES_MAX);
        }
        own.get()
    });
    &PLACES[own.unwrap_or(0)].0
}

fn add(bytes: usize) {
    own().fetch_add(bytes.cast_signed(), Ordering::Relaxed);
}

fn take(bytes: usize) {
    own().fetch_sub(bytes.cast_signed(), Ordering::Relaxed);
}

/// Bytes on the heap that are in use.
#[must_use]
pub fn on_heap() -> usize {
    let sum: isize = PLACES.iter().map(|at| at.0.load(Ordering::Relaxed)).sum();
    sum.max(0).cast_unsigned()
}

/// What the node may use; 0: whatever there is.
static MOST: AtomicUsize = AtomicUsize::new(0);
/// What it uses that is not on the heap, less what is on the heap and was never written to:
/// the kernel has given no memory for that.
static BESIDE: AtomicIsize = AtomicIsize::new(0);
/// The kernel says that the bound is reached.
static IS_REACHED: AtomicBool = AtomicBool::new(false);

/// Holds the node to what it may use from now on; the log says how much that is where it is
/// another number than before.
pub fn hold(bound: Bound) {
    let group = cgroup_limit();
    let bytes = bound.bytes(group);
    if let (Bound::Bytes(most), Some(group)) = (bound, group)
        && most > group
    {
        tracing::warn!(
            memory = most,
            group,
            "`memory` allows more than the control group of the process does, which ends a process \
             that takes it: name three quarters of that, or leave `memory` out"
        );
    }
    let before = MOST.swap(bytes.unwrap_or(0), Ordering::Relaxed);
    if let Some(bytes) = bytes.filter(|bytes| *bytes != before) {
        tracing::info!(bytes, "bounds the memory that it uses");
    }
}

/// What a shard is to do about memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// The share of what is new that it is to refuse, in percent.
    pub refused: u8,
    /// Bytes that the messages which its transactions hold on to may have.
    pub buffers: usize,
}

/// What each of so many shards is to do now.
#[must_use]
pub fn share(shards: usize) -> Share {
    match MOST.load(Ordering::Relaxed) {
        0 => Share {
            refused: 0,
            buffers: limits::BUFFER_BYTES_MAX,
        },
        most if IS_REACHED.load(Ordering::Relaxed) => Share {
            refused: 100,
            buffers: buffers(most, shards),
        },
        most => Share {
            refused: refused(used(), most),
            buffers: buffers(most, shards),
        },
    }
}

/// Bytes in use, on the heap and beside it.
#[must_use]
pub fn used() -> usize {
    on_heap().saturating_add_signed(BESIDE.load(Ordering::Relaxed))
}

fn buffers(most: usize, shards: usize) -> usize {
    most / 100 * limits::MEMORY_BUFFERS / shards.max(1)
}

/// None up to `limits::MEMORY_SHORT`, all above it, and in between as far as that is.
fn refused(used: usize, most: usize) -> u8 {
    let (from, to) = limits::MEMORY_SHORT;
    let [from, to] = [from, to].map(|percent| most / 100 * percent);
    let over = used.saturating_sub(from).saturating_mul(100);
    let percent = over.div_ceil((to - from).max(1)).min(100);
    u8::try_from(percent).unwrap_or(100)
}

/// Looks at the memory for as long as the node runs: what is beside the heap once, when all has
/// been started, and each second whether the bound is near. The log says so when it becomes
/// near, and when it is no longer. So many bytes on the heap are the recorders', who have them by
/// now and fill them whatever is refused: they count from the start.
pub async fn watch(recorder: usize) {
    let resident = || resident().unwrap_or(0);
    let beside = beside(resident(), on_heap(), recorder);
    BESIDE.store(beside, Ordering::Relaxed);
    let mut is_short = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let most = MOST.load(Ordering::Relaxed);
        let (used, resident) = (used(), resident());
        // Where the heap is far smaller, the allocator has room that it has not given back.
        let is_reached = most > 0 && resident > most / 100 * REACHED && used > most / 100 * HALF;
        IS_REACHED.store(is_reached, Ordering::Relaxed);
        let refused = share(1).refused;
        match (is_short, refused > 0) {
            (false, true) => tracing::warn!(
                used,
                resident,
                most,
                refused_percent = refused,
                "memory is short: new registrations and connections are refused, then new calls"
            ),
            (true, false) => tracing::info!(used, resident, most, "there is memory again"),
            (false, false) | (true, true) => {}
        }
        is_short = refused > 0;
    }
}

/// What is used beside the heap where the recorders have written next to nothing yet.
fn beside(resident: usize, on_heap: usize, recorder: usize) -> isize {
    (resident + recorder).cast_signed() - on_heap.cast_signed()
}

/// Bytes of memory that the process has to itself, as the kernel counts them.
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').skip(1).map(str::parse::<usize>);
    let (all, of_files) = (pages.next()?.ok()?, pages.next()?.ok()?);
    Some(all.saturating_sub(of_files) * 4_096)
}

const LOOK: Duration = Duration::from_secs(1);
/// Percent of the bound at which the kernel's count is taken for the whole truth, and of which
/// the heap must explain so much.
const REACHED: usize = 97;
const HALF: usize = 50;

#[cfg(test)]
mod tests;
