//! The message ladder of `-v`: an arrow line for each message, with `-vv` the
//! message below it.

use std::net::SocketAddr;

use crate::frame;
use crate::time::Instant;

/// Prints what passes, or keeps it.
pub(crate) struct Ladder {
    /// 0: nothing, 1: a line each, 2: the whole message.
    verbose: u8,
    /// What passed, for those who ask for it later.
    recorded: Option<Vec<Passed>>,
}

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// When.
    pub(crate) at: Instant,
    /// It was sent, not received.
    pub(crate) is_sent: bool,
    /// The other side.
    pub(crate) peer: SocketAddr,
    /// All of it.
    pub(crate) text: String,
}

impl Ladder {
    pub(super) const fn new(verbose: u8) -> Self {
        Self {
            verbose,
            recorded: None,
        }
    }

    /// Keeps what passes from now on.
    pub(crate) fn keep(&mut self) {
        self.recorded.get_or_insert_default();
    }

    /// What was kept, oldest first.
    pub(crate) fn recorded(&self) -> &[Passed] {
        self.recorded.as_deref().unwrap_or_default()
    }

    pub(super) fn sent(&mut self, now: Instant, peer: SocketAddr, bytes: &[u8]) {
        self.note(now, true, peer, bytes);
        self.show(now, "->", peer, bytes);
    }

    /// What one read of a stream brought, message by message.
    pub(super) fn read(&mut self, now: Instant, peer: SocketAddr, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let cut = match frame::stream(rest, &mut frame::Resume::default()) {
                frame::StreamFrame::Message { end, .. } => end,
                frame::StreamFrame::Ping { len }
                | frame::StreamFrame::Skip { len }
                | frame::StreamFrame::Noise { len } => len,
                frame::StreamFrame::NeedMore { .. } | frame::StreamFrame::Broken { .. } => {
                    rest.len()
                }
            };
            let (piece, more) = rest.split_at(cut.clamp(1, rest.len()));
            self.received(now, peer, piece.trim_ascii_start());
            rest = more;
        }
    }

    pub(super) fn received(&mut self, now: Instant, peer: SocketAddr, bytes: &[u8]) {
        self.note(now, false, peer, bytes);
        self.show(now, "<-", peer, bytes);
    }

    fn note(&mut self, at: Instant, is_sent: bool, peer: SocketAddr, bytes: &[u8]) {
        let is_message = bytes.first().is_some_and(u8::is_ascii_alphabetic);
        if let Some(recorded) = self.recorded.as_mut().filter(|_| is_message) {
            recorded.push(Passed {
                at,
                is_sent,
                peer,
                text: String::from_utf8_lossy(bytes).into_owned(),
            });
        }
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
    fn one_read_may_bring_several_messages() {
        let mut ladder = Ladder::new(0);
        ladder.keep();
        let trying = "SIP/2.0 100 Trying\r\nContent-Length: 0\r\n\r\n";
        let ok = "SIP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nxy";
        let bytes = [trying, "\r\n", ok, "SIP/2.0 4"].concat();
        let peer = "127.0.0.11:5061".parse().unwrap();
        ladder.read(Instant::ZERO, peer, bytes.as_bytes());
        let texts: Vec<_> = ladder
            .recorded()
            .iter()
            .map(|recorded| &recorded.text[..])
            .collect();
        assert_eq!(texts, [trying, ok, "SIP/2.0 4"]);
    }

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
