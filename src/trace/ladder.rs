//! A story as a ladder in plain text: a column for each place, an arrow for each message, a star
//! for each decision.

use super::join::{Arrow, Place, Story, What};
use crate::time::date;

/// Columns of a story, from left to right in the order in which they take part.
pub(super) struct Ladder {
    columns: Vec<Column>,
    /// Characters from the middle of one column to that of the next.
    width: usize,
}

struct Column {
    place: Place,
    /// Whose phone it is, where that is known.
    user: String,
}

/// Characters of the time in front of the columns.
const TIME: usize = 14;
/// The least distance of columns.
const WIDTH_MIN: usize = 14;

impl Ladder {
    pub(super) fn of(story: &Story) -> Self {
        let mut ladder = Self {
            columns: Vec::new(),
            width: WIDTH_MIN,
        };
        for step in &story.steps {
            if let What::Message(arrow) = &step.what {
                ladder.add(arrow);
            }
        }
        ladder
    }

    /// Adds the places of a message where they are new; true: there was a new one.
    pub(super) fn add(&mut self, arrow: &Arrow) -> bool {
        let before = self.columns.len();
        for place in [&arrow.from, &arrow.to] {
            if self.column(place).is_none() {
                let (place, user) = (place.clone(), String::new());
                self.columns.push(Column { place, user });
            }
        }
        // Who sends a request that nobody has passed on is its From.
        if arrow.from.node.is_none()
            && arrow.sip.is_request()
            && arrow.sip.vias == 1
            && let Some(column) = self.column(&arrow.from)
        {
            let user = arrow.sip.from.split('@').next().unwrap_or_default();
            user.clone_into(&mut self.columns[column].user);
        }
        let labels = self.columns.iter().map(|column| {
            let [above, below] = column.labels();
            above.len().max(below.len()) + 2
        });
        self.width = labels.max().unwrap_or(0).max(WIDTH_MIN);
        self.columns.len() > before
    }

    fn column(&self, place: &Place) -> Option<usize> {
        let is_same = |column: &Column| match (&column.place.node, &place.node) {
            (Some(one), Some(other)) => one == other,
            (None, None) => column.place.addr == place.addr,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.columns.iter().position(is_same)
    }

    /// The whole ladder, with its head.
    pub(super) fn draw(&self, story: &Story) -> String {
        let mut out = title(story);
        out.push_str(&self.head());
        for (index, step) in story.steps.iter().enumerate() {
            let again = match &step.what {
                What::Message(arrow) => story.steps[..index].iter().any(|step| {
                    matches!(&step.what, What::Message(before)
                        if before.bytes == arrow.bytes && before.from == arrow.from && before.to == arrow.to)
                }),
                What::Decision { .. } => false,
            };
            out.push_str(&self.line(step.unix_us, &step.what, again));
        }
        out
    }

    /// The names of the columns.
    pub(super) fn head(&self) -> String {
        let mut out = String::new();
        for row in 0..2 {
            let mut line = " ".repeat(TIME);
            for column in &self.columns {
                let [above, below] = column.labels();
                let label = if row == 0 { above } else { below };
                line.push_str(&format!("{label:^0$}", self.width));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    /// One step; `again`: the same message went the same way before.
    pub(super) fn line(&self, unix_us: u64, what: &What, again: bool) -> String {
        let mut rungs = vec![' '; self.columns.len() * self.width];
        let middle = |column: usize| column * self.width + self.width / 2;
        for column in 0..self.columns.len() {
            rungs[middle(column)] = '|';
        }
        let text = match what {
            What::Message(arrow) => {
                if let (Some(from), Some(to)) = (self.column(&arrow.from), self.column(&arrow.to)) {
                    let (from, to) = (middle(from), middle(to));
                    let (low, high) = (from.min(to), from.max(to));
                    rungs[low + 1..high].fill('-');
                    match from < to {
                        true => rungs[high - 1] = '>',
                        false if low < high => rungs[low + 1] = '<',
                        // From one shard, or one listener, to another of the same node.
                        false => rungs[low] = 'o',
                    }
                }
                describe(arrow, again)
            }
            What::Decision { node, says, .. } => {
                let place = Place {
                    node: Some(node.clone()),
                    addr: None,
                };
                if let Some(column) = self.column(&place) {
                    rungs[middle(column)] = '*';
                }
                format!("{node} {says}")
            }
        };
        let rungs: String = rungs.into_iter().collect();
        format!("{}  {rungs}{text}\n", clock(unix_us))
    }
}

impl Column {
    fn labels(&self) -> [String; 2] {
        match (&self.place.node, self.place.addr) {
            (Some(node), _) => [node.clone(), String::new()],
            (None, _) => [self.user.clone(), self.place.label()],
        }
    }
}

fn title(story: &Story) -> String {
    let mut messages = story.steps.iter().filter_map(|step| match &step.what {
        What::Message(arrow) => Some((step.unix_us, arrow)),
        What::Decision { .. } => None,
    });
    let Some((unix_us, arrow)) = messages.next() else {
        return String::new();
    };
    let (sip, when) = (&arrow.sip, date(unix_us / 1_000_000));
    format!(
        "{} from {} to {}, {when}, Call-ID {}\n",
        sip.method, sip.from, sip.to, story.call_id
    )
}

fn describe(arrow: &Arrow, again: bool) -> String {
    let sip = &arrow.sip;
    let mut text = match sip.is_request() {
        true => sip.start.trim_end_matches(" SIP/2.0").to_owned(),
        false => format!("{} {} ({})", sip.status, sip.phrase, sip.method),
    };
    text.push_str("  ");
    text.push_str(&arrow.transport);
    if let Some(took) = arrow.took_us {
        let (millis, rest) = (took / 1_000, took % 1_000);
        text.push_str(&format!(" {millis}.{rest:03} ms"));
    }
    if again {
        text.push_str(", again");
    }
    text
}

/// `12:00:00.123`, UTC.
fn clock(unix_us: u64) -> String {
    let seconds = unix_us / 1_000_000;
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!(
        "{hour:02}:{minute:02}:{second:02}.{:03}",
        unix_us / 1_000 % 1_000
    )
}
