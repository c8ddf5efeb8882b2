//! Several runs of several systems, side by side: medians and ratios as a
//! table, and what each costs as a chart.
//!
//! Reads the lines of JSON that loads printed with a label `MEASURE/SYSTEM`.

mod chart;

use std::path::PathBuf;

use comfy_table::{Cell, CellAlignment, Table};

use serde::Deserialize;

use super::Fault;
use chart::Bar;

/// What is to be compared.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Comparison {
    /// The lines that loads printed
    #[arg(value_name = "FILE")]
    pub(crate) lines: PathBuf,
    /// Draw the processor time of one attempt and the memory of one flow into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// Which kind of line it is.
#[derive(Deserialize)]
struct Kind {
    label: Option<String>,
    #[serde(default)]
    scenario: String,
}

/// What is read of a load's line.
#[derive(Deserialize)]
struct Run {
    rate: f64,
    /// Nothing where no process was watched.
    cpu_us_each: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    failed: u64,
    retransmitted: u64,
    /// Nothing where nobody can count them.
    unasked: Option<u64>,
}

/// What is read of the line that `idle` prints.
#[derive(Deserialize)]
struct Weighed {
    flows: u32,
    bytes_each: f64,
}

/// A line with a label: who did what, and how it went.
struct Line<T> {
    label: String,
    value: T,
}

/// Medians of one system in one measure.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    measure: String,
    system: String,
    runs: usize,
    rate: f64,
    cpu_us: f64,
    p50_us: f64,
    p99_us: f64,
    failed: u64,
    retransmitted: u64,
    unasked: Option<u64>,
}

/// The same of memory.
#[derive(Clone, Debug, PartialEq)]
struct Weight {
    measure: String,
    system: String,
    runs: usize,
    flows: u32,
    kib: f64,
}

/// Prints the table, and draws the chart where one is asked for.
pub(super) fn run(options: &Comparison) -> Result<(), Fault> {
    let path = &options.lines;
    let text = std::fs::read_to_string(path)
        .map_err(|why| Fault::Options(format!("cannot read {}: {why}", path.display())))?;
    let lines = lines(&text).map_err(|why| Fault::Options(format!("{}: {why}", path.display())))?;
    let (rows, weights) = (rows(&lines.runs), weights(&lines.weighed));
    if rows.is_empty() && weights.is_empty() {
        return Err(Fault::Options(format!(
            "{} holds no line of a load with a label",
            path.display()
        )));
    }
    if !rows.is_empty() {
        println!("{}", table(&rows));
    }
    if !weights.is_empty() {
        println!("{}", scales(&weights));
    }
    match &options.svg {
        Some(path) => chart::draw(TITLE, &bars(&rows, &weights), path).map_err(Fault::Options),
        None => Ok(()),
    }
}

const TITLE: &str =
    "Processor time of one attempt, memory of one idle flow, and the ratio to the first";

/// The lines of both kinds.
#[derive(Default)]
struct Lines {
    runs: Vec<Line<Run>>,
    weighed: Vec<Line<Weighed>>,
}

/// The lines with a label; what does not begin like JSON is what a load without
/// `--json` prints for people.
fn lines(text: &str) -> Result<Lines, String> {
    let mut lines = Lines::default();
    for (before, line) in text.lines().enumerate() {
        let failure = |why| format!("line {}: {why}", before + 1);
        if !line.starts_with('{') {
            continue;
        }
        let Kind { label, scenario } = serde_json::from_str(line).map_err(failure)?;
        let Some(label) = label else { continue };
        if scenario == "idle" {
            let value = serde_json::from_str(line).map_err(failure)?;
            lines.weighed.push(Line { label, value });
        } else {
            let value = serde_json::from_str(line).map_err(failure)?;
            lines.runs.push(Line { label, value });
        }
    }
    Ok(lines)
}

/// Measures and systems in the order in which they came first, each with its lines.
fn grouped<T>(lines: &[Line<T>]) -> Vec<(&str, &str, Vec<&T>)> {
    let labels = lines.iter().filter_map(|line| {
        let (measure, system) = line.label.split_once('/')?;
        Some((measure, system, &line.value))
    });
    let mut groups: Vec<(&str, &str, Vec<&T>)> = Vec::new();
    for (measure, system, value) in labels {
        let known = groups
            .iter_mut()
            .find(|group| (group.0, group.1) == (measure, system));
        if let Some((_, _, values)) = known {
            values.push(value);
            continue;
        }
        // Behind the others of its measure.
        let behind = groups.iter().rposition(|group| group.0 == measure);
        let at = behind.map_or(groups.len(), |last| last + 1);
        groups.insert(at, (measure, system, vec![value]));
    }
    groups
}

fn rows(runs: &[Line<Run>]) -> Vec<Row> {
    let groups = grouped(runs).into_iter();
    let rows = groups.map(|(measure, system, runs)| {
        let all = |value: fn(&Run) -> f64| median(runs.iter().map(|run| value(run)).collect());
        Row {
            measure: measure.to_owned(),
            system: system.to_owned(),
            runs: runs.len(),
            rate: all(|run| run.rate),
            cpu_us: median(runs.iter().filter_map(|run| run.cpu_us_each).collect()),
            p50_us: all(|run| run.p50_us),
            p99_us: all(|run| run.p99_us),
            failed: runs.iter().map(|run| run.failed).sum(),
            retransmitted: runs.iter().map(|run| run.retransmitted).sum(),
            unasked: runs.iter().map(|run| run.unasked).sum(),
        }
    });
    rows.collect()
}

fn weights(weighed: &[Line<Weighed>]) -> Vec<Weight> {
    let groups = grouped(weighed).into_iter();
    let rows = groups.map(|(measure, system, all)| Weight {
        measure: measure.to_owned(),
        system: system.to_owned(),
        runs: all.len(),
        flows: all.iter().map(|one| one.flows).max().unwrap_or_default(),
        kib: median(all.iter().map(|one| one.bytes_each / 1024.0).collect()),
    });
    rows.collect()
}

fn bars(rows: &[Row], weights: &[Weight]) -> Vec<Bar> {
    let times = rows.iter().map(|row| Bar {
        measure: row.measure.clone(),
        system: row.system.clone(),
        value: row.cpu_us,
        unit: "µs",
    });
    let sizes = weights.iter().map(|weight| Bar {
        measure: weight.measure.clone(),
        system: weight.system.clone(),
        value: weight.kib,
        unit: "KiB",
    });
    times.chain(sizes).collect()
}

/// The middle value; of an even number the mean of both; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => 0.0,
        (1, Some(value)) => *value,
        (_, Some(value)) => f64::midpoint(values[middle - 1], *value),
    }
}

/// The first system of a measure is what the others are divided by.
fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header([
        "", "", "runs", "a second", "ratio", "CPU µs", "ratio", "p50 ms", "p99 ms", "failed",
        "again", "unasked",
    ]);
    for row in rows {
        let first = rows.iter().find(|first| first.measure == row.measure);
        let first = first.unwrap_or(row);
        let unasked = row.unasked.map(|count| count.to_string());
        let numbers = [
            row.runs.to_string(),
            format!("{:.0}", row.rate),
            ratio(row.rate, first.rate),
            format!("{:.1}", row.cpu_us),
            ratio(row.cpu_us, first.cpu_us),
            format!("{:.2}", row.p50_us / 1e3),
            format!("{:.2}", row.p99_us / 1e3),
            row.failed.to_string(),
            row.retransmitted.to_string(),
            unasked.unwrap_or_else(|| "-".to_owned()),
        ];
        let is_first = first.system == row.system;
        let measure = if is_first { &row.measure[..] } else { "" };
        table.add_row(cells((measure, &row.system), numbers));
    }
    table
}

/// The same of memory.
fn scales(weights: &[Weight]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["", "", "runs", "flows", "KiB each", "ratio"]);
    for weight in weights {
        let first = weights.iter().find(|first| first.measure == weight.measure);
        let first = first.unwrap_or(weight);
        let numbers = [
            weight.runs.to_string(),
            weight.flows.to_string(),
            format!("{:.2}", weight.kib),
            ratio(weight.kib, first.kib),
        ];
        let is_first = first.system == weight.system;
        let measure = if is_first { &weight.measure[..] } else { "" };
        table.add_row(cells((measure, &weight.system), numbers));
    }
    table
}

fn cells<const N: usize>((measure, system): (&str, &str), numbers: [String; N]) -> Vec<Cell> {
    let right = |text| Cell::new(text).set_alignment(CellAlignment::Right);
    let names = [measure, system].map(Cell::new);
    names.into_iter().chain(numbers.map(right)).collect()
}

fn ratio(value: f64, first: f64) -> String {
    if first > 0.0 {
        format!("{:.2}", value / first)
    } else {
        "-".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
{\"scenario\":\"calls\",\"label\":\"full/a\",\"failed\":0,\"retransmitted\":1,\"unasked\":2,\"rate\":100,\
\"p50_us\":10,\"p99_us\":30,\"cpu_us_each\":40}
noise
{\"scenario\":\"calls\",\"label\":\"full/b\",\"failed\":2,\"retransmitted\":0,\"rate\":50,\
\"p50_us\":10,\"p99_us\":30,\"cpu_us_each\":80}
{\"scenario\":\"calls\",\"label\":\"slow/a\",\"failed\":0,\"retransmitted\":0,\"rate\":9.5,\
\"p50_us\":1,\"p99_us\":2,\"cpu_us_each\":44}
{\"scenario\":\"calls\",\"label\":\"full/a\",\"failed\":0,\"retransmitted\":0,\"unasked\":0,\"rate\":120,\
\"p50_us\":20,\"p99_us\":30,\"cpu_us_each\":60}
{\"scenario\":\"calls\",\"label\":\"full/a\",\"failed\":1,\"retransmitted\":0,\"unasked\":3,\"rate\":110,\
\"p50_us\":12,\"p99_us\":30,\"cpu_us_each\":40}
";

    #[test]
    fn runs_of_one_label_become_their_median() {
        let rows = rows(&lines(LINES).unwrap().runs);
        let seen: Vec<_> = rows
            .iter()
            .map(|row| (&row.measure[..], &row.system[..], row.runs, row.rate))
            .collect();
        assert_eq!(
            seen,
            [
                ("full", "a", 3, 110.0),
                ("full", "b", 1, 50.0),
                ("slow", "a", 1, 9.5)
            ]
        );
        assert_eq!((rows[0].cpu_us, rows[0].p50_us), (40.0, 12.0));
        assert_eq!((rows[0].failed, rows[0].retransmitted), (1, 1));
        assert_eq!((rows[0].unasked, rows[1].unasked), (Some(5), None));
        let table = table(&rows).to_string();
        assert!(table.contains("2.00"), "b takes twice the time: {table}");
        assert!(table.contains("0.45"), "b is slower: {table}");
    }

    #[test]
    fn what_is_no_report_is_named_by_its_line() {
        let broken = LINES.replacen("\"rate\":50,", "\"rate\":", 1);
        let why = lines(&broken).err().unwrap();
        assert!(why.starts_with("line 3: "), "{why}");
        let unlabelled = "{\"rate\":1,\"p50_us\":1,\"p99_us\":1,\"failed\":0,\"retransmitted\":0}";
        assert!(lines(unlabelled).unwrap().runs.is_empty());
    }

    #[test]
    fn memory_stands_in_a_table_of_its_own_and_in_the_chart() {
        let weighed = "{\"scenario\":\"idle\",\"label\":\"idle/a\",\"flows\":9,\"bytes_each\":1024}\n\
            {\"scenario\":\"idle\",\"label\":\"idle/b\",\"flows\":9,\"bytes_each\":51200}\n";
        let lines = lines(&format!("{LINES}{weighed}")).unwrap();
        let (rows, weights) = (rows(&lines.runs), weights(&lines.weighed));
        assert_eq!((rows.len(), weights.len()), (3, 2));
        let scales = scales(&weights).to_string();
        assert!(
            scales.contains("50.00"),
            "b takes fifty times the memory: {scales}"
        );
        let bars: Vec<_> = bars(&rows, &weights)
            .into_iter()
            .map(|bar| (bar.measure, bar.system, bar.value, bar.unit))
            .collect();
        assert_eq!(bars[1], ("full".to_owned(), "b".to_owned(), 80.0, "µs"));
        assert_eq!(bars[4], ("idle".to_owned(), "b".to_owned(), 50.0, "KiB"));
    }

    #[test]
    fn a_median_of_two_is_their_mean() {
        assert_eq!(median(vec![3.0, 1.0]), 2.0);
        assert_eq!(median(vec![5.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
