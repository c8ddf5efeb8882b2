//! Registrations at a home and at an edge, nonces and tokens.

use crate::time::Duration;

/// Most contacts one address of record may have. One more takes the place of the
/// oldest one of the same instance; where there is none: 403 to the REGISTER.
pub const CONTACTS_MAX: usize = 10;
/// Shortest and longest registration granted, and the one given when none is
/// asked for, in seconds. Shorter: 423 with Min-Expires (RFC 3261 §10.3).
pub const EXPIRES_MIN_S: u32 = 60;
/// Longest registration granted, in seconds; longer requests get this.
pub(crate) const EXPIRES_MAX_S: u32 = 7_200;
/// Answers to REGISTERs of one shard that wait for the disk (`durable`), some 2 KiB each. At the
/// bound: 503 with Retry-After, before anything is changed.
pub const HELD_ANSWERS_MAX: usize = 4_096;
/// How long one waits: less than a phone or an edge takes to try another home. Longer: 500 with
/// Retry-After, and the bindings are those of before (RFC 3261 §10.3).
pub const STORE_WAIT_MAX: Duration = Duration::from_secs(3);
/// How long a store that could not be written is taken for one that cannot, unless it says
/// something else: longer than it pauses between two tries. Meanwhile: 503 to REGISTERs.
pub(crate) const STORE_FAILS_FOR: Duration = Duration::from_secs(10);
/// Registration granted when the phone names none, in seconds.
pub const EXPIRES_DEFAULT_S: u32 = 3_600;
/// What part at most a registration is shorter than it could be: an eighth. Who
/// registered within a minute comes back within eight, when he asked for an hour.
pub const EXPIRES_SPREAD: u32 = 8;
/// Most registrations an edge remembers per shard. At the bound the 200 still
/// passes, the phone is simply reached through its own edges' relays.
pub(crate) const REGISTRATIONS_MAX: usize = 1 << 20;
/// REGISTERs that passed an edge and are redirected all the same, until the operator
/// is told of the address they came from.
pub(crate) const UNRECOGNISED_SEEN: u32 = 3;
/// Addresses of unrecognised edges that are remembered. More: the least recently seen is
/// forgotten, and may be logged again.
pub(crate) const UNRECOGNISED_MAX: usize = 64;
/// Time between two log lines on unrecognised edges: anybody can cause them.
pub(crate) const UNRECOGNISED_QUIET: Duration = Duration::from_secs(10);
/// Addresses of record that are revoked at a time. More wait for
/// `REVOKE_PAUSE`: each is a message to every edge, and calls are not to wait.
pub const REVOKED_AT_ONCE: usize = 32;
/// How long the next ones wait: three thousand are gone within a second.
pub(crate) const REVOKE_PAUSE: Duration = Duration::from_millis(10);
/// Longest time a nonce is good, in seconds; then `stale=true` (RFC 7616 §3.3).
pub const NONCE_S: u64 = 300;
/// Phones of which a home remembers per shard that it has challenged them, 256 KiB.
/// At the bound one more takes the place of another, which is then asked for
/// every algorithm once more.
pub(crate) const CHALLENGED_MAX: usize = 1 << 14;
/// Addresses of one member: each is compared with what stands in a Route. More is
/// a configuration error.
pub const MEMBER_ADDRESSES_MAX: usize = 8;
/// Members of an edge cluster. More is a configuration error.
pub const MEMBERS_MAX: usize = 64;
/// Most edges in one subscriber's set.
pub const EDGE_SET_MAX: usize = 4;
/// Most edges that one without the flow of a phone asks for it, one after the other.
pub(crate) const EDGES_ASKED: usize = 8;
/// How many edges a home tries for a dialog, of which it knows some: two of a set
/// may be gone, and the phone at a third.
pub(crate) const EDGES_TRIED: usize = 3;
/// Longest user part of a token. Longer: 403.
pub(crate) const TOKEN_MAX: usize = 512;
/// Longest user, realm, instance or edge name in a token: its length is one
/// byte there. Longer: 403 to the REGISTER.
pub(crate) const TOKEN_FIELD_MAX: usize = 255;
/// Most registrations an edge remembers of one user. One more pushes out the
/// oldest, which is the one a phone that changes its instance has left behind.
pub(crate) const USER_REGISTRATIONS_MAX: usize = 64;
/// Dialogs per shard whose phones have gone on over another flow than they were
/// recorded on. At the bound an old one gives way, and its phone is reached as before
/// until it registers.
pub(crate) const REFRESHED_MAX: usize = 1 << 15;
/// Refreshed dialogs of one phone that are remembered. Requests of further ones take the flow of
/// their Route as before: no phone can evict the dialogs of others.
pub(crate) const REFRESHED_OF_PHONE_MAX: usize = 32;
/// How long a refreshed dialog is remembered after its last refresh: as
/// long as the binding of a Record-Route.
pub(crate) const REFRESHED_FOR: Duration = Duration::from_secs(12 * 3_600);
/// Most addresses of record with bindings per shard. At the bound the REGISTER
/// of a further one gets 503.
pub(crate) const AORS_MAX: usize = 1 << 22;
/// How far another home's clock may run ahead, in seconds. A nonce minted
/// later than that was not minted by the cluster.
pub(crate) const NONCE_SKEW_S: u64 = 60;
/// How often an edge keeps the flow of a phone behind an address translation open:
/// the briefest mappings in use last half a minute (RFC 4787 §4.3 wants two minutes).
pub const NAT_PING_EVERY: Duration = Duration::from_secs(25);
/// Longest time that such a phone is told that it is registered for, where it is to
/// keep its mapping open itself, in seconds: it comes again before the two minutes of
/// RFC 4787 §4.3, and with all of `EXPIRES_SPREAD` taken off asks for no less than
/// registrars commonly grant.
pub const NAT_EXPIRES_S: u32 = 68;
/// About how many such keep-alives are sent at once, so that no call waits behind
/// them.
pub(crate) const NAT_PINGS_AT_ONCE: u32 = 64;
/// Into how many parts their round is cut at most. A node with more phones than
/// this many times `NAT_PINGS_AT_ONCE` sends more at once.
pub(crate) const NAT_PING_PARTS: u32 = 2_500;
/// Nonces whose counts a shard remembers, about 3 MiB. At the bound the oldest
/// is dropped, and nonces as old as it are stale to this shard from then on.
pub(crate) const NONCE_COUNTS_MAX: usize = 1 << 16;
/// Longest row of the table of flows, key and value together, in bytes: what a slot
/// of the file holds beside its seal. It is enough for 160 bytes of user, domain and
/// instance. Longer: the registration is not kept (`flows_too_long`).
pub const FLOW_ROW_MAX: usize = 236;
/// Flows that the table of an edge has room for, if nothing else is configured: a file
/// of 50 MiB. More are not kept, with a warning.
pub const FLOWS_KEPT: u32 = 200_000;
/// The most it can have room for: what four shards remember, in a file of 1 GiB.
pub const FLOWS_KEPT_MAX: u32 = 1 << 22;
/// Requests of one shard that wait for a store which several homes share, some 2 KiB each. At the
/// bound nothing is asked: the bindings that are here have to do.
pub(crate) const ASKS_MAX: usize = 1_024;
/// Bytes of all of them. At the bound as at `ASKS_MAX`.
pub(crate) const ASK_BYTES_MAX: usize = 4 << 20;
/// Those of one source that is no edge and no home: whoever calls the absent is to leave room for
/// others. At the bound as at `ASKS_MAX`.
pub(crate) const ASKS_PER_SOURCE: usize = 16;
/// How long one waits: less than the 200 ms after which an INVITE is to be answered with 100 (RFC
/// 3261 §8.2.6.1). Later: the bindings that are here have to do.
pub const ASK_MAX: Duration = Duration::from_millis(150);
/// Addresses of record that a store which several homes share is told of at a time. More wait for
/// `REVOKE_PAUSE`: calls are not to wait, and a hundred thousand are told within ten seconds.
pub(crate) const SHARED_TOLD_AT_ONCE: usize = 128;
