//! What the control group of the process may use.

use std::path::Path;

/// The memory that the group may use, in bytes, by its own limit or by that of a group around
/// it; `None`: as much as there is.
#[must_use]
pub fn limit() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    least(&groups, Path::new("/sys/fs/cgroup"), read)
}

/// The least of all limits on the way from the group to the root, of either version of control
/// groups (cgroups(7)).
fn least(groups: &str, root: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
    let mut found = None;
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(group)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = group.trim_start_matches('/');
        for folder in Path::new(group).ancestors() {
            let limit = read(&root.join(folder).join(file));
            let limit = limit.and_then(|text| text.trim().parse::<usize>().ok());
            // Version 1 says so where there is none.
            let limit = limit.filter(|bytes| *bytes < UNLIMITED);
            found = found.into_iter().chain(limit).min();
        }
    }
    found
}

/// The largest number of pages, in bytes, and what is not far from it.
const UNLIMITED: usize = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(groups: &str, files: &[(&str, &str)], want: Option<usize>) {
        let read = |path: &Path| {
            let mut files = files.iter();
            let found = files.find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        assert_eq!(least(groups, Path::new("/c"), read), want, "{files:?}");
    }

    #[test]
    fn the_least_limit_around_the_process_counts() {
        let second = "0::/system.slice/steadfast@e1.service\n";
        let own = "/c/system.slice/steadfast@e1.service/memory.max";
        check(second, &[(own, "max\n")], None);
        check(second, &[(own, "268435456\n")], Some(256 << 20));
        let around = ("/c/system.slice/memory.max", "1048576\n");
        check(second, &[(own, "268435456\n"), around], Some(1 << 20));
        check("0::/\n", &[("/c/memory.max", "77\n")], Some(77));
        let first = "5:cpu,memory:/node\n4:pids:/other\n0::/\n";
        let own = "/c/memory/node/memory.limit_in_bytes";
        check(first, &[(own, "9223372036854771712\n")], None);
        check(first, &[(own, "268435456\n")], Some(256 << 20));
        check("nonsense\n7:\n", &[(own, "1\n")], None);
    }
}
