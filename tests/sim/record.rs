//! What happened in a run: a hash over all of it, and the last messages.

use std::collections::VecDeque;
use std::net::SocketAddr;

use steadfast::time::Instant;

use super::dice::fnv;
use super::text::Text;

/// Lines kept for the ladder.
const KEPT: usize = 5_000;

/// The record of a run.
#[derive(Default)]
pub(crate) struct Record {
    pub(crate) hash: u64,
    pub(crate) messages: u64,
    lines: VecDeque<String>,
}

impl Record {
    /// A message arrives, or is lost.
    pub(crate) fn message(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        tcp: bool,
        what: &str,
        bytes: &[u8],
    ) {
        self.messages += 1;
        let head = format!("{} {from} {to} {tcp} {what}", now.as_micros());
        self.hash = fnv(fnv(self.hash, head.as_bytes()), bytes);
        let Some(text) = Text::read(bytes) else {
            return;
        };
        let transport = if tcp { "TCP" } else { "UDP" };
        let branch = text.via().map_or("", |via| via.branch);
        let tag = text.to_tag().map_or(String::new(), |t| format!(" to={t}"));
        let routes: String = text
            .values("route")
            .iter()
            .map(|route| format!(" route={route}"))
            .collect();
        self.line(format!(
            "{} {from} -> {to} {transport} {what} {} [{}] {} {branch}{tag}{routes}",
            seconds(now),
            text.start,
            text.first("cseq").unwrap_or_default(),
            text.call_id()
        ));
    }

    /// Something else happens.
    pub(crate) fn event(&mut self, now: Instant, what: &str) {
        self.hash = fnv(
            fnv(self.hash, what.as_bytes()),
            &now.as_micros().to_be_bytes(),
        );
        self.line(format!("{} ---- {what}", seconds(now)));
    }

    fn line(&mut self, line: String) {
        if self.lines.len() == KEPT {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }

    /// The last messages that have to do with `word`, and every event; `WORD`
    /// in the environment asks for another word and for all of them.
    pub(crate) fn ladder(&self, word: &str) -> String {
        let asked = std::env::var("WORD");
        let most = if asked.is_ok() { KEPT } else { 120 };
        let word = asked.as_deref().unwrap_or(word);
        let fits = |line: &&String| word.is_empty() || line.contains(word) || line.contains("----");
        let lines: Vec<&String> = self.lines.iter().filter(fits).collect();
        let from = lines.len().saturating_sub(most);
        let lines = lines[from..].iter().map(|line| format!("{line}\n"));
        lines.collect()
    }
}

fn seconds(now: Instant) -> String {
    let micros = now.as_micros();
    format!("{:4}.{:06}", micros / 1_000_000, micros % 1_000_000)
}
