//! The addresses of record that are still to be revoked.

use std::collections::VecDeque;

use crate::home::Revoked;

/// Addresses of record that are still to be revoked.
#[derive(Debug, Default)]
pub(in crate::home) struct Revoking {
    /// With the place of the next one.
    pub(in crate::home) lists: VecDeque<(Revoked, usize)>,
    pub(in crate::home) is_armed: bool,
}

impl Revoking {
    pub(in crate::home) fn next(&mut self) -> Option<Box<[u8]>> {
        loop {
            let (list, index) = self.lists.front_mut()?;
            if let Some(aor) = list.get(*index) {
                *index += 1;
                return Some(aor.clone());
            }
            self.lists.pop_front();
        }
    }
}
