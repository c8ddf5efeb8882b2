//! The bare relay: what moving datagrams costs when nobody reads them. The
//! floor under every proxy, and nothing else.
//!
//! What comes from the far side goes to whoever sent last from the near side;
//! the load that measures it tells its phones apart by itself.

use std::net::{SocketAddr, SocketAddrV4};
use std::time::{Duration, Instant};

use super::Fault;
use super::options::Relay;
use super::wires::{Line, Wires};

/// Relays until the time is over.
pub(super) fn run(options: &Relay) -> Result<(), Fault> {
    options.check().map_err(Fault::Options)?;
    let mut wires = Wires::new()?;
    let addr = options.listen;
    let port = wires
        .datagrams(addr)
        .map_err(|why| Fault::Callee { addr, why })?;
    let line = Line::Datagrams {
        port,
        local: *addr.ip(),
    };
    let until = Instant::now() + Duration::from_secs(options.seconds);
    let mut near: Option<SocketAddrV4> = None;
    println!(
        "relaying between {addr} and {}",
        SocketAddr::from(options.to)
    );
    while Instant::now() < until {
        wires.receive(PATIENCE, |_, arrival, out| {
            let to = if arrival.peer == options.to {
                near
            } else {
                near = Some(arrival.peer);
                Some(options.to)
            };
            if let Some(to) = to {
                out.write(line, to, |out| out.extend_from_slice(arrival.bytes));
            }
        })?;
        wires.flush()?;
    }
    Ok(())
}

/// Between two looks at the clock when nothing comes.
const PATIENCE: Duration = Duration::from_millis(200);
