//! The protocol, bytes in and bytes out, against the pure core in virtual
//! time. Each test names the lines of the protocol it proves.

#[cfg(test)]
mod wire {
    pub(crate) mod phone;
    pub(crate) mod world;

    mod agent;
    mod agent_alone;
    mod calling;
    mod digest;
    mod edge_registering;
    mod edge_routing;
    mod failover;
    mod flow_tokens;
    mod home_registering;
    mod home_routing;
    mod keepalive;
    mod privacy;
    mod record_routes;
    mod registering;
}
