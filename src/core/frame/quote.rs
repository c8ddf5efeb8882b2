//! What the network sends back of a datagram that it could not deliver: the
//! beginning of what we wrote, or what somebody who forges the news says that we
//! did (RFC 792, RFC 1812 §4.3.2.3, RFC 4443 §2.4).
//!
//! Only a request of ours is recognised: its first header is our Via, since that
//! is where every request gets it. How much came back is up to whoever sends it.

/// What a quoted request says of the transaction that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<'a> {
    /// Its method.
    pub method: &'a [u8],
    /// The branch of its top Via, and what else stands in that value.
    pub branch: &'a [u8],
}

/// Reads the quoted beginning of a datagram; `None` when it is no request, or
/// too little of one.
#[must_use]
pub fn read(quoted: &[u8]) -> Option<Quote<'_>> {
    let end = memchr::memmem::find(quoted, b"\r\n")?;
    let (start_line, rest) = quoted.split_at_checked(end)?;
    let method = start_line.split(|&byte| byte == b' ').next()?;
    if method.eq_ignore_ascii_case(b"SIP/2.0") {
        return None;
    }
    let line = rest.strip_prefix(b"\r\n")?;
    let via = line
        .strip_prefix(b"Via: ")
        .or_else(|| line.strip_prefix(b"v: "))?;
    let via = via.split(|&byte| byte == b'\r').next()?;
    let at = memchr::memmem::find(via, BRANCH)?;
    let branch = via.get(at.checked_add(BRANCH.len())?..)?;
    let branch = branch.split(|byte| b";, ".contains(byte)).next()?;
    Some(Quote { method, branch })
}

const BRANCH: &[u8] = b";branch=";

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(quoted: &str, want: Option<(&str, &str)>) {
        let got = read(quoted.as_bytes());
        let got = got.map(|quote| (quote.method, quote.branch));
        let want = want.map(|(method, branch)| (method.as_bytes(), branch.as_bytes()));
        assert_eq!(got, want, "{quoted}");
    }

    #[test]
    fn the_branch_of_our_own_request_is_found_in_what_came_back() {
        // X-11, I-8
        let request = "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h:1;rport;branch=z9hG4bKx.y\r\n\
                       Max-Breadth: 60\r\n";
        check(request, Some(("INVITE", "z9hG4bKx.y")));
        let compact = request.replace("Via", "v");
        check(&compact, Some(("INVITE", "z9hG4bKx.y")));
        // Wherever it ends behind the branch.
        let (cut, _) = request.split_once("\r\nMax").unwrap();
        check(cut, Some(("INVITE", "z9hG4bKx.y")));
        check(
            cut.strip_suffix(".y").unwrap(),
            Some(("INVITE", "z9hG4bKx")),
        );
        for nothing in [
            "",
            "INVITE sip:a@h SIP/2.0",
            "INVITE sip:a@h SIP/2.0\r\nVi",
            "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP h;rport\r\nTo: x;branch=z",
            "INVITE sip:a@h SIP/2.0\r\nTo: x\r\nVia: SIP/2.0/UDP h;branch=z",
            "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h;branch=z\r\n",
        ] {
            check(nothing, None);
        }
    }
}
