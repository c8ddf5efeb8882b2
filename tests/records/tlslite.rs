//! tlslite-ng on the other side, which does what `tlslite_peer.py` has a plan for.

use std::path::Path;
use std::process::Command;

use steadfast_record::{Alert, Failure, Stand};

use crate::ours::{Identity, Ours, SUITES, Suite, listen};
use crate::tool::Tool;

/// Which end tlslite-ng is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

const SIDES: [Side; 2] = [Side::Client, Side::Server];

/// The interpreter that has tlslite-ng; a word on it where there is none.
fn python() -> Option<String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = here.join("target/tlslite/bin/python3");
    let found = python.exists();
    if !found {
        eprintln!("no tlslite-ng in target/tlslite: tests/run installs it");
    }
    found.then(|| python.display().to_string())
}

fn start(side: Side, suite: Suite, identity: &Identity, plan: &str) -> Option<(Ours, Tool)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/records/tlslite_peer.py");
    let (listener, port) = listen();
    let role = match side {
        Side::Client => "client",
        Side::Server => "server",
    };
    let version = if suite.is_new() { "1.3" } else { "1.2" };
    let tool = Tool::start(
        Command::new(python()?)
            .arg(script)
            .args([role, &port.to_string(), version, suite.tlslite])
            .args([identity.file("cert.pem"), identity.file("key.pem")])
            .arg(plan),
    );
    let ours = match side {
        Side::Client => Ours::accept(&listener, identity, suite),
        Side::Server => {
            tool.hear("PORT ");
            let port = tool.hear("\n").trim().parse().unwrap();
            Ours::connect(port, identity, suite)
        }
    };
    Some((ours, tool))
}

/// Says again what is heard, until that were `most` bytes, or to the end of the session.
fn echo(ours: &mut Ours, most: usize) {
    let mut left = most;
    loop {
        let heard = std::mem::take(&mut ours.plain);
        left = left.saturating_sub(heard.len());
        if !heard.is_empty() && ours.stand == Stand::Open {
            ours.say(&heard);
        }
        if left == 0 || ours.stand != Stand::Open || !ours.read() {
            return;
        }
    }
}

/// Plays a plan in these suites, as both ends: how the session ends, and what the peer says last.
#[track_caller]
fn check(plan: &str, suites: &[Suite], want: Stand, last: &str) {
    let identity = Identity::new(&format!("tlslite-{plan}"));
    for (suite, side) in suites
        .iter()
        .flat_map(|&suite| SIDES.map(|side| (suite, side)))
    {
        let Some((mut ours, tool)) = start(side, suite, &identity, plan) else {
            return;
        };
        echo(&mut ours, usize::MAX);
        assert_eq!(ours.stand, want, "{plan} {suite:?} {side:?}");
        drop(ours);
        tool.hear(last);
    }
}

#[test]
fn every_length_is_heard_and_said_in_every_suite() {
    let identity = Identity::new("tlslite-lengths");
    for (suite, side) in SUITES
        .iter()
        .flat_map(|&suite| SIDES.map(|side| (suite, side)))
    {
        let Some((mut ours, tool)) = start(side, suite, &identity, "lengths") else {
            return;
        };
        let most = 1 + 2 + 500 + 16_384 + 16_385 + "behind nothing".len();
        echo(&mut ours, most);
        tool.hear("heard 14\n");
        ours.close();
        tool.hear("closed\n");
    }
}

#[test]
fn what_decent_peers_do_is_borne() {
    // It is slow, so not everything is played with every cipher.
    let new = &SUITES[..1];
    check("goodbye", &SUITES, Stand::Ended, "closed\n");
    let identity = Identity::new("tlslite-decent");
    for (plan, suites) in [
        ("padding", new),
        ("updates", new),
        ("warnings", &SUITES[2..4]),
    ] {
        for (suite, side) in suites
            .iter()
            .flat_map(|&suite| SIDES.map(|side| (suite, side)))
        {
            let Some((mut ours, tool)) = start(side, suite, &identity, plan) else {
                return;
            };
            let most = match plan {
                "padding" => 3 * (1 + 100) + 16_000,
                "updates" => 4 * ("with the next key".len() + "and again".len()),
                _ => "never mind".len(),
            };
            echo(&mut ours, most);
            ours.close();
            tool.hear("closed\n");
        }
    }
}

#[test]
fn what_no_decent_peer_does_ends_the_session_and_it_is_told_why() {
    // It is slow, so not everything is played with every cipher.
    let (new, all, old) = (&SUITES[2..3], &SUITES[2..4], &SUITES[3..4]);
    let mac = (Failure::BadRecordMac, "alert bad_record_mac\n");
    let long = (Failure::RecordOverflow, "alert record_overflow\n");
    let place = (Failure::UnexpectedMessage, "alert unexpected_message\n");
    let read = (Failure::DecodeError, "alert decode_error\n");
    let value = (Failure::IllegalParameter, "alert illegal_parameter\n");
    let unexpected = |why| (why, "alert unexpected_message\n");
    for (plan, suites, (why, last)) in [
        ("forged", &SUITES[..], mac),
        ("repeated", &SUITES[..], mac),
        ("left_out", all, mac),
        ("too_long", all, long),
        ("much_too_long", all, long),
        ("heartbeat", all, place),
        ("change_cipher_spec", all, place),
        ("empty_alert", all, place),
        ("finished_again", all, place),
        ("update_and_more", new, place),
        ("split_by_data", new, place),
        ("long_alert", all, read),
        ("long_update", new, read),
        ("no_update", new, value),
        ("no_update", old, place),
        ("update_flood", new, unexpected(Failure::TooManyMessages)),
        ("empty_flood", all, unexpected(Failure::TooManyEmptyRecords)),
        ("hello", new, place),
    ] {
        check(plan, suites, Stand::Failed(why), last);
    }
    let refused = Failure::Alerted(Alert(40));
    check("fatal", all, Stand::Failed(refused), "cut off\n");
    // The first time it is asked to let it be, the second time shown the door.
    let again = Failure::TooManyRenegotiations;
    check(
        "hello",
        old,
        Stand::Failed(again),
        "alert no_renegotiation\n",
    );
}
