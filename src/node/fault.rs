//! Why a node cannot run, and where its file says what is wrong.

use std::path::PathBuf;

use crate::config::{self, Config};
use crate::control::{AdminFault, FlowsFault, ListFault, NameServerFault, StoreFault};
use crate::io;

/// Why a node cannot run, each a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Cores or limits.
    #[error(transparent)]
    Io(#[from] io::Fault),
    /// A listener.
    #[error("{at}: {fault}")]
    Listen {
        /// Where the configuration lists it.
        at: String,
        /// What is wrong with it.
        fault: io::Fault,
    },
    /// The registrations on disk.
    #[error(transparent)]
    Store(#[from] StoreFault),
    /// The store that several homes share.
    #[error("{0}")]
    SharedStore(String),
    /// The flows of UDP phones on disk.
    #[error("{at}: {fault}")]
    Flows {
        /// Where the configuration names them.
        at: String,
        /// What is wrong with them.
        fault: FlowsFault,
    },
    /// The control socket and the port of the metrics.
    #[error("{at}: {fault}")]
    Admin {
        /// Where the configuration names it.
        at: String,
        /// What is wrong with it.
        fault: AdminFault,
    },
    /// The sockets of the name server.
    #[error("{at}: {fault}")]
    Names {
        /// Where the configuration lists them.
        at: String,
        /// What is wrong with one.
        fault: NameServerFault,
    },
    /// The list of subscribers.
    #[error(transparent)]
    Subscribers(#[from] ListFault),
    /// The certificates.
    #[error("the certificates cannot be used: {0}")]
    Tls(#[from] io::tls::BadFile),
    /// The key of the home.
    #[error("cannot keep the key of the home in {}: {why}; make its folder writable, or name a `nonce_key_file`", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: std::io::Error,
    },
    /// The process before, which this one was to go on for.
    #[error("cannot go on for another process: {0}")]
    TakeOver(String),
    /// Threads and randomness, which the kernel has plenty of.
    #[error("the kernel refused what every node needs: {0}")]
    Kernel(#[from] std::io::Error),
}

pub(super) fn flows_fault(flows: &config::Flows) -> impl Fn(FlowsFault) -> Fault + '_ {
    |fault| Fault::Flows {
        at: flows.at.clone(),
        fault,
    }
}

pub(super) fn admin_fault(config: &Config, fault: AdminFault) -> Fault {
    let at = match fault {
        AdminFault::Control { .. } => &config.places.control,
        AdminFault::Metrics { .. } => &config.places.metrics,
    };
    let at = at.clone();
    Fault::Admin { at, fault }
}

pub(super) fn listen_fault(config: &Config, fault: io::Fault) -> Fault {
    let places = &config.places;
    let at = match &fault {
        io::Fault::CorePort { .. } => &places.core_port,
        io::Fault::Listen { purpose, .. } => match purpose {
            io::Purpose::Everybody => &places.listen,
            io::Purpose::Covering => &places.covers,
            io::Purpose::Peers => &places.core_listen,
            io::Purpose::CoreSide => &places.core,
        },
        io::Fault::LockedMemory { .. }
        | io::Fault::OpenFiles { .. }
        | io::Fault::Cores { .. }
        | io::Fault::Executor(_)
        | io::Fault::OldKernel { .. }
        | io::Fault::Kernel(_) => return Fault::Io(fault),
    };
    let at = at.clone();
    Fault::Listen { at, fault }
}
