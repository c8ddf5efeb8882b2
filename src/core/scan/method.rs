//! Request methods (RFC 3261 §7.1 and the RFCs that added more).

use serde::{Deserialize, Serialize};

/// A request method; `Other` is any token we have no rule for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each variant is the method of that name")]
pub enum Method {
    Ack,
    Bye,
    Cancel,
    Info,
    Invite,
    Message,
    Notify,
    Options,
    Prack,
    Publish,
    Refer,
    Register,
    Subscribe,
    Update,
    #[default]
    Other,
}

impl Method {
    /// Every one of them, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Ack,
        Self::Bye,
        Self::Cancel,
        Self::Info,
        Self::Invite,
        Self::Message,
        Self::Notify,
        Self::Options,
        Self::Prack,
        Self::Publish,
        Self::Refer,
        Self::Register,
        Self::Subscribe,
        Self::Update,
        Self::Other,
    ];
    /// How many there are.
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// Its token; "other" for what we have no rule for.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Info => "INFO",
            Self::Invite => "INVITE",
            Self::Message => "MESSAGE",
            Self::Notify => "NOTIFY",
            Self::Options => "OPTIONS",
            Self::Prack => "PRACK",
            Self::Publish => "PUBLISH",
            Self::Refer => "REFER",
            Self::Register => "REGISTER",
            Self::Subscribe => "SUBSCRIBE",
            Self::Update => "UPDATE",
            Self::Other => "other",
        }
    }

    /// Methods are case-sensitive (RFC 3261 §7.1).
    #[must_use]
    pub(crate) fn from_token(token: &[u8]) -> Self {
        match token {
            b"ACK" => Self::Ack,
            b"BYE" => Self::Bye,
            b"CANCEL" => Self::Cancel,
            b"INFO" => Self::Info,
            b"INVITE" => Self::Invite,
            b"MESSAGE" => Self::Message,
            b"NOTIFY" => Self::Notify,
            b"OPTIONS" => Self::Options,
            b"PRACK" => Self::Prack,
            b"PUBLISH" => Self::Publish,
            b"REFER" => Self::Refer,
            b"REGISTER" => Self::Register,
            b"SUBSCRIBE" => Self::Subscribe,
            b"UPDATE" => Self::Update,
            _ => Self::Other,
        }
    }

    /// Whether a 2xx to it creates a dialog or a usage that needs a route set:
    /// INVITE, SUBSCRIBE, REFER, NOTIFY (RFC 6665 §4.4.1), UPDATE excluded.
    #[must_use]
    pub(crate) const fn forms_dialog(self) -> bool {
        matches!(
            self,
            Self::Invite | Self::Notify | Self::Refer | Self::Subscribe
        )
    }

    /// Whether its Contact, and that of a 2xx to it, is where the other side sends its
    /// requests from then on (RFC 3261 §12.2, RFC 3311 §5.2).
    #[must_use]
    pub(crate) const fn refreshes_target(self) -> bool {
        self.forms_dialog() || matches!(self, Self::Update)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_method_stands_at_its_number_and_is_its_token() {
        for (number, method) in Method::ALL.into_iter().enumerate() {
            assert_eq!(method as usize, number);
            assert_eq!(Method::from_token(method.token().as_bytes()), method);
        }
    }

    #[test]
    fn methods_are_case_sensitive_and_never_unescaped() {
        assert_eq!(Method::from_token(b"REGISTER"), Method::Register);
        for other in [&b"register"[..], b"RE%47IST%45R", b"INVITE ", b""] {
            assert_eq!(
                Method::from_token(other),
                Method::Other,
                "{}",
                other.escape_ascii()
            );
        }
    }
}
