//! What came of a load: counts, latencies, and the processor time it took.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// The counts of a running load.
#[derive(Debug)]
pub(super) struct Tally {
    /// Attempts begun, and those for which there was no room.
    pub(super) attempted: u64,
    /// Attempts that went as they should.
    pub(super) done: u64,
    /// Attempts that nobody answered in time.
    pub(super) timed_out: u64,
    /// Attempts for which there was no room.
    pub(super) not_begun: u64,
    /// Attempts whose connection did not come about as it should, or ended before the answer.
    pub(super) broken: u64,
    /// Attempts refused, by status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Requests that came to another phone than they were for.
    pub(super) misrouted: u64,
    /// Messages sent again because nothing came back.
    pub(super) retransmitted: u64,
    /// Responses that nobody waited for: to no request of ours, to another phone than asked, or
    /// after the final one. A message that was sent again may bring one.
    pub(super) unasked: u64,
    /// Other messages that came a second time, too late, or from nowhere.
    pub(super) stray: u64,
    /// From the moment an attempt should have begun to its answer, in
    /// microseconds.
    pub(super) latency: Histogram<u64>,
}

impl Tally {
    /// # Errors
    /// Never with these bounds; the histogram checks them as it is made.
    pub(super) fn new() -> Result<Self, hdrhistogram::CreationError> {
        Ok(Self {
            attempted: 0,
            done: 0,
            timed_out: 0,
            not_begun: 0,
            broken: 0,
            refused: BTreeMap::new(),
            misrouted: 0,
            retransmitted: 0,
            unasked: 0,
            stray: 0,
            latency: Histogram::new_with_bounds(1, 60_000_000, 3)?,
        })
    }

    /// Attempts that did not go as they should.
    pub(super) fn failed(&self) -> u64 {
        self.timed_out + self.not_begun + self.broken + self.refused.values().sum::<u64>()
    }

    /// Counts a message that is none of this run.
    pub(super) fn unread(&mut self, bytes: &[u8]) {
        if bytes.starts_with(b"SIP/2.0 ") {
            self.unasked += 1;
        } else {
            self.stray += 1;
        }
    }

    /// Counts a refusal.
    pub(super) fn refuse(&mut self, status: u16) {
        *self.refused.entry(status).or_default() += 1;
    }

    /// Counts an answer that came now to what should have begun at `intended`:
    /// a generator that was late itself does not hide the wait (coordinated
    /// omission).
    pub(super) fn answered(&mut self, intended: Instant, now: Instant) {
        let micros = now.saturating_duration_since(intended).as_micros();
        // Saturates at the bound: a longer wait has failed before.
        self.latency
            .saturating_record(u64::try_from(micros).unwrap_or(u64::MAX));
    }
}

/// What is said about a load in the end.
#[derive(Debug)]
pub(super) struct Report {
    /// What was done, such as `calls`.
    pub(super) scenario: &'static str,
    /// What the run is called where it is compared with others.
    pub(super) label: Option<String>,
    /// The counts.
    pub(super) tally: Tally,
    /// From the first attempt to the last one.
    pub(super) lasted: Duration,
    /// Processor seconds of each watched process, and of this one last.
    pub(super) cpu: Vec<(u32, f64)>,
    /// Further rows: a name, a count.
    pub(super) more: Vec<(&'static str, u64)>,
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What stands in a row.
#[derive(Clone, Copy, Debug, serde::Serialize)]
#[serde(untagged)]
enum Figure {
    /// How many, or how many microseconds.
    Count(u64),
    /// How much; a thousandth is the least that means something.
    Measure(f64),
}

impl Figure {
    fn measure(value: f64) -> Self {
        Self::Measure((value * 1e3).round() / 1e3)
    }

    fn is_nothing(self) -> bool {
        match self {
            Self::Count(count) => count == 0,
            Self::Measure(value) => value <= 0.0,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(out, "{count}"),
            Self::Measure(value) if *value >= 1e3 => write!(out, "{value:.0}"),
            Self::Measure(value) => write!(out, "{value:.3}"),
        }
    }
}

/// The rows in their order, below what the run is called.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut members = out.serialize_map(None)?;
        members.serialize_entry("scenario", self.scenario)?;
        if let Some(label) = &self.label {
            members.serialize_entry("label", label)?;
        }
        for (name, figure) in self.rows() {
            members.serialize_entry(&name, &figure)?;
        }
        members.end()
    }
}

impl Report {
    /// Attempts finished a second.
    pub(super) fn rate(&self) -> f64 {
        exact(self.tally.done) / self.lasted.as_secs_f64().max(1e-9)
    }

    /// Every row by its name, in the order in which both forms show them.
    fn rows(&self) -> Vec<(String, Figure)> {
        let tally = &self.tally;
        let mut rows = Vec::new();
        let mut row = |name: &str, figure| rows.push((name.to_owned(), figure));
        for (name, value) in [
            ("attempted", tally.attempted),
            ("done", tally.done),
            ("failed", tally.failed()),
            ("timed_out", tally.timed_out),
            ("not_begun", tally.not_begun),
            ("broken", tally.broken),
            ("misrouted", tally.misrouted),
            ("retransmitted", tally.retransmitted),
            ("unasked", tally.unasked),
            ("stray", tally.stray),
        ] {
            row(name, Figure::Count(value));
        }
        for (status, times) in &tally.refused {
            row(&format!("refused_{status}"), Figure::Count(*times));
        }
        row("seconds", Figure::measure(self.lasted.as_secs_f64()));
        row("rate", Figure::measure(self.rate()));
        for (name, quantile) in QUANTILES {
            let micros = tally.latency.value_at_quantile(quantile);
            row(&format!("{name}_us"), Figure::Count(micros));
        }
        row("max_us", Figure::Count(tally.latency.max()));
        let (own, watched) = match self.cpu.split_last() {
            Some(((_, own), watched)) => (*own, watched),
            None => (0.0, &[][..]),
        };
        for (pid, seconds) in watched {
            row(&format!("cpu_s_{pid}"), Figure::measure(*seconds));
        }
        if !watched.is_empty() {
            let seconds: f64 = watched.iter().map(|(_, seconds)| seconds).sum();
            let each = seconds * 1e6 / exact(tally.done.max(1));
            row("cpu_us_each", Figure::measure(each));
        }
        row("cpu_s_load", Figure::measure(own));
        for (name, value) in &self.more {
            row(name, Figure::Count(*value));
        }
        rows
    }

    /// For people: the same rows without those that are zero and tell nothing.
    pub(super) fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header([self.scenario, ""]);
        for (name, figure) in self.rows() {
            let always = ["attempted", "done", "failed", "retransmitted", "unasked"];
            if !figure.is_nothing() || always.contains(&name.as_str()) {
                let figure = comfy_table::Cell::new(figure);
                let figure = figure.set_alignment(comfy_table::CellAlignment::Right);
                table.add_row([comfy_table::Cell::new(name.replace('_', " ")), figure]);
            }
        }
        table.to_string()
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
const fn exact(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut tally = Tally::new().unwrap();
        let start = Instant::now();
        for ms in 1..=1000 {
            tally.answered(start, start + Duration::from_millis(ms));
            tally.done += 1;
        }
        (tally.attempted, tally.timed_out) = (1003, 1);
        tally.refuse(503);
        tally.refuse(503);
        Report {
            scenario: "calls",
            label: Some("full/\"here\"".into()),
            tally,
            lasted: Duration::from_secs(2),
            cpu: vec![(17, 0.5), (18, 0.1), (1, 0.25)],
            more: vec![("closed", 4)],
        }
    }

    #[test]
    fn a_report_is_one_line_of_json() {
        assert_eq!(
            serde_json::to_string(&report()).unwrap(),
            "{\"scenario\":\"calls\",\"label\":\"full/\\\"here\\\"\",\"attempted\":1003,\"done\":1000,\
             \"failed\":3,\"timed_out\":1,\"not_begun\":0,\"broken\":0,\"misrouted\":0,\"retransmitted\":0,\
             \"unasked\":0,\"stray\":0,\"refused_503\":2,\"seconds\":2.0,\"rate\":500.0,\"p50_us\":500223,\
             \"p90_us\":900095,\"p99_us\":990207,\"p99.9_us\":999423,\"max_us\":1000447,\
             \"cpu_s_17\":0.5,\"cpu_s_18\":0.1,\"cpu_us_each\":600.0,\"cpu_s_load\":0.25,\
             \"closed\":4}"
        );
    }

    #[test]
    fn a_table_leaves_out_what_never_happened() {
        let table = report().table();
        assert!(table.contains("refused 503"), "{table}");
        assert!(table.contains("retransmitted"), "{table}");
        assert!(!table.contains("misrouted"), "{table}");
    }
}
