//! The text that Prometheus reads (exposition format 0.0.4).

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::control::reload::Status;
use crate::io::tls::Validity;
use crate::io::{Answer, Number, StoreState};

/// Every number of every shard that answered, one family after the other.
pub(super) fn write(
    node: &str,
    shards: usize,
    answers: &[(usize, Answer)],
    status: &Status,
) -> String {
    let all: Vec<(usize, &[Number])> = answers
        .iter()
        .filter_map(|(shard, answer)| match answer {
            Answer::Numbers(numbers) => Some((*shard, &numbers[..])),
            Answer::Bindings(_) | Answer::Rejected(..) | Answer::Why(_) => None,
        })
        .collect();
    let mut out = String::new();
    let node = node.replace(['\\', '"', '\n'], "_");
    family(&mut out, "shards", "Shards of the node.", "gauge");
    line(
        &mut out,
        format_args!("steadfast_shards{{node=\"{node}\"}} {shards}"),
    );
    family(
        &mut out,
        "shards_answering",
        "Shards that answered this question.",
        "gauge",
    );
    let answering = all.len();
    line(
        &mut out,
        format_args!("steadfast_shards_answering{{node=\"{node}\"}} {answering}"),
    );
    for (name, meaning, value) in [
        (
            "config_generation",
            "Configurations that the node has gone by, the first included.",
            status.generation,
        ),
        (
            "config_pending",
            "Keys of the configuration that wait for a restart.",
            u64::try_from(status.pending.len()).unwrap_or(u64::MAX),
        ),
    ] {
        family(&mut out, name, meaning, "gauge");
        line(
            &mut out,
            format_args!("steadfast_{name}{{node=\"{node}\"}} {value}"),
        );
    }
    let Some((_, first)) = all.first() else {
        return out;
    };
    // Every shard has the same numbers in the same order.
    for (index, number) in first.iter().enumerate() {
        let is_gauge = number.meaning.is_empty();
        let held = format!("Held at this moment: {}.", number.name.replace('_', " "));
        let (name, meaning, kind) = if is_gauge {
            (number.name.to_owned(), held.as_str(), "gauge")
        } else {
            (format!("{}_total", number.name), number.meaning, "counter")
        };
        family(&mut out, &name, meaning, kind);
        for (shard, numbers) in &all {
            let value = numbers.get(index).map_or(0, |number| number.value);
            let labels = format_args!("node=\"{node}\",shard=\"{shard}\"");
            line(
                &mut out,
                format_args!("steadfast_{name}{{{labels}}} {value}"),
            );
        }
    }
    out
}

/// How the store of a home is.
pub(super) fn store(node: &str, state: &StoreState) -> String {
    let node = node.replace(['\\', '"', '\n'], "_");
    let all = [
        (
            "store_failing",
            "1 while the store cannot be written, else 0.",
            "gauge",
            u64::from(state.is_failing()),
        ),
        (
            "store_unsaved",
            "Records that are on their way to the disk and not there yet.",
            "gauge",
            state.unsaved(),
        ),
        (
            "store_failed_batches_total",
            "Batches that could not be written, each try counted.",
            "counter",
            state.failed_batches(),
        ),
        (
            "store_set_aside_total",
            "Damaged stores that were set aside.",
            "counter",
            state.set_aside(),
        ),
    ];
    let mut out = String::new();
    for (name, meaning, kind, value) in all {
        family(&mut out, name, meaning, kind);
        line(
            &mut out,
            format_args!("steadfast_{name}{{node=\"{node}\"}} {value}"),
        );
    }
    out
}

/// From when to when the certificates of the node are valid.
pub(super) fn certificates(node: &str, all: &[(PathBuf, Validity)]) -> String {
    let label = |text: &str| text.replace(['\\', '"', '\n'], "_");
    let node = label(node);
    type Second = fn(&Validity) -> u64;
    let families: [(&str, &str, Second); 2] = [
        (
            "certificate_not_before_seconds",
            "When a certificate is valid from, with all above it, in seconds since 1970.",
            |validity| validity.from,
        ),
        (
            "certificate_not_after_seconds",
            "When a certificate ends, or one above it, in seconds since 1970.",
            |validity| validity.until,
        ),
    ];
    let mut out = String::new();
    for (name, meaning, second) in families {
        family(&mut out, name, meaning, "gauge");
        for (file, validity) in all {
            let (file, value) = (label(&file.to_string_lossy()), second(validity));
            let labels = format_args!("node=\"{node}\",file=\"{file}\"");
            line(
                &mut out,
                format_args!("steadfast_{name}{{{labels}}} {value}"),
            );
        }
    }
    out
}

fn family(out: &mut String, name: &str, meaning: &str, kind: &str) {
    let meaning = meaning.replace('\\', "\\\\");
    line(out, format_args!("# HELP steadfast_{name} {meaning}"));
    line(out, format_args!("# TYPE steadfast_{name} {kind}"));
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = writeln!(out, "{text}");
    debug_assert!(written.is_ok(), "a String takes every character");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_family_has_its_meaning_once_and_a_line_a_shard() {
        let numbers = |value| {
            let number = |name, meaning| Number {
                name,
                meaning,
                value,
            };
            Answer::Numbers(vec![
                number("stun", "STUN requests answered."),
                number("streams", ""),
            ])
        };
        let status = Status {
            pending: vec!["`listen`".to_owned()],
            generation: 4,
            ..Status::at_start(Path::new("e1.toml"), "")
        };
        let text = write("e1", 3, &[(0, numbers(7)), (2, numbers(9))], &status);
        assert_eq!(
            text,
            "# HELP steadfast_shards Shards of the node.\n# TYPE steadfast_shards gauge\n\
             steadfast_shards{node=\"e1\"} 3\n\
             # HELP steadfast_shards_answering Shards that answered this question.\n\
             # TYPE steadfast_shards_answering gauge\nsteadfast_shards_answering{node=\"e1\"} 2\n\
             # HELP steadfast_config_generation Configurations that the node has gone by, the first \
             included.\n# TYPE steadfast_config_generation gauge\nsteadfast_config_generation{node=\"e1\"} 4\n\
             # HELP steadfast_config_pending Keys of the configuration that wait for a restart.\n\
             # TYPE steadfast_config_pending gauge\nsteadfast_config_pending{node=\"e1\"} 1\n\
             # HELP steadfast_stun_total STUN requests answered.\n# TYPE steadfast_stun_total counter\n\
             steadfast_stun_total{node=\"e1\",shard=\"0\"} 7\nsteadfast_stun_total{node=\"e1\",shard=\"2\"} 9\n\
             # HELP steadfast_streams Held at this moment: streams.\n# TYPE steadfast_streams gauge\n\
             steadfast_streams{node=\"e1\",shard=\"0\"} 7\nsteadfast_streams{node=\"e1\",shard=\"2\"} 9\n"
        );
    }
}
