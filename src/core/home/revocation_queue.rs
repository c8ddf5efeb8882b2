//! The addresses of record that are still to be revoked.

use std::collections::VecDeque;

use super::Revoked;
use crate::carry::carried;

/// Lists of addresses of record, which are revoked one after the other.
#[derive(Debug, Default)]
pub(super) struct RevocationQueue {
    /// Each with the index of the address in it that is next.
    lists: VecDeque<(Revoked, usize)>,
    /// A timer runs after which the next ones are revoked.
    pub(super) has_timer: bool,
}

impl RevocationQueue {
    /// Puts a list behind the others.
    pub(super) fn push(&mut self, list: Revoked) {
        if !list.is_empty() {
            self.lists.push_back((list, 0));
        }
    }

    /// Takes the next address of record.
    pub(super) fn pop(&mut self) -> Option<Box<[u8]>> {
        loop {
            let (list, index) = self.lists.front_mut()?;
            if let Some(aor) = list.get(*index) {
                *index += 1;
                return Some(aor.clone());
            }
            self.lists.pop_front();
        }
    }

    /// Whether nothing is left. A list of which every address was taken counts as left
    /// until `pop` has found it so.
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }
}

carried!(RevocationQueue {
    values: lists, has_timer;
});
