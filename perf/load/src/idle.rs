//! Idle flows over TLS: opened one after the other, each with one request so
//! that it counts as a phone's, then held; and what each of them costs the
//! process at the other end in memory of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Fault;
use super::scenes::raise_open_files;
use super::trust::Trust;

/// How many flows, and to whom.
#[derive(Args, Clone, Debug)]
pub(crate) struct Idle {
    /// The TLS listener
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) to: SocketAddrV4,
    /// The domain that its certificate must name
    #[arg(long, value_name = "NAME", default_value = "edge.example.com")]
    pub(crate) name: String,
    /// The roots that are believed, a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub(crate) flows: u32,
    /// The process whose memory is looked at
    #[arg(long, value_name = "PID")]
    pub(crate) watch: u32,
}

/// Flows opened before the memory is looked at for the first time: what the
/// first ones of a kind make a process allocate serves all the others too.
const WARM: u32 = 200;

pub(super) fn run(options: &Idle) -> Result<(), Fault> {
    if !options.to.ip().is_loopback() {
        return Err(Fault::Options(format!("{} is not on loopback", options.to)));
    }
    raise_open_files()?;
    let trust = Trust::load(&options.ca, &options.name)?;
    let mut flows = Vec::new();
    for number in 0..WARM {
        flows.push(open(options, &trust, number)?);
    }
    let before = memory(options.watch)?;
    for number in WARM..WARM + options.flows {
        flows.push(open(options, &trust, number)?);
    }
    let after = memory(options.watch)?;
    let each = (after - before) / f64::from(options.flows);
    println!(
        "{} idle TLS flows: {:.2} KiB of memory each ({:.1} MiB before, {:.1} MiB after)",
        options.flows,
        each / 1024.0,
        before / MEBIBYTE,
        after / MEBIBYTE
    );
    drop(flows);
    Ok(())
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// Opens one flow and has it answered once. Its keys are forgotten here: only
/// the other end holds anything.
fn open(options: &Idle, trust: &Trust, number: u32) -> Result<TcpStream, Fault> {
    let refused = |why: io::Error| Fault::Connect {
        addr: options.to,
        why,
    };
    let mut socket = TcpStream::connect(options.to).map_err(refused)?;
    challenge(&mut socket, trust, number).map_err(refused)?;
    Ok(socket)
}

fn challenge(socket: &mut TcpStream, trust: &Trust, number: u32) -> io::Result<()> {
    let mut session = trust.greet(socket)?;
    let mut stream = rustls::Stream::new(&mut session, socket);
    stream.write_all(options(number).as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut bytes = [0; 4_096];
        match stream.read(&mut bytes)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(())
}

fn options(number: u32) -> String {
    format!(
        "OPTIONS sip:edge.example.com SIP/2.0\r\nVia: SIP/2.0/TLS idle.invalid;branch=z9hG4bKi{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:i@example.com>;tag=1\r\nTo: <sip:edge.example.com>\r\n\
         Call-ID: idle-{number}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// Anonymous memory of a process, in bytes: its heap and stacks, none of its
/// files and nothing the kernel keeps for its sockets. Looked at until it has
/// stopped growing.
fn memory(pid: u32) -> Result<f64, Fault> {
    let look = || {
        let watched = |why| Fault::Watched { pid, why };
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).map_err(watched)?;
        anonymous(&text).ok_or_else(|| watched(io::Error::other("its status cannot be read")))
    };
    let mut last = look()?;
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = look()?;
        if (now - last).abs() < 64.0 * 1024.0 {
            return Ok(now);
        }
        last = now;
    }
}

fn anonymous(status: &str) -> Option<f64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_process_made_itself_counts() {
        let status = "Name:\tx\nVmRSS:\t  900 kB\nRssAnon:\t     12 kB\nRssFile:\t 888 kB\n";
        assert_eq!(anonymous(status), Some(12_288.0));
        assert_eq!(anonymous("Name:\tx\n"), None);
        assert!(memory(std::process::id()).unwrap() > 0.0);
        memory(0).unwrap_err();
    }
}
