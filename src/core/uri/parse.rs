//! Reads a URI out of a message (RFC 3261 §19.1.1 and §25.1, RFC 5954 for IPv6).
//!
//! Strict where a laxer reading would send the request elsewhere (host, port,
//! a second `@`), lax in user parts and unknown parameters. Escapes are left
//! as they are: `sip:%61@h` has the user `%61`.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects
)]

use super::host::host;
use super::{Scheme, Uri};
use crate::error::Malformed;
use crate::grammar::class::Class;
use crate::grammar::cursor::{Cursor, within};
use crate::grammar::params;
use crate::span::Span;

impl Uri {
    /// Parses exactly the bytes of `whole` (no surrounding space, no brackets `<>`).
    ///
    /// # Errors
    /// `Uri` with `whole`.
    pub fn parse(bytes: &[u8], whole: Span) -> Result<Self, Malformed> {
        Self::read(bytes, Cursor::new(bytes, whole).ready()).ok_or(Malformed::Uri(whole))
    }

    /// All that is still to be read, as a URI.
    pub(crate) fn read(bytes: &[u8], mut cursor: Cursor<'_>) -> Option<Self> {
        let none = Span::default();
        let mut uri = Self {
            whole: cursor.rest_span(),
            scheme: scheme(&mut cursor)?,
            userinfo: None,
            user: None,
            host: none,
            port: None,
            host_port: none,
            params: none,
            headers: none,
        };
        if matches!(uri.scheme, Scheme::Tel | Scheme::Other) {
            let sound = !cursor.take(Class::URI).is_empty() && cursor.is_done();
            return sound.then_some(uri);
        }
        let joints = Joints::find(cursor)?;
        if let Some(at) = joints.at {
            let start = cursor.at();
            let user = within(start, joints.colon.unwrap_or(at));
            if user.is_empty() {
                return None;
            }
            (uri.userinfo, uri.user) = (Some(within(start, at)), Some(user));
            cursor.go(at.wrapping_add(1));
        }
        let start = cursor.at();
        (uri.host, _) = host(&mut cursor, bytes)?;
        uri.port = if cursor.eat(b':') {
            // Zero is well-formed and leads nowhere (RFC 3261 §25.1).
            Some(u16::try_from(cursor.number()?).ok()?)
        } else {
            None
        };
        uri.host_port = cursor.since(start);
        let end = uri.whole.range().end;
        let question = joints.question.unwrap_or(end);
        let params = cursor.until(question);
        uri.params = params.rest_span();
        uri.headers = within(question, end);
        params::are_sound(params).then_some(uri)
    }
}

/// Where the parts of a URI meet.
struct Joints {
    /// The only `@`.
    at: Option<usize>,
    /// The first `:` of the user part.
    colon: Option<usize>,
    /// The first `?` behind the host.
    question: Option<usize>,
}

impl Joints {
    /// Looks at all behind the scheme; `None` when nothing is there, there is a
    /// second `@`, or a byte is of no URI.
    #[inline]
    fn find(mut cursor: Cursor<'_>) -> Option<Self> {
        let mut joints = Self {
            at: None,
            colon: None,
            question: None,
        };
        if cursor.is_done() {
            return None;
        }
        while let Some(mark) = cursor.next_mark() {
            let here = Some(cursor.at());
            match mark {
                b'@' if joints.at.is_some() => return None,
                b'@' => (joints.at, joints.question) = (here, None),
                b':' if joints.at.is_none() => joints.colon = joints.colon.or(here),
                b'?' => joints.question = joints.question.or(here),
                _ if !Class::URI.holds(mark) => return None,
                _ => {}
            }
            cursor.pass();
        }
        Some(joints)
    }
}

const SIP: u32 = letters(*b"sip");
const TEL: u32 = letters(*b"tel");

/// Three letters as one number, the same for small and capital ones; what is no
/// letter never becomes one.
const fn letters([a, b, c]: [u8; 3]) -> u32 {
    u32::from_le_bytes([a, b, c, 0]) | 0x20_20_20
}

/// The scheme, and moves behind its colon.
fn scheme(cursor: &mut Cursor<'_>) -> Option<Scheme> {
    // The ones that matter differ from all others in their first bytes.
    let known = match cursor.rest() {
        [a, b, c, b':', ..] if letters([*a, *b, *c]) == SIP => Some((Scheme::Sip, 4)),
        [a, b, c, b's' | b'S', b':', ..] if letters([*a, *b, *c]) == SIP => Some((Scheme::Sips, 5)),
        [a, b, c, b':', ..] if letters([*a, *b, *c]) == TEL => Some((Scheme::Tel, 4)),
        _ => None,
    };
    if let Some((scheme, length)) = known {
        cursor.skip(length);
        return Some(scheme);
    }
    let (name, _) = cursor
        .rest()
        .split_at_checked(cursor.rest().iter().position(|&byte| byte == b':')?)?;
    cursor.skip(name.len().saturating_add(1));
    let sound = name.first()?.is_ascii_alphabetic()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    sound.then_some(Scheme::Other)
}
