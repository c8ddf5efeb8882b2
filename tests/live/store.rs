//! The store of a home on a disk that is full, and one that is damaged.

use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::lab::{PHONES, metric, steadfast};
use crate::node::{self, Scratch};
use crate::process::{Process, poll};

/// How long anything of this may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the home is, beside every lab.
const HOME: &str = "127.0.0.60";
/// More registrations than a new store has room for without growing.
const PHONES_MANY: usize = 3_000;

/// One home at a time: its address is fixed.
static TURN: Mutex<()> = Mutex::new(());

/// A folder with the configuration of one home, gone when dropped.
struct Folder {
    files: Scratch,
    _turn: MutexGuard<'static, ()>,
}

impl Folder {
    fn new(test: &str, more: &str) -> Self {
        let folder = Self {
            files: Scratch::with(&format!("store-{test}"), "disk"),
            _turn: TURN.lock().unwrap_or_else(PoisonError::into_inner),
        };
        let mut users = String::new();
        for number in 0..PHONES_MANY {
            writeln!(users, "u{number} example.com password=secret").expect("a string takes text");
        }
        folder.write("users.txt", &users);
        folder.write(
            "home.toml",
            &format!(
                "name = \"home\"\nlisten = [\"udp:{HOME}:5060\", \"tcp:{HOME}:5060\"]\nshards = 1\n\
                 control = \"home.sock\"\n[home]\ndomain = \"example.com\"\nsubscribers = \"users.txt\"\n\
                 edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"127.0.0.61\"]\n\
                 authenticate = false\nredirect = \"never\"\nstore = \"disk/location.redb\"\n{more}"
            ),
        );
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    fn write(&self, name: &str, text: &str) {
        self.files.write(name, text);
    }

    /// Runs the home, with a disk of so many KiB of its own, and returns once it listens.
    fn run(&self, disk_kib: Option<u32>) -> Process {
        let mut run = steadfast();
        run.args(["run", "--config"]).arg(self.path("home.toml"));
        if let Some(kib) = disk_kib {
            let program = run.get_program().to_owned();
            run = Command::new("unshare");
            let disk = self.path("disk").display().to_string();
            run.args(["-m", "sh", "-c"]).arg(format!(
                "mount -t tmpfs -o size={kib}k none {disk} && exec \"$0\" \"$@\""
            ));
            run.arg(program).args(["run", "--config"]);
            run.arg(self.path("home.toml"));
        }
        node::start("home", &mut run, self.path("home.log"), PATIENCE)
    }

    /// A page of the control socket: its status line and its body.
    fn page(&self, path: &str) -> (String, String) {
        let answer = node::get(&self.path("home.sock"), path, "").expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("it is an answer");
        let status = head.lines().next().unwrap_or_default();
        (status.to_owned(), body.to_owned())
    }

    fn metric(&self, name: &str) -> u64 {
        metric(&self.page("/metrics").1, name)
    }

    /// Waits until a page has this status.
    #[track_caller]
    fn until(&self, path: &str, status: &str) -> String {
        let answer = poll(PATIENCE, || {
            let (line, body) = self.page(path);
            line.ends_with(status).then_some(body)
        });
        answer.unwrap_or_else(|| panic!("{path} never says {status}: {:?}", self.page(path)))
    }
}

/// A phone without anything but a socket.
struct Phone(UdpSocket);

impl Phone {
    fn new() -> Self {
        let socket = UdpSocket::bind((PHONES, 0)).expect("there is a port");
        let limit = Some(Duration::from_secs(5));
        socket.set_read_timeout(limit).expect("a limit is taken");
        Self(socket)
    }

    /// What the home answers to a REGISTER of this user; `contact` empty asks for the bindings.
    fn register(&self, user: &str, cseq: usize, contact: &str) -> String {
        self.send(user, cseq, contact);
        self.receive().expect("it is answered")
    }

    fn receive(&self) -> Option<String> {
        let mut buffer = [0; 8_192];
        let len = self.0.recv(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..len]).into_owned())
    }

    fn send(&self, user: &str, cseq: usize, contact: &str) {
        let port = self.0.local_addr().expect("it has an address").port();
        let request = format!(
            "REGISTER sip:example.com SIP/2.0\r\n\
             Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-{user}-{cseq}-{port}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@example.com>;tag=1\r\n\
             To: <sip:{user}@example.com>\r\nCall-ID: {user}@store\r\nCSeq: {cseq} REGISTER\r\n\
             {contact}Content-Length: 0\r\n\r\n"
        );
        let sent = self.0.send_to(request.as_bytes(), (HOME, 5060));
        sent.expect("it can send");
    }

    fn register_at(&self, user: &str, cseq: usize) -> String {
        let more = "x".repeat(300);
        let contact = format!("Contact: <sip:{user}@127.0.0.1:{cseq};x={more}>\r\n");
        self.register(user, cseq, &contact)
    }
}

#[test]
fn a_home_whose_disk_is_full_says_so_and_writes_once_there_is_room() {
    let may_mount = Command::new("unshare").args(["-m", "true"]).output();
    if !may_mount.is_ok_and(|done| done.status.success()) {
        println!("no file system may be mounted here");
        return;
    }
    let folder = Folder::new("full", "");
    let home = folder.run(Some(16_384));
    folder.until("/healthz", "200 OK");
    folder.until("/readyz", "200 OK");
    // The home's own view of its disk.
    let disk = format!("/proc/{}/root{}", home.id(), folder.path("disk").display());
    let fill = Path::new(&disk).join("fill");
    let filled = std::fs::write(&fill, vec![1; 32 << 20]);
    assert_eq!(
        filled.expect_err("the disk is smaller").kind(),
        std::io::ErrorKind::StorageFull
    );

    let phone = Phone::new();
    for number in 0..PHONES_MANY {
        let answer = phone.register_at(&format!("u{number}"), 1);
        assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
    }
    let said = folder.until("/healthz", "503 Service Unavailable");
    assert!(said.starts_with("the store cannot be written: "), "{said}");
    assert_eq!(folder.metric("steadfast_store_failing"), 1);
    assert!(folder.metric("steadfast_store_unsaved") > 0);
    assert!(folder.metric("steadfast_store_failed_batches_total") > 0);
    let words = home.output();
    let sentence = "the store cannot be written: No space left on device";
    assert_eq!(words.matches(sentence).count(), 1, "{words}");

    std::fs::remove_file(&fill).expect("it was made");
    folder.until("/healthz", "200 OK");
    let saved = poll(PATIENCE, || {
        (folder.metric("steadfast_store_unsaved") == 0).then_some(())
    });
    assert!(saved.is_some(), "{}", home.output());
    assert_eq!(folder.metric("steadfast_store_set_aside_total"), 0);
    // What is on that disk goes with the process, so it is read before.
    let copy = std::fs::read(Path::new(&disk).join("location.redb")).expect("it is there");
    drop(home);
    std::fs::write(folder.path("disk/location.redb"), copy).expect("a file can be written");
    let home = folder.run(None);
    let words = home.output();
    let all = format!("read the registrations back records={PHONES_MANY}");
    assert!(words.contains(&all), "{words}");
}

#[test]
fn a_damaged_store_is_set_aside_and_the_home_goes_on() {
    let folder = Folder::new("damaged", "");
    let phone = Phone::new();
    for round in 1..=2 {
        let home = folder.run(None);
        assert!(phone.register_at("u1", round).starts_with("SIP/2.0 200 "));
        let saved = poll(PATIENCE, || {
            (folder.metric("steadfast_store_unsaved") == 0).then_some(())
        });
        assert!(saved.is_some(), "{}", home.output());
        let aside = folder.metric("steadfast_store_set_aside_total");
        assert_eq!(aside, u64::from(round == 2));
        let words = home.output();
        let is_said = words.contains("the store is damaged and set aside");
        assert_eq!(is_said, round == 2, "{words}");
        assert!(!words.contains("panicked"), "{words}");
        home.signal("-KILL");
        drop(home);
        let file = std::fs::File::options()
            .write(true)
            .open(folder.path("disk/location.redb"));
        let file = file.expect("it is there");
        file.set_len(1 << 20).expect("it can be cut");
    }
    let names = std::fs::read_dir(folder.path("disk")).expect("it is there");
    let names = names.map(|entry| entry.expect("it can be read").file_name());
    let aside = names.filter(|name| name.to_string_lossy().contains(".redb.damaged-"));
    assert_eq!(aside.count(), 1);
}

#[test]
fn what_a_phone_was_told_is_there_after_kill_9() {
    const ROUNDS: usize = 25;
    /// Registrations of one round, all under way at once.
    const BURST: usize = 40;
    let folder = Folder::new("durable", "durable = true\n");
    let mut told = 0;
    for round in 0..ROUNDS {
        let home = folder.run(None);
        let phone = Phone::new();
        for number in 0..BURST {
            let user = format!("u{}", round * BURST + number);
            let contact = format!("Contact: <sip:{user}@127.0.0.1:{}>\r\n", 1_000 + round);
            phone.send(&user, 1, &contact);
        }
        // The home ends in the middle of them, at another place each time.
        let mut answers: Vec<_> = (0..1 + round % BURST)
            .map(|_| phone.receive().expect("it is answered"))
            .collect();
        home.signal("-KILL");
        drop(home);
        let short = Some(Duration::from_millis(1));
        phone.0.set_read_timeout(short).expect("a limit is taken");
        answers.extend(std::iter::from_fn(|| phone.receive()));

        let home = folder.run(None);
        let asking = Phone::new();
        for answer in &answers {
            assert!(answer.starts_with("SIP/2.0 200 "), "{answer}");
            let (_, after) = answer.split_once("\r\nContact: <").expect("it has one");
            let (contact, _) = after.split_once('>').expect("it ends");
            let user = &contact["sip:".len()..contact.find('@').expect("it has a user")];
            let found = asking.register(user, 2, "");
            assert!(found.contains(contact), "{contact} is gone: {found}");
        }
        told += answers.len();
        home.signal("-KILL");
    }
    println!("{told} registrations were told of before {ROUNDS} kills, and all were there");
    assert!(told >= ROUNDS, "{told}");
}
