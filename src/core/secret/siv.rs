//! AES-SIV (RFC 5297) without associated data: deterministic encryption that
//! tells whether it was its own. Equal bytes under equal keys are sealed alike.
//!
//! The synthetic IV may be cut to its leftmost octets, as RFC 4494 cuts AES-CMAC to
//! 96 bits; zeros stand for the rest in the counter. Of N octets, a text that nobody
//! sealed opens with 2^-8N, and two texts of q are under one key stream with
//! q^2 / 2^(8N + 1), which tells who reads them in what they differ. All sixteen are
//! RFC 5297.

use aes::Aes256Enc;
use aes::cipher::consts::U16;
use aes::cipher::{BlockBackend, BlockClosure, BlockEncrypt, BlockSizeUser, KeyInit};

use super::cmac::{self, BLOCK, Cmac, double, filled, xor};

/// Both keys with their rounds.
#[derive(Clone)]
pub struct Siv {
    mac: Cmac<Aes256Enc>,
    cipher: Aes256Enc,
    /// The MAC of a block of zeros, with which every synthetic IV begins.
    zero: [u8; BLOCK],
}

impl Siv {
    /// The cipher under these 512 bits.
    #[must_use]
    pub fn new(key: &[u8; 64]) -> Self {
        let (first, second) = key.split_at(32);
        let fixed = |half: &[u8]| {
            let mut key = [0; 32];
            key.copy_from_slice(half);
            key
        };
        let mac = Cmac::new(&fixed(first).into());
        let zero = mac.of(&[0; BLOCK]);
        let cipher = Aes256Enc::new(&fixed(second).into());
        Self { mac, cipher, zero }
    }

    /// Seals plain bytes where they stand; what goes with them.
    #[must_use]
    pub fn seal<const N: usize>(&self, plain: &mut [u8]) -> [u8; N] {
        let iv = self.iv(plain);
        let mut cut = [0; N];
        cut.iter_mut().zip(iv).for_each(|(to, octet)| *to = octet);
        self.turn(&cut, plain);
        cut
    }

    /// Opens sealed bytes where they stand. False, and they stay sealed, when
    /// they were not sealed under this key.
    #[must_use]
    pub fn open<const N: usize>(&self, iv: &[u8; N], sealed: &mut [u8]) -> bool {
        self.turn(iv, sealed);
        let is_own = cmac::begins_with(&self.iv(sealed), iv);
        if !is_own {
            self.turn(iv, sealed);
        }
        is_own
    }

    /// S2V of RFC 5297 §2.4. The bytes are as before when it is done.
    fn iv(&self, plain: &mut [u8]) -> [u8; BLOCK] {
        let Some(end) = plain.last_chunk_mut() else {
            let mut only = filled(plain);
            xor(&mut only, &double(self.zero));
            return self.mac.of(&only);
        };
        xor(end, &self.zero);
        let iv = self.mac.of(plain);
        if let Some(end) = plain.last_chunk_mut() {
            xor(end, &self.zero);
        }
        iv
    }

    /// Between plain and sealed, either way: AES in counter mode.
    fn turn<const N: usize>(&self, iv: &[u8; N], bytes: &mut [u8]) {
        const { assert!(N <= BLOCK, "an IV is one block at most") };
        let mut start = [0; BLOCK];
        start[..N].copy_from_slice(iv);
        let start = u128::from_be_bytes(start) & COUNTER;
        self.cipher.encrypt_with_backend(KeyStream { start, bytes });
    }
}

/// RFC 5297 §2.5: two bits of the IV are not part of the counter.
const COUNTER: u128 = !(1 << 63 | 1 << 31);

struct KeyStream<'a> {
    start: u128,
    bytes: &'a mut [u8],
}

impl BlockSizeUser for KeyStream<'_> {
    type BlockSize = U16;
}

impl BlockClosure for KeyStream<'_> {
    #[inline(always)]
    fn call<B: BlockBackend<BlockSize = U16>>(self, backend: &mut B) {
        let mut counter = self.start;
        let mut next = || {
            let mut block = counter.to_be_bytes().into();
            counter = counter.wrapping_add(1);
            backend.proc_block_inplace(&mut block);
            block.into()
        };
        let (blocks, tail) = self.bytes.as_chunks_mut();
        for block in blocks {
            xor(block, &next());
        }
        if !tail.is_empty() {
            let key: [u8; BLOCK] = next();
            for (octet, key) in tail.iter_mut().zip(key) {
                *octet ^= key;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use aes_siv::KeyInit as _;
    use aes_siv::siv::Aes256Siv;

    use super::*;

    #[test]
    fn it_is_that_of_the_library() {
        let text: Vec<u8> = (0..=255).collect();
        for n in 0..8 {
            let key: [u8; 64] = std::array::from_fn(|index| u8::try_from(index).unwrap() ^ n);
            let siv = Siv::new(&key);
            let mut naive = Aes256Siv::new(&key.into());
            for len in 0..text.len() {
                let (mut own, mut want) = (text[..len].to_vec(), text[..len].to_vec());
                let iv: [u8; BLOCK] = siv.seal(&mut own);
                let tag = naive.encrypt_in_place_detached([[]; 0] as [[u8; 0]; 0], &mut want);
                assert_eq!((iv, &own), (tag.unwrap().into(), &want), "{n} {len}");
                assert!(siv.open(&iv, &mut own));
                assert_eq!(own, &text[..len]);
                let cut: [u8; 12] = siv.seal(&mut own);
                assert_eq!(cut, iv[..12]);
                assert!(siv.open(&cut, &mut own));
                assert_eq!(own, &text[..len]);
            }
        }
    }

    #[test]
    fn what_another_sealed_stays_sealed() {
        stays_sealed::<BLOCK>();
        stays_sealed::<12>();
    }

    #[track_caller]
    fn stays_sealed<const N: usize>() {
        let (siv, other) = (Siv::new(&[7; 64]), Siv::new(&[8; 64]));
        for len in [0, 1, 15, 16, 17, 40] {
            let mut bytes = vec![9; len];
            let iv: [u8; N] = siv.seal(&mut bytes);
            let sealed = bytes.clone();
            assert!(!other.open(&iv, &mut bytes));
            for bit in 0..8 * N {
                let mut bent = iv;
                bent[bit / 8] ^= 1 << (bit % 8);
                assert!(!siv.open(&bent, &mut bytes), "{len} {bit}");
            }
            assert_eq!(bytes, sealed);
            for bit in 0..8 * len {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert!(!siv.open(&iv, &mut bytes), "{len} {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            assert!(siv.open(&iv, &mut bytes));
        }
    }
}
