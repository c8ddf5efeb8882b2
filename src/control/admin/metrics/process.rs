//! What the process takes of the machine, under the names that every Prometheus client gives it.

use procfs::process::{LimitValue, Process};
use prometheus_client::registry::Unit;

use super::Writer;

/// What the kernel says of this process.
#[derive(Clone, Copy, Debug)]
pub(in crate::control::admin) struct ProcessNumbers {
    pub(in crate::control::admin) cpu_seconds: f64,
    pub(in crate::control::admin) resident_bytes: u64,
    virtual_bytes: u64,
    pub(in crate::control::admin) open_fds: u64,
    /// `None`: as many as it likes.
    max_fds: Option<u64>,
    /// Since 1970.
    start_seconds: f64,
    threads: u64,
}

impl ProcessNumbers {
    /// Asks `/proc`; `None` where it does not say.
    pub(in crate::control::admin) fn read() -> Option<Self> {
        match Self::ask() {
            Ok(numbers) => Some(numbers),
            Err(error) => {
                tracing::debug!(%error, "/proc does not say what the process takes");
                None
            }
        }
    }

    fn ask() -> procfs::ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = |count: u64| count as f64 / procfs::ticks_per_second() as f64;
        let max_fds = match process.limits()?.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        };
        Ok(Self {
            cpu_seconds: ticks(stat.utime + stat.stime),
            resident_bytes: stat.rss * procfs::page_size(),
            virtual_bytes: stat.vsize,
            open_fds: u64::try_from(process.fd_count()?).unwrap_or(u64::MAX),
            max_fds,
            start_seconds: procfs::boot_time_secs()? as f64 + ticks(stat.starttime),
            threads: u64::try_from(stat.num_threads).unwrap_or_default(),
        })
    }

    /// These have no label: one process is one node.
    pub(super) fn write(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        let help = "Processor time of the process, its own and that of the kernel for it.";
        out.counter("process_cpu", help, Some(&Unit::Seconds))?
            .add(&[], self.cpu_seconds)?;
        let help = "Memory of the process that is in use.";
        out.gauge("process_resident_memory", help, Some(&Unit::Bytes))?
            .add(&[], self.resident_bytes)?;
        let help = "Addresses that the process has taken.";
        out.gauge("process_virtual_memory", help, Some(&Unit::Bytes))?
            .add(&[], self.virtual_bytes)?;
        let help = "File descriptors in use, most of them connections.";
        out.gauge("process_open_fds", help, None)?
            .add(&[], self.open_fds)?;
        if let Some(most) = self.max_fds {
            let help = "File descriptors that the process may have.";
            out.gauge("process_max_fds", help, None)?.add(&[], most)?;
        }
        let help = "When the process was started, since 1970.";
        out.gauge("process_start_time", help, Some(&Unit::Seconds))?
            .add(&[], self.start_seconds)?;
        let help = "Threads of the process.";
        out.gauge("process_threads", help, None)?
            .add(&[], self.threads)
    }
}
