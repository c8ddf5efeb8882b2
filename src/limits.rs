//! Every bound of the program, each with its reason and with what happens at
//! it. A number that limits anything and stands elsewhere is a mistake.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::time::Duration;

/// Longest message, in bytes: the largest UDP datagram rounded to what 16-bit
/// spans hold. Longer on a stream: 513 and close (RFC 3261 §21.5.7).
pub const MESSAGE_MAX: usize = 65_535;
/// Most header lines in one message. More: 400.
pub const HEADERS_MAX: usize = 256;
/// Header lines that this proxy may add to a request it forwards. A request
/// that leaves no room for them: 400.
pub const ADDED_HEADERS_MAX: usize = 16;
/// Bytes that it may add. A request that leaves no room for them: 513.
pub const ADDED_BYTES_MAX: usize = 4_096;
/// Most values of one list header (Via, Route, Record-Route, Path, Contact).
/// More: 400.
pub const VALUES_MAX: usize = 64;
/// Highest status code there is (RFC 3261 §7.2). Higher: dropped.
pub const STATUS_MAX: u16 = 699;

/// Idle buffers kept per size class and shard; more are freed. Sized so that
/// a burst of a few thousand calls a second runs without the allocator.
pub const POOL_IDLE_MAX: usize = 65_536;
/// Memory of the idle buffers of one size class, in bytes; more is freed.
pub const POOL_IDLE_BYTES_MAX: usize = 64 << 20;

/// RFC 3261 T1: the round trip estimate all retransmission starts from.
pub const T1: Duration = Duration::from_millis(500);
/// RFC 3261 T2: longest retransmission interval of non-INVITE and responses.
pub const T2: Duration = Duration::from_secs(4);
/// RFC 3261 T4: longest time a message stays in the network.
pub const T4: Duration = Duration::from_secs(5);
/// 64·T1: timers B, F, H, J, L and M.
pub const T1_64: Duration = Duration::from_secs(32);
/// When a non-INVITE server transaction over UDP may first send 100
/// (RFC 4320 §4.1: when the client's Timer E would reach T2).
pub const NON_INVITE_TRYING: Duration = Duration::from_millis(3_500);
/// Timer C: more than three minutes (RFC 3261 §16.6-11).
pub const TIMER_C: Duration = Duration::from_secs(185);
/// Grace of a cancelled branch without a final answer (RFC 3261 §9.1: 64·T1).
pub const CANCEL_GRACE: Duration = T1_64;

/// Bytes of the buffers in use per shard, which is what transactions hold on
/// to. At the bound a new request gets 503 statelessly; nothing that runs is
/// disturbed.
pub const BUFFER_BYTES_MAX: usize = 1 << 30;
/// Most transactions of each side per shard. At the bound a new request gets
/// 503 statelessly; nothing that runs is disturbed.
pub const TRANSACTIONS_MAX: usize = 1 << 20;
/// Most branches of one request (parallel and serial together). More targets
/// are left out, lowest q first.
pub const BRANCHES_MAX: usize = 16;
/// Max-Forwards given to a request that has none (RFC 3261 §16.6-3).
pub const MAX_FORWARDS: u8 = 70;
/// Max-Breadth given to a request that has none, and its cap (RFC 5393 §5.3.3).
pub const MAX_BREADTH: u16 = 60;

/// Most shards of one node, each on a core of its own: what the name of a
/// stream and a branch have room for. More is a configuration error.
pub const SHARDS_MAX: usize = 128;
/// Hand-overs between shards that may wait for one of them, in equal shares of
/// those that send. At the bound the newest is dropped and counted: the peer
/// sends again what was a message, the next refresh what was a registration.
pub const HANDOFFS_MAX: usize = 8_192;
/// Smallest share of that, however many shards there are: a burst of one batch
/// of datagrams.
pub const HANDOFFS_MIN: usize = 64;
/// Hand-overs taken from one other shard before the sockets have their turn.
pub const HANDOFF_BATCH: usize = 256;
/// Streams of other shards that a shard knows as a way to somebody. At the
/// bound a further one counts as gone: another flow, or a new one, is taken.
pub const AWAY_STREAMS_MAX: usize = 1 << 20;
/// Most phones of other shards that a shard keeps the directory for. At the
/// bound a further one is not found by its token on another shard than its own:
/// its requests go to the other edges of the token, or get 430.
pub const DIRECTORY_MAX: usize = 1 << 20;

/// Most streams of one shard. At the bound a new connection is closed at once.
pub const STREAMS_MAX: usize = 1 << 20;
/// Names of servers that a shard keeps for its TLS connections. More: the name
/// that no connection needs gives way; with all in use nothing new is opened.
pub const SERVER_NAMES_MAX: usize = 4_096;
/// Bytes that may wait for a stream's slow reader. More: the stream is closed,
/// since a peer that far behind has lost its transactions anyway.
pub const STREAM_QUEUE_MAX: usize = 512 * 1024;
/// Datagrams that may wait for a UDP socket's full send buffer. At the bound
/// the oldest request goes (its sender's timer sends it again), else the
/// oldest of all; both are counted.
pub const DATAGRAM_QUEUE_MAX: usize = 4_096;
/// Longest request sent over UDP where TCP may be tried first: the path MTU is
/// not known (RFC 3261 §18.1.1).
pub const UDP_REQUEST_MAX: usize = 1_300;
/// Longest datagram over IPv4 that asks not to be fragmented, which saves the
/// kernel an identification for it: what every path of QUIC carries whole
/// (RFC 9000 §14). Longer ones may be fragmented on their way.
pub const UNFRAGMENTED_MAX: usize = 1_200;
/// Buffers of unfinished stream messages kept for the next ones; more are freed.
pub const PARTIALS_IDLE_MAX: usize = 64;
/// Longest time a connection attempt may take before it counts as failed.
pub const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Longest time a message may take to arrive in full on a stream, from its
/// first byte. Later: the stream is closed (slow loris).
pub const PARTIAL_MESSAGE_MAX: Duration = Duration::from_secs(10);
/// Keep-alive interval announced in Flow-Timer, in seconds (RFC 5626 §5.4).
pub const FLOW_TIMER_S: u32 = 120;
/// What part of it at most a phone's own interval is shorter: a fifth, so that
/// phones which registered together do not ask together.
pub const FLOW_TIMER_SPREAD: u32 = 5;
/// Silence after which a stream that was promised Flow-Timer is dead: longer
/// than announced (RFC 5626 §5.4).
pub const FLOW_SILENCE_MAX: Duration = Duration::from_secs(150);

/// Time in which an accepted stream must bring its first whole message: a
/// phone connects because it has something to say. Later: it is closed.
pub const FIRST_MESSAGE_MAX: Duration = Duration::from_secs(20);

/// Sets of the table of sources, of four sources each: 256 bytes a set, 4 MiB
/// a shard. At the bound the source nearest to an empty record gives way.
pub const GUARD_SETS: usize = 1 << 14;
/// Requests a source may send, per second and at once, and on each shard: a
/// carrier's address translation with ten thousand phones behind it asks for
/// less. More: 503 on a stream, silence over UDP.
pub const SOURCE_REQUESTS: (u32, u32) = (2_000, 8_000);
/// Requests inside dialogs from a source without a flow of its own, per second
/// and at once (protocol 2.4). More: 503.
pub const SOURCE_ROAMING: (u32, u32) = (20, 100);
/// STUN requests of a source, per second and at once: a phone asks every half
/// minute. More: silence (protocol 3.9).
pub const SOURCE_STUN: (u32, u32) = (500, 2_000);
/// Failed credentials of a source, per second and at once: whoever mistypes a
/// password does it a few times. More: 403 to whatever has credentials.
pub const SOURCE_FAILED_DIGESTS: (u32, u32) = (1, 60);
/// Connections a source may open, per second and at once: ten thousand phones
/// behind one address come back within a minute of an edge's end. More: closed
/// at once.
pub const SOURCE_CONNECTIONS: (u32, u32) = (200, 2_000);
/// Connections a source may have at once, and on each shard, unless the
/// configuration says otherwise. More: closed at once.
pub const SOURCE_STREAMS: u32 = 16_384;
/// Share of them, in percent, at which the operator is told, once.
pub const SOURCE_STREAMS_ALARM_PERCENT: u32 = 80;
/// TLS handshakes a source may have under way at once. More: closed at once.
pub const SOURCE_HANDSHAKES_MAX: u32 = 256;
/// Bytes of unfinished messages of a source: whole ones are never kept, and
/// hardly a message is cut in two. More: the stream is closed.
pub const SOURCE_PARTIAL_BYTES_MAX: usize = 4 << 20;
/// Bytes of unfinished messages of all streams of a shard. More: the stream is
/// closed.
pub const PARTIAL_BYTES_MAX: usize = 256 << 20;
/// Bytes that an unproven UDP source may have sent before it is answered. What
/// it sends beyond that allows no further answers. An answer to STUN, longer
/// than its request by 24 bytes at most, is not counted here.
pub const SOURCE_CREDIT_MAX: u32 = 65_535;
/// How long a UDP source is believed to get what is sent to it: as long as a
/// registration lasts at most. Later: as at first.
pub const SOURCE_PROVEN: Duration = Duration::from_secs(EXPIRES_MAX_S as u64);
/// Who is not limited unless the configuration says otherwise: programs on the
/// same machine can do worse than send.
pub const UNLIMITED: [(IpAddr, u8); 2] = [
    (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), 8),
    (IpAddr::V6(Ipv6Addr::LOCALHOST), 128),
];

/// Most contacts one address of record may have. More: 403 to the REGISTER.
pub const CONTACTS_MAX: usize = 10;
/// Shortest and longest registration granted, and the one given when none is
/// asked for, in seconds. Shorter: 423 with Min-Expires (RFC 3261 §10.3).
pub const EXPIRES_MIN_S: u32 = 60;
/// Longest registration granted, in seconds; longer requests get this.
pub const EXPIRES_MAX_S: u32 = 7_200;
/// Registration granted when the phone names none, in seconds.
pub const EXPIRES_DEFAULT_S: u32 = 3_600;
/// What part at most a registration is shorter than it could be: an eighth. Who
/// registered within a minute comes back within eight, when he asked for an hour.
pub const EXPIRES_SPREAD: u32 = 8;
/// Most registrations an edge remembers per shard. At the bound the 200 still
/// passes, the phone is simply reached through its own edges' relays.
pub const REGISTRATIONS_MAX: usize = 1 << 20;
/// Longest time a nonce is good, in seconds; then `stale=true` (RFC 7616 §3.3).
pub const NONCE_S: u64 = 300;
/// Members of an edge cluster. More is a configuration error.
pub const MEMBERS_MAX: usize = 64;
/// Most edges in one subscriber's set.
pub const EDGE_SET_MAX: usize = 4;
/// Longest user part of a token. Longer: 403.
pub const TOKEN_MAX: usize = 512;
/// Longest user, realm, instance or edge name in a token: its length is one
/// byte there. Longer: 403 to the REGISTER.
pub const TOKEN_FIELD_MAX: usize = 255;
/// Most registrations an edge remembers of one user. One more pushes out the
/// oldest, which is the one a phone that changes its instance has left behind.
pub const USER_REGISTRATIONS_MAX: usize = 64;

/// Most URIs one flow may have. A home's flow to an edge carries the Path of
/// every phone of that edge. At the bound the flow's least recently bound or
/// used URI goes.
pub const STICK_URIS_PER_FLOW_MAX: usize = 1 << 20;
/// Most bindings of one shard. At the bound a flow gives up its own least
/// recently used URI for a new one; a flow without any binds nothing.
pub const STICK_BINDINGS_MAX: usize = 1 << 22;
/// Most domains linked to one flow (identities of one certificate). More are
/// not linked.
pub const STICK_DOMAINS_PER_FLOW_MAX: usize = 256;
/// Most bindings of one user at one host and port (parameter sets times flows),
/// since every look-up may visit them all. At the bound a flow gives up its own
/// oldest there; a flow without any binds nothing.
pub const STICK_PLACE_MAX: usize = 256;
/// Longest URI that is bound or looked up, in bytes. Longer: no stickiness.
pub const STICK_URI_MAX: usize = 1_024;
/// Most parameters, and most headers, of a URI that is bound or looked up.
/// More: no stickiness.
pub const STICK_PARAMS_MAX: usize = 16;
/// How long a Record-Route is bound to the flow it came on after its dialog's
/// last 2xx. The URI names a subscriber and a node, not one dialog (protocol 2.3
/// item 13), so a long call renews it with the next one. Later: the request is
/// routed as if nothing had been learned.
pub const STICK_RECORD_ROUTE: Duration = Duration::from_secs(12 * 3_600);
/// How long the URIs of a lost connection wait for it to be opened again
/// (draft-jennings §6; protocol S-28). Later: they are dropped.
pub const STICK_REOPEN_MAX: Duration = Duration::from_secs(10);

/// Time a draining node leaves its transactions before it exits.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Shortest and longest Retry-After of a draining or overloaded node, in
/// seconds: spread, so that who was refused together does not return together.
pub const RETRY_AFTER_S: (u32, u32) = (5, 15);
/// Longest Retry-After of an overloaded shard, in seconds: the less it takes
/// in, the further those it refuses are spread. Longer, and a phone that may
/// only wait would be silent for longer than its keep-alives allow.
pub const RETRY_AFTER_MAX_S: u32 = 120;
/// How late a shard may be, smoothed over its turns: what waits longer makes
/// the phones send again (T1) and answers that nobody waits for. Later: a share
/// of what is new is refused with 503, and as much of new TLS connections, since
/// a handshake takes the time of a dozen requests, is closed at once.
pub const LATE_MAX: Duration = Duration::from_millis(25);
/// How often that share is looked at: a few round trips of whoever feels it.
pub const ADMISSION_PERIOD: Duration = Duration::from_millis(100);
/// Thousandths of the requests that are taken in again after each period in
/// time: all of them after five seconds.
pub const ADMITTED_STEP: u32 = 20;
/// Thousandths that are taken in however late the shard is: else nobody would
/// find out that it is over.
pub const ADMITTED_MIN: u32 = 10;
/// How long the share that a server asks for holds, where it does not say, in
/// milliseconds (RFC 7339 §4.3); ours says the same.
pub const OC_VALIDITY_MS: u32 = 500;
/// Longest time that it holds, whatever the server says. Longer counts as this.
pub const OC_VALIDITY_MAX: Duration = Duration::from_secs(10);
/// How long peers are told that overload is over (RFC 7339 §5.7).
pub const OC_END: Duration = Duration::from_secs(2);
/// Servers whose share is remembered. At the bound the one that ends first
/// gives way, and is asked as if it had said nothing.
pub const OC_SERVERS_MAX: usize = 64;
/// Requests that a class of requests must leave unpaid before the next one pays
/// for them: more than chance brings about, and few enough that the share holds
/// within a period.
pub const CLASS_STEP: u32 = 16;
/// How long a destination that failed is left for last; twice as long after
/// each further failure.
pub const DESTINATION_DOWN: Duration = Duration::from_secs(5);
/// Longest time it is left for last: it may work again, and a longer
/// Retry-After gets this.
pub const DESTINATION_DOWN_MAX: Duration = Duration::from_secs(60);
/// Most destinations remembered as failed. At the bound the oldest is
/// forgotten, and tried again the sooner.
pub const DESTINATIONS_OPEN_MAX: usize = 64;
/// Pause between two keep-alives on a flow between elements of the cluster:
/// a dead one is to be known in seconds (K-3).
pub const PEER_PING: Duration = Duration::from_secs(1);
/// Pause between them while a request waits for its first answer: a few fit
/// into T1, so that losing one does not make a live peer look dead.
pub const PEER_PROBE: Duration = Duration::from_millis(125);
/// Time without an answer after which a peer is lost; with the pause before
/// the question, less than three seconds of silence.
pub const PEER_PATIENCE: Duration = Duration::from_millis(1_800);
/// Questions of an edge in a row, each within two pauses of the one before,
/// that promise a home more of them: one may be anybody's. An edge that has
/// agreed to ask sends as many at once over a connection that it opens again.
pub const PEER_HABIT: u8 = 3;
/// How long an agreement on keep-alives holds over the connection it was made
/// on (RFC 6223 §4.2: as long as the registration): every REGISTER and INVITE
/// renews it.
pub const PEER_AGREED: Duration = Duration::from_secs(3_600);
/// Silence after which a peer that nobody configured is watched no longer.
pub const PEER_FORGET: Duration = Duration::from_secs(60);
/// Most flows of one shard that are watched: each edge has one per shard of
/// its own, and more for a while when it starts again. One more is not
/// watched, and fails by its transactions' timers.
pub const PEERS_MAX: usize = 4_096;

/// Longest domain name, in bytes (RFC 1035 §2.3.4). Longer: not located.
pub const DNS_NAME_MAX: usize = 253;
/// Most names whose servers a shard knows. At the bound a name that was not
/// used for long makes room; a request that still wanted it gets 480.
pub const DNS_NAMES_MAX: usize = 4_096;
/// Most questions that a shard may have out. At the bound a request for a
/// further name gets 480 at once.
pub const DNS_QUESTIONS_MAX: usize = 256;
/// Questions of all shards that wait for the control thread. More are answered
/// as failed.
pub const DNS_QUEUE_MAX: usize = 1_024;
/// Most targets (SRV records) of one name that are looked at. More are left out.
pub const DNS_TARGETS_MAX: usize = 16;
/// Most addresses of one name that are kept, best first. More are left out.
pub const DNS_SERVERS_MAX: usize = 32;
/// Most queries that one question may need, and most rounds of them: NAPTR,
/// SRV, addresses. More: the question has failed.
pub const DNS_QUERIES_MAX: (usize, usize) = (64, 4);
/// Longest time a request waits for its server's address. Then it goes to what
/// the DNS said last, or gets 480: before its sender gives up.
pub const DNS_WAIT_MAX: Duration = Duration::from_secs(4);
/// Answers of a shard that look for callers whose connections are gone, each
/// while a connection is being opened or the DNS is asked. One more has its
/// first try and no further one.
pub const RETURNS_MAX: usize = 256;
/// Addresses that such an answer is tried at. Then the caller has to ask again.
pub const RETURN_TRIES_MAX: usize = 5;
/// Longest time that the answer to a question may take. Later: it has failed.
pub const DNS_ANSWER_MAX: Duration = Duration::from_millis(3_500);
/// When a question without an answer is asked anew: nobody waits for it any
/// more.
pub const DNS_QUESTION_LOST: Duration = Duration::from_secs(8);
/// Wait for a name server before the query is sent again, and how often.
pub const DNS_QUERY: (Duration, usize) = (Duration::from_millis(800), 2);
/// Shortest time an answer is used, whatever its TTL: a burst of requests asks
/// once.
pub const DNS_TTL_MIN: Duration = Duration::from_secs(1);
/// Longest time an answer is used, whatever its TTL.
pub const DNS_TTL_MAX: Duration = Duration::from_secs(3_600);
/// Longest time that a name without servers is believed to have none, and how
/// long where the DNS does not say (RFC 2308 §5).
pub const DNS_NEGATIVE_MAX: Duration = Duration::from_secs(60);
/// How long a failing DNS is left alone about one name.
pub const DNS_RETRY: Duration = Duration::from_secs(2);
/// How long the last answer serves on while the DNS fails (RFC 8767 §5).
pub const DNS_STALE_MAX: Duration = Duration::from_secs(3_600);

/// Parameters (or headers) of a contact URI that are compared one by one. A
/// URI with more equals only itself, byte for byte.
pub const URI_PARAMS_MAX: usize = 32;
/// Most addresses of record with bindings per shard. At the bound the REGISTER
/// of a further one gets 503.
pub const AORS_MAX: usize = 1 << 22;
/// How far another home's clock may run ahead, in seconds. A nonce minted
/// later than that was not minted by the cluster.
pub const NONCE_SKEW_S: u64 = 60;
/// Nonces whose counts a shard remembers, about 3 MiB. At the bound the oldest
/// is dropped, and nonces as old as it are stale to this shard from then on.
pub const NONCE_COUNTS_MAX: usize = 1 << 16;

/// Redirects that the agent follows for one request. One more is a failure
/// (RFC 3261 §8.1.3.4).
pub const AGENT_REDIRECTS_MAX: usize = 5;
/// Challenges that the agent answers for one request. One more is a failure:
/// the other side does not know what it wants.
pub const AGENT_CHALLENGES_MAX: u8 = 3;
/// Most calls of one agent. One more is busy (486).
pub const AGENT_CALLS_MAX: usize = 64;
/// Silence after a request that makes the agent ask the flow itself
/// whether it still works.
pub const AGENT_SILENCE_MAX: Duration = T1;
/// Wait for each answer to that question, and how often it is asked: a dead
/// edge is known after about a second, and three lost datagrams are rare.
pub const AGENT_PROBE: (Duration, u8) = (Duration::from_millis(200), 3);
/// Retransmissions of a STUN keep-alive before its flow has failed, and the
/// wait for the first, which doubles (RFC 5389 §7.2.1, RFC 5626 §4.4.2).
pub const AGENT_STUN: (Duration, u8) = (Duration::from_millis(500), 7);
/// Wait for the answer to a CRLF keep-alive (RFC 5626 §4.4.1).
pub const AGENT_PONG_MAX: Duration = Duration::from_secs(10);
/// Shortest and longest pause between STUN keep-alives, in seconds (RFC 5626
/// §4.4.2).
pub const AGENT_STUN_PAUSE_S: (u64, u64) = (24, 29);
/// Shortest and longest pause between CRLF keep-alives without Flow-Timer, in
/// seconds (RFC 5626 §4.4.1).
pub const AGENT_CRLF_PAUSE_S: (u64, u64) = (95, 120);
/// Back-off of a registration that failed: base when all flows failed, base
/// when another one works, and the longest, in seconds (RFC 5626 §4.5).
pub const AGENT_BACK_OFF_S: (u64, u64, u64) = (30, 90, 1_800);
/// How long the first registered flow waits for the others before the agent
/// calls itself ready: a dead edge is silent for half a minute.
pub const AGENT_READY_MAX: Duration = Duration::from_secs(2);
/// How long a Record-Route sticks to its flow at most: longer than calls are.
pub const AGENT_DIALOG_MAX: Duration = Duration::from_secs(86_400);
/// Datagrams moved by one `recvmmsg` or `sendmmsg`. More wait for the next.
pub const DATAGRAM_BATCH: usize = 64;
/// Batches read from one UDP socket before the other sockets have their turn.
pub const BATCHES_MAX: usize = 4;
/// Bytes read from one stream before the other sockets have their turn.
pub const STREAM_READ_MAX: usize = 64 * 1024;
/// Sockets that one look at the kernel may report as ready. More wait for the
/// next look, in turn.
pub const EVENTS_MAX: usize = 256;
/// Accepted connections of one shard in their TLS handshake. One more is closed
/// at once: half-open handshakes cost memory, nobody knows whose they are, and
/// if all go on at the same moment, a call waits behind them for as long as they
/// take: 0.2 ms each, together less than T1.
pub const HANDSHAKES_MAX: usize = 2_048;
/// Longest time the handshake of an accepted connection may take. Longer: closed.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Bytes of messages encrypted before the kernel is asked to take them, about.
pub const TLS_WRITE_MAX: usize = 64 * 1024;
/// SIP domains of one certificate. More are left out.
pub const IDENTITIES_MAX: usize = 64;
/// Longest name of a SIP domain in a certificate, in bytes: a domain name and
/// the parts of a URI around it. Longer ones are left out.
pub const IDENTITY_LEN_MAX: usize = 512;
/// Lines about refused TLS connections that one shard logs in a second. More
/// are only counted: anybody can cause them.
pub const COMPLAINTS_PER_SECOND_MAX: u32 = 16;
/// Connections accepted from one listener before the other sockets have their
/// turn.
pub const ACCEPTS_MAX: usize = 64;
/// Kernel buffer asked for each way of a UDP socket, in bytes. Less granted: a
/// warning at start, since a burst beyond it is lost without a trace.
pub const SOCKET_BUFFER: usize = 4 * 1024 * 1024;
/// Connections that may wait for `accept`. More: the kernel ignores the SYN
/// and the peer sends it again.
pub const BACKLOG: i32 = 4_096;
/// Time after which unacknowledged bytes end a stream (RFC 5482): shorter than
/// the patience of a transaction, so that a backup is tried within it.
pub const USER_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Silence on a stream before TCP asks whether the peer is there. Finds the
/// vanished peers of flows that were promised no Flow-Timer.
pub const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// How long a shard that ran dry waits in the kernel for the next event
/// itself, before it hands the thread back to its executor, whose sleep and
/// wake cost three times as much.
pub const LINGER: Duration = Duration::from_millis(10);
/// Longest sleep of a shard in its executor. Then it looks for itself, and what
/// it finds without having been woken is counted (`late_wakes`).
pub const NAP: Duration = Duration::from_millis(100);
/// Longest time a busy shard keeps the thread from its executor.
pub const HOLD: Duration = Duration::from_millis(50);
/// How long one task of an executor runs before another has its turn: as good
/// as for ever, since a shard is one task. It must be long: an executor whose
/// thread the kernel kept off its core for this time, between setting the timer
/// and looking at its tasks, takes the timer for its turn, runs none of them
/// and goes to sleep (at 2 ms one start in a thousand on a crowded core never
/// ran its shard; at 1 µs none ever does).
pub const PREEMPT: Duration = Duration::from_secs(3_600);
/// Rounds of output that answer input that output caused (a write that found
/// its stream dead). More go on after the next look at the kernel.
pub const SETTLE_ROUNDS: usize = 8;
/// Locked memory that the rings of one executor need, in bytes. Less: the node
/// does not start.
pub const LOCKED_MEMORY_MIN: u64 = 512 * 1024;
/// Open files below which a node warns at its start: a TCP or TLS phone is one.
pub const OPEN_FILES: u64 = 65_536;
/// Flows that the kernel's firewall remembers, below which a node warns at its
/// start: a UDP phone is one, and one too many is dropped without a trace.
pub const TRACKED_FLOWS: u64 = 1 << 20;
/// How long a port may still be held by a process that has just ended, whose
/// rings the kernel takes down behind its back. Longer: it is taken.
pub const BIND_PATIENCE: Duration = Duration::from_secs(2);
/// Messages from the control thread that wait for a shard. More: the newest is
/// dropped with a warning; none of them is a SIP message.
pub const INBOX_MAX: usize = 512;
/// How long a shard may take to answer the control thread. Longer: it is said
/// to be ill.
pub const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Longest answer of a control socket that `why` reads, in bytes.
pub const CONTROL_ANSWER_MAX: u64 = 16 << 20;
/// Records that wait for the store. More are dropped and counted: the next
/// refresh of the same registration writes the whole record again.
pub const STORE_QUEUE_MAX: usize = 65_536;
/// Records written by one transaction of the store.
pub const STORE_BATCH_MAX: usize = 4_096;
/// Rows that are written before a shard on the same core has its turn: some 50
/// µs of work.
pub const STORE_ROWS_AT_ONCE: usize = 32;
/// Pause between two transactions of the store: what a crash may lose.
pub const STORE_PAUSE: Duration = Duration::from_millis(50);
/// How often a watched file is looked at.
pub const FILE_WATCH: Duration = Duration::from_secs(1);
/// How long the lab waits for a node to listen, or to end.
pub const LAB_PATIENCE: Duration = Duration::from_secs(12);
/// How often it looks.
pub const LAB_POLL: Duration = Duration::from_millis(20);
/// Datagrams moved by one call of the load generator. More wait for the next.
pub const LOAD_BATCH: usize = 128;
/// Longest message the load generator takes in, in bytes. A longer one counts
/// as lost: its own are a third as long.
pub const LOAD_MESSAGE_MAX: usize = 4_096;
/// Attempts of a load that may be unfinished at once. Beyond it an attempt is
/// not made and counts as failed: what is loaded fell behind for good.
pub const LOAD_PENDING_MAX: usize = 1 << 16;
/// Phones, and their flows, of one load. More are refused.
pub const LOAD_PHONES_MAX: u32 = 1 << 20;
/// Sockets of one load. More are refused.
pub const LOAD_SOCKETS_MAX: u32 = 20_000;
/// Attempts a second of one load. More are refused.
pub const LOAD_RATE_MAX: f64 = 1e6;
/// How long a load lasts at most, in seconds. Longer is refused.
pub const LOAD_SECONDS_MAX: u64 = 3_600;
/// How long an attempt of a load may wait for one answer: the patience of a
/// transaction (RFC 3261 §17, 64 T1). When the next interval would be longer
/// than what is left of it, the attempt has failed.
pub const LOAD_PATIENCE: Duration = Duration::from_secs(32);
/// Attempts begun in one turn of the load before it looks at its sockets again.
pub const LOAD_STARTS_MAX: usize = 64;

const _: () = assert!(MESSAGE_MAX <= u16::MAX as usize, "spans are 16 bits");
const _: () = assert!(
    DNS_ANSWER_MAX.as_millis() < DNS_WAIT_MAX.as_millis(),
    "a failure is told in time"
);
const _: () = assert!(
    DNS_WAIT_MAX.as_millis() < DNS_QUESTION_LOST.as_millis(),
    "who waits is told first"
);
const _: () = assert!(DNS_QUESTIONS_MAX < INBOX_MAX, "every answer finds room");
const _: () = assert!(
    LATE_MAX.as_millis() * 4 <= T1.as_millis(),
    "an answer is well before its request is sent again"
);
const _: () = assert!(
    RETRY_AFTER_MAX_S <= FLOW_TIMER_S,
    "who waits to come back is not taken for dead"
);
const _: () = assert!(DNS_TARGETS_MAX <= 64, "a set of bits in `locate::order`");
const _: () = assert!(TIMER_C.as_secs() > 180, "RFC 3261 §16.6-11");
const _: () = assert!(
    FLOW_SILENCE_MAX.as_secs() > FLOW_TIMER_S as u64,
    "RFC 5626 §5.4"
);
const _: () = assert!(
    PEER_PING.as_millis() + PEER_PATIENCE.as_millis() < 3_000,
    "a silent peer is lost within three seconds"
);
const _: () = assert!(
    PEER_PROBE.as_millis() * 4 <= T1.as_millis(),
    "three questions or more before a peer is suspect"
);
const _: () = assert!(
    USER_TIMEOUT.as_secs() < T1_64.as_secs(),
    "a backup is tried in time"
);
const _: () = assert!(
    LAB_PATIENCE.as_secs() > DRAIN_MAX.as_secs(),
    "a node may drain"
);
