//! A flow binding over UDP as bytes, for the table that outlives the process.
//!
//! The key is of the binding: reg-id (4), lengths of user and realm (1 each), user,
//! realm, instance. The value has the rest: a version, flags of the phone, flags of
//! its token, the shard that holds it (1 each), when it was written and when it ends
//! in seconds since 1970 (8 each), our address and the phone's (4 or 6, the address,
//! the port), and the names of the edges of its token (length, name). All numbers
//! are big-endian.
//!
//! Edges are written by name, since their indices change with the configuration, and
//! our socket by its address, since sockets are numbered anew at each start.

use std::net::{IpAddr, SocketAddr};

use super::{FlowBinding, Follows, Subscriber};
use crate::time::{Duration, Instant, Wall};

const VERSION: u8 = 1;
/// Bit of the phone's flags, beside those of `Follows`. The others are not written, and
/// not read.
const KEPT_OPEN: u8 = 2;
const V4: u8 = 4;
const V6: u8 = 6;

/// A row that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredFlowBinding<'a> {
    pub(super) subscriber: Subscriber<'a>,
    pub(super) reg_id: u32,
    pub(super) follows: Follows,
    pub(super) is_kept_open: bool,
    /// The flags of its token.
    pub(super) flags: u8,
    /// The shard that held it.
    pub(super) shard: u8,
    /// Our address of the flow.
    pub(super) local: SocketAddr,
    /// The phone's address of the flow.
    pub(super) peer: SocketAddr,
    /// When the binding ends. From reading to then is no longer than from writing to then was,
    /// however the system clock was set in between.
    pub(super) expires: Instant,
    names: &'a [u8],
}

/// The time when a row is written or read, on both clocks.
#[derive(Clone, Copy)]
pub(super) struct Clocks {
    pub(super) now: Instant,
    pub(super) wall: Wall,
}

/// Appends the key.
pub(super) fn write_key(subscriber: &Subscriber<'_>, reg_id: u32, out: &mut Vec<u8>) {
    let Subscriber {
        user,
        realm,
        instance,
    } = subscriber;
    out.extend(reg_id.to_be_bytes());
    out.extend([user.len(), realm.len()].map(|len| u8::try_from(len).unwrap_or(u8::MAX)));
    for part in [user, realm, instance] {
        out.extend_from_slice(part);
    }
}

/// Appends the value, without the names of the edges.
pub(super) fn write_value(
    binding: &FlowBinding<'_>,
    shard: u8,
    local: SocketAddr,
    peer: SocketAddr,
    Clocks { now, wall }: Clocks,
    out: &mut Vec<u8>,
) {
    let kept_open = u8::from(binding.is_kept_open) * KEPT_OPEN;
    let phone = binding.follows.bits() | kept_open;
    out.extend([VERSION, phone, binding.flags, shard]);
    out.extend(wall.unix(now).to_be_bytes());
    // Rounded up, so that writing and reading do not take a second off.
    let end = binding.expires + Duration::from_micros(999_999);
    out.extend(wall.unix(end).to_be_bytes());
    write_addr(local, out);
    write_addr(peer, out);
}

/// Appends the name of an edge.
pub(super) fn write_name(name: &[u8], out: &mut Vec<u8>) {
    out.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(name);
}

/// Whether a row of `Output::Store` is one that has not ended.
#[must_use]
pub fn is_live(now: Instant, wall: Wall, key: &[u8], value: &[u8]) -> bool {
    StoredFlowBinding::read(Clocks { now, wall }, key, value).is_some()
}

impl<'a> StoredFlowBinding<'a> {
    /// Reads a row; `None` for bytes that this room does not write, and for one that has ended.
    pub(super) fn read(
        Clocks { now, wall }: Clocks,
        key: &'a [u8],
        value: &'a [u8],
    ) -> Option<Self> {
        let (&reg_id, key) = key.split_first_chunk()?;
        let (&[user_len, realm_len], key) = key.split_first_chunk()?;
        let (user, key) = key.split_at_checked(user_len.into())?;
        let (realm, instance) = key.split_at_checked(realm_len.into())?;
        let (&[VERSION, phone, flags, shard], value) = value.split_first_chunk()? else {
            return None;
        };
        let (&written, value) = value.split_first_chunk()?;
        let (&end, mut value) = value.split_first_chunk()?;
        let local = read_addr(&mut value)?;
        let peer = read_addr(&mut value)?;
        let (written, end) = (u64::from_be_bytes(written), u64::from_be_bytes(end));
        let granted = end.checked_sub(written)?;
        let left = end.checked_sub(wall.unix(now))?.min(granted);
        let row = Self {
            subscriber: Subscriber {
                user,
                realm,
                instance,
            },
            reg_id: u32::from_be_bytes(reg_id),
            follows: Follows::of_bits(phone),
            is_kept_open: phone & KEPT_OPEN != 0,
            flags,
            shard,
            local,
            peer,
            expires: now + Duration::from_secs(left),
            names: value,
        };
        let is_whole = row.edges().map(|name| 1 + name.len()).sum::<usize>() == value.len();
        (left > 0 && is_whole && !value.is_empty() && !user.is_empty()).then_some(row)
    }

    /// The names of the edges of its token.
    pub(super) fn edges(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut rest = self.names;
        std::iter::from_fn(move || {
            let (len, behind) = rest.split_first()?;
            let (name, behind) = behind.split_at_checked(usize::from(*len))?;
            rest = behind;
            Some(name)
        })
    }
}

fn write_addr(addr: SocketAddr, out: &mut Vec<u8>) {
    match addr.ip() {
        IpAddr::V4(ip) => {
            out.push(V4);
            out.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(V6);
            out.extend(ip.octets());
        }
    }
    out.extend(addr.port().to_be_bytes());
}

fn read_addr(rest: &mut &[u8]) -> Option<SocketAddr> {
    let (family, behind) = rest.split_first()?;
    let (ip, behind) = match *family {
        V4 => {
            let (octets, behind) = behind.split_first_chunk::<4>()?;
            (IpAddr::from(*octets), behind)
        }
        V6 => {
            let (octets, behind) = behind.split_first_chunk::<16>()?;
            (IpAddr::from(*octets), behind)
        }
        _ => return None,
    };
    let (port, behind) = behind.split_first_chunk()?;
    *rest = behind;
    Some(SocketAddr::new(ip, u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::EdgeSet;
    use crate::id::{Flow, SocketId};

    const WALL: Wall = Wall {
        unix_at_zero: 1_700_000_000,
    };

    const fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    const fn clock(seconds: u64) -> Clocks {
        Clocks {
            now: at(seconds),
            wall: WALL,
        }
    }

    fn written(local: &str, peer: &str) -> (Vec<u8>, Vec<u8>) {
        let subscriber = Subscriber {
            user: b"joe",
            realm: b"example.com",
            instance: b"i1",
        };
        let (local, peer) = (local.parse().unwrap(), peer.parse().unwrap());
        let registration = FlowBinding {
            subscriber,
            aor: b"joe@example.com",
            reg_id: 2,
            flow: Flow::Udp {
                socket: SocketId(0),
                peer,
            },
            edges: EdgeSet::of(0),
            flags: 6,
            follows: Follows::Name,
            is_restored: false,
            is_tls: false,
            is_kept_open: true,
            expires: Instant::from_micros(100_000_001),
        };
        let (mut key, mut value) = (Vec::new(), Vec::new());
        write_key(&subscriber, 2, &mut key);
        write_value(&registration, 3, local, peer, clock(40), &mut value);
        write_name(b"e1", &mut value);
        write_name(b"edge-3", &mut value);
        (key, value)
    }

    #[test]
    fn what_is_written_is_read() {
        for (local, peer) in [
            ("192.0.2.11:5060", "198.51.100.7:40001"),
            ("[2001:db8::11]:5060", "[2001:db8::7]:5062"),
        ] {
            let (key, value) = written(local, peer);
            let row = StoredFlowBinding::read(clock(50), &key, &value).unwrap();
            assert_eq!(
                (row.subscriber.user, row.subscriber.realm),
                (&b"joe"[..], &b"example.com"[..])
            );
            assert_eq!((row.subscriber.instance, row.reg_id), (&b"i1"[..], 2));
            assert_eq!((row.follows, row.flags, row.shard), (Follows::Name, 6, 3));
            assert!(row.is_kept_open);
            assert_eq!(
                (row.local, row.peer),
                (local.parse().unwrap(), peer.parse().unwrap())
            );
            assert_eq!(row.expires, at(101));
            assert_eq!(row.edges().collect::<Vec<_>>(), [&b"e1"[..], b"edge-3"]);
        }
    }

    #[test]
    fn nothing_lives_longer_than_it_was_granted() {
        let (key, value) = written("192.0.2.11:5060", "198.51.100.7:40001");
        let read = |now: Instant, unix_at_zero| {
            let wall = Wall { unix_at_zero };
            StoredFlowBinding::read(Clocks { now, wall }, &key, &value).map(|row| row.expires)
        };
        assert_eq!(read(at(0), 1_700_000_100), Some(at(1)));
        assert_eq!(read(at(0), 1_700_000_101), None);
        assert_eq!(read(at(7), 1_700_000_101), None);
        // The calendar went back by a year.
        assert_eq!(read(at(7), 1_668_000_000), Some(at(68)));
    }

    #[test]
    fn bytes_that_nobody_wrote_are_no_row() {
        let (key, value) = written("192.0.2.11:5060", "198.51.100.7:40001");
        // Behind the name of an edge another one need not follow.
        let named = value.len() - b"-edge-3".len();
        for len in (0..value.len()).filter(|len| *len != named) {
            assert_eq!(
                StoredFlowBinding::read(clock(50), &key, &value[..len]),
                None,
                "{len}"
            );
        }
        // A key that is cut within the instance is another phone's.
        for len in 0..b"....++joeexample.com".len() {
            assert_eq!(
                StoredFlowBinding::read(clock(50), &key[..len], &value),
                None,
                "{len}"
            );
        }
        let changed = |index: usize, to: u8| {
            let mut value = value.clone();
            value[index] = to;
            is_live(at(50), WALL, &key, &value)
        };
        assert!(changed(0, 1) && !changed(0, 2) && !changed(20, 5));
        // It would end before it began.
        assert!(!changed(4, 1));
    }
}
