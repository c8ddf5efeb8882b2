//! Why a session is over.

use std::fmt;

use crate::Alert;

/// What ended a session from the peer's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A record was changed, forged, sent twice, left out or put in another place.
    BadRecordMac,
    /// A record is longer than allowed.
    RecordOverflow,
    /// A record or message has no place here.
    UnexpectedMessage,
    /// A message cannot be read.
    DecodeError,
    /// A field has a value that it cannot have.
    IllegalParameter,
    /// A record is of another version.
    ProtocolVersion,
    /// More than `EMPTY_RECORDS_MAX` records in a row had no content.
    TooManyEmptyRecords,
    /// More than `MESSAGES_MAX` KeyUpdates and tickets came without data.
    TooManyMessages,
    /// More than `WARNINGS_MAX` warnings came.
    TooManyWarnings,
    /// More than `RENEGOTIATIONS_MAX` requests came to negotiate anew.
    TooManyRenegotiations,
    /// The peer has ended the session with this alert.
    Alerted(Alert),
    /// The sequence numbers of this direction are used up.
    Exhausted,
    /// The session had failed before.
    Over,
}

impl Failure {
    /// What the peer is told.
    pub(crate) const fn alert(self) -> Option<Alert> {
        match self {
            Self::BadRecordMac => Some(Alert::BAD_RECORD_MAC),
            Self::RecordOverflow => Some(Alert::RECORD_OVERFLOW),
            Self::UnexpectedMessage
            | Self::TooManyEmptyRecords
            | Self::TooManyMessages
            | Self::TooManyWarnings
            | Self::TooManyRenegotiations => Some(Alert::UNEXPECTED_MESSAGE),
            Self::DecodeError => Some(Alert::DECODE_ERROR),
            Self::IllegalParameter => Some(Alert::ILLEGAL_PARAMETER),
            Self::ProtocolVersion => Some(Alert::PROTOCOL_VERSION),
            Self::Exhausted => Some(Alert::INTERNAL_ERROR),
            Self::Alerted(_) | Self::Over => None,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = match self {
            Self::BadRecordMac => "a record was changed on its way",
            Self::RecordOverflow => "a record is too long",
            Self::UnexpectedMessage => "a record or message has no place here",
            Self::DecodeError => "a message cannot be read",
            Self::IllegalParameter => "a field has a value that it cannot have",
            Self::ProtocolVersion => "a record is of another version of TLS",
            Self::TooManyEmptyRecords => "too many records without content",
            Self::TooManyMessages => "too many key updates or tickets without data",
            Self::TooManyWarnings => "too many warnings",
            Self::TooManyRenegotiations => "too many requests to negotiate anew",
            Self::Alerted(Alert(code)) => return write!(out, "it ended the session: alert {code}"),
            Self::Exhausted => "the sequence numbers are used up",
            Self::Over => "the session had failed before",
        };
        out.write_str(words)
    }
}

impl std::error::Error for Failure {}

/// Why nothing was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsealed {
    /// This side has said that nothing more comes, or the session has failed.
    Closed,
    /// The key has sealed all that it may, and TLS 1.2 knows no other one: the peer has been told
    /// that nothing more comes, unless no number is left for that either.
    Exhausted,
}

impl fmt::Display for Unsealed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Closed => "nothing may be sent any more",
            Self::Exhausted => "the key has sealed all that it may",
        })
    }
}

impl std::error::Error for Unsealed {}
