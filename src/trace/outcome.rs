//! How a story ended, and why.

use super::join::{Arrow, Step, Story, What};

/// Decisions that say why something came to what it did.
const REASONS: [&str; 11] = [
    "answered",
    "dropped",
    "final",
    "malformed",
    "no-flow",
    "not-here",
    "not-stuck",
    "relayed",
    "silent",
    "stand-by",
    "unanswered",
];
/// Decisions by which a request went another way than before.
const ANOTHER_WAY: [&str; 3] = ["stuck-equal", "stand-by", "relayed"];
/// What every call begins with, and no reason for anything.
const QUESTIONS: [&str; 2] = [
    "401 itself: Unauthorized",
    "407 itself: Proxy Authentication Required",
];

/// The end of a story in a few lines.
pub(super) fn words(story: &Story) -> String {
    let Some(first) = messages(story)
        .map(|(_, arrow)| arrow)
        .find(|arrow| arrow.sip.is_request())
    else {
        return lines("ended", &["no request of it is recorded".to_owned()]);
    };
    let method = first.sip.method.as_str();
    let Some((at, last)) = last_answer(story, method) else {
        let mut out = lines(
            "ended",
            &[format!("no final answer to {method} is recorded")],
        );
        out.push_str(&lines("because", &reasons(story, u64::MAX)));
        return out;
    };
    // A call begins with its first INVITE; a registration is refreshed under one Call-ID for days.
    let is_first = |arrow: &Arrow| {
        arrow.sip.is_request()
            && arrow.sip.method == method
            && (method == "INVITE" || arrow.sip.cseq == last.sip.cseq)
    };
    let began = messages(story).find(|(_, arrow)| is_first(arrow));
    let began = began.map_or(at, |(began, _)| began);
    let mut out = lines(
        "came to",
        &[format!(
            "{} {}, after {}",
            last.sip.status,
            last.sip.phrase,
            span(began, at)
        )],
    );
    if last.sip.status >= 300 {
        let mut all = reasons(story, at);
        if all.is_empty() {
            let by = origin(story, last);
            all.push(format!(
                "{by} answered so, and everybody before it passed that on"
            ));
        }
        out.push_str(&lines("because", &all));
        return out;
    }
    out.push_str(&after_answer(story, method, at));
    out
}

/// What became of a call, or of a registration, that was accepted.
fn after_answer(story: &Story, method: &str, answered_us: u64) -> String {
    let mut out = String::new();
    let ways: Vec<_> = decisions(story)
        .filter(|(at, name, _)| {
            ANOTHER_WAY.contains(name) && (*name != "stuck-equal" || *at > answered_us)
        })
        .map(|(_, _, says)| says)
        .collect();
    out.push_str(&lines("failed over", &unique(ways)));
    if method != "INVITE" {
        return out;
    }
    let bye =
        messages(story).find(|(_, arrow)| arrow.sip.is_request() && arrow.sip.method == "BYE");
    let Some((bye_us, bye)) = bye else {
        out.push_str(&lines(
            "ended",
            &["no BYE is recorded: it may be up".to_owned()],
        ));
        return out;
    };
    let answer = last_answer(story, "BYE").map_or_else(
        || "no answer to it".to_owned(),
        |(_, answer)| format!("{} {}", answer.sip.status, answer.sip.phrase),
    );
    let by = bye.from.label();
    out.push_str(&lines(
        "ended",
        &[format!(
            "by a BYE from {by}, {} after the answer: {answer}",
            span(answered_us, bye_us)
        )],
    ));
    out
}

/// The last final answer to a method, where it came to whoever had asked first; a question for
/// credentials only where nothing came after it.
fn last_answer<'a>(story: &'a Story, method: &str) -> Option<(u64, &'a Arrow)> {
    let asker = messages(story)
        .find(|(_, arrow)| arrow.sip.is_request() && arrow.sip.method == method)
        .map(|(_, arrow)| &arrow.from)?;
    let is_answer = |arrow: &Arrow| arrow.sip.status >= 200 && arrow.sip.method == method;
    let to_asker = |arrow: &Arrow| arrow.to.label() == asker.label();
    let mut found = None;
    for (at, arrow) in messages(story).filter(|(_, arrow)| is_answer(arrow)) {
        // A 2xx that is sent again says nothing new.
        let is_new = found.is_none_or(|(_, before): (u64, &Arrow)| before.bytes != arrow.bytes);
        if to_asker(arrow) && is_new {
            found = Some((at, arrow));
        }
    }
    found.or_else(|| messages(story).filter(|(_, arrow)| is_answer(arrow)).last())
}

/// Who gave an answer first that was passed on since.
fn origin(story: &Story, last: &Arrow) -> String {
    let mut same = messages(story).filter(|(_, arrow)| {
        arrow.sip.status == last.sip.status && arrow.sip.method == last.sip.method
    });
    same.next()
        .map_or_else(|| last.from.label(), |(_, arrow)| arrow.from.label())
}

fn reasons(story: &Story, until_us: u64) -> Vec<String> {
    let all = decisions(story)
        .filter(|(at, name, says)| *at <= until_us && REASONS.contains(name) && !is_polite(says));
    unique(all.map(|(_, _, says)| says).collect())
}

/// An answer of a node's own that refuses nobody: it is accepted, sent elsewhere, or asked for
/// credentials.
fn is_polite(says: &str) -> bool {
    let answer = says.split_once(" answers ").map_or("", |(_, rest)| rest);
    answer.starts_with(['1', '2', '3']) || QUESTIONS.contains(&answer)
}

fn messages(story: &Story) -> impl Iterator<Item = (u64, &Arrow)> {
    story.steps.iter().filter_map(|step| match &step.what {
        What::Message(arrow) => Some((step.unix_us, &**arrow)),
        What::Decision { .. } => None,
    })
}

fn decisions(story: &Story) -> impl Iterator<Item = (u64, &str, String)> {
    let of = |step: &'_ Step| match &step.what {
        What::Decision { node, says, .. } => Some(format!("{node} {says}")),
        What::Message(_) => None,
    };
    story.steps.iter().filter_map(move |step| match &step.what {
        What::Decision { name, .. } => Some((step.unix_us, name.as_str(), of(step)?)),
        What::Message(_) => None,
    })
}

fn unique(all: Vec<String>) -> Vec<String> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

/// A word, and the lines behind it.
fn lines(word: &str, says: &[String]) -> String {
    let line = |(index, says): (usize, &String)| {
        let word = if index == 0 { word } else { "" };
        format!("  {word:<12}{says}\n")
    };
    says.iter().enumerate().map(line).collect()
}

/// A time between two, in words.
fn span(from_us: u64, to_us: u64) -> String {
    let micros = to_us.saturating_sub(from_us);
    match micros / 1_000 {
        0..10_000 => format!("{}.{:01} ms", micros / 1_000, micros / 100 % 10),
        millis => format!("{}.{:01} s", millis / 1_000, millis / 100 % 10),
    }
}
