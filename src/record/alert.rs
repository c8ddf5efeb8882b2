//! Alerts (RFC 8446 §6, RFC 5246 §7.2).

/// What an alert says, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// Nothing more comes.
    pub const CLOSE_NOTIFY: Self = Self(0);
    /// A message that has no place here.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// A record that is not what was sealed, or not in its place.
    pub const BAD_RECORD_MAC: Self = Self(20);
    /// A record that is too long.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// A field with a value that it cannot have.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// A message that cannot be read.
    pub const DECODE_ERROR: Self = Self(50);
    /// A record of another version.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// A fault that is not the peer's.
    pub const INTERNAL_ERROR: Self = Self(80);
    /// The user has changed his mind; a warning, followed by `close_notify`.
    pub const USER_CANCELED: Self = Self(90);
    /// The handshake is not repeated; a warning, in TLS 1.2.
    pub const NO_RENEGOTIATION: Self = Self(100);

    pub(crate) const WARNING: u8 = 1;
    pub(crate) const FATAL: u8 = 2;

    /// The level that it is sent with.
    pub(crate) const fn level(self) -> u8 {
        match self {
            Self::CLOSE_NOTIFY | Self::USER_CANCELED | Self::NO_RENEGOTIATION => Self::WARNING,
            _ => Self::FATAL,
        }
    }
}
