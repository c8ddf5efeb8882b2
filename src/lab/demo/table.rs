//! The table at the end.

use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use super::exchange::{Exchange, Side};

/// Longest time to a final answer that still counts as survival.
const BOUND: Duration = Duration::from_secs(2);

/// One step of the story.
pub(super) struct Row {
    what: &'static str,
    from: Side,
    exchange: Option<Exchange>,
    is_doubtful: bool,
}

impl Row {
    pub(super) const fn of(what: &'static str, from: Side, exchange: Option<Exchange>) -> Self {
        Self {
            what,
            from,
            exchange,
            is_doubtful: false,
        }
    }

    /// The phone itself says that it did not work.
    pub(super) const fn doubt(&mut self, is_doubtful: bool) {
        self.is_doubtful = is_doubtful;
    }

    pub(super) fn is_good(&self) -> bool {
        let good =
            |exchange: &Exchange| (200..300).contains(&exchange.status) && exchange.took <= BOUND;
        !self.is_doubtful && self.exchange.as_ref().is_some_and(good)
    }

    /// How it went, in a few words.
    pub(super) fn story(&self) -> String {
        match &self.exchange {
            Some(exchange) => format!(
                "{} answered {} through {} after {}",
                self.what,
                exchange.status,
                exchange.way(),
                millis(exchange.took)
            ),
            None => format!("{} was never answered", self.what),
        }
    }
}

/// All steps, as a table.
pub(super) fn draw(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["request", "from", "through", "answer", "time", ""]);
    for row in rows {
        let verdict = if row.is_good() { "kept" } else { "LOST" };
        let (way, status, took) = match &row.exchange {
            Some(exchange) => (
                exchange.way(),
                exchange.status.to_string(),
                millis(exchange.took),
            ),
            None => Default::default(),
        };
        let name = row.from.name().to_owned();
        table.add_row([
            row.what.to_owned(),
            name,
            way,
            status,
            took,
            verdict.to_owned(),
        ]);
    }
    table
}

fn millis(time: Duration) -> String {
    let micros = time.as_micros();
    format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100)
}
