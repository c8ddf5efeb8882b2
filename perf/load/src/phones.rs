//! The phones of a load: where they stand, what they were told when they
//! registered, and the REGISTER they send.

use std::net::{IpAddr, SocketAddrV4};

use steadfast_core::digest::{self, Algorithm, DigestInput, Qop};
use steadfast_core::edit::decimal;
use steadfast_core::scan::auth::Digest;
use steadfast_core::span::Span;
use steadfast_core::uri::{Uri, host_ip};

use super::compose::{Request, World, put, user};
use super::outline::{Head, Mark, MessageOutline, Method, uri};
use super::wires::{Line, Out};

/// One phone, by its number.
#[derive(Debug)]
pub(super) struct Phone {
    /// Where it is.
    pub(super) line: Line,
    /// Its flows: one, and a second one where it was told of another edge
    /// (D-U9).
    ways: Vec<Way>,
    /// The one that answered last.
    pub(super) preferred: usize,
    /// The CSeq of its last REGISTER.
    pub(super) cseq: u32,
    challenge: Option<Challenge>,
}

/// A flow through one edge.
#[derive(Debug)]
pub(super) struct Way {
    /// Where it sends to.
    pub(super) to: SocketAddrV4,
    /// The Route lines of requests outside of dialogs.
    pub(super) routes: Vec<u8>,
    /// The Route line of its REGISTERs, where it has one of its own (D-U10).
    proxy: Vec<u8>,
    /// RFC 5626 §4.2.1.
    reg_id: u32,
    /// A 200 came over it to a REGISTER.
    is_registered: bool,
}

#[derive(Debug)]
struct Challenge {
    realm: Vec<u8>,
    nonce: Vec<u8>,
    algorithm: Algorithm,
    /// Times the nonce was used.
    count: u32,
}

/// How phones register.
#[derive(Clone, Debug)]
pub(super) struct Manner {
    /// The password of every phone; without, a challenge is a refusal.
    pub(super) password: Option<Vec<u8>>,
    /// With instance and reg-id (RFC 5626).
    pub(super) outbound: bool,
    /// Seconds asked for.
    pub(super) expires_s: u32,
}

impl Phone {
    pub(super) fn new(line: Line, to: SocketAddrV4) -> Self {
        Self {
            line,
            ways: vec![Way {
                to,
                routes: Vec::new(),
                proxy: Vec::new(),
                reg_id: 1,
                is_registered: false,
            }],
            preferred: 0,
            cseq: 0,
            challenge: None,
        }
    }

    /// Sends a REGISTER of phone `number`; the same bytes again unless `cseq`
    /// has changed, except for what the nonce counts.
    pub(super) fn register(
        &mut self,
        (world, manner): (&World, &Manner),
        number: u32,
        mark: Mark,
        out: &mut Out,
    ) {
        let request = Request {
            world,
            method: Method::Register,
            own: out.address(self.line),
            mark,
            from: number,
        };
        let (line, cseq) = (self.line, self.cseq);
        let way = &self.ways[self.preferred];
        let (to, reg_id) = (way.to, way.reg_id);
        out.write(line, to, |out| {
            let uri = [b"sip:", &world.domain[..]].concat();
            request.head(&uri, cseq, b'r', out);
            let route = if way.proxy.is_empty() {
                &world.route
            } else {
                &way.proxy
            };
            put(out, &[route, b"To: <sip:"]);
            user(out, number);
            put(out, &[b"@", &world.domain, b">\r\nCall-ID: register-"]);
            decimal(out, number);
            // Another run is a phone that was started again: its CSeq begins anew.
            out.push(b'-');
            decimal(out, mark.run);
            out.push(b'-');
            decimal(out, reg_id);
            out.extend_from_slice(b"@load\r\nCSeq: ");
            decimal(out, cseq);
            out.extend_from_slice(b" REGISTER\r\n");
            if manner.outbound {
                let text = format!(
                    ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-{number:012x}>\";reg-id={reg_id}"
                );
                request.contact(text.as_bytes(), out);
            } else {
                request.contact(b"", out);
            }
            authorize(&mut self.challenge, manner, number, &uri, out);
            put(
                out,
                &[b"Supported: path, outbound\r\nUser-Agent: steadfast load\r\nExpires: "],
            );
            decimal(out, manner.expires_s);
            out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        });
    }

    /// Remembers the first challenge that can be answered; false without one.
    pub(super) fn learn(&mut self, outline: &MessageOutline, bytes: &[u8]) -> bool {
        let challenges = outline.lines(bytes, Head::Challenge);
        let found = challenges.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let value = Span::new(colon + 1 + 1, line.len());
            let digest = Digest::parse(line, value).ok().flatten()?;
            let algorithm = digest.algorithm.map(|token| token.of(line));
            Some(Challenge {
                realm: digest.realm.of(line).to_vec(),
                nonce: digest.nonce.of(line).to_vec(),
                algorithm: Algorithm::from_name(algorithm)?,
                count: 0,
            })
        });
        let first = { found }.next();
        let is_found = first.is_some();
        self.challenge = first.or_else(|| self.challenge.take());
        is_found
    }

    /// Remembers from a 200 the way out (RFC 3608), and the way to the first
    /// further edge that it names.
    pub(super) fn registered(&mut self, outline: &MessageOutline, bytes: &[u8]) {
        let way = &mut self.ways[self.preferred];
        way.is_registered = true;
        let routes = &mut way.routes;
        routes.clear();
        for line in outline.lines(bytes, Head::ServiceRoute) {
            if let Some(colon) = memchr::memchr(b':', line) {
                put(routes, &[b"Route", &line[colon..], b"\r\n"]);
            }
        }
        if self.ways.len() == 1
            && let Some(value) = outline.reversed(bytes, Head::OutboundProxy).last()
            && let Some(to) = addr_in(uri(value))
        {
            self.ways.push(Way {
                to,
                routes: Vec::new(),
                proxy: [b"Route: ", value, b"\r\n"].concat(),
                reg_id: 2,
                is_registered: false,
            });
        }
    }

    /// One of its ways, by its place.
    pub(super) fn way(&self, index: usize) -> &Way {
        &self.ways[index % self.ways.len()]
    }

    /// Whether it was told of another edge.
    pub(super) const fn knows_another(&self) -> bool {
        self.ways.len() > 1
    }

    /// The place of the way to try after that one: the same where it has registered by no other,
    /// since another edge lets nobody in who has not.
    pub(super) fn other(&self, index: usize) -> usize {
        let next = (index + 1) % self.ways.len();
        if self.way(next).is_registered {
            next
        } else {
            index % self.ways.len()
        }
    }
}

/// The number of the phone at a place.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// The credentials, once there was a challenge.
fn authorize(
    challenge: &mut Option<Challenge>,
    manner: &Manner,
    number: u32,
    uri: &[u8],
    out: &mut Vec<u8>,
) {
    let (Some(challenge), Some(password)) = (challenge, &manner.password) else {
        return;
    };
    challenge.count += 1;
    let nc = format!("{:08x}", challenge.count);
    let mut name = Vec::with_capacity(16);
    user(&mut name, number);
    let Challenge {
        realm,
        nonce,
        algorithm,
        ..
    } = challenge;
    let ha1 = digest::ha1(*algorithm, &name, realm, password);
    let cnonce = b"6c6f6164";
    let answered = DigestInput {
        nonce,
        qop: Qop::Auth {
            nc: nc.as_bytes(),
            cnonce,
        },
        method: b"REGISTER",
        uri,
    };
    let response = digest::response(*algorithm, ha1.as_bytes(), &answered);
    put(out, &[b"Authorization: Digest username=\"", &name]);
    put(out, &[b"\", realm=\"", realm, b"\", nonce=\"", nonce]);
    put(
        out,
        &[b"\", uri=\"", uri, b"\", response=\"", response.as_bytes()],
    );
    put(out, &[b"\", algorithm=", algorithm.name().as_bytes()]);
    put(
        out,
        &[
            b", qop=auth, nc=",
            nc.as_bytes(),
            b", cnonce=\"",
            cnonce,
            b"\"\r\n",
        ],
    );
}

/// Where an Outbound-Proxy URI leads: its `maddr` decides (D-U12).
fn addr_in(uri: &[u8]) -> Option<SocketAddrV4> {
    let parsed = Uri::of(uri).ok()?;
    match host_ip(parsed.target(uri).of(uri))? {
        IpAddr::V4(ip) => Some(SocketAddrV4::new(ip, parsed.port.unwrap_or(5060))),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_edge_is_where_maddr_says() {
        let check = |uri: &str, want: Option<&str>| {
            let want = want.map(|want| want.parse().unwrap());
            assert_eq!(addr_in(uri.as_bytes()), want, "{uri}");
        };
        check(
            "sip:token@edge.example.com;lr;maddr=127.0.0.13",
            Some("127.0.0.13:5060"),
        );
        check(
            "sip:token@edge.example.com:5070;lr;maddr=127.0.0.13",
            Some("127.0.0.13:5070"),
        );
        check("sip:token@127.0.0.12;lr", Some("127.0.0.12:5060"));
        check("sip:token@edge.example.com;lr", None);
    }

    #[test]
    fn a_phone_has_two_ways_once_a_200_names_another_edge() {
        let line = Line::Stream(0);
        let to = "127.0.0.11:5060".parse().unwrap();
        let mut phone = Phone::new(line, to);
        assert!(!phone.knows_another());
        assert_eq!(phone.other(0), 0, "there is no other way");
        let bytes = b"SIP/2.0 200 OK\r\nFrom: <sip:a@b>;tag=beef0000000701020304\r\n\
            Service-Route: <sip:t@e;lr>, <sip:h;lr>\r\n\
            Outbound-Proxy: <sip:t@e;lr;maddr=127.0.0.12>, <sip:t@e;lr;maddr=127.0.0.13>\r\n\
            CSeq: 1 REGISTER\r\n\r\n";
        let mut outline = MessageOutline::default();
        outline.read(bytes).unwrap();
        phone.registered(&outline, bytes);
        assert_eq!(phone.way(0).routes, b"Route: <sip:t@e;lr>, <sip:h;lr>\r\n");
        assert!(phone.knows_another());
        assert_eq!(phone.other(0), 0, "it has not registered there");
        phone.preferred = 1;
        phone.registered(&MessageOutline::default(), b"");
        let other = phone.way(phone.other(0));
        assert_eq!(other.to, "127.0.0.12:5060".parse().unwrap());
        assert_eq!(other.proxy, b"Route: <sip:t@e;lr;maddr=127.0.0.12>\r\n");
        assert_eq!((other.reg_id, phone.other(1)), (2, 0));
    }
}
