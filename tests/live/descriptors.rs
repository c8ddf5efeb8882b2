//! A node that may open few files: it says so, and keeps some for whoever looks after it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::lab::{metric, steadfast, turn};
use crate::process::{Process, poll};

const EDGE: &str = "127.0.0.11:5060";
const METRICS: &str = "127.0.0.11:9090";
/// Patience with a start, a connection, an answer.
const STEP_MAX: Duration = Duration::from_secs(10);
/// What an edge of one shard and two listeners needs (`io::check_files`).
const NEEDED: u32 = 2 * 64 + 16 + 2 * 2;

/// An edge that may open so many files.
fn edge(dir: &Path, files: u32) -> Process {
    let text = format!(
        "name = \"e1\"\nlisten = [\"udp:{EDGE}\", \"tcp:{EDGE}\"]\nshards = 1\n\
         control = \"e1.sock\"\nmetrics = \"{METRICS}\"\n[edge]\ncluster = \"edge.example.com\"\n\
         home = [\"sip:127.0.0.10:5060;transport=udp\"]\n\
         members = [{{ name = \"e1\", address = \"127.0.0.11\" }}]\n"
    );
    std::fs::write(dir.join("e1.toml"), text).expect("the test's folder takes files");
    let mut command = Command::new("sh");
    let run = format!("ulimit -n {files} && exec \"$0\" run --config e1.toml");
    command
        .args(["-c", &run])
        .arg(steadfast().get_program())
        .current_dir(dir);
    Process::start("e1", &mut command, dir.join("e1.log"))
}

/// A connection that its node has not closed.
fn is_open(stream: &mut TcpStream) -> bool {
    let asked = stream.set_read_timeout(Some(Duration::from_millis(1)));
    asked.expect("a socket takes a time-out");
    stream
        .read(&mut [0])
        .is_err_and(|why| why.kind() == std::io::ErrorKind::WouldBlock)
}

/// A connection from where the home is.
fn from_home() -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    let [own, edge] = ["127.0.0.10:15070", EDGE].map(|at| at.parse::<SocketAddr>());
    let bound = socket
        .set_reuse_address(true)
        .and_then(|()| socket.bind(&own.expect("is one").into()));
    bound.expect("the home's address is free");
    socket
        .connect(&edge.expect("is one").into())
        .expect("the edge listens");
    socket.into()
}

fn page() -> Option<String> {
    let mut stream = TcpStream::connect(METRICS).ok()?;
    let asked = "GET /metrics HTTP/1.1\r\nHost: e1\r\nConnection: close\r\n\r\n";
    stream.write_all(asked.as_bytes()).ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

#[test]
fn with_too_few_files_for_a_start_a_node_says_how_many_it_needs() {
    let (_turn, dir) = turn("few-files");
    for files in [30, NEEDED - 1] {
        let mut edge = edge(&dir, files);
        let end = edge.wait(STEP_MAX).expect("it does not run");
        let want = format!(
            "steadfast: only {files} files may be open, and this node needs {NEEDED} and one for each \
             connection: `ulimit -n 65536`, for systemd `LimitNOFILE=65536`\n"
        );
        assert_eq!(
            (end.code(), edge.output().as_str()),
            (Some(2), want.as_str())
        );
    }
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}

#[test]
fn connections_of_strangers_leave_files_for_peers_and_whoever_asks() {
    let (_turn, dir) = turn("files-kept");
    let edge = edge(&dir, NEEDED);
    let began = Instant::now();
    let listens = || edge.output().contains("listening for SIP").then_some(());
    poll(STEP_MAX, listens).unwrap_or_else(|| panic!("{}", edge.output()));
    let connect = |_| TcpStream::connect(EDGE).expect("the kernel takes it");
    let mut all: Vec<TcpStream> = (0..2 * NEEDED).map(connect).collect();
    // All that will be closed is.
    let closed = || {
        let page = page()?;
        let accepted = metric(&page, "steadfast_tcp_accepted_total");
        let refused = metric(&page, "steadfast_files_exhausted_total");
        (accepted + refused == u64::from(2 * NEEDED)).then_some((accepted, refused))
    };
    let counted = poll(STEP_MAX, closed);
    let (accepted, refused) = counted.unwrap_or_else(|| panic!("{:?}\n{}", page(), edge.output()));
    let open = all
        .iter_mut()
        .map(|stream| u64::from(is_open(stream)))
        .sum::<u64>();
    assert_eq!(open, accepted);
    assert!(accepted >= 50 && refused > 100, "{accepted}, {refused}");
    assert!(is_open(&mut from_home()), "a home finds no room");
    let asked = steadfast()
        .args(["status", "--node"])
        .arg(dir.join("e1.sock"))
        .output();
    let asked = asked.expect("it runs");
    assert!(
        asked.status.success(),
        "{}",
        String::from_utf8_lossy(&asked.stderr)
    );
    let said = edge.output().matches("connections were closed").count();
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("a short test");
    assert!((1..=seconds + 1).contains(&said), "{said} in {seconds} s");
    drop(edge);
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
