//! A lab for one test: started, proved ready, ended.

use std::fmt::Write as _;
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use md5::Digest as _;

use crate::node;
use crate::process::{Process, poll, tail};

/// The home's address.
pub(crate) const HOME: &str = "127.0.0.10";
/// The edges' addresses, e1 to e3.
pub(crate) const EDGES: [&str; 3] = ["127.0.0.11", "127.0.0.12", "127.0.0.13"];
/// Where all phones are.
pub(crate) const PHONES: &str = "127.0.0.1";
/// The domain of every user, and their realm.
pub(crate) const DOMAIN: &str = "example.com";
/// The password of every user.
pub(crate) const PASSWORD: &str = "secret";
/// Load users: u0001 to this one.
pub(crate) const LOAD_USERS: usize = 500;

/// How long a lab may take until every element answers.
const READY_MAX: Duration = Duration::from_secs(20);
/// How long one probe waits for its answer.
const PROBE_MAX: Duration = Duration::from_millis(250);

/// One lab at a time: its addresses are fixed.
static TURN: Mutex<()> = Mutex::new(());
/// Phone ports are dealt out below the kernel's own range, so that a port
/// registered from and listened on later is never taken in between.
static NEXT_PORT: AtomicU16 = AtomicU16::new(20_000);

/// A running lab; dropped, it and its folder are gone (the folder stays after a failure).
pub(crate) struct Lab {
    process: Process,
    dir: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

impl Lab {
    /// Starts a lab and returns once the home redirects and every edge relays.
    pub(crate) fn start(test: &str) -> Self {
        Self::start_with(test, &[])
    }

    /// Starts a lab with further options of `steadfast lab`.
    pub(crate) fn start_with(test: &str, flags: &[&str]) -> Self {
        let (turn, dir) = turn(test);
        let mut command = steadfast();
        command.arg("lab").args(flags);
        // All tests must pass with several shards a node too.
        if let Some(shards) = std::env::var_os("STEADFAST_SHARDS")
            && !flags.contains(&"--shards")
        {
            command.arg("--shards").arg(shards);
        }
        command.arg("--dir").arg(dir.join("lab"));
        let process = Process::start("steadfast lab", &mut command, dir.join("lab.log"));
        let mut lab = Self {
            process,
            dir,
            _turn: turn,
        };
        lab.until("the home redirects", || {
            answer(HOME, "REGISTER", "joe").starts_with("SIP/2.0 300 ")
        });
        lab.write_users();
        lab.until("the home has read the new users", || {
            answer(HOME, "OPTIONS", &load_user(LOAD_USERS)).starts_with("SIP/2.0 480 ")
        });
        for edge in EDGES {
            lab.until(&format!("{edge} relays to the home"), || {
                answer(edge, "REGISTER", "joe").starts_with("SIP/2.0 401 ")
            });
            lab.until(&format!("{edge} accepts TCP"), || {
                TcpStream::connect((edge, 5060)).is_ok()
            });
        }
        lab
    }

    /// Returns once the home has read this user.
    pub(crate) fn until_known(&self, user: &str) {
        let known = poll(READY_MAX, || {
            let answer = answer(HOME, "OPTIONS", user);
            answer.starts_with("SIP/2.0 480 ").then_some(())
        });
        assert!(
            known.is_some(),
            "{user} is not known: {}",
            self.last_words()
        );
    }

    /// A path inside this test's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Waits until the lab has said `word`.
    #[track_caller]
    pub(crate) fn until_said(&self, word: &str) {
        let output = poll(READY_MAX, || {
            self.process.output().contains(word).then_some(())
        });
        let words = self.last_words();
        assert!(output.is_some(), "the lab never said {word:?}\n{words}");
    }

    /// Sends a signal to the node at this address and to nobody else.
    #[track_caller]
    pub(crate) fn signal(&self, signal: &str, address: &str) {
        let id = self.process_of(address);
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "kill {signal} {id}"
        );
        // The signal is only on its way: a node that relays a BYE before it stops
        // loses the answer to it, which is nobody's fault.
        if signal == "-STOP" {
            let stopped = poll(READY_MAX, || is_stopped(&id).then_some(()));
            assert!(stopped.is_some(), "{address} does not stop");
        }
    }

    /// The process id of the node at this address.
    #[track_caller]
    pub(crate) fn process_of(&self, address: &str) -> String {
        let row = format!("{address}:5060   process ");
        self.until_said(&row);
        let output = self.process.output();
        let id = output
            .split_once(&row)
            .and_then(|(_, rest)| rest.lines().next());
        id.expect("the row was there").trim().to_owned()
    }

    /// The log of the node `name`, once it holds what is waited for.
    #[track_caller]
    pub(crate) fn log_until(&self, name: &str, holds: impl Fn(&str) -> bool) -> String {
        let path = self.path(&format!("lab/{name}.log"));
        let read = || std::fs::read_to_string(&path).unwrap_or_default();
        let found = poll(READY_MAX, || Some(read()).filter(|log| holds(log)));
        found.unwrap_or_else(|| panic!("{name} never logged it\n{}", read()))
    }

    /// The body of a page of the control socket of the node `name`.
    pub(crate) fn page(&self, name: &str, path: &str) -> String {
        let socket = self.path(&format!("lab/{name}.sock"));
        let answer = node::get(&socket, path, "").expect("it answers");
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        answer
    }

    /// Starts the node `name` again, which has ended, and returns once it listens.
    pub(crate) fn start_again(&self, name: &str) -> Process {
        let mut run = steadfast();
        run.args(["run", "--config"]);
        run.arg(self.path(&format!("lab/{name}.toml")));
        let log = self.path(&format!("{name}.again"));
        node::start(name, &mut run, log, READY_MAX)
    }

    /// Everything the lab said.
    pub(crate) fn output(&self) -> String {
        self.process.output()
    }

    /// What the lab last said.
    pub(crate) fn last_words(&self) -> String {
        self.process.last_words()
    }

    fn until(&mut self, what: &str, mut holds: impl FnMut() -> bool) {
        let mut end = None;
        let held = poll(READY_MAX, || {
            end = self.process.ended();
            (end.is_some() || holds()).then_some(())
        });
        if let Some(end) = end {
            panic!(
                "the lab ended ({end}) before: {what}\n{}",
                self.last_words()
            );
        }
        assert!(
            held.is_some(),
            "not within {READY_MAX:?}: {what}\n{}",
            self.last_words()
        );
    }

    /// Adds the load users to joe and ann, with their hash in place of a
    /// password.
    fn write_users(&mut self) {
        let path = self.dir.join("lab/users.txt");
        self.until("the lab folder has users.txt", || path.exists());
        let mut text = std::fs::read_to_string(&path).expect("users.txt can be read");
        for user in (1..=LOAD_USERS).map(load_user) {
            let ha1 = md5::Md5::digest(format!("{user}:{DOMAIN}:{PASSWORD}"));
            let ha1 = data_encoding::HEXLOWER.encode(&ha1);
            writeln!(text, "{user} {DOMAIN} md5={ha1}").expect("a string takes text");
        }
        std::fs::write(&path, text).expect("users.txt can be written");
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.process.stop();
        if std::thread::panicking() {
            eprintln!(
                "--- the lab said\n{}\n--- all logs: {}",
                self.last_words(),
                self.dir.display()
            );
        } else if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            eprintln!("{} stays: {error}", self.dir.display());
        }
    }
}

/// The value of a metric on its page, summed over the shards.
pub(crate) fn metric(page: &str, name: &str) -> u64 {
    let rows = page
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")));
    rows.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .sum()
}

/// The addresses of the lab for a test that starts its nodes itself, and a
/// folder of its own.
pub(crate) fn turn(test: &str) -> (MutexGuard<'static, ()>, PathBuf) {
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    free(HOME);
    EDGES.into_iter().for_each(free);
    let dir =
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{}-{test}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the test folder can be made");
    (turn, dir)
}

/// The program under test, with no argument yet.
pub(crate) fn steadfast() -> Command {
    let program = std::env::var("STEADFAST_BIN")
        .unwrap_or_else(|_unset| env!("CARGO_BIN_EXE_steadfast").to_owned());
    Command::new(program)
}

/// The load generator, with no argument yet. It is of another package, so it
/// stands beside the program under test once `cargo test --workspace` has built
/// it; an old one would show what it was then.
pub(crate) fn steadfast_load() -> Command {
    let program = Path::new(env!("CARGO_BIN_EXE_steadfast")).with_file_name("steadfast-load");
    let changed = |path: &Path| path.metadata().and_then(|it| it.modified()).ok();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf/load/src");
    let mut waiting = vec![sources];
    while let Some(path) = waiting.pop() {
        assert!(
            path.is_dir() || changed(&program) >= changed(&path),
            "{} is missing or older than {}: build it with `cargo test --workspace --no-run`, in \
             the profile of this test",
            program.display(),
            path.display()
        );
        if path.is_dir() {
            let entries = path.read_dir().expect("the sources are there");
            waiting.extend(entries.map(|entry| entry.expect("they can be read").path()));
        }
    }
    Command::new(program)
}

/// The name of load user `number`, from 1.
pub(crate) fn load_user(number: usize) -> String {
    format!("u{number:04}")
}

/// A port nobody has had yet and nobody listens on; the three above it are for SIPp's media sockets.
pub(crate) fn port() -> u16 {
    loop {
        let port = NEXT_PORT.fetch_add(4, Ordering::Relaxed);
        if UdpSocket::bind((PHONES, port)).is_ok()
            && std::net::TcpListener::bind((PHONES, port)).is_ok()
        {
            return port;
        }
    }
}

/// Waits until something listens on this UDP port of the phones' address.
pub(crate) fn listens(port: u16, limit: Duration) -> bool {
    let wanted = format!("0100007F:{port:04X} ");
    poll(limit, || {
        tail(Path::new("/proc/net/udp"), usize::MAX)
            .contains(&wanted)
            .then_some(())
    })
    .is_some()
}

fn free(address: &str) {
    if let Err(error) = UdpSocket::bind((address, 5060)) {
        panic!(
            "{address}:5060 is not free ({error}): another lab is running, or the port is in use"
        );
    }
}

/// What `address` answers to a REGISTER that only asks, or to an OPTIONS for the user, from a port
/// of its own; empty if nothing.
fn answer(address: &str, method: &str, user: &str) -> String {
    let port = port();
    let socket = UdpSocket::bind((PHONES, port)).expect("a port just seen free is free");
    socket
        .set_read_timeout(Some(PROBE_MAX))
        .expect("a socket takes a time-out");
    let route = match (address, method) {
        (HOME, _) | (_, "OPTIONS") => "",
        _ => "Route: <sip:edge.example.com;lr>\r\n",
    };
    let uri = match method {
        "OPTIONS" => format!("sip:{user}@{DOMAIN}"),
        _ => format!("sip:{DOMAIN}"),
    };
    // Whoever calls as a subscriber is asked for his password.
    let from = match method {
        "OPTIONS" => "sip:probe@elsewhere.example".to_owned(),
        _ => format!("sip:{user}@{DOMAIN}"),
    };
    let request = format!(
        "{method} {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-probe-{port}\r\n\
         Supported: alt-proxies\r\n\
         Max-Forwards: 70\r\n\
         {route}\
         From: <{from}>;tag=probe-{port}\r\n\
         To: <sip:{user}@{DOMAIN}>\r\n\
         Call-ID: probe-{port}@{PHONES}\r\n\
         CSeq: 1 {method}\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let mut buffer = [0; 4_096];
    match socket
        .send_to(request.as_bytes(), (address, 5060))
        .and_then(|_sent| socket.recv(&mut buffer))
    {
        Ok(len) => String::from_utf8_lossy(&buffer[..len]).into_owned(),
        Err(_silent) => String::new(),
    }
}

/// Whether no thread of the process runs (proc(5): the state follows the name).
fn is_stopped(id: &str) -> bool {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{id}/task")) else {
        return false;
    };
    let states = tasks.flatten().filter_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        Some(stat.rsplit_once(") ")?.1.starts_with('T'))
    });
    states.into_iter().all(|is_it| is_it)
}
