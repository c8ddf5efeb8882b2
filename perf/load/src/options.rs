//! What the command line says of a load, and what of it cannot be.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use steadfast_core::id::Transport;

use super::comparison::Comparison;
use super::idle::Idle;
use super::storm::Storm;
use crate::bounds;

/// What is to be loaded with what.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// INVITE 180 200 ACK BYE 200 through a proxy that sends calls to our callee
    Calls(Options),
    /// REGISTER, new ones and refreshes, with digest where a password is given
    Registrations(Options),
    /// Register every phone, then have each call another one
    CallsToRegistered(Options),
    /// The same with two edges for each phone, one of which is killed meanwhile: calls lost, and
    /// how long the others waited
    Failover(Failover),
    /// Open connections over TLS, ask one thing on each and close it
    Handshakes(Handshakes),
    /// Move datagrams between two sides without reading them: the floor under every proxy
    Relay(Relay),
    /// Hold idle flows over TLS and look at the memory each of them takes at the other end
    Idle(Idle),
    /// Put the lines of several loads side by side: medians, ratios, a chart
    Compare(Comparison),
    /// Let edges die under very many phones, in virtual time, and see them come back
    Storm(Storm),
}

/// Which scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scene {
    Calls,
    Registrations,
    CallsToRegistered,
    Failover,
}

/// How much of it, and where.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where the phones send to; several: in turn
    #[arg(long, value_name = "ADDRESS:PORT", required = true)]
    pub(crate) to: Vec<SocketAddrV4>,
    /// Where the callee of `calls` listens
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5090")]
    pub(crate) callee: SocketAddrV4,
    /// What the phones speak
    #[arg(long, value_enum, default_value_t = Speaks::Udp)]
    pub(crate) transport: Speaks,
    /// The roots that are believed over TLS, a PEM file
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The domain that certificates must name
    #[arg(long, value_name = "NAME", default_value = "edge.example.com")]
    pub(crate) name: String,
    /// Attempts a second, by the clock (open loop)
    #[arg(long, value_name = "N", conflicts_with = "window")]
    pub(crate) rate: Option<f64>,
    /// Attempts at once, a new one when one ends (closed loop)
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) window: usize,
    /// Begin attempts for so long
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 10)]
    pub(crate) seconds: u64,
    /// Begin no more attempts than this
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Phones, each with a flow of its own
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) phones: u32,
    /// UDP sockets that the phones share; the others differ in their address
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) sockets: u32,
    /// Address of the first phone; the others follow
    #[arg(long, value_name = "ADDRESS", default_value = "127.16.0.1")]
    pub(crate) from: Ipv4Addr,
    /// Milliseconds from the answer of a call to its end
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub(crate) hold: u64,
    /// Domain of the phones, which are u0001, u0002, ...
    #[arg(long, value_name = "NAME", default_value = "example.com")]
    pub(crate) domain: String,
    /// Password of every phone
    #[arg(long)]
    pub(crate) password: Option<String>,
    /// Route of every REGISTER, as in sip:edge.example.com;lr
    #[arg(long, value_name = "URI")]
    pub(crate) route: Option<String>,
    /// Register with instance and reg-id (RFC 5626)
    #[arg(long)]
    pub(crate) outbound: bool,
    /// Registration asked for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    pub(crate) expires: u32,
    /// Process whose processor time counts; may be given several times
    #[arg(long, value_name = "PID")]
    pub(crate) watch: Vec<u32>,
    /// Name in the line of JSON, as in calls/steadfast
    #[arg(long, value_name = "MEASURE/SYSTEM")]
    pub(crate) label: Option<String>,
    /// Keep the flows open for so long when everything is done
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) linger: u64,
    /// Print the line of JSON and no table
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who dies, and when.
#[derive(Args, Clone, Debug)]
pub(crate) struct Failover {
    /// The load
    #[command(flatten)]
    pub(crate) options: Options,
    /// Process to kill (SIGKILL)
    #[arg(long, value_name = "PID")]
    pub(crate) kill: i32,
    /// Seconds after the first call
    #[arg(long, value_name = "SECONDS", default_value_t = 4)]
    pub(crate) after: u64,
}

/// Of which kind they are.
#[derive(Args, Clone, Debug)]
pub(crate) struct Handshakes {
    /// The load; --phones says from how many addresses
    #[command(flatten)]
    pub(crate) options: Options,
    /// Each resumes the session of an earlier one
    #[arg(long)]
    pub(crate) resumed: bool,
}

/// The two sides of a relay.
#[derive(Args, Clone, Debug)]
pub(crate) struct Relay {
    /// Where it listens
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) listen: SocketAddrV4,
    /// The far side
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) to: SocketAddrV4,
    /// End after so long
    #[arg(long = "for", value_name = "SECONDS", default_value_t = 600)]
    pub(crate) seconds: u64,
}

/// A transport by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Speaks {
    /// UDP
    Udp,
    /// TCP
    Tcp,
    /// TLS, with `--ca`
    Tls,
}

impl From<Speaks> for Transport {
    fn from(speaks: Speaks) -> Self {
        match speaks {
            Speaks::Udp => Self::Udp,
            Speaks::Tcp => Self::Tcp,
            Speaks::Tls => Self::Tls,
        }
    }
}

impl Options {
    /// Refuses, in a sentence, what would leave this machine or never end.
    pub(super) fn check(&self) -> Result<(), String> {
        let all = self.to.iter().chain([&self.callee]);
        for addr in all.map(SocketAddrV4::ip).chain([&self.from]) {
            loopback(*addr)?;
        }
        let last = u32::from(self.from).checked_add(self.phones);
        loopback(Ipv4Addr::from(last.unwrap_or(u32::MAX)))?;
        at_most("--for", self.seconds, bounds::SECONDS_MAX)?;
        at_most("--linger", self.linger, bounds::SECONDS_MAX)?;
        at_most("--phones", self.phones, bounds::PHONES_MAX)?;
        at_most("--sockets", self.sockets, bounds::SOCKETS_MAX)?;
        at_most("--window", self.window, bounds::PENDING_MAX)?;
        for (name, zero) in [
            ("--phones", self.phones == 0),
            ("--sockets", self.sockets == 0),
            ("--window", self.window == 0),
        ] {
            if zero {
                return Err(format!("{name} is 0, which is nobody"));
            }
        }
        if (self.transport == Speaks::Tls) != self.ca.is_some() {
            return Err("--transport tls and --ca FILE go together".to_owned());
        }
        match self.rate {
            Some(rate) if !(rate > 0.0 && rate <= bounds::RATE_MAX) => Err(format!(
                "--rate is {rate}: it should be more than 0 and at most {}",
                bounds::RATE_MAX
            )),
            _ => Ok(()),
        }
    }
}

impl Failover {
    /// As `Options::check`.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.options.transport != Speaks::Udp {
            return Err("failover is over UDP: a phone has one socket for both edges".to_owned());
        }
        if self.kill <= 1 {
            return Err(format!("--kill {} is no process of a node", self.kill));
        }
        at_most("--after", self.after, bounds::SECONDS_MAX)
    }
}

impl Handshakes {
    /// As `Options::check`.
    pub(super) fn check(&self) -> Result<(), String> {
        self.options.check()?;
        if self.options.transport != Speaks::Tls {
            return Err("handshakes are over TLS: --transport tls --ca FILE".to_owned());
        }
        Ok(())
    }
}

impl Relay {
    /// As `Options::check`.
    pub(super) fn check(&self) -> Result<(), String> {
        loopback(*self.listen.ip())?;
        loopback(*self.to.ip())?;
        at_most("--for", self.seconds, bounds::SECONDS_MAX)
    }
}

fn loopback(addr: Ipv4Addr) -> Result<(), String> {
    if addr.is_loopback() {
        return Ok(());
    }
    Err(format!(
        "{addr} is not on this machine: a load goes to loopback (127.0.0.0/8) only"
    ))
}

fn at_most<T: PartialOrd + std::fmt::Display>(name: &str, given: T, most: T) -> Result<(), String> {
    if given <= most {
        return Ok(());
    }
    Err(format!("{name} is {given}, and {most} is the most"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[track_caller]
    fn check(arguments: &str, want: Result<(), &str>) {
        let line = format!("load calls {arguments}");
        let Command::Calls(options) = Line::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("no calls")
        };
        assert_eq!(options.check(), want.map_err(str::to_owned), "{arguments}");
    }

    #[test]
    fn a_load_stays_here_and_ends() {
        check("--to 127.0.0.1:5060", Ok(()));
        let away = "192.0.2.1 is not on this machine: a load goes to loopback (127.0.0.0/8) only";
        check("--to 127.0.0.1:5060 --to 192.0.2.1:5060", Err(away));
        check("--to 127.0.0.1:5060 --callee 192.0.2.1:5060", Err(away));
        check("--to 127.0.0.1:5060 --from 192.0.2.1", Err(away));
        let away = "128.0.0.4 is not on this machine: a load goes to loopback (127.0.0.0/8) only";
        check(
            "--to 127.0.0.1:5060 --from 127.255.255.254 --phones 6",
            Err(away),
        );
        let long = "--for is 90000, and 86400 is the most";
        check("--to 127.0.0.1:5060 --for 90000", Err(long));
        let none = "--phones is 0, which is nobody";
        check("--to 127.0.0.1:5060 --phones 0", Err(none));
        let together = "--transport tls and --ca FILE go together";
        check("--to 127.0.0.1:5061 --transport tls", Err(together));
        check("--to 127.0.0.1:5060 --ca ca.pem", Err(together));
        check("--to 127.0.0.1:5061 --transport tls --ca ca.pem", Ok(()));
        let line = "load handshakes --to 127.0.0.1:5061";
        let Command::Handshakes(clear) = Line::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!("no handshakes")
        };
        let why = "handshakes are over TLS: --transport tls --ca FILE";
        assert_eq!(clear.check(), Err(why.to_owned()));
        let fast = "--rate is 0: it should be more than 0 and at most 1000000";
        check("--to 127.0.0.1:5060 --rate 0", Err(fast));
    }
}
