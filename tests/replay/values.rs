//! The twin's reading of single values: URI, Via, address, parameters, lists.

use std::net::{Ipv4Addr, Ipv6Addr};

use steadfast::scan::address::Address;
use steadfast::scan::via::Via;
use steadfast::span::Span;
use steadfast::uri::{Scheme, Uri};

use super::text::{
    Text, is_display, is_host, is_param, is_space, is_token, is_uri, number, pieces, quoted,
};

/// One `name[=value]`.
pub(crate) struct Param<'a> {
    pub(crate) whole: Span,
    pub(crate) name: Text<'a>,
    pub(crate) value: Option<Text<'a>>,
}

/// `;a=b;c` from the first semicolon on; `None` where there is a defect.
pub(crate) fn params(text: Text<'_>) -> Option<Vec<Param<'_>>> {
    if text.trim().is_empty() {
        return Some(Vec::new());
    }
    let (pieces, closed) = pieces(text, b';', false);
    let (before, list) = pieces.split_first()?;
    if !closed || list.is_empty() || !before.trim().is_empty() {
        return None;
    }
    list.iter().map(|piece| param(piece.trim_start())).collect()
}

fn param(piece: Text<'_>) -> Option<Param<'_>> {
    let Some((name, value)) = piece.split_at_first(b'=') else {
        let name = piece.trim_end();
        let (whole, value) = (name.span(), None);
        return name
            .is_all(is_param)
            .then_some(Param { whole, name, value });
    };
    let name = name.trim_end();
    let value = value.trim();
    let whole = Span::new(name.at, value.at + value.bytes.len());
    let inside = if value.bytes.first() == Some(&b'"') {
        let length = quoted(value).filter(|&length| length == value.bytes.len())?;
        value.to(length - 1).from(1)
    } else if value.is_empty() || value.is_all(is_param) {
        value
    } else {
        return None;
    };
    name.is_all(is_param).then_some(Param {
        whole,
        name,
        value: Some(inside),
    })
}

/// The one parameter of that name. `Err` when there are several.
fn only<'a, 'p>(params: &'p [Param<'a>], name: &str) -> Result<Option<&'p Param<'a>>, ()> {
    let mut found = params.iter().filter(|param| param.name.is(name));
    match (found.next(), found.next()) {
        (first, None) => Ok(first),
        (_, Some(_)) => Err(()),
    }
}

/// The comma-separated values, trimmed, the empty ones left out.
pub(crate) fn list(text: Text<'_>) -> Vec<Text<'_>> {
    let (values, _) = pieces(text, b',', true);
    values
        .into_iter()
        .map(Text::trim)
        .filter(|value| !value.is_empty())
        .collect()
}

/// The host a text begins with, and the rest.
fn host(text: Text<'_>) -> Option<(Text<'_>, Text<'_>)> {
    if text.bytes.first() == Some(&b'[') {
        let close = text.position(b']')? + 1;
        let inside = std::str::from_utf8(&text.bytes[1..close - 1]).ok()?;
        inside.parse::<Ipv6Addr>().ok()?;
        return Some((text.to(close), text.from(close)));
    }
    let (host, rest) = text.run(is_host);
    let name = std::str::from_utf8(host.bytes).ok()?;
    let like_an_address = name.starts_with(|first: char| first.is_ascii_digit())
        && name.contains('.')
        && name.chars().all(|c| c == '.' || c.is_ascii_digit());
    let sound = !name.is_empty() && (!like_an_address || name.parse::<Ipv4Addr>().is_ok());
    sound.then_some((host, rest))
}

/// The port a text begins with, and the rest.
fn port(text: Text<'_>) -> Option<(u16, Text<'_>)> {
    let (digits, rest) = text.run(|byte| byte.is_ascii_digit());
    let port = u16::try_from(number(digits.bytes)?).ok()?;
    (port != 0).then_some((port, rest))
}

pub(crate) fn uri(text: Text<'_>) -> Option<Uri> {
    let (scheme, rest) = scheme(text)?;
    let none = Span::default();
    let mut uri = Uri {
        whole: text.span(),
        scheme,
        userinfo: None,
        user: None,
        host: none,
        port: None,
        host_port: none,
        params: none,
        headers: none,
    };
    if !rest.is_all(is_uri) {
        return None;
    }
    if matches!(scheme, Scheme::Tel | Scheme::Other) {
        return Some(uri);
    }
    let mut after_user = rest;
    if let Some((userinfo, after)) = rest.split_at_first(b'@') {
        let user = userinfo
            .split_at_first(b':')
            .map_or(userinfo, |(user, _)| user);
        if user.is_empty() || after.position(b'@').is_some() {
            return None;
        }
        (uri.userinfo, uri.user) = (Some(userinfo.span()), Some(user.span()));
        after_user = after;
    }
    let (host, mut rest) = host(after_user)?;
    uri.host = host.span();
    if rest.bytes.first() == Some(&b':') {
        let (number, after) = port(rest.from(1))?;
        (uri.port, rest) = (Some(number), after);
    }
    uri.host_port = Span::new(host.at, rest.at);
    let question = rest.position(b'?').unwrap_or(rest.bytes.len());
    (uri.params, uri.headers) = (rest.to(question).span(), rest.from(question).span());
    params(rest.to(question)).map(|_| uri)
}

fn scheme(text: Text<'_>) -> Option<(Scheme, Text<'_>)> {
    let (name, rest) = text.split_at_first(b':')?;
    let known = [
        ("sip", Scheme::Sip),
        ("sips", Scheme::Sips),
        ("tel", Scheme::Tel),
    ];
    if let Some((_, scheme)) = known.into_iter().find(|(known, _)| name.is(known)) {
        return Some((scheme, rest));
    }
    let sound = name.bytes.first()?.is_ascii_alphabetic()
        && name.is_all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    sound.then_some((Scheme::Other, rest))
}

pub(crate) fn via(text: Text<'_>) -> Option<Via> {
    let (name, rest) = text.run(is_token);
    let rest = rest.trim_start();
    let (slash, rest) = rest.run(|byte| byte == b'/');
    let (version, rest) = rest.trim_start().run(is_token);
    let rest = rest.trim_start();
    let (other_slash, rest) = rest.run(|byte| byte == b'/');
    let (transport, rest) = rest.trim_start().run(is_token);
    let one = [slash, other_slash].iter().all(|s| s.bytes.len() == 1);
    if !one
        || [name, version, transport]
            .iter()
            .any(|part| part.is_empty())
    {
        return None;
    }
    let after = rest.trim_start();
    if after.at == rest.at {
        return None;
    }
    let (host, mut rest) = host(after)?;
    let mut via_port = None;
    let mut end = rest.at;
    if let Some(b':') = rest.trim_start().bytes.first() {
        let (number, after) = port(rest.trim_start().from(1).trim_start())?;
        (via_port, rest, end) = (Some(number), after, after.at);
    }
    let tail = rest.trim_start();
    let params = params(tail)?;
    let [branch, received, maddr, rport] =
        ["branch", "received", "maddr", "rport"].map(|name| only(&params, name));
    let value = |found: Option<&Param<'_>>| {
        found.map(|param| param.value.map_or_else(Span::default, Text::span))
    };
    // Whoever writes it twice means the last.
    let last = |name| params.iter().rfind(|param| param.name.is(name));
    let (oc, keep) = (last("oc"), last("keep"));
    let (branch, received, maddr) = (branch.ok()?, received.ok()?, maddr.ok()?);
    Some(Via {
        value: text.span(),
        transport: transport.span(),
        host: host.span(),
        ip: std::str::from_utf8(host.bytes)
            .ok()?
            .trim_matches(['[', ']'])
            .parse()
            .ok(),
        port: via_port,
        sent_by: Span::new(host.at, end),
        params: tail.span(),
        branch: value(branch),
        received: value(received),
        maddr: value(maddr),
        rport: rport.ok()?.map(|param| (param.whole, rport_value(param))),
        oc: value(oc),
        keep: keep.map(|param| (param.whole, param.value.map(Text::span))),
        received_param: received.map(|param| param.whole),
    })
}

/// What is no port counts as none.
fn rport_value(param: &Param<'_>) -> Option<u16> {
    let (port, rest) = port(param.value?)?;
    rest.is_empty().then_some(port)
}

pub(crate) fn address(text: Text<'_>) -> Option<Address> {
    let mut display = Span::default();
    let rest;
    if let Some(length) = quoted(text) {
        display = text.to(length).span();
        rest = text.from(length).trim_start();
    } else {
        let (words, after) = text.run(is_display);
        if after.bytes.first() != Some(&b'<') {
            return bare(text);
        }
        if !words.is_empty() {
            display = words.trim().span();
        }
        rest = after;
    }
    let (uri, after) = rest
        .bytes
        .starts_with(b"<")
        .then(|| rest.from(1).split_at_first(b'>'))
        .flatten()?;
    let tail = after.trim_start();
    let sound = has_scheme(uri) && uri.is_all(is_uri) && params(tail).is_some();
    sound.then(|| Address {
        value: text.span(),
        display,
        uri: uri.span(),
        bracketed: true,
        params: tail.span(),
    })
}

/// An addr-spec: what follows its first semicolon are header parameters.
fn bare(text: Text<'_>) -> Option<Address> {
    let (uri, rest) = text.run(|byte| is_uri(byte) && byte != b';');
    let tail = rest.trim_start();
    let doubtful = text.position(b'?').is_some() || uri.position(b',').is_some();
    let sound = !doubtful && has_scheme(uri) && params(tail).is_some();
    sound.then(|| Address {
        value: text.span(),
        display: Span::default(),
        uri: uri.span(),
        bracketed: false,
        params: tail.span(),
    })
}

fn has_scheme(uri: Text<'_>) -> bool {
    uri.position(b':').is_some_and(|at| at > 0)
}

/// The number and the method of a CSeq.
pub(crate) fn cseq(text: Text<'_>) -> Option<(u32, Text<'_>)> {
    let (digits, rest) = text.run(|byte| byte.is_ascii_digit());
    let number = u32::try_from(number(digits.bytes)?).ok()?;
    let (space, method) = rest.run(is_space);
    let sound = number < 1 << 31 && !space.is_empty() && method.is_all(is_token);
    sound.then_some((number, method))
}
