//! What came of a load: counts, latencies, and the processor time it took.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

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
    /// Attempts refused, by status.
    pub(super) refused: BTreeMap<u16, u64>,
    /// Requests that came to another phone than they were for.
    pub(super) misrouted: u64,
    /// Messages sent again because nothing came back.
    pub(super) retransmitted: u64,
    /// Messages that came a second time, too late, or from nowhere.
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
            refused: BTreeMap::new(),
            misrouted: 0,
            retransmitted: 0,
            stray: 0,
            latency: Histogram::new_with_bounds(1, 60_000_000, 3)?,
        })
    }

    /// Attempts that did not go as they should.
    pub(super) fn failed(&self) -> u64 {
        self.timed_out + self.not_begun + self.refused.values().sum::<u64>()
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
    /// Further rows: a name, a value.
    pub(super) more: Vec<(&'static str, f64)>,
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

impl Report {
    /// Attempts finished a second.
    pub(super) fn rate(&self) -> f64 {
        count(self.tally.done) / self.lasted.as_secs_f64().max(1e-9)
    }

    /// Every row by its name, in the order in which both forms show them.
    fn rows(&self) -> Vec<(String, f64)> {
        let tally = &self.tally;
        let counts = [
            ("attempted", tally.attempted),
            ("done", tally.done),
            ("failed", tally.failed()),
            ("timed_out", tally.timed_out),
            ("not_begun", tally.not_begun),
            ("misrouted", tally.misrouted),
            ("retransmitted", tally.retransmitted),
            ("stray", tally.stray),
        ];
        let mut rows: Vec<_> = counts
            .iter()
            .map(|(name, value)| ((*name).to_owned(), count(*value)))
            .collect();
        for (status, times) in &tally.refused {
            rows.push((format!("refused_{status}"), count(*times)));
        }
        rows.push(("seconds".into(), self.lasted.as_secs_f64()));
        rows.push(("rate".into(), self.rate()));
        for (name, quantile) in QUANTILES {
            let micros = tally.latency.value_at_quantile(quantile);
            rows.push((format!("{name}_us"), count(micros)));
        }
        rows.push(("max_us".into(), count(tally.latency.max())));
        let (own, watched) = match self.cpu.split_last() {
            Some(((_, own), watched)) => (*own, watched),
            None => (0.0, &[][..]),
        };
        for (pid, seconds) in watched {
            rows.push((format!("cpu_s_{pid}"), *seconds));
        }
        if !watched.is_empty() {
            let seconds: f64 = watched.iter().map(|(_, seconds)| seconds).sum();
            let each = seconds * 1e6 / count(tally.done.max(1));
            rows.push(("cpu_us_each".into(), each));
        }
        rows.push(("cpu_s_load".into(), own));
        let more = self.more.iter();
        rows.extend(more.map(|(name, value)| ((*name).to_owned(), *value)));
        rows
    }

    /// One line of JSON.
    pub(super) fn json(&self) -> String {
        let rows = self.rows();
        let members = rows
            .iter()
            .map(|(name, value)| format!("\"{name}\":{}", number(*value)));
        let members: Vec<_> = members.collect();
        let label = self.label.as_ref();
        let label = label.map(|label| format!("\"label\":\"{label}\","));
        format!(
            "{{\"scenario\":\"{}\",{}{}}}",
            self.scenario,
            label.unwrap_or_default(),
            members.join(",")
        )
    }

    /// For people: the same rows without those that are zero and tell nothing.
    pub(super) fn table(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
        table.set_header([self.scenario, ""]);
        for (name, value) in self.rows() {
            let always = ["attempted", "done", "failed", "retransmitted"];
            if value > 0.0 || always.contains(&name.as_str()) {
                let value = comfy_table::Cell::new(number(value));
                let value = value.set_alignment(comfy_table::CellAlignment::Right);
                table.add_row([comfy_table::Cell::new(name.replace('_', " ")), value]);
            }
        }
        table.to_string()
    }
}

/// Counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
pub(super) const fn count(value: u64) -> f64 {
    value as f64
}

/// Whole numbers without a point, others with the digits that mean something.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
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
            label: Some("full/here".into()),
            tally,
            lasted: Duration::from_secs(2),
            cpu: vec![(17, 0.5), (18, 0.1), (1, 0.25)],
            more: Vec::new(),
        }
    }

    #[test]
    fn a_report_is_one_line_of_json() {
        assert_eq!(
            report().json(),
            "{\"scenario\":\"calls\",\"label\":\"full/here\",\"attempted\":1003,\"done\":1000,\"failed\":3,\
             \"timed_out\":1,\"not_begun\":0,\"misrouted\":0,\"retransmitted\":0,\"stray\":0,\
             \"refused_503\":2,\"seconds\":2,\"rate\":500,\"p50_us\":500223,\"p90_us\":900095,\
             \"p99_us\":990207,\"p99.9_us\":999423,\"max_us\":1000447,\"cpu_s_17\":0.500,\
             \"cpu_s_18\":0.100,\"cpu_us_each\":600,\"cpu_s_load\":0.250}"
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
