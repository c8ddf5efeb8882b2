//! The rules of a registrar that need no message: how long a
//! binding lives, what a preference is worth, and whether a REGISTER uses
//! RFC 5626 (RFC 3261 §10.3, §20.10; RFC 5626 §6).

use super::location::Change;
use crate::limits;

/// The lifetime that a phone requests is shorter than the registrar grants: 423 with
/// `Min-Expires: limits::EXPIRES_MIN_S` (RFC 3261 §10.3 step 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooBrief;

/// The lifetime granted to one contact, in seconds; zero removes it.
/// `requested_s` is its `expires` parameter, else the Expires header, else `None`.
///
/// # Errors
/// Shorter than `limits::EXPIRES_MIN_S`, though not zero.
pub(crate) const fn lifetime_s(requested_s: Option<u32>) -> Result<u32, TooBrief> {
    match requested_s {
        None => Ok(limits::EXPIRES_DEFAULT_S),
        Some(0) => Ok(0),
        Some(1..limits::EXPIRES_MIN_S) => Err(TooBrief),
        Some(limits::EXPIRES_MAX_S..) => Ok(limits::EXPIRES_MAX_S),
        Some(requested_s) => Ok(requested_s),
    }
}

/// A `q` parameter in thousandths: `0`, `1`, and decimals between (RFC 3261
/// §25.1, qvalue). More than three decimals, or none before the dot, are tolerated.
/// `None` for anything else.
#[must_use]
pub(super) fn preference(q: &[u8]) -> Option<u16> {
    let (whole, decimals) = match q {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] => (whole, decimals),
        [b'.', decimals @ ..] if !decimals.is_empty() => (&b'0', decimals),
        _ => return None,
    };
    if !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut value = match whole {
        b'0' => 0,
        b'1' => 1,
        _ => return None,
    };
    for index in 0..3 {
        let digit = *decimals.get(index).unwrap_or(&b'0');
        value = value * 10 + u16::from(digit - b'0');
    }
    (value <= 1000).then_some(value)
}

/// A `reg-id` parameter: 1 to 2^31 - 1 (RFC 5626 §4.2.1).
#[must_use]
pub(super) fn reg_id(digits: &[u8]) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let value = std::str::from_utf8(digits)
        .ok()
        .filter(|_| is_number)?
        .parse()
        .ok()?;
    (1..=0x7fff_ffff).contains(&value).then_some(value)
}

/// What a REGISTER says of RFC 5626 for one contact.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutboundOffer {
    /// The contact's `reg-id`, when it has a valid one.
    pub reg_id: Option<u32>,
    /// The contact has a `+sip.instance`.
    pub has_instance: bool,
    /// `Supported: outbound`.
    pub is_supported: bool,
    /// Whether the phone's first hop keeps flows.
    pub arrival: Arrival,
}

/// How a REGISTER reached the registrar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Straight from the phone: one Via, no Path.
    Direct,
    /// Through proxies of which the first keeps flows: it put `ob` into its Path URI.
    OutboundProxy,
    /// Through proxies of which the first keeps no flows.
    PlainProxy,
}

/// Whether a registrar uses RFC 5626 for a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outbound {
    /// The binding goes by instance and reg-id; `Require: outbound` in the 2xx.
    Used,
    /// The binding goes by contact URI, the reg-id is ignored.
    Ignored,
    /// 439 First Hop Lacks Outbound Support.
    FirstHopLacks,
}

impl OutboundOffer {
    /// Whether RFC 5626 governs this contact (RFC 5626 §6).
    #[must_use]
    pub(super) const fn decide(self) -> Outbound {
        if self.reg_id.is_none() || !self.has_instance || !self.is_supported {
            return Outbound::Ignored;
        }
        match self.arrival {
            Arrival::Direct | Arrival::OutboundProxy => Outbound::Used,
            Arrival::PlainProxy => Outbound::FirstHopLacks,
        }
    }
}

/// False when a contact with a reg-id does not stand alone among those that
/// are not being removed: the REGISTER then gets 400 (RFC 5626 §6).
#[must_use]
pub(crate) fn has_one_flow(changes: &[Change<'_>]) -> bool {
    let mut kept = changes.iter().filter(|change| change.expires_s > 0);
    kept.clone().count() <= 1 || kept.all(|change| change.reg_id.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3261 §10.3 step 7
    #[test]
    fn a_lifetime_is_kept_within_bounds() {
        assert_eq!(lifetime_s(None), Ok(3_600));
        assert_eq!(lifetime_s(Some(0)), Ok(0));
        assert_eq!(lifetime_s(Some(1)), Err(TooBrief));
        assert_eq!(lifetime_s(Some(59)), Err(TooBrief));
        assert_eq!(lifetime_s(Some(60)), Ok(60));
        assert_eq!(lifetime_s(Some(7_200)), Ok(7_200));
        assert_eq!(lifetime_s(Some(7_201)), Ok(7_200));
        assert_eq!(lifetime_s(Some(u32::MAX)), Ok(7_200));
    }

    #[test]
    fn a_preference_is_in_thousandths() {
        #[track_caller]
        fn check(q: &str, want: Option<u16>) {
            assert_eq!(preference(q.as_bytes()), want, "{q}");
        }
        check("1", Some(1000));
        check("1.", Some(1000));
        check("1.000", Some(1000));
        check("0", Some(0));
        check("0.7", Some(700));
        check("0.05", Some(50));
        check("0.123", Some(123));
        check("0.1234", Some(123));
        check(".5", Some(500));
        check("1.001", None);
        check("2", None);
        check(".", None);
        check("0.12x4", None);
        check("0,5", None);
        check("0.x", None);
        check("", None);
    }

    // O-24
    #[test]
    fn a_reg_id_is_a_positive_31_bit_number() {
        #[track_caller]
        fn check(digits: &str, want: Option<u32>) {
            assert_eq!(reg_id(digits.as_bytes()), want, "{digits}");
        }
        check("1", Some(1));
        check("2147483647", Some(2_147_483_647));
        check("2147483648", None);
        check("99999999999999999999", None);
        check("0", None);
        check("+1", None);
        check("", None);
        check("1 ", None);
    }

    // O-12, O-13, O-16
    #[test]
    fn outbound_takes_both_ends_and_the_first_hop() {
        let full = OutboundOffer {
            reg_id: Some(1),
            has_instance: true,
            is_supported: true,
            arrival: Arrival::OutboundProxy,
        };
        let check =
            |offer: OutboundOffer, want: Outbound| assert_eq!(offer.decide(), want, "{offer:?}");
        check(full, Outbound::Used);
        check(
            OutboundOffer {
                arrival: Arrival::Direct,
                ..full
            },
            Outbound::Used,
        );
        check(
            OutboundOffer {
                arrival: Arrival::PlainProxy,
                ..full
            },
            Outbound::FirstHopLacks,
        );
        check(
            OutboundOffer {
                arrival: Arrival::PlainProxy,
                is_supported: false,
                ..full
            },
            Outbound::Ignored,
        );
        check(
            OutboundOffer {
                arrival: Arrival::PlainProxy,
                has_instance: false,
                ..full
            },
            Outbound::Ignored,
        );
        check(
            OutboundOffer {
                reg_id: None,
                ..full
            },
            Outbound::Ignored,
        );
        check(
            OutboundOffer {
                has_instance: false,
                ..full
            },
            Outbound::Ignored,
        );
        check(
            OutboundOffer {
                is_supported: false,
                ..full
            },
            Outbound::Ignored,
        );
    }

    // O-14
    #[test]
    fn one_register_makes_one_flow() {
        let change = |reg_id, expires_s| Change {
            contact: b"sip:a@b",
            reg_id,
            expires_s,
            ..Change::default()
        };
        assert!(has_one_flow(&[]));
        assert!(has_one_flow(&[change(Some(1), 60), change(None, 0)]));
        assert!(has_one_flow(&[change(None, 60), change(None, 60)]));
        assert!(has_one_flow(&[change(Some(1), 60), change(Some(2), 0)]));
        assert!(!has_one_flow(&[change(Some(1), 60), change(Some(2), 60)]));
        assert!(!has_one_flow(&[change(None, 60), change(Some(1), 60)]));
    }
}
