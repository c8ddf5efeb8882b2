//! The message ladder of `-v`: an arrow line for each message, with `-vv` the
//! message below it.

use std::net::SocketAddr;

use crate::time::Instant;

/// Prints what passes.
pub(super) struct Ladder {
    /// 0: nothing, 1: a line each, 2: the whole message.
    verbose: u8,
}

impl Ladder {
    pub(super) const fn new(verbose: u8) -> Self {
        Self { verbose }
    }

    pub(super) fn sent(&self, now: Instant, peer: SocketAddr, bytes: &[u8]) {
        self.show(now, "->", peer, bytes);
    }

    pub(super) fn received(&self, now: Instant, peer: SocketAddr, bytes: &[u8]) {
        self.show(now, "<-", peer, bytes);
    }

    fn show(&self, now: Instant, arrow: &str, peer: SocketAddr, bytes: &[u8]) {
        if self.verbose == 0 {
            return;
        }
        println!("{}   {arrow} {peer:<21} {}", clock(now), summary(bytes));
        if self.verbose > 1 && bytes.first().is_some_and(u8::is_ascii_alphabetic) {
            for line in String::from_utf8_lossy(bytes).lines() {
                println!("                {line}");
            }
        }
    }
}

/// Seconds since the start.
pub(super) fn clock(now: Instant) -> String {
    let micros = now.as_micros();
    format!("{:4}.{:03}", micros / 1_000_000, micros / 1_000 % 1_000)
}

/// What a message is, in one line.
fn summary(bytes: &[u8]) -> String {
    match bytes {
        [0..=3, ..] => "STUN".to_owned(),
        [b'\r' | b'\n', ..] if bytes.iter().all(|byte| b"\r\n".contains(byte)) => "CRLF".to_owned(),
        _ => {
            let end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
            String::from_utf8_lossy(&bytes[..end]).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_passed() {
        assert_eq!(
            summary(b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n"),
            "SIP/2.0 200 OK"
        );
        assert_eq!(summary(b"\r\n\r\n"), "CRLF");
        assert_eq!(summary(&[0, 1, 0, 0]), "STUN");
        let now = Instant::from_micros(12_034_999);
        assert_eq!(clock(now), "  12.034");
    }
}
