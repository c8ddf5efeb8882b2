//! What a session was negotiated to be.

use ring::{aead, hkdf};

use crate::limits;

/// The version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

/// The AEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// AES-128 in Galois/counter mode.
    Aes128Gcm,
    /// AES-256 in Galois/counter mode.
    Aes256Gcm,
    /// ChaCha20 with Poly1305 (RFC 8439).
    ChaCha20Poly1305,
}

/// Version and AEAD; in TLS 1.3 the hash goes with the AEAD.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite {
    /// The version.
    pub version: Version,
    /// The AEAD.
    pub cipher: Cipher,
}

impl Suite {
    pub(crate) const fn aead(self) -> &'static aead::Algorithm {
        match self.cipher {
            Cipher::Aes128Gcm => &aead::AES_128_GCM,
            Cipher::Aes256Gcm => &aead::AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        }
    }

    /// Bytes of a key.
    pub(crate) const fn key_len(self) -> usize {
        match self.cipher {
            Cipher::Aes128Gcm => 16,
            Cipher::Aes256Gcm | Cipher::ChaCha20Poly1305 => 32,
        }
    }

    /// The hash of the key schedule (RFC 8446 §B.4).
    pub(crate) const fn hkdf(self) -> hkdf::Algorithm {
        match self.cipher {
            Cipher::Aes128Gcm | Cipher::ChaCha20Poly1305 => hkdf::HKDF_SHA256,
            Cipher::Aes256Gcm => hkdf::HKDF_SHA384,
        }
    }

    /// Bytes of a traffic secret; TLS 1.2 has none.
    pub(crate) const fn secret_len(self) -> usize {
        match (self.version, self.cipher) {
            (Version::Tls12, _) => 0,
            (Version::Tls13, Cipher::Aes128Gcm | Cipher::ChaCha20Poly1305) => 32,
            (Version::Tls13, Cipher::Aes256Gcm) => 48,
        }
    }

    /// Bytes of the nonce that stand in front of the ciphertext: AES-GCM in TLS 1.2 alone has such
    /// (RFC 5288 §3, RFC 7905 §2, RFC 8446 §5.3).
    pub(crate) const fn explicit_len(self) -> usize {
        match (self.version, self.cipher) {
            (Version::Tls12, Cipher::Aes128Gcm | Cipher::Aes256Gcm) => 8,
            (Version::Tls12, Cipher::ChaCha20Poly1305) | (Version::Tls13, _) => 0,
        }
    }

    /// What a header may say at most.
    pub(crate) const fn body_max(self) -> usize {
        let more = match self.version {
            // An AEAD adds what it adds: a longer record would have too much content.
            Version::Tls12 => self.explicit_len().saturating_add(limits::TAG_LEN),
            Version::Tls13 => limits::EXPANSION_MAX,
        };
        limits::CONTENT_MAX.saturating_add(more)
    }

    /// Records that one key may seal.
    pub(crate) const fn records_max(self) -> u64 {
        match self.cipher {
            Cipher::Aes128Gcm | Cipher::Aes256Gcm => limits::AES_GCM_RECORDS_MAX,
            Cipher::ChaCha20Poly1305 => limits::CHACHA20_RECORDS_MAX,
        }
    }
}
