//! The outline of one message: what `scan` found, as spans.

use super::address::Address;
use super::name::NAMES;
use super::route::Route;
use super::values::Values;
use super::via::Via;
use super::{Header, Method, Name, StartLine};
use crate::error::Malformed;
use crate::frame;
use crate::grammar::class::ByteClass;
use crate::span::Span;
use crate::uri::Uri;

/// The outline of one message. Reused from message to message: scanning
/// allocates nothing once `headers` has grown. Every span in it refers to the
/// bytes that were scanned.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub(super) start: Option<StartLine>,
    pub(super) method: Method,
    pub(super) headers: Vec<Header>,
    pub(super) routes: Vec<Route>,
    /// Index of the first header of each name, plus one; 0 when there is none.
    first: [u16; NAMES],
    /// Via lines behind the first one.
    more_vias: u16,
    pub(super) target: Option<Uri>,
    pub(super) top_via: Option<Via>,
    pub(super) from: Option<Address>,
    pub(super) to: Option<Address>,
    /// The tags of From and To, once `tags` has read them.
    tags: [Option<Span>; 2],
    /// The same where they were seen with their address.
    pub(super) seen_tags: [Option<Option<Span>>; 2],
    pub(super) cseq: u32,
    pub(super) cseq_method: Span,
    pub(super) headers_start: usize,
    pub(super) headers_end: usize,
    pub(super) body: Span,
    /// What a Content-Length says that is a number and stands once.
    pub(super) length: Option<usize>,
}

impl Message {
    /// The start line; `None` before the first scan and after `NotSip`.
    #[must_use]
    pub const fn start(&self) -> Option<StartLine> {
        self.start
    }

    /// Request method, or the CSeq method of a response.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// Status of a response, 0 for a request.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self.start {
            Some(StartLine::Response { status, .. }) => status,
            Some(StartLine::Request { .. }) | None => 0,
        }
    }

    /// Request-URI (empty for a response).
    #[must_use]
    pub(crate) fn request_uri(&self) -> Span {
        match self.start {
            Some(StartLine::Request { uri, .. }) => uri,
            Some(StartLine::Response { .. }) | None => Span::default(),
        }
    }

    /// Whether it is a request, a malformed one included.
    #[must_use]
    pub const fn is_request(&self) -> bool {
        matches!(self.start, Some(StartLine::Request { .. }))
    }

    /// Every header line in order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// The Route set of a request, in order; empty for a response.
    #[must_use]
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// First header of that name; O(1). For `Other` the first of any other name.
    #[must_use]
    #[inline]
    pub fn first(&self, name: Name) -> Option<&Header> {
        let index = usize::from(*self.first.get(name as usize)?).checked_sub(1)?;
        self.headers.get(index)
    }

    /// Whether there is a header of that name.
    #[inline]
    pub(super) fn has(&self, name: Name) -> bool {
        self.first
            .get(name as usize)
            .is_some_and(|&index| index != 0)
    }

    /// Every header line of that name, in order.
    pub fn all(&self, name: Name) -> impl Iterator<Item = &Header> {
        self.since(name)
            .iter()
            .filter(move |header| header.name == name)
    }

    /// Every header line of a name that `Name` does not have, in order.
    pub fn others<'a>(
        &'a self,
        bytes: &'a [u8],
        name: &'a str,
    ) -> impl Iterator<Item = &'a Header> {
        let first = name.as_bytes().first().copied().unwrap_or_default();
        let is_it = move |header: &&Header| {
            let begin = header.line.of(bytes).first();
            // Most are told apart by that.
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(&first))
                && header.spelled(bytes).eq_ignore_ascii_case(name.as_bytes())
        };
        self.all(Name::Other).filter(is_it)
    }

    /// Every comma-separated value of that name over all its lines, in order,
    /// trimmed; commas inside quotes and angle brackets do not separate. Empty
    /// elements are skipped.
    pub fn values<'a>(&'a self, bytes: &'a [u8], name: Name) -> impl Iterator<Item = Span> + 'a {
        self.all(name)
            .flat_map(move |header| Values::new(bytes, header.value))
    }

    /// True when a token list header (Supported, Require, Proxy-Require) holds `tag`, case-insensitively.
    #[must_use]
    pub(crate) fn has_token(&self, bytes: &[u8], name: Name, tag: &str) -> bool {
        self.values(bytes, name)
            .any(|value| value.of(bytes).eq_ignore_ascii_case(tag.as_bytes()))
    }

    /// The number of a single numeric header (Max-Forwards, Expires, Max-Breadth), None when absent.
    ///
    /// # Errors
    /// `Number` with the value, when it is none or passes 32 bits.
    pub fn number(&self, bytes: &[u8], name: Name) -> Result<Option<u32>, Malformed> {
        let Some(header) = self.first(name) else {
            return Ok(None);
        };
        let number =
            frame::decimal(header.value.of(bytes)).and_then(|number| u32::try_from(number).ok());
        number.map(Some).ok_or(Malformed::Number(header.value))
    }

    /// CSeq number; 0 when CSeq is missing or malformed.
    #[must_use]
    pub const fn cseq(&self) -> u32 {
        self.cseq
    }

    /// CSeq method token.
    #[must_use]
    pub const fn cseq_method(&self) -> Span {
        self.cseq_method
    }

    /// Whether the Routes say all that is to be known of the way: nobody on it follows
    /// the Request-URI, which in a dialog is the Contact of the far side (RFC 3261
    /// §12.2.1.1). The far side's 2xx made the call, whatever stood there, and its own
    /// nonsense would keep ACK and BYE from it. A strict router would make a Route of
    /// the Request-URI.
    #[must_use]
    pub fn goes_by_route(&self, bytes: &[u8]) -> bool {
        let is_loose = |route: &Route| route.uri.is_some_and(|uri| uri.is_loose(bytes));
        self.method != Method::Register
            && !self.routes.is_empty()
            && self.routes.iter().all(is_loose)
    }

    /// The parsed Request-URI; `None` for a response, and for one that cannot be read
    /// and need not be.
    #[must_use]
    pub const fn target(&self) -> Option<&Uri> {
        self.target.as_ref()
    }

    /// The topmost Via value; `None` when missing or malformed.
    #[must_use]
    pub const fn top_via(&self) -> Option<&Via> {
        self.top_via.as_ref()
    }

    /// The parsed From; `None` when missing or malformed.
    #[must_use]
    pub const fn from(&self) -> Option<&Address> {
        self.from.as_ref()
    }

    /// The parsed To; `None` when missing or malformed.
    #[must_use]
    pub const fn to(&self) -> Option<&Address> {
        self.to.as_ref()
    }

    /// The URI of the From; `None` when either is missing or malformed.
    #[must_use]
    pub(crate) fn uri_of_from(&self, bytes: &[u8]) -> Option<Uri> {
        Uri::parse(bytes, self.from?.uri).ok()
    }

    /// The URI of the To; `None` when either is missing or malformed.
    #[must_use]
    pub(crate) fn to_uri(&self, bytes: &[u8]) -> Option<Uri> {
        Uri::parse(bytes, self.to?.uri).ok()
    }

    /// Whether From and To have a tag that is a token, or none (RFC 3261 §25.1;
    /// I-5): what stands for no tag with one reader and for some tag with
    /// another would be outside of a dialog here and inside there.
    ///
    /// # Errors
    /// `Address` with the one that has an empty, quoted or second tag.
    pub fn tags(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let [from, to] = self.seen_tags;
        let tag = |seen: Option<_>, address| seen.map_or_else(|| tag_of(bytes, address), Ok);
        self.tags = [tag(from, self.from)?, tag(to, self.to)?];
        Ok(())
    }

    /// The tag of the From, read by `tags`.
    #[must_use]
    pub const fn from_tag(&self) -> Option<Span> {
        self.tags[0]
    }

    /// The tag of the To, read by `tags`: with one the message stands inside a
    /// dialog.
    #[must_use]
    pub const fn to_tag(&self) -> Option<Span> {
        self.tags[1]
    }

    /// The CRLF-terminated header section's end = where the blank line starts (position at which a header line could be appended).
    #[must_use]
    pub const fn headers_end(&self) -> usize {
        self.headers_end
    }

    /// Where the first header line starts (just past the start line's CRLF).
    #[must_use]
    pub const fn headers_start(&self) -> usize {
        self.headers_start
    }

    /// Everything behind the blank line.
    #[must_use]
    pub const fn body(&self) -> Span {
        self.body
    }

    /// True when one Content-Length stands in it that is a number.
    #[must_use]
    pub(crate) const fn is_sized(&self) -> bool {
        self.length.is_some()
    }

    /// Cuts off what stands behind the body by its Content-Length (RFC 3261
    /// §18.3), and tells where the message ends. Without one, or with one that
    /// says nothing, all that was scanned is the message.
    ///
    /// # Errors
    /// `Truncated`, when the body is shorter than it should be or was never
    /// reached.
    pub fn end(&mut self) -> Result<usize, Malformed> {
        let body = self.body.range();
        let length = self.length.unwrap_or_else(|| body.len());
        if length > body.len() || body.start == 0 {
            return Err(Malformed::Truncated);
        }
        let end = body.start.saturating_add(length);
        self.body = Span::new(body.start, end);
        Ok(end)
    }

    /// Whether a further Via stands behind the topmost one.
    #[must_use]
    pub(crate) fn has_second_via(&self) -> bool {
        let first = self.first(Name::Via).zip(self.top_via);
        first.is_some_and(|(line, top)| top.value.end < line.value.end) || self.more_vias > 0
    }

    /// Number of Via lines.
    #[must_use]
    pub(crate) fn via_lines(&self) -> usize {
        usize::from(self.has(Name::Via)).saturating_add(self.more_vias.into())
    }

    /// Number of comma-separated values of that name over all its lines.
    #[must_use]
    pub fn count(&self, bytes: &[u8], name: Name) -> usize {
        self.values(bytes, name).count()
    }

    /// Forgets everything but the memory.
    pub(super) fn clear(&mut self) {
        self.headers.clear();
        self.routes.clear();
        *self = Self {
            headers: std::mem::take(&mut self.headers),
            routes: std::mem::take(&mut self.routes),
            ..Self::default()
        };
    }

    #[inline]
    pub(super) fn push(&mut self, header: Header) {
        self.headers.push(header);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "there are `HEADERS_MAX` and a few more at most"
        )]
        let length = self.headers.len() as u16;
        match self.first.get_mut(header.name as usize) {
            Some(first @ 0) => *first = length,
            Some(_) if header.name == Name::Via => {
                self.more_vias = self.more_vias.saturating_add(1);
            }
            Some(_) | None => {}
        }
    }

    /// The headers from the first of that name on.
    pub(crate) fn since(&self, name: Name) -> &[Header] {
        let index = self
            .first
            .get(name as usize)
            .and_then(|&index| usize::from(index).checked_sub(1));
        index
            .and_then(|index| self.headers.get(index..))
            .unwrap_or_default()
    }
}

/// The tag of an address, which is a token and stands once.
pub(super) fn tag_of(bytes: &[u8], address: Option<Address>) -> Result<Option<Span>, Malformed> {
    let Some(address) = address.filter(|address| !address.params.is_empty()) else {
        return Ok(None);
    };
    // Nearly everybody writes the tag and nothing else.
    let alone = address.params.of(bytes).strip_prefix(b";tag=");
    if let Some(tag) = alone.filter(|tag| ByteClass::TOKEN.holds_all(tag)) {
        let end = usize::from(address.params.end);
        return Ok(Some(Span::new(end.saturating_sub(tag.len()), end)));
    }
    let params = crate::grammar::params::iter(bytes, address.params);
    let mut tags = params.filter(|param| param.name.of(bytes).eq_ignore_ascii_case(b"tag"));
    let is_token = |param: crate::grammar::params::Param| {
        let value = param.value.unwrap_or_default().of(bytes);
        ByteClass::TOKEN.holds_all(value) && param.whole.of(bytes).ends_with(value)
    };
    let tag = tags.next();
    if !tag.is_none_or(is_token) || tags.next().is_some() {
        return Err(Malformed::Address(address.value));
    }
    Ok(tag.and_then(|tag| tag.value))
}
