//! Which configuration the node goes by.

use std::fmt::Write as _;

use super::json::quoted;
use crate::control::reload::Status;

/// A line a fact.
pub(super) fn words(node: &str, status: &Status) -> String {
    let mut out = String::new();
    let mut line = |what: &str, says: &dyn std::fmt::Display| {
        let written = writeln!(out, "{what:<12}{says}");
        debug_assert!(written.is_ok(), "a String takes every character");
    };
    line("node", &node);
    line("file", &status.file.display());
    line("digest", &status.digest);
    line("generation", &status.generation);
    let age = status.since.elapsed().as_secs();
    line("since", &format_args!("{age} s ago"));
    match &status.pending[..] {
        [] => line("pending", &"nothing waits for a restart"),
        keys => line(
            "pending",
            &format_args!("until a restart: {}", keys.join(", ")),
        ),
    }
    if status.behind > 0 {
        line(
            "behind",
            &format_args!("{} shards have not taken it over yet", status.behind),
        );
    }
    if let Some((at, why)) = &status.refused {
        let age = at.elapsed().as_secs();
        line("refused", &format_args!("{age} s ago: {why}"));
    }
    out
}

/// The same for programs.
pub(super) fn json(node: &str, status: &Status) -> String {
    let pending: Vec<_> = status.pending.iter().map(|key| quoted(key)).collect();
    let refused = match &status.refused {
        Some((at, why)) => format!(
            "{{\"seconds_ago\":{},\"why\":{}}}",
            at.elapsed().as_secs(),
            quoted(why)
        ),
        None => "null".to_owned(),
    };
    format!(
        "{{\"node\":{},\"file\":{},\"digest\":{},\"generation\":{},\"seconds\":{},\"pending\":[{}],\
         \"behind\":{},\"refusals\":{},\"refused\":{refused}}}\n",
        quoted(node),
        quoted(&status.file.display().to_string()),
        quoted(&status.digest),
        status.generation,
        status.since.elapsed().as_secs(),
        pending.join(","),
        status.behind,
        status.refusals,
    )
}

/// What whoever had it taken over is told; `changed`: the keys that are different.
pub(super) fn taken_over(status: &Status, changed: &[String]) -> String {
    let file = status.file.display();
    let generation = status.generation;
    let changed = match changed {
        [] => "no key is different".to_owned(),
        keys => format!("different: {}", keys.join(", ")),
    };
    let mut out = format!("{file} is taken over, generation {generation}; {changed}\n");
    if !status.pending.is_empty() {
        out.push_str(&format!(
            "until a restart these stay as they are: {}\n",
            status.pending.join(", ")
        ));
    }
    if status.behind > 0 {
        out.push_str(&format!(
            "{} shards have not taken it over yet\n",
            status.behind
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_status_is_lines_or_json() {
        let mut status = Status::at_start(Path::new("/etc/steadfast/e1.toml"), "ab12");
        assert_eq!(
            words("e1", &status),
            "node        e1\nfile        /etc/steadfast/e1.toml\ndigest      ab12\ngeneration  1\n\
             since       0 s ago\npending     nothing waits for a restart\n"
        );
        status.generation = 3;
        status.pending = vec!["`listen`".to_owned(), "[edge] `flows`".to_owned()];
        status.refused = Some((Instant::now(), "e1.toml, line 2: no".to_owned()));
        (status.refusals, status.behind) = (2, 1);
        assert_eq!(
            words("e1", &status).split_once("since").unwrap().1,
            "       0 s ago\npending     until a restart: `listen`, [edge] `flows`\n\
             behind      1 shards have not taken it over yet\n\
             refused     0 s ago: e1.toml, line 2: no\n"
        );
        assert_eq!(
            json("e1", &status),
            "{\"node\":\"e1\",\"file\":\"/etc/steadfast/e1.toml\",\"digest\":\"ab12\",\"generation\":3,\
             \"seconds\":0,\"pending\":[\"`listen`\",\"[edge] `flows`\"],\"behind\":1,\"refusals\":2,\
             \"refused\":{\"seconds_ago\":0,\"why\":\"e1.toml, line 2: no\"}}\n"
        );
        assert_eq!(
            taken_over(&status, &["`log`".to_owned()]),
            "/etc/steadfast/e1.toml is taken over, generation 3; different: `log`\n\
             until a restart these stay as they are: `listen`, [edge] `flows`\n\
             1 shards have not taken it over yet\n"
        );
    }
}
