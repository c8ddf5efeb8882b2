//! The URI parameter that a mark stands in: behind the name of the edge in that of the dialog, or
//! in one of its own.

use super::Mark;
use crate::uri::Uri;
use crate::uri::own_params::{DIALOG_PARAM, MARK_PARAM, mark_in};

/// The mark in a URI: behind the name of the edge in the dialog parameter, or in a parameter of
/// its own.
pub(super) fn mark_of<'a>(bytes: &'a [u8], uri: &Uri) -> Option<&'a [u8]> {
    let param = |name| Some(uri.param(bytes, name)??.of(bytes));
    let named = param(DIALOG_PARAM).and_then(|value| value.get(mark_in(value)?..));
    named.or_else(|| param(MARK_PARAM))
}

/// Writes the parameter of a value of ours with the name of the edge and the mark; nothing
/// where there is neither.
pub(crate) fn write_param(name: &[u8], mark: Option<Mark>, out: &mut Vec<u8>) {
    match mark {
        Some(mark) => {
            begin_param(name, out);
            out.extend_from_slice(&mark.0);
        }
        None if !name.is_empty() => {
            for part in [b";", DIALOG_PARAM.as_bytes(), b"=", name] {
                out.extend_from_slice(part);
            }
        }
        None => {}
    }
}

/// Writes the parameter of a value of ours up to the mark; `name` is that of the edge.
pub(crate) fn begin_param(name: &[u8], out: &mut Vec<u8>) {
    let parts: [&[u8]; 5] = match name {
        [] => [b";", MARK_PARAM.as_bytes(), b"=", b"", b""],
        _ => [b";", DIALOG_PARAM.as_bytes(), b"=", name, b"."],
    };
    for part in parts {
        out.extend_from_slice(part);
    }
}
