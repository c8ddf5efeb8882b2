//! A node that goes on in the place of one of another process (`upgrade`).

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use nix::unistd::dup2_stdin;

use super::{
    Beginning, Disk, Fault, Settled, Shards, begin, certificates, check, listening, open, prepare,
};
use crate::config::{Config, Role, Source, StoreAt, seed};
use crate::control::{
    AdminSockets, FlowTable, LogFilter, NameServer, SharedStore, Store, TableSource,
};
use crate::edge::is_live;
use crate::io::{Begins, Clock, Inheritance, Inherited};
use crate::limits;
use crate::shard;
use crate::upgrade::{ControlSocketsPart, Estate, Hello, Line, ShardBytes};

/// Goes on in the place of the process that has started this one with a line to it as standard
/// input, and runs until a signal has ended it.
///
/// # Errors
/// When it cannot; that one is told, and goes on.
pub fn take_over(config: Config, source: Source, log: LogFilter) -> Result<(), Fault> {
    let line = std::io::stdin().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?).map_err(std::io::Error::from)?;
    let line = Line::of(line);
    let gone_on = go_on(&line, config, source, log);
    if let Err(why) = &gone_on
        && let Err(error) = line.say(&format!("no {why}"), &[])
    {
        tracing::debug!(%error, "nobody is there to hear it");
    }
    gone_on
}

fn go_on(line: &Line, mut config: Config, mut source: Source, log: LogFilter) -> Result<(), Fault> {
    prepare(&config)?;
    check(&config)?;
    let certificates = certificates(&config)?;
    let opened = open(&config.role)?;
    let hello = Hello::own(config.shards, source.digest());
    line.say(&hello.to_string(), &[])?;
    let Estateful {
        estate,
        parts,
        mut sockets,
    } = receive(line)?;
    source.inherit_keys(&mut config, estate.keys);
    let role = with_settings(opened.role, &config.role);
    let clock = Clock::read(estate.clock)?;
    let (ready, answers) = channel();
    let (mut begins, mut goes) = (Vec::new(), Vec::new());
    for (shard, (part, (core, shell))) in estate.shards.iter().zip(parts).enumerate() {
        let (go, told) = channel();
        goes.push(go);
        begins.push(Begins::Inherited(Inherited {
            inheritance: Inheritance {
                core,
                shell,
                sockets: sockets.by_ref().take(part.sockets).collect(),
            },
            outgoing: listening(&config).outgoing(shard),
            ready: ready.clone(),
            go: told,
        }));
    }
    drop(ready);
    let (admin_sockets, name_server) = control_sockets(&config, estate.control_sockets, sockets)?;
    let beginning = Beginning {
        shards: Shards {
            clock,
            node_seed: estate.node_seed,
            seeds: estate.shards.iter().map(|part| part.seed).collect(),
            begins,
            restored: Arc::default(),
        },
        disk: disk(&config, clock),
        admin_sockets,
        name_server,
    };
    let settled = Settled {
        config,
        source,
        log,
        role,
        subscribers: opened.subscribers,
        certificates,
    };
    begin(settled, beginning, || await_go(line, &answers, &goes))
}

/// The role with these settings and its own subscribers.
fn with_settings(role: shard::Role, settings: &Role) -> shard::Role {
    match (role, settings) {
        (shard::Role::Home(_, list), Role::Home(home)) => {
            shard::Role::Home(home.settings.clone(), list)
        }
        (_, Role::Edge(edge)) => shard::Role::Edge(edge.clone()),
        (role, Role::Home(_)) => role,
    }
}

/// What came from the process before.
struct Estateful {
    estate: Estate,
    parts: Vec<ShardBytes>,
    sockets: std::vec::IntoIter<OwnedFd>,
}

fn receive(line: &Line) -> Result<Estateful, Fault> {
    let gone = || Fault::TakeOver("it has changed its mind, or is gone".to_owned());
    let heard = line.hear(None)?.ok_or_else(gone)?;
    let file = heard.descriptors.into_iter().next().ok_or_else(gone)?;
    let (estate, parts) = Estate::read(file)?;
    let ControlSocketsPart {
        control,
        metrics,
        datagrams,
        listeners,
    } = estate.control_sockets;
    let of_shards: usize = estate.shards.iter().map(|part| part.sockets).sum();
    let all = of_shards + usize::from(control) + usize::from(metrics) + datagrams + listeners;
    let mut sockets = Vec::new();
    while sockets.len() < all {
        let heard = line.hear(Some(limits::UPGRADE_TAKE_MAX))?;
        sockets.extend(heard.ok_or_else(gone)?.descriptors);
    }
    let sockets = sockets.into_iter();
    Ok(Estateful {
        estate,
        parts,
        sockets,
    })
}

/// Says that all shards could go on, has them do so once the process before says that it
/// will not, and says when they do.
fn await_go(
    line: &Line,
    answers: &Receiver<Result<(), String>>,
    goes: &[Sender<()>],
) -> Result<(), Fault> {
    for _ in goes {
        let answer = answers.recv();
        let answer = answer.unwrap_or_else(|_ended| Err("a shard has ended".to_owned()));
        answer.map_err(Fault::TakeOver)?;
    }
    line.say("ready", &[])?;
    // One that goes on itself ends this process first: who is gone has crashed.
    if line.hear(None)?.is_none() {
        tracing::warn!("the process before ended without a word: this one goes on");
    }
    for go in goes {
        let told = go.send(());
        told.map_err(|_ended| Fault::TakeOver("a shard has ended".to_owned()))?;
    }
    for _ in goes {
        let up = answers.recv();
        up.map_err(|_ended| Fault::TakeOver("a shard has ended".to_owned()))?
            .map_err(Fault::TakeOver)?;
    }
    // The process before only measures by it.
    if let Err(error) = line.say("up", &[]) {
        tracing::debug!(%error, "the process before is gone already");
    }
    Ok(())
}

/// What is on disk is open in the process before, and written by this one later.
fn disk(config: &Config, clock: Clock) -> Disk {
    match (&config.role, &config.flows) {
        (Role::Home(home), _) => match &home.store {
            None => Disk::Nothing,
            Some(StoreAt::File(path)) => {
                let mut store = Store::later(path);
                store.set_awaited(home.settings.is_durable);
                Disk::Store(store)
            }
            Some(StoreAt::Shared(at)) => {
                let home = &home.settings;
                let store = SharedStore::new(at.clone(), &home.domain, home.is_durable, true);
                Disk::Shared(store)
            }
        },
        (Role::Edge(edge), Some(flows)) => {
            let owner = format!("{}/{}", edge.cluster, edge.name);
            let (path, most) = (flows.path.clone(), flows.most);
            let open = move || {
                let is_live =
                    |key: &[u8], value: &[u8]| is_live(clock.now(), clock.wall(), key, value);
                FlowTable::open(&path, &owner, most, is_live)
            };
            Disk::Flows(TableSource::Later(Box::new(open)), Arc::default())
        }
        (Role::Edge(_), None) => Disk::Nothing,
    }
}

fn control_sockets(
    config: &Config,
    part: ControlSocketsPart,
    mut sockets: impl Iterator<Item = OwnedFd>,
) -> Result<(AdminSockets, Option<NameServer>), Fault> {
    let control = part.control.then(|| sockets.next()).flatten();
    let metrics = part.metrics.then(|| sockets.next()).flatten();
    let admin_sockets = AdminSockets::inherited(control.zip(config.control.as_deref()), metrics)?;
    let datagrams = sockets.by_ref().take(part.datagrams).collect();
    let listeners = sockets.take(part.listeners).collect();
    let name_server = match config.name_server {
        Some(_) => Some(NameServer::inherited(datagrams, listeners, seed()?)),
        None => None,
    };
    Ok((admin_sockets, name_server))
}
