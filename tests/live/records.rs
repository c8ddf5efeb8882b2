//! TLS at an edge as openssl and a scanner see it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, NamedGroup, RootCertStore, StreamOwned};

use crate::lab::{EDGES, Lab, metric};
use crate::tool::Tool;

/// openssl as a phone of `edge`, with these options too.
pub(crate) fn phone(lab: &Lab, edge: &str, options: &[&str]) -> Tool {
    let mut command = Command::new("stdbuf");
    command
        .args(["-oL", "openssl", "s_client", "-servername"])
        .args(["edge.example.com", "-connect", &format!("{edge}:5061")])
        .args(options)
        .arg("-CAfile")
        .arg(lab.path("lab/ca.pem"));
    Tool::start(&mut command)
}

/// Asks the edge something, and waits for its answer.
pub(crate) fn ask(phone: &mut Tool, number: u32) {
    let request = format!(
        "OPTIONS sip:edge.example.com SIP/2.0\r\n\
         Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bK{number};rport\r\n\
         From: <sip:joe@example.com>;tag=1\r\nTo: <sip:edge.example.com>\r\n\
         Call-ID: records\r\nCSeq: {number} OPTIONS\r\nMax-Forwards: 70\r\n\
         Content-Length: 0\r\n\r\n"
    );
    phone.tell(request.as_bytes());
    phone.hear("SIP/2.0 200 OK");
    phone.hear(&format!("CSeq: {number} OPTIONS"));
}

#[test]
fn openssl_updates_its_keys_and_resumes_at_every_edge() {
    let lab = Lab::start_with("records-openssl", &["--tls"]);
    let ticket = lab.path("ticket.pem").display().to_string();
    let mut first = phone(&lab, EDGES[0], &["-tls1_3", "-sess_out", &ticket]);
    first.hear("New, TLSv1.3");
    for number in 1..4 {
        ask(&mut first, number);
        first.tell(b"K\n");
        first.hear("KEYUPDATE");
    }
    ask(&mut first, 4);
    first.tell(b"Q\n");
    first.hear("DONE");
    // The edges share a key: what one has sealed opens at the others.
    for edge in [EDGES[1], EDGES[2], EDGES[0]] {
        let mut again = phone(&lab, edge, &["-tls1_3", "-sess_in", &ticket]);
        again.hear("Reused, TLSv1.3");
        ask(&mut again, 5);
    }
    // A ticket of TLS 1.2 is good where it was sealed.
    let mut older = phone(&lab, EDGES[0], &["-tls1_2", "-sess_out", &ticket]);
    older.hear("New, TLSv1.2");
    ask(&mut older, 6);
    older.tell(b"Q\n");
    older.hear("DONE");
    for (edge, word) in [(EDGES[1], "New"), (EDGES[0], "Reused")] {
        let mut again = phone(&lab, edge, &["-tls1_2", "-sess_in", &ticket]);
        again.hear(&format!("{word}, TLSv1.2"));
        ask(&mut again, 7);
    }
    // And nothing is negotiated anew.
    let mut older = phone(&lab, EDGES[0], &["-tls1_2"]);
    ask(&mut older, 8);
    older.tell(b"R\n");
    older.hear("no renegotiation");
}

/// A phone over TLS that keeps its bytes to itself until it is told to send them.
struct Phone {
    session: ClientConnection,
    socket: TcpStream,
}

impl Phone {
    /// Shakes hands with an edge, which gets its choice of these key exchanges.
    fn meet(lab: &Lab, edge: &str, groups: &[&'static dyn SupportedKxGroup]) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(lab.path("lab/ca.pem")).expect("a root");
        roots.add(root).expect("a root");
        let provider = CryptoProvider {
            kx_groups: groups.to_vec(),
            ..aws_lc_rs::default_provider()
        };
        let config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_safe_default_protocol_versions()
            .expect("the library knows its versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "edge.example.com".try_into().expect("a name");
        let mut session = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut socket = TcpStream::connect((edge, 5061)).expect("the edge listens");
        let limit = Some(crate::tool::PATIENCE);
        socket.set_read_timeout(limit).expect("a time limit");
        while session.is_handshaking() {
            session.complete_io(&mut socket).expect("they agree");
        }
        Self { session, socket }
    }

    fn group(&self) -> NamedGroup {
        let group = self.session.negotiated_key_exchange_group();
        group.expect("the handshake is over").name()
    }

    /// A message as a record, not yet sent.
    fn sealed(&mut self, message: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let written = self.session.writer().write_all(message.as_bytes());
        written.expect("there is room");
        while self.session.wants_write() {
            self.session
                .write_tls(&mut bytes)
                .expect("a vector takes it");
        }
        bytes
    }
}

#[test]
fn a_phone_gets_the_key_exchange_that_it_would_rather_have() {
    let lab = Lab::start_with("records-groups", &["--tls"]);
    let (hybrid, classical) = (kx_group::X25519MLKEM768, kx_group::X25519);
    for (groups, want) in [
        (&[hybrid, classical][..], NamedGroup::X25519MLKEM768),
        (&[classical, hybrid], NamedGroup::X25519),
        (&[classical], NamedGroup::X25519),
    ] {
        assert_eq!(Phone::meet(&lab, EDGES[0], groups).group(), want);
    }
    // From the next connection on, once the file says so.
    let file = lab.path("lab/e1.toml");
    let text = std::fs::read_to_string(&file).expect("the lab has written it");
    let text = text.replace("[tls]\n", "[tls]\nhybrid_key_exchange = false\n");
    std::fs::write(&file, text).expect("a file can be written");
    let mut reload = crate::lab::steadfast();
    let output = reload.arg("reload").arg("--node").arg(&file).output();
    let output = output.expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let phone = Phone::meet(&lab, EDGES[0], &[hybrid, classical]);
    assert_eq!(phone.group(), NamedGroup::X25519);
    let phone = Phone::meet(&lab, EDGES[1], &[hybrid, classical]);
    assert_eq!(phone.group(), NamedGroup::X25519MLKEM768);
}

#[test]
fn what_was_authentic_before_a_bad_record_is_heard() {
    let lab = Lab::start_with("records-bad", &["--tls"]);
    let mut phone = Phone::meet(&lab, EDGES[0], &[kx_group::X25519]);
    let request = "OPTIONS sip:edge.example.com SIP/2.0\r\n\
         Via: SIP/2.0/TLS 127.0.0.1:5061;branch=z9hG4bKlast;rport\r\n\
         From: <sip:joe@example.com>;tag=1\r\nTo: <sip:edge.example.com>\r\n\
         Call-ID: last\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n";
    let mut bytes = phone.sealed(request);
    let last = bytes.len() + 5;
    bytes.extend(phone.sealed("OPTIONS"));
    bytes[last] ^= 1;
    // In one write, and so in one read of the edge.
    phone.socket.write_all(&bytes).expect("the edge is there");
    let mut rest = Vec::new();
    phone
        .socket
        .read_to_end(&mut rest)
        .expect("the edge closes");
    let page = lab.page("e1", "/metrics");
    assert_eq!(metric(&page, "steadfast_tls_failed_total"), 1, "{page}");
    let heard = page.lines().any(|line| {
        let words = ["method=\"OPTIONS\"", "transport=\"tls\"", "side=\"access\""];
        line.starts_with("steadfast_requests_received_total{")
            && words.iter().all(|word| line.contains(word))
    });
    assert!(heard, "{page}");
}

#[test]
fn a_goodbye_is_answered_with_one() {
    // RFC 5246 §7.2.1, RFC 8446 §6.1
    let lab = Lab::start_with("records-goodbye", &["--tls"]);
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(lab.path("lab/ca.pem")).expect("a root");
    roots.add(root).expect("a root");
    for version in rustls::ALL_VERSIONS {
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[version])
            .expect("a version")
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let name = "edge.example.com".try_into().expect("a name");
        let phone = ClientConnection::new(Arc::new(config), name).expect("a client");
        let socket = TcpStream::connect((EDGES[0], 5061)).expect("the edge listens");
        let limit = Some(crate::tool::PATIENCE);
        socket.set_read_timeout(limit).expect("a time limit");
        let mut phone = StreamOwned::new(phone, socket);
        // A keep-alive, and its answer.
        phone.write_all(b"\r\n\r\n").expect("it is written");
        let mut pong = [0; 2];
        phone.read_exact(&mut pong).expect("it is answered");
        phone.conn.send_close_notify();
        phone.flush().expect("it is written");
        let end = phone.read(&mut [0; 9]);
        assert_eq!(end.map_err(|why| why.kind()), Ok(0), "{version:?}");
    }
}

#[test]
fn sslyze_finds_nothing() {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/sslyze/bin/python3");
    if !python.exists() {
        eprintln!("no sslyze in target/sslyze: tests/run installs it");
        return;
    }
    let lab = Lab::start_with("records-sslyze", &["--tls"]);
    let report = lab.path("sslyze.json");
    let mut command = Command::new(python);
    command
        .args(["-m", "sslyze", "--json_out"])
        .arg(&report)
        .arg(format!("{}:5061", EDGES[0]));
    // Its last word is on a public authority, which a lab has none of.
    drop(command.output().expect("it starts"));
    let text = std::fs::read_to_string(report).expect("it has written what it found");
    let found: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let found = &found["server_scan_results"][0]["scan_result"];
    for (what, field, want) in [
        ("heartbleed", "is_vulnerable_to_heartbleed", false),
        (
            "openssl_ccs_injection",
            "is_vulnerable_to_ccs_injection",
            false,
        ),
        (
            "session_renegotiation",
            "supports_secure_renegotiation",
            true,
        ),
        (
            "session_renegotiation",
            "is_vulnerable_to_client_renegotiation_dos",
            false,
        ),
        ("tls_compression", "supports_compression", false),
        ("tls_fallback_scsv", "supports_fallback_scsv", true),
        ("tls_extended_master_secret", "supports_ems_extension", true),
    ] {
        assert_eq!(found[what]["result"][field], want, "{what} {field}");
    }
    let robot = &found["robot"]["result"]["robot_result"];
    assert_eq!(robot, "NOT_VULNERABLE_RSA_NOT_SUPPORTED");
    let accepted = |version: &str| {
        let suites = &found[format!("{version}_cipher_suites")]["result"]["accepted_cipher_suites"];
        suites.as_array().map_or(99, Vec::len)
    };
    let all = [
        "ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3",
    ];
    assert_eq!(all.map(accepted), [0, 0, 0, 0, 3, 3]);
}
