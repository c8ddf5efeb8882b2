//! What the shards refused, as a table, as JSON and as metrics.

use std::cmp::Reverse;
use std::fmt::Write as _;

use super::json::quoted;
use crate::io::Answer;
use crate::limits;
use crate::proxy::{Reason, Reject};
use crate::time::date;

/// What all shards refused, together.
#[derive(Debug, Default)]
pub(super) struct Refused {
    /// The most frequent first.
    reasons: Vec<Reason>,
    /// The oldest first.
    pub(super) last: Vec<Reject>,
}

impl Refused {
    pub(super) fn of(answers: Vec<(usize, Answer)>) -> Self {
        let mut all = Self::default();
        for (_, answer) in answers {
            let Answer::Rejected(reasons, last) = answer else {
                continue;
            };
            for reason in reasons {
                all.add(reason);
            }
            all.last.extend(last);
        }
        all.reasons.sort_by_key(|reason| Reverse(reason.count));
        all.last.sort_by_key(|reject| reject.unix_micros);
        let older = all.last.len().saturating_sub(limits::REJECTS_KEPT);
        all.last.drain(..older);
        all
    }

    fn add(&mut self, reason: Reason) {
        let mut known = self.reasons.iter_mut();
        let known = known.find(|it| (it.status, it.reason) == (reason.status, reason.reason));
        match known {
            Some(known) => known.count += reason.count,
            None => self.reasons.push(reason),
        }
    }

    /// The counts, then a line for each of the last ones.
    pub(super) fn words(&self) -> String {
        if self.reasons.is_empty() {
            return "nothing was refused\n".to_owned();
        }
        let mut out = String::new();
        for Reason {
            status,
            reason,
            count,
        } in &self.reasons
        {
            push(&mut out, format_args!("  {count:>9}  {status} {reason}\n"));
        }
        out.push('\n');
        for reject in &self.last {
            let when = date(reject.unix_micros / 1_000_000);
            push(&mut out, format_args!("  {when}  {}\n", reject.sentence()));
        }
        out
    }

    pub(super) fn json(&self, node: &str) -> String {
        let reasons = self.reasons.iter().map(|it| {
            let (status, reason, count) = (it.status, quoted(it.reason), it.count);
            format!("{{\"status\":{status},\"reason\":{reason},\"count\":{count}}}")
        });
        let reasons: Vec<_> = reasons.collect();
        let last: Vec<_> = self.last.iter().map(one).collect();
        format!(
            "{{\"node\":{},\"reasons\":[{}],\"last\":[{}]}}\n",
            quoted(node),
            reasons.join(","),
            last.join(",")
        )
    }
}

fn one(reject: &Reject) -> String {
    let seconds = reject.unix_micros / 1_000_000;
    let millis = reject.unix_micros / 1_000 % 1_000;
    format!(
        "{{\"unix\":{seconds}.{millis:03},\"source\":{},\"method\":{},\"user\":{},\"target\":{},\
         \"status\":{},\"reason\":{}}}",
        quoted(&reject.source.to_string()),
        quoted(&reject.method),
        quoted(&reject.user),
        quoted(&reject.target),
        reject.status,
        quoted(reject.reason)
    )
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok(), "a String takes every character");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers() -> Vec<(usize, Answer)> {
        let reason = |reason, count| Reason {
            status: 403,
            reason,
            count,
        };
        let reject = |seconds: u64| Reject {
            unix_micros: 1_800_000_000_000_000 + seconds * 1_000_000,
            source: "192.0.2.1:0".parse().unwrap(),
            method: "REGISTER".to_owned(),
            user: "jo\"e@example.com".to_owned(),
            target: String::new(),
            status: 403,
            reason: "Not Your Address Of Record",
        };
        let first = vec![reason("A", 1), reason("B", 2)];
        vec![
            (0, Answer::Rejected(first, vec![reject(2)])),
            (1, Answer::Rejected(vec![reason("A", 4)], vec![reject(1)])),
        ]
    }

    #[test]
    fn shards_are_added_up_and_their_last_ones_sorted() {
        let all = Refused::of(answers());
        assert_eq!(
            all.words(),
            "          5  403 A\n          2  403 B\n\n\
             \x20 2027-01-15 08:00:01 UTC  REGISTER of jo\"e@example.com from 192.0.2.1: 403 Not Your Address Of Record\n\
             \x20 2027-01-15 08:00:02 UTC  REGISTER of jo\"e@example.com from 192.0.2.1: 403 Not Your Address Of Record\n"
        );
        let json = all.json("h1");
        assert!(
            json.starts_with(
                "{\"node\":\"h1\",\"reasons\":[{\"status\":403,\"reason\":\"A\",\"count\":5},"
            ) && json.contains("{\"unix\":1800000001.000,\"source\":\"192.0.2.1:0\",")
                && json.contains("\"user\":\"jo\\\"e@example.com\""),
            "{json}"
        );
        assert_eq!(Refused::of(Vec::new()).words(), "nothing was refused\n");
    }
}
