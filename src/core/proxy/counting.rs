//! Where a message counts in the [`Traffic`](super::Traffic) of its shard.

use super::{Context, Place, Request, Response, Side, Turn};
use crate::scan::Method;
use crate::time::Instant;
use crate::trust::Ingress;

impl Turn<'_> {
    /// Where a request came in.
    pub(crate) fn place(&self, request: &Request<'_>) -> Place {
        self.place_of(&request.ingress)
    }

    fn place_of(&self, ingress: &Ingress) -> Place {
        Place {
            transport: self.net.flows.transport(ingress.flow),
            side: Side::of(ingress.principal.is_cluster_node()),
        }
    }

    /// A request has its answer, from here and not for the second time.
    pub(super) fn count_answer(&mut self, request: &Request<'_>, status: u16) {
        let (method, place) = (request.message.method(), self.place(request));
        let traffic = &mut self.net.traffic;
        traffic.count_sent(method, place, status);
        if method == Method::Register {
            traffic.registered(self.now, self.now, status);
        }
    }

    /// A REGISTER that waited for the disk has its answer.
    pub(super) fn count_stored(&mut self, place: Place, began: Instant, status: u16) {
        let traffic = &mut self.net.traffic;
        traffic.count_sent(Method::Register, place, status);
        traffic.registered(began, self.now, status);
    }

    /// A response for somebody else leaves.
    pub(super) fn count_forwarded(&mut self, context: &Context, status: u16) {
        let place = self.place_of(&context.ingress);
        let traffic = &mut self.net.traffic;
        traffic.count_sent(context.method, place, status);
        if context.method == Method::Register {
            traffic.registered(context.began, self.now, status);
        }
    }

    /// A response came that is no repetition, from an element of ours or from elsewhere.
    pub(super) fn count_received(
        &mut self,
        method: Method,
        response: &Response<'_>,
        is_inside: bool,
    ) {
        let place = Place {
            transport: self.net.flows.transport(response.flow),
            side: Side::of(is_inside),
        };
        let status = response.status;
        self.net.traffic.count_received(method, place, status);
    }

    /// A call has its first 2xx.
    pub(super) fn count_set_up(&mut self, context: &Context) {
        if context.is_invite() && context.is_out_of_dialog {
            self.net.traffic.set_up_since(context.began, self.now);
        }
    }
}
