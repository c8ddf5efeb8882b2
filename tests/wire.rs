//! The protocol, bytes in and bytes out, against the pure core in virtual
//! time. Each test names the lines of the protocol it proves.

#[cfg(test)]
mod wire {
    pub(crate) mod cables;
    pub(crate) mod marks;
    pub(crate) mod named_edges;
    pub(crate) mod names;
    pub(crate) mod peer;
    pub(crate) mod phone;
    pub(crate) mod settings;
    pub(crate) mod world;

    mod abuse;
    mod accomplices;
    mod acknowledging;
    mod addresses;
    mod agent;
    mod agent_alone;
    mod attacks;
    mod believing;
    mod calling;
    mod cancelling;
    mod core_side;
    mod digest;
    mod edge_registering;
    mod edge_routing;
    mod failover;
    mod flow_tokens;
    mod forging;
    mod forking;
    mod growth;
    mod hints;
    mod home_registering;
    mod home_routing;
    mod homes;
    mod keepalive;
    mod keeping;
    mod kept_flows;
    mod kin;
    mod locating;
    mod loops;
    mod lost_connections;
    mod moving;
    mod new_dialogs;
    mod overload;
    mod privacy;
    mod proxying;
    mod record_routes;
    mod redirects;
    mod registering;
    mod relearning;
    mod reported;
    mod restarted;
    mod returning;
    mod revoking;
    mod ringing;
    mod shards;
    mod shares;
    mod short_grants;
    mod sibling_edges;
    mod silence;
    mod sips;
    mod sticking;
    mod strangers;
    mod streams;
    mod target_refresh;
    mod tls;
    mod torture;
    mod transport;
    mod two_edges;
    mod uncallable;
    mod validating;
    mod ways;
    mod who_may;
    mod whose;
    mod why;
}
