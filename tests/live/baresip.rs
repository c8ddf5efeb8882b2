//! Two baresip phones: they register, one calls, the other answers, they hang up.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::lab::{DOMAIN, EDGES, Lab, PASSWORD, PHONES, port};
use crate::process::{Process, poll};

/// How long each step of a call may take.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Where Debian puts baresip's modules, by release.
const MODULES: [&str; 2] = [
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
];

/// Who picks up.
#[derive(Clone, Copy)]
enum Answer {
    Auto,
    Manual,
}

/// A running baresip and its control connection.
struct Phone {
    user: &'static str,
    process: Process,
    control: TcpStream,
    /// Everything it has said on the control connection.
    output: String,
}

impl Phone {
    /// Starts a phone of `user`; `proxies` are the account's outbound parameters.
    fn start(lab: &Lab, user: &'static str, answer: Answer, proxies: &str) -> Self {
        let home = lab.path(user);
        std::fs::create_dir_all(&home).expect("the phone's folder can be made");
        let control = port();
        let mode = match answer {
            Answer::Auto => "auto",
            Answer::Manual => "manual",
        };
        let proxies = match proxies {
            "" => String::new(),
            some => format!(";{some}"),
        };
        let account = format!(
            "<sip:{user}@{DOMAIN}>;auth_user={user};auth_pass={PASSWORD}{proxies};regint=60;answermode={mode}\n"
        );
        for (name, text) in [
            ("config", config(user, control)),
            ("accounts", account),
            ("contacts", String::new()),
        ] {
            std::fs::write(home.join(name), text).expect("the phone's folder can be written");
        }
        // Its trace shares a file with its other words: written line by line, or those would
        // stand in the middle of one.
        let mut command = Command::new("stdbuf");
        command
            .args(["-oL", "baresip", "-4", "-s", "-f"])
            .arg(&home);
        let mut process = Process::start(
            "baresip",
            &mut command,
            lab.path(&format!("{user}.baresip")),
        );
        let connected = poll(STEP_MAX, || match TcpStream::connect((PHONES, control)) {
            Ok(stream) => Some(Some(stream)),
            Err(_not_yet) => process.ended().map(|_gone| None),
        });
        let Some(Some(control)) = connected else {
            panic!(
                "{user}'s baresip has no control port\n{}",
                process.last_words()
            );
        };
        control
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a socket takes a time-out");
        Self {
            user,
            process,
            control,
            output: String::new(),
        }
    }

    /// Sends one command, as a netstring of JSON.
    fn order(&mut self, command: &str, params: &str) {
        let json = format!("{{\"command\":\"{command}\",\"params\":\"{params}\"}}");
        let framed = format!("{}:{json},", json.len());
        self.control
            .write_all(framed.as_bytes())
            .expect("baresip takes a command");
    }

    /// Waits until it has said `word`; `asking` is a command repeated meanwhile.
    #[track_caller]
    fn until(&mut self, word: &str, asking: Option<&str>) {
        let output = poll(STEP_MAX, || {
            if let Some(command) = asking {
                self.order(command, "");
            }
            self.listen();
            self.output.contains(word).then_some(())
        });
        let (user, words) = (self.user, self.process.last_words());
        assert!(
            output.is_some(),
            "{user} never said {word}\n--- events\n{}\n--- baresip\n{words}",
            self.output
        );
    }

    fn listen(&mut self) {
        let mut buffer = [0; 4_096];
        if let Ok(len) = self.control.read(&mut buffer) {
            self.output
                .push_str(&String::from_utf8_lossy(&buffer[..len]));
        }
    }

    /// Waits until the account is registered.
    #[track_caller]
    fn until_registered(&mut self) {
        // The word stands between colours, behind the account's address.
        self.until("mOK ", Some("reginfo"));
    }

    #[track_caller]
    fn until_event(&mut self, kind: &str) {
        self.until(&format!("\"type\":\"{kind}\""), None);
    }

    /// Ends it, and reads in its trace that every message came from an edge or went to one. On
    /// one machine it reaches the other phone's Contact: a call that has lost its route goes on.
    #[track_caller]
    fn end(mut self) {
        self.process.stop();
        let output = self.process.output();
        let ways: Vec<&str> = output.lines().filter(|line| is_way(line)).collect();
        assert!(!ways.is_empty(), "{} has no trace\n{output}", self.user);
        for way in ways {
            let is_edge = |end: &str| {
                EDGES
                    .iter()
                    .any(|edge| end.starts_with(&format!("{edge}:")))
            };
            assert!(
                way.split(' ').any(is_edge),
                "{} went past the edges: {way}\n{output}",
                self.user
            );
        }
    }
}

/// Whether a line of the trace says from where to where a message went.
fn is_way(line: &str) -> bool {
    line.contains(" -> ")
        && ["UDP ", "TCP ", "TLS "]
            .iter()
            .any(|word| line.starts_with(word))
}

/// The template with the ports and names of one phone.
fn config(user: &str, control: u16) -> String {
    let modules = MODULES.into_iter().find(|path| Path::new(path).is_dir());
    let modules =
        modules.expect("baresip has modules: tests/run installs what the live tests need");
    let (sip, rtp) = (port(), port());
    let words = [
        ("@user@", user.to_owned()),
        ("@address@", "127.0.0.1".to_owned()),
        ("@sip@", sip.to_string()),
        ("@control@", control.to_string()),
        ("@rtp_first@", rtp.to_string()),
        ("@rtp_last@", (rtp + 3).to_string()),
        ("@modules@", modules.to_owned()),
    ];
    let template = include_str!("baresip/config").to_owned();
    words
        .iter()
        .fold(template, |text, (word, value)| text.replace(word, value))
}

/// Joe calls ann, who answers at once; then joe hangs up.
fn call(test: &str, proxies: [&str; 2]) {
    let lab = Lab::start(test);
    let mut joe = Phone::start(&lab, "joe", Answer::Manual, proxies[0]);
    let mut ann = Phone::start(&lab, "ann", Answer::Auto, proxies[1]);
    joe.until_registered();
    ann.until_registered();
    joe.order("dial", &format!("sip:ann@{DOMAIN}"));
    joe.until_event("CALL_ESTABLISHED");
    ann.until_event("CALL_ESTABLISHED");
    joe.order("hangup", "");
    joe.until_event("CALL_CLOSED");
    ann.until_event("CALL_CLOSED");
    joe.end();
    ann.end();
    println!("{test}: joe and ann registered, talked and hung up");
}

/// One proxy, no outbound.
fn plain(edge: &str, transport: &str) -> String {
    format!("outbound=\"sip:{edge};transport={transport}\"")
}

#[test]
fn baresip_calls_baresip_over_udp() {
    call(
        "baresip-udp",
        [&plain(EDGES[0], "udp"), &plain(EDGES[1], "udp")],
    );
}

#[test]
fn baresip_calls_baresip_over_tcp() {
    call(
        "baresip-tcp",
        [&plain(EDGES[0], "tcp"), &plain(EDGES[1], "tcp")],
    );
}

// RFC 5626: reg-id 1 and 2 of one instance, each through its own edge.
#[test]
fn baresip_calls_baresip_with_two_flows_each() {
    let flows = |first: &str, second: &str| {
        format!(
            "outbound=\"sip:{first};transport=udp\";outbound2=\"sip:{second};transport=udp\";sipnat=outbound"
        )
    };
    call(
        "baresip-outbound",
        [&flows(EDGES[0], EDGES[1]), &flows(EDGES[1], EDGES[2])],
    );
}

// A phone that knows its domain, its password and a name server: SRV leads it to the edges.
#[test]
fn baresip_finds_the_edges_by_the_name_of_its_domain() {
    let lab = Lab::start("baresip-srv");
    let mut joe = Phone::start(&lab, "joe", Answer::Manual, "");
    let mut ann = Phone::start(&lab, "ann", Answer::Auto, "");
    joe.until_registered();
    ann.until_registered();
    let bindings = lab.page("home", "/bindings?aor=sip:joe@example.com&json");
    assert!(bindings.contains("edge.example.com"), "{bindings}");
    joe.order("dial", &format!("sip:ann@{DOMAIN}"));
    joe.until_event("CALL_ESTABLISHED");
    ann.until_event("CALL_ESTABLISHED");
    joe.order("hangup", "");
    joe.until_event("CALL_CLOSED");
    ann.until_event("CALL_CLOSED");
    joe.end();
    ann.end();
}
