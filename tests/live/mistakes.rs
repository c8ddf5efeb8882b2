//! A configuration that cannot work: one sentence, status 2, the key and its line.
//! One that can, and may surprise: the same warning before the start and at it.

use std::path::Path;
use std::time::Duration;

use crate::lab::{EDGES, HOME, Lab, steadfast, turn};
use crate::process::{Process, poll};

/// What one line of the first edge's file becomes, and the start of the sentence about it.
const MISTAKES: [(&str, &str, &str); 4] = [
    (
        "set_size = 2",
        "set_sise = 2",
        "steadfast: wrong.toml, line 17: [edge] `set_sise` is unknown; did you mean `set_size`?",
    ),
    (
        "set_size = 2",
        "set_size = \"two\"",
        "steadfast: wrong.toml, line 17: [edge] `set_size` must be the number of edges that serve \
         one subscriber, from 1 to 3, and is a text",
    ),
    (
        "cluster.key",
        "other.key",
        "steadfast: wrong.toml, line 21: [edge] `token_key_file` names ",
    ),
    // The edge of the lab has it.
    (
        "set_size = 2",
        "set_size = 2",
        "steadfast: wrong.toml, line 2: `listen`: ",
    ),
];

#[test]
fn a_node_that_cannot_run_says_why_in_one_sentence() {
    let lab = Lab::start("mistakes");
    let good = std::fs::read_to_string(lab.path("lab/e1.toml")).expect("the lab wrote it");
    let wrong = lab.path("lab/wrong.toml");
    for (from, to, sentence) in MISTAKES {
        assert!(good.contains(from) && good.contains(EDGES[0]), "{good}");
        std::fs::write(&wrong, good.replace(from, to)).expect("a file can be written");
        for verb in [&["check", "--bind"][..], &["run"]] {
            let mut command = steadfast();
            let run = command.args(verb).arg("--config").arg(&wrong).output();
            let run = run.expect("the program starts");
            let output = String::from_utf8_lossy(&run.stderr);
            println!("{verb:?}: {}", output.trim_end());
            assert_eq!(run.status.code(), Some(2), "{verb:?}: {output}");
            assert_eq!(output.lines().count(), 1, "{verb:?}: {output}");
            assert!(output.starts_with(sentence), "{verb:?}: {output}");
            assert!(run.stdout.is_empty(), "{verb:?}: {run:?}");
        }
    }
    // Beside the node that runs by it a file is as good as elsewhere, and the node goes on.
    std::fs::write(&wrong, &good).expect("a file can be written");
    let run = steadfast().args(["check", "--config"]).arg(&wrong).output();
    let run = run.expect("the program starts");
    assert!(run.status.success(), "{run:?}");
    assert!(lab.page("e1", "/healthz").ends_with("shards answer\n"));
}

/// A home with these lines instead of others, and what `check` and `run` say of it.
const HOMES: [(&str, &str, &str); 3] = [
    ("location.redb", "users.txt", "the store "),
    ("location.redb", "gone/location.redb", "the store "),
    ("users.txt", "sha.txt", "the subscribers in "),
];

#[test]
fn a_home_that_could_not_do_its_work_is_refused() {
    let (_turn, dir) = turn("useless");
    let file = dir.join("n.toml");
    let put = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("it is written");
    put("users.txt", "joe example.com password=secret\n");
    let sha = "0".repeat(64);
    put(
        "sha.txt",
        &format!("ann example.com sha256={sha}\njoe example.com password=x\n"),
    );
    let good = format!(
        "name = \"n\"\nlisten = [\"udp:{HOME}:5060\", \"tcp:{HOME}:5060\"]\nshards = 1\n[home]\n\
         domain = \"example.com\"\nsubscribers = \"users.txt\"\nstore = \"location.redb\"\n\
         edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"127.0.0.11\"]\nalgorithms = [\"MD5\"]\n"
    );
    put("n.toml", &good);
    assert_eq!(checked(&file), "");
    assert!(!dir.join("location.redb").exists(), "nothing was made");
    for (from, to, sentence) in HOMES {
        put("n.toml", &good.replace(from, to));
        for verb in ["check", "run"] {
            let run = steadfast().args([verb, "--config"]).arg(&file).output();
            let run = run.expect("the program starts");
            let output = String::from_utf8_lossy(&run.stderr);
            println!("{verb}: {}", output.trim_end());
            assert_eq!(run.status.code(), Some(2), "{verb}: {output}");
            assert!(
                output.contains(&format!("steadfast: {sentence}")),
                "{verb}: {output}"
            );
        }
    }
    put("n.toml", &format!("control = \"precious\"\n{good}"));
    put("precious", "words");
    for verb in ["check", "run"] {
        let run = steadfast().args([verb, "--config"]).arg(&file).output();
        let run = run.expect("the program starts");
        let output = String::from_utf8_lossy(&run.stderr);
        let why = "a file is there, and no socket: move it away, or name another path";
        assert!(output.trim_end().ends_with(why), "{verb}: {output}");
        let kept = std::fs::read_to_string(dir.join("precious")).expect("it is there");
        assert_eq!(kept, "words");
    }
    std::fs::remove_dir_all(&dir).expect("it is ours");
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    for verb in ["check", "run"] {
        let mut command = steadfast();
        let run = command
            .args([verb, "--config", "/nowhere/e1.toml"])
            .output();
        let run = run.expect("the program starts");
        let output = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{verb}: {output}");
        let sentence = "steadfast: cannot read the configuration /nowhere/e1.toml: \
                        No such file or directory (os error 2)\n";
        assert_eq!(output, sentence, "{verb}");
    }
}

/// What `check` says of a node that can be started, on its standard error.
fn checked(file: &Path) -> String {
    let mut command = steadfast();
    let check = command.args(["check", "--config"]).arg(file).output();
    let check = check.expect("the program starts");
    let output = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.success(), "{output}");
    let ok = format!("{}: ok, node n can be started\n", file.display());
    assert_eq!(String::from_utf8_lossy(&check.stdout), ok);
    output
}

#[test]
fn what_a_node_warns_of_when_it_starts_it_warns_of_before() {
    let (_turn, dir) = turn("warned");
    std::fs::write(dir.join("users.txt"), "").expect("a file can be written");
    std::fs::write(dir.join("key"), [b'5'; 128]).expect("a file can be written");
    let at = HOME;
    let head =
        format!("name = \"n\"\nlisten = [\"udp:{at}:5060\", \"tcp:{at}:5060\"]\nshards = 1\n");
    let home = "[home]\ndomain = \"example.com\"\nsubscribers = \"users.txt\"\n\
                edges = \"sip:edge.example.com;lr\"\nedge_peers = [\"127.0.0.11\"]\n";
    let edge = format!(
        "[edge]\ncluster = \"edge.example.com\"\nhome = [\"sip:127.0.0.99:5060;transport=udp\"]\n\
         members = [{{ name = \"n\", address = \"{at}\" }}]\n"
    );
    let (sealed, kept) = ("token_key_file = \"key\"\n", "flows = \"n.flows\"\n");
    for (role, warning, cure) in [
        (
            home,
            "a restart forgets who is registered",
            "store = \"location.redb\"\n",
        ),
        (
            &format!("{edge}{kept}"),
            "tokens are readable and can be forged",
            sealed,
        ),
        (
            &format!("{edge}{sealed}"),
            "a restart makes this edge deaf to its UDP phones",
            kept,
        ),
    ] {
        let file = dir.join("n.toml");
        let write = |text: String| std::fs::write(&file, text).expect("a file can be written");
        write(format!("{head}{role}{cure}"));
        assert_eq!(checked(&file), "");
        write(format!("{head}{role}"));
        let output = checked(&file);
        let sentence = format!("steadfast: {}: warning: {warning}", file.display());
        assert!(
            output.starts_with(&sentence) && output.lines().count() == 1,
            "{output}"
        );

        let mut command = steadfast();
        let run = command.args(["run", "--config"]).arg(&file);
        let mut node = Process::start("the node", run, dir.join("n.log"));
        let warned = poll(Duration::from_secs(30), || {
            node.output().contains(warning).then_some(())
        });
        assert!(warned.is_some(), "{}", node.last_words());
        node.stop();
    }
    std::fs::remove_dir_all(&dir).expect("the test folder goes");
}

#[test]
fn a_command_of_another_program_says_what_to_write() {
    let arguments = ["load", "calls", "--to", "127.0.0.1:5060", "--help"];
    let run = steadfast().args(arguments).output();
    let run = run.expect("the program starts");
    assert_eq!(
        String::from_utf8_lossy(&run.stderr),
        "steadfast: the load generator is a program of its own, which `cargo build --release -p \
         steadfast-load` makes: write `steadfast-load calls --to 127.0.0.1:5060 --help`\n"
    );
    assert_eq!((run.status.code(), run.stdout.len()), (Some(2), 0));
}
