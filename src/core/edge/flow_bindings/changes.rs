//! The changes to flow bindings over UDP, for the table on disk that outlives the process.
//! None is kept before `begin`.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::binding::FlowBinding;
use crate::carry::carried;
use crate::edge::Subscriber;
use crate::id::Flow;

/// One change.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::edge) enum TableChange {
    /// The binding at this index is new, or was renewed.
    Bound(u32),
    /// This binding has ended, or leads over a connection now.
    Gone(Gone),
}

/// The subscriber and reg-id of a binding that has ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::edge) struct Gone {
    /// The address of record and the instance behind it.
    text: Box<[u8]>,
    user_len: usize,
    realm_len: usize,
    pub(in crate::edge) reg_id: u32,
}

/// The changes that nobody has taken yet.
#[derive(Debug)]
pub(super) struct TableChanges {
    waiting: VecDeque<TableChange>,
    is_on: bool,
}

impl TableChanges {
    pub(super) const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            is_on: false,
        }
    }

    pub(super) const fn begin(&mut self) {
        self.is_on = true;
    }

    pub(super) fn next(&mut self) -> Option<TableChange> {
        self.waiting.pop_front()
    }

    /// A binding replaces another with the same subscriber and reg-id.
    pub(super) fn renewed(&mut self, was: &FlowBinding<'_>, is: &FlowBinding<'_>) {
        if is.flow.is_reliable() {
            self.gone(was);
        }
    }

    /// A binding was added at an index.
    pub(super) fn bound(&mut self, index: u32, is: &FlowBinding<'_>) {
        if self.is_on && matches!(is.flow, Flow::Udp { .. }) {
            self.waiting.push_back(TableChange::Bound(index));
        }
    }

    /// A binding was removed.
    pub(super) fn gone(&mut self, was: &FlowBinding<'_>) {
        if self.is_on && matches!(was.flow, Flow::Udp { .. }) {
            self.waiting.push_back(TableChange::Gone(Gone {
                text: [was.aor, was.subscriber.instance].concat().into(),
                user_len: was.subscriber.user.len(),
                realm_len: was.subscriber.realm.len(),
                reg_id: was.reg_id,
            }));
        }
    }
}

impl Gone {
    /// The subscriber that was bound.
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

carried!(TableChanges {
    values: waiting;
    made: is_on;
});
