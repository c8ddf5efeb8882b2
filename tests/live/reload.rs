//! What a running node is told to change, it changes without an end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::lab::{EDGES, HOME, Lab, PASSWORD, metric, steadfast, steadfast_load};
use crate::process::{Process, poll};

#[test]
fn a_hang_up_has_the_files_read_again_and_ends_nobody() {
    let lab = Lab::start("hangup");
    let read = |log: &str| log.matches("read the subscribers").count();
    let before = read(&lab.log_until("home", |log| read(log) >= 2));
    let ids = [HOME, EDGES[0]].map(|node| lab.process_of(node));
    for node in [HOME, EDGES[0]] {
        lab.signal("-HUP", node);
    }
    lab.log_until("home", |log| read(log) > before);
    // What is added from here on is noticed as ever.
    let users = lab.path("lab/users.txt");
    let mut text = std::fs::read_to_string(&users).expect("the lab wrote it");
    text.push_str("new example.com password=secret\n");
    std::fs::write(&users, text).expect("a file can be written");
    lab.until_known("new");
    assert_eq!([HOME, EDGES[0]].map(|node| lab.process_of(node)), ids);
    assert!(lab.page("e1", "/healthz").ends_with("shards answer\n"));
}

#[test]
fn a_list_that_cannot_be_used_keeps_the_configuration_from_being_taken_over() {
    let lab = Lab::start("reload-list");
    let users = lab.path("lab/users.txt");
    let text = std::fs::read_to_string(&users).expect("the lab wrote it");
    // Before it is noticed, and after.
    for refusals in 1..=2 {
        write(&users, &format!("{text}x\n"));
        let (code, said) = tell(&lab, "reload", "home");
        assert_eq!(code, Some(1), "{said}");
        assert!(said.starts_with("steadfast: the subscribers in "), "{said}");
        let page = lab.page("home", "/metrics");
        assert_eq!(metric(&page, "steadfast_reloads_refused_total"), refusals);
        lab.log_until("home", |log| log.contains("; the list before it stays"));
    }
    // The right one is taken over with the rest.
    write(&users, &format!("{text}new example.com password=secret\n"));
    assert_eq!(tell(&lab, "reload", "home").0, Some(0));
    lab.until_known("new");
    let page = lab.page("home", "/metrics");
    assert_eq!(metric(&page, "steadfast_reloads_total"), 1);
    assert!(metric(&page, "steadfast_subscribers_reloads_refused_total") > 0);
}

/// How long a node may take to notice that its file has changed.
const TOLD_MAX: Duration = Duration::from_secs(5);
/// From one change to the next.
const PACE: Duration = Duration::from_millis(100);
/// What the edges of the lab may say instead of a line of their files, and the first that
/// cannot be taken over.
const CHANGES: [(&str, &str); 12] = [
    ("set_size = 2", "set_size = 3\nstrangers = \"refuse\""),
    ("set_size = 2", "set_size = 1\nnat_keepalive = \"off\""),
    ("control", "log = \"debug\"\nsource_memory = 4\ncontrol"),
    (
        "address = \"127.0.0.13\"",
        "address = \"127.0.0.13\", retire = true",
    ),
    (
        "set_size = 2",
        "set_size = 2\nhome_domains = [\"example.org\", \"example.com\"]",
    ),
    (
        "127.0.0.10:5060;transport=udp\"",
        "127.0.0.10:5060;transport=udp\", \"sip:127.0.0.19:5060\"",
    ),
    ("flows_max = 20000", "flows_max = 30000"),
    ("set_size = 2", "set_sise = 2"),
    ("set_size = 2", "set_size = ["),
    ("\"e1\"", "\"e2\""),
    ("127.0.0.10:5060", "127.0.0.12:5060"),
    ("cluster.key", "no.key"),
];
/// How many of them can be.
const VALID: usize = 7;

/// Runs `steadfast reload` or `status` for a node; its status, and what it said.
fn tell(lab: &Lab, verb: &str, node: &str) -> (Option<i32>, String) {
    let node = lab.path(&format!("lab/{node}.toml"));
    let run = steadfast().args([verb, "--node"]).arg(node).output();
    let run = run.expect("the program starts");
    let said = [run.stdout, run.stderr].concat();
    (
        run.status.code(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

fn file(lab: &Lab, node: &str) -> (PathBuf, String) {
    let path = lab.path(&format!("lab/{node}.toml"));
    let text = std::fs::read_to_string(&path).expect("the lab wrote it");
    (path, text)
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a file can be written");
}

#[test]
fn a_node_takes_its_file_over_and_says_what_waits_and_what_is_wrong() {
    let lab = Lab::start("reload");
    let (path, text) = file(&lab, "e1");
    let shown = path.display();
    write(
        &path,
        &text
            .replace("set_size = 2", "set_size = 1")
            .replace("20000", "30000"),
    );
    let (code, said) = tell(&lab, "reload", "e1");
    assert_eq!(
        said,
        format!(
            "{shown} is taken over, generation 2; different: [edge] `set_size`\n\
             until a restart these stay as they are: [edge] `flows_max`\n"
        )
    );
    assert_eq!(code, Some(0));
    let (_, status) = tell(&lab, "status", "e1");
    assert!(status.contains("\ngeneration  2\n"), "{status}");
    assert!(
        status.contains("\npending     until a restart: [edge] `flows_max`\n"),
        "{status}"
    );
    write(&path, &text.replace("set_size = 2", "set_size = 9"));
    let (code, said) = tell(&lab, "reload", "e1");
    let sentence = "e1.toml, line 17: [edge] `set_size` must be the number of edges that serve one \
                    subscriber, from 1 to 3, and is 9";
    assert_eq!((code, said), (Some(1), format!("steadfast: {sentence}\n")));
    let (_, status) = tell(&lab, "status", "e1");
    assert!(
        status.contains("\ngeneration  2\n") && status.contains(sentence),
        "{status}"
    );
    lab.log_until("e1", |log| {
        log.contains(&format!("{sentence}; the configuration before it stays"))
    });
    // Each shard counts them.
    let page = lab.page("e1", "/metrics");
    let shards = metric(&page, "steadfast_shards");
    assert_eq!(metric(&page, "steadfast_reloads_refused_total"), shards);
    assert_eq!(metric(&page, "steadfast_reloads_total"), shards);
    // A signal does the same.
    write(&path, &format!("watch = true\n{text}"));
    lab.signal("-HUP", EDGES[0]);
    lab.log_until("e1", |log| log.contains("generation=3"));
    // From here on nobody need say anything. Another file of keys is looked at from then on, once.
    let key = lab.path("lab/cluster.key");
    std::fs::copy(key, lab.path("lab/same.key")).expect("a file can be copied");
    write(
        &path,
        &format!("watch = true\n{}", text.replace("cluster.key", "same.key")),
    );
    lab.log_until("e1", |log| log.contains("generation=4"));
    let key = std::fs::read_to_string(lab.path("lab/same.key")).expect("it is there");
    write(
        &lab.path("lab/same.key"),
        &format!("{key}\n{}\n", "5".repeat(128)),
    );
    lab.log_until("e1", |log| log.contains("generation=5"));
    // What is logged changes before it is said.
    write(&path, &format!("watch = true\nlog = \"error\"\n{text}"));
    let reached = |generation: &str| lab.page("e1", "/status?json").contains(generation);
    assert!(poll(TOLD_MAX, || reached("\"generation\":6,").then_some(())).is_some());
    write(&path, &format!("watch = true\n{text}"));
    let log = lab.log_until("e1", |log| log.contains("generation=7"));
    assert!(!log.contains("generation=6"), "{log}");
    write(&path, &format!("watch = true\n{text}x"));
    lab.log_until("e1", |log| {
        log.matches("the configuration before it stays").count() == 2
    });
    assert!(reached("\"generation\":7,"));
}

#[test]
fn no_call_is_lost_while_configurations_change() {
    let lab = Lab::start("reload-load");
    let nodes = ["e1", "e2", "e3"];
    let files = nodes.map(|node| file(&lab, node));
    let mut load = steadfast_load();
    load.args(["calls-to-registered", "--json", "--password", PASSWORD]);
    for edge in &EDGES[..2] {
        load.args(["--to", &format!("{edge}:5060")]);
    }
    load.args("--phones 60 --count 600 --rate 50 --for 60 --hold 300 --outbound".split(' '));
    let mut load = Process::start("steadfast-load", &mut load, lab.path("load.log"));
    let (mut taken, mut refused, mut round) = (0_u64, 0_u64, 0);
    while load.wait(PACE).is_none() {
        let at = round % nodes.len();
        let (path, text) = &files[at];
        let (from, to) = CHANGES[round % CHANGES.len()];
        assert!(text.contains(from), "{from} in {text}");
        write(path, &text.replacen(from, to, 1));
        let (code, said) = tell(&lab, "reload", nodes[at]);
        let is_valid = round % CHANGES.len() < VALID;
        assert_eq!(code, Some(i32::from(!is_valid)), "{to}: {said}");
        *if is_valid { &mut taken } else { &mut refused } += 1;
        // As it was, so that the next change is one.
        write(path, text);
        round += 1;
    }
    let output = load.output();
    assert!(
        load.ended().is_some_and(|status| status.success()),
        "{output}"
    );
    for whole in [
        "\"attempted\":600",
        "\"done\":600",
        "\"failed\":0",
        "\"misrouted\":0",
    ] {
        assert!(output.replace(' ', "").contains(whole), "{output}");
    }
    assert!(taken >= 7 && refused > 0, "{taken} and {refused} changes");
    let generation = |node| metric(&lab.page(node, "/metrics"), "steadfast_config_generation");
    let counted = nodes.map(|node| generation(node) - 1);
    assert_eq!(counted.iter().sum::<u64>(), taken);
    println!("{taken} changes were taken over, {refused} refused");
}
