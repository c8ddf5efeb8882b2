//! Our own values in the Service-Route of a 2xx to a REGISTER (RFC 3608).

use super::state::Edge;
use crate::edit::Edits;
use crate::id::Transport;
use crate::proxy::Response;
use crate::scan::Name;
use crate::span::Span;
use crate::uri::Uri;

impl Edge {
    /// The values of the Service-Route of a 2xx, from our own Path on, whose token is `token`.
    pub(super) fn own_service_route<'a>(
        &self,
        token: &[u8],
        response: &Response<'a>,
    ) -> impl Iterator<Item = Span> + use<'a> {
        let bytes = response.bytes;
        let is_own = |value: &Span| {
            Uri::in_value(bytes, *value).is_ok_and(|uri| {
                self.settings.is_cluster(uri.host.of(bytes))
                    && uri.user.is_some_and(|user| user.of(bytes) == token)
            })
        };
        let values = || response.message.values(bytes, Name::ServiceRoute);
        let before = values().take_while(|value| !is_own(value)).count();
        values().skip(before)
    }

    /// M-1: writes this edge's name into our own value of the Service-Route for a phone that
    /// resolves names: the cluster's name would lead it to any edge, which has not its flow, and
    /// over any transport. `token` is that of its Path.
    pub(super) fn name_service_route(
        &self,
        token: &[u8],
        transport: Transport,
        secure: bool,
        response: &Response<'_>,
        edits: &mut Edits,
    ) {
        let own = self.own_service_route(token, response).next();
        let uri = own.and_then(|value| Uri::in_value(response.bytes, value).ok());
        let Some(uri) = uri.filter(|uri| uri.param(response.bytes, "transport").is_none()) else {
            return;
        };
        edits.replace(uri.host_port.range(), |out| {
            self.own_name(transport, secure, out);
        });
    }
}
