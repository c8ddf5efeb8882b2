//! The dialog mark: how a home that stands open to phones knows its own dialogs
//! (P-6, protocol 1.D).
//!
//! Such a home (`redirect` other than `always`) gets requests inside dialogs
//! from anywhere, and they end at addresses that no edge vouches for. A To tag
//! and a Route with our name are in anybody's reach; a MAC over the Call-ID is
//! not. It is the same from every home of the cluster, since they share the key
//! of the nonces, and nothing is remembered for it.
//!
//! It opens one dialog: whoever was let into a call knows its mark, and may send
//! on what carries that Call-ID, to the far side of the call or elsewhere.

use data_encoding::HEXLOWER;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use super::Redirect;
use super::policy::Home;
use crate::proxy::{Plan, Request};
use crate::scan::Name;
use crate::scan::uri::Uri;

/// Bytes of the MAC: 80 bits, as in a flow token (RFC 5626 §5.2).
const LEN: usize = 10;
const PARAM: &str = "dlg";

impl Home {
    /// Writes the parameter of our Record-Route, where it is needed.
    pub(super) fn write_mark(&self, request: &Request<'_>, out: &mut Vec<u8>) {
        if self.settings.redirect == Redirect::Always {
            return;
        }
        let mut text = [0; 2 * LEN];
        HEXLOWER.encode_mut(&self.mac(request).finalize().into_bytes()[..LEN], &mut text);
        for part in [b";", PARAM.as_bytes(), b"=", &text] {
            out.extend_from_slice(part);
        }
    }

    /// Whether one of our own Route values, which the plan takes off, carries
    /// the mark of the request's dialog.
    pub(super) fn has_mark(&self, request: &Request<'_>, plan: &Plan) -> bool {
        if self.settings.redirect == Redirect::Always {
            return false;
        }
        let popped = request.message.routes().iter().take(plan.pop);
        let popped = popped.filter_map(|route| route.uri.as_ref());
        let own = request.message.target().filter(|_| plan.restore_uri);
        popped.chain(own).any(|uri| self.is_marked(request, uri))
    }

    fn is_marked(&self, request: &Request<'_>, uri: &Uri) -> bool {
        let bytes = request.bytes;
        let mark = uri.param(bytes, PARAM).flatten();
        let mut raw = [0; LEN];
        let Some(mark) = mark.map(|mark| mark.of(bytes)) else {
            return false;
        };
        mark.len() == 2 * LEN
            && HEXLOWER.decode_mut(mark, &mut raw).is_ok()
            && self.mac(request).verify_truncated_left(&raw).is_ok()
    }

    fn mac(&self, request: &Request<'_>) -> Hmac<Sha256> {
        let call_id = request.message.first(Name::CallId);
        let call_id = call_id.map(|header| header.value.of(request.bytes));
        // Any length of key is accepted by HMAC; 64 bytes are its block size.
        let mut key = [0; 64];
        key[..32].copy_from_slice(&self.settings.nonce_key);
        let mut mac = Hmac::<Sha256>::new(&key.into());
        mac.update(b"steadfast: dialog");
        mac.update(call_id.unwrap_or_default());
        mac
    }
}
