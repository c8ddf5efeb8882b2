//! What another shard of this edge says: which phones it holds, and over which flows their
//! dialogs were refreshed there.

use super::flow_bindings::User;
use super::state::Edge;
use crate::proxy::Step;
use crate::send::EdgeHandoff;

impl Edge {
    /// Takes in what another shard says.
    pub(crate) fn on_handoff(&mut self, step: &mut Step<'_>, from: u8, news: EdgeHandoff) {
        match news {
            EdgeHandoff::Holds { phone, until, came } => {
                self.directory.set(step.now, phone, from, until);
                if let Some(held) = came {
                    self.release_elsewhere(step, phone, from, &held);
                }
            }
            EdgeHandoff::Moved(held) => self.release_binding(step, &held),
            EdgeHandoff::Revoked { user, realm } => self.forget_user(
                step,
                User {
                    name: &user,
                    realm: &realm,
                },
            ),
            EdgeHandoff::Refreshed {
                refresh,
                flow,
                far,
                is_proven,
            } => self.on_refresh_elsewhere(step, refresh, flow, far, is_proven),
            EdgeHandoff::Over { dialog } => self.refreshed.end(dialog),
            EdgeHandoff::Renewed { phone } => {
                self.refreshed.end_all_of(phone);
            }
        }
    }
}
