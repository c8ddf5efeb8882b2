//! URIs that are bound to flows.

use crate::time::Duration;

/// Most URIs one flow may have. A home's flow to an edge carries the Path of
/// every phone of that edge. At the bound the flow's least recently bound or
/// used URI goes.
pub(crate) const STICK_URIS_PER_FLOW_MAX: usize = 1 << 20;
/// Most bindings of one shard. At the bound a flow gives up its own least
/// recently used URI for a new one; a flow without any binds nothing.
pub(crate) const STICK_BINDINGS_MAX: usize = 1 << 22;
/// Most domains linked to one flow (identities of one certificate). More are
/// not linked.
pub(crate) const STICK_DOMAINS_PER_FLOW_MAX: usize = 256;
/// Most bindings of one user at one host and port (parameter sets times flows),
/// since every look-up may visit them all. At the bound a flow gives up its own
/// oldest there; a flow without any binds nothing.
pub(crate) const STICK_CHAIN_MAX: usize = 256;
/// Longest URI that is bound or looked up, in bytes. Longer: no stickiness.
pub const STICK_URI_MAX: usize = 1_024;
/// Most parameters, and most headers, of a URI that is bound or looked up.
/// More: no stickiness.
pub(crate) const STICK_PARAMS_MAX: usize = 16;
/// How long a Record-Route is bound to the flow it came on after its dialog's
/// last 2xx. The URI names a subscriber and a node, not one dialog (B-13), so a
/// long call renews it with the next one. Later: the request is routed as if
/// nothing had been learned.
pub(crate) const STICK_RECORD_ROUTE: Duration = Duration::from_secs(12 * 3_600);
/// Most earlier Paths of one phone whose dialogs follow it. More: the oldest is
/// forgotten, and the edges are asked for the phone.
pub(crate) const FORMER_PATHS_MAX: usize = 4;
/// Most phones of one shard that have such Paths. At the bound one of them is
/// forgotten.
pub(crate) const FORMER_PHONES_MAX: usize = 1 << 16;
/// How long the URIs of a lost connection wait for it to be opened again
/// (S-28). Later: they are dropped.
pub const STICK_REOPEN_MAX: Duration = Duration::from_secs(10);
