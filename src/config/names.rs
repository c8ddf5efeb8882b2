//! The small notations that values of the configuration are written in.

use std::net::{IpAddr, SocketAddr};

use crate::edge::Hop;
use crate::id::Transport;

/// `udp:192.0.2.1:5060`, `tcp:[2001:db8::1]:5060`.
pub(super) fn listener(text: &str) -> Result<(Transport, SocketAddr), String> {
    let parsed = text
        .split_once(':')
        .and_then(|(transport, addr)| Some((self::transport(transport)?, addr.parse().ok()?)));
    let (transport, addr): (_, SocketAddr) = parsed.ok_or_else(|| {
        format!("has {text:?}, which should be like \"udp:192.0.2.1:5060\" or \"tcp:[2001:db8::1]:5060\"")
    })?;
    if addr.ip().is_unspecified() {
        return Err(format!(
            "has {text:?}, but peers must be told one address: name the interface's own"
        ));
    }
    Ok((transport, addr))
}

/// `sip:192.0.2.1:5060;transport=udp`; port and transport may be left out.
pub(super) fn hop(text: &str) -> Result<Hop, String> {
    let parse = || {
        let rest = text.strip_prefix("sip:")?;
        let (host, transport) = match rest.split_once(';') {
            None => (rest, Transport::Udp),
            Some((host, parameter)) => (host, transport(parameter.strip_prefix("transport=")?)?),
        };
        let addr = host.parse().or_else(|_not_with_port| {
            let ip = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .parse::<IpAddr>();
            ip.map(|ip| SocketAddr::new(ip, transport.default_port()))
        });
        Some(Hop {
            transport,
            addr: addr.ok()?,
            name: None,
        })
    };
    parse().ok_or_else(|| {
        format!("has {text:?}, which should be like \"sip:192.0.2.1:5060;transport=udp\"")
    })
}

/// `192.0.2.1` or `192.0.2.0/24`.
pub(super) fn prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let parse = || {
        let (ip, len) = text.split_once('/').unwrap_or((text, ""));
        let ip: IpAddr = ip.parse().ok()?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        let len = if len.is_empty() {
            longest
        } else {
            len.parse().ok()?
        };
        (len <= longest).then_some((ip, len))
    };
    parse().ok_or_else(|| {
        format!("has {text:?}, which should be like \"192.0.2.1\" or \"192.0.2.0/24\"")
    })
}

/// An IP address.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_not_one| {
        format!("is {text:?}, which should be an IP address such as \"192.0.2.1\"")
    })
}

/// A domain name: letters, digits, hyphens and dots, in lower case from here.
pub(super) fn domain(text: &str) -> Result<String, String> {
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

fn transport(text: &str) -> Option<Transport> {
    match text {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        _ => None,
    }
}
