//! The protocol, bytes in and bytes out, against the pure core in virtual
//! time. Each test names the lines of the protocol it proves.

#[cfg(test)]
mod wire {
    pub(crate) mod cables;
    pub(crate) mod peer;
    pub(crate) mod phone;
    pub(crate) mod settings;
    pub(crate) mod world;

    mod acknowledging;
    mod calling;
    mod cancelling;
    mod forking;
    mod loops;
    mod proxying;
    mod registering;
    mod streams;
    mod torture;
    mod transport;
    mod validating;
}
