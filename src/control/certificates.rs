//! The certificates: read at the start and whenever one of their files changes.

use std::sync::Arc;

use super::stamp::{Stamp, stamp};
use crate::io::tls::{BadFile, Settings, Tls};
use crate::io::{Order, Orders};

/// The files of the certificates, and how they were when last looked at.
#[derive(Debug)]
pub struct Certificates {
    settings: Settings,
    seen: Vec<Stamp>,
}

impl Certificates {
    /// These files as they are now. Every later change is noticed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let seen = stamps(&settings);
        Self { settings, seen }
    }

    /// Reads them.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(&self) -> Result<Tls, BadFile> {
        Tls::load(&self.settings)
    }

    /// Whether these are the files that `settings` name, as they were read last.
    pub(super) fn are_of(&self, settings: &Settings) -> bool {
        self.settings == *settings && stamps(settings) == self.seen
    }

    /// Hands new certificates to the shards where a file has changed since they were read.
    pub(super) fn look(&mut self, shards: &[Orders]) {
        if stamps(&self.settings) != self.seen {
            self.read_again(shards);
        }
    }

    /// Reads them again and hands them to the shards. What cannot be used is logged once, and
    /// the certificates before it stay.
    pub(super) fn read_again(&mut self, shards: &[Orders]) {
        self.seen = stamps(&self.settings);
        let order = match self.load() {
            Ok(tls) => {
                tracing::info!("read the certificates again: new connections use them");
                Order::Tls(Arc::new(tls))
            }
            Err(fault) => {
                tracing::error!("{fault}; the certificates before stay");
                Order::TlsRefused
            }
        };
        shards.iter().for_each(|shard| shard.give(order.clone()));
    }
}

fn stamps(settings: &Settings) -> Vec<Stamp> {
    let pairs = settings.pairs.iter();
    let files = pairs.flat_map(|pair| [&pair.cert, &pair.key]);
    files.chain(&settings.ca).map(|path| stamp(path)).collect()
}
