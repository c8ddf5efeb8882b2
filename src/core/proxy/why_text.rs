//! What a node knows of a URI, said for people. Asked for over the control
//! socket and nowhere near a message, so it allocates as it likes.

use super::{Net, Step};
use crate::id::Flow;
use crate::send::Hop;
use crate::stick::{ExplainLine, Level, Source, Table};
use crate::time::Instant;

/// One thing that is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What it is about: one word, the same for the same kind of thing.
    pub what: &'static str,
    /// The sentence.
    pub says: String,
}

/// The facts about one URI, in the order in which a request would meet them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts(pub Vec<Fact>);

impl Facts {
    /// Adds one.
    pub fn say(&mut self, what: &'static str, says: impl Into<String>) {
        let says = says.into();
        self.0.push(Fact { what, says });
    }

    /// What the stickiness table weighs for `uri`, level by level, and which
    /// flow it would choose. None: it has no flow that lives.
    pub(crate) fn say_stick(
        &mut self,
        step: &Step<'_>,
        table: &mut Table,
        uri: &[u8],
    ) -> Option<Level> {
        let (net, now) = (&*step.net, step.now);
        let lines = table.explain(now, uri);
        let lives = |line: &&ExplainLine| line.lost.is_none() && net.flows.lives(line.flow);
        let answers = |line: &&ExplainLine| lives(line) && !net.is_down(now, Hop::Flow(line.flow));
        for level in [Level::Exact, Level::Equal, Level::Domain] {
            let mut rows = lines.iter().filter(|line| line.level == level).peekable();
            if rows.peek().is_none() {
                self.say(word(level), format!("{}: no row", name(level)));
            }
            for row in rows {
                self.say(word(level), describe(net, now, row));
            }
        }
        let wanted = |level: Level, works: bool| {
            let here = lines.iter().filter(move |line| line.level == level);
            here.filter(move |line| if works { answers(line) } else { lives(line) })
        };
        // What does not answer is tried last, however well it matches.
        for works in [true, false] {
            for level in [Level::Exact, Level::Equal] {
                let mut best = wanted(level, works);
                if let Some(first) = best.next() {
                    self.choose(net, level, first, best.count());
                    return Some(level);
                }
            }
        }
        None
    }

    fn choose(&mut self, net: &Net, level: Level, first: &ExplainLine, others: usize) {
        let says = match others {
            0 => format!("{}, {}", flow(net, first.flow), name(level)),
            _ => format!("one of {} flows at random, {}", others + 1, name(level)),
        };
        self.say("chosen", says);
    }
}

/// A flow as people read it.
#[must_use]
pub fn flow(net: &Net, flow: Flow) -> String {
    let transport = net.flows.transport(flow).uri_token();
    match net.flows.peer(flow) {
        Some(peer) => format!("the flow to {transport}:{peer}"),
        None => format!("a {transport} flow that is gone"),
    }
}

/// A next hop as people read it.
#[must_use]
pub fn hop(net: &Net, hop: Hop) -> String {
    match hop {
        Hop::Flow(at) => flow(net, at),
        Hop::To {
            transport, addr, ..
        } => format!("{}:{addr}", transport.uri_token()),
        Hop::Named(name) => {
            let servers = net.servers.locator.last_known(name).iter();
            let servers = servers.map(|server| {
                let (transport, addr) = (server.transport.uri_token(), server.addr);
                format!("{transport}:{addr} (weight {})", server.weight)
            });
            let servers: Vec<_> = servers.collect();
            let domain = net
                .servers
                .locator
                .domain(name)
                .unwrap_or("a name no longer known");
            format!("the servers of {domain}: {}", servers.join(", "))
        }
    }
}

/// How long something still lasts, in words.
#[must_use]
pub fn left(now: Instant, until: Instant) -> String {
    format!("{} s left", until.since(now).as_secs())
}

fn describe(net: &Net, now: Instant, row: &ExplainLine) -> String {
    let text = String::from_utf8_lossy(&row.text);
    let text = if text.is_empty() {
        "no parameters".into()
    } else {
        text
    };
    let lasts = match row.until {
        Some(until) => left(now, until),
        None => "as long as the flow".to_owned(),
    };
    let source = match row.source {
        Source::Certificate => "certificate",
        Source::Link => "configured peer",
        Source::Opened => "opened for it",
        Source::Path => "Path",
        Source::ServiceRoute => "Service-Route",
        Source::RecordRoute => "Record-Route",
        Source::Redirect => "redirect",
    };
    let lost = match row.lost {
        Some(reopen) => format!(", lost, to be opened again at {}", reopen.addr),
        None => String::new(),
    };
    let down = if net.is_down(now, Hop::Flow(row.flow)) {
        ", which does not answer"
    } else {
        ""
    };
    let at = flow(net, row.flow);
    format!("{text} on {at} by {source}, {lasts}{lost}{down}")
}

const fn word(level: Level) -> &'static str {
    match level {
        Level::Exact => "exact",
        Level::Equal => "equal",
        Level::Domain => "domain",
    }
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::Exact => "the same parameters",
        Level::Equal => "equal by RFC 3261 §19.1.4",
        Level::Domain => "the same domain",
    }
}
