//! The bindings of one address of record as bytes, for the store.
//!
//! A version, a count, then each binding from the least to the most recently
//! updated: expiry in seconds since 1970 (8), CSeq (4), reg-id (4), q (2),
//! the places of its texts (12), length of the texts (2), the texts. All
//! numbers big-endian. The flow is not stored: it does not outlive the process.

use crate::id::Flow;
use crate::limits;
use crate::time::{Duration, Instant, Wall};

use super::binding::Places;
use super::{Aor, Binding, Location};

const VERSION: u8 = 1;
/// Bytes of a binding beside its texts.
const FIXED: usize = 32;

/// What was read back from the store could not be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRestored {
    /// The bytes are not what `encode` writes.
    #[error("the stored bindings are damaged")]
    Corrupt,
    /// `limits::AORS_MAX` addresses of record are there already.
    #[error("too many addresses of record")]
    Full,
}

impl Location {
    /// How many bytes `encode` appends.
    #[must_use]
    pub(crate) fn encoded_len(&self, now: Instant, aor: &[u8]) -> usize {
        let bindings = self.bindings(now, aor);
        bindings
            .map(|binding| FIXED + binding.text.len())
            .sum::<usize>()
            + 2
    }

    /// Appends the live bindings of an address of record to `out`. False, with
    /// nothing appended, when there are none: the store then forgets it.
    pub fn encode(&self, now: Instant, aor: &[u8], wall: Wall, out: &mut Vec<u8>) -> bool {
        let count = self.bindings(now, aor).count();
        let Some(count) = u8::try_from(count).ok().filter(|count| *count > 0) else {
            return false;
        };
        out.extend([VERSION, count]);
        for binding in self.bindings(now, aor) {
            write(binding, wall, out);
        }
        true
    }

    /// Takes back what `encode` wrote, in place of the bindings the address of
    /// record has. Expired ones are left out, and none gets more than
    /// `limits::EXPIRES_MAX_S`, whatever the calendar did in between.
    ///
    /// # Errors
    /// Bytes that `encode` does not write, or no room; nothing changes then.
    pub fn restore(
        &mut self,
        now: Instant,
        wall: Wall,
        aor: &[u8],
        bytes: &[u8],
    ) -> Result<(), NotRestored> {
        let bindings = decode(now, wall, bytes).ok_or(NotRestored::Corrupt)?;
        self.replace(now, aor, bindings)
    }

    /// Takes over the record of another shard, with the flows of its bindings in
    /// their order; without a value there is none any more.
    ///
    /// # Errors
    /// As for `restore`.
    pub(crate) fn copy_in(
        &mut self,
        now: Instant,
        wall: Wall,
        aor: &[u8],
        value: Option<&[u8]>,
        flows: impl Iterator<Item = Option<Flow>>,
    ) -> Result<(), NotRestored> {
        let mut bindings = match value {
            Some(value) => decode(now, wall, value).ok_or(NotRestored::Corrupt)?,
            None => Vec::new(),
        };
        for (binding, flow) in bindings.iter_mut().zip(flows) {
            binding.flow = flow;
        }
        self.replace(now, aor, bindings)
    }

    /// Puts live bindings in place of what the address of record has.
    fn replace(
        &mut self,
        now: Instant,
        aor: &[u8],
        mut bindings: Vec<Binding>,
    ) -> Result<(), NotRestored> {
        bindings.retain(|binding| binding.is_live(now));
        bindings.shrink_to_fit();
        match self.find(aor) {
            Some(index) => {
                self.aors[index].bindings = bindings;
                self.remove_if_empty(index);
            }
            None if bindings.is_empty() => {}
            None if self.is_full() => return Err(NotRestored::Full),
            None => self.insert(Aor {
                name: aor.into(),
                bindings,
            }),
        }
        Ok(())
    }
}

fn write(binding: &Binding, wall: Wall, out: &mut Vec<u8>) {
    // Rounded up, so that a store and a load do not take a second off.
    let expires_unix = wall.unix(binding.expires + Duration::from_micros(999_999));
    out.extend(expires_unix.to_be_bytes());
    out.extend(binding.cseq.to_be_bytes());
    out.extend(binding.reg_id.to_be_bytes());
    out.extend(binding.q.to_be_bytes());
    let places = &binding.places;
    let (start, end) = places.instance;
    let text_len = u16::try_from(binding.text.len()).unwrap_or(u16::MAX);
    for index in [
        places.contact_end,
        places.params_end,
        places.path_end,
        places.call_id_end,
        start,
        end,
        text_len,
    ] {
        out.extend(index.to_be_bytes());
    }
    out.extend(&binding.text);
}

fn decode(now: Instant, wall: Wall, bytes: &[u8]) -> Option<Vec<Binding>> {
    let (&[version, count], mut rest) = bytes.split_first_chunk()?;
    if version != VERSION || usize::from(count) > limits::CONTACTS_MAX {
        return None;
    }
    let mut bindings = Vec::with_capacity(usize::from(count));
    for _ in 0..count {
        bindings.push(read(now, wall, &mut rest)?);
    }
    rest.is_empty().then_some(bindings)
}

fn read(now: Instant, wall: Wall, rest: &mut &[u8]) -> Option<Binding> {
    let expires = wall.instant(u64::from_be_bytes(take(rest)?));
    let longest = now + Duration::from_secs(limits::EXPIRES_MAX_S.into());
    let cseq = u32::from_be_bytes(take(rest)?);
    let reg_id = u32::from_be_bytes(take(rest)?);
    let q = u16::from_be_bytes(take(rest)?);
    let mut places = [0_u16; 7];
    for index in &mut places {
        *index = u16::from_be_bytes(take(rest)?);
    }
    let [
        contact_end,
        params_end,
        path_end,
        call_id_end,
        start,
        end,
        text_len,
    ] = places;
    let is_in_order = [0, contact_end, params_end, path_end, call_id_end, text_len].is_sorted()
        && [start, end, text_len].is_sorted();
    let is_keyed = contact_end > 0 && (reg_id == 0 || start < end);
    if !is_in_order || !is_keyed || q > 1000 {
        return None;
    }
    let (text, behind) = rest.split_at_checked(text_len.into())?;
    *rest = behind;
    let places = Places {
        contact_end,
        params_end,
        path_end,
        call_id_end,
        instance: (start, end),
    };
    Some(Binding {
        text: text.into(),
        places,
        q,
        cseq,
        reg_id,
        expires: expires.min(longest),
        flow: None,
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::location::{Change, Register};
    use crate::id::{Flow, SocketId};

    const WALL: Wall = Wall {
        unix_at_zero: 1_700_000_000,
    };
    const AOR: &[u8] = b"joe@example.com";

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    fn empty() -> Location {
        Location::new([1, 2, 3, 4])
    }

    fn filled() -> Location {
        let mut location = empty();
        let flow = Flow::Udp {
            socket: SocketId(0),
            peer: "192.0.2.1:5060".parse().unwrap(),
        };
        let register = Register {
            call_id: b"c",
            cseq: 1,
            path: b"<sip:e1;lr>",
            flow: Some(flow),
        };
        let changes = [
            Change {
                contact: b"sip:joe@b",
                q: 1000,
                expires_s: 100,
                ..Change::default()
            },
            Change {
                contact: b"sip:joe@a",
                params: b";x",
                q: 500,
                expires_s: 200,
                instance: Some(b"urn:x:1"),
                reg_id: Some(3),
            },
        ];
        location.apply(at(0), AOR, &register, &changes).unwrap();
        location
    }

    fn encoded() -> Vec<u8> {
        let mut out = Vec::new();
        assert!(filled().encode(at(0), AOR, WALL, &mut out));
        out
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let want = [
            &[1, 2][..],
            &[0, 0, 0, 0, 0x65, 0x53, 0xf1, 0x64],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0x03, 0xe8],
            &[0, 9, 0, 9, 0, 20, 0, 21, 0, 9, 0, 9, 0, 21],
            b"sip:joe@b<sip:e1;lr>c",
            &[0, 0, 0, 0, 0x65, 0x53, 0xf1, 0xc8],
            &[0, 0, 0, 1, 0, 0, 0, 3, 0x01, 0xf4],
            &[0, 9, 0, 11, 0, 22, 0, 23, 0, 23, 0, 30, 0, 30],
            b"sip:joe@a;x<sip:e1;lr>curn:x:1",
        ]
        .concat();
        assert_eq!(encoded(), want);
    }

    #[test]
    fn bindings_come_back_without_their_flow() {
        let from = filled();
        let mut to = empty();
        to.restore(at(0), WALL, AOR, &encoded()).unwrap();
        let want: Vec<_> = from
            .bindings(at(0), AOR)
            .map(|b| Binding {
                flow: None,
                ..b.clone()
            })
            .collect();
        let got: Vec<_> = to.bindings(at(0), AOR).cloned().collect();
        assert_eq!(got, want);
        assert_eq!(got.len(), 2);
    }

    // A process restarted 150 s later has its own zero of the clock.
    #[test]
    fn expiry_is_a_date() {
        let mut to = empty();
        let wall = Wall {
            unix_at_zero: WALL.unix_at_zero + 150,
        };
        to.restore(at(0), wall, AOR, &encoded()).unwrap();
        let left: Vec<_> = to
            .bindings(at(0), AOR)
            .map(|b| (b.contact(), b.left_s(at(0))))
            .collect();
        assert_eq!(left, [(&b"sip:joe@a"[..], 50)]);
        let wall = Wall {
            unix_at_zero: WALL.unix_at_zero + 300,
        };
        to.restore(at(0), wall, AOR, &encoded()).unwrap();
        assert_eq!(to.len(), 0);
    }

    #[test]
    fn a_part_of_a_second_is_not_lost() {
        let (mut from, mut to, mut out) = (empty(), empty(), Vec::new());
        let now = Instant::from_micros(1);
        let register = Register {
            call_id: b"c",
            cseq: 1,
            path: b"",
            flow: None,
        };
        let change = Change {
            contact: b"sip:a",
            expires_s: 60,
            ..Change::default()
        };
        from.apply(now, AOR, &register, &[change]).unwrap();
        assert!(from.encode(now, AOR, WALL, &mut out));
        to.restore(now, WALL, AOR, &out).unwrap();
        assert_eq!(
            to.bindings(now, AOR).map(|b| b.expires).collect::<Vec<_>>(),
            [at(61)]
        );
    }

    #[test]
    fn a_calendar_set_back_keeps_nothing_for_ever() {
        let mut to = empty();
        to.restore(at(5), Wall { unix_at_zero: 0 }, AOR, &encoded())
            .unwrap();
        let left: Vec<_> = to.bindings(at(5), AOR).map(|b| b.left_s(at(5))).collect();
        assert_eq!(left, [limits::EXPIRES_MAX_S; 2]);
    }

    #[test]
    fn what_is_expired_is_not_stored() {
        let location = filled();
        let mut out = Vec::new();
        assert!(location.encode(at(150), AOR, WALL, &mut out));
        assert_eq!(location.encoded_len(at(150), AOR), out.len());
        assert_eq!(out[..2], [VERSION, 1]);
        out.clear();
        assert!(!location.encode(at(200), AOR, WALL, &mut out));
        assert!(!location.encode(at(0), b"ann@example.com", WALL, &mut out));
        assert!(out.is_empty());
    }

    #[test]
    fn damage_is_told_and_changes_nothing() {
        let good = encoded();
        let mut location = empty();
        let mut check = |bytes: &[u8]| {
            assert_eq!(
                location.restore(at(0), WALL, AOR, bytes),
                Err(NotRestored::Corrupt)
            );
            assert_eq!(location.len(), 0);
        };
        for len in 0..good.len() {
            check(&good[..len]);
        }
        check(&[&good[..], b"x"].concat());
        // Version, count, q, contact_end, path_end, instance start and end.
        for (index, byte) in [
            (0, 2),
            (1, 11),
            (18, 0x04),
            (21, 0),
            (25, 22),
            (29, 10),
            (31, 22),
        ] {
            let mut bytes = good.clone();
            bytes[index] = byte;
            check(&bytes);
        }
        let mut keyless = good.clone();
        keyless[17] = 1;
        check(&keyless);
        assert_eq!(location.restore(at(0), WALL, AOR, &[VERSION, 0]), Ok(()));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = encoded();
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        let mut location = empty();
        let (mut taken, mut refused) = (0, 0);
        for round in 0..10_000 {
            let bytes = if round % 2 == 0 {
                let mut bytes = good.clone();
                let [at, byte, ..] = random();
                let index = usize::from(at) % bytes.len();
                bytes[index] = byte;
                bytes
            } else {
                (0..random()[0] % 16).flat_map(|_| random()).collect()
            };
            match location.restore(at(0), WALL, AOR, &bytes) {
                Ok(()) => taken += 1,
                Err(NotRestored::Corrupt | NotRestored::Full) => refused += 1,
            }
            for binding in location.bindings(at(0), AOR) {
                assert!(!binding.contact().is_empty());
                assert!(
                    binding.path().len() + binding.params().len() + binding.call_id().len() < 64
                );
                assert!(binding.reg_id().is_none() || binding.instance().is_some());
            }
        }
        assert!(taken > 1_000 && refused > 5_000, "{taken} {refused}");
    }
}
