//! An operator adds an edge to a cluster that serves, and takes it out again, in the order and with the
//! commands of the README: nobody is sent to it before it serves, nobody refuses what it sends, and the
//! call that it has ends by itself.

use std::path::PathBuf;
use std::time::Duration;

use crate::init::walk;
use crate::lab::{steadfast, turn};
use crate::node;
use crate::process::{Process, poll};

/// Patience with a start, a word, an end.
const STEP_MAX: Duration = Duration::from_secs(20);
/// Subscribers: that fewer than two of them are given to one of four edges has one chance in a
/// thousand.
const USERS: usize = 32;
/// How long the call is up.
const CALL_SECONDS: u64 = 8;
const MEMBER: &str = "    { name = \"e4\", address = \"127.0.0.24\" },\n";

/// The files of a cluster, and who runs of it.
struct Cluster {
    dir: PathBuf,
    nodes: Vec<Process>,
}

impl Cluster {
    fn file(&self, name: &str) -> PathBuf {
        self.dir.join("first").join(name)
    }

    /// Changes what a file says.
    #[track_caller]
    fn edit(&self, name: &str, from: &str, to: &str) {
        let path = self.file(name);
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert!(text.contains(from), "{name} has no {from:?}: {text}");
        std::fs::write(&path, text.replace(from, to)).expect("it can be written");
    }

    #[track_caller]
    fn run(&mut self, node: &str) {
        let mut run = steadfast();
        run.args(["run", "--config"])
            .arg(self.file(&format!("{node}.toml")));
        let log = self.file(&format!("{node}.log"));
        self.nodes.push(node::start(node, &mut run, log, STEP_MAX));
    }

    /// Has nodes take their files over, as the README says it.
    #[track_caller]
    fn reload(&self, nodes: &[&str]) {
        for node in nodes {
            let command = format!("steadfast reload --node first/{node}.toml");
            let said = walk(&self.dir, &command);
            assert!(!said.contains("wait"), "{node}: {said}");
        }
    }

    /// What a phone is started with that comes to this edge first.
    fn phone(&self, edge: &str) -> String {
        let ca = self.file("ca.pem");
        format!(
            "--password secret --home 127.0.0.20:5061 --resolve edge.example.net={edge}:5061 \
             --transport tls --ca {}",
            ca.display()
        )
    }

    /// Whether a phone of the user is given to e4, which it comes to by no name.
    #[track_caller]
    fn is_given_to_it(&self, user: usize) -> bool {
        let phone = self.phone("127.0.0.21");
        let command = format!("steadfast ua register sip:u{user}@example.net {phone} --once");
        let said = walk(&self.dir, &command);
        assert!(said.contains("ready, with 2 of 2 flows"), "{said}");
        said.contains("registered through 127.0.0.24")
    }

    /// The first two users that are given to it.
    fn given_to_it(&self) -> [usize; 2] {
        let mut users = (0..USERS).filter(|user| self.is_given_to_it(*user));
        let both = users.next().zip(users.next());
        both.expect("some phones are given to the new edge").into()
    }

    fn ua(&self, name: &str, words: &str) -> Process {
        let mut phone = steadfast();
        phone.arg("ua").args(words.split(' '));
        Process::start(name, &mut phone, self.dir.join(name))
    }

    /// Adds e4 in the order of the README.
    fn add(&mut self) {
        let text = std::fs::read_to_string(self.file("e3.toml")).expect("it is there");
        let text = text
            .replace(
                "name = \"e3\"\n",
                "name = \"e4\"\nmetrics = \"127.0.0.24:9090\"\n",
            )
            .replace("\"udp:127.0.0.23:", "\"udp:127.0.0.24:")
            .replace("\"tcp:127.0.0.23:", "\"tcp:127.0.0.24:")
            .replace("\"tls:127.0.0.23:", "\"tls:127.0.0.24:")
            .replace("\"e3.sock\"", "\"e4.sock\"")
            .replace("\"e3.flows\"", "\"e4.flows\"")
            .replace(" },\n]", &format!(" }},\n{MEMBER}]"));
        std::fs::write(self.file("e4.toml"), text).expect("the folder takes files");
        let said = walk(&self.dir, "steadfast check --config first/e4.toml");
        assert!(said.contains("node e4 can be started"), "{said}");
        self.edit(
            "home.toml",
            "\"tls:127.0.0.23\"",
            "\"tls:127.0.0.23\", \"tls:127.0.0.24\"",
        );
        self.reload(&["home"]);
        self.run("e4");
        let ready = "until curl -s -f http://127.0.0.24:9090/readyz; do sleep 0.1; done";
        walk(&self.dir, ready);
        // Until the others list it nobody is sent there.
        assert!(!(0..4).any(|user| self.is_given_to_it(user)));
        let others = ["e1", "e2", "e3"];
        for edge in others {
            let file = format!("{edge}.toml");
            self.edit(&file, " },\n]", &format!(" }},\n{MEMBER}]"));
        }
        self.reload(&others);
        let zone = walk(&self.dir, "steadfast zone --config first/e1.toml");
        assert!(zone.contains("127.0.0.24"), "{zone}");
    }

    /// Marks it as one that leaves.
    fn retire(&self) {
        let all = ["e1", "e2", "e3", "e4"];
        let retires = MEMBER.replace(" },", ", retire = true },");
        for edge in all {
            self.edit(&format!("{edge}.toml"), MEMBER, &retires);
        }
        self.reload(&all);
    }

    /// Takes it out of the files of the others.
    fn take_out(&self) {
        let retires = MEMBER.replace(" },", ", retire = true },");
        let others = ["e1", "e2", "e3"];
        for edge in others {
            self.edit(&format!("{edge}.toml"), &retires, "");
        }
        self.edit("home.toml", ", \"tls:127.0.0.24\"", "");
        self.reload(&others);
        self.reload(&["home"]);
    }
}

fn until(process: &Process, word: &str) {
    let said = poll(STEP_MAX, || process.output().contains(word).then_some(()));
    assert!(said.is_some(), "never {word:?}: {}", process.output());
}

#[test]
fn an_edge_is_added_and_removed_as_the_readme_says() {
    let (_turn, dir) = turn("adding-edge");
    walk(&dir, "steadfast init example.net --dir first");
    let mut cluster = Cluster {
        dir: dir.clone(),
        nodes: Vec::new(),
    };
    let users = (0..=USERS).map(|user| format!("u{user} example.net password=secret\n"));
    let users: String = users.collect();
    std::fs::write(cluster.file("users.txt"), users).expect("it can be written");
    for node in ["home", "e1", "e2", "e3"] {
        cluster.run(node);
    }
    assert!(!cluster.is_given_to_it(0));
    cluster.add();
    // Another phone of the same user and machine would take its registrations.
    let [given, other] = cluster.given_to_it();
    // A call from the edge that leaves to the phone that was given to it.
    let called = format!(
        "listen sip:u{given}@example.net {} --calls 1",
        cluster.phone("127.0.0.21")
    );
    let mut called = cluster.ua("called", &called);
    until(&called, "ready, with 2 of 2 flows");
    let caller = other + 1;
    let call = format!(
        "call sip:u{caller}@example.net sip:u{given}@example.net {} --for {CALL_SECONDS}",
        cluster.phone("127.0.0.24")
    );
    let mut call = cluster.ua("call", &call);
    until(&call, "registered through 127.0.0.24");
    until(&call, "call 1: answered");
    cluster.retire();
    assert!(
        !cluster.is_given_to_it(other),
        "it is given to the edge that leaves"
    );
    let mut leaving = cluster.nodes.pop().expect("it runs");
    leaving.signal("-TERM");
    for phone in [&mut call, &mut called] {
        let end = phone.wait(STEP_MAX);
        if !end.is_some_and(|end| end.success()) {
            let story = "steadfast trace --last-failures --node first || true";
            panic!("{}\n{}", phone.output(), walk(&cluster.dir, story));
        }
    }
    assert!(
        call.output().contains("call 1: ended here"),
        "{}",
        call.output()
    );
    let end = leaving.wait(STEP_MAX);
    assert!(end.is_some_and(|end| end.success()), "{}", leaving.output());
    cluster.take_out();
    assert!(!cluster.is_given_to_it(other));
    drop(cluster);
    std::fs::remove_dir_all(dir).expect("the test's folder can go");
}
