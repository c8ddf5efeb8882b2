//! What passes from now on, as it comes.

use std::path::PathBuf;

use super::ladder::Ladder;
use super::{Fault, Subject, ask, join};
use crate::limits;

/// Prints each step of every story of the subject until it is interrupted, or a node ends.
///
/// # Errors
/// When a node does not answer any more.
pub(super) fn follow(nodes: &[PathBuf], subject: &Subject) -> Result<String, Fault> {
    let text = match subject {
        Subject::CallId(call_id) => call_id.clone(),
        Subject::Aor(aor) => ask::user(aor),
        Subject::Failures => return Ok(String::new()),
    };
    let question = ask::asking(&[text]);
    // Behind the newest entry of every shard.
    let mut from = vec![vec![u64::MAX; limits::SHARDS_MAX]; nodes.len()];
    let mut ladder: Option<Ladder> = None;
    loop {
        let mut views = Vec::new();
        for (node, from) in nodes.iter().zip(&mut from) {
            let view = ask::part(node, &question, from)?;
            from.clone_from(&view.next);
            views.push(view);
        }
        for story in join::stories(views, subject) {
            let known = ladder.get_or_insert_with(|| Ladder::of(&story));
            let mut is_new = false;
            for step in &story.steps {
                if let join::What::Message(arrow) = &step.what {
                    is_new |= known.add(arrow);
                }
            }
            if is_new {
                print!("{}", known.head());
            }
            for step in &story.steps {
                print!("{}", known.line(step.unix_us, &step.what, false));
            }
        }
        std::thread::sleep(limits::TRACE_POLL);
    }
}
