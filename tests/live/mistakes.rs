//! A configuration that cannot work: one sentence, status 2, the key and its line.

use crate::lab::{EDGES, Lab, steadfast};

/// What one line of the first edge's file becomes, and the start of the sentence about it.
const MISTAKES: [(&str, &str, &str); 4] = [
    (
        "set_size = 2",
        "set_sise = 2",
        "steadfast: wrong.toml, line 14: [edge] `set_sise` is unknown; did you mean `set_size`?",
    ),
    (
        "set_size = 2",
        "set_size = \"two\"",
        "steadfast: wrong.toml, line 14: [edge] `set_size` must be the number of edges that serve \
         one subscriber, from 1 to 3, and is a text",
    ),
    (
        "cluster.key",
        "other.key",
        "steadfast: wrong.toml, line 15: [edge] `token_key_file` names ",
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
        for verb in ["check", "run"] {
            let mut command = steadfast();
            let run = command.args([verb, "--config"]).arg(&wrong).output();
            let run = run.expect("the program starts");
            let said = String::from_utf8_lossy(&run.stderr);
            println!("{verb}: {}", said.trim_end());
            assert_eq!(run.status.code(), Some(2), "{verb}: {said}");
            assert_eq!(said.lines().count(), 1, "{verb}: {said}");
            assert!(said.starts_with(sentence), "{verb}: {said}");
            assert!(run.stdout.is_empty(), "{verb}: {run:?}");
        }
    }
}

#[test]
fn a_configuration_that_is_not_there_is_named() {
    for verb in ["check", "run"] {
        let mut command = steadfast();
        let run = command
            .args([verb, "--config", "/nowhere/e1.toml"])
            .output();
        let run = run.expect("the program starts");
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(2), "{verb}: {said}");
        let sentence = "steadfast: cannot read the configuration /nowhere/e1.toml: \
                        No such file or directory (os error 2)\n";
        assert_eq!(said, sentence, "{verb}");
    }
}
