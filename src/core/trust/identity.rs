//! Headers that say who somebody is, or who pays, and that only an element of
//! the trust domain may write (RFC 3325, RFC 7315; I-1 to I-4).

use crate::edit::Edits;
use crate::scan::{Header, Message, Name};
use crate::span::Span;
use crate::uri::Uri;

/// The header of an asserted identity (RFC 3325 §9.1).
pub const ASSERTED: &str = "P-Asserted-Identity";

/// Appends the line that asserts an address of record, given in parts without
/// its scheme (RFC 3325 §9.1).
pub fn assert(aor: &[&[u8]], lines: &mut Vec<u8>) {
    lines.extend_from_slice(ASSERTED.as_bytes());
    lines.extend_from_slice(b": <sip:");
    for part in aor {
        lines.extend_from_slice(part);
    }
    lines.extend_from_slice(b">\r\n");
}

/// What is taken off where a message enters the trust domain.
const STRIPPED: [&str; 9] = [
    ASSERTED,
    "P-Preferred-Identity",
    "P-Charging-Vector",
    "P-Charging-Function-Addresses",
    "P-Access-Network-Info",
    "P-Visited-Network-ID",
    "Remote-Party-ID",
    "Feature-Caps",
    // What a peer says of it counts (RFC 4412 §11, `proxy::shedding`).
    "Resource-Priority",
];

/// The headers that count, those that the operator adds included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// More names.
    pub more: Vec<String>,
}

impl IdentityHeaders {
    /// Takes the identity headers off a message that comes from outside the trust domain.
    pub(crate) fn strip(&self, bytes: &[u8], message: &Message, edits: &mut Edits) {
        for header in self.in_message(bytes, message) {
            edits.remove(header.line.range());
        }
    }

    /// Whether a message has an identity header.
    #[must_use]
    pub(crate) fn are_in(&self, bytes: &[u8], message: &Message) -> bool {
        self.in_message(bytes, message).next().is_some()
    }

    fn in_message<'a>(
        &'a self,
        bytes: &'a [u8],
        message: &'a Message,
    ) -> impl Iterator<Item = &'a Header> {
        // The operator may have added any name.
        let which = if self.more.is_empty() {
            message.since(Name::Other)
        } else {
            message.headers()
        };
        which.iter().filter(|header| self.counts(bytes, header))
    }

    /// Whether that header is an identity header.
    #[must_use]
    pub fn counts(&self, bytes: &[u8], header: &Header) -> bool {
        if !matches!(header.name, Name::Unread | Name::Other) {
            return false;
        }
        // Two first letters leave out nearly every header there is.
        let may_be = matches!(
            header.line.of(bytes),
            [b'P' | b'p', b'-', ..] | [b'R' | b'r' | b'F' | b'f', b'e' | b'E', ..]
        );
        if !may_be && self.more.is_empty() {
            return false;
        }
        let name = header.spelled(bytes);
        let is_one = |one: &str| name.eq_ignore_ascii_case(one.as_bytes());
        may_be && STRIPPED.into_iter().any(is_one) || self.more.iter().any(|more| is_one(more))
    }
}

/// The value of the header with an asserted identity, when there is one.
#[must_use]
pub fn asserted(bytes: &[u8], message: &Message) -> Option<Span> {
    message
        .others(bytes, ASSERTED)
        .next()
        .map(|header| header.value)
}

/// The value of the header with the identity that its sender would rather have
/// (RFC 3325 §9.2).
#[must_use]
pub fn preferred(bytes: &[u8], message: &Message) -> Option<Span> {
    let mut lines = message.others(bytes, "P-Preferred-Identity");
    lines.next().map(|header| header.value)
}

/// The lines of a carrier that assert a user of ours, who is not its to vouch for,
/// or nobody that can be read; `is_served`: the URI is one of ours.
pub(crate) fn disowned<'a>(
    bytes: &'a [u8],
    message: &'a Message,
    is_served: impl Fn(&Uri) -> bool,
) -> impl Iterator<Item = Span> {
    let lines = message.others(bytes, ASSERTED).filter(move |header| {
        let uri = Uri::in_value(bytes, header.value).ok();
        uri.is_none_or(|uri| is_served(&uri))
    });
    lines.map(|header| header.line)
}

/// Takes the asserted identity off a message that leaves the trust domain and
/// asks for privacy (RFC 3325 §7, RFC 3323 §4.2; I-3).
pub(crate) fn keep_private(bytes: &[u8], message: &Message, edits: &mut Edits) {
    if asserted(bytes, message).is_none() || !wants_privacy(bytes, message) {
        return;
    }
    for header in message.others(bytes, ASSERTED) {
        edits.remove(header.line.range());
    }
}

/// Takes an asserted identity off that says what From says: a message over UDP is to fit
/// into one packet. RFC 3325 §5 leaves it to the trust domain what it says to whoever is
/// not of it. It stays where it says more (a name, another scheme, a parameter such as
/// `verstat`), where there are several, and where the caller asks for it
/// (`Privacy: none`).
pub(crate) fn take_repeated(bytes: &[u8], message: &Message, edits: &mut Edits) {
    let mut lines = message.others(bytes, ASSERTED);
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return;
    };
    let value = line.value.of(bytes);
    let asserted = value
        .strip_prefix(b"<")
        .and_then(|rest| rest.strip_suffix(b">"));
    let from = message.uri_of_from(bytes).map(|uri| uri.whole.of(bytes));
    if asserted.is_some() && asserted == from && !says_privacy(bytes, message, b"none") {
        edits.remove(line.line.range());
    }
}

/// Whether the message says `Privacy: id` (RFC 3325 §9.3).
#[must_use]
pub(crate) fn wants_privacy(bytes: &[u8], message: &Message) -> bool {
    says_privacy(bytes, message, b"id")
}

fn says_privacy(bytes: &[u8], message: &Message, what: &[u8]) -> bool {
    let wants = |header: &Header| {
        let tokens = header
            .value
            .of(bytes)
            .split(|byte| matches!(byte, b';' | b','));
        let mut tokens = tokens.map(<[u8]>::trim_ascii);
        tokens.any(|token| token.eq_ignore_ascii_case(what))
    };
    message.others(bytes, "Privacy").any(wants)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan::scan;

    #[track_caller]
    fn check(edit: impl Fn(&[u8], &Message, &mut Edits), lines: &str, want: &str) {
        let text = |lines: &str| {
            let text = format!(
                "MESSAGE sip:a@b SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bKx\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>\n\
                 Call-ID: i\nCSeq: 1 MESSAGE\n{lines}\n"
            );
            text.replace('\n', "\r\n").into_bytes()
        };
        let bytes = text(lines);
        let (mut message, mut edits, mut out) = (Message::default(), Edits::default(), Vec::new());
        scan(&bytes, &mut message).unwrap();
        edit(&bytes, &message, &mut edits);
        edits.apply(&bytes, &mut out);
        assert_eq!(
            out.escape_ascii().to_string(),
            text(want).escape_ascii().to_string()
        );
    }

    #[test]
    fn what_only_the_trust_domain_may_say_is_taken_off() {
        // I-1, I-2
        let identities = IdentityHeaders {
            more: vec!["X-Billing".to_owned(), "user-agent".to_owned()],
        };
        check(
            |bytes, message, edits| identities.strip(bytes, message, edits),
            "User-Agent: a\nAllow: BYE\nP-Asserted-Identity: <sip:x@y>\nSubject: a\np-asserted-identity : <tel:+1>\n\
             P-Preferred-Identity: <sip:x@y>\nREMOTE-PARTY-ID: <sip:x@y>\nP-Charging-Vector: icid-value=1\n\
             P-Charging-Function-Addresses: ccf=1\nP-Access-Network-Info: 3GPP\nP-Visited-Network-ID: a\n\
             Feature-Caps: *\nResource-Priority: esnet.0\nx-billing: 1\nP-Early-Media: supported\nReason: Q.850\nReferred-By: <sip:x@y>\n",
            "Allow: BYE\nSubject: a\nP-Early-Media: supported\nReason: Q.850\nReferred-By: <sip:x@y>\n",
        );
    }

    #[test]
    fn an_assertion_that_says_what_from_says_goes_to_no_phone() {
        let pai = "P-Asserted-Identity";
        check(
            take_repeated,
            &format!("Subject: x\n{pai}: <sip:a@b>\n"),
            "Subject: x\n",
        );
        for kept in [
            format!("{pai}: <sip:x@b>\n"),
            format!("{pai}: <sips:a@b>\n"),
            format!("{pai}: <sip:a@b;verstat=TN-Validation-Passed>\n"),
            format!("{pai}: \"A\" <sip:a@b>\n"),
            format!("{pai}: <sip:a@b>, <tel:+1>\n"),
            format!("{pai}: <sip:a@b>\n{pai}: <tel:+1>\n"),
            format!("{pai}: <sip:a@b>\nPrivacy: none\n"),
            "Subject: x\n".to_owned(),
        ] {
            check(take_repeated, &kept, &kept);
        }
    }

    #[test]
    fn privacy_takes_the_assertion_off_and_nothing_else() {
        // I-3
        let id = "P-Asserted-Identity: <sip:x@y>\n";
        for privacy in [
            "Privacy: id\n",
            "privacy: user; ID ;critical\n",
            "Privacy: none,id\n",
        ] {
            check(keep_private, &format!("{id}{privacy}{id}"), privacy);
        }
        for privacy in [
            "",
            "Privacy: none\n",
            "Privacy: header\n",
            "Privacy: idle\n",
        ] {
            let both = format!("{privacy}{id}");
            check(keep_private, &both, &both);
        }
    }
}
