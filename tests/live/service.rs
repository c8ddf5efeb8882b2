//! What a service manager hears of a node on its socket (sd_notify(3)).

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::lab::{steadfast, turn};
use crate::process::{Process, poll};

/// Patience with a start, a word, an end.
const STEP_MAX: Duration = Duration::from_secs(15);
/// The sign of life.
const LIVES: &str = "WATCHDOG=1\n";

/// Where a node says how it is.
struct Manager(UnixDatagram);

impl Manager {
    fn new(socket: &Path) -> Self {
        let socket = UnixDatagram::bind(socket).expect("the folder takes a socket");
        let set = socket.set_read_timeout(Some(STEP_MAX));
        set.expect("a socket takes a time-out");
        Self(socket)
    }

    fn hear(&self) -> String {
        let mut text = [0; 512];
        let len = self.0.recv(&mut text).expect("the node says something");
        String::from_utf8_lossy(&text[..len]).into_owned()
    }

    /// What is said next that is no sign of life.
    fn hear_next(&self) -> String {
        let said = poll(STEP_MAX, || Some(self.hear()).filter(|said| said != LIVES));
        said.expect("the node says something")
    }
}

/// A process that the test has no child of; dropped, it is gone.
struct Heir(String);

impl Heir {
    fn signal(&self, signal: &str) -> bool {
        let told = Command::new("kill").args([signal, &self.0]).status();
        told.is_ok_and(|status| status.success())
    }

    fn is_gone(&self) -> bool {
        !Path::new(&format!("/proc/{}", self.0)).exists()
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        if !self.is_gone() {
            self.signal("-KILL");
        }
    }
}

/// Runs a command of ours for the node; what it says.
#[track_caller]
fn command(dir: &Path, name: &str) -> String {
    let mut command = steadfast();
    command.args([name, "--node", "home.toml"]).current_dir(dir);
    let output = command.output().expect("it runs");
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{wrong}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn start(dir: &Path) -> Process {
    std::fs::write(dir.join("users.txt"), "").expect("the folder takes files");
    let text = "name = \"home\"\nlisten = [\"udp:127.0.0.10:5060\", \"tcp:127.0.0.10:5060\"]\n\
                shards = 2\ncontrol = \"home.sock\"\n[home]\ndomain = \"example.com\"\n\
                subscribers = \"users.txt\"\nedges = \"sip:edge.example.com;lr\"\n\
                edge_peers = [\"127.0.0.11\"]\n";
    std::fs::write(dir.join("home.toml"), text).expect("the folder takes files");
    let mut command = steadfast();
    command
        .args(["run", "--config", "home.toml"])
        .current_dir(dir);
    command
        .env("NOTIFY_SOCKET", dir.join("notify.sock"))
        .env("WATCHDOG_USEC", "400000");
    Process::start("home", &mut command, dir.join("home.log"))
}

#[test]
fn the_manager_hears_that_a_node_is_ready_lives_reloads_and_drains() {
    let (_turn, dir) = turn("service");
    let manager = Manager::new(&dir.join("notify.sock"));
    let mut node = start(&dir);
    assert_eq!(manager.hear(), "READY=1\n");
    assert!(
        node.output().contains("listening for SIP"),
        "{}",
        node.output()
    );
    assert_eq!([manager.hear(), manager.hear()], [LIVES; 2]);
    command(&dir, "reload");
    let reloading = manager.hear_next();
    let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    assert!(
        since.is_some_and(|since| since.trim().parse::<u64>().is_ok()),
        "{reloading:?}"
    );
    assert_eq!(manager.hear_next(), "READY=1\n");
    node.signal("-TERM");
    assert_eq!(manager.hear_next(), "STOPPING=1\n");
    let end = node.wait(STEP_MAX).expect("it ends");
    assert!(end.success(), "{}", node.output());
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}

#[test]
fn the_manager_hears_which_process_goes_on_and_that_it_lives() {
    let (_turn, dir) = turn("service-upgrade");
    let manager = Manager::new(&dir.join("notify.sock"));
    let mut node = start(&dir);
    assert_eq!(manager.hear(), "READY=1\n");
    let said = command(&dir, "upgrade");
    let pid = said
        .strip_prefix("process ")
        .and_then(|rest| rest.split(',').next());
    let heir = Heir(pid.expect("it says which").to_owned());
    // One says who goes on, and the other that it takes traffic.
    let mut said = [manager.hear_next(), manager.hear_next()];
    said.sort_unstable();
    let main = format!("MAINPID={}\n", heir.0);
    assert_eq!(said, [main, "READY=1\n".to_owned()]);
    let end = node.wait(STEP_MAX).expect("the first one ends");
    assert!(end.success(), "{}", node.output());
    assert_eq!([manager.hear(), manager.hear()], [LIVES; 2]);
    assert!(heir.signal("-TERM"), "it runs");
    assert_eq!(manager.hear_next(), "STOPPING=1\n");
    let gone = poll(STEP_MAX, || heir.is_gone().then_some(()));
    assert!(gone.is_some(), "{}", node.output());
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
