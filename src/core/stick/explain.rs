//! Explanations: what the table weighs for a URI, for people.

use super::links::FlowState;
use super::{FOREVER, Level, Reopen, Source, Table};
use crate::id::Flow;
use crate::time::Instant;
use crate::uri::UriKey;

/// A binding or a link as `Table::explain` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainLine {
    /// How well it matches.
    pub level: Level,
    /// The flow.
    pub flow: Flow,
    /// Why it belongs to the flow.
    pub source: Source,
    /// The canonical parameter set of the binding, or the domain of a link.
    pub text: Vec<u8>,
    /// The end of it; `None` when it lasts as long as the flow.
    pub until: Option<Instant>,
    /// Where the flow would be opened again, when it is lost.
    pub lost: Option<Reopen>,
}

impl Table {
    /// Every binding and link that `find` and `domain` weigh for a URI, best
    /// level first. For people; it allocates.
    #[must_use]
    pub(crate) fn explain(&mut self, now: Instant, uri: &[u8]) -> Vec<ExplainLine> {
        self.with_key(|table, key| {
            let mut lines = Vec::new();
            if key.read(uri) {
                for level in [Level::Exact, Level::Equal] {
                    table.explain_rows(now, key, level, &mut lines);
                }
                table.explain_links(key, &mut lines);
            }
            lines
        })
    }

    fn explain_rows(&self, now: Instant, key: &UriKey, level: Level, lines: &mut Vec<ExplainLine>) {
        let Some(chain) = self.chain_of(key) else {
            return;
        };
        for (_, row) in self.rows_of(chain).filter(|(_, row)| row.until > now) {
            let is_exact = self.has_set(key, row);
            if is_exact == (level == Level::Exact) && self.matches(level, &chain, key, row) {
                let text = self.sets.text(row.set).to_vec();
                let until = Some(row.until).filter(|&until| until < FOREVER);
                lines.extend(self.line(level, row.link, row.source, text, until));
            }
        }
    }

    fn explain_links(&self, key: &UriKey, lines: &mut Vec<ExplainLine>) {
        let Some(domain) = self.links.domain(key.host()) else {
            return;
        };
        for link in self.links.of_domain(domain) {
            let source = self.links.link(link).proof.source();
            let text = self.links.name(domain).to_vec();
            lines.extend(
                source.and_then(|source| self.line(Level::Domain, link, source, text, None)),
            );
        }
    }

    fn line(
        &self,
        level: Level,
        link: u32,
        source: Source,
        text: Vec<u8>,
        until: Option<Instant>,
    ) -> Option<ExplainLine> {
        let owner = self.links.owner(link);
        let lost = match owner.state {
            FlowState::Live => None,
            FlowState::Lost { reopen, .. } => Some(reopen),
            FlowState::Gone => return None,
        };
        Some(ExplainLine {
            level,
            flow: owner.flow,
            source,
            text,
            until,
            lost,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stick::bind::tests::flow;
    use crate::stick::find::tests::home;

    const NOW: Instant = Instant::from_micros(1_000);
    const LATER: Instant = Instant::from_micros(2_000);

    #[test]
    fn an_explanation_lists_the_levels_in_order() {
        let mut t = home();
        let lines = t.explain(NOW, b"sip:joe+e1+3@edge.example.com;lr;gunk=1234");
        let levels: Vec<_> = lines.iter().map(|line| (line.level, line.flow)).collect();
        let want = [
            (Level::Exact, 1),
            (Level::Equal, 1),
            (Level::Equal, 3),
            (Level::Domain, 3),
            (Level::Domain, 1),
        ];
        assert_eq!(levels, want.map(|(level, on)| (level, flow(on))));
        assert_eq!(
            (&lines[0].text[..], lines[0].source, lines[0].until),
            (&b";gunk=1234;lr"[..], Source::RecordRoute, Some(LATER))
        );
        assert_eq!(
            (&lines[3].text[..], lines[3].source, lines[3].until),
            (&b"edge.example.com"[..], Source::Certificate, None)
        );
    }
}
