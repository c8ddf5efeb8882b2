//! Why a token is not written, and why a received one is refused.

/// Why a token or flow token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// It is spelled right but its maker does not have the key.
    #[error("the token is forged")]
    Forged,
    /// It was sealed under a key that is not live here.
    #[error("the token's key is unknown")]
    UnknownKey,
    /// It is nothing that is ever written.
    #[error("the token is malformed")]
    Malformed,
    /// It is genuine but its flow went with an earlier run.
    #[error("the token's flow is gone")]
    Stale,
}

impl BadToken {
    /// Status and reason for a request with such a token (RFC 5626 §5.3.1).
    #[must_use]
    pub const fn answer(self) -> (u16, &'static str) {
        match self {
            Self::Forged | Self::UnknownKey | Self::Malformed => (403, "Forbidden"),
            Self::Stale => (430, "Flow Failed"),
        }
    }
}

/// There is no token of these fields: one is longer than `limits::TOKEN_FIELD_MAX`, there
/// is no edge or a nameless one or more than `limits::EDGE_SET_MAX`, or the text
/// would be longer than `limits::TOKEN_MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscriber does not fit into a token")]
pub struct Unfit;
