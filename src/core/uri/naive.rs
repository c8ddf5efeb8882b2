//! The slow, obvious reference: RFC 3261 §19.1.4 sentence by sentence, and random URIs
//! from small alphabets, among which many mean the same.
//!
//! It shares no code with the room, and builds whatever it likes.

use std::net::Ipv6Addr;

/// A URI taken apart, its escapes undone where they mean nothing.
pub(crate) struct Uri {
    scheme: String,
    userinfo: Option<Vec<Char>>,
    pub(crate) host: String,
    port: Option<u16>,
    params: Vec<(Vec<Char>, Option<Vec<Char>>)>,
    headers: Vec<(Vec<Char>, Option<Vec<Char>>)>,
}

/// One character, as itself or as `%HH` of a reserved one.
#[derive(Clone, Copy, PartialEq)]
enum Char {
    Plain(u8),
    Escaped(u8),
}

/// Whether two texts are the same URI. What is none equals only itself.
pub(crate) fn equal(a: &str, b: &str) -> bool {
    a == b || matches!((Uri::read(a), Uri::read(b)), (Some(a), Some(b)) if a.is_equal(&b))
}

impl Uri {
    /// `None` for what is no SIP or SIPS URI (§19.1.1, §25.1).
    pub(crate) fn read(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once(':')?;
        let scheme = scheme.to_ascii_lowercase();
        let (userinfo, rest) = match rest.split_once('@') {
            Some((userinfo, rest)) => (Some(userinfo), rest),
            None => (None, rest),
        };
        let (rest, headers) = rest.split_once('?').unwrap_or((rest, ""));
        let (host_port, params) = rest.split_once(';').unwrap_or((rest, ""));
        let (host, port) = match host_port.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            Some(_) | None => (host_port, None),
        };
        let host = match host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            Some(inside) => inside.parse::<Ipv6Addr>().ok()?.to_string(),
            None => host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase(),
        };
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let digits = |port: &str| port.chars().all(|c| c.is_ascii_digit());
        let pairs = |list: &str, between: char| -> Vec<_> {
            let list = list.split(between).filter(|pair| !pair.is_empty());
            list.map(pair).collect()
        };
        let uri = Self {
            userinfo: userinfo.map(chars),
            port: match port {
                Some(port) if digits(port) => Some(port.parse().ok()?),
                Some(_) => return None,
                None => None,
            },
            params: pairs(params, ';'),
            headers: pairs(headers, '&'),
            scheme,
            host,
        };
        // "any given parameter-name MUST NOT appear more than once."
        let once = uri.params.iter().enumerate().all(|(at, (name, _))| {
            let mut before = uri.params[..at].iter();
            !before.any(|(other, _)| same(name, other))
        });
        let is_sound = ["sip", "sips"].contains(&&uri.scheme[..])
            && userinfo.is_none_or(|userinfo| !userinfo.is_empty())
            && !uri.host.is_empty()
            && uri.host.chars().all(is_host)
            && !host_port.contains('@')
            && !params.contains('@')
            && !headers.contains('@');
        (is_sound && once).then_some(uri)
    }

    fn param(&self, name: &[Char]) -> Option<&Option<Vec<Char>>> {
        let mut params = self.params.iter();
        let found = params.find(|(other, _)| same(other, name));
        found.map(|(_, value)| value)
    }

    pub(crate) fn is_equal(&self, other: &Self) -> bool {
        // "A SIP and SIPS URI are never equivalent."
        self.scheme == other.scheme
            // "Comparison of the userinfo of SIP and SIPS URIs is case-sensitive. This
            // includes userinfo containing passwords [...]"
            // "The ordering of parameters and header fields is not significant [...]"
            // "Characters other than those in the 'reserved' set are equivalent to
            // their %HH encoding."
            // "For two URIs to be equal, the user, password, host, and port components
            // must match." "A URI omitting the user component will not match a URI that
            // includes one." "A URI omitting any component with a default value will
            // not match a URI explicitly containing that component with its default
            // value."
            && self.userinfo == other.userinfo
            && self.host == other.host
            && self.port == other.port
            && self.tolerates(other)
            && other.tolerates(self)
            && self.has_headers_of(other)
            && other.has_headers_of(self)
    }

    /// Whether two equal URIs also have the same parameters.
    pub(crate) fn is_strongly_equal(&self, other: &Self) -> bool {
        let all = |these: &Self, those: &Self| {
            let mut names = these.params.iter();
            names.all(|(name, _)| those.param(name).is_some())
        };
        self.is_equal(other) && all(self, other) && all(other, self)
    }

    fn tolerates(&self, other: &Self) -> bool {
        self.params
            .iter()
            .all(|(name, value)| match other.param(name) {
                // "Any uri-parameter appearing in both URIs must match."
                Some(theirs) => same_value(value.as_ref(), theirs.as_ref()),
                // "A user, ttl, or method uri-parameter appearing in only one URI never
                // matches, even if it contains the default value." "A URI that includes an
                // maddr parameter will not match a URI that contains no maddr parameter."
                // And of transport the examples say so. "All other uri-parameters appearing
                // in only one URI are ignored when comparing the URIs."
                None => {
                    let only = ["user", "ttl", "method", "maddr", "transport"];
                    !only.iter().any(|only| same(name, &chars(only)))
                }
            })
    }

    /// "URI header components are never ignored. Any present header component MUST be
    /// present in both URIs and match for the URIs to match."
    fn has_headers_of(&self, other: &Self) -> bool {
        let mut left: Vec<_> = self.headers.iter().collect();
        other.headers.iter().all(|(name, value)| {
            let is_it = |(n, v): &&(Vec<Char>, Option<Vec<Char>>)| same(n, name) && v == value;
            let at = left.iter().position(is_it);
            at.map(|at| left.remove(at)).is_some()
        })
    }
}

fn pair(text: &str) -> (Vec<Char>, Option<Vec<Char>>) {
    match text.split_once('=') {
        Some((name, value)) => (chars(name), Some(chars(value))),
        None => (chars(text), None),
    }
}

/// Characters other than reserved ones equal their `%HH`.
fn chars(text: &str) -> Vec<Char> {
    let (mut rest, mut chars) = (text, Vec::new());
    while let Some(c) = rest.chars().next() {
        let hex = rest
            .get(1..3)
            .filter(|hex| hex.chars().all(|c| c.is_ascii_hexdigit()));
        match hex.filter(|_| c == '%') {
            Some(hex) => {
                let byte = u8::from_str_radix(hex, 16).unwrap();
                chars.push(if b";/?:@&=+$,".contains(&byte) {
                    Char::Escaped(byte)
                } else {
                    Char::Plain(byte)
                });
                rest = &rest[3..];
            }
            None => {
                chars.extend(rest[..c.len_utf8()].bytes().map(Char::Plain));
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    chars
}

/// "Comparison of all other components of the URI is case-insensitive unless
/// explicitly defined otherwise."
fn same(a: &[Char], b: &[Char]) -> bool {
    let fold = |c: &Char| match *c {
        Char::Plain(byte) => Char::Plain(byte.to_ascii_lowercase()),
        Char::Escaped(byte) => Char::Escaped(byte),
    };
    a.iter().map(fold).eq(b.iter().map(fold))
}

fn same_value(a: Option<&Vec<Char>>, b: Option<&Vec<Char>>) -> bool {
    match (a, b) {
        (None, None) => true,
        (Some(a), Some(b)) => same(a, b),
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Xorshift64: the same choices for the same seed.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((u128::from(self.0) * n as u128) >> 64).unwrap()
    }

    pub(crate) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// The equal URIs of RFC 3261 §19.1.4.
pub(crate) const EQUAL: [(&str, &str); 6] = [
    (
        "sip:%61lice@atlanta.com;transport=TCP",
        "sip:alice@AtLanTa.CoM;Transport=tcp",
    ),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
    ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
    (
        "sip:carol@chicago.com;newparam=5",
        "sip:carol@chicago.com;security=on",
    ),
    (
        "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
        "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
    ),
    (
        "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
        "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
    ),
];

/// The unequal ones. The last two are why the relation is not transitive: both equal
/// the URI without `security`.
pub(crate) const UNEQUAL: [(&str, &str); 7] = [
    (
        "SIP:ALICE@AtLanTa.CoM;Transport=udp",
        "sip:alice@AtLanTa.CoM;Transport=UDP",
    ),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
    ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
    (
        "sip:bob@biloxi.com",
        "sip:bob@biloxi.com:6000;transport=tcp",
    ),
    (
        "sip:carol@chicago.com",
        "sip:carol@chicago.com?Subject=next%20meeting",
    ),
    ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
    (
        "sip:carol@chicago.com;security=on",
        "sip:carol@chicago.com;security=off",
    ),
];
