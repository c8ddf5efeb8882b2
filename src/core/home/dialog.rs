//! Which dialog a message belongs to, and what sticks within it only: a
//! neighbour that record-routes by an address, which nobody can prove, on a
//! connection that was opened by name. Carrier trunks do.

use super::policy::Home;
use crate::id::Flow;
use crate::proxy::{Net, Step};
use crate::scan::{Message, Name};
use crate::stick::{Bound, Dialog};
use crate::time::Instant;
use std::num::NonZeroU64;

impl Home {
    /// Binds an address in a Record-Route to the connection its dialog runs on;
    /// false when it is a name, or the flow no connection: what is sent to an
    /// address by UDP gets there anyway.
    pub(super) fn bind_in_dialog(
        &mut self,
        step: &mut Step<'_>,
        flow: Flow,
        uri: &[u8],
        dialog: Option<Dialog>,
        until: Instant,
    ) -> bool {
        let Some(dialog) = dialog.filter(|_| flow.is_reliable()) else {
            return false;
        };
        let bound = self.stick.bind_dialog(step.now, flow, uri, dialog, until);
        step.net.counters.stick_bound += u64::from(bound == Bound::New);
        matches!(bound, Bound::New | Bound::Refreshed)
    }
}

/// The dialog of a message, whichever side sent it; `None` outside of one.
pub(super) fn dialog_of(net: &Net, bytes: &[u8], message: &Message) -> Option<Dialog> {
    let (from, to) = (message.from_tag()?.of(bytes), message.to_tag()?.of(bytes));
    let call_id = message.first(Name::CallId)?.value.of(bytes);
    let hash = net.secrets.hash([call_id, from.min(to), from.max(to)]);
    NonZeroU64::new(hash).map(Dialog)
}
