//! The parameters that we write into URIs of our own, and the mark of a dialog in
//! them, which is no part of the URI: tables hold users and edges, and not as many
//! rows as there are dialogs (B-13).

/// URI parameter of a dialog: which element handles it, and behind a dot the mark of the
/// dialog.
pub(crate) const DIALOG_PARAM: &str = "gunk";
/// Characters of such a mark.
pub(crate) const MARK_LEN: usize = 13;
/// URI parameter of a mark that stands alone, in the value of an element without a name.
pub(crate) const MARK_PARAM: &str = "dlg";
/// Parameter of a token in Record-Route: the flow token of a phone that the edge
/// had forgotten when the dialog began.
pub(crate) const FLOW_PARAM: &str = "flow";

/// Where the mark begins in the value of a dialog parameter; `None` where it has none.
#[must_use]
pub(crate) fn mark_in(value: &[u8]) -> Option<usize> {
    let at = value.len().checked_sub(MARK_LEN)?;
    let (before, mark) = value.split_at(at);
    let is_letter = |byte: &u8| matches!(byte.to_ascii_lowercase(), b'0'..=b'9' | b'a'..=b'v');
    (before.last() == Some(&b'.') && mark.iter().all(is_letter)).then_some(at)
}

/// A parameter without the mark of a dialog; `None` where nothing is left.
pub(super) fn unmarked(param: &[u8]) -> Option<&[u8]> {
    let value = |name: &str| {
        let (begin, rest) = param.split_at_checked(name.len())?;
        begin.eq_ignore_ascii_case(name.as_bytes()).then_some(rest)
    };
    if matches!(value(MARK_PARAM), Some([] | [b'=', ..])) {
        return None;
    }
    if let Some([b'=', value @ ..]) = value(DIALOG_PARAM)
        && let Some(at) = mark_in(value)
    {
        // A mark that stands alone is behind a dot as well.
        let end = param.len() - value.len() + at - 1;
        return param.get(..end).filter(|_| at > 1);
    }
    (!param.is_empty()).then_some(param)
}
