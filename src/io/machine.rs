//! Settings of the machine that a node can do nothing about and suffers from:
//! said once, at its start, with the line that mends them (`tuning/README.md`).
//!
//! Not here: what it cannot start without (`rlimit`), and the buffers of its
//! sockets, which are asked for and read back (`socket`).

use super::rlimit;
use crate::limits;

/// Warns of every setting that is wrong.
pub fn warn_about_machine() {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    for warning in warnings(read, rlimit::open_files().ok()) {
        tracing::warn!("{warning}");
    }
}

/// Takes memory by pages of 4 KiB from now on. A huge one is cleared as a whole
/// when it is first written to, for a millisecond or two in a virtual machine,
/// and a node that grows does that several times a second.
pub fn take_small_pages() {
    if let Err(error) = nix::sys::prctl::set_thp_disable(true) {
        tracing::warn!(%error, "cannot keep huge pages away, so some answers may be late");
    }
}

/// What is wrong: a setting that cannot be read is none of ours to judge.
fn warnings(read: impl Fn(&str) -> Option<String>, open_files: Option<u64>) -> Vec<String> {
    let number = |path: &str| -> Option<u64> { read(path)?.trim().parse().ok() };
    let mut found = Vec::new();
    let backlog = u64::from(limits::BACKLOG.unsigned_abs());
    if let Some(most) = number("/proc/sys/net/core/somaxconn").filter(|most| *most < backlog) {
        found.push(format!(
            "only {most} connections may wait to be accepted, so phones that come back together \
             wait for their SYN's next second: `sysctl -w net.core.somaxconn={backlog}`"
        ));
    }
    if let Some(files) = open_files.filter(|files| *files < limits::OPEN_FILES) {
        found.push(format!(
            "only {files} files may be open, and each phone over TCP or TLS is one: `ulimit -Hn {}`, \
             for systemd `LimitNOFILE={}`",
            limits::OPEN_FILES,
            limits::OPEN_FILES
        ));
    }
    let governor = read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    if let Some(governor) = governor.filter(|governor| SLOW.contains(&governor.trim())) {
        found.push(format!(
            "the processor's governor is {}, so that a quiet node answers late: `cpupower \
             frequency-set -g performance`",
            governor.trim()
        ));
    }
    if let Some(most) = number("/proc/sys/net/netfilter/nf_conntrack_max")
        .filter(|most| *most < limits::TRACKED_FLOWS)
    {
        found.push(format!(
            "the firewall remembers {most} flows and drops what comes from one more: exempt SIP \
             (tuning/README.md), or `sysctl -w net.netfilter.nf_conntrack_max={}`",
            limits::TRACKED_FLOWS
        ));
    }
    found
}

/// Governors that let the clock fall while a shard waits.
const SLOW: [&str; 2] = ["powersave", "conservative"];

#[cfg(test)]
mod tests {
    use super::*;

    /// The first words of what is said of a machine with one setting.
    #[track_caller]
    fn check(path: &str, value: &str, files: u64, want: &[&str]) {
        let read = |asked: &str| (asked == path).then(|| format!("{value}\n"));
        let said = warnings(read, Some(files));
        assert_eq!(said.len(), want.len(), "{said:?}");
        for (said, want) in said.iter().zip(want) {
            assert!(said.contains(want), "{said}");
        }
    }

    #[test]
    fn each_wrong_setting_is_named_with_its_line() {
        let many = limits::OPEN_FILES;
        let somaxconn = "/proc/sys/net/core/somaxconn";
        check(somaxconn, "4096", many, &[]);
        check(
            somaxconn,
            "128",
            many,
            &["`sysctl -w net.core.somaxconn=4096`"],
        );
        check("", "", many - 1, &["`LimitNOFILE=65536`"]);
        let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
        check(governor, "performance", many, &[]);
        check(governor, "schedutil", many, &[]);
        check(governor, "powersave", many, &["governor is powersave"]);
        let tracked = "/proc/sys/net/netfilter/nf_conntrack_max";
        check(tracked, "1048576", many, &[]);
        check(tracked, "65536", many, &["nf_conntrack_max=1048576`"]);
        check(tracked, "no number", many, &[]);
    }
}
