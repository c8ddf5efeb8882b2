//! Registrations, with a registrar that says everything twice.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;

use crate::run;

#[test]
fn a_registrar_that_answers_twice_is_seen() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
    let patience = Some(Duration::from_millis(20));
    socket.set_read_timeout(patience).expect("a socket option");
    let addr = socket.local_addr().expect("it is bound");
    let is_over = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_over);
    let answering = std::thread::spawn(move || {
        let mut bytes = [0; 4_096];
        while !flag.load(Ordering::Relaxed) {
            let Ok((len, peer)) = socket.recv_from(&mut bytes) else {
                continue;
            };
            let request = String::from_utf8_lossy(&bytes[..len]);
            let kept = ["Via:", "From:", "To:", "Call-ID:", "CSeq:"];
            let lines = request
                .lines()
                .filter(|line| kept.iter().any(|name| line.starts_with(name)));
            let lines: Vec<&str> = lines.collect();
            let answer = format!("SIP/2.0 200 OK\r\n{}\r\n\r\n", lines.join("\r\n"));
            for _ in 0..2 {
                let sent = socket.send_to(answer.as_bytes(), peer);
                sent.expect("loopback takes it");
            }
        }
    });
    let done = run(&format!(
        "registrations --to {addr} --count 30 --window 3 --phones 5 --json"
    ));
    is_over.store(true, Ordering::Relaxed);
    answering.join().expect("it has ended well");
    let text = String::from_utf8(done.stdout).expect("text");
    let report: Value = serde_json::from_str(&text).expect("a report");
    let seen = ["done", "failed", "unasked"].map(|name| report[name].as_u64());
    assert_eq!(seen, [30, 0, 30].map(Some), "{text}");
}
