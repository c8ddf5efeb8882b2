//! What a REGISTER tells of its phone: the Contact that is meant, the subscriber, and how the
//! phone came here.

use super::Subscriber;
use super::names::is_named;
use crate::limits;
use crate::proxy::{Net, Reply, Request};
use crate::scan::address::Address;
use crate::scan::{Message, Name};
use crate::span::Span;
use crate::uri::write_aor;

/// What a REGISTER tells of its phone.
pub(super) struct Phone {
    pub(super) contact: Span,
    /// Value of `+sip.instance`, without the brackets.
    pub(super) instance: Option<Span>,
    /// Parameter `reg-id` of the Contact; 0 without.
    pub(super) reg_id: u32,
    /// `Supported: alt-proxies`.
    pub(super) sticky: bool,
    /// `Supported: path`.
    pub(super) path: bool,
    /// The Contact expires at once: the phone has its binding removed.
    pub(super) leaves: bool,
}

/// What the Contact of a REGISTER asks for.
pub(super) enum ContactAction {
    /// To bind this phone's Contact, or to remove it.
    Binding(Phone),
    /// Nothing for one phone: `Contact: *`, or no Contact at all.
    Nothing,
}

impl ContactAction {
    /// Reads what this edge needs of a REGISTER: the first Contact with an
    /// instance, else the first; one that is removed only where none is bound.
    ///
    /// # Errors
    /// 400 for a Contact that is none.
    pub(super) fn read(bytes: &[u8], message: &Message) -> Result<Self, Reply> {
        let malformed = |_| Reply::stateless(400, "Malformed Contact");
        let default = message.number(bytes, Name::Expires).ok().flatten();
        let expires = |contact: &Address| contact.number(bytes, "expires").or(default);
        let mut chosen: Option<Address> = None;
        for value in message
            .values(bytes, Name::Contact)
            .take(limits::CONTACTS_MAX)
        {
            if value.of(bytes) == b"*" {
                return Ok(Self::Nothing);
            }
            let address = Address::parse(bytes, value).map_err(malformed)?;
            let rank = |contact: &Address| {
                let has_instance = contact.param(bytes, "+sip.instance").is_some();
                (expires(contact) != Some(0), has_instance)
            };
            if chosen
                .as_ref()
                .is_none_or(|chosen| rank(&address) > rank(chosen))
            {
                chosen = Some(address);
            }
        }
        let Some(contact) = chosen else {
            return Ok(Self::Nothing);
        };
        let expires = expires(&contact);
        Ok(Self::Binding(Phone {
            contact: contact.uri,
            instance: contact.instance(bytes),
            reg_id: contact.number(bytes, "reg-id").unwrap_or(0),
            sticky: message.has_token(bytes, Name::Supported, "alt-proxies"),
            path: message.has_token(bytes, Name::Supported, "path"),
            leaves: expires == Some(0),
        }))
    }
}

impl Phone {
    /// D-E17: whether the phone can be redirected to another edge, and does not leave anyway.
    pub(super) const fn is_movable(&self) -> bool {
        self.sticky && !self.leaves
    }

    /// Writes what tells this phone from the others of its user: its instance, or a hash of its
    /// Contact.
    fn write_instance(&self, bytes: &[u8], out: &mut Vec<u8>) {
        match self.instance {
            Some(instance) => out.extend_from_slice(instance.of(bytes)),
            None => super::pseudo_instance(self.contact.of(bytes), out),
        }
    }
}

/// The parts of a text that holds a subscriber: the address of record, then the instance.
#[derive(Clone, Copy, Default)]
pub(super) struct SubscriberText {
    user_end: usize,
    aor_end: usize,
}

impl SubscriberText {
    /// Writes the subscriber of a REGISTER into `text`, which is cleared.
    pub(super) fn write(
        bytes: &[u8],
        message: &Message,
        phone: &Phone,
        text: &mut Vec<u8>,
    ) -> Self {
        text.clear();
        let to = message.to_uri(bytes);
        let user = to.and_then(|uri| uri.user).map(|user| user.of(bytes));
        let host = to.map(|uri| uri.host.of(bytes)).unwrap_or_default();
        let user_end = write_aor(user.unwrap_or_default(), host, text);
        let aor_end = text.len();
        phone.write_instance(bytes, text);
        Self { user_end, aor_end }
    }

    pub(super) fn subscriber(self, text: &[u8]) -> Subscriber<'_> {
        let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
        Subscriber {
            user: part(0..self.user_end),
            realm: part(self.user_end + 1..self.aor_end),
            instance: part(self.aor_end..text.len()),
        }
    }

    pub(super) fn aor(self, text: &[u8]) -> &[u8] {
        text.get(..self.aor_end).unwrap_or_default()
    }
}

/// Whether a REGISTER has come here by a name, in its Route or else its Request-URI, and not by
/// an address.
pub(super) fn by_name(bytes: &[u8], message: &Message) -> bool {
    let uri = match message.routes().first() {
        Some(route) => route.uri.as_ref(),
        None => message.target(),
    };
    uri.is_some_and(|uri| is_named(bytes, uri))
}

/// Whether the phone came over IPv6: it is told addresses that it can reach.
pub(super) fn is_v6(net: &Net, request: &Request<'_>) -> bool {
    let peer = net.flows.peer(request.ingress.flow);
    peer.is_some_and(|peer| peer.is_ipv6())
}
