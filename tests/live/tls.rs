//! TLS with the tools that everybody has: SIPp through stunnel, and openssl as
//! the peer that is not who it says.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};

use crate::lab::{EDGES, HOME, Lab, PHONES, metric, steadfast};
use crate::process::{Process, poll};
use crate::sipp::{Sipp, Transport};
use crate::stream::ann_on_tcp;

/// How long a process may take to listen, or to say what it must.
const PATIENCE: Duration = Duration::from_secs(5);

/// A tunnel to the TLS port of `edge`, which takes TCP at `address`. The phone
/// behind it shows a certificate and checks that of the edge.
fn tunnel(lab: &Lab, address: &str, edge: &str) -> Process {
    let file = |name: &str| lab.path(&format!("lab/{name}")).display().to_string();
    let text = format!(
        "foreground = yes\npid =\n[phone]\nclient = yes\naccept = {address}:5060\n\
         connect = {edge}:5061\ncert = {}\nkey = {}\nCAfile = {}\nverifyChain = yes\n\
         checkHost = edge.example.com\nsni = edge.example.com\n",
        file("phone.pem"),
        file("phone.key"),
        file("ca.pem"),
    );
    let config = lab.path(&format!("stunnel-{address}.conf"));
    std::fs::write(&config, text).expect("a file can be written");
    let log = lab.path(&format!("stunnel-{address}.log"));
    let process = Process::start("stunnel4", Command::new("stunnel4").arg(config), log);
    let listens = poll(PATIENCE, || TcpStream::connect((address, 5060)).ok());
    assert!(listens.is_some(), "{}", process.last_words());
    process
}

#[test]
fn sipp_registers_and_calls_through_stunnel() {
    let lab = Lab::start_with("tls-call", &["--tls"]);
    let tunnels = [("127.0.0.21", EDGES[0]), ("127.0.0.22", EDGES[1])]
        .map(|(address, edge)| tunnel(&lab, address, edge));
    let ann = ann_on_tcp(&lab, "127.0.0.22");
    Sipp::new(&lab, "uac_service_route", "joe")
        .to("127.0.0.21")
        .over(Transport::Tcp)
        .run();
    drop((ann, tunnels));
}

/// An authority of the test's own, in a folder of the lab.
struct Authority<'a> {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: &'a Path,
}

impl<'a> Authority<'a> {
    fn new(name: &str, folder: &'a Path) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().expect("there is randomness");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it signs itself");
        Self { issuer, folder }
    }

    fn write_root(&self, name: &str) {
        std::fs::write(self.folder.join(name), self.issuer.pem()).expect("a file can be written");
    }

    /// Writes `<file>.pem` and `<file>.key` for these names.
    fn issue(&self, file: &str, names: &[&str], days_left: i64) {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names
            .iter()
            .map(|name| match name.strip_prefix("dns:") {
                Some(name) => SanType::DnsName(name.try_into().expect("a name")),
                None => SanType::URI((*name).try_into().expect("a URI")),
            })
            .collect();
        let day = Duration::from_secs(86_400);
        let now = SystemTime::now();
        params.not_before = (now - 30 * day).into();
        params.not_after = match u32::try_from(days_left) {
            Ok(days) => now + days * day,
            Err(_past) => now - day,
        }
        .into();
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, file);
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the authority signs");
        let write = |kind: &str, text: String| {
            let path = self.folder.join(format!("{file}.{kind}"));
            std::fs::write(path, text).expect("a file can be written");
        };
        write("pem", certificate.pem());
        write("key", key.serialize_pem());
    }
}

/// A node at an address of its own, beside the lab's.
fn node(lab: &Lab, name: &str, text: &str) -> Process {
    let config = lab.path(&format!("lab/{name}.toml"));
    std::fs::write(&config, text).expect("a file can be written");
    let mut command = steadfast();
    command.arg("run").arg("--config").arg(&config);
    let process = Process::start(name, &mut command, lab.path(&format!("{name}.log")));
    let listens = poll(PATIENCE, || {
        process.output().contains("listening for SIP").then_some(())
    });
    assert!(listens.is_some(), "{}", process.last_words());
    process
}

/// Asks the node by UDP for a registration that it must take to its home; the
/// status of its final answer.
fn register_at(address: &str, number: u32) -> String {
    let socket = UdpSocket::bind((PHONES, 0)).expect("there is a port");
    let limit = Some(Duration::from_millis(200));
    socket.set_read_timeout(limit).expect("a limit is taken");
    let port = socket.local_addr().expect("it has an address").port();
    let request = format!(
        "REGISTER sip:example.com SIP/2.0\r\n\
         Via: SIP/2.0/UDP {PHONES}:{port};rport;branch=z9hG4bK-tls-{number}\r\n\
         Max-Forwards: 70\r\nRoute: <sip:edge.example.com;lr>\r\n\
         From: <sip:joe@example.com>;tag=1\r\nTo: <sip:joe@example.com>\r\n\
         Call-ID: tls-{number}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:joe@{PHONES}:{port}>\r\nContent-Length: 0\r\n\r\n"
    );
    let mut buffer = [0; 4_096];
    let answer = poll(PATIENCE, || {
        socket.send_to(request.as_bytes(), (address, 5060)).ok()?;
        let len = socket.recv(&mut buffer).ok()?;
        let text = String::from_utf8_lossy(&buffer[..len]).into_owned();
        (!text.starts_with("SIP/2.0 100")).then_some(text)
    });
    let answer = answer.expect("every request is answered");
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// `openssl s_server` as a home that shows this certificate.
fn impostor(lab: &Lab, address: &str, folder: &Path, file: &str) -> Process {
    let row = listener_row(address, 5061);
    let is_there = || {
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        table.contains(&row)
    };
    // The one before it may take a moment to be gone.
    let is_free = poll(PATIENCE, || (!is_there()).then_some(()));
    assert!(is_free.is_some(), "{address} is taken");
    // It hangs up as soon as there is nothing more to read from its terminal.
    let mut command = Command::new("sh");
    let pair = folder.join(file).display().to_string();
    command.arg("-c").arg(format!(
        "tail -f /dev/null | openssl s_server -quiet -accept {address}:5061 -cert {pair}.pem -key {pair}.key"
    ));
    let process = Process::start("openssl", &mut command, lab.path(&format!("{file}.log")));
    let listens = poll(PATIENCE, || is_there().then_some(()));
    assert!(listens.is_some(), "{}", process.last_words());
    process
}

/// What `/proc/net/tcp` says of a listener.
fn listener_row(address: &str, port: u16) -> String {
    let ip: std::net::Ipv4Addr = address.parse().expect("an address");
    let ip = u32::from_ne_bytes(ip.octets());
    format!("{ip:08X}:{port:04X} 00000000:0000 0A")
}

/// An edge of its own whose home is at that address.
fn ninth(home: &str) -> String {
    format!(
        "name = \"e9\"\ncontrol = \"e9.sock\"\nlisten = [\"udp:127.0.0.19:5060\", \"tcp:127.0.0.19:5060\", \
         \"tls:127.0.0.19:5061\"]\n[tls]\ncerts = [{{ cert = \"node.pem\", key = \"node.key\" }}]\n\
         ca = \"roots.pem\"\n[edge]\ncluster = \"edge.example.com\"\n\
         home = [\"sips:example.com;maddr={home}\"]\n\
         members = [{{ name = \"e9\", address = \"127.0.0.19\" }}]\n"
    )
}

/// A certificate: its file, who signs it, its names, its days, and what the
/// edge says of it.
type Shown<'a> = (
    &'static str,
    &'a Authority<'a>,
    &'static [&'static str],
    i64,
    &'static str,
);

/// Every certificate that does not prove example.com.
const fn impostors<'a>(ours: &'a Authority<'a>, foreign: &'a Authority<'a>) -> [Shown<'a>; 5] {
    [
        (
            "other-domain",
            ours,
            &["sip:other.example.com"],
            10,
            "its certificate names other.example.com, not example.com",
        ),
        (
            "expired",
            ours,
            &["sip:example.com"],
            -1,
            "its certificate has expired",
        ),
        (
            "unknown-ca",
            foreign,
            &["sip:example.com"],
            10,
            "its certificate is signed by nobody in `ca`",
        ),
        (
            "wildcard",
            ours,
            &["dns:*.com", "dns:*.example.com"],
            10,
            "its certificate names *.com, *.example.com, not example.com",
        ),
        (
            "hidden",
            ours,
            &["dns:example.com", "sip:hidden.example.com"],
            10,
            "its certificate names hidden.example.com, not example.com",
        ),
    ]
}

/// C-1 to C-3: a home that does not prove its domain gets nothing.
#[test]
fn an_edge_talks_to_no_home_that_is_somebody_else() {
    let lab = Lab::start_with("tls-impostors", &["--tls"]);
    let folder = lab.path("lab");
    let (ours, foreign) = (
        Authority::new("ours", &folder),
        Authority::new("foreign", &folder),
    );
    ours.write_root("roots.pem");
    ours.issue("node", &["sip:edge.example.com"], 10);
    let address = "127.0.0.30";
    let edge = node(&lab, "e9", &ninth(address));
    for (number, (file, authority, names, days, want)) in (0..).zip(impostors(&ours, &foreign)) {
        authority.issue(file, names, days);
        let mut server = impostor(&lab, address, &folder, file);
        let status = register_at("127.0.0.19", number);
        // A request waits for its home and tries it again and again (V-8), and the log takes no
        // more than some lines a second: perhaps not that of the first try with this certificate.
        let mut others = 100 * (number + 1)..;
        let output = poll(PATIENCE, || {
            let is_said = || edge.output().contains(want);
            if !is_said()
                && let Some(number) = others.next()
            {
                register_at("127.0.0.19", number);
            }
            is_said().then_some(())
        });
        assert!(output.is_some(), "{file}: {want}\n{}", edge.last_words());
        assert!(status.starts_with('5'), "{file}: {status}");
        let heard = server.output();
        assert!(!heard.contains("REGISTER"), "{file} heard {heard}");
        server.stop();
    }
    let page = lab.page("e9", "/metrics");
    assert!(metric(&page, "steadfast_tls_unproven_total") >= 5, "{page}");
    assert_eq!(metric(&page, "steadfast_stick_bound_total"), 0, "{page}");
    // The same edge does talk to the one that proves it.
    ours.issue("proven", &["dns:Example.COM"], 10);
    let server = impostor(&lab, address, &folder, "proven");
    let asked = std::thread::spawn(|| register_at("127.0.0.19", 99));
    let heard = poll(PATIENCE, || {
        server
            .output()
            .contains("REGISTER sip:example.com")
            .then_some(())
    });
    assert!(heard.is_some(), "{}", edge.last_words());
    drop(server);
    drop(asked.join());
}

/// `openssl s_client` to the home's TLS port, with its ends.
struct Client {
    child: Child,
    out: PathBuf,
}

impl Client {
    fn start(lab: &Lab, name: &str, from: &str, more: &[&str]) -> Self {
        let out = lab.path(name);
        let file = std::fs::File::create(&out).expect("a file can be made");
        let copy = file.try_clone().expect("a handle can be copied");
        let mut command = Command::new("openssl");
        command.args(["s_client", "-servername", "example.com", "-connect"]);
        command.arg(format!("{HOME}:5061")).args(["-bind", from]);
        let command = command.args(more).stdin(Stdio::piped());
        let child = command.stdout(file).stderr(copy).spawn();
        let child = child.expect("tests/run installs openssl");
        Self { child, out }
    }

    fn output(&self) -> String {
        let mut text = Vec::new();
        let read = std::fs::File::open(&self.out).and_then(|mut file| file.read_to_end(&mut text));
        read.expect("its words can be read");
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Waits until it has said this.
    #[track_caller]
    fn hears(&self, word: &str) {
        let heard = poll(PATIENCE, || self.output().contains(word).then_some(()));
        assert!(heard.is_some(), "{word}: {}", self.output());
    }

    fn send(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("it is a pipe");
        stdin.write_all(text.as_bytes()).expect("it takes text");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn options(number: u32) -> String {
    format!(
        "OPTIONS sip:example.com SIP/2.0\r\nVia: SIP/2.0/TLS {PHONES}:1;branch=z9hG4bK-o-{number}\r\n\
         Max-Forwards: 70\r\nFrom: <sip:a@example.com>;tag=1\r\nTo: <sip:example.com>\r\n\
         Call-ID: o-{number}\r\nCSeq: {number} OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// C-5: who stands at the address of an edge must show a certificate.
#[test]
fn a_peer_without_a_certificate_is_closed_and_a_phone_is_not() {
    let lab = Lab::start_with("tls-nobody", &["--tls"]);
    let log = lab.path("lab/home.log");
    let output = || std::fs::read_to_string(&log).unwrap_or_default();
    let mut nobody = Client::start(&lab, "nobody.txt", EDGES[0], &[]);
    let closed = poll(PATIENCE, || nobody.child.try_wait().ok().flatten());
    assert!(closed.is_some(), "{}", nobody.output());
    let line = poll(PATIENCE, || {
        let output = output();
        let found = output
            .lines()
            .find(|line| line.contains("it shows no certificate"));
        found.map(str::to_owned)
    });
    let line = line.unwrap_or_else(|| panic!("{}", output()));
    assert!(
        line.contains(&format!("peer={}", EDGES[0])) && line.contains("WARN"),
        "{line}"
    );
    let page = lab.page("home", "/metrics");
    assert_eq!(metric(&page, "steadfast_tls_unproven_total"), 1, "{page}");
    assert_eq!(metric(&page, "steadfast_stick_bound_total"), 0, "{page}");
    let mut phone = Client::start(&lab, "phone.txt", PHONES, &["-quiet"]);
    phone.send(&options(1));
    phone.hears("SIP/2.0 200 OK");
}

/// A changed certificate is shown to the next connection within two seconds,
/// and nobody who is connected notices.
#[test]
fn a_new_certificate_is_taken_up_and_a_bad_pair_is_not() {
    let lab = Lab::start_with("tls-reload", &["--tls"]);
    let folder = lab.path("lab");
    let mut flow = Client::start(&lab, "flow.txt", PHONES, &["-quiet"]);
    flow.send(&options(1));
    flow.hears("CSeq: 1 OPTIONS");
    let authority = Authority::new("next", &folder);
    let served = |number: u32| {
        let client = Client::start(&lab, &format!("look-{number}.txt"), PHONES, &[]);
        client.hears("Verification");
        client.output()
    };
    assert!(served(0).contains("CN = example.com") || served(0).contains("CN=example.com"));
    authority.issue("home", &["sip:example.com"], 10);
    let changed = Instant::now();
    let issuer = ["issuer=CN = next", "issuer=CN=next"];
    let mut number = 0;
    let seen = poll(PATIENCE, || {
        number += 1;
        let output = served(number);
        issuer
            .iter()
            .any(|name| output.contains(name))
            .then_some(())
    });
    let took = changed.elapsed();
    assert!(seen.is_some(), "{}", served(1_000));
    println!(
        "the new certificate was served after {} ms",
        took.as_millis()
    );
    assert!(took < Duration::from_secs(2), "{took:?}");
    // A key that belongs to another certificate.
    std::fs::copy(folder.join("edge.key"), folder.join("home.key")).expect("a file can be copied");
    let log = folder.join("home.log");
    let want = "is not the certificate of the key";
    let refused = poll(PATIENCE, || {
        let output = std::fs::read_to_string(&log).unwrap_or_default();
        (output.contains(want) && output.contains("the certificates before stay")).then_some(())
    });
    assert!(refused.is_some(), "the home never refused the bad pair");
    let page = lab.page("home", "/metrics");
    for (name, want) in [("tls_reloads", 1), ("tls_reloads_refused", 1)] {
        let counted = metric(&page, &format!("steadfast_{name}_total"));
        assert!(counted >= want, "{name} {counted}");
    }
    let output = served(2_000);
    assert!(issuer.iter().any(|name| output.contains(name)), "{output}");
    flow.send(&options(2));
    flow.hears("CSeq: 2 OPTIONS");
}
