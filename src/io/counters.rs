//! What the shell counts, per shard, since the start.

steadfast_core::counters! {
    /// Counts of one shard's sockets.
    pub(super) struct Counters;
    /// Waits that ended by their deadline although another thread had given something.
    late_wakes,
    /// Times that a receive ended because all buffers were full: it goes on at once.
    buffers_exhausted,
    /// Datagrams read.
    udp_received,
    /// Datagrams that exceed any SIP message, or have no IP address.
    udp_unreadable,
    /// Datagrams the kernel took.
    udp_sent,
    /// Requests dropped at the bound of a datagram queue.
    udp_dropped_requests,
    /// Other datagrams dropped there.
    udp_dropped_others,
    /// Datagrams the kernel refused for good.
    udp_unsendable,
    /// Reports that a peer cannot be reached.
    udp_unreachable,
    /// Times that a UDP socket was connected to a peer who talks all the time.
    udp_peers_connected,
    /// Connections accepted.
    tcp_accepted,
    /// Connections closed at once, for want of room or since their source has
    /// too many.
    tcp_refused,
    /// Those of them that were closed for want of descriptors.
    files_exhausted,
    /// Connections opened, or tried to.
    tcp_connects,
    /// Those that left by any port, since all core ports led there already.
    core_ports_exhausted,
    /// TLS handshakes completed with clients.
    tls_accepted,
    /// TLS handshakes completed with servers.
    tls_opened,
    /// Handshakes of either kind that took up an earlier session.
    tls_resumed,
    /// TLS 1.2 connections whose key has few records left: another one takes their place.
    tls_used_up,
    /// TLS connections closed because the protocol was broken, nobody was
    /// proven, or the handshake took too long.
    tls_failed,
    /// Those of them where somebody is not who they must be, or found that of us.
    tls_unproven,
    /// TLS connections whose client went away in the handshake.
    tls_abandoned,
    /// Connections closed at once, for want of room for handshakes.
    tls_refused,
    /// Times that a changed configuration was taken over.
    reloads,
    /// Times that it could not be.
    reloads_refused,
    /// Times that a changed file of subscribers could not be used.
    subscribers_reloads_refused,
    /// Times that changed certificates were taken up.
    tls_reloads,
    /// Times that changed certificates could not be used.
    tls_reloads_refused,
    /// Bytes read from streams.
    tcp_received,
    /// Bytes queued on streams.
    tcp_sent,
    /// Streams closed because their peer does not read.
    tcp_overflows,
    /// Hand-overs to other shards dropped, because they are too far behind.
    handoff_drops,
    /// Records handed to the store, or to the table of flows.
    store_written,
    /// Records dropped because it is too far behind.
    store_dropped,
}
