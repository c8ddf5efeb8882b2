//! Records of a peer that has the keys and no manners: the bytes are a list of what it sends.
//!
//! - What is heard is what it has sealed as data, in order, up to the first fault, and no byte more.
//! - However often it asks, what it makes us answer is bounded.
//! - Written out and read back in between, a session hears the same.
//!
//! The peer seals by itself, with HMAC and SHA-2 of other crates for its keys.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use hmac::{Hmac, Mac as _};
use sha2::{Sha256, Sha384};
use steadfast_record::{Cipher, Keys, Role, Secret, Session, Stand, State};

/// What a session answers by itself at most: `no_renegotiation` once, and one alert.
const ANSWERS_MAX: usize = 2 * 64;

/// Plays the list.
///
/// # Panics
/// When something is heard that was not said, or not heard that was.
pub(crate) fn check(bytes: &[u8]) {
    let Some((&head, list)) = bytes.split_first() else {
        return;
    };
    let role = [Role::Client, Role::Server][usize::from(head & 1)];
    let mut peer = Peer::new(head & 2 != 0, head & 4 != 0);
    let mut ear = Ear {
        session: peer.other_end(role),
        held: Vec::new(),
        answered: 0,
        stand: Stand::Open,
    };
    let mut rest = list;
    while let Some(((&what, &len), behind)) = rest.split_first().and_then(|(what, behind)| {
        let (len, behind) = behind.split_first()?;
        Some(((what, len), behind))
    }) {
        let content = &behind[..behind.len().min(usize::from(len))];
        rest = &behind[content.len()..];
        // The upper bits say how it is handed over.
        let piece = [usize::MAX, 1, 3, 1_000][usize::from(what >> 6)];
        match what & 0b11_1111 {
            0 => ear.hear_data(&peer.seal(23, content, 0), content, piece),
            1 => {
                let long = content.repeat(80);
                let sound = &long[..long.len().min(16_384)];
                ear.hear_data(&peer.seal(23, sound, usize::from(len)), sound, piece);
            }
            2 => ear.hear_other(&peer.seal(22, content, 0), piece),
            3 => ear.hear_other(&peer.seal(21, content, usize::from(len) % 5), piece),
            4 => {
                let (typ, content) = content.split_first().unwrap_or((&24, b""));
                // Zero is no type but padding: the content would end with one.
                if !matches!(typ, 0 | 23) {
                    ear.hear_other(&peer.seal(*typ, content, 1), piece);
                }
            }
            5 => {
                let record = peer.seal(22, &[24, 0, 0, 1, len & 1], 0);
                peer.update();
                ear.hear_other(&record, piece);
            }
            6 => {
                // Two messages in one record, or one in two.
                let at = content.len() / 2;
                ear.hear_other(&peer.seal(22, &content[..at], 0), piece);
                ear.hear_other(&peer.seal(22, &content[at..], 3), piece);
            }
            7 => ear.write_out(),
            8 => {
                let mut record = peer.seal(23, content, 0);
                let at = usize::from(len) % record.len();
                record[at] ^= 1 << (len % 8);
                ear.hear_other(&record, piece);
            }
            _ => ear.hear_other(content, piece),
        }
    }
}

/// The session, and what is known of it.
struct Ear {
    session: Session,
    held: Vec<u8>,
    answered: usize,
    stand: Stand,
}

impl Ear {
    fn hear(&mut self, bytes: &[u8], piece: usize) -> Vec<u8> {
        let mut plain = Vec::new();
        for bytes in bytes.chunks(piece.min(bytes.len().max(1))) {
            let was_over = self.stand != Stand::Open;
            self.held.extend_from_slice(bytes);
            let mut out = Vec::new();
            let received = self
                .session
                .receive(&mut self.held, &mut out, &mut |_| Ok(()));
            assert!(!was_over || (out.is_empty() && received.plain.is_empty()));
            plain.extend_from_slice(&self.held[received.plain]);
            self.held.drain(..received.used);
            self.answered += out.len();
            assert!(self.answered <= ANSWERS_MAX, "{}", self.answered);
            self.stand = received.stand;
        }
        plain
    }

    /// Data is heard as it was said, unless something was wrong before, or with its place.
    fn hear_data(&mut self, record: &[u8], content: &[u8], piece: usize) {
        let is_clean = self.held.is_empty() && self.stand == Stand::Open;
        let plain = self.hear(record, piece);
        if is_clean && self.stand == Stand::Open {
            assert_eq!(plain, content);
        } else {
            assert_eq!(plain, b"");
        }
    }

    fn hear_other(&mut self, bytes: &[u8], piece: usize) {
        assert_eq!(self.hear(bytes, piece), b"");
    }

    fn write_out(&mut self) {
        let suite = self.session.suite();
        let spare = Peer::new(true, true).other_end(Role::Client);
        let state = std::mem::replace(&mut self.session, spare).into_state();
        let state = State::copy(state.as_bytes()).expect("it is whole");
        self.session = Session::from_state(state).expect("it was written so");
        assert_eq!(self.session.suite(), suite);
    }
}

/// Who seals.
struct Peer {
    is_new: bool,
    is_aes: bool,
    secret: Vec<u8>,
    key: [u8; 32],
    iv: [u8; 12],
    sequence: u64,
}

impl Peer {
    fn new(is_new: bool, is_aes: bool) -> Self {
        let mut peer = Self {
            is_new,
            is_aes,
            secret: vec![7; if is_aes { 48 } else { 32 }],
            key: [8; 32],
            iv: [9; 12],
            sequence: 0,
        };
        if is_new {
            peer.derive();
        }
        peer
    }

    fn other_end(&self, role: Role) -> Session {
        let cipher = [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm][usize::from(self.is_aes)];
        if self.is_new {
            let secret = || (Secret::new(&self.secret).expect("it is short"), 0);
            return Session::tls13(cipher, role, secret(), secret());
        }
        let keys = Keys {
            key: &self.key,
            iv: self.iv,
            sequence: 0,
        };
        Session::tls12(cipher, role, &keys, &keys).expect("a key of that length")
    }

    fn expand(&self, label: &str, len: usize) -> Vec<u8> {
        let mut info = vec![0, u8::try_from(len).expect("a hash at most")];
        info.push(u8::try_from(label.len() + 6).expect("short"));
        info.extend_from_slice(b"tls13 ");
        info.extend_from_slice(label.as_bytes());
        info.extend_from_slice(&[0, 1]);
        let mut made = if self.is_aes {
            let mac = Hmac::<Sha384>::new_from_slice(&self.secret).expect("any length");
            mac.chain_update(&info).finalize().into_bytes().to_vec()
        } else {
            let mac = Hmac::<Sha256>::new_from_slice(&self.secret).expect("any length");
            mac.chain_update(&info).finalize().into_bytes().to_vec()
        };
        made.truncate(len);
        made
    }

    fn derive(&mut self) {
        let (key, iv) = (self.expand("key", 32), self.expand("iv", 12));
        self.key.copy_from_slice(&key);
        self.iv.copy_from_slice(&iv);
    }

    fn update(&mut self) {
        if self.is_new {
            self.secret = self.expand("traffic upd", self.secret.len());
            self.sequence = 0;
            self.derive();
        }
    }

    fn seal(&mut self, typ: u8, content: &[u8], padding: usize) -> Vec<u8> {
        let algorithm = if self.is_aes {
            &AES_256_GCM
        } else {
            &CHACHA20_POLY1305
        };
        let key = UnboundKey::new(algorithm, &self.key).expect("32 bytes");
        let key = LessSafeKey::new(key);
        let mut nonce = self.iv;
        for (at, byte) in self.sequence.to_be_bytes().into_iter().enumerate() {
            nonce[4 + at] ^= byte;
        }
        let mut body = content.to_vec();
        let (mut record, additional);
        if self.is_new {
            body.push(typ);
            body.resize(body.len() + padding, 0);
            let len = u16::try_from(body.len() + 16).expect("short");
            record = [&[23, 3, 3][..], &len.to_be_bytes()].concat();
            additional = record.clone();
        } else {
            let explicit = if self.is_aes { &nonce[4..] } else { b"" };
            let len = u16::try_from(body.len() + 16 + explicit.len()).expect("short");
            record = [&[typ, 3, 3][..], &len.to_be_bytes(), explicit].concat();
            let len = u16::try_from(body.len()).expect("short").to_be_bytes();
            additional = [&self.sequence.to_be_bytes()[..], &[typ, 3, 3], &len].concat();
        }
        let nonce = Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, Aad::from(additional), &mut body)
            .expect("short");
        record.extend(body);
        self.sequence += 1;
        record
    }
}
