//! Messages as a capture that Wireshark reads: raw IP packets with the addresses, ports and times
//! at which they passed.
//!
//! What came over TLS is written as it was inside, over TCP: there is nothing to decrypt. A
//! connection has no handshake there, and its bytes are numbered from the first message on.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use etherparse::PacketBuilder;
use pcap_file::pcap::{PcapHeader, PcapPacket, PcapWriter};
use pcap_file::{DataLink, TsResolution};

use super::Fault;
use super::join::{Arrow, Story, What};

/// Bytes of a message that one packet has; the rest follows in further segments.
const SEGMENT: usize = 60_000;
/// Hops that a packet could still go: as most systems begin.
const TTL: u8 = 64;

/// Writes the messages of the stories in the order of time; says how many.
pub(super) fn write(file: &Path, stories: &[Story]) -> Result<String, Fault> {
    let fault = |why: String| Fault::Write {
        file: file.to_owned(),
        why,
    };
    let written = write_packets(file, stories).map_err(|error| fault(error.to_string()))?;
    let messages = if written == 1 { "message" } else { "messages" };
    Ok(format!("{written} {messages} in {}\n", file.display()))
}

fn write_packets(file: &Path, stories: &[Story]) -> io::Result<usize> {
    let header = PcapHeader {
        datalink: DataLink::RAW,
        ts_resolution: TsResolution::MicroSecond,
        ..PcapHeader::default()
    };
    let file = BufWriter::new(File::create(file)?);
    let mut writer = PcapWriter::with_header(file, header).map_err(io::Error::other)?;
    let steps = stories.iter().flat_map(|story| &story.steps);
    let mut all: Vec<_> = steps
        .filter_map(|step| match &step.what {
            What::Message(arrow) => Some((step.unix_us, &**arrow)),
            What::Decision { .. } => None,
        })
        .collect();
    all.sort_by_key(|(at, _)| *at);
    let mut numbers = HashMap::new();
    let mut packet = Vec::new();
    for (unix_us, arrow) in &all {
        for part in arrow.bytes.chunks(SEGMENT) {
            packet.clear();
            build(arrow, part, &mut numbers, &mut packet)?;
            let len = u32::try_from(packet.len()).unwrap_or(u32::MAX);
            let at = Duration::from_micros(*unix_us);
            let written = writer.write_packet(&PcapPacket::new(at, len, &packet));
            written.map_err(io::Error::other)?;
        }
    }
    writer.into_writer().into_inner().map_err(io::Error::from)?;
    Ok(all.len())
}

/// The number of the next byte from one end of a connection to the other.
type Numbers = HashMap<(SocketAddr, SocketAddr), u32>;

fn build(
    arrow: &Arrow,
    payload: &[u8],
    numbers: &mut Numbers,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    let (from, to) = (
        arrow.from.addr.unwrap_or(unknown),
        arrow.to.addr.unwrap_or(unknown),
    );
    let ip = match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), TTL),
        (from, to) => {
            let octets = |ip: IpAddr| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            PacketBuilder::ipv6(octets(from), octets(to), TTL)
        }
    };
    let written = if arrow.transport == "udp" {
        ip.udp(from.port(), to.port()).write(out, payload)
    } else {
        let acknowledged = numbers.get(&(to, from)).copied().unwrap_or(1);
        let number = numbers.entry((from, to)).or_insert(1);
        let sent = *number;
        *number = number.wrapping_add(u32::try_from(payload.len()).unwrap_or(0));
        ip.tcp(from.port(), to.port(), sent, u16::MAX)
            .psh()
            .ack(acknowledged)
            .write(out, payload)
    };
    written.map_err(io::Error::other)
}
