//! The rows of a comparison as bars: those of one measure beside one another, each measure at a
//! scale of its own, since a call, a handshake and the memory of a flow share none.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::{
    BLACK, Color, EmptyElement, IntoDrawingArea, IntoFont, RGBColor, Rectangle, SVGBackend, Text,
    TextStyle, WHITE,
};
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Bar {
    /// What was measured.
    pub(super) measure: String,
    /// Of whom.
    pub(super) system: String,
    /// How much of it.
    pub(super) value: f64,
    /// In what.
    pub(super) unit: &'static str,
}

const COLOURS: [RGBColor; 6] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd9, 0x5f, 0x02),
    RGBColor(0x8a, 0x8a, 0x8a),
    RGBColor(0x1b, 0x9e, 0x77),
    RGBColor(0x75, 0x70, 0xb3),
    RGBColor(0xa6, 0x76, 0x1d),
];

const WIDTH: i32 = 960;
/// Height of the title, of a measure's name, and of a bar with the room below it.
const TITLE: i32 = 44;
const NAME: i32 = 30;
const BAR: i32 = 20;
/// Where bars begin and where the longest of a measure ends; what is right of it is for numbers.
const LEFT: i32 = 150;
const RIGHT: i32 = 800;

/// Draws them into a file.
pub(super) fn draw(title: &str, bars: &[Bar], path: &Path) -> Result<(), String> {
    let failure = |why: &dyn Display| format!("cannot draw {}: {why}", path.display());
    let groups: Vec<&[Bar]> = bars.chunk_by(|a, b| a.measure == b.measure).collect();
    let systems = systems(bars);
    let rows = i32::try_from(bars.len()).map_err(|why| failure(&why))?;
    let names = i32::try_from(groups.len()).map_err(|why| failure(&why))?;
    let height = TITLE + NAME * names + BAR * rows + BAR;
    let size = (WIDTH.unsigned_abs(), height.unsigned_abs());
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE).map_err(|why| failure(&why))?;
    let write = |text: String, (x, y): (i32, i32), side: HPos, size: i32| {
        let style = TextStyle::from(("sans-serif", size).into_font()).color(&BLACK);
        let style = style.pos(Pos::new(side, VPos::Center));
        root.draw(&(EmptyElement::at((x, y)) + Text::new(text, (0, 0), style)))
            .map_err(|why| failure(&why))
    };
    write(title.to_owned(), (16, TITLE / 2), HPos::Left, 20)?;
    let mut y = TITLE;
    for group in groups {
        let name = group.first().map(|bar| bar.measure.clone());
        write(
            name.unwrap_or_default(),
            (16, y + NAME / 2 + 4),
            HPos::Left,
            15,
        )?;
        y += NAME;
        let most = group.iter().map(|bar| bar.value).fold(0.0, f64::max);
        let first = group.first().map_or(0.0, |bar| bar.value);
        for bar in group {
            let end = LEFT + length(bar.value, most);
            let number = systems.iter().position(|it| *it == bar.system);
            let colour = COLOURS[number.unwrap_or_default() % COLOURS.len()];
            let corners = [(LEFT, y + 2), (end, y + BAR - 2)];
            root.draw(&Rectangle::new(corners, colour.filled()))
                .map_err(|why| failure(&why))?;
            let middle = y + BAR / 2;
            write(bar.system.clone(), (LEFT - 8, middle), HPos::Right, 13)?;
            let ratio = super::ratio(bar.value, first);
            let text = format!("{:.1} {}, {ratio}", bar.value, bar.unit);
            write(text, (end + 6, middle), HPos::Left, 13)?;
            y += BAR;
        }
    }
    root.present().map_err(|why| failure(&why))
}

/// In the order in which they come first: a system has one colour everywhere.
fn systems(bars: &[Bar]) -> Vec<&str> {
    let mut systems: Vec<&str> = Vec::new();
    for bar in bars {
        if !systems.contains(&bar.system.as_str()) {
            systems.push(&bar.system);
        }
    }
    systems
}

/// Pixels of a bar.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most the width of the chart"
)]
fn length(value: f64, most: f64) -> i32 {
    if most > 0.0 {
        (f64::from(RIGHT - LEFT) * (value / most).clamp(0.0, 1.0)).round() as i32
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_of_a_measure_are_as_long_as_it_is_much() {
        assert_eq!(length(20.0, 20.0), RIGHT - LEFT);
        assert_eq!(length(5.0, 20.0), 163);
        assert_eq!(length(0.0, 0.0), 0);
    }

    #[test]
    fn the_chart_is_a_picture_that_names_its_systems_and_measures() {
        let bar = |measure: &str, system: &str, value, unit| Bar {
            measure: measure.to_owned(),
            system: system.to_owned(),
            value,
            unit,
        };
        let bars = [
            bar("calls", "a", 40.0, "µs"),
            bar("calls", "b", 80.0, "µs"),
            bar("idle flows", "a", 0.8, "KiB"),
        ];
        let name = format!("steadfast-chart-{}.svg", std::process::id());
        let path = std::env::temp_dir().join(name);
        draw("what it costs", &bars, &path).unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(svg.starts_with("<svg"), "{svg}");
        for text in [
            "what it costs",
            "idle flows",
            "80.0 µs, 2.00",
            "0.8 KiB, 1.00",
        ] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
    }
}
