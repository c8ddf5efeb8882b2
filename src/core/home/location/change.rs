//! What a REGISTER asks of the bindings, and why it may be refused.

use crate::id::Flow;

/// What a REGISTER says that holds for all its contacts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Register<'a> {
    /// Its Call-ID.
    pub call_id: &'a [u8],
    /// The number of its CSeq.
    pub cseq: u32,
    /// Its Path values as they go into a Route header, `, ` between; empty: none.
    pub path: &'a [u8],
    /// The flow it came on.
    pub flow: Option<Flow>,
}

/// What a REGISTER says of one contact.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Change<'a> {
    /// The URI, without angle brackets.
    pub contact: &'a [u8],
    /// The parameters of the header value that are echoed.
    pub params: &'a [u8],
    /// Preference in thousandths, 0 to 1000.
    pub q: u16,
    /// The lifetime granted, in seconds; zero removes the binding.
    pub expires_s: u32,
    /// The `+sip.instance`, a URN without brackets.
    pub instance: Option<&'a [u8]>,
    /// The `reg-id`, when outbound is used (`home::rules`). It says nothing
    /// without an instance.
    pub reg_id: Option<u32>,
}

/// Why a REGISTER has changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// A binding it touches was last updated under the same Call-ID with a
    /// higher CSeq (RFC 3261 §10.3 steps 6 and 7).
    OutOfOrder,
    /// A binding it touches was last updated under the same Call-ID and CSeq: a
    /// retransmission of what was carried out.
    Repeated,
    /// More than `limits::CONTACTS_MAX` contacts.
    TooMany,
    /// The texts of a binding take more than 65,535 bytes.
    TooLong,
    /// `limits::AORS_MAX` addresses of record are there already.
    Full,
}

impl Conflict {
    /// Status and reason phrase of the answer; never a 6xx (RFC 3261 §10.3).
    #[must_use]
    pub(crate) const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::OutOfOrder | Self::Repeated => (500, "CSeq Out Of Order"),
            Self::TooMany => (403, "Too Many Contacts"),
            Self::TooLong => (413, "Request Entity Too Large"),
            Self::Full => (503, "Service Unavailable"),
        }
    }
}

impl Change<'_> {
    /// The key of the binding, in place of its contact: instance and reg-id (RFC 5626 §6);
    /// `None` where it has not both.
    pub(super) fn flow_key(&self) -> Option<(&[u8], u32)> {
        let instance = self.instance.filter(|instance| !instance.is_empty())?;
        Some((instance, self.reg_id.filter(|reg_id| *reg_id > 0)?))
    }
}
