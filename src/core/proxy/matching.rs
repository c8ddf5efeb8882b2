//! Which transaction a message belongs to (RFC 3261 §17.1.3, §17.2.3).

use super::tag::hex;
use super::{Owner, Request, Response, Timer};
use crate::id::{ClientId, ServerId};
use crate::scan::via::Via;
use crate::scan::{Message, Name};
use crate::send::Flows;
use crate::txn::{ServerKey, TransactionKeys, Transactions};

impl Request<'_> {
    /// The key of its server transaction; `method` replaces its own (ACK and CANCEL look
    /// for their INVITE).
    #[must_use]
    pub(crate) fn server_key(&self, keys: &TransactionKeys, method: Option<&[u8]>) -> ServerKey {
        let (bytes, message) = (self.bytes, self.message);
        let method = method.unwrap_or_else(|| message.cseq_method().of(bytes));
        let via = self.via;
        if via.has_cookie(bytes)
            && let Some(branch) = via.branch
        {
            return keys.cookie(
                branch.of(bytes),
                via.host.of(bytes),
                via.port.unwrap_or(5060),
                method,
            );
        }
        // RFC 2543 matching; the To tag is left out, since an ACK has one and
        // its INVITE has not.
        let value = |name| {
            message
                .first(name)
                .map(|header| header.value.of(bytes))
                .unwrap_or_default()
        };
        let mut cseq = [0; 16];
        hex(u64::from(message.cseq()), &mut cseq);
        let uri = message.request_uri().of(bytes);
        keys.without_cookie(&[
            uri,
            value(Name::From),
            value(Name::CallId),
            &cseq,
            via.value.of(bytes),
            method,
        ])
    }
}

impl Response<'_> {
    /// The client transaction it belongs to: our own sent-by (P-19) and a branch that we
    /// wrote. The CSeq method tells a CANCEL's answer from its INVITE's, since both carry
    /// the same branch.
    #[must_use]
    pub(crate) fn client(
        &self,
        via: &Via,
        flows: &Flows,
        txns: &Transactions<Owner, Timer>,
    ) -> Option<ClientId> {
        if !flows.wrote(self.bytes, via) {
            return None;
        }
        let branch = via.branch?.of(self.bytes);
        txns.find_client(branch, self.message.cseq_method().of(self.bytes))
    }
}

/// The transaction of the request that an answer with this topmost Via is of: its branch
/// and its sent-by are those of the request.
pub(super) fn server_of(
    txns: &Transactions<Owner, Timer>,
    bytes: &[u8],
    message: &Message,
    via: &Via,
) -> Option<ServerId> {
    let branch = via.branch.filter(|_| via.has_cookie(bytes))?;
    let key = txns.keys().cookie(
        branch.of(bytes),
        via.host.of(bytes),
        via.port.unwrap_or(5060),
        message.cseq_method().of(bytes),
    );
    txns.find_server(key)
}
