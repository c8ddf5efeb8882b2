//! What sealing and opening a message of 800 bytes takes with either library, as the record layer
//! does it: with keys that are expanded for each turn, as a phone's are, and with kept ones, as
//! another node's are.
//!
//! A key of ring is a value of 544 bytes; one of aws-lc-rs is 24 bytes and 584 on the heap.

use std::hint::black_box;
use std::time::{Duration, Instant};

const MESSAGE: [u8; 800] = [b'x'; 800];
const TAG_LEN: usize = 16;
/// Messages that are looked at together, and how often in a round.
const MESSAGES: u64 = 50;
const LOOKS: usize = 10;

/// What the record layer does with one message, in the words that both libraries have.
macro_rules! messages {
    ($library:ident, $cipher:ident, $key:expr, $keeps:expr) => {{
        use $library::aead::{Aad, LessSafeKey, Nonce, UnboundKey, $cipher};
        let expand = || {
            let key = UnboundKey::new(&$cipher, black_box(&$key)).expect("its length is right");
            LessSafeKey::new(key)
        };
        let kept = [expand(), expand()];
        let mut record = [0; MESSAGE.len() + TAG_LEN];
        let begun = Instant::now();
        for number in 0..MESSAGES {
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&number.to_be_bytes());
            let nonce = || Nonce::assume_unique_for_key(nonce);
            let turn;
            let [tx, rx] = if $keeps {
                &kept
            } else {
                turn = [expand(), expand()];
                &turn
            };
            record[..MESSAGE.len()].copy_from_slice(black_box(&MESSAGE));
            let (content, room) = record.split_at_mut(MESSAGE.len());
            let tag = tx.seal_in_place_separate_tag(nonce(), Aad::from([23, 3, 3, 3, 48]), content);
            room.copy_from_slice(tag.expect("it is short").as_ref());
            let opened = rx.open_in_place(nonce(), Aad::from([23, 3, 3, 3, 48]), &mut record);
            assert_eq!(opened.expect("it is authentic").len(), MESSAGE.len());
        }
        begun.elapsed() / MESSAGES as u32
    }};
}

type Row = (&'static str, [fn() -> Duration; 2]);

const ROWS: [Row; 4] = [
    (
        "AES-128, keys of a turn",
        [
            || messages!(ring, AES_128_GCM, [7; 16], false),
            || messages!(aws_lc_rs, AES_128_GCM, [7; 16], false),
        ],
    ),
    (
        "AES-128, kept keys",
        [
            || messages!(ring, AES_128_GCM, [7; 16], true),
            || messages!(aws_lc_rs, AES_128_GCM, [7; 16], true),
        ],
    ),
    (
        "ChaCha20, keys of a turn",
        [
            || messages!(ring, CHACHA20_POLY1305, [7; 32], false),
            || messages!(aws_lc_rs, CHACHA20_POLY1305, [7; 32], false),
        ],
    ),
    (
        "ChaCha20, kept keys",
        [
            || messages!(ring, CHACHA20_POLY1305, [7; 32], true),
            || messages!(aws_lc_rs, CHACHA20_POLY1305, [7; 32], true),
        ],
    ),
];

/// Measures all of them, alternating, and prints the medians.
pub(crate) fn compare(rounds: usize) {
    let mut took = [const { [const { Vec::new() }; 2] }; ROWS.len()];
    for _ in 0..rounds * LOOKS {
        for ((_, libraries), took) in ROWS.iter().zip(&mut took) {
            for (measure, took) in libraries.iter().zip(took) {
                took.push(measure());
            }
        }
    }
    println!("a message of 800 bytes sealed and opened, µs");
    println!("{:34} {:>8} {:>8} {:>8}", "", "ring", "aws-lc", "ratio");
    for ((name, _), took) in ROWS.iter().zip(&mut took) {
        let [ring, aws_lc] = took.each_mut().map(|all| crate::median(all));
        println!("{name:34} {ring:8.3} {aws_lc:8.3} {:8.2}", aws_lc / ring);
    }
}
