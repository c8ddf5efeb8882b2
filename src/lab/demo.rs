//! `steadfast demo`: a call that outlives its edge, played with real processes.
//!
//! A fresh lab and two phones that know their names and passwords. joe finds
//! his edges, calls ann, and his primary edge is killed while they talk. What
//! follows is measured on the messages themselves, and the command succeeds
//! only if nothing was lost.

mod exchange;
mod stage;
mod table;

use std::path::Path;
use std::time::Duration;

use super::processes::Nodes;
use super::{EDGES, Folder, HOME, files};
use crate::agent::Command;
use crate::config::random;
use crate::send::Event;
use crate::ua::Speaks;
use exchange::Side;
use stage::Stage;
use table::Row;

/// How the demonstration is to be run.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoOptions {
    /// What the phones speak
    #[arg(long, value_enum, default_value_t = Speaks::Tls)]
    transport: Speaks,
    /// Seal the tokens as in production, instead of showing what is in them
    #[arg(long)]
    sealed: bool,
    /// Print every message that a phone sends or receives
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Why the demonstration has not shown what it should.
#[derive(Debug, thiserror::Error)]
pub enum DemoFault {
    /// The lab itself.
    #[error(transparent)]
    Lab(#[from] super::Fault),
    /// A phone could not be started.
    #[error(transparent)]
    Phone(#[from] crate::ua::Fault),
    /// Processes, signals or randomness.
    #[error("the kernel refused what the demonstration needs: {0}")]
    Kernel(#[from] std::io::Error),
    /// Something did not happen in time.
    #[error("lost: {0}")]
    Lost(String),
}

/// Longest wait for anything that a person would call immediate.
const PATIENCE: Duration = Duration::from_secs(10);
/// What people take between two steps.
const PAUSE: Duration = Duration::from_millis(300);

/// Plays it.
///
/// # Errors
/// When the lab does not start, or when anything was lost.
pub fn demo(options: &DemoOptions) -> Result<(), DemoFault> {
    let folder = Folder::new(None)?;
    let key: [u8; 64] = random()?;
    let shape = files::Shape {
        core: options.transport.transport(),
        shards: 1,
        counts: files::Counts::Strangers,
    };
    files::write(folder.path(), options.sealed.then_some(&key), shape)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut nodes = Nodes::start(folder.path())?;
        nodes.until_all_listen().await?;
        let played = play(options, folder.path(), &mut nodes).await;
        nodes.stop().await?;
        let rows = played?;
        println!("\n{}", table::draw(&rows));
        let lost = rows.iter().filter(|row| !row.is_good()).count();
        println!(
            "calls lost: {lost}; state copied between the edges: none; \
             what the phones were configured with: a name and a password"
        );
        if lost == 0 {
            Ok(())
        } else {
            Err(DemoFault::Lost(format!("{lost} of {} steps", rows.len())))
        }
    })
}

async fn play(
    options: &DemoOptions,
    folder: &Path,
    nodes: &mut Nodes,
) -> Result<Vec<Row>, DemoFault> {
    let mut stage = Stage::new(options.transport, folder, options.verbose)?;
    let mut rows = Vec::new();

    say(
        1,
        "joe knows sip:joe@example.com, his password, and where example.com is.",
    );
    register(&mut stage, Side::Joe, &mut rows).await?;
    say(2, "ann does the same, by way of another edge.");
    register(&mut stage, Side::Ann, &mut rows).await?;

    say(3, "joe calls ann; she answers.");
    let since = stage.clock();
    stage.command(Side::Joe, Command::Call("sip:ann@example.com".to_owned()));
    stage
        .until("the call is answered", PATIENCE, |side, event| {
            side == Side::Ann && matches!(event, Event::Established { .. })
        })
        .await?;
    stage.rest(PAUSE).await?;
    let set_up = stage.exchange(Side::Joe, "INVITE", since);
    let victim = set_up.as_ref().and_then(|exchange| exchange.caller_edge());
    rows.push(Row::of("INVITE", Side::Joe, set_up));
    stage.show_record_route();
    let Some(victim) = victim else {
        return Err(DemoFault::Lost(
            "the INVITE went through no edge".to_owned(),
        ));
    };

    say(
        4,
        &format!(
            "kill -9 {}: the edge that carries joe's side of the call.",
            victim.name
        ),
    );
    nodes.kill(victim).await?;

    say(
        5,
        "ann's phone renews the call; the home goes round the dead edge.",
    );
    renew(&mut stage, Side::Ann, &mut rows).await?;
    say(
        6,
        "joe's phone renews it; it goes round the dead edge by itself.",
    );
    renew(&mut stage, Side::Joe, &mut rows).await?;
    say(7, "ann hangs up.");
    hang_up(&mut stage, Side::Ann, &mut rows).await?;

    say(
        8,
        "With the edge still dead, ann calls joe, and joe hangs up.",
    );
    let since = stage.clock();
    stage.command(Side::Ann, Command::Call("sip:joe@example.com".to_owned()));
    stage
        .until("the second call is answered", PATIENCE, |side, event| {
            side == Side::Joe && matches!(event, Event::Established { .. })
        })
        .await?;
    stage.rest(PAUSE).await?;
    rows.push(Row::of(
        "INVITE",
        Side::Ann,
        stage.exchange(Side::Ann, "INVITE", since),
    ));
    hang_up(&mut stage, Side::Joe, &mut rows).await?;
    Ok(rows)
}

async fn register(stage: &mut Stage, side: Side, rows: &mut Vec<Row>) -> Result<(), DemoFault> {
    let since = stage.clock();
    stage.command(side, Command::Register);
    let flows = stage
        .until("both flows are registered", PATIENCE, |who, event| {
            who == side && matches!(event, Event::Ready { .. })
        })
        .await?;
    stage.show_discovery(side);
    let is_whole = matches!(flows, Event::Ready { flows: 2, .. });
    let mut row = Row::of("REGISTER", side, stage.exchange(side, "REGISTER", since));
    row.doubt(!is_whole);
    rows.push(row);
    Ok(())
}

async fn renew(stage: &mut Stage, side: Side, rows: &mut Vec<Row>) -> Result<(), DemoFault> {
    let since = stage.clock();
    stage.command(side, Command::Renew);
    let end = stage
        .until("the re-INVITE is answered", PATIENCE, |who, event| {
            who == side
                && matches!(
                    event,
                    Event::Renewed { .. } | Event::NotRenewed { .. } | Event::Failed { .. }
                )
        })
        .await?;
    stage.rest(PAUSE).await?;
    let mut row = Row::of("re-INVITE", side, stage.exchange(side, "INVITE", since));
    row.doubt(!matches!(end, Event::Renewed { .. }));
    stage.show_way(side, &row);
    rows.push(row);
    Ok(())
}

async fn hang_up(stage: &mut Stage, side: Side, rows: &mut Vec<Row>) -> Result<(), DemoFault> {
    let since = stage.clock();
    stage.command(side, Command::Hangup);
    let end = stage
        .until("the BYE is answered", PATIENCE, |who, event| {
            who == side && matches!(event, Event::Ended { .. } | Event::Failed { .. })
        })
        .await?;
    let mut row = Row::of("BYE", side, stage.exchange(side, "BYE", since));
    row.doubt(!matches!(end, Event::Ended { .. }));
    stage.show_way(side, &row);
    rows.push(row);
    Ok(())
}

fn say(step: u8, words: &str) {
    println!("\n{step}. {words}");
}

/// The lab's name for an address; the address itself when it has none.
fn name_of(addr: std::net::SocketAddr) -> String {
    node_of(addr).map_or_else(|| addr.to_string(), |node| node.name.to_owned())
}

fn node_of(addr: std::net::SocketAddr) -> Option<super::NodeAddress> {
    let ip = addr.ip().to_string();
    let mut all = std::iter::once(HOME).chain(EDGES);
    all.find(|node| node.ip == ip)
}
