//! What a node leaves as a whole: a head that says how much of what follows is whose, and the
//! bytes of its shards behind it, in a file in memory that both processes have.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::OwnedFd;

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::{Deserialize, Serialize};

use crate::io::Legacy;

/// The head.
#[derive(Debug, Serialize, Deserialize)]
pub struct Estate {
    /// The clock (`io::Clock::written`).
    pub clock: (u64, u64),
    /// Random numbers of the node.
    pub node_seed: [u64; 4],
    /// The key of the node, those before it, and the one that it has made for itself.
    pub keys: ([u8; 32], Vec<[u8; 32]>, Option<[u8; 32]>),
    /// Of each shard.
    pub shards: Vec<ShardPart>,
    /// Which sockets of the control thread come behind those of the shards.
    pub control_sockets: ControlSocketsPart,
}

/// A shard of it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ShardPart {
    /// Its own random numbers.
    pub seed: [u64; 4],
    /// Bytes of what its core holds.
    pub core: usize,
    /// Bytes of what its sockets are.
    pub shell: usize,
    /// Sockets.
    pub sockets: usize,
}

/// What the core of a shard holds, and what its sockets are (`io::Legacy`).
pub type ShardBytes = (Vec<u8>, Vec<u8>);

/// The sockets of the control thread.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct ControlSocketsPart {
    /// The control socket.
    pub control: bool,
    /// That of the metrics.
    pub metrics: bool,
    /// UDP sockets of the name server.
    pub datagrams: usize,
    /// TCP listeners of the name server.
    pub listeners: usize,
}

impl Estate {
    /// Writes it with what the shards leave.
    ///
    /// # Errors
    /// The kernel's.
    pub fn write(&self, legacies: &[Legacy]) -> io::Result<OwnedFd> {
        let head = postcard::to_allocvec(self).map_err(io::Error::other)?;
        let made = memfd_create(c"steadfast-upgrade", MFdFlags::MFD_CLOEXEC)?;
        let mut file = File::from(made);
        file.write_all(&(head.len() as u64).to_be_bytes())?;
        file.write_all(&head)?;
        for legacy in legacies {
            file.write_all(&legacy.core)?;
            file.write_all(&legacy.shell)?;
        }
        file.rewind()?;
        Ok(file.into())
    }

    /// Reads it, and the bytes of its shards.
    ///
    /// # Errors
    /// When it is cut short, or none.
    pub fn read(file: OwnedFd) -> io::Result<(Self, Vec<ShardBytes>)> {
        let mut file = File::from(file);
        file.rewind()?;
        let mut len = [0; 8];
        file.read_exact(&mut len)?;
        let head = take(&mut file, u64::from_be_bytes(len))?;
        let estate: Self = postcard::from_bytes(&head).map_err(io::Error::other)?;
        let parts = estate.shards.iter().map(|part| {
            let core = take(&mut file, part.core as u64)?;
            let shell = take(&mut file, part.shell as u64)?;
            Ok((core, shell))
        });
        let parts = parts.collect::<io::Result<_>>()?;
        Ok((estate, parts))
    }
}

fn take(file: &mut File, len: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_comes_back_and_a_part_of_it_does_not() {
        let legacy = |core: &[u8], shell: &[u8]| Legacy {
            core: core.into(),
            shell: shell.into(),
            sockets: Vec::new(),
        };
        let part = |core, shell| ShardPart {
            seed: [1; 4],
            core,
            shell,
            sockets: 0,
        };
        let mut estate = Estate {
            clock: (1, 2),
            node_seed: [3; 4],
            keys: ([4; 32], vec![[5; 32]], None),
            shards: vec![part(3, 2), part(0, 1)],
            control_sockets: ControlSocketsPart::default(),
        };
        let legacies = [legacy(b"abc", b"de"), legacy(b"", b"f")];
        let (read, parts) = Estate::read(estate.write(&legacies).unwrap()).unwrap();
        assert_eq!((read.clock, read.keys), (estate.clock, estate.keys.clone()));
        let want = [
            (b"abc".to_vec(), b"de".to_vec()),
            (Vec::new(), b"f".to_vec()),
        ];
        assert_eq!(parts, want);
        estate.shards.push(part(1, 0));
        Estate::read(estate.write(&legacies).unwrap()).unwrap_err();
    }
}
