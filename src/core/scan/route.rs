//! The Route set of a request, read once: the role, the checks and the edits
//! all decide by it.

use crate::span::Span;
use crate::uri::Uri;

/// One value of a Route header field (RFC 3261 §20.34).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// All of it, trimmed.
    pub value: Span,
    /// The URI in it; `None` when it cannot be read.
    pub uri: Option<Uri>,
}
