//! `frame`: however a stream is cut into pieces, the same messages come out,
//! and what it calls a message is one by itself.

use steadfast::frame::{self, DatagramFrame, Resume, StreamFrame};
use steadfast::limits;

use super::chance::Chance;

/// Reads the bytes as a datagram and as a stream that arrives in pieces.
///
/// # Panics
/// When the cuts matter, or a message is not where it should be.
pub(crate) fn check(bytes: &[u8]) {
    let whole = messages(bytes, &[bytes.len()]);
    let mut chance = Chance::new(bytes.len() as u64);
    let cuts: Vec<usize> = (0..4).map(|_| chance.below(bytes.len() + 1)).collect();
    for cut in cuts {
        assert_eq!(messages(bytes, &[cut, bytes.len()]), whole, "cut at {cut}");
    }
    if bytes.len() < 300 {
        let each: Vec<usize> = (1..=bytes.len()).collect();
        assert_eq!(messages(bytes, &each), whole, "byte by byte");
    }
    for message in whole.iter().filter_map(|event| event.as_ref().ok()) {
        assert!(message.len() <= limits::MESSAGE_MAX);
        // One message alone is a datagram of the same bytes.
        assert_eq!(frame::datagram(message), DatagramFrame::Sip(message));
    }
    match frame::datagram(bytes) {
        DatagramFrame::Sip(sip) => {
            let at = bytes.windows(sip.len()).position(|window| window == sip);
            let before = &bytes[..at.unwrap()];
            assert!(before.iter().all(|byte| b"\r\n".contains(byte)));
        }
        DatagramFrame::Stun(stun) => assert_eq!(stun, bytes),
        DatagramFrame::KeepAlive | DatagramFrame::Noise => {}
    }
}

/// Messages, and where the stream breaks off, in order.
fn messages(bytes: &[u8], ends: &[usize]) -> Vec<Result<Vec<u8>, usize>> {
    let (mut found, mut resume, mut at) = (Vec::new(), Resume::default(), 0);
    for &end in ends {
        loop {
            let rest = &bytes[at.min(end)..end];
            match frame::stream(rest, &mut resume) {
                StreamFrame::NeedMore { .. } => break,
                StreamFrame::Ping { len }
                | StreamFrame::Skip { len }
                | StreamFrame::Noise { len } => {
                    assert!((1..=rest.len()).contains(&len));
                    at += len;
                }
                StreamFrame::Message { start, end } => {
                    assert!(start < end && end <= rest.len());
                    found.push(Ok(rest[start..end].to_vec()));
                    at += end;
                }
                StreamFrame::Broken { end, .. } => {
                    // How much of it is at hand depends on the cut; that it breaks here does not.
                    assert!(end <= rest.len());
                    found.push(Err(at));
                    return found;
                }
            }
        }
    }
    found
}
