//! SIPp as a phone: one process per phone, judged by its own statistics.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use crate::lab::{DOMAIN, Lab, PASSWORD, PHONES, listens, port};
use crate::process::{Process, poll, tail};

/// How long a run of a few calls may take.
const RUN_MAX: Duration = Duration::from_secs(15);
/// How long a process may take to listen, or a held registration to be there.
const START_MAX: Duration = Duration::from_secs(5);

/// How the phone reaches its proxy.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// One UDP port for everything.
    Udp,
    /// One TCP connection for everything.
    Tcp,
}

/// A SIPp run in preparation.
pub(crate) struct Sipp<'a> {
    lab: &'a Lab,
    scenario: &'static str,
    user: &'static str,
    peer: &'static str,
    port: u16,
    calls: u32,
    limit: Duration,
    /// Contact parameters of a registration; SIPp must find the key even if unused.
    params: String,
    route: String,
    edits: Vec<(&'static str, String)>,
    more: Vec<String>,
    remote: Option<&'static str>,
}

/// A SIPp process at work.
pub(crate) struct Running {
    process: Process,
    files: Files,
    calls: u32,
    limit: Duration,
}

struct Files {
    name: String,
    command: String,
    errors: PathBuf,
    messages: PathBuf,
    stats: PathBuf,
    log: PathBuf,
}

impl<'a> Sipp<'a> {
    /// A phone of `user` that runs `scenarios/<scenario>.xml`, once, from a fresh port.
    pub(crate) fn new(lab: &'a Lab, scenario: &'static str, user: &'static str) -> Self {
        let peer = if user == "ann" { "joe" } else { "ann" };
        let (params, route) = (String::new(), String::new());
        let (edits, more) = (Vec::new(), Vec::new());
        Self {
            lab,
            scenario,
            user,
            peer,
            port: port(),
            calls: 1,
            limit: RUN_MAX,
            params,
            route,
            edits,
            more,
            remote: None,
        }
    }

    /// Where it sends its requests.
    pub(crate) fn to(mut self, address: &'static str) -> Self {
        self.remote = Some(address);
        self
    }

    /// The local port, for a phone that was there before.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Over UDP (the default) or TCP.
    pub(crate) fn over(self, transport: Transport) -> Self {
        match transport {
            Transport::Udp => self,
            Transport::Tcp => self.option("-t", "t1"),
        }
    }

    /// How many calls, and how long they may take together.
    pub(crate) fn calls(mut self, calls: u32, limit: Duration) -> Self {
        (self.calls, self.limit) = (calls, limit);
        self
    }

    /// Parameters behind the Contact URI.
    pub(crate) fn params(mut self, params: &str) -> Self {
        self.params = params.to_owned();
        self
    }

    /// The Route of a registration on a backup flow.
    pub(crate) fn route(mut self, route: &str) -> Self {
        self.route = route.to_owned();
        self
    }

    /// The status a refusal must have.
    pub(crate) fn refusal(mut self, status: u16) -> Self {
        self.edits
            .push(("response=\"486\"", format!("response=\"{status}\"")));
        self
    }

    /// Any other option of SIPp.
    pub(crate) fn option(mut self, name: &str, value: &str) -> Self {
        self.more.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Runs it to its end; returns what the scenario logged.
    #[track_caller]
    pub(crate) fn run(self) -> String {
        self.start().finish()
    }

    /// Starts it and returns once it listens.
    #[track_caller]
    pub(crate) fn listen(self) -> Running {
        let port = self.port;
        let running = self.start();
        assert!(
            listens(port, START_MAX),
            "nobody listens on {port}\n{}",
            running.evidence()
        );
        running
    }

    /// Starts it; it works beside the test.
    pub(crate) fn start(self) -> Running {
        let stem = format!("{}-{}-{}", self.scenario, self.user, self.port);
        let file = |kind: &str| self.lab.path(&format!("{stem}.{kind}"));
        let mut command = Command::new("sipp");
        if let Some(remote) = self.remote {
            command.arg(format!("{remote}:5060"));
        }
        command.arg("-sf").arg(self.scenario_file(file("xml")));
        let seconds = format!("{}s", self.limit.as_secs());
        let (port, media, calls) = (
            self.port.to_string(),
            (self.port + 1).to_string(),
            self.calls.to_string(),
        );
        command.args(["-i", PHONES, "-p", &port, "-mp", &media, "-m", &calls]);
        command.args([
            "-nostdin",
            "-timeout",
            &seconds,
            "-timeout_error",
            "-buff_size",
            "2097152",
        ]);
        command.args([
            "-s",
            self.user,
            "-au",
            self.user,
            "-ap",
            PASSWORD,
            "-auth_uri",
            DOMAIN,
        ]);
        command.args([
            "-key",
            "peer",
            self.peer,
            "-key",
            "params",
            &self.params,
            "-key",
            "route",
            &self.route,
        ]);
        command
            .args(["-trace_stat", "-fd", "1", "-stf"])
            .arg(file("csv"));
        command.args(["-trace_err", "-error_file"]).arg(file("err"));
        command.args(["-trace_logs", "-log_file"]).arg(file("log"));
        if self.calls == 1 {
            command
                .args(["-trace_msg", "-message_file"])
                .arg(file("msg"));
        }
        command.args(&self.more).current_dir(self.lab.path(""));
        let files = Files {
            command: format!("{command:?}"),
            errors: file("err"),
            messages: file("msg"),
            stats: file("csv"),
            log: file("log"),
            name: stem.clone(),
        };
        let process = Process::start("sipp", &mut command, file("out"));
        Running {
            process,
            files,
            calls: self.calls,
            limit: self.limit,
        }
    }

    /// The scenario as it is, or an edited copy.
    fn scenario_file(&self, copy: PathBuf) -> PathBuf {
        let original = scenario_path(self.scenario);
        if self.edits.is_empty() {
            return original;
        }
        let mut text = std::fs::read_to_string(&original).expect("the scenario is there");
        for (from, to) in &self.edits {
            assert!(text.contains(from), "{} has no {from}", self.scenario);
            text = text.replace(from, to);
        }
        std::fs::write(&copy, text).expect("the edited scenario can be written");
        copy
    }
}

impl Running {
    /// Waits for its end and insists on a clean one; returns what the scenario logged.
    #[track_caller]
    pub(crate) fn finish(mut self) -> String {
        let end = self.process.wait(self.limit + START_MAX);
        let Some(end) = end else {
            panic!("{} does not end\n{}", self.files.name, self.evidence())
        };
        assert!(
            end.success(),
            "{}: {end}\n{}",
            self.files.name,
            self.evidence()
        );
        let calls = u64::from(self.calls);
        let wanted = [
            ("SuccessfulCall(C)", calls),
            ("FailedCall(C)", 0),
            ("Retransmissions(C)", 0),
            ("OutOfCallMsgs(C)", 0),
            ("DeadCallMsgs(C)", 0),
        ];
        let stats = tail(&self.files.stats, usize::MAX);
        for (name, want) in wanted {
            let got = last_value(&stats, name);
            assert_eq!(
                got,
                Some(want),
                "{}: {name}\n{}",
                self.files.name,
                self.evidence()
            );
        }
        println!(
            "{}: {calls} done, nothing failed, nothing sent twice",
            self.files.name
        );
        tail(&self.files.log, usize::MAX)
    }

    /// Waits until the scenario has logged `word`.
    #[track_caller]
    pub(crate) fn until_logged(mut self, word: &str) -> Self {
        let seen = poll(START_MAX, || {
            let logged = tail(&self.files.log, usize::MAX).contains(word);
            (logged || self.process.ended().is_some()).then_some(logged)
        });
        assert_eq!(
            seen,
            Some(true),
            "{} never logged {word}\n{}",
            self.files.name,
            self.evidence()
        );
        self
    }

    fn evidence(&self) -> String {
        format!(
            "--- command\n{}\n--- errors\n{}\n--- last messages\n{}\n--- screen\n{}",
            self.files.command,
            tail(&self.files.errors, 4_000),
            tail(&self.files.messages, 6_000),
            self.process.last_words(),
        )
    }
}

/// Where the scenario of that name lies.
pub(crate) fn scenario_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/live/scenarios")
        .join(format!("{name}.xml"))
}

/// The value of a column in the last row of SIPp's statistics.
fn last_value(stats: &str, name: &str) -> Option<u64> {
    let mut rows = stats.lines().filter(|row| !row.is_empty());
    let column = rows.next()?.split(';').position(|title| title == name)?;
    rows.next_back()?.split(';').nth(column)?.parse().ok()
}

#[test]
fn the_last_row_of_the_statistics_counts() {
    let stats = "Start;FailedCall(P);FailedCall(C);\nx;1;1;\nx;0;7;\n";
    assert_eq!(last_value(stats, "FailedCall(C)"), Some(7));
    assert_eq!(last_value(stats, "Retransmissions(C)"), None);
    assert_eq!(last_value("Start;FailedCall(C);\n", "FailedCall(C)"), None);
}
