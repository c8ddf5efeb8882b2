//! HEPv3 (Homer Encapsulation Protocol): each message as a packet of chunks, over UDP or TCP, to
//! a collector such as Homer.
//!
//! Nothing waits for the collector but the thread of the taps. What it does not take in time is
//! counted and gone: a collector that is down costs no call anything.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::{Duration, Instant};

use super::complaint::Complaint;
use crate::config::Hep;
use crate::limits;
use crate::trace::{Kind, Row};

/// A way to a collector.
pub(super) struct Collector {
    settings: Hep,
    node: String,
    way: Way,
    /// Room for a packet.
    packet: Vec<u8>,
    complaint: Complaint,
}

enum Way {
    Udp(UdpSocket),
    Tcp(TcpStream),
    /// There is none; when one is looked for again.
    None(Instant),
}

/// The chunks of the generic vendor (HEPv3 §3.2), as far as they are written.
#[derive(Clone, Copy)]
#[repr(u16)]
enum Chunk {
    Family = 1,
    Protocol = 2,
    Source4 = 3,
    Destination4 = 4,
    Source6 = 5,
    Destination6 = 6,
    SourcePort = 7,
    DestinationPort = 8,
    Seconds = 9,
    Microseconds = 10,
    ProtocolType = 11,
    Agent = 12,
    Key = 14,
    Payload = 15,
    Node = 19,
}

/// `ProtocolType` of SIP.
const SIP: u8 = 1;

impl Collector {
    pub(super) fn new(settings: Hep, node: &str) -> Self {
        Self {
            settings,
            node: node.to_owned(),
            way: Way::None(Instant::now()),
            packet: Vec::new(),
            complaint: Complaint::default(),
        }
    }

    /// Whether it is the way to that collector.
    pub(super) fn is_to(&self, settings: &Hep) -> bool {
        self.settings == *settings
    }

    /// Sends one message as it passed on the network; true: it is sent. What passed between
    /// shards is no message of the network, and counts for nothing (`None`).
    pub(super) fn send(&mut self, row: &Row) -> Option<bool> {
        let (Some(local), Some(peer)) = (row.local, row.peer) else {
            return None;
        };
        let (from, to) = match row.kind {
            Kind::In => (peer, local),
            Kind::Out => (local, peer),
            Kind::Handed | Kind::Decision => return None,
        };
        self.packet.clear();
        if !self.encode(row, from, to) {
            self.complaint.count();
            return Some(false);
        }
        Some(self.write())
    }

    fn write(&mut self) -> bool {
        if let Way::None(when) = self.way {
            if Instant::now() < when {
                self.complaint.count();
                return false;
            }
            match open(&self.settings) {
                Ok(way) => self.way = way,
                Err(error) => return self.fail(&error),
            }
        }
        let written = match &mut self.way {
            Way::Udp(socket) => socket.send(&self.packet).map(|_| ()),
            Way::Tcp(stream) => stream.write_all(&self.packet),
            Way::None(_) => return false,
        };
        match (written, &self.way) {
            (Ok(()), _) => true,
            // What was written in part cannot be gone on with.
            (Err(error), Way::Tcp(_)) => self.fail(&error),
            // An earlier datagram did not arrive, or there is no room for this one: the next may fare
            // better.
            (Err(error), Way::Udp(_) | Way::None(_)) => self.complain(&error),
        }
    }

    /// Leaves the collector alone for a while.
    fn fail(&mut self, error: &std::io::Error) -> bool {
        self.way = Way::None(Instant::now() + limits::TAP_PAUSE);
        self.complain(error)
    }

    fn complain(&mut self, error: &std::io::Error) -> bool {
        self.complaint.count();
        let server = &self.settings.server;
        self.complaint.say("messages for `hep`", server, error);
        false
    }

    /// Writes the packet; false: it is longer than one may be.
    fn encode(&mut self, row: &Row, from: SocketAddr, to: SocketAddr) -> bool {
        let out = &mut self.packet;
        out.extend_from_slice(b"HEP3\0\0");
        let protocol = match row.transport.as_deref() {
            Some("udp") => libc::IPPROTO_UDP,
            _ => libc::IPPROTO_TCP,
        };
        let protocol = u8::try_from(protocol).unwrap_or_default();
        // Families as Linux numbers them, which is what collectors go by.
        match (from.ip().to_canonical(), to.ip().to_canonical()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                chunk(out, Chunk::Family, &[2]);
                chunk(out, Chunk::Protocol, &[protocol]);
                chunk(out, Chunk::Source4, &from.octets());
                chunk(out, Chunk::Destination4, &to.octets());
            }
            (from, to) => {
                chunk(out, Chunk::Family, &[10]);
                chunk(out, Chunk::Protocol, &[protocol]);
                chunk(out, Chunk::Source6, &v6(from));
                chunk(out, Chunk::Destination6, &v6(to));
            }
        }
        chunk(out, Chunk::SourcePort, &from.port().to_be_bytes());
        chunk(out, Chunk::DestinationPort, &to.port().to_be_bytes());
        let seconds = u32::try_from(row.unix_us / 1_000_000).unwrap_or(u32::MAX);
        let micros = u32::try_from(row.unix_us % 1_000_000).unwrap_or_default();
        chunk(out, Chunk::Seconds, &seconds.to_be_bytes());
        chunk(out, Chunk::Microseconds, &micros.to_be_bytes());
        chunk(out, Chunk::ProtocolType, &[SIP]);
        chunk(out, Chunk::Agent, &self.settings.id.to_be_bytes());
        if let Some(password) = &self.settings.password {
            chunk(out, Chunk::Key, password.as_bytes());
        }
        chunk(out, Chunk::Node, self.node.as_bytes());
        chunk(out, Chunk::Payload, &row.bytes);
        let Ok(len) = u16::try_from(out.len()) else {
            return false;
        };
        out[4..6].copy_from_slice(&len.to_be_bytes());
        true
    }
}

fn v6(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Appends a chunk of vendor 0: type, length with these six bytes, value.
fn chunk(out: &mut Vec<u8>, kind: Chunk, value: &[u8]) {
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&(kind as u16).to_be_bytes());
    let len = u16::try_from(value.len() + 6).unwrap_or(u16::MAX);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(value);
}

fn open(settings: &Hep) -> std::io::Result<Way> {
    let mut last = std::io::Error::other("the DNS has no address for it");
    for addr in settings.server.to_socket_addrs()? {
        let opened = if settings.is_tcp {
            connect(addr, limits::TAP_CONNECT).map(Way::Tcp)
        } else {
            let any = if addr.is_ipv6() {
                "[::]:0"
            } else {
                "0.0.0.0:0"
            };
            UdpSocket::bind(any).and_then(|socket| {
                socket.connect(addr)?;
                socket.set_nonblocking(true)?;
                Ok(Way::Udp(socket))
            })
        };
        match opened {
            Ok(way) => return Ok(way),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn connect(addr: SocketAddr, patience: Duration) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, patience)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(patience))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(local: &str, peer: &str, bytes: &[u8]) -> Row {
        Row {
            shard: 0,
            number: 1,
            unix_us: 1_800_000_000_123_456,
            kind: Kind::In,
            transport: Some("tcp".to_owned()),
            local: Some(local.parse().unwrap()),
            peer: Some(peer.parse().unwrap()),
            cause: None,
            bytes: bytes.to_vec(),
            name: String::new(),
            says: String::new(),
        }
    }

    fn collector() -> Collector {
        let settings = Hep {
            is_tcp: false,
            server: "127.0.0.1:9".to_owned(),
            id: 2_001,
            password: Some("pw".to_owned()),
        };
        Collector::new(settings, "e1")
    }

    #[test]
    fn a_message_is_a_packet_byte_for_byte() {
        let mut collector = collector();
        let row = row("192.0.2.1:5060", "192.0.2.9:5070", b"SIP");
        let (from, to) = (row.peer.unwrap(), row.local.unwrap());
        assert!(collector.encode(&row, from, to));
        let want = "484550330076\
                    00000001000702\
                    00000002000706\
                    00000003000ac0000209\
                    00000004000ac0000201\
                    00000007000813ce\
                    00000008000813c4\
                    00000009000a6b49d200\
                    0000000a000a0001e240\
                    0000000b000701\
                    0000000c000a000007d1\
                    0000000e00087077\
                    0000001300086531\
                    0000000f0009534950";
        assert_eq!(data_encoding::HEXLOWER.encode(&collector.packet), want);
    }

    #[test]
    fn both_families_and_the_longest_message_fit_or_are_refused() {
        let mut collector = collector();
        let mut row = row("[2001:db8::1]:5060", "192.0.2.9:5070", &[b'x'; 65_000]);
        let (from, to) = (row.peer.unwrap(), row.local.unwrap());
        assert!(collector.encode(&row, from, to));
        let packet = data_encoding::HEXLOWER.encode(&collector.packet[..70]);
        assert!(
            packet.contains("000000010007\x30a")
                && packet.contains("00000005001600000000000000000000ffffc0000209"),
            "{packet}"
        );
        row.bytes = vec![b'x'; 65_500];
        collector.packet.clear();
        assert!(!collector.encode(&row, from, to));
        row.kind = Kind::Decision;
        assert_eq!(collector.send(&row), None);
    }

    #[test]
    fn over_tcp_packets_follow_one_another_and_a_collector_that_is_gone_costs_nothing() {
        use std::io::Read as _;
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = Hep {
            is_tcp: true,
            server: listener.local_addr().unwrap().to_string(),
            id: 1,
            password: None,
        };
        let mut collector = Collector::new(settings.clone(), "e1");
        let texts = [&b"one"[..], b"the second"];
        for text in texts {
            let row = row("192.0.2.1:5060", "192.0.2.9:5070", text);
            assert_eq!(collector.send(&row), Some(true));
        }
        let (mut stream, _) = listener.accept().unwrap();
        drop(collector);
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let mut rest = &bytes[..];
        for text in texts {
            let len = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
            assert!(rest.starts_with(b"HEP3") && rest[..len].ends_with(text));
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        drop((stream, listener));
        let mut collector = Collector::new(settings, "e1");
        let row = row("192.0.2.1:5060", "192.0.2.9:5070", b"nobody");
        assert_eq!(collector.send(&row), Some(false));
        // It is left alone for a while, and what is meant for it is counted.
        assert_eq!(collector.send(&row), Some(false));
        assert_eq!(collector.complaint.unsaid(), 1);
    }
}
