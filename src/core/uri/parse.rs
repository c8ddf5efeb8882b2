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
use crate::grammar::class::ByteClass;
use crate::grammar::cursor::{Cursor, within};
use crate::grammar::params;
use crate::span::Span;

impl Uri {
    /// Parses exactly the bytes of `whole` (no surrounding space, no brackets `<>`).
    ///
    /// # Errors
    /// `Uri` with `whole`.
    pub fn parse(bytes: &[u8], whole: Span) -> Result<Self, Malformed> {
        Self::read(bytes, Cursor::new(bytes, whole)).ok_or(Malformed::Uri(whole))
    }

    /// All that is still to be read, as a URI.
    pub(crate) fn read(bytes: &[u8], mut cursor: Cursor<'_>) -> Option<Self> {
        let whole = cursor.rest_span();
        let scheme = scheme(&mut cursor)?;
        if matches!(scheme, Scheme::Tel | Scheme::Other) {
            let sound = !cursor.take(ByteClass::URI).is_empty() && cursor.is_done();
            return sound.then_some(Self::opaque(whole, scheme));
        }
        let cursor = cursor.ready();
        let (joints, behind) = Joints::find(cursor)?;
        if !behind.is_done() {
            return None;
        }
        Self::joined(bytes, cursor, Self::opaque(whole, scheme), &joints)
    }

    /// A `sip` or `sips` URI that begins here and ends before the first `>`, which the cursor is
    /// moved to: read in one go, since nearly every URI of a header stands in brackets.
    #[inline]
    pub(crate) fn read_bracketed(bytes: &[u8], cursor: &mut Cursor<'_>) -> Option<Self> {
        let start = cursor.at();
        let scheme = scheme(cursor)?;
        if matches!(scheme, Scheme::Tel | Scheme::Other) {
            return None;
        }
        let inside = cursor.ready();
        let (joints, behind) = Joints::find(inside)?;
        *cursor = behind;
        let uri = Self::opaque(within(start, joints.end), scheme);
        Self::joined(bytes, inside.until(joints.end), uri, &joints)
    }

    /// A URI that nothing is known of but its scheme.
    const fn opaque(whole: Span, scheme: Scheme) -> Self {
        let none = Span { start: 0, end: 0 };
        Self {
            whole,
            scheme,
            userinfo: None,
            user: None,
            host: none,
            port: None,
            host_port: none,
            params: none,
            headers: none,
        }
    }

    /// The parts of a URI behind its scheme.
    #[inline(always)]
    fn joined(
        bytes: &[u8],
        mut cursor: Cursor<'_>,
        mut uri: Self,
        joints: &Joints,
    ) -> Option<Self> {
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
        let end = joints.end;
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
    /// The first `>`, or the end.
    end: usize,
}

impl Joints {
    /// Looks at all behind the scheme, up to the first `>`, where the cursor is then; `None` when
    /// nothing is there, there is a second `@`, or a byte is of no URI.
    #[inline(always)]
    fn find(mut cursor: Cursor<'_>) -> Option<(Self, Cursor<'_>)> {
        let mut joints = Self {
            at: None,
            colon: None,
            question: None,
            end: 0,
        };
        let start = cursor.at();
        while let Some(mark) = cursor.next_mark() {
            let here = Some(cursor.at());
            match mark {
                b'@' if joints.at.is_some() => return None,
                b'@' => (joints.at, joints.question) = (here, None),
                b':' if joints.at.is_none() => joints.colon = joints.colon.or(here),
                b'?' => joints.question = joints.question.or(here),
                b'>' => break,
                _ if !ByteClass::URI.holds(mark) => return None,
                _ => {}
            }
            cursor.pass();
        }
        joints.end = cursor.at();
        (joints.end > start).then_some((joints, cursor))
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
