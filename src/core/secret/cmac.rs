//! AES-CMAC (RFC 4493) with everything that follows from the key made once: a
//! message costs one pass of the cipher a block, and nothing besides is copied
//! or derived for it.

use aes::Block;
use aes::cipher::consts::U16;
use aes::cipher::{BlockBackend, BlockClosure, BlockEncrypt, BlockSizeUser, Key, KeyInit};

/// Octets of a block, and of a MAC.
pub const BLOCK: usize = 16;

/// A key with its rounds and both its subkeys.
#[derive(Clone)]
pub struct Cmac<C> {
    cipher: C,
    /// K1, for a last block that is whole.
    whole: [u8; BLOCK],
    /// K2, for one that is filled up.
    cut: [u8; BLOCK],
}

/// What is left of the whole blocks at the beginning of a message.
#[derive(Clone, Copy, Debug, Default)]
pub struct CmacState([u8; BLOCK]);

impl<C: BlockEncrypt + BlockSizeUser<BlockSize = U16> + KeyInit> Cmac<C> {
    /// The MAC under this key.
    #[must_use]
    pub fn new(key: &Key<C>) -> Self {
        let cipher = C::new(key);
        let mut zero = Block::default();
        cipher.encrypt_block(&mut zero);
        let whole = double(zero.into());
        let cut = double(whole);
        Self { cipher, whole, cut }
    }

    /// The MAC of a message.
    #[must_use]
    pub fn of(&self, message: &[u8]) -> [u8; BLOCK] {
        self.end(CmacState::default(), message)
    }

    /// Reads further blocks of a message that does not end with them.
    #[must_use]
    pub fn go_on(&self, state: CmacState, blocks: &[[u8; BLOCK]]) -> CmacState {
        let CmacState(before) = state;
        let mut chain = before.into();
        self.cipher.encrypt_with_backend(Chain {
            chain: &mut chain,
            blocks,
            last: None,
        });
        CmacState(chain.into())
    }

    /// The MAC of a message whose beginning was read, and whose `rest` is this:
    /// where it has a beginning the rest is not empty.
    #[must_use]
    pub fn end(&self, state: CmacState, rest: &[u8]) -> [u8; BLOCK] {
        let (blocks, tail) = rest.as_chunks();
        let (blocks, mut last, subkey) = match blocks.split_last() {
            Some((last, before)) if tail.is_empty() => (before, *last, &self.whole),
            Some(_) | None => (blocks, filled(tail), &self.cut),
        };
        xor(&mut last, subkey);
        let CmacState(before) = state;
        let mut chain = before.into();
        self.cipher.encrypt_with_backend(Chain {
            chain: &mut chain,
            blocks,
            last: Some(&last),
        });
        chain.into()
    }
}

/// Whether a MAC begins with what was shown of it, in a time that says nothing
/// of where they differ. Nothing shows nothing, and more than there is is not of
/// it: neither compiles.
///
/// ```compile_fail
/// assert!(steadfast::secret::cmac::begins_with(&[0; 16], &[]));
/// ```
/// ```compile_fail
/// assert!(steadfast::secret::cmac::begins_with(&[0; 16], &[0; 17]));
/// ```
/// ```
/// assert!(steadfast::secret::cmac::begins_with(&[0; 16], &[0; 1]));
/// assert!(!steadfast::secret::cmac::begins_with(&[0; 16], &[1; 16]));
/// ```
#[must_use]
pub(crate) fn begins_with<const N: usize>(mac: &[u8; BLOCK], shown: &[u8; N]) -> bool {
    const { assert!(0 < N && N <= BLOCK, "some of a MAC") }
    let differ = mac.iter().zip(shown);
    let differ = differ.fold(0, |differ, (mac, shown)| differ | mac ^ shown);
    std::hint::black_box(differ) == 0
}

/// `dbl` of RFC 5297 §2.3, by which RFC 4493 makes its subkeys.
#[must_use]
pub(crate) const fn double(block: [u8; BLOCK]) -> [u8; BLOCK] {
    let bits = u128::from_be_bytes(block);
    // 0x87 where a bit falls out in front.
    ((bits << 1) ^ ((bits >> 127) * 0x87)).to_be_bytes()
}

/// Less than a block, with the bit that says where it ended.
#[must_use]
pub fn filled(tail: &[u8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    if let Some((room, [mark, ..])) = block.split_at_mut_checked(tail.len()) {
        room.copy_from_slice(tail);
        *mark = 0x80;
    }
    block
}

/// Octet by octet, which the compiler makes one step.
pub(crate) fn xor(block: &mut [u8; BLOCK], with: &[u8; BLOCK]) {
    for (octet, with) in block.iter_mut().zip(with) {
        *octet ^= with;
    }
}

/// The chain of blocks, inside of whichever AES this processor has.
struct Chain<'a> {
    chain: &'a mut Block,
    blocks: &'a [[u8; BLOCK]],
    last: Option<&'a [u8; BLOCK]>,
}

impl BlockSizeUser for Chain<'_> {
    type BlockSize = U16;
}

impl BlockClosure for Chain<'_> {
    #[inline(always)]
    fn call<B: BlockBackend<BlockSize = U16>>(self, backend: &mut B) {
        let mut chain: [u8; BLOCK] = (*self.chain).into();
        for block in self.blocks.iter().chain(self.last) {
            xor(&mut chain, block);
            let mut block = chain.into();
            backend.proc_block_inplace(&mut block);
            chain = block.into();
        }
        *self.chain = chain.into();
    }
}

#[cfg(test)]
mod tests {
    use aes::{Aes128, Aes128Enc, Aes256, Aes256Enc};
    use cmac::{Cmac as Naive, Mac};

    use super::*;

    /// RFC 4493 §4.
    #[test]
    fn the_examples_of_the_rfc() {
        let key = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128;
        let cmac = Cmac::<Aes128Enc>::new(&key.to_be_bytes().into());
        let message = [
            0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128,
            0xae2d_8a57_1e03_ac9c_9eb7_6fac_45af_8e51,
            0x30c8_1c46_a35c_e411_e5fb_c119_1a0a_52ef,
            0xf69f_2445_df4f_9b17_ad2b_417b_e66c_3710,
        ];
        let message: Vec<u8> = message.into_iter().flat_map(u128::to_be_bytes).collect();
        for (len, want) in [
            (0, 0xbb1d_6929_e959_3728_7fa3_7d12_9b75_6746_u128),
            (16, 0x070a_16b4_6b4d_4144_f79b_dd9d_d04a_287c),
            (40, 0xdfa6_6747_de9a_e630_30ca_3261_1497_c827),
            (64, 0x51f0_bebf_7e3b_9d92_fc49_7417_7936_3cfe),
        ] {
            assert_eq!(cmac.of(&message[..len]), want.to_be_bytes(), "{len}");
        }
    }

    #[test]
    fn it_is_that_of_the_library_however_it_is_read() {
        let text: Vec<u8> = (0..=255).collect();
        let (cmac, other) = (
            Cmac::<Aes256Enc>::new(&[5; 32].into()),
            Cmac::<Aes128Enc>::new(&[3; 16].into()),
        );
        for len in 0..text.len() {
            let message = &text[..len];
            let key = <Naive<Aes256> as Mac>::new(&[5; 32].into());
            let want: [u8; 16] = key.chain_update(message).finalize().into_bytes().into();
            assert_eq!(cmac.of(message), want, "{len}");
            let key = <Naive<Aes128> as Mac>::new(&[3; 16].into());
            let naive: [u8; 16] = key.chain_update(message).finalize().into_bytes().into();
            assert_eq!(other.of(message), naive, "{len}");
            for read in 0..len.div_ceil(BLOCK) {
                let (blocks, rest) = message.split_at(read * BLOCK);
                let state = cmac.go_on(CmacState::default(), blocks.as_chunks().0);
                assert_eq!(cmac.end(state, rest), want, "{len} {read}");
            }
        }
    }

    /// Of the first `N` octets, and with each bit of them turned.
    #[track_caller]
    fn check<const N: usize>(mac: &[u8; BLOCK]) {
        let shown: &[u8; N] = mac.first_chunk().unwrap();
        assert!(begins_with(mac, shown), "{N}");
        for bit in 0..8 * N {
            let mut other = *shown;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!begins_with(mac, &other), "{N} {bit}");
        }
    }

    #[test]
    fn a_mac_begins_with_itself_and_with_nothing_else() {
        let mac = Cmac::<Aes128Enc>::new(&[3; 16].into()).of(b"a");
        check::<1>(&mac);
        check::<7>(&mac);
        check::<8>(&mac);
        check::<10>(&mac);
        check::<15>(&mac);
        check::<BLOCK>(&mac);
    }
}
