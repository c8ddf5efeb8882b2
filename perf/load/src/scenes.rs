//! The loads of the command line: the phones of each and its two ends.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use steadfast_core::id::Transport;

use super::Fault;
use super::bounds;
use super::calls::{self, Callees, Calls};
use super::compose::World;
use super::drive::{Scenario as _, drive};
use super::failure::Failure;
use super::measure::{self, measure};
use super::options::{Failover, Options, Scene, Speaks};
use super::outline::MessageOutline;
use super::pace::{Arrivals, Pace};
use super::phones::{Manner, Phone};
use super::registrations::Registrations;
use super::tally::Tally;
use super::trust::Trust;
use super::wires::{Line, Wires};

/// Allows as many open files as the process may allow itself.
pub(super) fn raise_open_files() -> Result<(), Fault> {
    let of = Resource::RLIMIT_NOFILE;
    let raised = getrlimit(of).and_then(|(_, most)| setrlimit(of, most, most));
    raised.map_err(|fault| Fault::Options(format!("the limit of open files stays: {fault}")))
}

/// Runs one and prints what came of it.
///
/// # Errors
/// When it cannot run, or when an attempt failed.
pub(super) fn run(
    options: &Options,
    scene: Scene,
    failover: Option<&Failover>,
) -> Result<(), Fault> {
    options.check().map_err(Fault::Options)?;
    raise_open_files()?;
    let mut wires = Wires::new()?;
    if scene == Scene::Calls {
        listen(options, &mut wires)?;
    }
    let phones = phones(options, &mut wires)?;
    let run = u16::try_from(std::process::id() & 0xffff).unwrap_or_default();
    let report = match scene {
        Scene::Registrations => {
            let scenario = registrations(options, phones, run)?;
            measure(options, scenario, &mut wires, "registrations")?
        }
        Scene::Calls => {
            let scenario = calls(options, Callees::Anybody, phones, run)?;
            measure(options, scenario, &mut wires, "calls")?
        }
        Scene::CallsToRegistered => {
            let phones = registered(options, phones, &mut wires, run)?;
            let scenario = calls(options, Callees::Phones, phones, run)?;
            measure(options, scenario, &mut wires, "calls-to-registered")?
        }
        Scene::Failover => {
            let mut scenario = calls(
                options,
                Callees::Phones,
                phones_of_two_edges(options, phones, &mut wires, run)?,
                run,
            )?;
            scenario.failure = failover.map(|failover| {
                Failure::new(
                    Pid::from_raw(failover.kill),
                    Instant::now() + Duration::from_secs(failover.after),
                )
            });
            measure(options, scenario, &mut wires, "failover")?
        }
    };
    measure::print(options, &report)?;
    linger(&mut wires, Duration::from_secs(options.linger))?;
    measure::verdict(&report)
}

/// Keeps the flows open, for whoever measures what they cost.
fn linger(wires: &mut Wires, lasts: Duration) -> Result<(), Fault> {
    let until = Instant::now() + lasts;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        wires.receive(left, |_, _, _| {})?;
    }
}

fn world(options: &Options) -> World {
    let route = options.route.as_ref();
    let route = route.map(|uri| format!("Route: <{uri}>\r\n").into_bytes());
    World {
        domain: options.domain.clone().into_bytes(),
        transport: options.transport.into(),
        route: route.unwrap_or_default(),
    }
}

fn manner(options: &Options) -> Manner {
    Manner {
        password: options.password.clone().map(String::into_bytes),
        outbound: options.outbound,
        expires_s: options.expires,
    }
}

fn registrations(options: &Options, phones: Vec<Phone>, run: u16) -> Result<Registrations, Fault> {
    let common = (world(options), manner(options));
    let (tally, outline) = (Tally::new()?, MessageOutline::default());
    Ok(Registrations::new(common, phones, run, tally, outline))
}

fn calls(
    options: &Options,
    callees: Callees,
    phones: Vec<Phone>,
    run: u16,
) -> Result<Calls, Fault> {
    let setup = calls::Setup {
        world: world(options),
        callees,
        hold: Duration::from_millis(options.hold),
        run,
    };
    Ok(Calls::new(setup, phones, Tally::new()?))
}

/// Registers every phone once, before anything is counted.
fn registered(
    options: &Options,
    phones: Vec<Phone>,
    wires: &mut Wires,
    run: u16,
) -> Result<Vec<Phone>, Fault> {
    let mut scenario = registrations(options, phones, run)?;
    let pace = Pace {
        arrivals: Arrivals::Closed {
            window: REGISTERING,
        },
        until: Instant::now() + Duration::from_secs(bounds::SECONDS_MAX),
        most: scenario.phones.len() as u64,
    };
    drive(&mut scenario, wires, &pace, |_| {})?;
    let phones = std::mem::take(&mut scenario.phones);
    let tally = scenario.into_tally();
    if tally.failed() > 0 {
        let (failed, attempted) = (tally.failed(), tally.attempted);
        let refused: Vec<_> = tally.refused.keys().map(ToString::to_string).collect();
        return Err(Fault::Options(format!(
            "{failed} of {attempted} phones could not register first (refused with: {}; without \
             an answer: {})",
            refused.join(", "),
            tally.timed_out
        )));
    }
    Ok(phones)
}

/// Registers every phone at the edge it sends to, and at the one that its 200
/// names.
fn phones_of_two_edges(
    options: &Options,
    phones: Vec<Phone>,
    wires: &mut Wires,
    run: u16,
) -> Result<Vec<Phone>, Fault> {
    let mut phones = registered(options, phones, wires, run)?;
    if !phones.iter().all(Phone::knows_another) {
        return Err(Fault::Options(
            "some phones were told of no second edge (Outbound-Proxy): `failover` needs --outbound \
             and edges with a `set_size` of 2"
                .to_owned(),
        ));
    }
    phones.iter_mut().for_each(|phone| phone.preferred = 1);
    let mut phones = registered(options, phones, wires, run)?;
    phones.iter_mut().for_each(|phone| phone.preferred = 0);
    Ok(phones)
}

/// REGISTERs under way at once before calls to registered phones.
const REGISTERING: usize = 32;

/// The socket at the far side of the proxy.
fn listen(options: &Options, wires: &mut Wires) -> Result<(), Fault> {
    let addr = options.callee;
    if options.transport == Speaks::Tls {
        return Err(Fault::Options(
            "the callee of `calls` has no certificate: over TLS there are `calls-to-registered` \
             and `registrations`"
                .to_owned(),
        ));
    }
    let opened = match options.transport.into() {
        Transport::Udp => wires.datagrams(addr).map(|_port| ()),
        Transport::Tcp | Transport::Tls => wires.listen(addr),
    };
    opened.map_err(|why| Fault::Callee { addr, why })
}

/// The phones, each with a flow of its own.
fn phones(options: &Options, wires: &mut Wires) -> Result<Vec<Phone>, Fault> {
    let base = u32::from(options.from);
    let mut ports = Vec::new();
    if options.transport == Speaks::Udp {
        for _ in 0..options.sockets {
            let any = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
            ports.push(wires.datagrams(any)?);
        }
    }
    let trust = options.ca.as_ref();
    let trust = trust.map(|ca| Trust::load(ca, &options.name)).transpose()?;
    let mut phones = Vec::new();
    for number in 0..options.phones {
        let to = options.to[number as usize % options.to.len()];
        let line = match ports.len() {
            0 => wires
                .connect(Ipv4Addr::from(base + number), to, trust.as_ref())
                .map_err(|why| Fault::Connect { addr: to, why })?,
            sockets => {
                let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
                Line::Datagrams {
                    port: ports[(number % sockets) as usize],
                    local: Ipv4Addr::from(base + number / sockets),
                }
            }
        };
        phones.push(Phone::new(line, to));
    }
    Ok(phones)
}
