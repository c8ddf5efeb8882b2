//! Our Record-Route value in the answers to a request (RFC 3261 §16.7-8): the mark of the
//! called side is replaced by that of the calling side, and the whole value where
//! the two sides need different ones.

use std::ops::Range;

use super::{
    Mark, MarkInput, MarkedValue, Next, TEXT_LEN, call_id, contact, from_tag, to_tag, uri_in,
};
use crate::scan::{Message, Name};
use crate::span::Span;
use crate::uri::own_params::MARK_PARAM;

/// How our value is to be replaced in the answers (RFC 3261 §16.7-8).
#[derive(Clone, Copy, Debug)]
pub struct Turned<'a> {
    /// The mark that the request carried.
    pub mark: Mark,
    /// The URI that the calling side gets instead of the one in the request, up to its
    /// mark; `None` where the URI is the same and only the mark changes.
    pub there: Option<&'a [u8]>,
    /// The index of our value among the Record-Route values of the answer, where it is known: a
    /// phone may have left the mark out.
    pub index: Option<usize>,
}

impl Turned<'_> {
    /// The range in an answer that is to be replaced, and what the mark of the calling side is
    /// over; its next hop is the Record-Route value above ours, else the Contact. The second is
    /// `None` where the answer lacks any of that, and then the calling side gets no mark.
    pub(super) fn find<'a>(
        &'a self,
        bytes: &'a [u8],
        message: &'a Message,
        is_own: impl Fn(&[u8]) -> bool,
    ) -> Option<(Range<usize>, Option<MarkInput<'a>>)> {
        let Ours { value, mark, above } = self.ours(bytes, message, is_own)?;
        let (text, start) = (value.of(bytes), usize::from(value.start));
        let uri = uri_in(text)?;
        let (range, own) = match self.there {
            Some(there) => {
                let start = start + memchr::memmem::find(text, uri)?;
                (start..start + uri.len(), there)
            }
            None => {
                let start = start + mark?;
                (start..start + TEXT_LEN, uri)
            }
        };
        Some((range, input(bytes, message, own, above)))
    }

    /// Finds our value in an answer. The mark alone does not tell it: whoever has read the mark
    /// can write it into other values, and would get a good mark for them. So our value is the one
    /// at the known index; else, of those that `is_own` takes for ours, the last one, since values
    /// are added to an answer above. A value with the mark is preferred, as one request may have
    /// passed here twice.
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
        if let Some(index) = self.index {
            return all().nth(index).map(read);
        }
        let is_own = |ours: &Ours<'_>| is_own(ours.value.of(bytes));
        let marked = all().map(read).filter(|ours| ours.mark.is_some());
        let marked = marked.filter(is_own).last();
        marked.or_else(|| {
            let unmarked = all().filter(|ours| self.there.is_some() && is_own(ours));
            unmarked.last()
        })
    }

    /// The URI for the calling side without a mark, and without the parameter that would hold
    /// nothing but the mark.
    pub(super) fn unmarked(&self) -> Option<&[u8]> {
        let there = self.there?;
        let alone = there.strip_suffix(b"=").and_then(|there| {
            let there = there.strip_suffix(MARK_PARAM.as_bytes())?;
            there.strip_suffix(b";")
        });
        alone.or_else(|| there.strip_suffix(b"."))
    }
}

/// Our value in an answer.
struct Ours<'a> {
    value: Span,
    /// The offset of the mark in it.
    mark: Option<usize>,
    /// The Record-Route value above it.
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
    /// The offset of the mark in a Record-Route value: nearly always at the end, where we wrote it.
    fn within(&self, value: &[u8]) -> Option<usize> {
        let end = value.len().checked_sub(TEXT_LEN + 1)?;
        if value.get(end..)?.starts_with(&self.0) {
            return Some(end);
        }
        let mut before = memchr::memchr2_iter(b'.', b'=', value);
        before.find_map(|at| value.get(at + 1..)?.starts_with(&self.0).then_some(at + 1))
    }
}
