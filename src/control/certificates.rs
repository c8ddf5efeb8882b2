//! The certificates: read at the start and whenever one of their files changes.

use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::Notify;

use crate::io::tls::{BadFile, Settings, Tls};
use crate::io::{Order, Orders};
use crate::limits;

/// The files of the certificates, and how they were when last looked at.
#[derive(Debug)]
pub struct Certificates {
    settings: Settings,
    seen: Vec<Option<Stamp>>,
}

/// What changes when a file does: its length and its time.
type Stamp = (u64, SystemTime);

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

    fn have_changed(&mut self) -> bool {
        let found = stamps(&self.settings);
        let changed = found != self.seen;
        self.seen = found;
        changed
    }
}

/// Hands new certificates to the shards whenever a file has changed, and whenever it is asked to
/// read them `again`. What cannot be used is logged once, and the certificates before it stay.
pub(super) async fn watch(certificates: Option<Certificates>, again: &Notify, shards: &[Orders]) {
    let Some(mut certificates) = certificates else {
        return std::future::pending().await;
    };
    loop {
        let is_asked = tokio::select! {
            () = tokio::time::sleep(limits::FILE_WATCH) => false,
            () = again.notified() => true,
        };
        if !certificates.have_changed() && !is_asked {
            continue;
        }
        let order = match certificates.load() {
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

fn stamps(settings: &Settings) -> Vec<Option<Stamp>> {
    let pairs = settings.pairs.iter();
    let files = pairs.flat_map(|pair| [&pair.cert, &pair.key]);
    files.chain(&settings.ca).map(|path| stamp(path)).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.len(), found.modified().ok()?))
}
