//! TLS records after the handshake (RFC 8446 §5, RFC 5246 §6.2, RFC 5288, RFC 7905), as functions
//! of bytes.
//!
//! rustls shakes hands ([`Handshake`]); then a [`Session`] of 240 bytes takes the connection over.
//! It opens records where they were received and seals them where they are sent from, allocates
//! nothing for a record, and holds no bytes of one. There is no socket, clock, thread or chance
//! in here, and nothing of a handshake is ours: rustls negotiates, and looks at certificates.
//!
//! - `session`: what may come (`receiving`) and go (`sealing`), and in which order; the only state.
//! - `message`: the few handshake messages that come after the handshake, at any split.
//! - `keys`: one direction's secret, key, nonce and sequence number; the only caller of ciphers.
//! - `handshake`, `takeover`: what drives rustls, and what it leaves; no other file names it.
//! - `state`: a session as bytes, for the process that goes on with it.
//! - `limits`: every bound, with its reason.
//!
//! What holds, whatever the peer sends:
//! - No byte is handed out that the AEAD has not authenticated, in the order it was sealed in.
//! - The first fault is the last: the alert for it is sealed, and neither direction goes on.
//! - A sequence number is used once in each direction, and neither runs over.
//! - What a peer can make this side do between two bytes of data is bounded (`limits`).
//!
//! A connection that ends without `close_notify` has perhaps been cut short. Nobody in here sees
//! that; SIP does, by `Content-Length`.
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects
    )
)]

mod alert;
mod failure;
mod handshake;
mod keys;
pub mod limits;
mod message;
mod role;
mod session;
mod state;
mod suite;
mod takeover;

pub use alert::Alert;
pub use failure::{Failure, Unsealed};
pub use handshake::{Finished, Handshake, Progress, Tickets};
pub use keys::Secret;
pub use role::Role;
pub use session::{Keys, Received, Session, Stand};
pub use state::{BadState, State};
pub use suite::{Cipher, Suite, Version};
pub use takeover::KeyLog;

#[cfg(test)]
mod tests;
