//! What must hold in every run, whatever its script: laws about each message
//! on the wire, and promises about what becomes of calls.

mod books;
mod laws;
mod promises;

use std::net::SocketAddr;

use steadfast::time::Instant;

use super::cast::Cast;
use super::text::Text;
use books::Books;
use laws::Laws;

pub(crate) use promises::{Tested, verdict};

/// A message as it leaves or arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    /// World time.
    pub(crate) now: Instant,
    /// The time of whoever sends or receives.
    pub(crate) local: Instant,
    /// Which life of theirs.
    pub(crate) life: u32,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) conn: Option<u64>,
    pub(crate) bytes: &'a [u8],
}

/// The judge of one run.
pub(crate) struct Judge {
    cast: Cast,
    laws: Laws,
    pub(crate) books: Books,
    /// The first thing that was wrong, and the word to look for in the ladder.
    pub(crate) broken: Option<(String, String)>,
}

impl Judge {
    pub(crate) fn new(cast: Cast) -> Self {
        Self {
            cast,
            laws: Laws::default(),
            books: Books::default(),
            broken: None,
        }
    }

    pub(crate) fn sent(&mut self, passage: &Passage<'_>) {
        let Some(text) = Text::read(passage.bytes) else {
            return;
        };
        let verdict = if self.cast.is_phone(passage.from.ip()) {
            self.books.sent(passage, &text);
            Ok(())
        } else if text.is_request() {
            self.laws.request(&self.cast, passage, &text)
        } else {
            let known = self.books.residues(&text);
            self.laws.response(&self.cast, passage, &text, known)
        };
        self.judge(verdict, passage, &text);
    }

    pub(crate) fn came(&mut self, passage: &Passage<'_>) {
        let Some(text) = Text::read(passage.bytes) else {
            return;
        };
        let verdict = if self.cast.is_phone(passage.to.ip()) {
            self.books.came(&self.cast, passage, &text)
        } else {
            self.laws.came(&self.cast, passage, &text);
            Ok(())
        };
        self.judge(verdict, passage, &text);
    }

    /// A proxy sent the BYE of this call once more, over a further connection
    /// to the same place.
    fn was_sent_again(&self, call_id: &str) -> bool {
        self.laws.again.contains(call_id)
    }

    fn judge(&mut self, verdict: Result<(), String>, passage: &Passage<'_>, text: &Text) {
        if let Err(what) = verdict
            && self.broken.is_none()
        {
            let message = String::from_utf8_lossy(passage.bytes);
            let (from, to) = (passage.from, passage.to);
            let what = format!("{what}\n{from} -> {to}\n{message}");
            self.broken = Some((what, text.call_id().to_owned()));
        }
    }
}
