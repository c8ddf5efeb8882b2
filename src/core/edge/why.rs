//! What an edge says of a URI: the token in it, the phone's flows, and what a
//! request for it would meet (`steadfast why`).

use super::Token;
use super::flow_bindings::{self, User};
use super::own_routes::RouteKind;
use super::state::Edge;
use crate::limits;
use crate::proxy::{Facts, why_text};
use crate::proxy::{Plan, Step};
use crate::uri::Uri;

impl Edge {
    /// Everything that decides where a request with `uri` in its Route goes.
    #[must_use]
    pub fn why(&mut self, step: &mut Step<'_>, uri: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let Ok(parsed) = Uri::of(uri) else {
            facts.say("uri", "is malformed, so a request for it gets 400");
            return facts;
        };
        let mut token = Token::new();
        match self.classify(step.net, uri, &parsed, &mut token) {
            RouteKind::Token => self.why_token(step, &token, &mut facts),
            RouteKind::Elsewhere(index) => {
                let member = self.settings.members.get(index);
                let name = member.map_or("nobody", |member| member.name.as_str());
                facts.say("edge", format!("its maddr names {name}"));
                if !token.is_empty() {
                    self.why_token(step, &token, &mut facts);
                }
            }
            RouteKind::Flow { flow: at, .. } => {
                facts.say("token", "a flow token of RFC 5626, made by this edge");
                facts.say("chosen", why_text::flow(step.net, at));
            }
            RouteKind::Bad(bad) => {
                let (status, reason) = bad.answer();
                facts.say("token", format!("is refused with {status}: {reason}"));
            }
            RouteKind::Cluster => facts.say("uri", "names the cluster and nobody in it"),
            RouteKind::Address => facts.say(
                "uri",
                "names this edge, or another one that it stands in for",
            ),
            RouteKind::Sibling => facts.say("uri", "names another edge"),
            RouteKind::Foreign => self.why_other(step, uri, &parsed, &mut facts),
        }
        facts
    }

    fn why_token(&self, step: &Step<'_>, token: &Token, facts: &mut Facts) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let edges: Vec<_> = token.edges().map(text).collect();
        let subscriber = token.subscriber();
        let says = format!(
            "user {}, realm {}, instance {}, edges {}",
            named(subscriber.user),
            named(subscriber.realm),
            named(subscriber.instance),
            edges.join(" ")
        );
        facts.say("token", says);
        let own = &self.settings.name;
        if !edges.contains(own) {
            facts.say("edge", format!("{own} is not in the set of this token"));
        }
        for held in self.flow_bindings.of(step.now, &subscriber) {
            let says = format!(
                "{}, reg-id {}, {}",
                why_text::flow(step.net, held.flow),
                held.reg_id,
                why_text::left(step.now, held.expires)
            );
            facts.say("flow", says);
        }
        let found = self.flow_bindings.flow_of(step.now, &subscriber, None);
        let found = found.filter(|flow| step.net.flows.lives(*flow));
        if !step.net.shard_set.is_alone() {
            let held = found.is_some();
            facts.say("directory", self.why_held(step, &subscriber, held));
        }
        if let Some(flow) = found {
            return facts.say(
                "chosen",
                format!("{}, the newest", why_text::flow(step.net, flow)),
            );
        }
        facts.say("flow", "none of this phone here");
        let others: Vec<_> = edges.iter().filter(|name| *name != own).collect();
        let says = match (self.holder(step, &subscriber, 0), &others[..]) {
            (Some(shard), _) => format!("handed over to shard {shard}"),
            (None, []) => "nobody: 430 Flow Failed".to_owned(),
            (None, _) => format!("relayed to {others:?}, and 430 if it came from an edge"),
        };
        facts.say("chosen", says);
    }

    fn why_other(&mut self, step: &mut Step<'_>, uri: &[u8], parsed: &Uri, facts: &mut Facts) {
        facts.say("uri", "holds no token of this cluster");
        let mut room = [0; limits::TOKEN_FIELD_MAX];
        let user = User {
            name: parsed.user.map(|user| user.of(uri)).unwrap_or_default(),
            realm: flow_bindings::lowered(parsed.host.of(uri), &mut room),
        };
        for held in self.flow_bindings.of_user(step.now, user) {
            let says = format!(
                "{}, instance {}, reg-id {}, {}",
                why_text::flow(step.net, held.flow),
                named(held.subscriber.instance),
                held.reg_id,
                why_text::left(step.now, held.expires)
            );
            facts.say("flow", says);
        }
        let mut plan = Plan::default();
        if self.homes.are_several() {
            facts.say_stick(step, &mut self.stick, uri);
        }
        self.plan_homes(step, uri, &mut plan);
        let homes = plan
            .targets
            .iter()
            .map(|target| why_text::hop(step.net, target.hop));
        let homes: Vec<_> = homes.collect();
        facts.say(
            "chosen",
            format!("to the home: in turn {}", homes.join(", ")),
        );
    }
}

/// A field of a token, which may be empty.
fn named(field: &[u8]) -> String {
    if field.is_empty() {
        "unknown".to_owned()
    } else {
        String::from_utf8_lossy(field).into_owned()
    }
}
