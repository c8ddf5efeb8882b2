//! Idle flows over TLS: opened one after the other, each with one request so
//! that it counts as a phone's, then held; and what each of them costs the
//! process at the other end in memory of its own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Fault;
use crate::io::tls::{Progress, Require, Scratch, Session, Settings, Tls};
use crate::limits;

/// How many flows, and to whom.
#[derive(Args, Clone, Debug)]
pub struct Idle {
    /// The TLS listener
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub to: SocketAddrV4,
    /// The domain that its certificate must name
    #[arg(long, value_name = "NAME", default_value = "edge.example.com")]
    pub name: String,
    /// The roots that are believed, a PEM file
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// How many
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    pub flows: u32,
    /// The process whose memory is looked at
    #[arg(long, value_name = "PID")]
    pub watch: u32,
}

/// Flows opened before the memory is looked at for the first time: what the
/// first ones of a kind make a process allocate serves all the others too.
const WARM: u32 = 200;

pub(super) fn run(options: &Idle) -> Result<(), Fault> {
    if !options.to.ip().is_loopback() {
        return Err(Fault::Options(format!("{} is not on loopback", options.to)));
    }
    crate::io::raise_open_files().map_err(|fault| Fault::Options(fault.to_string()))?;
    let tls = Tls::load(&Settings {
        pairs: Vec::new(),
        ca: Some(options.ca.clone()),
        require: Require::Never,
        peers: Vec::new(),
    })
    .map_err(|bad| Fault::Options(bad.to_string()))?;
    let mut flows = Vec::new();
    for number in 0..WARM {
        flows.push(open(options, &tls, number)?);
    }
    let before = memory(options.watch)?;
    for number in WARM..WARM + options.flows {
        flows.push(open(options, &tls, number)?);
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
fn open(options: &Idle, tls: &Tls, number: u32) -> Result<TcpStream, Fault> {
    let refused = |why: io::Error| Fault::Connect {
        addr: options.to,
        why,
    };
    let mut socket = TcpStream::connect(options.to).map_err(refused)?;
    socket.set_read_timeout(Some(limits::HANDSHAKE_MAX))?;
    let mut session = tls
        .connect(&options.name)
        .map_err(|error| refused(io::Error::other(error)))?;
    let mut scratch = Scratch::default();
    talk(&mut socket, &mut session, &mut scratch, number).map_err(refused)?;
    Ok(socket)
}

fn talk(
    socket: &mut TcpStream,
    session: &mut Session,
    scratch: &mut Scratch,
    number: u32,
) -> io::Result<()> {
    let mut buffer = [0; 16_384];
    let mut asked = false;
    session.begin(scratch).map_err(io::Error::other)?;
    while !scratch.plain.ends_with(b"\r\n\r\n") {
        socket.write_all(&std::mem::take(&mut scratch.sealed))?;
        let read = socket.read(&mut buffer)?;
        let bytes = buffer.get_mut(..read).unwrap_or_default();
        if bytes.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let progress = session.receive(bytes, scratch).map_err(io::Error::other)?;
        if progress == Progress::Established && !asked {
            asked = true;
            let request = options(number);
            session
                .seal(request.as_bytes(), scratch)
                .map_err(io::Error::other)?;
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
