//! The certificates: read at the start and whenever one of their files changes. Of those that
//! are not valid, or not for long, the log says so at once and each day again.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use super::give_all;
use super::stamp::{Stamp, stamp};
use crate::io::tls::{BadFile, Settings, Standing, Tls, Validity};
use crate::io::{Order, Orders};
use crate::limits;

/// The files of the certificates, and how they were when last looked at.
#[derive(Debug)]
pub struct Certificates {
    settings: Settings,
    seen: Vec<Stamp>,
    shown: Arc<ShownCertificates>,
    said: Vec<Option<(Standing, Instant)>>,
}

/// The certificates that the node shows, for whoever is asked.
#[derive(Debug, Default)]
pub struct ShownCertificates(Mutex<Vec<(PathBuf, Validity)>>);

impl Certificates {
    /// These files as they are now. Every later change is noticed.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let seen = stamps(&settings);
        Self {
            settings,
            seen,
            shown: Arc::default(),
            said: Vec::new(),
        }
    }

    /// Reads them; from then on they are those that the node shows.
    ///
    /// # Errors
    /// The first file that cannot be used.
    pub fn load(&mut self) -> Result<Tls, BadFile> {
        let tls = Tls::load(&self.settings)?;
        self.shown.set(tls.validities());
        // A new certificate is told of anew.
        self.said.clear();
        Ok(tls)
    }

    /// Whether these are the files that `settings` name, as they were read last.
    pub(super) fn are_of(&self, settings: &Settings) -> bool {
        self.settings == *settings && stamps(settings) == self.seen
    }

    /// What an operator is to know of them now, a sentence for each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let now = seconds();
        let all = self.shown.all();
        let warn = |(file, validity): &(PathBuf, Validity)| {
            let warning = validity.warning(now)?;
            Some(format!("{}: {warning}", file.display()))
        };
        all.iter().filter_map(warn).collect()
    }

    /// The ones that the node shows.
    #[must_use]
    pub fn shown(&self) -> Arc<ShownCertificates> {
        Arc::clone(&self.shown)
    }

    /// Shows these instead of those that somebody asks for.
    pub(super) fn take_the_place_of(&mut self, before: &Arc<ShownCertificates>) {
        before.set(&self.shown.all());
        self.shown = Arc::clone(before);
    }

    /// Says what an operator is to know of them, once a day and when it changes.
    fn say(&mut self) {
        let (now, all) = (seconds(), self.shown.all());
        self.said.resize(all.len(), None);
        for ((file, validity), said) in all.iter().zip(&mut self.said) {
            let standing = validity.standing(now);
            let is_said = said.is_some_and(|(before, at)| {
                before == standing && at.elapsed() < limits::CERTIFICATE_NOTICE_EVERY
            });
            if is_said {
                continue;
            }
            *said = Some((standing, Instant::now()));
            let (file, warning) = (file.display(), validity.warning(now));
            match (standing, warning) {
                (Standing::Ending, Some(warning)) => tracing::warn!("{file}: {warning}"),
                (_, Some(warning)) => tracing::error!("{file}: {warning}"),
                (_, None) => {}
            }
        }
    }

    /// Hands new certificates to the shards where a file has changed since they were read, and
    /// says what an operator is to know of those that there are.
    pub(super) async fn look(&mut self, shards: &[Orders]) {
        self.say();
        if stamps(&self.settings) != self.seen {
            self.read_again(shards).await;
        }
    }

    /// Reads them again and hands them to the shards. What cannot be used is logged once, and
    /// the certificates before it stay.
    pub(super) async fn read_again(&mut self, shards: &[Orders]) {
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
        give_all(shards, &order).await;
    }
}

impl ShownCertificates {
    /// Each with its file and when it is valid.
    #[must_use]
    pub fn all(&self) -> Vec<(PathBuf, Validity)> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Whether there are some, and none is valid now.
    #[must_use]
    pub fn none_valid(&self) -> bool {
        let (now, all) = (seconds(), self.all());
        let mut each = all.iter();
        !all.is_empty() && !each.any(|(_, validity)| validity.is_valid(now))
    }

    fn set(&self, all: &[(PathBuf, Validity)]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.clone_into(&mut known);
    }
}

/// Now, in seconds since 1970.
fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |passed| passed.as_secs())
}

fn stamps(settings: &Settings) -> Vec<Stamp> {
    let pairs = settings.pairs.iter();
    let files = pairs.flat_map(|pair| [&pair.cert, &pair.key]);
    files.chain(&settings.ca).map(|path| stamp(path)).collect()
}
