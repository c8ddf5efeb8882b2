//! Our Record-Route value in the answers to a request (RFC 3261 §16.7-8): the mark of the
//! calling side in the place of that of the called side, and in a value of its own where
//! the two sides need different ones.

use std::ops::Range;

use super::{Mark, Next, Own, Said, TEXT_LEN, call_id, contact, from_tag, to_tag, uri_in};
use crate::scan::{Message, Name};
use crate::stick::MARK_PARAM;

/// What becomes of our value in the answers (RFC 3261 §16.7-8).
#[derive(Clone, Copy, Debug)]
pub struct Turned<'a> {
    /// The mark that the request carried.
    pub mark: Mark,
    /// The URI that the calling side gets instead of the one in the request, up to its
    /// mark; none where it is the same.
    pub there: Option<&'a [u8]>,
    /// The place of our value among those of the answer, where that is known: a phone
    /// may have left the mark out.
    pub place: Option<usize>,
}

impl Turned<'_> {
    /// What is to be replaced in the Record-Route of an answer, and what it says of
    /// the dialog to the calling side: behind us comes the value that stands above
    /// ours, else the Contact. An answer may say nothing of it, and then the calling
    /// side has no mark.
    pub(super) fn find<'a>(
        &'a self,
        bytes: &'a [u8],
        message: &'a Message,
    ) -> Option<(Range<usize>, Option<Said<'a>>)> {
        let mut above = None;
        let mut values = message.values(bytes, Name::RecordRoute).enumerate();
        let (place, own, next) = values.find_map(|(place, value)| {
            let text = value.of(bytes);
            let start = usize::from(value.start);
            let mark = self.mark.within(text);
            match self.there {
                Some(there) if mark.is_some() || self.place == Some(place) => {
                    let uri = uri_in(text)?;
                    let before = memchr::memmem::find(text, uri)?;
                    let start = start + before;
                    return Some((start..start + uri.len(), Own::of(there), above));
                }
                None if let Some(at) = mark => {
                    let start = start + at;
                    return Some((start..start + TEXT_LEN, Own::of(uri_in(text)?), above));
                }
                Some(_) | None => {}
            }
            above = Some(text);
            None
        })?;
        Some((place, said(bytes, message, own, next)))
    }

    /// The URI for the calling side without a mark, and without what is written for one
    /// alone.
    pub(super) fn unmarked(&self) -> Option<&[u8]> {
        let there = self.there?;
        let alone = there.strip_suffix(b"=").and_then(|there| {
            let there = there.strip_suffix(MARK_PARAM.as_bytes())?;
            there.strip_suffix(b";")
        });
        alone.or_else(|| there.strip_suffix(b"."))
    }
}

fn said<'a>(
    bytes: &'a [u8],
    message: &'a Message,
    own: Own<'a>,
    above: Option<&'a [u8]>,
) -> Option<Said<'a>> {
    Some(Said {
        call_id: call_id(bytes, message)?,
        own_tag: Some(from_tag(bytes, message)?),
        peer_tag: to_tag(bytes, message)?,
        own,
        next: match above {
            Some(value) => Next::Route(uri_in(value)?),
            None => contact(bytes, message)?,
        },
    })
}

impl Mark {
    /// Where it stands in a Record-Route value: nearly always where we wrote it,
    /// at the end.
    fn within(&self, value: &[u8]) -> Option<usize> {
        let end = value.len().checked_sub(TEXT_LEN + 1)?;
        if value.get(end..)?.starts_with(&self.0) {
            return Some(end);
        }
        let mut before = memchr::memchr2_iter(b'.', b'=', value);
        before.find_map(|at| value.get(at + 1..)?.starts_with(&self.0).then_some(at + 1))
    }
}
