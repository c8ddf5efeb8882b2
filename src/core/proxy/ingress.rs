//! What is found out of a request where it comes in, above all who sends it.

use std::net::SocketAddr;

use super::{Request, Turn};
use crate::id::Flow;
use crate::scan::via::Via;
use crate::trust::{Ingress, Keep};

impl Turn<'_> {
    /// Finds out what is to be known of a request beside its text, above all who sends
    /// it (D-H2): once, at the shard that it came to first, since what another shard
    /// hands over is known already.
    pub(crate) fn identify(&mut self, request: &mut Request<'_>) {
        let Ingress {
            flow,
            source,
            handed,
            ..
        } = request.ingress;
        if handed == 0 {
            request.ingress = self.ingress(flow, source, request.via);
        }
    }

    fn ingress(&mut self, flow: Flow, source: SocketAddr, via: &Via) -> Ingress {
        let principal = self.policy.principal(self.net, self.now, flow);
        let keep = match via.keep_offer() {
            Some(_) if self.accept_keepalive_offer(flow) => Keep::Wanted,
            Some(_) => Keep::Offered,
            None => Keep::Silent,
        };
        Ingress {
            principal,
            keep,
            wants_report: via.oc.is_some() && principal.is_cluster_node(),
            ..Ingress::by(flow, source)
        }
    }
}
