//! The load of the survivors, drawn: the first minutes, and all of it.

use std::fmt::Display;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::{
    BLACK, ChartBuilder, DrawingArea, IntoDrawingArea, LineSeries, PathElement, RGBColor,
    SVGBackend, WHITE,
};

use super::Outcome;

const COLOURS: [RGBColor; 3] = [
    RGBColor(0x1f, 0x77, 0xb4),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
];
/// Seconds of the upper half.
const FIRST: usize = 180;

pub(super) fn draw(runs: &[(&str, Outcome)], path: &Path) -> Result<(), String> {
    let failure = |why: &dyn Display| format!("cannot draw {}: {why}", path.display());
    let root = SVGBackend::new(path, (960, 720)).into_drawing_area();
    root.fill(&WHITE).map_err(|why| failure(&why))?;
    let (upper, lower) = root.split_vertically(360);
    let all = runs
        .iter()
        .map(|(_, run)| run.load.len())
        .max()
        .unwrap_or(1);
    for (area, seconds) in [(upper, FIRST.min(all)), (lower, all)] {
        half(runs, &area, seconds).map_err(|why| failure(&why))?;
    }
    root.present().map_err(|why| failure(&why))
}

#[expect(clippy::cast_precision_loss, reason = "some thousand seconds")]
fn half(
    runs: &[(&str, Outcome)],
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    seconds: usize,
) -> Result<(), String> {
    let failure = |why: &dyn Display| why.to_string();
    let shown = |run: &Outcome| run.load.iter().copied().take(seconds).collect::<Vec<_>>();
    let most = runs
        .iter()
        .flat_map(|(_, run)| shown(run))
        .fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(
            "REGISTERs a second at a live edge, by seconds after the storm",
            ("sans-serif", 18),
        )
        .margin(12)
        .x_label_area_size(28)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..seconds as f64, 0.0..most * 1.05)
        .map_err(|why| failure(&why))?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .draw()
        .map_err(|why| failure(&why))?;
    // The wild one first, so that it does not hide the other.
    for (number, (name, run)) in runs.iter().enumerate().rev() {
        let colour = COLOURS[number % COLOURS.len()];
        let points = shown(run).into_iter().enumerate();
        let points = points.map(|(second, load)| (second as f64, load));
        chart
            .draw_series(LineSeries::new(points, colour))
            .map_err(|why| failure(&why))?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour));
    }
    chart
        .configure_series_labels()
        .border_style(BLACK)
        .background_style(WHITE)
        .draw()
        .map_err(|why| failure(&why))
}
