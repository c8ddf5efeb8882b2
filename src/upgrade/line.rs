//! The line between a process and the one that goes on in its place: short texts, and
//! descriptors beside them.

#![expect(
    unsafe_code,
    reason = "descriptors that come are plain numbers at first"
)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::cmsg_space;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};

use crate::limits;

/// One end of the line.
#[derive(Debug)]
pub struct Line(OwnedFd);

/// What came over it.
#[derive(Debug)]
pub struct Heard {
    /// What was said.
    pub text: String,
    /// What was given with it.
    pub descriptors: Vec<OwnedFd>,
}

impl Line {
    /// Both ends.
    ///
    /// # Errors
    /// The kernel's.
    pub fn pair() -> io::Result<(Self, OwnedFd)> {
        let (family, kind) = (AddressFamily::Unix, SockType::SeqPacket);
        let (own, other) = socketpair(family, kind, None, SockFlag::SOCK_CLOEXEC)?;
        Ok((Self(own), other))
    }

    /// The end that this process was started with.
    #[must_use]
    pub const fn of(end: OwnedFd) -> Self {
        Self(end)
    }

    /// Says something, and gives at most `limits::UPGRADE_DESCRIPTORS_MAX` descriptors with it.
    ///
    /// # Errors
    /// The kernel's; the other end may be gone.
    pub fn say(&self, text: &str, descriptors: &[RawFd]) -> io::Result<()> {
        let words = [IoSlice::new(text.as_bytes())];
        let given = [ControlMessage::ScmRights(descriptors)];
        let given = if descriptors.is_empty() {
            &given[..0]
        } else {
            &given[..]
        };
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.0.as_raw_fd(), &words, given, flags, None)?;
        Ok(())
    }

    /// Waits for what the other end says; `None`: it is gone.
    ///
    /// # Errors
    /// `TimedOut` where it says nothing, or the kernel's.
    pub fn hear(&self, within: Option<Duration>) -> io::Result<Option<Heard>> {
        let most = within.map_or(PollTimeout::NONE, |within| {
            PollTimeout::try_from(within).unwrap_or(PollTimeout::MAX)
        });
        let mut awaited = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        loop {
            match poll(&mut awaited, most) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => break,
                Err(nix::Error::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut bytes = vec![0; limits::UPGRADE_MESSAGE_MAX];
        let mut room = cmsg_space!([RawFd; limits::UPGRADE_DESCRIPTORS_MAX]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut room), flags);
        let message = match message {
            Err(nix::Error::ECONNRESET) => return Ok(None),
            message => message?,
        };
        let mut descriptors = Vec::new();
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(given) = part {
                for fd in given {
                    // SAFETY: the kernel has just made it for us; nobody else knows it.
                    descriptors.push(unsafe { OwnedFd::from_raw_fd(fd) });
                }
            }
        }
        let len = message.bytes;
        if len == 0 && descriptors.is_empty() {
            return Ok(None);
        }
        bytes.truncate(len);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Ok(Some(Heard { text, descriptors }))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Seek, Write};

    use super::*;

    #[test]
    fn words_and_descriptors_arrive_together_and_the_end_is_heard() {
        let (own, other) = Line::pair().unwrap();
        let other = Line::of(other);
        let nothing = own.hear(Some(Duration::from_millis(1))).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::TimedOut);
        let path = std::env::temp_dir().join(format!("steadfast-line-{}", std::process::id()));
        let mut file = File::create_new(&path).unwrap();
        file.write_all(b"kept").unwrap();
        std::fs::remove_file(&path).unwrap();
        let fds = vec![file.as_raw_fd(); limits::UPGRADE_DESCRIPTORS_MAX];
        own.say("sockets", &[]).unwrap();
        own.say("sockets", &fds).unwrap();
        let first = other.hear(None).unwrap().unwrap();
        assert_eq!(
            (first.text.as_str(), first.descriptors.len()),
            ("sockets", 0)
        );
        let second = other.hear(None).unwrap().unwrap();
        assert_eq!(second.descriptors.len(), limits::UPGRADE_DESCRIPTORS_MAX);
        drop(file);
        let mut text = String::new();
        let mut last = File::from(second.descriptors.into_iter().next_back().unwrap());
        last.rewind().unwrap();
        last.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept");
        drop(own);
        assert!(other.hear(None).unwrap().is_none());
        other.say("ready", &[]).unwrap_err();
    }
}
