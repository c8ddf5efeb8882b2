//! The response context of RFC 3261 §16: one request and its branches.

use serde::{Deserialize, Serialize};

use super::Note;
use super::branch::{AnswerWeight, Branch, BranchState};
use crate::admission::RequestClass;
use crate::bytes::Buf;
use crate::id::ServerId;
use crate::limits;
use crate::scan::Method;
use crate::send::Refresh;
use crate::span::Span;
use crate::time::Instant;
use crate::trust::Ingress;

/// One request under way.
#[derive(Debug, Serialize, Deserialize)]
pub struct Context {
    /// Its method.
    pub method: Method,
    /// When it came.
    pub(super) began: Instant,
    /// Where it came in, and what was found out there.
    pub ingress: Ingress,
    /// Its number in the flight recorder, which a new process does not have.
    #[serde(skip, default = "unrecorded")]
    pub(super) recorded: u64,
    /// What the role noted.
    pub note: Note,
    /// Of a target refresh (RFC 3261 §12.2): once it gets a 2xx, requests of its dialog go
    /// to the flow that it came by.
    pub refresh: Option<Refresh>,
    /// Our Via says that a stranger sent it.
    pub(super) is_guest: bool,
    /// It belongs to no dialog yet: keep-alives may be agreed on with it (K-2).
    pub(super) is_out_of_dialog: bool,
    /// What it is worth to a server that wants fewer (V-4).
    pub(super) class: RequestClass,
    /// Per cent of requests that the next server asked to be spared, where a branch was
    /// not sent because of it.
    pub(super) requested_loss: Option<u8>,
    pub(super) server: Option<ServerId>,
    /// The request with the common changes made; let go once it cannot be
    /// needed any more.
    pub(super) base: Option<Buf>,
    /// The Request-URI in `base`.
    pub(super) uri: Span,
    /// Where added lines go in `base`.
    pub(super) headers_start: usize,
    /// Length of a body that came without Content-Length.
    pub(super) unsized_body: Option<usize>,
    /// Second part of our branches (L-2).
    pub(super) loop_hash: Option<u32>,
    /// Max-Breadth still to give away.
    pub(super) breadth: u16,
    pub(super) branches: Vec<Branch>,
    /// Transactions that still name this context.
    pub(super) live: u16,
    /// Via lines of the request as received; an answer upstream has as many.
    pub(super) vias: usize,
    /// The Reason lines of the CANCEL that came (RFC 3326).
    pub(super) reason: Option<Buf>,
    /// It waits for a home to be back.
    pub(super) is_held: bool,
    /// It has waited for one.
    pub(super) was_held: bool,
    /// A final answer went upstream.
    pub(super) answered: bool,
    /// Nothing new is started: after a CANCEL, a 2xx or 6xx, an eviction, or once the sender
    /// has given up.
    pub(super) closed: bool,
}

/// What stands for the number of a request that this process has not recorded.
const fn unrecorded() -> u64 {
    crate::recorder::NOBODY
}

impl Context {
    /// Somebody has taken the call.
    pub(super) fn is_taken(&self) -> bool {
        let mut branches = self.branches.iter();
        branches.any(|branch| matches!(branch.state, BranchState::Done(200..300)))
    }

    /// Whether others are to be tried once all of this preference have ended.
    pub(super) fn has_lower(&self, rank: u16) -> bool {
        let mut branches = self.branches.iter();
        !self.closed
            && !self.answered
            && branches.any(|branch| branch.target.rank > rank && branch.is_ready())
    }

    /// The index of the first branch of the chain of stand-bys that a branch is in. A chain
    /// leads to one phone, by one way after the other; another chain leads to another phone.
    pub(super) fn head(&self, index: usize) -> usize {
        let mut head = index;
        for _ in &self.branches {
            let branch = self.branches.get(head);
            match branch.and_then(|branch| branch.target.after) {
                Some(after) => head = after.into(),
                None => break,
            }
        }
        head
    }

    /// Makes further branches a chain of stand-bys behind one, in order; the stand-by
    /// that it had comes behind the last of them. What finds no room is left out.
    pub(super) fn append_standbys(&mut self, index: usize, further: impl Iterator<Item = Branch>) {
        let before = self.branches.len();
        let mut last = index;
        for mut branch in further.take(limits::BRANCHES_MAX.saturating_sub(before)) {
            branch.target.after = u8::try_from(last).ok();
            last = self.branches.len();
            self.branches.push(branch);
        }
        let standing_by = self.branches.iter_mut().take(before);
        for branch in standing_by.filter(|branch| branch.stands_by_for(index)) {
            branch.target.after = u8::try_from(last).ok();
        }
    }

    /// The request as it goes on (common changes made, no Via of ours), while
    /// it is kept.
    #[must_use]
    pub fn request(&self) -> Option<&Buf> {
        self.base.as_ref()
    }

    /// The method's token in `base`: all before the space in front of the Request-URI.
    pub(super) fn method_token(&self) -> &[u8] {
        let end = usize::from(self.uri.start).saturating_sub(1);
        self.base
            .as_deref()
            .and_then(|base| base.get(..end))
            .unwrap_or_default()
    }

    /// Whether the final answer must wait for a branch under way, as its
    /// [`AnswerWeight`] says.
    ///
    /// Where a stand-by races its branch, to wait for both would keep the stand-by's 486
    /// from the caller for 32 seconds, and to wait for one would lose the 200 of an edge
    /// that was slow for a moment. So a silent branch is waited for as long as all that
    /// was said is of the way (430, 408, 503, 504), or is a 482, by which a phone says that
    /// it has the request by the other branch. One whose connection was lost is waited for
    /// only with such a 482, since nothing else says that its request arrived.
    pub(super) fn is_waiting(&self) -> bool {
        let is_pending = |weight: AnswerWeight| {
            let mut branches = self.branches.iter();
            branches.any(|branch| branch.is_pending() && branch.answer_weight == weight)
        };
        // 482: the phone has the request already, by the other branch.
        let is_merged = |branch: &Branch| branch.state == BranchState::Done(482);
        let is_answer = |branch: &Branch| {
            matches!(branch.state, BranchState::Done(status) if !Self::is_retryable(status))
                && !is_merged(branch)
        };
        let is_answered = || self.branches.iter().any(is_answer);
        is_pending(AnswerWeight::Awaited)
            || is_pending(AnswerWeight::StandbyStarted) && !is_answered()
            || is_pending(AnswerWeight::FlowLost)
                && self.branches.iter().any(is_merged)
                && !is_answered()
    }

    /// Every buffer that is kept with it.
    pub(super) fn for_each_buf(&mut self, mut each: impl FnMut(&mut Buf)) {
        let Self {
            note,
            base,
            reason,
            branches,
            ..
        } = self;
        base.iter_mut().chain(reason).for_each(&mut each);
        match note {
            Note::Register { token, .. } => each(token),
            Note::Dialog(Some(recorded)) => recorded.bufs().for_each(&mut each),
            Note::Dialog(None) | Note::Nothing => {}
        }
        let branches = branches.iter_mut();
        branches.flat_map(Branch::bufs).for_each(each);
    }

    pub(super) const fn is_invite(&self) -> bool {
        matches!(self.method, Method::Invite)
    }

    /// Whether a failure of this status lets a stand-by try (B-11,
    /// O-20): nobody has answered the request itself.
    pub(super) const fn is_retryable(status: u16) -> bool {
        matches!(status, 408 | 430 | 503 | 504)
    }
}
