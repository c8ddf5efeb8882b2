//! Flow tokens (RFC 5626 §5.2) for whoever has no token of the cluster: phones
//! that never registered, and those that speak RFC 5626 alone. Such a token
//! names one flow of one shard and dies with it.
//!
//! Spelled `f` and base32 of an 80-bit authenticator (the leftmost bits of an
//! AES-256-CMAC, RFC 4493) followed by what it vouches for: the boot number, the
//! shard that holds the flow, and the flow. The authenticator is checked in constant time before anything is
//! decoded. RFC 5626 §5.2 leaves the function open; a phone that never
//! registered costs one for each of its messages, and where SHA-256 is software
//! and AES is not, an HMAC takes ten times as long.
//!
//! The boot number tells one run of one edge from every other, so
//! a slot number or a socket number never leads to somebody else's flow, even
//! though all edges may share the key. Slots carry generations of their own,
//! for connections that come and go within one run.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use aes::Aes256Enc;

use super::BadToken;
use super::token::spelling;
use crate::id::{Flow, Slot, SocketId, StreamId};
use crate::limits::TOKEN_MAX;
use crate::secret::cmac::{self, BLOCK, Cmac, CmacState};

/// The keys that vouch for flow tokens: one writes them, all read them.
#[derive(Clone)]
pub struct FlowTokenKeys {
    mint: LaidOut,
    older: Vec<LaidOut>,
}

/// A key with its rounds laid out.
#[derive(Clone)]
struct LaidOut {
    cmac: Cmac<Aes256Enc>,
    /// The MAC after `CONTEXT`, with which every input begins.
    start: CmacState,
}

impl FlowTokenKeys {
    /// The key of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8; 32]) -> Self {
        Self::ring(bytes, &[])
    }

    /// The same, with keys that wrote tokens before it.
    #[must_use]
    pub fn ring(bytes: &[u8; 32], older: &[[u8; 32]]) -> Self {
        Self {
            mint: LaidOut::new(bytes),
            older: older.iter().map(LaidOut::new).collect(),
        }
    }

    /// Whether one of the keys has made this authenticator.
    fn vouches(&self, mac: &[u8; MAC_LEN], body: &[u8]) -> bool {
        let made = |key: &LaidOut| cmac::begins_with(&key.authenticator(body), mac);
        made(&self.mint) || self.older.iter().any(made)
    }
}

impl LaidOut {
    fn new(bytes: &[u8; 32]) -> Self {
        let cmac = Cmac::new(bytes.into());
        let start = cmac.go_on(CmacState::default(), &[*CONTEXT]);
        Self { cmac, start }
    }

    fn authenticator(&self, body: &[u8]) -> [u8; BLOCK] {
        self.cmac.end(self.start, body)
    }
}

/// Appends the user part that names `flow` of `shard` in the run `boot`.
pub fn write(key: &FlowTokenKeys, flow: &Flow, shard: u8, boot: u64, out: &mut Vec<u8>) {
    out.push(b'f');
    let at = out.len();
    out.extend_from_slice(&[0; MAC_LEN]);
    out.extend_from_slice(&boot.to_be_bytes());
    out.push(shard);
    write_flow(flow, out);
    if let Some((room, body)) = out
        .get_mut(at..)
        .and_then(<[u8]>::split_first_chunk_mut::<MAC_LEN>)
    {
        let mac = key.mint.authenticator(body);
        room.copy_from_slice(&mac[..MAC_LEN]);
    }
    spelling::base32_tail(out, at);
}

/// The flow that a received user part names, and its shard; unreserved
/// characters may be escaped in it. The flow may have ended.
///
/// # Errors
/// `Stale` when the token is genuine but of another run (its flow is gone:
/// 430), else `Malformed` or `Forged` (403).
pub fn read(key: &FlowTokenKeys, user_part: &[u8], boot: u64) -> Result<(Flow, u8), BadToken> {
    let mut scratch = [0; TOKEN_MAX];
    let text = spelling::unescape(user_part, &mut scratch)?
        .strip_prefix(b"f")
        .ok_or(BadToken::Malformed)?;
    let mut room = [0; BYTES_MAX];
    let bytes: &[u8] = spelling::unbase32(text, &mut room)?;
    let (mac, body) = bytes
        .split_first_chunk::<MAC_LEN>()
        .ok_or(BadToken::Malformed)?;
    if !key.vouches(mac, body) {
        return Err(BadToken::Forged);
    }
    let (&of, flow) = body.split_first_chunk().ok_or(BadToken::Malformed)?;
    if u64::from_be_bytes(of) != boot {
        return Err(BadToken::Stale);
    }
    let (&shard, flow) = flow.split_first().ok_or(BadToken::Malformed)?;
    let flow = read_flow(flow).ok_or(BadToken::Malformed)?;
    Ok((flow, shard))
}

fn write_flow(flow: &Flow, out: &mut Vec<u8>) {
    match flow {
        Flow::Stream(StreamId(Slot { index, generation })) => {
            out.push(STREAM);
            out.extend_from_slice(&index.to_be_bytes());
            out.extend_from_slice(&generation.to_be_bytes());
        }
        Flow::Udp {
            socket: SocketId(socket),
            peer: SocketAddr::V4(peer),
        } => {
            out.push(UDP_V4);
            out.extend_from_slice(&socket.to_be_bytes());
            out.extend_from_slice(&peer.port().to_be_bytes());
            out.extend_from_slice(&peer.ip().octets());
        }
        Flow::Udp {
            socket: SocketId(socket),
            peer: SocketAddr::V6(peer),
        } => {
            out.push(UDP_V6);
            out.extend_from_slice(&socket.to_be_bytes());
            out.extend_from_slice(&peer.port().to_be_bytes());
            out.extend_from_slice(&peer.ip().octets());
            // A link-local peer is only reached with its scope, and flows are
            // compared whole.
            out.extend_from_slice(&peer.flowinfo().to_be_bytes());
            out.extend_from_slice(&peer.scope_id().to_be_bytes());
        }
    }
}

fn read_flow(bytes: &[u8]) -> Option<Flow> {
    let (&kind, mut rest) = bytes.split_first()?;
    let flow = match kind {
        STREAM => {
            let [index, generation] = [word(&mut rest)?, word(&mut rest)?];
            Flow::Stream(StreamId(Slot { index, generation }))
        }
        UDP_V4 => {
            let [socket, port] = [short(&mut rest)?, short(&mut rest)?];
            let ip = Ipv4Addr::from_bits(word(&mut rest)?);
            Flow::Udp {
                socket: SocketId(socket),
                peer: SocketAddrV4::new(ip, port).into(),
            }
        }
        UDP_V6 => {
            let [socket, port] = [short(&mut rest)?, short(&mut rest)?];
            let ip = Ipv6Addr::from(read_array::<16>(&mut rest)?);
            let [flowinfo, scope] = [word(&mut rest)?, word(&mut rest)?];
            Flow::Udp {
                socket: SocketId(socket),
                peer: SocketAddrV6::new(ip, port, flowinfo, scope).into(),
            }
        }
        _ => return None,
    };
    rest.is_empty().then_some(flow)
}

fn read_array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk()?;
    *rest = tail;
    Some(*head)
}

fn short(rest: &mut &[u8]) -> Option<u16> {
    read_array(rest).map(u16::from_be_bytes)
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    read_array(rest).map(u32::from_be_bytes)
}

/// 80 bits, as in the example of RFC 5626 §5.2.
const MAC_LEN: usize = 10;
const STREAM: u8 = 0;
const UDP_V4: u8 = 4;
const UDP_V6: u8 = 6;
/// Authenticator, boot number, shard and the longest flow.
const BYTES_MAX: usize = MAC_LEN + 8 + 1 + 1 + 2 + 2 + 16 + 4 + 4;
/// Keeps this use of the key apart from any other.
const CONTEXT: &[u8; BLOCK] = b"steadfast flow 2";

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> FlowTokenKeys {
        FlowTokenKeys::new(&[9; 32])
    }

    fn stream(index: u32, generation: u32) -> Flow {
        Flow::Stream(StreamId(Slot { index, generation }))
    }

    fn udp(socket: u16, peer: &str) -> Flow {
        Flow::Udp {
            socket: SocketId(socket),
            peer: peer.parse().unwrap(),
        }
    }

    fn token(flow: &Flow) -> Vec<u8> {
        let mut out = Vec::new();
        write(&key(), flow, 5, 77, &mut out);
        out
    }

    fn flows() -> Vec<Flow> {
        let v6 = SocketAddrV6::new("fe80::1".parse().unwrap(), 5060, 3, 7);
        vec![
            stream(0, 0),
            stream(u32::MAX, u32::MAX - 1),
            udp(0, "192.0.2.1:5060"),
            udp(u16::MAX, "203.0.113.9:65535"),
            udp(2, "[2001:db8::1]:5061"),
            Flow::Udp {
                socket: SocketId(1),
                peer: v6.into(),
            },
        ]
    }

    #[test]
    fn a_flow_comes_back_whole() {
        // O-2
        for flow in flows() {
            let text = token(&flow);
            assert_eq!(read(&key(), &text, 77), Ok((flow, 5)));
            assert_eq!(
                crate::edge::UserPartKind::of(&text),
                crate::edge::UserPartKind::Flow
            );
            let escaped: Vec<u8> = text
                .iter()
                .flat_map(|byte| format!("%{byte:02X}").into_bytes())
                .collect();
            assert_eq!(read(&key(), &escaped, 77), Ok((flow, 5)));
        }
    }

    #[test]
    fn the_bytes_are_the_leftmost_80_bits_and_the_flow() {
        // O-2
        assert_eq!(
            token(&udp(1, "192.0.2.1:5060")).escape_ascii().to_string(),
            EXAMPLE
        );
    }

    #[test]
    fn any_flipped_bit_is_refused() {
        // O-5
        for flow in flows() {
            let text = token(&flow);
            let mut room = [0; BYTES_MAX];
            let bytes = spelling::unbase32(&text[1..], &mut room).unwrap().to_vec();
            for bit in 0..bytes.len() * 8 {
                let mut bent = b"f".to_vec();
                bent.extend_from_slice(&bytes);
                bent[1 + bit / 8] ^= 1 << (bit % 8);
                spelling::base32_tail(&mut bent, 1);
                assert_eq!(read(&key(), &bent, 77), Err(BadToken::Forged), "bit {bit}");
            }
            assert_eq!(
                read(&key(), &text.to_ascii_uppercase(), 77),
                Err(BadToken::Malformed)
            );
            assert_eq!(
                read(&FlowTokenKeys::new(&[8; 32]), &text, 77),
                Err(BadToken::Forged)
            );
        }
    }

    #[test]
    fn a_token_of_another_run_is_a_flow_that_is_gone() {
        // O-5: 430, not a request to whoever has the slot today.
        let text = token(&stream(3, 1));
        assert_eq!(read(&key(), &text, 78), Err(BadToken::Stale));
        assert_eq!(BadToken::Stale.answer(), (430, "Flow Failed"));
        assert_ne!(token(&stream(3, 1)), token(&stream(3, 2)));
    }

    #[test]
    fn what_is_no_flow_token_is_malformed() {
        for text in [
            &b""[..],
            b"f",
            b"fred",
            b"joe+e1+i1",
            b"f00000000",
            b"s00",
            &[b'f'; 1_000],
        ] {
            assert_eq!(
                read(&key(), text, 77),
                Err(BadToken::Malformed),
                "{}",
                text.escape_ascii()
            );
        }
    }

    /// Computed with another CMAC (`openssl mac`) and another base32.
    const EXAMPLE: &str = "fann15lr17fltvtc9000000000004q184000h7h6000102";
}
