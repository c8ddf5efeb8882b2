//! The small notations that values of the configuration are written in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::edge::{ConfiguredHop, CoreName, NextHop};
use crate::grammar::params;
use crate::id::Transport;
use crate::limits;
use crate::locate::{Question, Transports};
use crate::memory::Bound;
use crate::send::{self, Clear, HostRule, PeerRule};
use crate::uri::{Uri, host_ip, same_host};

/// `udp:192.0.2.1:5060`, `tcp:[2001:db8::1]:5060`.
pub(super) fn listener(text: &str) -> Result<(Transport, SocketAddr), String> {
    let parsed = text
        .split_once(':')
        .and_then(|(transport, addr)| Some((self::transport(transport)?, addr.parse().ok()?)));
    let (transport, addr): (_, SocketAddr) = parsed.ok_or_else(|| {
        format!("has {text:?}, which should be like \"udp:192.0.2.1:5060\", \"tcp:[2001:db8::1]:5060\" or \"tls:192.0.2.1:5061\"")
    })?;
    if addr.ip().is_unspecified() {
        return Err(format!(
            "has {text:?}, but peers must be told one address: name the interface's own"
        ));
    }
    Ok((transport, addr))
}

/// `sip:192.0.2.1:5060;transport=udp` or `sip:home.example.com`; port and
/// transport may be left out.
pub(super) fn next_hop(text: &str) -> Result<NextHop, String> {
    let hop = hop(text).map(NextHop::At);
    match uri(text) {
        Some(uri) if hop.is_err() && uri.user.is_none() && uri.ip(text.as_bytes()).is_none() => {
            let every = Transports::over(ANYWHERE);
            let question = Question::of(text.as_bytes(), &uri, every);
            question
                .map(|_| NextHop::Named(text.to_owned()))
                .ok_or_else(|| {
                    format!(
                        "has {text:?}, which should be like \"sip:home.example.com\" or \
                     \"sip:home.example.com;transport=tcp\""
                    )
                })
        }
        Some(_) | None => hop,
    }
}

/// Whether the way there is TLS and nothing else.
pub(super) fn is_tls(hop: &NextHop) -> bool {
    let transport = match hop {
        NextHop::At(hop) => Some(hop.transport),
        NextHop::Named(text) => {
            uri(text).and_then(|uri| send::Hop::transport_of(text.as_bytes(), &uri))
        }
    };
    transport == Some(Transport::Tls)
}

/// Whether a next hop is given by this host name.
pub(super) fn is_named(hop: &NextHop, name: &str) -> bool {
    match hop {
        NextHop::At(hop) => hop
            .name
            .as_deref()
            .is_some_and(|host| host.eq_ignore_ascii_case(name)),
        NextHop::Named(text) => {
            uri(text).is_some_and(|uri| same_host(uri.host.of(text.as_bytes()), name.as_bytes()))
        }
    }
}

fn uri(text: &str) -> Option<Uri> {
    Uri::of(text.as_bytes()).ok()
}

/// What a node can speak at most: a name that even that does not lead to is a
/// mistake.
const ANYWHERE: [(Transport, SocketAddr); 3] = [
    (Transport::Udp, SOMEWHERE),
    (Transport::Tcp, SOMEWHERE),
    (Transport::Tls, SOMEWHERE),
];
const SOMEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5060);

/// `sip:192.0.2.1:5060;transport=udp`; port and transport may be left out. Over
/// TLS the host is the domain that the home must prove, and `maddr` says where it
/// is: `sips:home.example.com;maddr=192.0.2.1`.
pub(super) fn hop(text: &str) -> Result<ConfiguredHop, String> {
    let bytes = text.as_bytes();
    let parse = || {
        let uri = Uri::of(bytes).ok()?;
        let params = params::iter(bytes, uri.params).map(|param| param.name.of(bytes));
        let known = [&b"transport"[..], b"maddr", b"lr"];
        let plain = uri.userinfo.is_none() && uri.headers.is_empty();
        let mut params = params;
        if !plain || params.any(|name| !known.iter().any(|known| name.eq_ignore_ascii_case(known)))
        {
            return None;
        }
        let transport = send::Hop::transport_of(bytes, &uri)?;
        let host = std::str::from_utf8(uri.host.of(bytes)).ok()?;
        let ip = host_ip(uri.target(bytes).of(bytes))?;
        let port = uri.port.unwrap_or_else(|| transport.default_port());
        (port != 0).then_some(ConfiguredHop {
            transport,
            addr: SocketAddr::new(ip, port),
            name: (transport == Transport::Tls).then(|| host.to_ascii_lowercase()),
        })
    };
    parse().ok_or_else(|| {
        format!(
            "has {text:?}, which should be like \"sip:192.0.2.1:5060;transport=udp\" or \
             \"sips:home.example.com;maddr=192.0.2.1\""
        )
    })
}

/// `192.0.2.53` or `127.0.0.1:5353`; without a port it is 53.
pub(super) fn name_server(text: &str) -> Result<SocketAddr, String> {
    let with_port = text.parse().ok();
    let alone = || text.parse().ok().map(|ip| SocketAddr::new(ip, 53));
    with_port.or_else(alone).ok_or_else(|| {
        format!("has {text:?}, which should be like \"192.0.2.53\" or \"127.0.0.1:5353\"")
    })
}

/// `192.0.2.1` or `192.0.2.0/24`.
pub(super) fn prefix(text: &str) -> Result<(IpAddr, u8), String> {
    send::network(text).ok_or_else(|| {
        format!("has {text:?}, which should be like \"192.0.2.1\" or \"192.0.2.0/24\"")
    })
}

/// Who is an edge to a home (`HostRule::edge`).
pub(super) fn edge_peer(text: &str, plain: Clear, core_port: u16) -> Result<HostRule, String> {
    HostRule::edge(text, plain, core_port).ok_or_else(|| {
        format!(
            "has {text:?}, which should be like \"192.0.2.1\" or \"192.0.2.0/24\", or say what is \
             spoken, such as \"udp:192.0.2.1\", \"tcp:192.0.2.1:5070\" or \"tls:192.0.2.1\"; with \
             its first core port behind it, such as \"192.0.2.1+20000\", where that is another"
        )
    })
}

/// Whether it begins with a transport.
pub(super) fn says_transport(text: &str) -> bool {
    let first = text.split_once(':').map(|(first, _)| first);
    first.and_then(transport).is_some()
}

/// Another carrier (`PeerRule::carrier`).
pub(super) fn carrier(text: &str) -> Result<PeerRule, String> {
    PeerRule::carrier(text).ok_or_else(|| {
        format!(
            "has {text:?}, which should be like \"tls:carrier.example.net\", \
             \"udp:192.0.2.50:5060\" or \"tcp:192.0.2.50\""
        )
    })
}

/// `tcp:192.0.2.1:5080`
pub(super) fn core_listener(text: &str) -> Result<SocketAddr, String> {
    match listener(text)? {
        (Transport::Tcp, addr) => Ok(addr),
        (Transport::Udp | Transport::Tls, _) => Err(format!(
            "has {text:?}, which should be like \"tcp:192.0.2.1:5080\": over UDP the source port \
             tells who it is, over TLS the certificate"
        )),
    }
}

/// `core.edge.example.com:5070;transport=tcp`; port and transport may be left out.
pub(super) fn core_name(text: &str) -> Result<CoreName, String> {
    let (at, transport) = match text.split_once(";transport=") {
        Some((at, transport)) => (at, Some(transport)),
        None => (text, None),
    };
    let (host, port) = match at.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (at, None),
    };
    let host = domain(host)
        .ok()
        .filter(|host| host.parse::<IpAddr>().is_err());
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    let is_known = transport.is_none_or(|one| self::transport(one).is_some());
    host.filter(|_| is_port && is_known)
        .map(|host| CoreName {
            written: text.to_ascii_lowercase(),
            host,
        })
        .ok_or_else(|| {
            format!(
                "is {text:?}, which should be like \"core.edge.example.com\" or \
                 \"core.edge.example.com:5070;transport=tcp\""
            )
        })
}

/// An IP address.
///
/// # Errors
/// When it is none, in words that go on after the name of what it stands for.
pub fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_not_one| {
        format!("is {text:?}, which should be an IP address such as \"192.0.2.1\"")
    })
}

/// One IP address of a list.
pub(super) fn one_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_not_one| {
        format!("has {text:?}, which should be an IP address such as \"192.0.2.1\"")
    })
}

/// A domain name: letters, digits, hyphens and dots, in lower case from here.
///
/// # Errors
/// When it is none, in words that go on after the name of what it stands for.
pub fn domain(text: &str) -> Result<String, String> {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    if text.split('.').all(is_label) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(format!(
            "has {text:?}, which should be a domain such as \"example.com\""
        ))
    }
}

/// The name of a header field: a token (RFC 3261 §25.1).
pub(super) fn header(text: &str) -> Result<String, String> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_token) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "has {text:?}, which should be the name of a header such as \"X-Customer\""
        ))
    }
}

/// The name of a node, as it stands in tokens: `+` and `.` separate there.
pub(super) fn node(text: &str) -> Result<String, String> {
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is {text:?}, which should be letters, digits and hyphens, such as \"e1\""
        ))
    }
}

/// `512M`, `2G` or `none`.
pub(super) fn memory(text: &str) -> Result<Bound, String> {
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let shift = match unit {
        "K" => Some(10),
        "M" => Some(20),
        "G" => Some(30),
        _ => None,
    };
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    let number = number.parse::<usize>().ok().filter(|_| digits);
    let bytes = shift.and_then(|shift| number?.checked_mul(1 << shift));
    match bytes {
        _ if text == "none" => Ok(Bound::Nothing),
        Some(bytes) if bytes >= limits::MEMORY_MIN => Ok(Bound::Bytes(bytes)),
        Some(_) => Err(format!(
            "is {text:?}, but a node needs {}M at the least",
            limits::MEMORY_MIN >> 20
        )),
        None => Err(format!(
            "is {text:?}, which should be like \"512M\" or \"2G\", or \"none\""
        )),
    }
}

/// Where the page of another node is: its name or address, and a URL.
pub(super) fn page(text: &str) -> Result<(String, String), String> {
    let refusal = || format!("has {text:?}, which should be like \"e2=http://192.0.2.12:9090/\"");
    let (node, url) = text.split_once('=').ok_or_else(refusal)?;
    let (node, url) = (node.trim(), url.trim());
    let is_web = ["http://", "https://"].iter().any(|scheme| {
        url.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    });
    // A browser reads it, so it is nothing but a URL (RFC 3986 §2).
    let is_url = url
        .bytes()
        .all(|it| it.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&it));
    if node.is_empty() || node.contains(' ') || !is_web || !is_url {
        return Err(refusal());
    }
    Ok((node.to_owned(), url.to_owned()))
}

/// A level, or a list of those with targets: `warn,steadfast=debug`. A level that is misspelled
/// would be the name of a target, and nothing would be logged.
pub(super) fn log(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = |part: &str| {
        part.rsplit_once('=')
            .map_or(part, |(_, level)| level)
            .trim()
            .to_owned()
    };
    let is_level = |part: &str| LEVELS.contains(&level(part).to_ascii_lowercase().as_str());
    let is_filter = || tracing_subscriber::EnvFilter::builder().parse(text).is_ok();
    if text.split(',').all(is_level) && is_filter() {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "is {text:?}, which should be a level (off, error, warn, info, debug, trace), or \
             several such as \"warn,steadfast=debug\""
        ))
    }
}

fn transport(text: &str) -> Option<Transport> {
    match text {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        "tls" => Some(Transport::Tls),
        _ => None,
    }
}
