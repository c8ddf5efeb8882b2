//! The bindings of an address of record, as a table and as JSON.

use comfy_table::Table;
use comfy_table::presets::UTF8_HORIZONTAL_ONLY;

use super::json::quoted;
use crate::home::{BindingReport, ReportedBinding};
use crate::io::Answer;

/// What was done about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindingsChange {
    Listed,
    Removed,
}

/// What the shard says that keeps the address; the error is a sentence.
pub(super) fn of(answers: Vec<(usize, Answer)>) -> Result<BindingReport, String> {
    let mut refused = None;
    for (_, answer) in answers {
        match answer {
            Answer::Bindings(Ok(found)) if found.is_keeper => return Ok(found),
            Answer::Bindings(Err(why)) => refused = Some(why),
            Answer::Bindings(Ok(_))
            | Answer::Numbers(_)
            | Answer::Peers(..)
            | Answer::Recorded(_)
            | Answer::Rejected(..)
            | Answer::Why(_) => {}
        }
    }
    Err(refused.unwrap_or_else(|| "the shard that keeps this address does not answer".to_owned()))
}

pub(super) fn words(found: &BindingReport, deed: BindingsChange) -> String {
    let aor = &found.aor;
    let sentence = match (found.rows.len(), deed) {
        (0, BindingsChange::Listed) => return format!("{aor} has no bindings\n"),
        (0, BindingsChange::Removed) => {
            return format!(
                "{aor} had no bindings; the edges were told to forget it all the same\n"
            );
        }
        (1, BindingsChange::Listed) => format!("{aor} has one binding"),
        (1, BindingsChange::Removed) => format!("removed one binding of {aor}, and told the edges"),
        (count, BindingsChange::Listed) => format!("{aor} has {count} bindings"),
        (count, BindingsChange::Removed) => {
            format!("removed {count} bindings of {aor}, and told the edges")
        }
    };
    let mut table = Table::new();
    table.load_style(UTF8_HORIZONTAL_ONLY);
    table.set_header(["contact", "phone", "path", "flow", "expires in"]);
    for row in &found.rows {
        let left = format!("{} s", row.left_s);
        table.add_row([&row.contact, &row.phone, &row.path, &row.flow, &left]);
    }
    format!("{sentence}\n{table}\n")
}

pub(super) fn json(found: &BindingReport) -> String {
    let row = |row: &ReportedBinding| {
        format!(
            "{{\"contact\":{},\"phone\":{},\"path\":{},\"flow\":{},\"expires\":{}}}",
            quoted(&row.contact),
            quoted(&row.phone),
            quoted(&row.path),
            quoted(&row.flow),
            row.left_s
        )
    };
    let rows: Vec<_> = found.rows.iter().map(row).collect();
    format!(
        "{{\"aor\":{},\"bindings\":[{}]}}\n",
        quoted(&found.aor),
        rows.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bindings(is_keeper: bool, count: usize) -> BindingReport {
        let row = ReportedBinding {
            contact: "sip:joe@192.0.2.1".to_owned(),
            phone: "urn:uuid:1, reg-id 1".to_owned(),
            path: "<sip:t@edge;lr;ob>".to_owned(),
            flow: "the flow to udp:192.0.2.9:40000".to_owned(),
            left_s: 59,
        };
        BindingReport {
            aor: "joe@example.com".to_owned(),
            is_keeper,
            rows: vec![row; count],
        }
    }

    #[test]
    fn the_shard_that_keeps_the_address_has_the_word() {
        let answer = |is_keeper, count| Answer::Bindings(Ok(bindings(is_keeper, count)));
        let found = of(vec![(0, answer(false, 2)), (1, answer(true, 1))]).unwrap();
        let text = words(&found, BindingsChange::Removed);
        assert!(
            text.starts_with("removed one binding of joe@example.com, and told the edges\n"),
            "{text}"
        );
        assert!(
            text.contains("sip:joe@192.0.2.1") && text.contains("59 s"),
            "{text}"
        );
        assert!(json(&found).contains("\"expires\":59"), "{}", json(&found));
        let why = of(vec![(0, Answer::Bindings(Err("no home".to_owned())))]);
        assert_eq!(why, Err("no home".to_owned()));
        assert!(of(Vec::new()).unwrap_err().contains("does not answer"));
        let none = words(&bindings(true, 0), BindingsChange::Listed);
        assert_eq!(none, "joe@example.com has no bindings\n");
    }
}
