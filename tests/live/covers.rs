//! An edge that covers another one (`covers`): its phone over UDP sends on to the
//! address that it knows, which has moved to the edge that covers it, as VRRP moves
//! it. Played in network namespaces of its own, a machine each, on one bridge.

use std::fs::File;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::lab::steadfast;
use crate::process::{Process, poll};

/// How long anything may take that happens at once.
const STEP_MAX: Duration = Duration::from_secs(20);
/// How long a phone waits before it sends the same again (RFC 3261 T1).
const AGAIN: Duration = Duration::from_millis(500);
const HOME: &str = "10.99.0.1";
const PHONES: &str = "10.99.0.2";
const E1: &str = "10.99.0.11";
const E2: &str = "10.99.0.12";

/// Three machines on one bridge, which is on the first of them.
struct Machines {
    middle: String,
    edges: [String; 2],
}

impl Machines {
    /// `None` where none may be made.
    fn new() -> Option<Self> {
        let name = |end: &str| format!("sf{}{end}", std::process::id());
        let machines = Self {
            middle: name("m"),
            edges: [name("e1"), name("e2")],
        };
        let Self { middle, edges } = &machines;
        if !try_ip(&["netns", "add", middle]) {
            return None;
        }
        ip(&["-n", middle, "link", "set", "lo", "up"]);
        ip(&["-n", middle, "link", "add", "br0", "type", "bridge"]);
        ip(&["-n", middle, "link", "set", "br0", "up"]);
        for address in [HOME, PHONES] {
            ip(&[
                "-n",
                middle,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                "br0",
            ]);
        }
        for (edge, address) in edges.iter().zip([E1, E2]) {
            ip(&["netns", "add", edge]);
            let add = ["link", "add", edge, "type", "veth", "peer", "name", "eth0"];
            ip(&[&["-n", middle], &add[..], &["netns", edge]].concat());
            ip(&["-n", middle, "link", "set", edge, "master", "br0", "up"]);
            ip(&["-n", edge, "link", "set", "lo", "up"]);
            ip(&["-n", edge, "link", "set", "eth0", "up"]);
            ip(&[
                "-n",
                edge,
                "addr",
                "add",
                &format!("{address}/24"),
                "dev",
                "eth0",
            ]);
        }
        Some(machines)
    }

    /// As keepalived moves it: with the news of it, which a gratuitous ARP brings.
    fn move_address(&self, address: &str) {
        let ([from, to], address) = (&self.edges, format!("{address}/24"));
        ip(&["-n", from, "addr", "del", &address, "dev", "eth0"]);
        ip(&["-n", to, "addr", "add", &address, "dev", "eth0"]);
        ip(&["-n", &self.middle, "neigh", "flush", "dev", "br0"]);
    }

    /// A node on one of them, once it listens.
    fn run(machine: &str, config: &Path) -> Process {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", machine])
            .arg(steadfast().get_program());
        command.args(["run", "--config"]).arg(config);
        let mut node = Process::start(machine, &mut command, config.with_extension("log"));
        let up = poll(STEP_MAX, || {
            (node.ended().is_some() || node.output().contains("listening for SIP")).then_some(())
        });
        assert!(up.is_some() && node.ended().is_none(), "{}", node.output());
        node
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for machine in self.edges.iter().chain([&self.middle]) {
            if !try_ip(&["netns", "del", machine]) {
                eprintln!("the namespace {machine} stays");
            }
        }
    }
}

fn try_ip(words: &[&str]) -> bool {
    let run = Command::new("ip").args(words).output();
    run.is_ok_and(|run| run.status.success())
}

#[track_caller]
fn ip(words: &[&str]) {
    assert!(try_ip(words), "ip {}", words.join(" "));
}

/// A phone that knows nothing of names, edges or flows.
struct Phone {
    socket: UdpSocket,
    user: &'static str,
    edge: SocketAddr,
}

impl Phone {
    fn new(user: &'static str, port: u16, edge: &str) -> Self {
        let socket = UdpSocket::bind((PHONES, port)).expect("the namespace is ours");
        let set = socket.set_read_timeout(Some(AGAIN));
        set.expect("a socket takes a time-out");
        let edge = format!("{edge}:5060").parse().expect("an address");
        Self { socket, user, edge }
    }

    /// A request of ours; `more` has its further headers.
    fn request(&self, method: &str, uri: &str, number: u32, more: &str) -> String {
        let (user, port) = (self.user, self.socket.local_addr().expect("bound").port());
        format!(
            "{method} {uri} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-{user}-{method}-{number}\r\n\
             Max-Forwards: 70\r\n\
             From: <sip:{user}@example.com>;tag={user}\r\n\
             Call-ID: {user}-covers\r\n\
             CSeq: {number} {method}\r\n\
             Contact: <sip:{user}@{PHONES}:{port}>\r\n\
             {more}Content-Length: 0\r\n\r\n"
        )
    }

    fn send(&self, message: &str) {
        let sent = self.socket.send_to(message.as_bytes(), self.edge);
        sent.expect("a datagram can be sent");
    }

    /// What comes next and begins like that, from whom; meanwhile `again` is repeated.
    #[track_caller]
    fn until(&self, begin: &str, again: Option<&str>) -> (String, SocketAddr) {
        let mut others = Vec::new();
        let found = poll(STEP_MAX, || {
            let mut buffer = [0; 8_192];
            let Ok((len, from)) = self.socket.recv_from(&mut buffer) else {
                if let Some(again) = again {
                    self.send(again);
                }
                return None;
            };
            let message = String::from_utf8_lossy(&buffer[..len]).into_owned();
            let is_it = message.starts_with(begin);
            if !is_it {
                others.push(message.clone());
            }
            is_it.then_some((message, from))
        });
        let user = self.user;
        found.unwrap_or_else(|| panic!("{user} never got {begin:?} but {others:#?}"))
    }

    fn register(&self, number: u32) {
        let more = format!("To: <sip:{}@example.com>\r\nExpires: 600\r\n", self.user);
        let register = self.request("REGISTER", "sip:example.com", number, &more);
        self.send(&register);
        let is_it = |answer: &str| values(answer, "CSeq").concat().contains("REGISTER");
        // The answer to something else may have come twice.
        while !is_it(&self.until("SIP/2.0 200 ", Some(&register)).0) {}
    }

    /// Answers a request with 200.
    fn answer(&self, request: &str) {
        let mut answer = String::from("SIP/2.0 200 OK\r\n");
        for line in request.lines() {
            let header = line.split(':').next().unwrap_or_default();
            if ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"].contains(&header) {
                let tag = if header == "To" && !line.contains(";tag=") {
                    ";tag=there"
                } else {
                    ""
                };
                answer.extend([line, tag, "\r\n"]);
            }
        }
        let port = self.socket.local_addr().expect("bound").port();
        answer += &format!(
            "Contact: <sip:{}@{PHONES}:{port}>\r\nContent-Length: 0\r\n\r\n",
            self.user
        );
        self.send(&answer);
    }
}

/// The values of a header, from the top.
fn values(message: &str, header: &str) -> Vec<String> {
    let begin = format!("{header}: ");
    let lines = message.lines().filter_map(|line| line.strip_prefix(&begin));
    lines.map(str::to_owned).collect()
}

fn write(dir: &Path) -> [PathBuf; 3] {
    let put = |name: &str, text: String| {
        let path = dir.join(name);
        std::fs::write(&path, text).expect("a file can be written");
        path
    };
    put(
        "users.txt",
        "joe example.com password=secret\nann example.com password=secret\n".into(),
    );
    // What one edge marked, the other one must be able to read.
    put("cluster.key", "5".repeat(128));
    let head = |name: &str, ip: &str| {
        format!("name = \"{name}\"\nlisten = [\"udp:{ip}:5060\", \"tcp:{ip}:5060\"]\nshards = 1\n")
    };
    let home = format!(
        "{}[home]\ndomain = \"example.com\"\nsubscribers = \"users.txt\"\n\
         edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"{E1}\", \"{E2}\"]\n\
         authenticate = false\nchallenge_calls = false\nredirect = \"never\"\n",
        head("home", HOME)
    );
    let edge = |name: &str, ip: &str| {
        format!(
            "{}[edge]\ncluster = \"edge.example.com\"\nhome = [\"sip:{HOME}:5060;transport=udp\"]\n\
             members = [{{ name = \"e1\", address = \"{E1}\" }}, {{ name = \"e2\", address = \"{E2}\" }}]\n\
             token_key_file = \"cluster.key\"\n",
            head(name, ip)
        )
    };
    [
        put("home.toml", home),
        put("e1.toml", edge("e1", E1)),
        put("e2.toml", edge("e2", E2) + "covers = [\"e1\"]\n"),
    ]
}

/// Joe calls ann, his edge dies in mid-call and its address moves; he hangs up.
fn play(machines: &Machines, dir: &Path) {
    let [home, e1, e2] = write(dir);
    let [first, second] = &machines.edges;
    let _home = Machines::run(&machines.middle, &home);
    let mut dying = Machines::run(first, &e1);
    let _covering = Machines::run(second, &e2);
    let (joe, ann) = (Phone::new("joe", 7_001, E1), Phone::new("ann", 7_002, E2));
    joe.register(1);
    ann.register(1);
    let invite = joe.request(
        "INVITE",
        "sip:ann@example.com",
        2,
        "To: <sip:ann@example.com>\r\n",
    );
    joe.send(&invite);
    let (offered, _) = ann.until("INVITE ", None);
    ann.answer(&offered);
    let (answer, from) = joe.until("SIP/2.0 200 ", None);
    assert_eq!(from, joe.edge);
    let mut routes = values(&answer, "Record-Route");
    routes.reverse();
    // It is an address that joe knows, and will not ask anybody about.
    assert!(
        routes.first().is_some_and(|route| route.contains(E1)),
        "{routes:?}"
    );
    let to = values(&answer, "To").concat();
    let contact = values(&answer, "Contact").concat();
    let target = contact.trim_matches(['<', '>']);
    let inside = format!("To: {to}\r\nRoute: {}\r\n", routes.join(", "));
    joe.send(&joe.request("ACK", target, 2, &inside));
    ann.until("ACK ", None);

    dying.signal("-KILL");
    assert!(dying.wait(STEP_MAX).is_some());
    machines.move_address(E1);
    let bye = joe.request("BYE", target, 3, &inside);
    joe.send(&bye);
    let waiting = std::thread::scope(|scope| {
        let joes = scope.spawn(|| joe.until("SIP/2.0 200 ", Some(&bye)));
        let (ended, _) = ann.until("BYE ", None);
        ann.answer(&ended);
        joes.join().expect("joe hears")
    });
    let (answer, from) = waiting;
    assert!(values(&answer, "CSeq").concat().contains("BYE"), "{answer}");
    assert_eq!(from, joe.edge, "it comes from where joe sent to");
    // He stays there, and is called there.
    joe.register(4);
    let call = ann.request(
        "INVITE",
        "sip:joe@example.com",
        4,
        "To: <sip:joe@example.com>\r\n",
    );
    ann.send(&call);
    let (_, from) = joe.until("INVITE ", None);
    assert_eq!(from, joe.edge);
}

#[test]
fn an_address_that_moves_in_mid_call_is_served_where_it_comes() {
    let Some(machines) = Machines::new() else {
        println!(
            "no network namespaces may be made here: whether an edge covers another is not tried"
        );
        return;
    };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("covers-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the test folder can be made");
    let inside = File::open(format!("/run/netns/{}", machines.middle));
    let inside = inside.expect("ip netns keeps it there");
    let played = std::thread::scope(|scope| {
        // Of all threads, this one is on that machine.
        let thread = scope.spawn(|| {
            setns(&inside, CloneFlags::CLONE_NEWNET)
                .expect("whoever makes namespaces may enter them");
            play(&machines, &dir);
        });
        thread.join()
    });
    if let Err(panic) = played {
        eprintln!("all logs: {}", dir.display());
        std::panic::resume_unwind(panic);
    }
    std::fs::remove_dir_all(&dir).expect("the folder is ours");
}
