//! The phones of a load: where they stand, what they were told when they
//! registered, and the REGISTER they send.

use std::net::SocketAddrV4;

use super::compose::{Request, World, put, user};
use super::letter::{Head, Letter, Mark, Method};
use super::wires::{Line, Out};
use crate::digest::{self, Algorithm, Answered, Qop};
use crate::edit::decimal;
use crate::scan::auth::Digest;
use crate::span::Span;

/// One phone, by its number.
#[derive(Debug)]
pub(super) struct Phone {
    /// The flow it speaks over.
    pub(super) line: Line,
    /// Where it sends to.
    pub(super) to: SocketAddrV4,
    /// The Route lines of its requests outside of dialogs.
    pub(super) routes: Vec<u8>,
    /// The CSeq of its last REGISTER.
    pub(super) cseq: u32,
    challenge: Option<Challenge>,
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
    pub(super) const fn new(line: Line, to: SocketAddrV4) -> Self {
        Self {
            line,
            to,
            routes: Vec::new(),
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
        let (line, to, cseq) = (self.line, self.to, self.cseq);
        out.write(line, to, |out| {
            let uri = [b"sip:", &world.domain[..]].concat();
            request.head(&uri, cseq, b'r', out);
            put(out, &[&world.route, b"To: <sip:"]);
            user(out, number);
            put(out, &[b"@", &world.domain, b">\r\nCall-ID: register-"]);
            decimal(out, number);
            // Another run is a phone that was started again: its CSeq begins anew.
            out.push(b'-');
            decimal(out, mark.run);
            out.extend_from_slice(b"@load\r\nCSeq: ");
            decimal(out, cseq);
            out.extend_from_slice(b" REGISTER\r\n");
            if manner.outbound {
                let text = format!(
                    ";+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-{number:012x}>\";reg-id=1"
                );
                request.contact(text.as_bytes(), out);
            } else {
                request.contact(b"", out);
            }
            self.authorize(manner, number, &uri, out);
            put(
                out,
                &[b"Supported: path, outbound\r\nUser-Agent: steadfast load\r\nExpires: "],
            );
            decimal(out, manner.expires_s);
            out.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
        });
    }

    /// The credentials, once there was a challenge.
    fn authorize(&mut self, manner: &Manner, number: u32, uri: &[u8], out: &mut Vec<u8>) {
        let (Some(challenge), Some(password)) = (&mut self.challenge, &manner.password) else {
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
        let answered = Answered {
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
        put(out, &[b"\", algorithm=", algorithm.token().as_bytes()]);
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

    /// Remembers the first challenge that can be answered; false without one.
    pub(super) fn learn(&mut self, letter: &Letter, bytes: &[u8]) -> bool {
        let challenges = letter.lines(bytes, Head::Challenge);
        let found = challenges.filter_map(|line| {
            let colon = memchr::memchr(b':', line)?;
            let value = Span::new(colon + 1 + 1, line.len());
            let digest = Digest::parse(line, value).ok().flatten()?;
            let algorithm = digest.algorithm.map(|token| token.of(line));
            Some(Challenge {
                realm: digest.realm.of(line).to_vec(),
                nonce: digest.nonce.of(line).to_vec(),
                algorithm: Algorithm::from_token(algorithm)?,
                count: 0,
            })
        });
        let first = { found }.next();
        let is_found = first.is_some();
        self.challenge = first.or_else(|| self.challenge.take());
        is_found
    }

    /// Remembers the way out from a 200 (RFC 3608).
    pub(super) fn registered(&mut self, letter: &Letter, bytes: &[u8]) {
        self.routes.clear();
        for line in letter.lines(bytes, Head::ServiceRoute) {
            if let Some(colon) = memchr::memchr(b':', line) {
                put(&mut self.routes, &[b"Route", &line[colon..], b"\r\n"]);
            }
        }
    }
}
