//! How keys are agreed on: by X25519MLKEM768 where both ends have it and the client would rather have
//! it than another. Whoever writes down today what is said, the keys of calls among it (RFC 4568),
//! is not to read it with a quantum computer.

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};

/// How keys are agreed on, what is preferred first. A client of ours offers the first one and what
/// is part of it; a server takes of these what its client would rather have.
const GROUPS: [&dyn SupportedKxGroup; 4] = [
    kx_group::X25519MLKEM768,
    kx_group::X25519,
    kx_group::SECP256R1,
    kx_group::SECP384R1,
];

/// The ciphers of handshakes.
pub(super) fn provider(hybrid_key_exchange: bool) -> CryptoProvider {
    let [_, classical @ ..] = &GROUPS;
    let groups = if hybrid_key_exchange {
        &GROUPS[..]
    } else {
        classical
    };
    CryptoProvider {
        kx_groups: groups.to_vec(),
        ..aws_lc_rs::default_provider()
    }
}
