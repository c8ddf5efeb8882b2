//! Chance that is the same for the same seed, and what it does to messages.

/// Xorshift64*.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from((u128::from(self.next()) * end as u128) >> 64).unwrap()
    }

    pub(crate) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub(crate) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// Bytes and pieces that a reader of SIP decides by.
const PIECES: [&str; 64] = [
    "\r\n",
    "\n",
    "\r",
    "\r\n ",
    "\r\n\t",
    "\r\n\r\n",
    "\r\r\n",
    " ",
    "\t",
    "  ",
    "\0",
    "\x7f",
    "\u{fc}",
    "\"",
    "\\",
    "\\\"",
    "<",
    ">",
    ";",
    ";;",
    ",",
    ", ",
    ":",
    " : ",
    "=",
    " = ",
    "@",
    "?",
    "&",
    "/",
    " / ",
    "[",
    "]",
    "[::1]",
    "[::ffff:1.2.3.4]",
    "1.2.3.4",
    "1.2.3",
    "256.1.1.1",
    "%",
    "%41",
    "%00",
    "+",
    "*",
    "0",
    "70000",
    "4294967296",
    "99999999999999999999",
    "sip:",
    "SIPS:",
    "tel:",
    "SIP/2.0",
    "SIP/3.0",
    "sip/2.0/",
    "Via: ",
    "v:",
    "To: ",
    "CSeq: ",
    "l: 0",
    ";rport",
    ";RPORT=",
    ";branch=z9hG4bK",
    ";received=",
    ";maddr=h",
    ";lr",
];

/// Changes a message a little, most often once, sometimes often.
pub(crate) fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], chance: &mut Chance) {
    loop {
        change(bytes, others, chance);
        if chance.one_in(2) {
            return;
        }
    }
}

fn change(bytes: &mut Vec<u8>, others: &[Vec<u8>], chance: &mut Chance) {
    let (at, end) = range(bytes.len(), chance);
    let piece = chance.pick(&PIECES).as_bytes();
    match chance.below(10) {
        0 | 1 => drop(bytes.splice(at..at, piece.iter().copied())),
        2 | 3 => {
            let over = (at + piece.len()).min(bytes.len());
            bytes.splice(at..over, piece.iter().copied());
        }
        4 => drop(bytes.drain(at..end)),
        5 => {
            let twice = bytes[at..end].to_vec();
            bytes.splice(at..at, twice);
        }
        6 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = chance.next().to_le_bytes()[7];
            }
        }
        7 => bytes[at..end].make_ascii_uppercase(),
        8 => bytes.truncate(at),
        _ if others.is_empty() => bytes.reverse(),
        _ => {
            let other = &others[chance.below(others.len())];
            let (from, to) = range(other.len(), chance);
            bytes.splice(at..end, other[from..to].iter().copied());
        }
    }
}

/// A range, most often a short one, since most of what matters is short.
fn range(length: usize, chance: &mut Chance) -> (usize, usize) {
    let at = chance.below(length + 1);
    let most = if chance.one_in(4) {
        length - at
    } else {
        (length - at).min(16)
    };
    (at, at + chance.below(most + 1))
}
