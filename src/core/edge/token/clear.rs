//! Clear tokens: user, edges and instance in readable text, with a `+` between. They have no
//! flags. The realm stands behind the user, unless it is the common one, which is left out.

use super::error::{BadToken, Unfit};
use super::fields::Token;
use super::spelling;
use crate::edge::Subscriber;
use crate::limits::TOKEN_FIELD_MAX;
use crate::span::Span;

/// Writes the text of a token; `common` is the realm that is left out.
///
/// # Errors
/// `Unfit` for a realm with an `@`, and then nothing is written: no domain holds one, and it
/// would be read back as another.
pub(super) fn write(
    subscriber: &Subscriber<'_>,
    edges: &[&[u8]],
    common: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Unfit> {
    let Subscriber {
        user,
        realm,
        instance,
    } = *subscriber;
    if memchr::memchr(b'@', realm).is_some() {
        return Err(Unfit);
    }
    spelling::write_field(user, out);
    if realm != common || memchr::memchr(b'@', user).is_some() {
        spelling::write_field(b"@", out);
        spelling::write_field(realm, out);
    }
    for field in edges.iter().chain([&instance]) {
        out.push(b'+');
        spelling::write_field(field, out);
    }
    Ok(())
}

/// Reads what `write` wrote, the escapes of unreserved characters taken out.
///
/// # Errors
/// `Malformed` for anything else.
pub(super) fn read(text: &[u8], common: &[u8], out: &mut Token) -> Result<(), BadToken> {
    let mut fields = text.split(|&byte| byte == b'+').peekable();
    let user = fields.next().ok_or(BadToken::Malformed)?;
    let field = read_field(user, USER_MAX, out)?;
    (out.user, out.realm) = match memchr::memrchr(b'@', field.of(&out.bytes)) {
        Some(at) => {
            let at = usize::from(field.start) + at;
            let user = Span::new(field.start.into(), at);
            let realm = Span::new(at + 1, field.end.into());
            // Every token has one spelling.
            let is_needed = realm.of(&out.bytes) != common
                || memchr::memchr(b'@', user.of(&out.bytes)).is_some();
            if !is_needed {
                return Err(BadToken::Malformed);
            }
            (user, realm)
        }
        None => (field, out.append(common)?),
    };
    while let Some(text) = fields.next() {
        let field = read_field(text, TOKEN_FIELD_MAX, out)?;
        if fields.peek().is_some() {
            out.push_edge(field)?;
        } else {
            out.instance = field;
        }
    }
    if out.edge_count == 0 {
        Err(BadToken::Malformed)
    } else {
        Ok(())
    }
}

fn read_field(text: &[u8], max: usize, out: &mut Token) -> Result<Span, BadToken> {
    let start = out.len;
    spelling::read_field(text, |byte| out.append(&[byte]).map(drop))?;
    if out.len - start > max {
        return Err(BadToken::Malformed);
    }
    Ok(Span::new(start, out.len))
}

/// A user with its domain.
const USER_MAX: usize = 2 * TOKEN_FIELD_MAX + 1;
