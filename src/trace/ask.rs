//! Asking the nodes, part by part.

use std::collections::BTreeMap;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use super::message::Sip;
use super::view::View;
use super::{Fault, Subject};
use crate::control_client::{self, escaped};
use crate::limits;

/// The sockets and configuration files that were named, and those of folders.
pub(super) fn nodes(named: &[PathBuf]) -> Result<Vec<PathBuf>, Fault> {
    let mut all = Vec::new();
    for path in named {
        if path.is_dir() {
            all.extend(sockets(path)?);
        } else {
            all.push(path.clone());
        }
    }
    Ok(all)
}

fn sockets(folder: &Path) -> Result<Vec<PathBuf>, Fault> {
    let fault = |why: String| Fault::Folder {
        folder: folder.to_owned(),
        why,
    };
    let entries = std::fs::read_dir(folder).map_err(|why| fault(why.to_string()))?;
    let mut found: Vec<_> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_socket()))
        .map(|entry| entry.path())
        .collect();
    found.sort();
    if found.is_empty() {
        return Err(fault(
            "there is no control socket in this folder".to_owned(),
        ));
    }
    Ok(found)
}

/// Leaves out the nodes that do not answer, and says so, where there is one that does.
///
/// # Errors
/// The first fault where none answers.
pub(super) fn answering(nodes: Vec<PathBuf>) -> Result<Vec<PathBuf>, Fault> {
    let mut answering = Vec::new();
    let mut silent = Vec::new();
    for node in nodes {
        // Behind the newest entry, so that there is next to nothing to answer.
        match part(&node, "refusals", &[u64::MAX; limits::SHARDS_MAX]) {
            Ok(_) => answering.push(node),
            Err(fault) => silent.push(fault),
        }
    }
    if answering.is_empty()
        && let Some(fault) = silent.pop()
    {
        return Err(fault);
    }
    for fault in silent {
        eprintln!("steadfast: {fault}: its view is missing");
    }
    Ok(answering)
}

/// What all nodes have of it.
pub(super) fn views(
    nodes: &[PathBuf],
    subject: &Subject,
    count: usize,
) -> Result<Vec<View>, Fault> {
    match subject {
        Subject::CallId(call_id) => texts(nodes, std::slice::from_ref(call_id)),
        Subject::Aor(aor) => texts(nodes, &[user(aor)]),
        Subject::Failures => {
            let last = last_refused(nodes, count)?;
            if last.is_empty() {
                return Ok(Vec::new());
            }
            texts(nodes, &last)
        }
    }
}

/// What every message from or to an address of record has in it: the case of the host may differ.
pub(super) fn user(aor: &str) -> String {
    let user = aor.split('@').next().unwrap_or_default();
    format!("{user}@")
}

/// The Call-IDs of what was refused last.
fn last_refused(nodes: &[PathBuf], count: usize) -> Result<Vec<String>, Fault> {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for node in nodes {
        let view = whole(node, "refusals")?;
        for row in &view.rows {
            if let Some(sip) = Sip::read(&row.bytes) {
                let at = last.entry(sip.call_id).or_default();
                *at = row.unix_us.max(*at);
            }
        }
    }
    let mut all: Vec<_> = last.into_iter().collect();
    all.sort_by_key(|(_, at)| *at);
    let first = all.len().saturating_sub(count);
    Ok(all.into_iter().skip(first).map(|(id, _)| id).collect())
}

/// What every node has with one of these texts in it.
fn texts(nodes: &[PathBuf], texts: &[String]) -> Result<Vec<View>, Fault> {
    let mut all = Vec::new();
    for node in nodes {
        let mut view: Option<View> = None;
        for some in texts.chunks(limits::RECORDER_TEXTS_MAX) {
            let found = whole(node, &asking(some))?;
            match &mut view {
                Some(view) => view.rows.extend(found.rows),
                None => view = Some(found),
            }
        }
        all.extend(view);
    }
    Ok(all)
}

/// The question for some texts.
pub(super) fn asking(texts: &[String]) -> String {
    format!("texts={}", escaped(&texts.join("\n")))
}

/// Everything that a node has, in as many parts as that takes.
fn whole(node: &Path, question: &str) -> Result<View, Fault> {
    let mut all = part(node, question, &[])?;
    while !all.is_last {
        let next = part(node, question, &all.next)?;
        all.rows.extend(next.rows);
        all.missed += next.missed;
        (all.next, all.is_last) = (next.next, next.is_last);
    }
    Ok(all)
}

/// One part of what a node has, from these entries on.
pub(super) fn part(node: &Path, question: &str, from: &[u64]) -> Result<View, Fault> {
    let from: Vec<_> = from.iter().map(u64::to_string).collect();
    let page = format!("/trace?{question}&from={}", from.join(","));
    let text = control_client::ask(node, "GET", &page)?;
    serde_json::from_str(&text).map_err(|why| Fault::Answer {
        node: node.to_owned(),
        why,
    })
}
