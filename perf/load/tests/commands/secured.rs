//! Loads over TLS, with a server of rustls that answers every request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection, Stream};
use serde_json::Value;

use crate::run;

/// Listens until the test binary ends; where, and the file of its root.
fn serve(name: &str, tickets: usize) -> (SocketAddr, PathBuf) {
    let made = rcgen::generate_simple_self_signed(["edge.example.com".to_owned()]).expect("a key");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("a suite")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate");
    config.send_tls13_tickets = tickets;
    if tickets == 0 {
        config.session_storage = Arc::new(NoServerSessionStorage {});
    }
    let ca = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pem"));
    std::fs::write(&ca, made.cert.pem()).expect("a file is written");
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a port");
    let addr = listener.local_addr().expect("it is bound");
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            std::thread::spawn(move || answer(socket, config));
        }
    });
    (addr, ca)
}

/// Answers each request until the other end goes.
fn answer(mut socket: TcpStream, config: Arc<ServerConfig>) {
    let mut session = ServerConnection::new(config).expect("a session");
    let mut stream = Stream::new(&mut session, &mut socket);
    let (mut seen, mut bytes) = (Vec::new(), [0; 4_096]);
    while let Ok(len) = stream.read(&mut bytes) {
        if len == 0 {
            break;
        }
        seen.extend_from_slice(&bytes[..len]);
        if seen.ends_with(b"\r\n\r\n") {
            seen.clear();
            let answered = stream.write_all(b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n");
            if answered.is_err() {
                break;
            }
        }
    }
}

/// The report of handshakes, and whether all went well.
fn handshakes((addr, ca): &(SocketAddr, PathBuf), options: &str) -> (bool, Value, String) {
    let done = run(&format!(
        "handshakes --transport tls --to {addr} --ca {} --phones 4 --json {options}",
        ca.display()
    ));
    let text = String::from_utf8(done.stdout).expect("text");
    let report = serde_json::from_str(&text).unwrap_or_default();
    let why = String::from_utf8(done.stderr).expect("text");
    (done.status.success(), report, text + &why)
}

#[test]
fn handshakes_are_full_or_resumed_as_asked() {
    let server = serve("handshakes", 2);
    for options in ["--count 24 --window 4", "--count 24 --window 4 --resumed"] {
        let (is_well, report, text) = handshakes(&server, options);
        assert!(is_well, "{text}");
        let seen = ["attempted", "done", "failed", "other_kind"].map(|name| report[name].as_u64());
        assert_eq!(seen, [24, 24, 0, 0].map(Some), "{text}");
    }
}

#[test]
fn a_server_without_tickets_resumes_nothing() {
    let server = serve("no-tickets", 0);
    let (is_well, report, text) = handshakes(&server, "--count 5 --window 2 --resumed");
    assert!(!is_well, "{text}");
    let seen = ["done", "failed", "other_kind"].map(|name| report[name].as_u64());
    assert_eq!(seen, [0, 5, 5].map(Some), "{text}");
}

#[test]
fn a_server_that_is_not_believed_is_not_met() {
    let (addr, _) = serve("stranger", 2);
    let (_, ca) = serve("believed", 2);
    let (is_well, report, text) = handshakes(&(addr, ca), "--count 3 --window 1");
    assert!(!is_well, "{text}");
    assert_eq!(report["broken"], 3, "{text}");
}

#[test]
fn idle_flows_are_weighed_in_all_processes_that_are_watched() {
    let (addr, ca) = serve("idle", 2);
    let own = std::process::id();
    let line = format!(
        "idle --to {addr} --ca {} --flows 50 --watch {own}",
        ca.display()
    );
    let done = run(&line);
    let text = String::from_utf8(done.stdout).expect("text");
    assert!(text.starts_with("50 idle TLS flows: "), "{text}");
    let done = run(&format!("{line} --watch {own} --json --label memory/twice"));
    let text = String::from_utf8(done.stdout).expect("text");
    let report: Value = serde_json::from_str(&text).expect("a report");
    assert_eq!(
        (&report["label"], &report["flows"]),
        (&"memory/twice".into(), &50.into())
    );
    // A thread of the test with its stack waits for each.
    assert!(
        report["bytes_each"]
            .as_f64()
            .is_some_and(|bytes| bytes > 4_096.0),
        "{text}"
    );
}
