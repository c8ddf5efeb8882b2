//! Which sockets have something to do: an epoll set, and the two descriptors
//! that turn time and other threads into readiness.
//!
//! One set per shard holds every socket it owns, and the executor watches only
//! the set. That keeps the cost of a wake independent of how many sockets
//! there are, and an idle stream costs the executor nothing.

#![expect(
    unsafe_code,
    reason = "epoll, eventfd and timerfd have no safe interface in std"
)]

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use crate::limits::EVENTS_MAX;
use crate::time::Duration;

/// What a socket is asked for, and what it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ready(u32);

impl Ready {
    /// Something can be read, or the peer has ended its side.
    pub(super) const READ: Self = Self(libc::EPOLLIN as u32);
    /// As `READ`, or the kernel takes bytes again.
    pub(super) const READ_WRITE: Self = Self((libc::EPOLLIN | libc::EPOLLOUT) as u32);

    pub(super) const fn is_readable(self) -> bool {
        self.0 & (libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    pub(super) const fn is_writable(self) -> bool {
        self.0 & libc::EPOLLOUT as u32 != 0
    }

    pub(super) const fn is_error(self) -> bool {
        self.0 & libc::EPOLLERR as u32 != 0
    }
}

/// The epoll set of a shard.
pub(super) struct Readiness {
    set: OwnedFd,
    events: Box<[libc::epoll_event]>,
}

impl Readiness {
    pub(super) fn new() -> io::Result<Self> {
        Self::with_room(EVENTS_MAX)
    }

    /// One whose `wait` finds no more than so many events.
    pub(super) fn with_room(events: usize) -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let set = owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        Ok(Self {
            set,
            events: vec![libc::epoll_event { events: 0, u64: 0 }; events].into(),
        })
    }

    /// Watches a descriptor until it is closed; its events carry `token`.
    pub(super) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Ready) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what a watched descriptor is asked for.
    pub(super) fn change(&self, fd: BorrowedFd<'_>, token: u64, interest: Ready) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Watches a descriptor no longer.
    pub(super) fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Ready(0))
    }

    /// Waits for events, at most as long as `most`, rounded up to
    /// milliseconds; how many there are.
    pub(super) fn wait(&mut self, most: Duration) -> io::Result<usize> {
        let ms = i32::try_from(most.as_micros().div_ceil(1_000)).unwrap_or(i32::MAX);
        let room = i32::try_from(self.events.len()).unwrap_or(i32::MAX);
        // SAFETY: `events` has room for `room` events.
        let count =
            unsafe { libc::epoll_wait(self.set.as_raw_fd(), self.events.as_mut_ptr(), room, ms) };
        match usize::try_from(count) {
            Ok(count) => Ok(count),
            Err(_negative) => {
                let error = io::Error::last_os_error();
                if error.kind() == io::ErrorKind::Interrupted {
                    Ok(0)
                } else {
                    Err(error)
                }
            }
        }
    }

    /// The event at `index` of the last `wait`.
    pub(super) fn event(&self, index: usize) -> (u64, Ready) {
        let event = self.events[index];
        (event.u64, Ready(event.events))
    }

    fn control(
        &self,
        operation: i32,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: Ready,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event {
            events: interest.0,
            u64: token,
        };
        // SAFETY: `event` is read during the call only.
        let done = unsafe {
            libc::epoll_ctl(
                self.set.as_raw_fd(),
                operation,
                fd.as_raw_fd(),
                &raw mut event,
            )
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for Readiness {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.set.as_fd()
    }
}

impl AsRawFd for Readiness {
    fn as_raw_fd(&self) -> RawFd {
        self.set.as_raw_fd()
    }
}

/// Lets another thread make a shard look at its inbox.
#[derive(Debug)]
pub(super) struct Bell(File);

impl Bell {
    pub(super) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer.
        let fd = owned(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        Ok(Self(fd.into()))
    }

    pub(super) fn try_clone(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    pub(super) fn ring(&self) -> io::Result<()> {
        match (&self.0).write(&1u64.to_ne_bytes()) {
            // Full means that it has rung 2^64 - 2 times unheard.
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    pub(super) fn silence(&self) -> io::Result<()> {
        take_count(&self.0)
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Makes a time a readiness event (timerfd), for the long sleeps in which
/// `Readiness::wait` is not the one who waits.
pub(super) struct Alarm(File);

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: takes no pointer.
        let fd = owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) })?;
        Ok(Self(fd.into()))
    }

    /// Rings once, `after` from now.
    pub(super) fn set(&self, after: Duration) -> io::Result<()> {
        // Zero would switch it off.
        let after = after.max(Duration::from_nanos(1));
        let none = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let first = libc::timespec {
            tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: after.subsec_nanos().into(),
        };
        let setting = libc::itimerspec {
            it_interval: none,
            it_value: first,
        };
        // SAFETY: `setting` is read during the call only, nothing is written.
        let done = unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const setting, ptr::null_mut())
        };
        if done < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    pub(super) fn silence(&self) -> io::Result<()> {
        take_count(&self.0)
    }
}

impl AsFd for Alarm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn take_count(mut file: &File) -> io::Result<()> {
    match file.read(&mut [0; 8]) {
        Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made it for us; nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_rings_until_it_is_silenced() {
        let mut readiness = Readiness::new().unwrap();
        let bell = Bell::new().unwrap();
        readiness.add(bell.as_fd(), 7, Ready::READ).unwrap();
        assert_eq!(readiness.wait(Duration::ZERO).unwrap(), 0);
        let far = bell.try_clone().unwrap();
        far.ring().unwrap();
        far.ring().unwrap();
        assert_eq!(readiness.wait(Duration::from_secs(5)).unwrap(), 1);
        assert_eq!(readiness.event(0), (7, Ready::READ));
        bell.silence().unwrap();
        assert_eq!(readiness.wait(Duration::ZERO).unwrap(), 0);
    }

    #[test]
    fn a_set_in_another_one_reports_a_few_at_a_time_and_nothing_twice() {
        let (mut outer, mut inner) = (Readiness::new().unwrap(), Readiness::with_room(2).unwrap());
        outer.add(inner.as_fd(), 7, Ready::READ).unwrap();
        let bells = [(); 5].map(|()| Bell::new().unwrap());
        for (bell, token) in bells.iter().zip(0..) {
            inner.add(bell.as_fd(), token, Ready::READ).unwrap();
            bell.ring().unwrap();
        }
        inner.remove(bells[4].as_fd()).unwrap();
        let mut counts = Vec::new();
        while outer.wait(Duration::ZERO).unwrap() > 0 {
            assert_eq!(outer.event(0), (7, Ready::READ));
            let count = inner.wait(Duration::ZERO).unwrap();
            for index in 0..count {
                let (token, _) = inner.event(index);
                bells[usize::try_from(token).unwrap()].silence().unwrap();
            }
            counts.push(count);
        }
        assert_eq!(counts, [2, 2]);
    }

    #[test]
    fn an_alarm_in_the_past_rings_at_once() {
        let mut readiness = Readiness::new().unwrap();
        let alarm = Alarm::new().unwrap();
        readiness.add(alarm.as_fd(), 1, Ready::READ).unwrap();
        alarm.set(Duration::ZERO).unwrap();
        assert_eq!(readiness.wait(Duration::from_secs(5)).unwrap(), 1);
        alarm.silence().unwrap();
        assert_eq!(readiness.wait(Duration::ZERO).unwrap(), 0);
    }
}
