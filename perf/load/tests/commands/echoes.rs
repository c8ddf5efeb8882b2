//! Responses that nobody asked for, through a relay that says things twice.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::{free, run};

/// What it does with a response besides relaying it.
type Twist = fn(&[u8]) -> Option<Vec<u8>>;

/// A relay between one phone and its callee, which goes with its test.
struct Echo {
    is_over: Arc<AtomicBool>,
    relaying: Option<JoinHandle<()>>,
}

impl Echo {
    fn start(listen: &str, to: &str, twist: Twist) -> Self {
        let socket = UdpSocket::bind(listen).expect("nobody else has it");
        let patience = Some(Duration::from_millis(20));
        socket.set_read_timeout(patience).expect("a socket option");
        let far: SocketAddr = to.parse().expect("an address");
        let is_over = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_over);
        let relaying = std::thread::spawn(move || {
            let (mut near, mut bytes) = (None, [0; 4_096]);
            while !flag.load(Ordering::Relaxed) {
                let Ok((len, peer)) = socket.recv_from(&mut bytes) else {
                    continue;
                };
                let message = &bytes[..len];
                let send = |to, message: &[u8]| {
                    socket.send_to(message, to).expect("loopback takes it");
                };
                match near {
                    Some(near) if peer == far => {
                        send(near, message);
                        if let Some(more) = twist(message) {
                            send(near, &more);
                        }
                    }
                    _ => {
                        near = Some(peer);
                        send(far, message);
                    }
                }
            }
        });
        Self {
            is_over,
            relaying: Some(relaying),
        }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(relaying) = self.relaying.take() {
            relaying.join().expect("the relay has ended well");
        }
    }
}

/// Twenty calls, one after the other; the report and the responses nobody asked for.
#[track_caller]
fn check(twist: Twist, unasked: u64) {
    let (near, far) = (free(), free());
    let _echo = Echo::start(&near, &far, twist);
    let done = run(&format!(
        "calls --to {near} --callee {far} --count 20 --window 1 --phones 1 --json"
    ));
    let text = String::from_utf8(done.stdout).expect("text");
    let report: Value = serde_json::from_str(&text).expect("a report");
    let seen = ["done", "failed", "retransmitted", "unasked"].map(|name| report[name].as_u64());
    assert_eq!(seen, [20, 0, 0, unasked].map(Some), "{text}");
}

fn is_final(message: &[u8]) -> bool {
    message.starts_with(b"SIP/2.0 200")
}

#[test]
fn a_final_response_is_asked_for_once() {
    // To the INVITE and to the BYE.
    check(|message| is_final(message).then(|| message.to_vec()), 40);
}

#[test]
fn a_provisional_response_may_come_again_before_the_final_one() {
    check(
        |message| {
            message
                .starts_with(b"SIP/2.0 180")
                .then(|| message.to_vec())
        },
        0,
    );
}

#[test]
fn a_provisional_response_after_the_final_one_is_not_asked_for() {
    check(
        |message| {
            let text = String::from_utf8_lossy(message).replacen("200 OK", "183 Late", 1);
            is_final(message).then(|| text.into_bytes())
        },
        40,
    );
}

#[test]
fn a_response_with_the_branch_of_another_request_is_nobodys() {
    check(
        |message| {
            let text =
                String::from_utf8_lossy(message).replacen("branch=z9hG4bK", "branch=z9hG4bKf", 1);
            message
                .starts_with(b"SIP/2.0 180")
                .then(|| text.into_bytes())
        },
        20,
    );
}

#[test]
fn a_response_to_nothing_is_nobodys() {
    check(
        |message| is_final(message).then(|| b"SIP/2.0 200 OK\r\nCSeq: 1 OPTIONS\r\n\r\n".to_vec()),
        40,
    );
}
