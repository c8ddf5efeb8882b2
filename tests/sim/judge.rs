//! What must hold in every run, whatever its script: laws about each message
//! on the wire, and promises about what becomes of calls.

mod admission;
mod calls;
mod guests;
mod laws;
mod promises;
mod standing;

use std::net::{IpAddr, SocketAddr};

use steadfast::time::Instant;

use super::cast::Cast;
use super::text::Text;
use admission::Admission;
use calls::CallRecords;
use laws::Laws;

pub(crate) use admission::VISIT;
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
    /// Who sends it, whatever address it writes.
    pub(crate) who: IpAddr,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) conn: Option<u64>,
    pub(crate) bytes: &'a [u8],
}

/// The judge of one run.
pub(crate) struct Judge {
    cast: Cast,
    laws: Laws,
    pub(crate) calls: CallRecords,
    pub(crate) admission: Admission,
    /// The first thing that was wrong, and the word to look for in the ladder.
    pub(crate) broken: Option<(String, String)>,
}

impl Judge {
    pub(crate) fn new(cast: Cast) -> Self {
        Self {
            cast,
            laws: Laws::default(),
            calls: CallRecords::default(),
            admission: Admission::default(),
            broken: None,
        }
    }

    pub(crate) fn sent(&mut self, passage: &Passage<'_>) {
        let Some(text) = Text::read(passage.bytes) else {
            return;
        };
        let cast = &self.cast;
        if cast.is_foreign && cast.is_home(passage.who) {
            // What somebody else's home does is not ours to judge.
            return;
        }
        if !cast.is_node(passage.who) {
            self.admission.sent(passage, &text);
            if cast.is_phone(passage.who) {
                self.calls.sent(passage, &text);
            } else if !text.is_request() {
                self.calls.answered(&text);
            }
            return;
        }
        let verdict = if text.is_request() {
            self.laws.request(cast, passage, &text)
        } else {
            let known = self.calls.residues(&text);
            self.laws.response(cast, passage, &text, known)
        };
        let verdict = verdict.and_then(|()| self.admission.left(&self.cast, passage, &text));
        self.judge(verdict, passage, &text);
    }

    pub(crate) fn came(&mut self, passage: &Passage<'_>) {
        let Some(text) = Text::read(passage.bytes) else {
            return;
        };
        if self.cast.is_node(passage.to.ip()) {
            return self.laws.came(&self.cast, passage, &text);
        }
        self.admission.came(passage, &text);
        if self.cast.is_phone(passage.to.ip()) {
            let verdict = self.calls.came(&self.cast, passage, &text);
            self.judge(verdict, passage, &text);
        }
    }

    /// A node hears of a datagram of its own that it did not arrive.
    pub(crate) fn bounced(&mut self, node: IpAddr, life: u32, quoted: &[u8]) {
        self.laws
            .bounced((node, life), &String::from_utf8_lossy(quoted));
    }

    /// A connection is up.
    pub(crate) fn is_up(&mut self, conn: u64) {
        self.laws.were_up.insert(conn);
    }

    /// A node opens a connection.
    pub(crate) fn opens(&mut self, who: IpAddr, to: SocketAddr) {
        let is_ours = self.cast.is_node(who) && !(self.cast.is_foreign && self.cast.is_home(who));
        if is_ours
            && let Err(what) = Admission::opens(&self.cast, to)
            && self.broken.is_none()
        {
            self.broken = Some((format!("{what}: {who} to {to}"), String::new()));
        }
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
