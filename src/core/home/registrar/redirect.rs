//! Which REGISTER is redirected to the edges, and whether an edge that is not recognised had
//! sent it.

use crate::home::Redirect;
use crate::home::state::Home;
use crate::id::Transport;
use crate::proxy::{Request, Step, follows_loose_redirects};
use crate::scan::Name;
use crate::send::Notice;
use crate::uri::{Uri, same_host};

impl Home {
    /// Whether a REGISTER that came through no edge is redirected to the edges (D-H5).
    pub(super) fn redirects(&self, request: &Request<'_>) -> bool {
        let (bytes, message) = (request.bytes, request.message);
        let supports = |tag| message.has_token(bytes, Name::Supported, tag);
        match self.settings.redirect {
            Redirect::Always => true,
            // D-U8: a phone shows that it understands the redirect by an option tag, or in
            // its Via, as a proxy does.
            Redirect::IfSupported => {
                ["alt-proxies", "ua-loose", "sr"].into_iter().any(supports)
                    || follows_loose_redirects(request)
            }
            Redirect::Never => false,
        }
    }

    /// Notes the source of a REGISTER that is redirected or refused, where a Path of the
    /// cluster says that an edge had sent it, and puts out a notice when one is due.
    pub(super) fn note_unrecognised_edge(&mut self, step: &mut Step<'_>, request: &Request<'_>) {
        let bytes = request.bytes;
        let mut paths = request.message.values(bytes, Name::Path);
        let passed_edge = paths.any(|value| {
            let uri = Uri::in_value(bytes, value);
            uri.is_ok_and(|uri| same_host(uri.host.of(bytes), &self.cluster))
        });
        let source = request.ingress.source.ip().to_canonical();
        if passed_edge && self.unrecognised_edges.count(step.now, source) {
            let is_tls = step.net.flows.transport(request.ingress.flow) == Transport::Tls;
            let notice = Notice::UnrecognisedEdge { source, is_tls };
            step.net.outbox.notify(notice);
        }
    }
}
