//! What changed of the registrations that lead over UDP, for the table that
//! outlives the process. Nothing is noted until somebody asks for it.

use std::collections::VecDeque;

use super::FlowBinding;
use crate::edge::Subscriber;
use crate::id::Flow;

/// One change.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edge) enum Note {
    /// What is at this place is new, or newer.
    Bound(u32),
    /// This one leads nowhere over UDP any more.
    Gone(Gone),
}

/// Which registration it was.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::edge) struct Gone {
    /// The address of record and the instance behind it.
    text: Box<[u8]>,
    user_len: usize,
    realm_len: usize,
    pub(in crate::edge) reg_id: u32,
}

/// The changes that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Notes {
    waiting: VecDeque<Note>,
    is_on: bool,
}

impl Notes {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            is_on: false,
        }
    }

    pub(super) const fn begin(&mut self) {
        self.is_on = true;
    }

    pub(super) fn next(&mut self) -> Option<Note> {
        self.waiting.pop_front()
    }

    /// One takes the place of another with its subscriber and reg-id.
    pub(super) fn renewed(&mut self, was: &FlowBinding<'_>, is: &FlowBinding<'_>) {
        if is.flow.is_reliable() {
            self.gone(was);
        }
    }

    /// One is at this place now.
    pub(super) fn bound(&mut self, at: u32, is: &FlowBinding<'_>) {
        if self.is_on && matches!(is.flow, Flow::Udp { .. }) {
            self.waiting.push_back(Note::Bound(at));
        }
    }

    pub(super) fn gone(&mut self, was: &FlowBinding<'_>) {
        if self.is_on && matches!(was.flow, Flow::Udp { .. }) {
            self.waiting.push_back(Note::Gone(Gone {
                text: [was.aor, was.subscriber.instance].concat().into(),
                user_len: was.subscriber.user.len(),
                realm_len: was.subscriber.realm.len(),
                reg_id: was.reg_id,
            }));
        }
    }
}

impl Gone {
    /// Whose it was.
    pub(in crate::edge) fn subscriber(&self) -> Subscriber<'_> {
        let (user, rest) = self.text.split_at(self.user_len);
        let (realm, instance) = rest.split_at(self.realm_len + 1);
        Subscriber {
            user,
            realm: realm.get(1..).unwrap_or_default(),
            instance,
        }
    }
}
