//! What is looked at before and after a load: the clock and the processor time of whoever is
//! watched.

use std::time::{Duration, Instant};

use super::Fault;
use super::drive::{Scenario, drive};
use super::options::Options;
use super::pace::{Arrivals, Pace};
use super::tally::{Report, Tally};
use super::watch;
use super::wires::Wires;

/// What came of a load itself.
pub(super) struct Outcome {
    /// The counts.
    pub(super) tally: Tally,
    /// From the first attempt to the last one.
    pub(super) lasted: Duration,
    /// Further rows of the report.
    pub(super) more: Vec<(&'static str, u64)>,
}

/// Drives a scenario at the pace asked for.
pub(super) fn measure<S: Scenario>(
    options: &Options,
    mut scenario: S,
    wires: &mut Wires,
    name: &'static str,
) -> Result<Report, Fault> {
    watched(options, name, |pace, glance| {
        let lasted = drive(&mut scenario, wires, pace, glance)?;
        let mut more = vec![("closed", wires.closed() as u64)];
        more.extend(scenario.more());
        Ok(Outcome {
            tally: scenario.into_tally(),
            lasted,
            more,
        })
    })
}

/// Runs a load at the pace asked for, between two looks at the watched processes.
pub(super) fn watched(
    options: &Options,
    name: &'static str,
    load: impl FnOnce(&Pace, &mut dyn FnMut(&Tally)) -> Result<Outcome, Fault>,
) -> Result<Report, Fault> {
    let before = cpu(options)?;
    let (first, lasts) = (Instant::now(), Duration::from_secs(options.seconds));
    let arrivals = match options.rate {
        Some(rate) => Arrivals::Open {
            first,
            every: 1.0 / rate,
        },
        None => Arrivals::Closed {
            window: options.window,
        },
    };
    let pace = Pace {
        arrivals,
        until: first + lasts,
        most: options.count.unwrap_or(u64::MAX),
    };
    let progress = progress(options);
    let outcome = load(&pace, &mut |tally| {
        progress.set_position(first.elapsed().as_secs().min(options.seconds));
        progress.set_message(format!("{} done, {} failed", tally.done, tally.failed()));
    })?;
    progress.finish_and_clear();
    let after = cpu(options)?;
    let pairs = before.iter().zip(&after);
    let cpu = pairs.map(|((pid, before), (_, after))| (*pid, after - before));
    Ok(Report {
        scenario: name,
        label: options.label.clone(),
        tally: outcome.tally,
        lasted: outcome.lasted,
        cpu: cpu.collect(),
        more: outcome.more,
    })
}

/// Prints what came of a load.
pub(super) fn print(options: &Options, report: &Report) -> Result<(), Fault> {
    println!("{}", serde_json::to_string(report)?);
    if !options.json {
        println!("{}", report.table());
    }
    Ok(())
}

/// A fault where attempts failed.
pub(super) fn verdict(report: &Report) -> Result<(), Fault> {
    let (failed, attempted) = (report.tally.failed(), report.tally.attempted);
    if failed > 0 {
        return Err(Fault::Failed { failed, attempted });
    }
    Ok(())
}

fn progress(options: &Options) -> indicatif::ProgressBar {
    // Nothing is drawn where standard error is no terminal.
    let bar = indicatif::ProgressBar::new(options.seconds);
    let style = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} s  {msg}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_plain) => bar,
    }
}

/// Processor seconds of the watched processes and, last, of this one.
fn cpu(options: &Options) -> Result<Vec<(u32, f64)>, Fault> {
    let all = options.watch.iter().copied().chain([std::process::id()]);
    all.map(|pid| match watch::cpu_seconds(pid) {
        Ok(seconds) => Ok((pid, seconds)),
        Err(why) => Err(Fault::Watched { pid, why }),
    })
    .collect()
}
