//! Our Record-Route value in the answers to a request (RFC 3261 §16.7-8): the mark of the
//! calling side in the place of that of the called side, and in a value of its own where
//! the two sides need different ones.

use std::ops::Range;

use super::{
    Mark, MarkInput, MarkedValue, Next, TEXT_LEN, call_id, contact, from_tag, to_tag, uri_in,
};
use crate::scan::{Message, Name};
use crate::span::Span;
use crate::uri::own::MARK_PARAM;

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
        is_own: impl Fn(&[u8]) -> bool,
    ) -> Option<(Range<usize>, Option<MarkInput<'a>>)> {
        let Ours { value, mark, above } = self.ours(bytes, message, is_own)?;
        let (text, start) = (value.of(bytes), usize::from(value.start));
        let uri = uri_in(text)?;
        let (place, own) = match self.there {
            Some(there) => {
                let start = start + memchr::memmem::find(text, uri)?;
                (start..start + uri.len(), there)
            }
            None => {
                let start = start + mark?;
                (start..start + TEXT_LEN, uri)
            }
        };
        Some((place, input(bytes, message, own, above)))
    }

    /// Our value in an answer. Whoever has read the mark can write it anywhere, and then
    /// another one would be made for what is not ours: our value is where the answer
    /// has to have it, else the last one that says the way that ours does, since what
    /// is added to an answer is added above. One with the mark comes first among those,
    /// as one and the same request may have passed here twice.
    fn ours<'a>(
        &self,
        bytes: &'a [u8],
        message: &'a Message,
        is_own: impl Fn(&[u8]) -> bool,
    ) -> Option<Ours<'a>> {
        let all = || {
            let mut above = None;
            message.values(bytes, Name::RecordRoute).map(move |value| {
                let above = above.replace(value.of(bytes));
                Ours {
                    value,
                    mark: None,
                    above,
                }
            })
        };
        let read = |ours: Ours<'a>| Ours {
            mark: self.mark.within(ours.value.of(bytes)),
            ..ours
        };
        if let Some(place) = self.place {
            return all().nth(place).map(read);
        }
        let is_own = |ours: &Ours<'_>| is_own(ours.value.of(bytes));
        let marked = all().map(read).filter(|ours| ours.mark.is_some());
        let marked = marked.filter(is_own).last();
        marked.or_else(|| {
            let unmarked = all().filter(|ours| self.there.is_some() && is_own(ours));
            unmarked.last()
        })
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

/// The value of ours in an answer.
struct Ours<'a> {
    value: Span,
    /// Where the mark stands in it.
    mark: Option<usize>,
    /// The value above.
    above: Option<&'a [u8]>,
}

fn input<'a>(
    bytes: &'a [u8],
    message: &'a Message,
    own: &'a [u8],
    above: Option<&'a [u8]>,
) -> Option<MarkInput<'a>> {
    Some(MarkInput {
        call_id: call_id(bytes, message)?,
        own_tag: Some(from_tag(bytes, message)?),
        peer_tag: to_tag(bytes, message)?,
        next: match above {
            Some(value) => Next::Route(uri_in(value)?),
            None => contact(bytes, message)?,
        },
        own: MarkedValue::of(own),
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
