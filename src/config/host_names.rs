//! `member_names` and `names`: by which host names the edges are known.

use std::net::IpAddr;

use super::reader::Section;
use super::{Mistake, names};
use crate::edge::{Member, NextHop};
use crate::limits;

/// Where requests of phones go, and what is served there: their names lead there
/// and not to us.
type Homes<'a> = (&'a [NextHop], &'a [String]);

/// Whether the DNS has the name of every member below the cluster's. Then they
/// must be names that it can have.
pub(super) fn of_members(
    section: &Section<'_>,
    cluster: &str,
    members: &[Member],
    homes: Homes<'_>,
) -> Result<bool, Mistake> {
    if !section
        .flag("member_names", "true or false")?
        .unwrap_or(false)
    {
        return Ok(false);
    }
    for (index, member) in members.iter().enumerate() {
        let name = &member.name;
        let refuse = |why: String| {
            let text = format!("says that the DNS has a name for each of `members`, and {why}");
            Err(section.mistake("member_names", &text))
        };
        let full = format!("{name}.{cluster}");
        if !is_label(name) {
            return refuse(format!(
                "{name:?} is no label of the DNS: 1 to 63 letters, digits and hyphens, and no \
                 hyphen first or last"
            ));
        }
        if full.len() > limits::DNS_NAME_MAX {
            return refuse(format!(
                "{full:?} is longer than the {} characters of a name there",
                limits::DNS_NAME_MAX
            ));
        }
        let mut earlier = members.iter().take(index);
        if let Some(other) = earlier.find(|other| other.name.eq_ignore_ascii_case(name)) {
            let other = &other.name;
            return refuse(format!(
                "{other:?} and {name:?} are the same there: it knows no case"
            ));
        }
        if is_home(&full, homes) {
            return refuse(format!(
                "{full:?} is a home's: give that member another name"
            ));
        }
    }
    Ok(true)
}

/// The further host names that lead to this edge.
pub(super) fn listed(section: &Section<'_>, homes: Homes<'_>) -> Result<Vec<String>, Mistake> {
    let want = "a list of host names that lead to this edge, such as [\"sbc.example.net\"]";
    let listed = section.maybe_list("names", want, |text| {
        if text.parse::<IpAddr>().is_ok() {
            return Err(format!(
                "has {text:?}, an address: what the DNS resolves stands here, such as \
                 \"sbc.example.net\""
            ));
        }
        let name = names::domain(text)?;
        if is_home(&name, homes) {
            return Err(format!(
                "has {text:?}, which is a home's: what is for the home would end here"
            ));
        }
        Ok(name)
    })?;
    Ok(listed.unwrap_or_default())
}

fn is_home(name: &str, (hops, domains): Homes<'_>) -> bool {
    let mut domains = domains.iter();
    domains.any(|domain| domain.eq_ignore_ascii_case(name))
        || hops.iter().any(|hop| names::is_named(hop, name))
}

/// One part of a name (RFC 1035 §2.3.1, RFC 1123 §2.1).
fn is_label(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=limits::DNS_LABEL_MAX).contains(&text.len())
        && text.bytes().all(is_plain)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
