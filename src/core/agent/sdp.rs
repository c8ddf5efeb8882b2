//! The least a session description may say: one audio stream that neither
//! sends nor receives (RFC 4566, RFC 3264). There is no media here.

use std::net::SocketAddr;

use super::compose::{append, append_fmt};

/// An offer from `addr`.
pub(super) fn offer(addr: SocketAddr, id: u64, out: &mut Vec<u8>) {
    session(addr, id, out);
    out.extend_from_slice(b"m=audio 9 RTP/AVP 0\r\na=inactive\r\n");
}

/// The answer to `offered`: its first audio stream as we would offer it, every
/// other stream refused by port 0. Without an offer it is one itself.
pub(super) fn answer(offered: &[u8], addr: SocketAddr, id: u64, out: &mut Vec<u8>) {
    let lines = offered.split(|&byte| byte == b'\n');
    let mut media = lines
        .filter_map(|line| line.strip_prefix(b"m="))
        .map(<[u8]>::trim_ascii_end)
        .peekable();
    if media.peek().is_none() {
        return offer(addr, id, out);
    }
    session(addr, id, out);
    let mut taken = false;
    for line in media {
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let kind = words.next().unwrap_or_default();
        let rest = words.nth(1).unwrap_or_default();
        let take = kind == b"audio" && !taken;
        taken |= take;
        let port: &[u8] = if take { b" 9 " } else { b" 0 " };
        append(out, &[b"m=", kind, port, rest, b"\r\n"]);
        if take {
            out.extend_from_slice(b"a=inactive\r\n");
        }
    }
}

fn session(addr: SocketAddr, id: u64, out: &mut Vec<u8>) {
    let (ip, family) = (addr.ip(), if addr.is_ipv6() { "IP6" } else { "IP4" });
    // The number of a session fits into a signed 63-bit integer everywhere.
    let id = id >> 2;
    append_fmt(
        out,
        format_args!(
            "v=0\r\no=- {id} 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n"
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(offered: &str, want: &str) {
        let mut out = Vec::new();
        answer(
            offered.as_bytes(),
            "192.0.2.1:5060".parse().unwrap(),
            4 << 2,
            &mut out,
        );
        let want = format!(
            "v=0\r\no=- 4 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{want}"
        );
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    #[test]
    fn an_answer_has_the_streams_of_the_offer() {
        check("", "m=audio 9 RTP/AVP 0\r\na=inactive\r\n");
        check(
            "v=0\r\nm=video 4 RTP/AVP 31\r\nm=audio 40000 RTP/AVP 8 0\r\na=x\r\nm=audio 2 RTP/AVP 0\r\n",
            "m=video 0 RTP/AVP 31\r\nm=audio 9 RTP/AVP 8 0\r\na=inactive\r\nm=audio 0 RTP/AVP 0\r\n",
        );
    }
}
