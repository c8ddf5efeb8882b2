//! The bindings of an address of record, for an operator who lists or removes them
//! (`steadfast bindings`).

use super::aor;
use super::location::Binding;
use super::state::Home;
use crate::proxy::{Net, Step, why_text};
use crate::time::Instant;
use crate::uri::{Uri, same_host};

/// The bindings that one shard has of an address of record, or has removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindingReport {
    /// The address in its canonical form.
    pub aor: String,
    /// This shard is its keeper (`home::sharing`).
    pub is_keeper: bool,
    /// Least recently updated first.
    pub rows: Vec<ReportedBinding>,
}

/// One binding, to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedBinding {
    /// The contact URI.
    pub contact: String,
    /// Its instance and reg-id, as far as there are any.
    pub phone: String,
    /// The Path; empty: none.
    pub path: String,
    /// The flow that its REGISTER came on.
    pub flow: String,
    /// Seconds until it expires.
    pub left_s: u32,
}

impl Home {
    /// The bindings of the address of record that `uri` is; the error says why it
    /// is none of ours.
    pub fn bindings(&self, net: &Net, now: Instant, uri: &[u8]) -> Result<BindingReport, String> {
        let aor = self.aor_of(uri)?;
        let rows = self.location.bindings(now, &aor);
        let rows = rows.map(|binding| row(net, now, binding)).collect();
        Ok(Self::report(net, &aor, rows))
    }

    /// Removes the bindings of the address of record that `uri` is, here and at the edges;
    /// gives what they were.
    pub fn remove(&mut self, step: &mut Step<'_>, uri: &[u8]) -> Result<BindingReport, String> {
        let aor = self.aor_of(uri)?;
        let removed = self.revoke(step, &aor);
        let live = removed.iter().filter(|binding| binding.is_live(step.now));
        let rows = live
            .map(|binding| row(step.net, step.now, binding))
            .collect();
        Ok(Self::report(step.net, &aor, rows))
    }

    fn report(net: &Net, aor: &[u8], rows: Vec<ReportedBinding>) -> BindingReport {
        BindingReport {
            aor: String::from_utf8_lossy(aor).into_owned(),
            is_keeper: Self::keeper(net, aor) == net.shard_set.own,
            rows,
        }
    }

    /// The address of record that `uri` is, in its canonical form.
    fn aor_of(&self, uri: &[u8]) -> Result<Vec<u8>, String> {
        let text = String::from_utf8_lossy(uri);
        let parsed = Uri::of(uri);
        let Ok(parsed) = parsed else {
            return Err(format!("{text} is no URI: write sip:user@domain"));
        };
        let domain = &self.settings.domain;
        if !same_host(parsed.host.of(uri), domain.as_bytes()) {
            return Err(format!(
                "{text} is not of the domain {domain}, which this home serves"
            ));
        }
        let mut canonical = Vec::new();
        if !aor::canonical(uri, &parsed, &mut canonical) {
            return Err(format!("{text} names no user: write sip:user@{domain}"));
        }
        Ok(canonical)
    }
}

fn row(net: &Net, now: Instant, binding: &Binding) -> ReportedBinding {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let instance = binding.instance().map(text);
    let reg_id = binding.reg_id().map(|number| format!("reg-id {number}"));
    let phone: Vec<_> = instance.into_iter().chain(reg_id).collect();
    ReportedBinding {
        contact: text(binding.contact()),
        phone: phone.join(", "),
        path: text(binding.path()),
        flow: match binding.flow {
            Some(flow) if net.flows.lives(flow) => why_text::flow(net, flow),
            Some(_) => "gone".to_owned(),
            None => "not since the restart".to_owned(),
        },
        left_s: binding.left_s(now),
    }
}
