//! SIP messages as a slow, obvious reader sees them: the judge must not share
//! a parser with the judged.

use std::net::SocketAddr;

/// What only the trust domain may say of who somebody is (RFC 3325, RFC 7315).
pub(crate) const IDENTITIES: [&str; 8] = [
    "p-asserted-identity",
    "p-preferred-identity",
    "p-charging-vector",
    "p-charging-function-addresses",
    "p-access-network-info",
    "p-visited-network-id",
    "remote-party-id",
    "feature-caps",
];

/// One message.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    pub(crate) start: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// Compact header names (RFC 3261 §7.3.3, RFC 6665): an edge writes them into a request over
/// UDP that would be fragmented.
const COMPACT: [(&str, &str); 11] = [
    ("c", "content-type"),
    ("e", "content-encoding"),
    ("f", "from"),
    ("i", "call-id"),
    ("k", "supported"),
    ("l", "content-length"),
    ("m", "contact"),
    ("o", "event"),
    ("s", "subject"),
    ("t", "to"),
    ("v", "via"),
];

impl Text {
    /// `None` for what is no SIP message: STUN, keep-alives.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.contains("SIP/2.0") {
            return None;
        }
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim().to_ascii_lowercase();
            let compact = COMPACT.iter().find(|(short, _)| *short == name);
            let name = compact.map_or(name, |(_, long)| (*long).to_owned());
            Some((name, value.trim().to_owned()))
        };
        Some(Self {
            start,
            headers: lines.filter_map(header).collect(),
            body: bytes[end + 4..].to_vec(),
        })
    }

    /// Bytes of the first message at the front of a stream; `None`: not whole.
    pub(crate) fn frame(bytes: &[u8]) -> Option<usize> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let length = Self::read(bytes)?.first("content-length")?.parse::<usize>();
        let whole = end + length.ok()?;
        (bytes.len() >= whole).then_some(whole)
    }

    /// 0 for a request.
    pub(crate) fn status(&self) -> u16 {
        let rest = self.start.strip_prefix("SIP/2.0 ");
        rest.map_or(0, |rest| rest[..3].parse().unwrap())
    }

    pub(crate) fn is_request(&self) -> bool {
        self.status() == 0
    }

    /// The method, of a response that of its CSeq.
    pub(crate) fn method(&self) -> &str {
        let cseq = self.first("cseq").unwrap_or_default();
        cseq.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn cseq(&self) -> u32 {
        let cseq = self.first("cseq").unwrap_or_default();
        let number = cseq.split(' ').next().unwrap_or_default();
        number.parse().unwrap_or_default()
    }

    pub(crate) fn uri(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(own, _)| own == name);
        found.next().map(|(_, value)| &value[..])
    }

    /// All values of a list header, in order. None of ours has a comma in quotes.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let lines = self.headers.iter().filter(|(own, _)| own == name);
        lines
            .flat_map(|(_, value)| value.split(',').map(str::trim))
            .collect()
    }

    pub(crate) fn call_id(&self) -> &str {
        self.first("call-id").unwrap_or_default()
    }

    pub(crate) fn to_tag(&self) -> Option<&str> {
        param(self.first("to")?, "tag")
    }

    pub(crate) fn sender_tag(&self) -> Option<&str> {
        param(self.first("from")?, "tag")
    }

    /// User and host of the From.
    pub(crate) fn sender(&self) -> (&str, &str) {
        user_and_host(uri_of(self.first("from").unwrap_or_default()))
    }

    pub(crate) fn via(&self) -> Option<Via<'_>> {
        Via::read(self.values("via").first()?)
    }

    /// What no proxy may change: every other header line in order, and the body.
    pub(crate) fn residue(&self) -> Vec<u8> {
        const OURS: [&str; 14] = [
            "proxy-authorization",
            "via",
            "route",
            "record-route",
            "max-forwards",
            "max-breadth",
            "path",
            "content-length",
            "outbound-proxy",
            "require",
            "flow-timer",
            "www-authenticate",
            "proxy-authenticate",
            "service-route",
        ];
        let mut out = Vec::new();
        for (name, value) in &self.headers {
            if !OURS.contains(&&name[..]) && !IDENTITIES.contains(&&name[..]) {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
        }
        out.extend_from_slice(&self.body);
        out
    }
}

/// A Via value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Via<'a> {
    pub(crate) tcp: bool,
    pub(crate) sent_by: &'a str,
    pub(crate) branch: &'a str,
    pub(crate) rport: bool,
}

impl<'a> Via<'a> {
    pub(crate) fn read(value: &'a str) -> Option<Self> {
        let (protocol, rest) = value.split_once(' ')?;
        Some(Self {
            tcp: protocol.ends_with("TCP"),
            sent_by: rest.split(';').next()?.trim(),
            branch: param(value, "branch")?,
            rport: rest
                .split(';')
                .any(|param| param == "rport" || param.starts_with("rport=")),
        })
    }

    /// The sent-by, unless it is a name.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        let host = self.sent_by;
        let whole = host.parse().or_else(|_| format!("{host}:5060").parse());
        whole.ok()
    }
}

/// A header or URI parameter's value.
pub(crate) fn param<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    let mut params = value.split([';', '>']).filter_map(|p| p.split_once('='));
    params
        .find(|(own, _)| *own == name)
        .map(|(_, value)| value.trim())
}

/// User and host of a URI.
pub(crate) fn user_and_host(uri: &str) -> (&str, &str) {
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    let rest = rest.split(';').next().unwrap_or_default();
    rest.split_once('@').unwrap_or(("", rest))
}

/// The URI between the angle brackets, else all of it.
pub(crate) fn uri_of(value: &str) -> &str {
    let inner = value.split('<').nth(1).and_then(|v| v.split('>').next());
    inner.unwrap_or(value)
}

/// The address that a URI names by itself: its `maddr`, else its host.
pub(crate) fn addr_of(uri: &str) -> Option<SocketAddr> {
    let rest = uri.strip_prefix("sip:")?;
    let host = rest.split(';').next()?;
    let host = host.rsplit('@').next()?;
    let (name, port) = host.split_once(':').unwrap_or((host, "5060"));
    let name = param(uri, "maddr").unwrap_or(name);
    format!("{name}:{port}").parse().ok()
}
