//! The shell: sockets, executors, TLS, the control thread, the store.

use super::MEMBERS_MAX;
use crate::time::Duration;

/// Entries read of a socket's error queue before the other sockets have their turn.
pub const ERRORS_OF_TURN: usize = 64;
/// Times in a row that the kernel may refuse a datagram before it is given up. Each
/// refusal may be what the socket remembers of another datagram's ICMP error; they
/// come thousands of times a second if somebody forges them, and so many between
/// one call and the next do not.
pub const SEND_TRIES_MAX: u32 = 16;
/// Completions that one turn of a shard deals with. More wait for the next, in turn.
pub const EVENTS_MAX: usize = 256;
/// Entries that a shard's ring takes before they are submitted: what one turn has to say.
pub const ENTRIES_MAX: u32 = 1_024;
/// Completions that a shard's ring holds: a whole backlog of connections, and what every
/// buffer brings. The kernel keeps more aside until there is room.
pub const COMPLETIONS_MAX: u32 = 8_192;
/// Datagrams, and writes to streams, that are staged before they are submitted.
pub const SENDS_MAX: usize = 256;
/// Messages that one write to a stream has. More go with the next.
pub const WRITE_MESSAGES_MAX: usize = 64;
/// Enters in a row that may leave entries behind, which the kernel does where it has no
/// memory. More: the shard ends.
pub const SUBMITS_MAX: usize = 1_024;
/// Length of a wait that has to end by itself before what another thread has given
/// meanwhile counts as late (`late_wakes`): a shorter one may end between the gift and
/// the bell.
pub const QUIET_WAIT: Duration = Duration::from_millis(100);
/// Completions dealt with before the clock is asked again.
pub const COMPLETIONS_OF_NOW: usize = 32;
/// Peers of an upstream UDP socket that have a socket connected to them: the homes that are in
/// use at a time. Others are sent to by the one that is connected to nobody.
pub const PEER_SOCKETS_MAX: usize = 8;
/// Peers that are counted at a time to find those: who sends less than one in so many
/// datagrams is not noticed.
pub const PEER_CANDIDATES_MAX: usize = 16;
/// Datagrams that a peer has sent, beyond its share of those of others, when it gets a socket.
pub const PEER_SOCKET_AFTER: u32 = 256;
/// Buffers that datagrams of listeners are received into, and as many for those of upstream
/// sockets. More wait in the sockets.
pub const DATAGRAM_BUFFERS: u16 = 256;
/// Buffers that bytes of connections are received into. More wait in the sockets.
pub const STREAM_BUFFERS: u16 = 64;
/// Bytes of each of them: a whole record of TLS (RFC 8446 §5.1), about.
pub const STREAM_BUFFER: usize = 16 * 1024;
/// Accepted connections of one shard in their TLS handshake. One more is closed
/// at once: half-open handshakes cost memory, nobody knows whose they are, and
/// the last one waits for as long as all of them take: 0.2 ms each, together less
/// than T1.
pub const HANDSHAKES_MAX: usize = 2_048;
/// As many more may come from the addresses of homes and edges, whose connections
/// calls wait for.
pub const HANDSHAKES_OF_PEERS_MAX: usize = 256;
/// Accepted handshakes that one look at the kernel goes on with. More wait for the
/// next: a call waits behind 3 ms of them.
pub const HANDSHAKE_STEPS_MAX: usize = 16;
/// Longest time the handshake of an accepted connection may take. Longer: closed.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long one key seals session tickets. A ticket is taken in that time and in the next: a
/// phone that comes later shakes hands anew.
pub const TICKET_KEY_TIME: Duration = Duration::from_secs(6 * 60 * 60);
/// Bytes of a session ticket that is looked at: more than a session with certificates takes, and as
/// much as a record holds. A longer one is none of ours: the handshake is a full one.
pub const TICKET_MAX: usize = 16 * 1024;
/// Servers whose session tickets are kept, homes and edges: more than there are. Of one more that
/// of the server that was met first is forgotten, and the next handshake with it is a full one.
pub const TICKETS_OF_SERVERS_MAX: usize = 256;
/// Bytes of messages encrypted before the kernel is asked to take them, about.
pub const TLS_WRITE_MAX: usize = 64 * 1024;
/// SIP domains of one certificate: the cluster's, that of each of its members, and
/// as many again for whoever shares it. More are left out.
pub const IDENTITIES_MAX: usize = 2 * MEMBERS_MAX;
/// Longest name of a SIP domain in a certificate, in bytes: a domain name and
/// the parts of a URI around it. Longer ones are left out.
pub const IDENTITY_LEN_MAX: usize = 512;
/// Lines about refused TLS connections that one shard logs in a second. More
/// are only counted: anybody can cause them.
pub const COMPLAINTS_PER_SECOND_MAX: u32 = 16;
/// Connections accepted from one listener before the other sockets have their
/// turn.
pub const ACCEPTS_MAX: usize = 64;
/// Accepted connections that wait for their turn before the listeners are paused. More
/// wait in the backlogs.
pub const ACCEPTED_MAX: usize = 4 * ACCEPTS_MAX;
/// Reads of a connection that is closed, of what its peer has sent and nobody will read.
pub const LAST_READS_MAX: usize = 16;
/// Longest time that a turn deals with what has completed before what that brought about
/// leaves.
pub const TURN_MAX: Duration = Duration::from_millis(2);
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
/// Descriptors that connections of strangers leave to homes and edges, to whoever asks the node
/// by its control socket and for its metrics, and to the files and questions of its own.
pub const FILES_RESERVED: u64 = 64;
/// Descriptors of a shard, beside its sockets: its executor, its ring, its bells, and some to
/// spare.
pub const FILES_OF_SHARD: u64 = 16;
/// Descriptors of a listener: itself, and the one that is given up where there is no other.
pub const FILES_OF_LISTENER: u64 = 2;
/// How often the log says that connections were closed for want of descriptors.
pub const REFUSAL_ALERT_EVERY: Duration = Duration::from_secs(1);
/// Flows that the kernel's firewall remembers, below which a node warns at its
/// start: a UDP phone is one, and one too many is dropped without a trace.
pub const TRACKED_FLOWS: u64 = 1 << 20;
/// How long a port may still be held by a process that has just ended, whose
/// rings the kernel takes down behind its back. Longer: it is taken.
pub const BIND_PATIENCE: Duration = Duration::from_secs(2);
/// Messages from the control thread that wait for a shard. More: the newest is
/// dropped with a warning; none of them is a SIP message.
pub const INBOX_MAX: usize = 512;
/// How long the control thread waits before it offers an order again that may not be lost, where
/// the inbox of a shard is full.
pub const INBOX_PAUSE: Duration = Duration::from_millis(10);
/// Requests to take a configuration over that wait for the one before. More: refused.
pub const RELOADS_WAITING_MAX: usize = 16;
/// How long a configuration, with its files and the certificates in them, may take until the
/// shards go by it. Longer: whoever asked is told no more of it.
pub const RELOAD_MAX: Duration = Duration::from_secs(10);
/// How long a shard may take to answer the control thread. Longer: it is said
/// to be ill.
pub const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Longest answer of a control socket that `why` reads, in bytes.
pub const CONTROL_ANSWER_MAX: u64 = 16 << 20;
/// Questions that may wait at the control socket: a person asks them.
pub const CONTROL_BACKLOG: i32 = 64;
/// Records that wait for the store. More are dropped and counted: the next
/// refresh of the same registration writes the whole row again.
pub const STORE_QUEUE_MAX: usize = 65_536;
/// Records written by one transaction of the store.
pub const STORE_BATCH_MAX: usize = 4_096;
/// Rows that are written before a shard on the same core has its turn: some 50
/// µs of work.
pub const STORE_ROWS_AT_ONCE: usize = 32;
/// Pages of the store that are kept in memory, in bytes; others are read from
/// the file again. Without it redb keeps all of them up to a GiB, several hundred
/// bytes a phone.
pub const STORE_CACHE_MAX: usize = 16 << 20;
/// Pause between two transactions of the store: what a crash may lose.
pub const STORE_PAUSE: Duration = Duration::from_millis(50);
/// The same where answers wait for the disk: a wake of every shard after each is little beside
/// what a disk takes.
pub const STORE_PAUSE_AWAITED: Duration = Duration::from_millis(2);
/// Pause before a store that could not be written is opened and written again; twice as long
/// each time, up to `STORE_RETRY_MAX`: who makes room on the disk finds it working soon.
pub const STORE_RETRY: Duration = Duration::from_secs(1);
/// Longest such pause: to open a big store is work for the disk.
pub const STORE_RETRY_MAX: Duration = Duration::from_secs(8);
/// How often the log says that the store cannot be written, while that lasts.
pub const STORE_ALERT_EVERY: Duration = Duration::from_secs(60);
/// Questions of all shards that wait for a store which several homes share. More are answered as
/// by a store that cannot say.
pub const SHARED_QUESTIONS_MAX: usize = 4_096;
/// Changes, rows or questions that such a store is given in one piece: a thousandth of a second
/// of its work, or a few.
pub const SHARED_BATCH_MAX: usize = 512;
/// Pause between two pieces of changes: the next ones gather, and another home has a change long
/// before a phone that was told of it is called.
pub const SHARED_PAUSE: Duration = Duration::from_millis(2);
/// How long a connection to it, and an answer of it, may take. Longer: it is away.
pub const SHARED_ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long it is to wait for the next change of another home before it says that there was none.
pub const SHARED_BLOCK: Duration = Duration::from_secs(1);
/// Pause before the next try while it is away; twice as long each time, up to
/// `SHARED_RETRY_MAX`.
pub const SHARED_RETRY: Duration = Duration::from_millis(100);
/// Longest such pause: less than a phone waits that is refused until it is back.
pub const SHARED_RETRY_MAX: Duration = Duration::from_secs(2);
/// How long a node that ends tries to bring the last changes there.
pub const SHARED_END_MAX: Duration = Duration::from_secs(3);
/// Entries of the list of changes in such a store, some 100 bytes each: two minutes of a thousand
/// registrations a second. A home that was away for longer reads everything again.
pub const SHARED_CHANGES_MAX: usize = 1 << 17;
/// Damaged stores that are kept for whoever wants to know. The oldest beyond goes, since a
/// disk that damages every file would fill.
pub const STORES_SET_ASIDE: usize = 3;
/// Pause between two batches of rows for the table of flows, unless there is a whole
/// batch already: what SIGKILL may lose.
pub const FLOWS_PAUSE: Duration = Duration::from_millis(20);
/// How long before a certificate ends the node says so: authorities of the web give 90 days
/// and want them renewed after 60.
pub const CERTIFICATE_NOTICE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// How often it says so.
pub const CERTIFICATE_NOTICE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a watched file is looked at: a subscriber who was taken off the list
/// is gone within a second, and the second look must find the file as the first.
pub const FILE_WATCH: Duration = Duration::from_millis(250);
/// Notices that a shard keeps for whoever looks at the cluster. Beyond it the oldest is
/// forgotten, which the log still has.
pub const NOTICES_KEPT: usize = 64;
/// Listeners of the page at once, each a connection that is told something each second. One more
/// gets 503.
pub const PAGE_LISTENERS_MAX: usize = 16;
/// How often they are told. What the shards have said serves all of them for as long.
pub const PAGE_EVERY: Duration = Duration::from_secs(1);
/// Refusals that the page shows, and calls and registrations that failed: the last ones of each.
pub const PAGE_REJECTS: usize = 20;
/// Least time between two ladders that a node draws for its page: it looks through everything that
/// its recorders hold for each, and whoever reaches the page may ask.
pub const PAGE_LADDER_EVERY: Duration = Duration::from_secs(1);
/// Ladders that wait for that. One more gets 503.
pub const PAGE_LADDERS_WAITING: usize = 4;
/// Connections to the port of the metrics and of the page at once, half of what `FILES_RESERVED`
/// keeps. One more is closed.
pub const PORT_CONNECTIONS_MAX: usize = 32;
/// How many of them may come from one IPv4 address or IPv6 /64: the listeners of the page, and
/// whoever else looks from there. One more is closed.
pub const PORT_OF_SOURCE_MAX: usize = 24;
/// How long nothing may be written to such a connection: longer than any answer takes, and than
/// Prometheus waits from one question to the next where it is told nothing. Longer: it is closed.
pub const PORT_IDLE_MAX: Duration = Duration::from_secs(20);
/// Bytes asked of the kernel for what such a connection was told and has not taken yet.
pub const PORT_SEND_BUFFER: usize = 32 * 1024;
/// Pause before the port is looked at again after a connection could not be accepted.
pub const PORT_PAUSE: Duration = Duration::from_millis(100);

/// How long handshakes and connections that are being opened are awaited before a shard stands
/// still for an upgrade: nobody can go on with them. Calls go on meanwhile.
pub const SETTLE_MAX: Duration = Duration::from_secs(1);
/// How long a new program may take until it has read and checked all that it is started with.
pub const UPGRADE_START_MAX: Duration = Duration::from_secs(60);
/// How long it may take from then on until it can go on; then the one before it does.
pub const UPGRADE_TAKE_MAX: Duration = Duration::from_secs(5);
/// How long the process before it waits then to hear that it does, to say how long the node stood
/// still.
pub const UPGRADE_UP_MAX: Duration = Duration::from_secs(2);
/// How long the store of a new program waits for the one before it to let the file go.
pub const UPGRADE_STORE_MAX: Duration = Duration::from_secs(10);
/// How long a process lives on that has handed all over, so that whoever asked for it is told.
pub const UPGRADE_LAST_WORDS: Duration = Duration::from_millis(100);
/// Bytes of one message between both.
pub const UPGRADE_MESSAGE_MAX: usize = 4_096;
/// Descriptors in one message; the kernel takes 253 (SCM_MAX_FD).
pub const UPGRADE_DESCRIPTORS_MAX: usize = 250;
/// How often it is looked whether the last record is on disk before a node is handed on.
pub const UPGRADE_POLL: Duration = Duration::from_millis(1);
/// How often a new program tries to open a file that the one before it may have yet.
pub const UPGRADE_REOPEN: Duration = Duration::from_millis(20);
/// How long a shard that goes on may be late without refusing what is new: what has waited while
/// nobody read is worked off first.
pub const UPGRADE_EXCUSED: Duration = Duration::from_secs(1);
