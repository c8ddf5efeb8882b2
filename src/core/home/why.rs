//! Where a home sends a request for a URI: the bindings of an address of record, and what a
//! URI of the edges sticks to (`steadfast why`).

use super::aor;
use super::state::Home;
use crate::proxy::Step;
use crate::proxy::{Facts, why_text};
use crate::scan::address::first_uri;
use crate::uri::{Uri, same_host};

impl Home {
    /// Everything that decides where a request for `uri` goes.
    #[must_use]
    pub fn why(&mut self, step: &mut Step<'_>, uri: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let Ok(parsed) = Uri::of(uri) else {
            facts.say("uri", "is malformed, so a request for it gets 400");
            return facts;
        };
        let ours = same_host(parsed.host.of(uri), self.settings.domain.as_bytes());
        if ours && parsed.user.is_some() {
            self.why_aor(step, uri, &parsed, &mut facts);
        } else if ours {
            facts.say("uri", "names this home itself");
        } else {
            self.why_uri(step, uri, &mut facts);
        }
        facts
    }

    fn why_aor(&mut self, step: &mut Step<'_>, uri: &[u8], parsed: &Uri, facts: &mut Facts) {
        let mut canonical = Vec::new();
        aor::canonical(uri, parsed, &mut canonical);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut paths = Vec::new();
        for binding in self.location.bindings(step.now, &canonical) {
            let flow = match binding.flow {
                Some(flow) if step.net.flows.lives(flow) => why_text::flow(step.net, flow),
                Some(_) => "its flow is gone, so by its Path".to_owned(),
                None => "read back from the store, so by its Path".to_owned(),
            };
            let sentence = format!(
                "<{}>{}, q {}, {} s left: {flow}",
                text(binding.contact()),
                text(binding.params()),
                binding.q,
                binding.left_s(step.now),
            );
            facts.say("binding", sentence);
            if !binding.path().is_empty() && !paths.contains(&binding.path().to_vec()) {
                paths.push(binding.path().to_vec());
            }
        }
        if facts.0.is_empty() {
            facts.say("binding", format!("none of {}", text(&canonical)));
        }
        for path in paths {
            if let Some(top) = first_uri(&path) {
                facts.say("path", text(top));
                self.why_uri(step, top, facts);
            }
        }
    }

    fn why_uri(&mut self, step: &mut Step<'_>, uri: &[u8], facts: &mut Facts) {
        if facts.say_stick(step, &mut self.stick, uri).is_some() {
            return;
        }
        let Ok(parsed) = Uri::of(uri) else {
            return;
        };
        // A question is no request: nothing of it is counted.
        let counters = step.net.counters;
        let mut hops = Vec::new();
        self.hops_to(step, None, uri, &parsed, &mut hops);
        step.net.counters = counters;
        let hops: Vec<_> = hops
            .iter()
            .map(|&hop| why_text::hop(step.net, hop))
            .collect();
        if hops.is_empty() {
            facts.say("chosen", "nothing: the name is not one of ours");
        } else {
            facts.say("chosen", format!("no flow, so in turn {}", hops.join(", ")));
        }
    }
}
