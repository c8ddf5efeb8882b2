//! What a service manager hears of a node on its socket (sd_notify(3)).

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use crate::lab::{steadfast, turn};
use crate::process::{Process, poll};

/// Patience with a start, a word, an end.
const STEP_MAX: Duration = Duration::from_secs(15);

#[test]
fn the_manager_hears_that_a_node_is_ready_lives_reloads_and_drains() {
    let (_turn, dir) = turn("service");
    let socket = UnixDatagram::bind(dir.join("notify.sock")).expect("the folder takes a socket");
    let set = socket.set_read_timeout(Some(STEP_MAX));
    set.expect("a socket takes a time-out");
    let hear = || {
        let mut text = [0; 512];
        let len = socket.recv(&mut text).expect("the node says something");
        String::from_utf8_lossy(&text[..len]).into_owned()
    };
    // What was said meanwhile, without its signs of life.
    let hear_next = || {
        poll(STEP_MAX, || {
            Some(hear()).filter(|said| said != "WATCHDOG=1\n")
        })
    };
    std::fs::write(dir.join("users.txt"), "").expect("the folder takes files");
    let text = "name = \"home\"\nlisten = [\"udp:127.0.0.10:5060\", \"tcp:127.0.0.10:5060\"]\n\
                shards = 2\ncontrol = \"home.sock\"\n[home]\ndomain = \"example.com\"\n\
                subscribers = \"users.txt\"\nedges = \"sip:edge.example.com;lr\"\n\
                edge_peers = [\"127.0.0.11\"]\n";
    std::fs::write(dir.join("home.toml"), text).expect("the folder takes files");
    let mut command = steadfast();
    command
        .args(["run", "--config", "home.toml"])
        .current_dir(&dir);
    command
        .env("NOTIFY_SOCKET", dir.join("notify.sock"))
        .env("WATCHDOG_USEC", "400000");
    let mut node = Process::start("home", &mut command, dir.join("home.log"));
    assert_eq!(hear(), "READY=1\n");
    assert!(
        node.output().contains("listening for SIP"),
        "{}",
        node.output()
    );
    assert_eq!([hear(), hear()], ["WATCHDOG=1\n"; 2]);
    let reload = steadfast()
        .args(["reload", "--node", "home.toml"])
        .current_dir(&dir)
        .output();
    let reload = reload.expect("it runs");
    assert!(
        reload.status.success(),
        "{}",
        String::from_utf8_lossy(&reload.stderr)
    );
    let reloading = hear_next().expect("it says that it reloads");
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        since.is_some_and(|since| since.trim().parse::<u64>().is_ok()),
        "{reloading:?}"
    );
    assert_eq!(hear_next().as_deref(), Some("READY=1\n"));
    node.signal("-TERM");
    assert_eq!(hear_next().as_deref(), Some("STOPPING=1\n"));
    let end = node.wait(STEP_MAX).expect("it ends");
    assert!(end.success(), "{}", node.output());
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
