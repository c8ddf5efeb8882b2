//! openssl on the other side: `s_client` and `s_server`, steered by what is typed.

use std::process::Command;

use steadfast_record::Stand;

use crate::ours::{Identity, Ours, SUITES, Suite, listen};
use crate::tool::Tool;

/// What each says when it has updated its key.
const BY_CLIENT: &str = "KEYUPDATE\n";
const BY_SERVER: &str = "SSL_do_handshake -> 1\n";

fn command(kind: &str, suite: Suite) -> Command {
    // Some of what it says would wait in a buffer of libc's.
    let mut command = Command::new("stdbuf");
    command.args(["-oL", "openssl", kind]);
    if suite.is_new() {
        command.args(["-tls1_3", "-ciphersuites", suite.openssl]);
    } else {
        command.args(["-tls1_2", "-cipher", suite.openssl]);
    }
    command
}

/// openssl as the client of ours.
fn client(identity: &Identity, suite: Suite, more: &[&str]) -> (Ours, Tool) {
    let (listener, port) = listen();
    let tool = Tool::start(
        command("s_client", suite)
            .args(["-connect", &format!("127.0.0.1:{port}")])
            .args(["-CAfile", &identity.file("cert.pem")])
            .args(more),
    );
    (Ours::accept(&listener, identity, suite), tool)
}

/// openssl as the server of ours.
fn server(identity: &Identity, suite: Suite, more: &[&str]) -> (Ours, Tool) {
    let tool = Tool::start(
        command("s_server", suite)
            .args(["-accept", "127.0.0.1:0", "-naccept", "1"])
            .args(["-cert", &identity.file("cert.pem")])
            .args(["-key", &identity.file("key.pem")])
            .args(more),
    );
    tool.hear("ACCEPT ");
    let line = tool.hear("\n");
    let port = line.trim().rsplit(':').next().unwrap().parse().unwrap();
    (Ours::connect(port, identity, suite), tool)
}

/// Lines to and fro, with key updates of both kinds where there are such.
///
/// What is typed behind a command before it is read is lost, so its answer is waited for.
fn talk(mut ours: Ours, mut tool: Tool, suite: Suite, updated: &str) {
    for round in 0..4 {
        tool.tell(format!("INVITE {round}\n").as_bytes());
        ours.hear(&format!("INVITE {round}\n"));
        ours.say(format!("200 OK {round}.\n").as_bytes());
        tool.hear(&format!("200 OK {round}.\n"));
        if suite.is_new() {
            // K: with a request for ours; k: without.
            tool.tell(if round % 2 == 0 { b"K\n" } else { b"k\n" });
            tool.hear(updated);
        }
        ours = ours.hand_over();
    }
    // Longer than a record, of both sides.
    let long = vec![b'x'; 40_000];
    ours.say(&long);
    ours.say(b"end of it\n");
    let said = tool.hear("end of it\n");
    assert_eq!(said.matches("xxxxxxxxxx").count(), 4_000);
    tool.tell(&long);
    tool.tell(b"\nover\n");
    ours.hear(&format!("{}\nover\n", "x".repeat(40_000)));
    if updated == BY_CLIENT {
        tool.tell(b"Q\n");
        ours.hear_out();
        assert_eq!(ours.stand, Stand::Ended);
    }
    // A server says goodbye when it has heard one.
    ours.close();
    assert_eq!(ours.stand, Stand::Ended);
}

#[test]
fn openssl_is_served_in_every_suite() {
    let identity = Identity::new("openssl-client");
    for suite in SUITES {
        let (ours, tool) = client(&identity, suite, &[]);
        talk(ours, tool, suite, BY_CLIENT);
    }
}

#[test]
fn openssl_serves_in_every_suite_and_its_tickets_are_read() {
    let identity = Identity::new("openssl-server");
    for suite in SUITES {
        let (ours, tool) = server(&identity, suite, &["-num_tickets", "3"]);
        let is_new = suite.is_new();
        let (mut ours, mut tool) = (ours, tool);
        tool.tell(b"hello\n");
        ours.hear("hello\n");
        assert_eq!(ours.ticket_count, if is_new { 3 } else { 0 });
        talk(ours, tool, suite, BY_SERVER);
    }
}

#[test]
fn padding_and_pieces_of_openssl_are_read() {
    let identity = Identity::new("openssl-padding");
    for more in [
        &["-record_padding", "16384"][..],
        &["-record_padding", "333"],
        // Tickets come in several records then, and are left out.
        &["-max_send_frag", "512", "-split_send_frag", "512"],
    ] {
        let (ours, tool) = client(&identity, SUITES[0], more);
        talk(ours, tool, SUITES[0], BY_CLIENT);
        let (ours, tool) = server(&identity, SUITES[1], more);
        talk(ours, tool, SUITES[1], BY_SERVER);
    }
}

#[test]
fn openssl_may_not_negotiate_anew() {
    let identity = Identity::new("openssl-anew");
    for suite in &SUITES[3..] {
        let (mut ours, mut tool) = client(&identity, *suite, &[]);
        tool.tell(b"before\n");
        ours.hear("before\n");
        tool.tell(b"R\n");
        // It ends the session, as it may: what counts is that it was told.
        ours.hear_out();
        tool.hear("no renegotiation");
        let (mut ours, mut tool) = server(&identity, *suite, &[]);
        tool.tell(b"before\n");
        ours.hear("before\n");
        tool.tell(b"r\n");
        ours.hear_out();
        tool.hear("no renegotiation");
    }
}

#[test]
fn openssl_is_told_why() {
    let identity = Identity::new("openssl-told");
    for suite in SUITES {
        // Asks for a certificate after the handshake, which nobody has offered to show.
        if suite.is_new() {
            let (mut ours, mut tool) = server(&identity, suite, &[]);
            ours.say(b"hello\n");
            tool.hear("hello\n");
            tool.tell(b"c\n");
            // It knows that by itself.
            tool.hear("extension not received");
            ours.say(b"still there\n");
            tool.hear("still there\n");
        }
        // Who leaves without a word is not taken for one who has said goodbye.
        let (mut ours, mut tool) = client(&identity, suite, &[]);
        tool.tell(b"cut off\n");
        ours.hear("cut off\n");
        drop(tool);
        ours.hear_out();
        assert_eq!(ours.stand, Stand::Open);
    }
}
