//! The slow, obvious twin of `scan`: lines into a list, names from a list, the
//! rules one after another. It shares no code with `scan`, only the types it
//! fills, so that the two can be compared field by field.

use steadfast::error::Malformed;
use steadfast::limits;
use steadfast::scan::address::Address;
use steadfast::scan::via::Via;
use steadfast::scan::{Header, Message, Method, Name, StartLine};
use steadfast::span::Span;
use steadfast::uri::{Scheme, Uri};

use super::text::{Text, is_space, is_token, is_uri, number};
use super::values;

/// All that a scan tells.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Outline {
    pub(crate) start: Option<StartLine>,
    pub(crate) method: Method,
    pub(crate) headers: Vec<Header>,
    pub(crate) target: Option<Uri>,
    pub(crate) top_via: Option<Via>,
    pub(crate) from: Option<Address>,
    pub(crate) to: Option<Address>,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: Span,
    pub(crate) headers_start: usize,
    pub(crate) headers_end: usize,
    pub(crate) body: Span,
}

impl Outline {
    /// What `scan` found.
    pub(crate) fn of(message: &Message) -> Self {
        Self {
            start: message.start(),
            method: message.method(),
            headers: message.headers().to_vec(),
            target: message.target().copied(),
            top_via: message.top_via().copied(),
            from: message.from().copied(),
            to: message.to().copied(),
            cseq: message.cseq(),
            cseq_method: message.cseq_method(),
            headers_start: message.headers_start(),
            headers_end: message.headers_end(),
            body: message.body(),
        }
    }

    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &Header> {
        self.headers
            .iter()
            .filter(move |header| header.name == name)
    }

    fn first(&self, name: Name) -> Option<&Header> {
        self.all(name).next()
    }
}

/// The outline of a message and every defect in the order in which they count.
pub(crate) fn scan(bytes: &[u8]) -> (Outline, Result<(), Malformed>) {
    let mut outline = Outline::default();
    if bytes.len() > limits::MESSAGE_MAX {
        return (outline, Err(Malformed::TooLong));
    }
    let first = line(bytes, 0);
    let mut defects = match start_line(first.text) {
        Ok((start, defects)) => {
            outline.start = Some(start);
            defects
        }
        Err(defect) => return (outline, Err(defect)),
    };
    if !first.clean {
        defects.push(Malformed::StartLine);
    }
    outline.headers_start = first.next;
    headers(bytes, &mut outline, &mut defects);
    mandatory(bytes, &mut outline, &mut defects);
    typed(bytes, &mut outline, &mut defects);
    (
        outline,
        defects.first().map_or(Ok(()), |&defect| Err(defect)),
    )
}

/// A line without its end.
struct Line<'a> {
    text: Text<'a>,
    next: usize,
    /// It ends in CRLF and holds no other CR.
    clean: bool,
}

/// The line at `at`, its folds not followed.
fn line(bytes: &[u8], at: usize) -> Line<'_> {
    let rest = Text::new(&bytes[at..], at);
    let Some(lf) = rest.position(b'\n') else {
        let (text, next, clean) = (rest, bytes.len(), false);
        return Line { text, next, clean };
    };
    let with_cr = rest.to(lf);
    let text = match with_cr.bytes {
        [.., b'\r'] => with_cr.to(lf - 1),
        _ => with_cr,
    };
    Line {
        text,
        next: at + lf + 1,
        clean: text.bytes.len() < lf && text.position(b'\r').is_none(),
    }
}

fn start_line(line: Text<'_>) -> Result<(StartLine, Vec<Malformed>), Malformed> {
    let (first, rest) = line.word();
    if first.begins("SIP/") {
        return Ok(status_line(first, rest));
    }
    let (uri, version) = rest.word();
    let method = method(first.bytes);
    let sound = first.is_all(is_token) && !uri.is_empty();
    let request = |uri| StartLine::Request {
        method,
        method_token: first.span(),
        uri,
    };
    if sound && version.is("SIP/2.0") {
        Ok((request(uri.span()), vec![]))
    } else if !claims_to_be_sip(line) {
        Err(Malformed::NotSip)
    } else if sound && version.begins("SIP/") && !version.bytes.iter().any(|&b| is_space(b)) {
        Ok((request(uri.span()), vec![Malformed::Version]))
    } else {
        Ok((request(Span::default()), vec![Malformed::StartLine]))
    }
}

fn status_line(version: Text<'_>, rest: Text<'_>) -> (StartLine, Vec<Malformed>) {
    let (code, reason) = rest.word();
    let status = number(code.bytes)
        .filter(|status| code.bytes.len() == 3 && (100..=699).contains(status))
        .and_then(|status| u16::try_from(status).ok());
    let mut defects = Vec::new();
    if !version.is("SIP/2.0") {
        defects.push(Malformed::Version);
    }
    if status.is_none() {
        defects.push(Malformed::Status);
    }
    let start = StartLine::Response {
        status: status.unwrap_or(0),
        reason: reason.span(),
    };
    (start, defects)
}

/// It begins with `SIP/`, or its last word does, or it is two words of which
/// the second has a colon.
fn claims_to_be_sip(line: Text<'_>) -> bool {
    let end = line.bytes.trim_ascii_end().len();
    let words: Vec<&[u8]> = line.to(end).bytes.split(|&byte| byte == b' ').collect();
    let last = words.last().filter(|_| words.len() > 1);
    let last = Text::new(last.copied().unwrap_or_default(), 0);
    let two = words.len() == 2 && last.position(b':').is_some();
    line.begins("SIP/") || last.begins("SIP/") || two
}

fn method(token: &[u8]) -> Method {
    let known = [
        ("ACK", Method::Ack),
        ("BYE", Method::Bye),
        ("CANCEL", Method::Cancel),
        ("INFO", Method::Info),
        ("INVITE", Method::Invite),
        ("MESSAGE", Method::Message),
        ("NOTIFY", Method::Notify),
        ("OPTIONS", Method::Options),
        ("PRACK", Method::Prack),
        ("PUBLISH", Method::Publish),
        ("REFER", Method::Refer),
        ("REGISTER", Method::Register),
        ("SUBSCRIBE", Method::Subscribe),
        ("UPDATE", Method::Update),
    ];
    let found = known.into_iter().find(|(name, _)| name.as_bytes() == token);
    found.map_or(Method::Other, |(_, method)| method)
}

/// Every header line up to the blank one, folds joined to the line they continue.
fn headers(bytes: &[u8], outline: &mut Outline, defects: &mut Vec<Malformed>) {
    let mut at = outline.headers_start;
    loop {
        outline.headers_end = at;
        if at >= bytes.len() {
            return defects.push(Malformed::Truncated);
        }
        let mut whole = line(bytes, at);
        if whole.text.is_empty() && whole.next > at {
            outline.body = Span::new(whole.next, bytes.len());
            if !whole.clean {
                defects.push(Malformed::HeaderLine(Span::new(at, whole.next)));
            }
            return;
        }
        while matches!(bytes.get(whole.next), Some(b' ' | b'\t')) {
            let fold = line(bytes, whole.next);
            let end = fold.text.at + fold.text.bytes.len();
            whole = Line {
                text: Text::new(&bytes[at..end], at),
                next: fold.next,
                clean: whole.clean && fold.clean,
            };
        }
        header(&whole, outline, defects);
        at = whole.next;
    }
}

fn header(line: &Line<'_>, outline: &mut Outline, defects: &mut Vec<Malformed>) {
    let whole = Span::new(line.text.at, line.next);
    let (name, rest) = line.text.run(is_token);
    let (_, rest) = rest.run(|byte| byte == b' ' || byte == b'\t');
    if name.is_empty() || rest.bytes.first() != Some(&b':') {
        return defects.push(Malformed::HeaderLine(whole));
    }
    if !line.clean {
        defects.push(Malformed::HeaderLine(whole));
    }
    let name = header_name(name);
    let repeated = outline.first(name).is_some();
    let is_unread = matches!(name, Name::Unread | Name::Other);
    if outline.headers.len() >= limits::HEADERS_MAX && (repeated || is_unread) {
        return defects.push(Malformed::TooMany);
    }
    const SINGLE: [Name; 6] = [
        Name::CSeq,
        Name::CallId,
        Name::From,
        Name::MaxBreadth,
        Name::MaxForwards,
        Name::To,
    ];
    if repeated && name == Name::ContentLength {
        defects.push(Malformed::ContentLength);
    } else if repeated && SINGLE.contains(&name) {
        defects.push(Malformed::Repeated(whole));
    }
    outline.headers.push(Header {
        name,
        line: whole,
        value: rest.from(1).trim().span(),
    });
}

fn header_name(text: Text<'_>) -> Name {
    let known = [
        ("Allow", Name::Unread),
        ("Content-Type", Name::Unread),
        ("User-Agent", Name::Unread),
        ("c", Name::Unread),
        ("Alternative-Proxies", Name::OutboundProxy),
        ("Authorization", Name::Authorization),
        ("Call-ID", Name::CallId),
        ("Contact", Name::Contact),
        ("Content-Length", Name::ContentLength),
        ("CSeq", Name::CSeq),
        ("Expires", Name::Expires),
        ("Flow-Timer", Name::FlowTimer),
        ("From", Name::From),
        ("Max-Breadth", Name::MaxBreadth),
        ("Max-Forwards", Name::MaxForwards),
        ("Min-Expires", Name::MinExpires),
        ("Outbound-Proxies", Name::OutboundProxy),
        ("Outbound-Proxy", Name::OutboundProxy),
        ("Path", Name::Path),
        ("Proxy-Authenticate", Name::ProxyAuthenticate),
        ("Proxy-Authorization", Name::ProxyAuthorization),
        ("Proxy-Require", Name::ProxyRequire),
        ("Record-Route", Name::RecordRoute),
        ("Require", Name::Require),
        ("Retry-After", Name::RetryAfter),
        ("Route", Name::Route),
        ("Service-Route", Name::ServiceRoute),
        ("Supported", Name::Supported),
        ("To", Name::To),
        ("Unsupported", Name::Unsupported),
        ("Via", Name::Via),
        ("WWW-Authenticate", Name::WwwAuthenticate),
        ("f", Name::From),
        ("i", Name::CallId),
        ("k", Name::Supported),
        ("l", Name::ContentLength),
        ("m", Name::Contact),
        ("t", Name::To),
        ("v", Name::Via),
    ];
    let found = known.into_iter().find(|(name, _)| text.is(name));
    found.map_or(Name::Other, |(_, name)| name)
}

fn mandatory(bytes: &[u8], outline: &mut Outline, defects: &mut Vec<Malformed>) {
    let value = |name| {
        outline
            .first(name)
            .map(|header| Text::of(bytes, header.value))
    };
    let [via, from, to, call_id, cseq] =
        [Name::Via, Name::From, Name::To, Name::CallId, Name::CSeq].map(value);
    if [via, from, to, call_id, cseq].iter().any(Option::is_none) {
        defects.push(Malformed::Missing);
    }
    if outline.headers.len() > limits::HEADERS_MAX {
        defects.push(Malformed::TooMany);
    }
    if call_id.is_some_and(Text::is_empty) {
        defects.push(Malformed::Missing);
    }
    if value(Name::ContentLength).is_some_and(|length| number(length.bytes).is_none()) {
        defects.push(Malformed::ContentLength);
    }
    let read = cseq.map(values::cseq);
    if let Some(Some((number, token))) = read {
        (outline.cseq, outline.cseq_method) = (number, token.span());
        match outline.start {
            Some(StartLine::Request { method_token, .. })
                if method_token.of(bytes) != token.bytes =>
            {
                defects.push(Malformed::CSeq);
            }
            Some(StartLine::Response { .. }) => outline.method = method(token.bytes),
            Some(StartLine::Request { .. }) | None => {}
        }
    } else if read.is_some() {
        defects.push(Malformed::CSeq);
    }
}

fn typed(bytes: &[u8], outline: &mut Outline, defects: &mut Vec<Malformed>) {
    if let Some(StartLine::Request { method, uri, .. }) = outline.start {
        outline.method = method;
        let text = Text::of(bytes, uri);
        let is_sip = |parsed: &Uri| matches!(parsed.scheme, Scheme::Sip | Scheme::Sips);
        match values::uri(text) {
            Some(parsed) if !is_sip(&parsed) || parsed.headers.is_empty() => {
                outline.target = Some(parsed);
            }
            Some(_) | None if goes_by_route(bytes, outline) && text.is_all(is_uri) => {}
            Some(_) => defects.push(Malformed::Uri(uri)),
            None if text.is_all(is_uri) => defects.push(Malformed::Uri(uri)),
            None => defects.push(Malformed::StartLine),
        }
    }
    if let Some(header) = outline.first(Name::Via) {
        let whole = Text::of(bytes, header.value);
        let value = values::list(whole).first().copied().unwrap_or(whole);
        outline.top_via = values::via(value);
        if outline.top_via.is_none() {
            defects.push(Malformed::Via(value.span()));
        }
    }
    let mut address = |name| {
        let value = outline.first(name)?.value;
        let address = values::address(Text::of(bytes, value));
        if address.is_none() {
            defects.push(Malformed::Address(value));
        }
        address
    };
    let (from, to) = (address(Name::From), address(Name::To));
    (outline.from, outline.to) = (from, to);
}

/// Whether nobody follows the Request-URI: a request of a dialog, whose Routes can all be
/// read and are of loose routers.
fn goes_by_route(bytes: &[u8], outline: &Outline) -> bool {
    let has = |text, name| {
        let params = values::params(text).unwrap_or_default();
        params.iter().any(|param| param.name.is(name))
    };
    let to = outline.first(Name::To).map(|to| Text::of(bytes, to.value));
    let to = to.and_then(values::address);
    let in_dialog = to.is_some_and(|to| has(Text::of(bytes, to.params), "tag"));
    let lines = outline
        .headers
        .iter()
        .filter(|header| header.name == Name::Route);
    let routes = lines.flat_map(|line| values::list(Text::of(bytes, line.value)));
    let is_loose = |value| {
        let uri = values::address(value).and_then(|to| values::uri(Text::of(bytes, to.uri)));
        uri.is_some_and(|uri| has(Text::of(bytes, uri.params), "lr"))
    };
    let routes: Vec<bool> = routes.map(is_loose).collect();
    in_dialog
        && outline.method != Method::Register
        && !routes.is_empty()
        && !routes.contains(&false)
}
