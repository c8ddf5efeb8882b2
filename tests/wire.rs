//! The protocol, bytes in and bytes out, against the pure core in virtual
//! time. Each test names the lines of the protocol it proves.

#[cfg(test)]
mod wire {
    pub(crate) mod phone;
    pub(crate) mod world;

    mod calling;
    mod registering;
}
