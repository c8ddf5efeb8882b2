//! The screen: a column for each node, as many beside one another as are legible.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph, Sparkline, Wrap};

use super::seen::{Seen, quantile, span, tenths};
use crate::time::date;
use crate::view::{Event, Failure, Neighbour, View};

/// Cells that a column needs to be legible.
const COLUMN_MIN: u16 = 38;
/// Lines of the curve of the calls.
const CURVE: u16 = 2;

/// Failures of a node: the last ones, above what happened.
const FAILURES: usize = 3;

/// Draws all of them.
pub(super) fn draw(frame: &mut Frame<'_>, nodes: &[Seen]) {
    let [body, foot] =
        Layout::vertical([Constraint::Min(0), Constraint::Length(1)]).areas(frame.area());
    let keys = " q ends; every second, over the control sockets";
    frame.render_widget(Paragraph::new(keys).dim(), foot);
    let beside = usize::from((body.width / COLUMN_MIN).max(1)).min(nodes.len().max(1));
    let rows: Vec<_> = nodes.chunks(beside).collect();
    let lines = Layout::vertical(rows.iter().map(|_| Constraint::Fill(1))).split(body);
    for (row, line) in rows.iter().zip(lines.iter()) {
        // All columns are of one width, in the last line too.
        let columns = Layout::horizontal((0..beside).map(|_| Constraint::Fill(1))).split(*line);
        for (node, column) in row.iter().zip(columns.iter()) {
            draw_node(frame, *column, node);
        }
    }
}

fn draw_node(frame: &mut Frame<'_>, area: Rect, node: &Seen) {
    let block = Block::bordered()
        .title(title(node))
        .border_style(Style::new().fg(Color::DarkGray));
    let inside = block.inner(area);
    frame.render_widget(block, area);
    let Some(view) = &node.view else {
        let why = node.fault.as_deref().unwrap_or_default().to_owned();
        let text = Paragraph::new(why).red().wrap(Wrap { trim: true });
        return frame.render_widget(text, inside);
    };
    let [top, curve, rest] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(CURVE),
        Constraint::Min(0),
    ])
    .areas(inside);
    let build = match &*view.commit {
        "" => view.version.clone(),
        commit => format!("{} ({commit})", view.version),
    };
    let (role, cluster, up) = (&view.role, &view.cluster, span(view.up_seconds));
    let about = format!("{role} of {cluster}, {build}, up for {up}");
    let calls = tenths(node.calls.back().copied());
    let head = vec![Line::from(about).dim(), row("calls/s", calls)];
    frame.render_widget(Paragraph::new(head), top);
    let older = node.calls.len().saturating_sub(usize::from(curve.width));
    let bars: Vec<u64> = node.calls.iter().skip(older).copied().collect();
    let style = Style::new().fg(Color::Cyan);
    frame.render_widget(Sparkline::default().data(&bars).style(style), curve);
    let mut text = numbers(node, view);
    text.push(Line::raw(""));
    text.extend(view.neighbours.iter().map(neighbour));
    if let Some(why) = &node.fault {
        text.push(Line::from(why.clone()).red());
    }
    text.push(Line::raw(""));
    text.extend(view.failed.iter().rev().take(FAILURES).map(failed));
    text.push(Line::raw(""));
    text.extend(view.told.iter().rev().map(told));
    frame.render_widget(Paragraph::new(text), rest);
}

fn title(node: &Seen) -> Line<'static> {
    let name = node.view.as_ref().map_or(&*node.label, |view| &*view.node);
    let (state, color) = match (&node.fault, &node.view) {
        (Some(_), _) => ("silent".to_owned(), Color::Red),
        (None, None) => ("asking".to_owned(), Color::DarkGray),
        (None, Some(view)) if view.not_ready.is_empty() => ("ready".to_owned(), Color::Green),
        (None, Some(view)) => (view.not_ready.join("; "), Color::Red),
    };
    Line::from(vec![
        Span::raw(" "),
        Span::styled(name.to_owned(), Style::new().add_modifier(Modifier::BOLD)),
        Span::raw(" "),
        Span::styled(state, Style::new().fg(color)),
        Span::raw(" "),
    ])
}

/// What failed; `steadfast trace` tells how.
fn failed(one: &Failure) -> Line<'static> {
    let Failure {
        status,
        phrase,
        method,
        from,
        to,
        ..
    } = one;
    let unix = Duration::try_from_secs_f64(one.unix).map_or(0, |it| it.as_secs());
    let time = Span::styled(time_of_day(unix) + " ", Style::new().dim());
    let says = format!("{status} {phrase}: {method} from {from} to {to}");
    Line::from(vec![time, Span::raw(says)])
}

/// The time of the day, which is known.
fn time_of_day(unix: u64) -> String {
    date(unix).get(11..19).unwrap_or_default().to_owned()
}

/// A line of what happened.
fn told(event: &Event) -> Line<'static> {
    let color = if event.is_bad {
        Color::Red
    } else {
        Color::Green
    };
    Line::from(vec![
        Span::styled(time_of_day(event.unix) + " ", Style::new().dim()),
        Span::styled(event.text.clone(), Style::new().fg(color)),
    ])
}

fn row(what: &str, says: String) -> Line<'static> {
    let what = Span::styled(format!("{what:<11}"), Style::new().fg(Color::DarkGray));
    Line::from(vec![what, Span::raw(says)])
}

fn numbers(node: &Seen, view: &View) -> Vec<Line<'static>> {
    let both = |counts: &[u64]| {
        let of = |part| quantile(counts, &view.bounds_us, part);
        match (of(0.5), of(0.99)) {
            (Some(half), Some(most)) => format!("{half}, 99 % {most}"),
            (_, _) => "–".to_owned(),
        }
    };
    let (counted, held) = (&view.counted, &view.held);
    let phones: Vec<_> = held
        .phones
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(over, count)| format!("{over} {count}"))
        .collect();
    let requests = tenths(node.requests);
    let failovers = counted.overtaken
        + counted.sent_again
        + counted.redirects_followed
        + counted.relays
        + counted.refreshed;
    let failed = counted.timeouts + counted.transport_failures + counted.flows_failed;
    let mut lines = vec![
        row("set-up", both(&view.set_up)),
        row("requests/s", requests),
        row(
            "registered",
            format!("{} {}", held.registered, phones.join(", ")),
        ),
        row("failovers", failovers.to_string()),
        row("failed", format!("{failed}, refused {}", counted.rejected)),
        row("a turn", both(&view.loop_delay)),
        row("queue", both(&view.queue_time)),
        row(
            "process",
            format!("{} MiB, {} files", held.resident_bytes >> 20, held.open_fds),
        ),
    ];
    if held.shed_percent > 0 {
        let says = format!("{} % of what is new is refused", held.shed_percent);
        lines.push(row("late", says).red());
    }
    lines
}

fn neighbour(node: &Neighbour) -> Line<'static> {
    let (color, state) = match &*node.state {
        "up" => (Color::Green, "answers".to_owned()),
        "down" => {
            let silent = node.silent_ms.map(|it| span(it as f64 / 1e3));
            let text = silent.map_or_else(
                || "does not answer".to_owned(),
                |silent| format!("silent for {silent}"),
            );
            (Color::Red, text)
        }
        _ => (Color::DarkGray, "not heard of yet".to_owned()),
    };
    let way = match (node.asks, node.is_asked) {
        (true, true) => "<->",
        (true, false) => "-->",
        (false, true) => "<--",
        (false, false) => "   ",
    };
    Line::from(vec![
        Span::raw(format!("{way} ")),
        Span::styled("● ", Style::new().fg(color)),
        Span::raw(format!("{} {:<11}", node.kind, node.name)),
        Span::styled(format!(" {state}"), Style::new().fg(color)),
    ])
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::view::{Counted, Held};

    fn view(node: &str) -> View {
        let neighbour = |name: &str, kind: &str, state: &str| Neighbour {
            name: name.to_owned(),
            kind: kind.to_owned(),
            state: state.to_owned(),
            asks: true,
            silent_ms: Some(70_000),
            ..Neighbour::default()
        };
        View {
            node: node.to_owned(),
            role: "edge".to_owned(),
            cluster: "edge.example.com".to_owned(),
            version: "0.1.0".to_owned(),
            up_seconds: 61.0,
            unix: 1_800_000_000.0,
            neighbours: vec![
                neighbour("192.0.2.10", "home", "up"),
                neighbour("e2", "edge", "down"),
            ],
            bounds_us: vec![1_000, 2_500],
            set_up: vec![0, 5, 0],
            counted: Counted {
                calls: 10,
                overtaken: 2,
                relays: 1,
                ..Counted::default()
            },
            held: Held {
                registered: 7,
                phones: vec![
                    ("udp".to_owned(), 6),
                    ("tcp".to_owned(), 0),
                    ("tls".to_owned(), 1),
                ],
                ..Held::default()
            },
            failed: vec![Failure {
                unix: 1_800_000_000.5,
                method: "INVITE".to_owned(),
                from: "joe@example.com".to_owned(),
                to: "ann@example.com".to_owned(),
                status: 480,
                phrase: "Not There".to_owned(),
                ..Failure::default()
            }],
            told: vec![Event {
                unix: 1_800_000_000,
                is_bad: true,
                text: "e2 (192.0.2.12:5060) is down over udp: it does not answer".to_owned(),
            }],
            ..View::default()
        }
    }

    fn screen(width: u16, height: u16, nodes: &[Seen]) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, nodes)).unwrap();
        let buffer = terminal.backend().buffer();
        let rows = buffer.content.chunks(usize::from(width));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect())
            .collect()
    }

    fn nodes() -> Vec<Seen> {
        let mut first = Seen::new(Path::new("e1.toml"));
        first.take(Ok(view("e1")));
        first.take(Ok(View {
            unix: 1_800_000_002.0,
            up_seconds: 63.0,
            counted: Counted {
                calls: 15,
                ..view("e1").counted
            },
            ..view("e1")
        }));
        let mut second = Seen::new(Path::new("e2.toml"));
        second.take(Err("nobody answers on e2.sock".to_owned()));
        vec![first, second]
    }

    #[test]
    fn nodes_stand_side_by_side_where_there_is_room() {
        let wide = screen(100, 24, &nodes());
        let text = wide.join("\n");
        for part in [
            " e1 ready ",
            " e2 silent ",
            "edge of edge.example.com, 0.1.0, up for 1",
            "calls/s    2.5",
            "set-up     ≤ 2.5 ms, 99 % ≤ 2.5 ms",
            "registered 7 udp 6, tls 1",
            "failovers  3",
            "--> ● home 192.0.2.10  answers",
            "--> ● edge e2          silent for 1 min",
            "08:00:00 e2 (192.0.2.12:5060) is down over",
            "08:00:00 480 Not There: INVITE from joe@",
            "nobody answers on e2.sock",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        let row = wide.iter().find(|row| row.contains(" e1 ready "));
        assert!(row.unwrap().contains(" e2 silent "), "side by side\n{text}");
        let narrow = screen(50, 40, &nodes());
        let row = narrow.iter().find(|row| row.contains(" e1 ready "));
        assert!(!row.unwrap().contains(" e2 "), "{}", narrow.join("\n"));
    }

    #[test]
    fn no_size_of_a_terminal_is_too_small() {
        for (width, height) in [(1, 1), (5, 3), (38, 5), (200, 2)] {
            screen(width, height, &nodes());
        }
    }
}
