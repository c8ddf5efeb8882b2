//! Idle flows over TLS: opened one after the other, each with one request so
//! that it counts as a phone's, then held; and what each of them costs the
//! processes at the other end in memory of their own.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::Fault;
use super::compose::knock;
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
    /// Process whose memory is looked at; may be given several times
    #[arg(long, value_name = "PID", required = true)]
    pub(crate) watch: Vec<u32>,
    /// Name in the line of JSON, as in memory/steadfast
    #[arg(long, value_name = "MEASURE/SYSTEM")]
    pub(crate) label: Option<String>,
    /// Print a line of JSON and no sentence
    #[arg(long)]
    pub(crate) json: bool,
}

/// What came of it, as a line of JSON.
#[derive(serde::Serialize)]
struct Weighed<'a> {
    scenario: &'static str,
    label: Option<&'a str>,
    flows: u32,
    bytes_each: f64,
    bytes_before: f64,
    bytes_after: f64,
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
    let before = memory(&options.watch)?;
    for number in WARM..WARM + options.flows {
        flows.push(open(options, &trust, number)?);
    }
    let after = memory(&options.watch)?;
    let weighed = Weighed {
        scenario: "idle",
        label: options.label.as_deref(),
        flows: options.flows,
        bytes_each: (after - before) / f64::from(options.flows),
        bytes_before: before,
        bytes_after: after,
    };
    if options.json {
        println!("{}", serde_json::to_string(&weighed)?);
    } else {
        println!("{weighed}");
    }
    drop(flows);
    Ok(())
}

impl std::fmt::Display for Weighed<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "{} idle TLS flows: {:.2} KiB of memory each ({:.1} MiB before, {:.1} MiB after)",
            self.flows,
            self.bytes_each / 1024.0,
            self.bytes_before / MEBIBYTE,
            self.bytes_after / MEBIBYTE
        )
    }
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
    stream.write_all(knock(number).as_bytes())?;
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

/// Memory of processes, in bytes: their heaps and stacks, and what they share with one another
/// as anonymous memory, none of their files and nothing the kernel keeps for their sockets.
/// Looked at until it has stopped growing.
fn memory(pids: &[u32]) -> Result<f64, Fault> {
    let look = || {
        let each = pids.iter().map(|&pid| {
            let watched = |why| Fault::Watched { pid, why };
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = std::fs::read_to_string(path).map_err(watched)?;
            own(&text).ok_or_else(|| watched(io::Error::other("its memory cannot be read")))
        });
        each.sum::<Result<f64, Fault>>()
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

/// A page that several processes share counts for each with its part (proc(5), `Pss`).
fn own(rollup: &str) -> Option<f64> {
    let kibibytes = |name: &str| {
        let line = rollup.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<f64>().ok()
    };
    Some((kibibytes("Pss_Anon:")? + kibibytes("Pss_Shmem:")?) * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_process_made_itself_counts() {
        let rollup = "Rss:  1200 kB\nPss:  900 kB\nPss_Anon:   12 kB\nPss_File:   888 kB\nPss_Shmem:  4 kB\n";
        assert_eq!(own(rollup), Some(16_384.0));
        assert_eq!(own("Rss: 1 kB\n"), None);
        let this = std::process::id();
        let once = memory(&[this]).unwrap();
        assert!(once > 0.0);
        assert!(memory(&[this, this]).unwrap() > once);
        memory(&[0]).unwrap_err();
    }
}
