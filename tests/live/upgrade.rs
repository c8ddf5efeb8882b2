//! A node goes on in another process, and nobody notices: no connection ends, no phone registers
//! again, no call is lost.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use steadfast::agent::Command;
use steadfast::id::Transport;
use steadfast::send::{Event, Party};
use steadfast::time::Instant;

use crate::crowd::Crowd;
use crate::lab::{DOMAIN, EDGES, Lab, load_user, metric, steadfast};
use crate::process::poll;
use crate::records::{ask, phone};

/// Phones of each transport: the first half calls the second.
const PHONES: usize = 4;
/// How long a step of all phones may take.
const STEP_MAX: Duration = Duration::from_secs(60);

/// Has a node go on in another process, whose number it returns.
#[track_caller]
fn go_on(lab: &Lab, node: &str) -> String {
    let (code, said) = upgrade(lab, node, &[]);
    assert_eq!(code, Some(0), "{said}");
    println!("{node}: {}", said.trim_end());
    let process = said
        .strip_prefix("process ")
        .and_then(|rest| rest.split(',').next());
    process.expect("it says which").to_owned()
}

/// Runs `steadfast upgrade` for a node; its status, and what it said.
fn upgrade(lab: &Lab, node: &str, more: &[&str]) -> (Option<i32>, String) {
    let node = lab.path(&format!("lab/{node}.toml"));
    let mut command = steadfast();
    command.args(["upgrade", "--node"]).arg(node).args(more);
    let run = command.output().expect("the program starts");
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    (run.status.code(), said)
}

/// A program that does what a line of the shell says.
fn program(lab: &Lab, name: &str, script: &str) -> String {
    let path: PathBuf = lab.path(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a file can be written");
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
    path.display().to_string()
}

fn all_heard(crowd: &mut Crowd, phones: &[usize], since: Instant, is_it: fn(&Event) -> bool) {
    let heard = |crowd: &Crowd, phone: &usize| crowd.heard(*phone, since, is_it).is_some();
    let all = crowd.until(STEP_MAX, |crowd| phones.iter().all(|it| heard(crowd, it)));
    let left = phones.iter().find(|it| !heard(crowd, it));
    assert!(all, "{:?}", left.map(|phone| crowd.events(*phone)));
}

const CALLERS: [usize; 2] = [0, 1];
const CALLED: [usize; 2] = [2, 3];
const ALL: [usize; PHONES] = [0, 1, 2, 3];

/// The phones register and call: `first` is the number of the first one.
fn begin(lab: &Lab, first: usize, transport: Transport) -> Crowd {
    let mut crowd = Crowd::new(lab, first, PHONES, transport, EDGES[0]);
    for phone in ALL {
        crowd.command(phone, Command::Register);
    }
    all_heard(&mut crowd, &ALL, Instant::ZERO, |event| {
        matches!(event, Event::Registered { flows: 2, .. })
    });
    call_all(&mut crowd, first);
    crowd
}

fn call_all(crowd: &mut Crowd, first: usize) {
    let since = crowd.now();
    for (caller, called) in CALLERS.into_iter().zip(CALLED) {
        let target = format!("sip:{}@{DOMAIN}", load_user(first + called));
        crowd.command(caller, Command::Call(target));
    }
    all_heard(crowd, &ALL, since, |event| {
        matches!(event, Event::Established { .. })
    });
}

/// The calls are renewed by one side each, which the other one must get.
fn renew_all(crowd: &mut Crowd) {
    let since = crowd.now();
    for phone in [CALLERS[0], CALLED[1]] {
        crowd.command(phone, Command::Renew);
    }
    all_heard(crowd, &[CALLERS[0], CALLED[1]], since, |event| {
        matches!(event, Event::Renewed { .. })
    });
}

fn hang_up_all(crowd: &mut Crowd) {
    let since = crowd.now();
    let sides = [CALLERS[0], CALLED[1]];
    for phone in sides {
        crowd.command(phone, Command::Hangup);
    }
    all_heard(crowd, &ALL, since, |event| {
        matches!(
            event,
            Event::Ended {
                by: Party::Us | Party::Them,
                ..
            }
        )
    });
}

/// No phone has lost a flow, or had to register again, since then.
#[track_caller]
fn nobody_noticed(crowd: &Crowd, since: Instant) {
    for phone in ALL {
        let events = crowd.events(phone).iter().filter(|(at, _)| *at >= since);
        let mut noticed = events.filter(|(_, event)| {
            matches!(
                event,
                Event::FlowLost { .. }
                    | Event::Registered { .. }
                    | Event::Refreshed { .. }
                    | Event::NotRegistered { .. }
                    | Event::Failed { .. }
                    | Event::Switched { .. }
            )
        });
        assert_eq!(noticed.next(), None);
    }
}

#[test]
fn calls_and_sessions_go_on_through_two_upgrades_and_one_that_fails() {
    let lab = Lab::start_with("upgrade", &["--tls"]);
    let mut processes = Vec::new();
    let mut sessions = [
        phone(&lab, EDGES[0], &["-tls1_3"]),
        phone(&lab, EDGES[0], &["-tls1_2"]),
    ];
    for session in &mut sessions {
        ask(session, 1);
    }
    let transports = [Transport::Udp, Transport::Tcp, Transport::Tls];
    let mut crowds: Vec<_> = (1..)
        .step_by(PHONES)
        .zip(transports)
        .map(|(first, transport)| (first, begin(&lab, first, transport)))
        .collect();
    let since: Vec<_> = crowds.iter().map(|(_, crowd)| crowd.now()).collect();
    for round in 1..=2 {
        for node in ["e1", "home"] {
            let process = go_on(&lab, node);
            lab.until_said(&format!("{node} goes on in process {process}."));
            processes.push(process);
        }
        for session in &mut sessions {
            ask(session, 10 * round);
        }
        sessions[0].tell(b"K\n");
        sessions[0].hear("KEYUPDATE");
        ask(&mut sessions[0], 10 * round + 1);
        for (_, crowd) in &mut crowds {
            renew_all(crowd);
        }
    }
    refuses(&lab);
    for (first, crowd) in &mut crowds {
        hang_up_all(crowd);
        call_all(crowd, *first);
        hang_up_all(crowd);
    }
    for ((_, crowd), since) in crowds.iter().zip(since) {
        nobody_noticed(crowd, since);
    }
    // The process that has the flows has seen no handshake of a phone.
    let page = lab.page("e1", "/metrics");
    assert_eq!(metric(&page, "steadfast_tls_accepted_total"), 0);
    assert!(metric(&page, "steadfast_streams") > 2 * 3, "{page}");
    lab.log_until("home", |log| !log.contains("the store cannot be written"));
    // The lab ends what its nodes go on in, as it ends them.
    drop(lab);
    for process in processes {
        let is_gone = || (!Path::new("/proc").join(&process).exists()).then_some(());
        assert!(poll(STEP_MAX, is_gone).is_some(), "{process} is left");
    }
}

/// Programs that cannot go on, and what is said of each; the node goes on.
fn refuses(lab: &Lab) {
    let status = lab.page("e1", "/status");
    let digest = status.split_once("digest      ").map(|(_, rest)| rest);
    let digest = digest.and_then(|rest| rest.lines().next()).expect("a line");
    let says = |state: &str, digest: &str| {
        format!("printf 'hello\\nversion 9.9\\nstate {state}\\nshards 1\\ndigest {digest}\\n' >&0")
    };
    let version = steadfast::carry::VERSION;
    let fits = format!("{version} {version}");
    let later = format!("{} {}", version + 1, version + 9);
    for (name, script, sentence) in [
        ("broken", "exit 7".to_owned(), "(exit status: 7)"),
        (
            "foreign",
            "printf nonsense >&0; sleep 60".to_owned(),
            "no program that could go on",
        ),
        (
            "says-no",
            "printf 'no e1.toml, line 1: bad' >&0".to_owned(),
            "it says: e1.toml, line 1: bad",
        ),
        ("new", says(&later, digest), "is too new to go on"),
        ("other", says(&fits, "ab"), "steadfast reload"),
        // These die with all that the node has in their hands.
        (
            "dies",
            format!("{}\nexit 3", says(&fits, digest)),
            "which goes on as before",
        ),
        (
            "silent",
            format!("{}\nexec sleep 60", says(&fits, digest)),
            "nothing was heard of it",
        ),
    ] {
        let binary = program(lab, name, &script);
        let (code, said) = upgrade(lab, "e1", &["--binary", &binary]);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!(said.contains(sentence), "{name}: {said}");
    }
    let (code, said) = upgrade(lab, "e1", &["--binary", "/no/such/file"]);
    assert!(
        code == Some(1) && said.contains("cannot be started"),
        "{said}"
    );
}
