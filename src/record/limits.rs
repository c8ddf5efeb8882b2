//! Every bound of a session, and what happens there.

/// Bytes of content in a record (RFC 8446 §5.1, RFC 5246 §6.2.1). Longer ones end the session
/// with `record_overflow`; what is sealed goes on in the next record.
pub const CONTENT_MAX: usize = 1 << 14;

/// What a record of TLS 1.3 may have besides its content (RFC 8446 §5.2): the tag, the type, and
/// padding. A header that says more ends the session with `record_overflow` before the record
/// has come.
pub const EXPANSION_MAX: usize = 256;

/// Records sealed under one key of AES-GCM: 2^24 full ones leave an attacker a chance of 2^-60
/// (RFC 8446 §5.5 allows 2^24.5). The last one is the KeyUpdate to the next key; TLS 1.2 knows
/// none, and closes.
pub const AES_GCM_RECORDS_MAX: u64 = 1 << 24;

/// Records that a key of TLS 1.2 has left when its connection is to be replaced
/// ([`Session::is_nearly_used_up`](crate::Session::is_nearly_used_up)): as many as what is under way
/// may still need. At 20,000 a second it lasts for 52 s, and transactions end within 32 s (RFC 3261
/// §17); what rings for longer has few.
pub const RECORDS_LEFT: u64 = 1 << 20;

/// Records sealed under one key of ChaCha20-Poly1305, whose own bound lies beyond the sequence
/// numbers (RFC 8446 §5.5): these must not run over. What happens is as for AES-GCM.
pub const CHACHA20_RECORDS_MAX: u64 = 1 << 62;

/// Records that may follow the last one of a key all the same: the close_notify, the refusal to
/// negotiate anew, the alert of a failure, and room. Who has sealed more has not kept the bounds above: the
/// state of such a session is not read.
pub const RECORDS_BEHIND_MAX: u64 = 8;

/// Records without content in a row. They cost as much to open as others and bring nothing: the
/// next one ends the session with `unexpected_message`. The number is that of rustls and BoringSSL.
pub const EMPTY_RECORDS_MAX: u8 = 32;

/// KeyUpdates and tickets without a byte of data between them: each costs a few hashes. One more
/// ends the session with `unexpected_message`. The number is that of rustls and BoringSSL.
pub const MESSAGES_MAX: u8 = 32;

/// Warnings that are overlooked in the life of a session: `user_canceled`, and before TLS 1.3 all
/// but `close_notify`. One more ends it with `unexpected_message`. The number is that of BoringSSL.
pub const WARNINGS_MAX: u8 = 4;

/// Requests to negotiate anew, in TLS 1.2, that are answered with `no_renegotiation`; one more ends
/// the session. The number is that of rustls.
pub const RENEGOTIATIONS_MAX: u8 = 1;

/// Bytes of a handshake message, which is read in passing and never kept. A longer one ends the
/// session with `decode_error`: no ticket is that long.
pub const MESSAGE_LEN_MAX: u32 = 0xffff;

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 5;

/// Bytes of a tag, of any cipher here.
pub(crate) const TAG_LEN: usize = 16;

const _: () = assert!(
    EXPANSION_MAX > TAG_LEN + 1,
    "a full record fits without padding"
);
const _: () = assert!(
    RECORDS_LEFT < AES_GCM_RECORDS_MAX / 8,
    "most of a key is used"
);
const _: () = assert!(
    CHACHA20_RECORDS_MAX < u64::MAX / 2,
    "an alert can still be sealed behind the last record"
);
