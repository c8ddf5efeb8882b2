//! One binding: a contact of an address of record, until it expires.
//!
//! There is one per registered phone and flow, so its texts share one piece of
//! memory, and the instance is found inside the parameters that carry it
//! instead of standing there twice.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::id::Flow;
use crate::time::Instant;
use crate::uri;

use super::change::{Change, Register};

/// A contact under which an address of record can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    /// Contact, parameters, Path, Call-ID, and the instance where the parameters have it not.
    pub(super) text: Box<[u8]>,
    pub(super) offsets: Offsets,
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// CSeq of the REGISTER that made it what it is.
    pub cseq: u32,
    /// Zero: the contact URI is the key of the binding.
    pub(super) reg_id: u32,
    /// When it ends.
    pub expires: Instant,
    /// The flow the REGISTER came on; `None` once the process that saw it is gone.
    pub flow: Option<Flow>,
}

/// Where the parts of the text are: contact, parameters, Path and Call-ID in a row, each
/// up to its end; the instance anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offsets {
    pub(super) contact_end: u16,
    pub(super) params_end: u16,
    pub(super) path_end: u16,
    pub(super) call_id_end: u16,
    /// An empty range: no instance.
    pub(super) instance: (u16, u16),
}

impl Binding {
    /// The contact URI, without angle brackets.
    #[must_use]
    pub(crate) fn contact(&self) -> &[u8] {
        self.part(0, self.offsets.contact_end)
    }

    /// The parameters of the Contact header, to be echoed.
    #[must_use]
    pub(crate) fn params(&self) -> &[u8] {
        self.part(self.offsets.contact_end, self.offsets.params_end)
    }

    /// The Path, as it goes into a Route header; empty: none.
    #[must_use]
    pub(crate) fn path(&self) -> &[u8] {
        self.part(self.offsets.params_end, self.offsets.path_end)
    }

    /// Call-ID of the REGISTER that made it what it is.
    #[must_use]
    pub(crate) fn call_id(&self) -> &[u8] {
        self.part(self.offsets.path_end, self.offsets.call_id_end)
    }

    /// The instance of the phone, a URN without brackets.
    #[must_use]
    pub(crate) fn instance(&self) -> Option<&[u8]> {
        let (start, end) = self.offsets.instance;
        Some(self.part(start, end)).filter(|instance| !instance.is_empty())
    }

    /// The flow among those of the instance; there is none without an instance.
    #[must_use]
    pub(crate) const fn reg_id(&self) -> Option<u32> {
        match self.reg_id {
            0 => None,
            reg_id => Some(reg_id),
        }
    }

    /// Whole seconds it has left, rounded up: what was just granted shows as
    /// granted. Zero once it has expired.
    #[must_use]
    pub(crate) fn left_s(&self, now: Instant) -> u32 {
        let left = self.expires.since(now);
        let up = u64::from(left.subsec_micros() > 0);
        u32::try_from(left.as_secs().saturating_add(up)).unwrap_or(u32::MAX)
    }

    pub(in crate::home) fn is_live(&self, now: Instant) -> bool {
        self.expires > now
    }

    /// Whether both are what one REGISTER has made of a binding.
    pub(super) fn is_update(&self, other: &Self) -> bool {
        (self.cseq, self.q, self.reg_id) == (other.cseq, other.q, other.reg_id)
            && self.offsets == other.offsets
            && self.text == other.text
    }

    fn part(&self, start: u16, end: u16) -> &[u8] {
        self.text
            .get(usize::from(start)..usize::from(end))
            .unwrap_or_default()
    }

    /// The binding that a change of a REGISTER comes to; `None` when its texts together
    /// pass what 16 bits count.
    pub(super) fn new(
        change: &Change<'_>,
        register: &Register<'_>,
        expires: Instant,
    ) -> Option<Self> {
        let instance = change.instance.unwrap_or_default();
        let (found, extra) = match memchr::memmem::find(change.params, instance) {
            Some(at) => (Some(change.contact.len() + at), &[][..]),
            None => (None, instance),
        };
        let parts = [
            change.contact,
            change.params,
            register.path,
            register.call_id,
            extra,
        ];
        let text = parts.concat().into_boxed_slice();
        let mut end = 0;
        let ends = parts.map(|part| {
            end += part.len();
            end
        });
        let start = found.unwrap_or(ends[3]);
        let range = start..start + instance.len();
        u16::try_from(text.len()).ok()?;
        Some(Self {
            offsets: Offsets::new([ends[0], ends[1], ends[2], ends[3]], range)?,
            text,
            q: change.q,
            cseq: register.cseq,
            reg_id: change.flow_key().map_or(0, |(_, reg_id)| reg_id),
            expires,
            flow: register.flow,
        })
    }

    /// Whether a later binding is of the same phone and has taken this one's place: it has
    /// the same instance and is no further flow beside this one (RFC 5626 §4.2.1), or, where
    /// neither has an instance, the same contact.
    pub(in crate::home) fn is_followed_by(&self, later: &Self) -> bool {
        self.is_followed(later.contact(), later.instance(), later.reg_id())
    }

    /// Whether the binding that a change of a REGISTER comes to will be of the same phone and
    /// take this one's place.
    pub(in crate::home) fn is_replaced_by(&self, change: &Change<'_>) -> bool {
        let reg_id = change.flow_key().map(|(_, reg_id)| reg_id);
        let instance = change.instance.filter(|instance| !instance.is_empty());
        change.expires_s > 0 && self.is_followed(change.contact, instance, reg_id)
    }

    fn is_followed(&self, contact: &[u8], instance: Option<&[u8]>, reg_id: Option<u32>) -> bool {
        let is_beside = |own| reg_id.is_some_and(|reg_id| reg_id != own);
        match (self.instance(), instance) {
            (Some(own), Some(instance)) if same_instance(own, instance) => {
                !self.reg_id().is_some_and(is_beside)
            }
            (None, None) => uri::equal(contact, self.contact()),
            _ => false,
        }
    }

    /// Whether a change of a REGISTER is of this binding: by instance and reg-id
    /// when it has both (RFC 5626 §6, the contact does not count), else
    /// by contact URI where that is the key of the binding.
    pub(super) fn is_meant_by(&self, change: &Change<'_>) -> bool {
        match (change.flow_key(), self.reg_id(), self.instance()) {
            (Some((wanted, reg_id)), Some(own), Some(instance)) => {
                reg_id == own && same_instance(wanted, instance)
            }
            (None, None, _) => uri::equal(change.contact, self.contact()),
            (Some(_), _, _) | (None, Some(_), _) => false,
        }
    }
}

impl Offsets {
    pub(super) fn new(ends: [usize; 4], instance: Range<usize>) -> Option<Self> {
        let [contact_end, params_end, path_end, call_id_end] = ends.map(u16::try_from);
        Some(Self {
            contact_end: contact_end.ok()?,
            params_end: params_end.ok()?,
            path_end: path_end.ok()?,
            call_id_end: call_id_end.ok()?,
            instance: (
                u16::try_from(instance.start).ok()?,
                u16::try_from(instance.end).ok()?,
            ),
        })
    }
}

/// Whether two URNs name one instance (RFC 8141 §3.1): the scheme and the
/// namespace in any case, and all of a UUID (RFC 9562 §4), the rest as it is.
#[must_use]
pub(crate) fn same_instance(a: &[u8], b: &[u8]) -> bool {
    let folded = folded_len(a);
    a.len() == b.len()
        && a[..folded].eq_ignore_ascii_case(&b[..folded])
        && a[folded..] == b[folded..]
}

/// How many bytes at the front of a URN may stand in any case.
pub(super) fn folded_len(urn: &[u8]) -> usize {
    const UUID: &[u8] = b"urn:uuid:";
    match urn.get(..UUID.len()) {
        Some(start) if start.eq_ignore_ascii_case(UUID) => urn.len(),
        _ => memchr::memchr_iter(b':', urn).nth(1).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const URN: &[u8] = b"urn:uuid:00000000-0000-1000-8000-aabbccddeeff";

    fn register() -> Register<'static> {
        Register {
            call_id: b"c1",
            cseq: 7,
            path: b"<sip:e1;lr>, <sip:e2;lr>",
            flow: None,
        }
    }

    #[track_caller]
    fn check(change: &Change<'_>) -> Binding {
        let binding = Binding::new(change, &register(), Instant::from_micros(9)).unwrap();
        assert_eq!(binding.contact(), change.contact);
        assert_eq!(binding.params(), change.params);
        assert_eq!(binding.path(), b"<sip:e1;lr>, <sip:e2;lr>");
        assert_eq!(binding.call_id(), b"c1");
        assert_eq!(binding.instance(), change.instance);
        assert_eq!(
            (binding.q, binding.cseq, binding.expires),
            (change.q, 7, Instant::from_micros(9))
        );
        binding
    }

    // O-15
    #[test]
    fn a_binding_gives_back_its_texts() {
        let params = [b";+sip.instance=\"<", URN, b">\";reg-id=1"].concat();
        let base = Change {
            contact: b"sip:a@192.0.2.1",
            q: 500,
            expires_s: 60,
            ..Change::default()
        };
        let own = check(&Change {
            instance: Some(URN),
            reg_id: Some(1),
            params: &params,
            ..base
        });
        assert_eq!(own.text.len(), 15 + params.len() + 24 + 2);
        assert_eq!(own.reg_id(), Some(1));
        let apart = check(&Change {
            instance: Some(URN),
            reg_id: Some(2),
            ..base
        });
        assert_eq!(apart.text.len(), 15 + 24 + 2 + URN.len());
        assert_eq!(apart.reg_id(), Some(2));
        assert_eq!(check(&base).reg_id(), None);
        assert_eq!(
            check(&Change {
                params: b";x",
                ..base
            })
            .instance(),
            None
        );
    }

    // O-13
    #[test]
    fn a_reg_id_without_an_instance_is_none() {
        let change = Change {
            contact: b"sip:a@b",
            reg_id: Some(1),
            ..Change::default()
        };
        assert_eq!(check(&change).reg_id(), None);
    }

    #[test]
    fn texts_beyond_16_bits_are_refused() {
        let long = vec![b'x'; 65_520];
        let change = |contact| Change {
            contact,
            ..Change::default()
        };
        let made =
            |len: usize| Binding::new(&change(&long[..len]), &register(), Instant::ZERO).is_some();
        assert!(made(65_535 - 26));
        assert!(!made(65_536 - 26));
    }

    // The budget (perf/README.md) for a phone at its home.
    #[test]
    fn a_binding_is_small() {
        assert!(size_of::<Binding>() <= 88, "{}", size_of::<Binding>());
    }

    #[test]
    fn what_is_left_is_rounded_up() {
        #[track_caller]
        fn check(expires: u64, now: u64, want: u32) {
            let change = Change {
                contact: b"sip:a@b",
                ..Change::default()
            };
            let binding =
                Binding::new(&change, &register(), Instant::from_micros(expires)).unwrap();
            assert_eq!(binding.left_s(Instant::from_micros(now)), want);
        }
        check(60_000_000, 0, 60);
        check(60_000_000, 1, 60);
        check(60_000_000, 59_999_999, 1);
        check(60_000_000, 60_000_000, 0);
        check(60_000_000, 70_000_000, 0);
        check(u64::MAX, 0, u32::MAX);
    }

    // O-22
    #[test]
    fn instances_are_compared_as_urns() {
        #[track_caller]
        fn check(a: &str, b: &str, want: bool) {
            assert_eq!(
                same_instance(a.as_bytes(), b.as_bytes()),
                want,
                "{a} and {b}"
            );
            assert_eq!(
                same_instance(b.as_bytes(), a.as_bytes()),
                want,
                "{b} and {a}"
            );
        }
        check("urn:uuid:aabb", "URN:UUID:AABB", true);
        check("urn:uuid:aabb", "urn:uuid:aabc", false);
        check("urn:uuid:aabb", "urn:uuid:aab", false);
        check(
            "urn:gsma:imei:90420156-025763-0",
            "URN:gsma:imei:90420156-025763-0",
            true,
        );
        check("urn:example:a", "urn:example:A", false);
        check("urn:example:a", "urn:EXAMPLE:a", true);
        check("device-1", "Device-1", false);
        check("", "", true);
    }
}
