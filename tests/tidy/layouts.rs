//! What is carried from one process to the next (`core/carry.rs`), as the sources say it, and the
//! version of it.

use crate::source::Source;

/// The version of what is carried, and a hash of what its types say.
///
/// Where this fails, what is carried has changed: raise `carry::VERSION`, unless only names are
/// others, and put both numbers here. A program reads no other version than its own, so that
/// without a new number an upgrade would read nonsense.
pub(crate) const LAYOUT: (u32, u64) = (4, 0xdec6_b37a_f36e_7d58);

/// The hash of all types that are carried: their names, fields and attributes, and how each is
/// written where that is not derived.
pub(crate) fn hash(sources: &[Source]) -> u64 {
    let mut sources: Vec<_> = sources.iter().collect();
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for source in sources {
        let mut is_inside = false;
        let mut derives = false;
        for line in source.text.lines() {
            derives |= line.starts_with("#[derive(") && line.contains("Serialize");
            let begins = derives
                && (line.starts_with("pub")
                    || line.starts_with("struct")
                    || line.starts_with("enum"));
            let carries = line.starts_with("carried!(")
                || (line.starts_with("impl") && line.contains(" Carried for "));
            is_inside |= begins || carries;
            if is_inside && !line.trim_start().starts_with("//") {
                for byte in line.trim().bytes() {
                    hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
            let ends = line.starts_with('}')
                || (is_inside && line.ends_with(';') && !line.starts_with(' '));
            if ends {
                (is_inside, derives) = (false, false);
            }
        }
    }
    hash
}

/// The version that the sources say.
pub(crate) fn version(sources: &[Source]) -> Option<u32> {
    let text = "pub const VERSION: u32 = ";
    let carry = sources
        .iter()
        .find(|source| source.path.ends_with("core/carry.rs"))?;
    let line = carry
        .text
        .lines()
        .find_map(|line| line.strip_prefix(text))?;
    line.trim_end_matches(';').parse().ok()
}
