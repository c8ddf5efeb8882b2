//! Which REGISTER is sent to the edges, and that one of them may not be recognised.

use crate::home::Redirect;
use crate::home::state::Home;
use crate::id::Transport;
use crate::proxy::{Request, Step, shows_loose};
use crate::scan::Name;
use crate::send::Notice;
use crate::uri::{Uri, same_host};

impl Home {
    /// D-H5.
    pub(super) fn redirects(&self, request: &Request<'_>) -> bool {
        let (bytes, message) = (request.bytes, request.message);
        let shows = |tag| message.has_token(bytes, Name::Supported, tag);
        match self.settings.redirect {
            Redirect::Always => true,
            // D-U8: by an option tag, or in the Via, as hops do.
            Redirect::IfSupported => {
                ["alt-proxies", "ua-loose", "sr"].into_iter().any(shows) || shows_loose(request)
            }
            Redirect::Never => false,
        }
    }

    /// A REGISTER is sent away: to be told of where an edge had sent it.
    pub(super) fn note_unrecognised(&mut self, step: &mut Step<'_>, request: &Request<'_>) {
        let bytes = request.bytes;
        let mut paths = request.message.values(bytes, Name::Path);
        let passed = paths.any(|value| {
            let uri = Uri::in_value(bytes, value);
            uri.is_ok_and(|uri| same_host(uri.host.of(bytes), &self.cluster))
        });
        let source = request.ingress.source.ip().to_canonical();
        if passed && self.unrecognised.see(step.now, source) {
            let is_tls = step.net.flows.transport(request.ingress.flow) == Transport::Tls;
            let notice = Notice::UnrecognisedEdge { source, is_tls };
            step.net.outbox.notify(notice);
        }
    }
}
