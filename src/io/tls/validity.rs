//! From when to when certificates are valid (RFC 5280 §4.1.2.5). Pure: the bytes of a chain
//! and a time in, seconds out.

use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::Unreadable;
use crate::limits;
use crate::time::date;

/// When a chain is valid: while all of its certificates are. In seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from: u64,
    /// The last second.
    pub until: u64,
}

/// How it stands with a chain at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is valid, and for longer than `limits::CERTIFICATE_NOTICE`.
    Valid,
    /// It is valid, and ends soon.
    Ending,
    /// It is not valid any more.
    Expired,
    /// It is not valid yet.
    NotYet,
}

impl Validity {
    /// That of a chain, as DER.
    ///
    /// # Errors
    /// When one of them is no certificate.
    pub fn of<'a>(chain: impl Iterator<Item = &'a [u8]>) -> Result<Self, Unreadable> {
        let (mut from, mut until) = (0, u64::MAX);
        for der in chain {
            let (_, certificate) = X509Certificate::from_der(der).map_err(|_not_one| Unreadable)?;
            let validity = certificate.validity();
            // What began before 1970 has begun, and what ended then has ended.
            let second = |time: x509_parser::time::ASN1Time| {
                u64::try_from(time.timestamp()).unwrap_or_default()
            };
            from = from.max(second(validity.not_before));
            until = until.min(second(validity.not_after));
        }
        Ok(Self { from, until })
    }

    /// How it stands at a time in seconds since 1970.
    #[must_use]
    pub const fn standing(&self, now: u64) -> Standing {
        if now > self.until {
            Standing::Expired
        } else if now < self.from {
            Standing::NotYet
        } else if self.until - now < limits::CERTIFICATE_NOTICE.as_secs() {
            Standing::Ending
        } else {
            Standing::Valid
        }
    }

    /// Whether it is valid at a time in seconds since 1970.
    #[must_use]
    pub const fn is_valid(&self, now: u64) -> bool {
        matches!(self.standing(now), Standing::Valid | Standing::Ending)
    }

    /// What an operator is to know of it, as what follows the name of its file; `None` where all
    /// is well.
    #[must_use]
    pub fn warning(&self, now: u64) -> Option<String> {
        let (from, until) = (date(self.from), date(self.until));
        match self.standing(now) {
            Standing::Valid => None,
            Standing::Ending => {
                let days = (self.until - now) / 86_400;
                Some(format!(
                    "the certificate ends on {until}, in {days} days: renew it"
                ))
            }
            Standing::Expired => Some(format!(
                "the certificate has expired on {until}: nobody who looks believes it; renew it"
            )),
            Standing::NotYet => Some(format!(
                "the certificate is not valid before {from}: nobody who looks believes it; \
                 wait, or set the clock"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;

    #[test]
    fn a_chain_is_told_of_thirty_days_before_it_ends() {
        let validity = Validity {
            from: 1_000 * DAY,
            until: 1_100 * DAY,
        };
        let check = |now, standing, warning: Option<&str>| {
            assert_eq!(validity.standing(now), standing, "{now}");
            assert_eq!(validity.warning(now).as_deref(), warning, "{now}");
        };
        let early = "the certificate is not valid before 1972-09-27 00:00:00 UTC: nobody who looks \
                     believes it; wait, or set the clock";
        check(1_000 * DAY - 1, Standing::NotYet, Some(early));
        check(1_000 * DAY, Standing::Valid, None);
        check(1_070 * DAY, Standing::Valid, None);
        let soon = "the certificate ends on 1973-01-05 00:00:00 UTC, in 29 days: renew it";
        check(1_070 * DAY + 1, Standing::Ending, Some(soon));
        let last = "the certificate ends on 1973-01-05 00:00:00 UTC, in 0 days: renew it";
        check(1_100 * DAY, Standing::Ending, Some(last));
        let late = "the certificate has expired on 1973-01-05 00:00:00 UTC: nobody who looks \
                    believes it; renew it";
        check(1_100 * DAY + 1, Standing::Expired, Some(late));
    }

    #[test]
    fn a_chain_is_valid_while_all_of_it_is() {
        let made = |from: i32, until: i32| {
            let key = rcgen::KeyPair::generate().unwrap();
            let mut params = rcgen::CertificateParams::new(["e1.example.com".to_owned()]).unwrap();
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(until, 1, 1);
            params.self_signed(&key).unwrap().der().to_vec()
        };
        let chain = [made(2020, 2040), made(2022, 2030), made(2021, 2035)];
        let validity = Validity::of(chain.iter().map(Vec::as_slice)).unwrap();
        let dates = (date(validity.from), date(validity.until));
        let want = ("2022-01-01 00:00:00 UTC", "2030-01-01 00:00:00 UTC");
        assert_eq!((&*dates.0, &*dates.1), want);
        assert_eq!(Validity::of([&b"x"[..]].into_iter()), Err(Unreadable));
    }
}
