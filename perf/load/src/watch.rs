//! Processor time of processes, as the kernel counts it.

use std::io;

use nix::unistd::{SysconfVar, sysconf};

/// Processor seconds that a process has used so far, in user space and in the
/// kernel, all its threads together (proc(5), `utime` and `stime`).
///
/// # Errors
/// When there is no such process.
pub(super) fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks(&text)
        .map(|ticks| ticks / ticks_a_second())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))
}

/// The sum of fields 14 and 15; the name before them may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields
        .split(' ')
        .skip(11)
        .map_while(|field| field.parse::<f64>().ok());
    Some(times.next()? + times.next()?)
}

/// 100 where the kernel does not say, as it does everywhere.
#[expect(clippy::cast_precision_loss, reason = "some hundred")]
fn ticks_a_second() -> f64 {
    let ticks = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    ticks.map_or(100.0, |ticks| ticks as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_fields() {
        let stat = "7 (a) b (1 2) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(ticks(stat), Some(200.0));
        assert_eq!(ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_used_some_and_no_process_none() {
        let mut sum = 0u64;
        while cpu_seconds(std::process::id()).unwrap() == 0.0 {
            sum = std::hint::black_box(sum + 1);
        }
        cpu_seconds(0).unwrap_err();
    }
}
