//! Credentials in a message, overwritten where they stand.

/// Header fields that carry them, in small letters.
const FIELDS: [&[u8]; 3] = [
    b"authorization",
    b"proxy-authorization",
    b"authentication-info",
];
/// The parameters of digest (RFC 7616, RFC 3310) that somebody could find a password by.
const SECRETS: [&[u8]; 3] = [b"response", b"rspauth", b"auts"];
/// In front of a key of SRTP in SDP (RFC 4568 §9.2).
const INLINE: &[u8] = b"inline:";

/// Writes `*` over what proves who somebody is: digest responses, everything of other schemes,
/// and keys of media in a body. Lengths stay as they are, and the same message becomes the same
/// bytes at every node.
pub(super) fn credentials(message: &mut [u8]) {
    let mut at = 0;
    while let Some(line) = header_line(message, at) {
        if line.is_empty() {
            break;
        }
        let end = line.end;
        if let Some(header) = message.get_mut(line) {
            blank_header(header);
        }
        at = end;
    }
    let body = message.get_mut(at..).unwrap_or_default();
    let mut from = 0;
    while let Some(found) = body
        .get(from..)
        .and_then(|rest| memchr::memmem::find(rest, INLINE))
    {
        from += found + INLINE.len();
        let rest = body.get_mut(from..).unwrap_or_default();
        let len = rest.iter().position(|byte| b"|\r\n ".contains(byte));
        let len = len.unwrap_or(rest.len());
        rest.iter_mut().take(len).for_each(|byte| *byte = b'*');
    }
}

/// The header line that begins at `at`, with its folded lines and its end; an empty range in front
/// of the body.
fn header_line(message: &[u8], at: usize) -> Option<std::ops::Range<usize>> {
    let mut end = at;
    loop {
        let rest = message.get(end..).filter(|rest| !rest.is_empty())?;
        let line = memchr::memchr(b'\n', rest);
        // What is cut off in its head is a header line all the same.
        let Some(line) = line else {
            return Some(at..message.len());
        };
        let is_empty = rest.iter().take(line).all(|byte| *byte == b'\r');
        if is_empty && end == at {
            return Some(at..at);
        }
        end += line + 1;
        let folds = message.get(end).is_some_and(|byte| b" \t".contains(byte));
        if !folds {
            return Some(at..end);
        }
    }
}

fn blank_header(header: &mut [u8]) {
    let Some(colon) = header.iter().position(|byte| *byte == b':') else {
        return;
    };
    let (name, value) = header.split_at_mut(colon + 1);
    let name = name.strip_suffix(b":").unwrap_or_default().trim_ascii();
    if !FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field)) {
        return;
    }
    let start = value.iter().position(|byte| !byte.is_ascii_whitespace());
    let value = value.get_mut(start.unwrap_or(0)..).unwrap_or_default();
    let scheme = value.iter().position(|byte| byte.is_ascii_whitespace());
    let is_info = name.eq_ignore_ascii_case(FIELDS[2]);
    let is_digest = value
        .get(..scheme.unwrap_or(0))
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Digest"));
    if is_info || is_digest {
        SECRETS
            .iter()
            .for_each(|secret| blank_params(value, secret));
    } else {
        let rest = value.get_mut(scheme.unwrap_or(0)..).unwrap_or_default();
        let all = rest.iter_mut().filter(|byte| !byte.is_ascii_whitespace());
        all.for_each(|byte| *byte = b'*');
    }
}

/// Blanks the values of every parameter of this name.
fn blank_params(value: &mut [u8], name: &[u8]) {
    let mut at = 0;
    while at < value.len() {
        let is_start = at == 0 || value[at - 1].is_ascii_whitespace() || value[at - 1] == b',';
        let is_named = value
            .get(at..at + name.len())
            .is_some_and(|word| word.eq_ignore_ascii_case(name));
        if !is_start || !is_named {
            at += 1;
            continue;
        }
        at += name.len();
        let rest = value.get_mut(at..).unwrap_or_default();
        // `name = value`, quoted or not.
        let equals = rest.iter().position(|byte| !byte.is_ascii_whitespace());
        let Some(equals) = equals.filter(|at| rest[*at] == b'=') else {
            continue;
        };
        let mut is_quoted = false;
        for byte in rest.iter_mut().skip(equals + 1) {
            match *byte {
                b'"' if is_quoted => break,
                b'"' => is_quoted = true,
                b',' if !is_quoted => break,
                b'\r' | b'\n' => {}
                b' ' | b'\t' if !is_quoted => {}
                _ => *byte = b'*',
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::credentials;

    #[track_caller]
    fn check(header: &str, want: &str) {
        let text = |header: &str| {
            format!("REGISTER sip:a SIP/2.0\r\nVia: x\r\n{header}\r\nTo: y\r\n\r\nresponse=\"b\"")
        };
        let mut bytes = text(header).into_bytes();
        credentials(&mut bytes);
        assert_eq!(String::from_utf8(bytes).unwrap(), text(want));
    }

    #[test]
    fn what_proves_somebody_is_blanked_and_the_rest_stays() {
        check(
            "Authorization: Digest username=\"joe\", realm=\"a\",response=\"0123\", uri=\"sip:a\"",
            "Authorization: Digest username=\"joe\", realm=\"a\",response=\"****\", uri=\"sip:a\"",
        );
        check(
            "proxy-authorization :\r\n  DIGEST response = 0123,\r\n\tRESPONSE=\"a,b\"",
            "proxy-authorization :\r\n  DIGEST response = ****,\r\n\tRESPONSE=\"***\"",
        );
        check(
            "Authorization: Basic am9lOnNlY3JldA==",
            "Authorization: Basic ****************",
        );
        check(
            "Authentication-Info: nextnonce=\"n\", rspauth=\"ab\"",
            "Authentication-Info: nextnonce=\"n\", rspauth=\"**\"",
        );
        check(
            "X-Authorization: response=\"0\"",
            "X-Authorization: response=\"0\"",
        );
        check("Subject: no response=\"x\"", "Subject: no response=\"x\"");
    }

    #[test]
    fn keys_of_media_are_blanked() {
        let mut sdp = b"INVITE sip:a SIP/2.0\r\nTo: y\r\n\r\na=crypto:1 AES inline:c2VjcmV0|2^20\r\na=crypto:2 X inline:abc".to_vec();
        credentials(&mut sdp);
        assert!(sdp.ends_with(b"inline:********|2^20\r\na=crypto:2 X inline:***"));
    }

    #[test]
    fn nothing_that_came_makes_it_fail() {
        for text in [
            "",
            "\n",
            "Authorization",
            "Authorization:",
            "Authorization: Digest",
            "A: b\r\n c",
            "Authorization: Digest response=\"qqq",
        ] {
            let mut bytes = text.as_bytes().to_vec();
            credentials(&mut bytes);
            assert_eq!(bytes.len(), text.len());
            assert!(!bytes.contains(&b'q'), "{text}");
        }
    }
}
