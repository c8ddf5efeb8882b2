//! What a registrar has granted a phone: which Contact of a 2xx is its own, and for how long.

use super::phone::Phone;
use crate::limits;
use crate::proxy::Response;
use crate::scan::Name;
use crate::scan::address::Address;
use crate::uri;

/// The binding at the registrar that a 2xx shows for the phone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    /// Its Contact in the 2xx.
    pub(super) contact: Address,
    /// How long the registrar keeps that Contact, in seconds.
    pub(super) seconds: u32,
}

impl Granted {
    /// The phone's Contact in the 2xx and its duration; `None` when it is not among those bound.
    pub(super) fn of(base: &[u8], phone: &Phone, response: &Response<'_>) -> Option<Self> {
        let bytes = response.bytes;
        let default = response
            .message
            .number(bytes, Name::Expires)
            .ok()
            .flatten()
            .unwrap_or(limits::EXPIRES_DEFAULT_S);
        let ours = contact_of(base, phone, response)?;
        let seconds = ours.number(bytes, "expires").unwrap_or(default);
        Some(Self {
            contact: ours,
            seconds,
        })
    }
}

/// Which Contact of the 2xx is this phone's: the one of its URI (RFC 3261
/// §19.1.4), since a phone without flows may have several, else the one of its
/// instance and reg-id (RFC 5626 §6). One URI may be that of several flows.
fn contact_of(base: &[u8], phone: &Phone, response: &Response<'_>) -> Option<Address> {
    let bytes = response.bytes;
    let wanted = phone.instance.map(|value| value.of(base));
    // The lower, the surer it is this phone's; `None`: it is another phone's.
    let distance = |address: &Address| {
        let instance = address.instance(bytes).map(|value| value.of(bytes));
        let is_instance = wanted.is_some() && instance == wanted;
        let reg_id = address.number(bytes, "reg-id").unwrap_or(0);
        let is_contact = uri::equal(address.uri.of(bytes), phone.contact.of(base));
        match (is_contact, is_instance) {
            (true, true) if reg_id == phone.reg_id => Some(0),
            (true, _) if phone.reg_id == 0 => Some(1),
            (_, true) if reg_id == phone.reg_id => Some(2),
            (_, true) if reg_id == 0 => Some(3),
            (true, _) => Some(4),
            (false, _) => None,
        }
    };
    let contacts = response.message.values(bytes, Name::Contact);
    let contacts = contacts.filter_map(|value| Address::parse(bytes, value).ok());
    let ours = contacts.filter_map(|address| Some((distance(&address)?, address)));
    ours.min_by_key(|(distance, _)| *distance)
        .map(|(_, address)| address)
}
