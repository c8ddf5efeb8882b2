//! Several runs of several systems, side by side: medians and ratios as a
//! table, and the processor time as a chart.
//!
//! Reads the lines of JSON that loads printed with a label `MEASURE/SYSTEM`.

use std::path::PathBuf;

use comfy_table::{Cell, CellAlignment, Table};
use plotters::prelude::{
    BLACK, ChartBuilder, Color, IntoDrawingArea, IntoSegmentedCoord, PathElement, RGBColor,
    Rectangle, SVGBackend, SegmentValue, WHITE,
};

use serde::Deserialize;

use super::Fault;

/// What is to be compared.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Comparison {
    /// The lines that loads printed
    #[arg(value_name = "FILE")]
    pub(crate) lines: PathBuf,
    /// Draw the processor time of one attempt into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// What is read of a load's line.
#[derive(Deserialize)]
struct Run {
    label: Option<String>,
    rate: f64,
    /// Nothing where no process was watched.
    cpu_us_each: Option<f64>,
    p50_us: f64,
    p99_us: f64,
    failed: u64,
    retransmitted: u64,
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
}

/// Prints the table, and draws the chart where one is asked for.
pub(super) fn run(options: &Comparison) -> Result<(), Fault> {
    let path = &options.lines;
    let text = std::fs::read_to_string(path)
        .map_err(|why| Fault::Options(format!("cannot read {}: {why}", path.display())))?;
    let runs = runs(&text).map_err(|why| Fault::Options(format!("{}: {why}", path.display())))?;
    let rows = rows(&runs);
    if rows.is_empty() {
        return Err(Fault::Options(format!(
            "{} holds no line of a load with a label",
            path.display()
        )));
    }
    println!("{}", table(&rows));
    match &options.svg {
        Some(path) => draw(&rows, path).map_err(Fault::Options),
        None => Ok(()),
    }
}

/// The lines with a label; what does not begin like JSON is what a load without
/// `--json` prints for people.
fn runs(text: &str) -> Result<Vec<Run>, String> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| line.starts_with('{'));
    let runs = lines.map(|(before, line)| {
        serde_json::from_str(line).map_err(|why| format!("line {}: {why}", before + 1))
    });
    let runs: Vec<Run> = runs.collect::<Result<_, _>>()?;
    Ok(runs.into_iter().filter(|run| run.label.is_some()).collect())
}

/// Measures and systems in the order in which they came first.
fn rows(runs: &[Run]) -> Vec<Row> {
    let mut measures: Vec<(&str, Vec<&str>)> = Vec::new();
    for label in runs.iter().filter_map(|run| run.label.as_deref()) {
        let Some((measure, system)) = label.split_once('/') else {
            continue;
        };
        let known = measures.iter().position(|(known, _)| *known == measure);
        let known = known.unwrap_or_else(|| {
            measures.push((measure, Vec::new()));
            measures.len() - 1
        });
        let (_, systems) = &mut measures[known];
        if !systems.contains(&system) {
            systems.push(system);
        }
    }
    let rows = measures.iter().flat_map(|(measure, systems)| {
        let rows = systems.iter().map(|system| row(runs, measure, system));
        rows.collect::<Vec<_>>()
    });
    rows.collect()
}

fn row(runs: &[Run], measure: &str, system: &str) -> Row {
    let label = format!("{measure}/{system}");
    let runs = runs.iter().filter(|run| run.label.as_ref() == Some(&label));
    let runs: Vec<&Run> = runs.collect();
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
    }
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
    table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header([
        "", "", "runs", "a second", "ratio", "CPU µs", "ratio", "p50 ms", "p99 ms", "failed",
        "again",
    ]);
    for row in rows {
        let first = rows.iter().find(|first| first.measure == row.measure);
        let first = first.unwrap_or(row);
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
        ];
        let is_first = first.system == row.system;
        let measure = if is_first { &row.measure[..] } else { "" };
        let mut cells = vec![Cell::new(measure), Cell::new(&row.system)];
        let right = |text| Cell::new(text).set_alignment(CellAlignment::Right);
        cells.extend(numbers.map(right));
        table.add_row(cells);
    }
    table
}

fn ratio(value: f64, first: f64) -> String {
    if first > 0.0 {
        format!("{:.2}", value / first)
    } else {
        "-".to_owned()
    }
}

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x8a, 0x8a, 0x8a),
    RGBColor(0x1b, 0x9e, 0x77),
    RGBColor(0x75, 0x70, 0xb3),
    RGBColor(0xa6, 0x76, 0x1d),
];

/// One bar a row.
fn draw(rows: &[Row], path: &std::path::Path) -> Result<(), String> {
    let failure = |why: &dyn std::fmt::Display| format!("cannot draw {}: {why}", path.display());
    let root = SVGBackend::new(path, (960, 480)).into_drawing_area();
    root.fill(&WHITE).map_err(|why| failure(&why))?;
    let most = rows.iter().map(|row| row.cpu_us).fold(1.0, f64::max);
    let mut systems: Vec<&str> = Vec::new();
    for row in rows {
        if !systems.contains(&row.system.as_str()) {
            systems.push(&row.system);
        }
    }
    let mut chart = ChartBuilder::on(&root)
        .caption("Processor time of one attempt, µs", ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(48)
        .build_cartesian_2d((0..rows.len()).into_segmented(), 0.0..most * 1.1)
        .map_err(|why| failure(&why))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(rows.len())
        .x_label_formatter(&|at| match at {
            SegmentValue::CenterOf(index) | SegmentValue::Exact(index) => rows
                .get(*index)
                .map(|row| row.measure.clone())
                .unwrap_or_default(),
            SegmentValue::Last => String::new(),
        })
        .draw()
        .map_err(|why| failure(&why))?;
    for (number, system) in systems.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let bars = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.system == *system);
        let bars = bars.map(|(index, row)| {
            let corners = [
                (SegmentValue::Exact(index), 0.0),
                (SegmentValue::Exact(index + 1), row.cpu_us),
            ];
            let mut bar = Rectangle::new(corners, colour.filled());
            bar.set_margin(0, 0, 6, 6);
            bar
        });
        chart
            .draw_series(bars)
            .map_err(|why| failure(&why))?
            .label(*system)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(6)));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()
        .map_err(|why| failure(&why))?;
    root.present().map_err(|why| failure(&why))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
{\"scenario\":\"calls\",\"label\":\"full/a\",\"failed\":0,\"retransmitted\":1,\"rate\":100,\
\"p50_us\":10,\"p99_us\":30,\"cpu_us_each\":40}
noise
{\"scenario\":\"calls\",\"label\":\"full/b\",\"failed\":2,\"retransmitted\":0,\"rate\":50,\
\"p50_us\":10,\"p99_us\":30,\"cpu_us_each\":80}
{\"scenario\":\"calls\",\"label\":\"slow/a\",\"failed\":0,\"retransmitted\":0,\"rate\":9.5,\
\"p50_us\":1,\"p99_us\":2,\"cpu_us_each\":44}
{\"scenario\":\"calls\",\"label\":\"full/a\",\"failed\":0,\"retransmitted\":0,\"rate\":120,\
\"p50_us\":20,\"p99_us\":30,\"cpu_us_each\":60}
{\"scenario\":\"calls\",\"label\":\"full/a\",\"failed\":1,\"retransmitted\":0,\"rate\":110,\
\"p50_us\":12,\"p99_us\":30,\"cpu_us_each\":40}
";

    #[test]
    fn runs_of_one_label_become_their_median() {
        let rows = rows(&runs(LINES).unwrap());
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
        let table = table(&rows).to_string();
        assert!(table.contains("2.00"), "b takes twice the time: {table}");
        assert!(table.contains("0.45"), "b is slower: {table}");
    }

    #[test]
    fn what_is_no_report_is_named_by_its_line() {
        let broken = LINES.replacen("\"rate\":50,", "\"rate\":", 1);
        let why = runs(&broken).err().unwrap();
        assert!(why.starts_with("line 3: "), "{why}");
        let unlabelled = "{\"rate\":1,\"p50_us\":1,\"p99_us\":1,\"failed\":0,\"retransmitted\":0}";
        assert!(runs(unlabelled).unwrap().is_empty());
    }

    #[test]
    fn the_chart_is_a_picture_that_names_its_systems() {
        let name = format!("steadfast-chart-{}.svg", std::process::id());
        let path = std::env::temp_dir().join(name);
        draw(&rows(&runs(LINES).unwrap()), &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("slow"), "{svg}");
    }

    #[test]
    fn a_median_of_two_is_their_mean() {
        assert_eq!(median(vec![3.0, 1.0]), 2.0);
        assert_eq!(median(vec![5.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
