//! The dialogs that lead through an edge: what it waits for before it stops, and which
//! connections of phones it closes before that.
//!
//! Nothing is routed by them (a dialog's own Route values say where it goes), so what is missing
//! here costs a call nothing while the node runs.

use serde::{Deserialize, Serialize};

use super::{Proxy, Request, Response, Turn};
use crate::carry::carried;
use crate::id::{Flow, Keyed, StreamId};
use crate::limits;
use crate::scan::{Message, Name};
use crate::send::Hop;
use crate::time::Instant;

/// Dialogs by the keyed hash of their Call-ID.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    rows: Keyed<Dialog>,
}

/// One dialog.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Dialog {
    /// The connections of phones that it uses.
    streams: [Option<StreamId>; 2],
    /// How often it leads through this shard: twice where both phones are here.
    passes: u8,
    /// When an INVITE of it was last accepted.
    heard: Instant,
}

impl Dialog {
    fn uses(&mut self, stream: StreamId) {
        let [first, second] = &mut self.streams;
        if *first == Some(stream) || *second == Some(stream) {
            return;
        }
        // The newest ones: a phone that has come back has another connection.
        *second = first.replace(stream);
    }
}

impl Dialogs {
    pub(super) const fn len(&self) -> usize {
        self.rows.len()
    }

    /// An INVITE was accepted: `opens`, one that began the dialog.
    fn accepted(
        &mut self,
        now: Instant,
        key: u64,
        opens: bool,
        streams: impl Iterator<Item = StreamId>,
    ) {
        if self.rows.get(key).is_none() {
            if self.rows.len() >= limits::DIALOGS_MAX {
                self.rows.remove_any();
            }
            let dialog = Dialog {
                streams: [None; 2],
                passes: 0,
                heard: now,
            };
            self.rows.push(key, dialog);
        }
        if let Some(dialog) = self.rows.get_mut(key) {
            dialog.heard = now;
            dialog.passes = dialog.passes.saturating_add(u8::from(opens)).max(1);
            streams.for_each(|stream| dialog.uses(stream));
        }
    }

    /// A BYE goes on.
    fn ended(&mut self, key: u64) {
        if let Some(dialog) = self.rows.get_mut(key) {
            dialog.passes -= 1;
            if dialog.passes == 0 {
                self.rows.remove(key);
            }
        }
    }

    /// Forgets those whose BYE has never come.
    pub(super) fn sweep(&mut self, now: Instant) {
        let is_over = |_, dialog: &mut Dialog| now >= dialog.heard + limits::DIALOG_MAX;
        self.rows.sweep(limits::DIALOGS_SWEPT, is_over);
    }

    /// The connections that they use.
    pub(super) fn streams(&self) -> impl Iterator<Item = StreamId> {
        let streams = self.rows.values().map(|dialog| dialog.streams);
        streams.flat_map(|streams| streams.into_iter().flatten())
    }
}

carried!(Dialogs {
    parts: rows;
});

impl Proxy {
    /// Dialogs that lead through here, as far as it is known.
    #[must_use]
    pub(crate) const fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// The callee has accepted an INVITE: `streams` are the connections of the phones on both
    /// sides, `opens` says that it is the beginning of its dialog.
    pub(super) fn note_dialog(
        &mut self,
        turn: &Turn<'_>,
        response: &Response<'_>,
        streams: [Option<Flow>; 2],
        opens: bool,
    ) {
        if turn.policy.holds_phones() {
            let streams = streams.into_iter().filter_map(|flow| flow?.stream());
            let key = key(turn, response.bytes, response.message);
            self.dialogs.accepted(turn.now, key, opens, streams);
        }
    }

    /// A BYE goes on to the other side.
    pub(super) fn note_bye(&mut self, turn: &Turn<'_>, request: &Request<'_>) {
        if !self.dialogs.rows.is_empty() {
            self.dialogs
                .ended(key(turn, request.bytes, request.message));
        }
    }

    /// Adds the connections that something is under way on: dialogs, and requests that have no
    /// final answer yet.
    pub(crate) fn add_streams_in_use(&self, out: &mut Vec<StreamId>) {
        out.extend(self.dialogs.streams());
        let unanswered = self.contexts.iter().filter(|context| !context.answered);
        for context in unanswered {
            out.extend(context.ingress.flow.stream());
            let hops = context.branches.iter().map(|branch| branch.target.hop);
            out.extend(hops.filter_map(|hop| match hop {
                Hop::Flow(flow) => flow.stream(),
                Hop::To { .. } | Hop::Named(_) => None,
            }));
        }
    }
}

fn key(turn: &Turn<'_>, bytes: &[u8], message: &Message) -> u64 {
    let call_id = message.first(Name::CallId);
    let call_id = call_id.map_or(&b""[..], |header| header.value.of(bytes));
    turn.net.secrets.hash([call_id])
}
