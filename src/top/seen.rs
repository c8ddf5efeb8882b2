//! What was seen of a node: its last view, and what changed from one to the next.

use std::collections::VecDeque;
use std::path::Path;
use std::time::Duration;

use crate::view::View;

/// Seconds that the curve of the calls goes back.
const KEPT: usize = 120;

/// A node as it was seen last.
#[derive(Debug)]
pub(super) struct Seen {
    /// What it is called until it says so.
    pub(super) label: String,
    /// What it said last.
    pub(super) view: Option<View>,
    /// Why it says nothing now.
    pub(super) fault: Option<String>,
    /// Tenths of calls a second, the last one last.
    pub(super) calls: VecDeque<u64>,
    /// Tenths of requests a second.
    pub(super) requests: Option<u64>,
}

impl Seen {
    pub(super) fn new(node: &Path) -> Self {
        let label = node.file_stem().unwrap_or_default();
        Self {
            label: label.to_string_lossy().into_owned(),
            view: None,
            fault: None,
            calls: VecDeque::new(),
            requests: None,
        }
    }

    /// Takes in what it says, or why it does not.
    pub(super) fn take(&mut self, said: Result<View, String>) {
        let view = match said {
            Ok(view) => view,
            Err(why) => {
                self.fault = Some(why);
                self.requests = None;
                return;
            }
        };
        self.fault = None;
        // After a restart it counts from the beginning.
        let before = self.view.as_ref();
        let before = before.filter(|it| it.up_seconds <= view.up_seconds && it.unix < view.unix);
        if let Some(before) = before {
            let passed = Duration::try_from_secs_f64(view.unix - before.unix);
            let millis = passed.map_or(1, |passed| passed.as_millis().max(1));
            let rate = |now: u64, then: u64| {
                let more = u128::from(now.saturating_sub(then));
                u64::try_from(more * 10_000 / millis).unwrap_or(u64::MAX)
            };
            let calls = rate(view.counted.calls, before.counted.calls);
            self.requests = Some(rate(view.counted.requests, before.counted.requests));
            if self.calls.len() >= KEPT {
                self.calls.pop_front();
            }
            self.calls.push_back(calls);
        }
        self.view = Some(view);
    }
}

/// The bound that this part of what was counted keeps, in words.
pub(super) fn quantile(counts: &[u64], bounds_us: &[u64], part: f64) -> Option<String> {
    let all: u64 = counts.iter().sum();
    let mut seen = 0;
    let reached = counts.iter().position(|count| {
        seen += count;
        seen > 0 && seen as f64 >= part * all as f64
    })?;
    Some(match bounds_us.get(reached) {
        Some(bound @ ..1_000) => format!("≤ {bound} µs"),
        Some(bound @ ..1_000_000) => format!("≤ {} ms", *bound as f64 / 1e3),
        Some(bound) => format!("≤ {} s", *bound as f64 / 1e6),
        None => "> 60 s".to_owned(),
    })
}

/// Tenths, as a number with one place; nothing is known: a dash.
pub(super) fn tenths(tenths: Option<u64>) -> String {
    tenths.map_or_else(
        || "–".to_owned(),
        |tenths| format!("{}.{}", tenths / 10, tenths % 10),
    )
}

/// A duration in its largest unit.
pub(super) fn span(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "min")];
    let fits = units.iter().find(|(unit, _)| seconds >= *unit);
    let (unit, word) = fits.unwrap_or(&(1.0, "s"));
    format!("{:.0} {word}", (seconds / unit).floor())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::Counted;

    fn view(unix: f64, up_seconds: f64, calls: u64) -> View {
        View {
            unix,
            up_seconds,
            counted: Counted {
                calls,
                ..Counted::default()
            },
            ..View::default()
        }
    }

    #[test]
    fn rates_are_between_two_views_and_begin_anew_with_the_node() {
        let mut seen = Seen::new(Path::new("/lab/e1.toml"));
        assert_eq!(seen.label, "e1");
        seen.take(Ok(view(100.0, 50.0, 10)));
        assert!(seen.calls.is_empty());
        seen.take(Ok(view(102.0, 52.0, 30)));
        assert_eq!(seen.calls, [100]);
        seen.take(Err("nobody answers".to_owned()));
        assert!(seen.fault.is_some() && seen.requests.is_none());
        seen.take(Ok(view(110.0, 1.0, 3)));
        assert_eq!((seen.calls.len(), &seen.fault), (1, &None));
    }

    #[test]
    fn quantiles_and_spans_are_words() {
        let bounds = [100, 2_500, 1_000_000];
        let of = |counts: &[u64], part| quantile(counts, &bounds, part);
        assert_eq!(of(&[0, 0, 0, 0], 0.5), None);
        assert_eq!(of(&[9, 1, 0, 0], 0.5).as_deref(), Some("≤ 100 µs"));
        assert_eq!(of(&[9, 1, 0, 0], 0.99).as_deref(), Some("≤ 2.5 ms"));
        assert_eq!(of(&[0, 0, 1, 0], 0.99).as_deref(), Some("≤ 1 s"));
        assert_eq!(of(&[0, 0, 0, 1], 0.5).as_deref(), Some("> 60 s"));
        assert_eq!((&*span(59.9), &*span(61.0)), ("59 s", "1 min"));
        assert_eq!((&*span(7_300.0), &*span(200_000.0)), ("2 h", "2 d"));
    }
}
