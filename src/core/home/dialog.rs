//! Which dialog a message belongs to. Carrier trunks record-route by an address on a
//! connection that was opened by name. Nobody can prove an address, so that URI sticks to
//! the connection within its dialog only.

use std::num::NonZeroU64;

use crate::proxy::Net;
use crate::scan::{Message, Name};
use crate::stick::DialogHash;

/// The dialog of a message, whichever side sent it; `None` outside of one.
pub(super) fn dialog_of(net: &Net, bytes: &[u8], message: &Message) -> Option<DialogHash> {
    let (from, to) = (message.from_tag()?.of(bytes), message.to_tag()?.of(bytes));
    let call_id = message.first(Name::CallId)?.value.of(bytes);
    let hash = net.secrets.hash([call_id, from.min(to), from.max(to)]);
    NonZeroU64::new(hash).map(DialogHash)
}
