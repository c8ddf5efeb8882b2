//! The dialog mark: evidence that a request belongs to a dialog which we let
//! in, and that it goes on where that dialog leads.
//!
//! A To tag is in anybody's reach, and so is a Route set that names us; a MAC is
//! not. We write one into our own Record-Route URI, over the Call-ID, the tags
//! as far as they are known, and whoever follows behind us. It stands in the
//! route set of one side of the dialog only:
//!
//! - The called side finds in the request the mark that is good for what it
//!   will send. Its own tag is not known then.
//! - In the answers we put another mark in its place, as RFC 3261 §16.7-8
//!   allows, so that the calling side gets the one that is good for it.
//!
//! So neither side can go the other one's way, and neither of them elsewhere.
//! Nothing is remembered for it, and every node with the key judges alike.
//!
//! What follows behind us is covered as far as it decides on the way, and with
//! its user part where it is a Route value, which is then a token. The far
//! side's Contact may take another user part within a dialog (target refresh,
//! RFC 3261 §12.2), but no other address without a new proof of who sends there.

use aes::Aes128;
use cmac::{Cmac, Mac};
use data_encoding::BASE32_DNSSEC;

use crate::edit::Edits;
use crate::scan::uri::Uri;
use crate::scan::{Message, Name};
use crate::stick::DIALOG_MARK as PARAM;

/// 80 bits, as in the example of RFC 5626 §5.2.
const MAC_LEN: usize = 10;
/// One character for its kind and the base32 of the MAC.
const TEXT_LEN: usize = 17;
/// Keeps this use of the key apart from any other.
const CONTEXT: &[u8; 16] = b"steadfast dlg 01";
/// Longest host that is compared without regard to its case.
const HOST_MAX: usize = 255;

/// A mark as it stands in a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark([u8; TEXT_LEN]);

/// For which side it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Made of a request, for the called side.
    Called,
    /// Made of an answer, for the calling side.
    Calling,
    /// The same two of a request that an edge took from a phone.
    CalledOut,
    /// Its calling side.
    CallingOut,
}

impl Side {
    const fn letter(self) -> u8 {
        match self {
            Self::Called => b'q',
            Self::Calling => b's',
            Self::CalledOut => b'p',
            Self::CallingOut => b't',
        }
    }
}

/// Who follows behind us in the route set of the side that a mark is for.
#[derive(Clone, Copy, Debug)]
pub enum Next<'a> {
    /// A Route value, in these bytes.
    Route(&'a [u8], Uri),
    /// The far side's Contact, or the Request-URI that was one.
    Target(&'a [u8], Uri),
}

impl<'a> Next<'a> {
    /// Who is behind us for the side that a request goes to.
    #[must_use]
    pub fn behind(bytes: &'a [u8], message: &Message) -> Option<Self> {
        match message.values(bytes, Name::RecordRoute).next() {
            Some(value) => Some(Self::Route(bytes, Uri::in_value(bytes, value).ok()?)),
            None => contact(bytes, message),
        }
    }

    /// The URI, and what it stands in.
    #[must_use]
    pub const fn uri(&self) -> (&'a [u8], &Uri) {
        match self {
            Self::Route(bytes, uri) | Self::Target(bytes, uri) => (bytes, uri),
        }
    }
}

/// The key of the marks.
#[derive(Clone)]
pub struct MarkKey(Cmac<Aes128>);

impl std::fmt::Debug for MarkKey {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("MarkKey")
    }
}

/// What a mark is over: the dialog as one side names it, and the way.
struct Said<'a> {
    call_id: &'a [u8],
    /// The tag of the side that the mark is for; none where it is not known.
    own_tag: Option<&'a [u8]>,
    peer_tag: &'a [u8],
    next: Next<'a>,
}

impl MarkKey {
    /// The key that follows from the secret of the cluster or of the homes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        // One block of the secret keys the MAC that makes the key of the other.
        let (first, second) = secret.split_at(16);
        let fixed = |half: &[u8]| {
            let mut key = [0; 16];
            key.copy_from_slice(half);
            key
        };
        let derive = <Cmac<Aes128> as cmac::digest::KeyInit>::new(&fixed(first).into());
        let derived = derive.chain_update(CONTEXT).chain_update(second);
        let key = derived.finalize().into_bytes();
        Self(<Cmac<Aes128> as cmac::digest::KeyInit>::new(&key))
    }

    fn mac(&self, side: Side, said: &Said<'_>) -> Cmac<Aes128> {
        let mut mac = self.0.clone();
        mac.update(&[side.letter()]);
        field(&mut mac, said.call_id);
        field(&mut mac, said.peer_tag);
        field(&mut mac, said.own_tag.unwrap_or_default());
        match said.next {
            Next::Route(bytes, uri) => {
                field(&mut mac, b"route");
                way(&mut mac, bytes, &uri);
                field(&mut mac, uri.user.unwrap_or_default().of(bytes));
            }
            Next::Target(bytes, uri) => {
                field(&mut mac, b"target");
                way(&mut mac, bytes, &uri);
            }
        }
        mac
    }

    fn mark(&self, side: Side, said: &Said<'_>) -> Mark {
        let mac = self.mac(side, said).finalize().into_bytes();
        let mut text = [side.letter(); TEXT_LEN];
        BASE32_DNSSEC.encode_mut(&mac[..MAC_LEN], &mut text[1..]);
        Mark(text)
    }

    /// The mark for the side that a request goes to. `None` where the request
    /// names no dialog, or nobody who could be answered.
    #[must_use]
    pub fn of_request(&self, bytes: &[u8], message: &Message) -> Option<Mark> {
        self.of(Side::Called, bytes, message)
    }

    /// The same of a request that a phone has sent.
    #[must_use]
    pub fn of_phone(&self, bytes: &[u8], message: &Message) -> Option<Mark> {
        self.of(Side::CalledOut, bytes, message)
    }

    fn of(&self, side: Side, bytes: &[u8], message: &Message) -> Option<Mark> {
        let said = Said {
            call_id: call_id(bytes, message)?,
            // In a dialog that there is already the tag of the called side is known.
            own_tag: to_tag(bytes, message),
            peer_tag: from_tag(bytes, message)?,
            next: Next::behind(bytes, message)?,
        };
        Some(self.mark(side, &said))
    }

    /// Who is behind us by an answer, for the calling side.
    #[must_use]
    pub fn behind<'a>(
        mark: Mark,
        above: usize,
        (bytes, message): (&'a [u8], &'a Message),
    ) -> Option<Next<'a>> {
        let at = mark.find(bytes, message)?;
        said_of_answer((bytes, message), at, above).map(|said| said.next)
    }

    /// Whether an edge sends by the Route what shows this mark: not to the phone
    /// whose flow it has, which is there whatever stands in its Route.
    #[must_use]
    pub fn leads_on(text: &[u8]) -> bool {
        matches!(text.first(), Some(b'q' | b't'))
    }

    /// Puts the mark for the calling side in the place of the one that the
    /// request carried. `above`: so many of our own values stand above it.
    pub fn turn(
        &self,
        mark: Mark,
        above: usize,
        (bytes, message): (&[u8], &Message),
        edits: &mut Edits,
    ) {
        let Some(at) = mark.find(bytes, message) else {
            return;
        };
        let Some(said) = said_of_answer((bytes, message), at, above) else {
            return;
        };
        let side = match mark.0.first() {
            Some(b'p') => Side::CallingOut,
            Some(_) | None => Side::Calling,
        };
        let turned = self.mark(side, &said);
        edits.replace(at..at + TEXT_LEN, |out| out.extend_from_slice(&turned.0));
    }

    /// Whether `text` is the mark of the dialog of a request that goes on to
    /// `next`.
    #[must_use]
    pub fn verify(&self, text: &[u8], bytes: &[u8], message: &Message, next: Next<'_>) -> bool {
        let side = match text.first() {
            Some(b'q') => Side::Called,
            Some(b's') => Side::Calling,
            Some(b'p') => Side::CalledOut,
            Some(b't') => Side::CallingOut,
            Some(_) | None => return false,
        };
        let mut raw = [0; MAC_LEN];
        let text = text.get(1..).unwrap_or_default();
        let reads = text.len() == TEXT_LEN - 1 && BASE32_DNSSEC.decode_mut(text, &mut raw).is_ok();
        let (Some(call_id), Some(peer_tag)) = (call_id(bytes, message), to_tag(bytes, message))
        else {
            return false;
        };
        let own_tag = from_tag(bytes, message);
        let matches = |own_tag| {
            let said = Said {
                call_id,
                own_tag,
                peer_tag,
                next,
            };
            self.mac(side, &said).verify_truncated_left(&raw).is_ok()
        };
        // The called side's was made before it had a tag, or when it had one.
        let is_called = matches!(side, Side::Called | Side::CalledOut);
        reads && (is_called && matches(None) || matches(own_tag))
    }
}

impl Mark {
    /// Writes the parameter.
    pub fn write(&self, out: &mut Vec<u8>) {
        for part in [b";", PARAM.as_bytes(), b"=", &self.0] {
            out.extend_from_slice(part);
        }
    }

    /// Where it stands in the Record-Route of a message.
    fn find(&self, bytes: &[u8], message: &Message) -> Option<usize> {
        let mut lines = message.all(Name::RecordRoute);
        lines.find_map(|header| {
            let within = memchr::memmem::find(header.value.of(bytes), &self.0)?;
            Some(usize::from(header.value.start) + within)
        })
    }
}

/// What the answer to a request says of its dialog to the calling side: behind
/// us comes the value that stands above ours, else the Contact.
fn said_of_answer<'a>(
    (bytes, message): (&'a [u8], &'a Message),
    at: usize,
    above: usize,
) -> Option<Said<'a>> {
    let mut before = [None; 3];
    for value in message.values(bytes, Name::RecordRoute) {
        if value.range().contains(&at) {
            break;
        }
        before.rotate_right(1);
        before[0] = Some(value);
    }
    let next = match *before.get(above)? {
        Some(value) => Next::Route(bytes, Uri::in_value(bytes, value).ok()?),
        None => contact(bytes, message)?,
    };
    Some(Said {
        call_id: call_id(bytes, message)?,
        own_tag: Some(from_tag(bytes, message)?),
        peer_tag: to_tag(bytes, message)?,
        next,
    })
}

fn contact<'a>(bytes: &'a [u8], message: &Message) -> Option<Next<'a>> {
    let value = message.values(bytes, Name::Contact).next()?;
    let uri = Uri::in_value(bytes, value).ok()?;
    Some(Next::Target(bytes, uri))
}

fn call_id<'a>(bytes: &'a [u8], message: &Message) -> Option<&'a [u8]> {
    message
        .first(Name::CallId)
        .map(|header| header.value.of(bytes))
}

fn from_tag<'a>(bytes: &'a [u8], message: &Message) -> Option<&'a [u8]> {
    message.from_tag().map(|tag| tag.of(bytes))
}

fn to_tag<'a>(bytes: &'a [u8], message: &Message) -> Option<&'a [u8]> {
    message.to_tag().map(|tag| tag.of(bytes))
}

/// With its length, so that no two lists of fields are the same octets.
fn field(mac: &mut Cmac<Aes128>, field: &[u8]) {
    let length = u16::try_from(field.len()).unwrap_or(u16::MAX);
    mac.update(&length.to_be_bytes());
    mac.update(field);
}

/// Where a URI leads: its host, its port, and the address that stands in for the
/// host (RFC 3263 §4).
fn way(mac: &mut Cmac<Aes128>, bytes: &[u8], uri: &Uri) {
    host(mac, uri.host.of(bytes));
    mac.update(&uri.port.unwrap_or_default().to_be_bytes());
    let maddr = uri.param(bytes, "maddr").flatten().unwrap_or_default();
    field(mac, maddr.of(bytes));
}

/// A host in any case is the same one.
fn host(mac: &mut Cmac<Aes128>, host: &[u8]) {
    let mut small = [0; HOST_MAX];
    match small.get_mut(..host.len()) {
        Some(small) => {
            small.copy_from_slice(host);
            small.make_ascii_lowercase();
            field(mac, small);
        }
        None => field(mac, host),
    }
}

#[cfg(test)]
mod tests;
