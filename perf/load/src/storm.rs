//! A storm on paper: edges die under very many phones, in virtual time, and
//! all of them come back. What the survivors get to do, what they refuse, and
//! when every phone has two flows again, with our pacing and without.
//!
//! - The phones are light: a flow that failed is replaced by one to a live edge
//!   (RFC 5626 §4.2), an answer that does not come is asked for again (Timer E),
//!   a refusal waits as long as it says, a failure backs off (§4.5).
//! - The servers are queues with a price for every message. How much they take
//!   in, what they tell one another and when they tell phones to come back is
//!   the core's own `admission` and `pacing`.
//! - A phone over TLS needs a connection first: it waits to be accepted, and its
//!   handshake is paid for when its first bytes have come.
//! - A run follows from its seed. Nothing here touches the network.
//!
//! Not here: what a message looks like, and what a processor costs; prices are
//! measured elsewhere (`perf/README.md`) and come in as options.

mod calls;
mod chart;
mod flows;
mod nodes;
mod phones;
mod servers;
mod world;

use std::path::PathBuf;

use clap::Args;
use comfy_table::{Cell, CellAlignment, Table};

use super::Fault;
use world::{Outcome, Pacing, World};

/// Who dies under whom, and what things cost.
#[derive(Args, Clone, Debug)]
pub(crate) struct Storm {
    /// Phones, each with a flow to two edges
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) phones: u32,
    /// Edges, in two sites of as many
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub(crate) edges: u8,
    /// Edges that die: the first ones, which are of one site
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) dead: u8,
    /// Homes
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) homes: u8,
    /// The two edges of a phone may be of one site
    #[arg(long)]
    pub(crate) anywhere: bool,
    /// Phones notice within so long, each at another moment
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub(crate) noticed: u32,
    /// Processor time of a REGISTER, at an edge and at a home
    #[arg(long, value_name = "US", default_value_t = 15)]
    pub(crate) register: i64,
    /// Phones that speak TLS, in percent; the others speak UDP
    #[arg(long, value_name = "PERCENT", default_value_t = 100)]
    pub(crate) tls: u8,
    /// Edges that a phone has a TLS session with besides its own two, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0)]
    pub(crate) known: u8,
    /// Processor time of a full TLS handshake at an edge
    #[arg(long, value_name = "US", default_value_t = 250)]
    pub(crate) handshake: i64,
    /// Processor time of a resumed one
    #[arg(long, value_name = "US", default_value_t = 220)]
    pub(crate) resumed: i64,
    /// From an edge to a phone and back
    #[arg(long, value_name = "MS", default_value_t = 50)]
    pub(crate) rtt: u32,
    /// Processor time of a refusal, or of a repeated request
    #[arg(long, value_name = "US", default_value_t = 4)]
    pub(crate) refuse: i64,
    /// Processor time of a call or of its end, at an edge and at a home
    #[arg(long, value_name = "US", default_value_t = 40)]
    pub(crate) call: i64,
    /// Calls that are up when it happens; as many begin as end
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub(crate) calls: u32,
    /// Seconds after it to look at: the refreshes come after most of an hour
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 3_400)]
    pub(crate) seconds: u32,
    /// The seed of everything
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Draw the load of the survivors into this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

pub(super) fn run(options: &Storm) -> Result<(), Fault> {
    options.check().map_err(Fault::Options)?;
    let runs = [
        ("with pacing", Pacing::All),
        ("of requests alone", Pacing::Requests),
        ("without", Pacing::None),
    ]
    .map(|(name, pacing)| (name, World::new(options, pacing).run()));
    println!("{}", table(options, &runs));
    match &options.svg {
        Some(path) => chart::draw(&runs, path).map_err(Fault::Options),
        None => Ok(()),
    }
}

impl Storm {
    fn check(&self) -> Result<(), String> {
        let live = self.edges.saturating_sub(self.dead);
        if self.edges > 64 || live < 2 {
            return Err(format!(
                "{} edges of which {} die: at most 64, and two must be left",
                self.edges, self.dead
            ));
        }
        if self.dead > self.edges / 2 {
            return Err("at most one site may die, which is half of the edges".to_owned());
        }
        let most = 4_000_000;
        if self.phones == 0 || self.phones > most || self.homes == 0 || self.seconds > 20_000 {
            return Err(format!(
                "there must be phones, {most} at most, a home, and an end within 20000 seconds"
            ));
        }
        let prices = [
            self.register,
            self.refuse,
            self.call,
            self.handshake,
            self.resumed,
        ];
        if prices.iter().any(|price| *price < 1) {
            return Err("everything takes a microsecond at least".to_owned());
        }
        Ok(())
    }
}

/// What came of each run, side by side.
fn table(options: &Storm, runs: &[(&str, Outcome)]) -> String {
    type Row = (&'static str, fn(&Outcome) -> String);
    let rows: [Row; 14] = [
        ("flows lost", |run| run.lost_flows.to_string()),
        ("all phones have two flows again after, s", |run| {
            run.whole_after_s
                .map_or_else(|| "not in time".to_owned(), |s| format!("{s:.1}"))
        }),
        ("half of those that lost one after, s", |run| {
            run.half_after_s
                .map_or_else(|| "not in time".to_owned(), |s| format!("{s:.1}"))
        }),
        ("REGISTERs a second at a live edge, most", |run| {
            run.most_at_edge.to_string()
        }),
        ("the same in the hour after (refreshes)", |run| {
            run.most_later.to_string()
        }),
        ("oldest message in a queue, ms, edges", |run| {
            run.oldest_ms[0].to_string()
        }),
        ("the same, homes", |run| run.oldest_ms[1].to_string()),
        ("oldest message of a call at an edge, ms", |run| {
            run.oldest_call_ms.to_string()
        }),
        ("TLS handshakes, full and resumed", |run| {
            let [full, resumed] = run.handshakes;
            format!("{full}, {resumed}")
        }),
        ("connections closed as they came", |run| {
            run.closed.to_string()
        }),
        (
            "REGISTERs refused, and sent again for want of an answer",
            |run| format!("{}, {}", run.refused, run.repeated),
        ),
        ("dropped from full queues", |run| run.dropped.to_string()),
        ("calls ended in time, late (over 1 s), lost", |run| {
            let [well, late, lost] = run.ended;
            format!("{well}, {late}, {lost}")
        }),
        ("new calls set up in time, late, refused or lost", |run| {
            let [well, late, lost] = run.begun;
            format!("{well}, {late}, {lost}")
        }),
    ];
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    let names = runs.iter().map(|(name, _)| *name);
    table.set_header([""].into_iter().chain(names));
    for (name, cell) in rows {
        let right = |run| Cell::new(cell(run)).set_alignment(CellAlignment::Right);
        let cells = runs.iter().map(|(_, run)| right(run));
        table.add_row([Cell::new(name)].into_iter().chain(cells));
    }
    format!(
        "{} of {} edges die under {} phones; {} homes, {} µs a REGISTER\n{table}",
        options.dead, options.edges, options.phones, options.homes, options.register
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(dead: u8) -> Storm {
        Storm {
            phones: 20_000,
            edges: 16,
            dead,
            homes: 2,
            anywhere: false,
            noticed: 1_000,
            // As slow as a fiftieth of the phones is few.
            register: 750,
            refuse: 200,
            call: 2_000,
            tls: 0,
            known: 0,
            handshake: 12_500,
            resumed: 11_000,
            rtt: 50,
            calls: 2_000,
            seconds: 600,
            seed: 7,
            svg: None,
        }
    }

    #[test]
    fn a_site_dies_and_no_call_is_lost() {
        let options = small(8);
        let paced = World::new(&options, Pacing::All).run();
        assert!(paced.lost_flows > 19_000, "{paced:?}");
        assert!(paced.whole_after_s.is_some(), "{paced:?}");
        assert_eq!(paced.ended[2], 0, "{paced:?}");
        assert!(paced.refused > 1_000, "{paced:?}");
        let wild = World::new(&options, Pacing::None).run();
        assert!(
            wild.oldest_ms[1] > 4 * paced.oldest_ms[1],
            "{paced:?}\n{wild:?}"
        );
        assert_eq!(wild.refused, 0);
    }

    #[test]
    fn handshakes_leave_calls_their_time() {
        let options = Storm {
            tls: 100,
            ..small(8)
        };
        let paced = World::new(&options, Pacing::All).run();
        assert!(paced.handshakes[0] > 19_000, "{paced:?}");
        assert!(paced.whole_after_s.is_some(), "{paced:?}");
        assert!(paced.closed > 1_000, "{paced:?}");
        assert_eq!(paced.ended[2], 0, "{paced:?}");
        let open = World::new(&options, Pacing::Requests).run();
        let harmed = |run: &Outcome| run.ended[1] + run.begun[1] + run.begun[2];
        assert!(
            harmed(&paced) < 20 && harmed(&open) > 200,
            "{paced:?}\n{open:?}"
        );
        let knowing = Storm {
            known: 100,
            ..options
        };
        let resumed = World::new(&knowing, Pacing::All).run();
        assert_eq!(resumed.handshakes[0], 0, "{resumed:?}");
        assert!(resumed.handshakes[1] > 19_000, "{resumed:?}");
    }

    #[test]
    fn the_same_seed_is_the_same_storm() {
        let outcome = |seed| {
            let options = Storm {
                seed,
                seconds: 60,
                ..small(1)
            };
            format!("{:?}", World::new(&options, Pacing::All).run())
        };
        assert_eq!(outcome(3), outcome(3));
        assert_ne!(outcome(3), outcome(4));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for wrong in [
            Storm {
                dead: 16,
                ..small(1)
            },
            Storm {
                dead: 9,
                ..small(1)
            },
            Storm {
                phones: 0,
                ..small(1)
            },
            Storm {
                register: 0,
                ..small(1)
            },
            Storm {
                resumed: 0,
                ..small(1)
            },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        assert_eq!(small(8).check(), Ok(()));
    }
}
