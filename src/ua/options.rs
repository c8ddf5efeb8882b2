//! What the command line says, as settings of an agent.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use sha2::Digest as _;

use super::Fault;
use crate::agent;
use crate::id::Transport;
use crate::io::tls::{self, Tls};

/// What the user agent is to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Register over every flow there is and keep them alive
    Register {
        /// Who
        #[command(flatten)]
        who: Who,
        /// End as soon as every flow is registered, and leave the bindings
        #[arg(long)]
        once: bool,
        /// Remove the bindings and end after so many seconds
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<u64>,
    },
    /// Register, call somebody, and hang up after a while (there is no media)
    Call {
        /// Who
        #[command(flatten)]
        who: Who,
        /// Whom to call, as in sip:ann@example.com
        #[arg(value_name = "URI")]
        target: String,
        /// Seconds from the answer to the hang-up
        #[arg(long = "for", value_name = "SECONDS", default_value_t = 3)]
        seconds: u64,
    },
    /// Register and answer calls (there is no media)
    Listen {
        /// Who
        #[command(flatten)]
        who: Who,
        /// End after so many calls
        #[arg(long, value_name = "N")]
        calls: Option<u32>,
        /// Remove the bindings and end after so many seconds
        #[arg(long = "for", value_name = "SECONDS")]
        seconds: Option<u64>,
        /// Seconds that it rings
        #[arg(long, value_name = "SECONDS", default_value_t = 1)]
        ring: u64,
    },
}

/// Who the agent is and where it finds the world.
#[derive(Args, Clone, Debug)]
pub struct Who {
    /// Its address of record, as in sip:joe@example.com
    #[arg(value_name = "AOR")]
    aor: String,
    /// Its password
    #[arg(long)]
    password: String,
    /// User name of the credentials, when it is not that of the address
    #[arg(long, value_name = "USER")]
    auth_user: Option<String>,
    /// Where the domain of the address is
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = address)]
    home: SocketAddr,
    /// Where another name is; may be given several times
    #[arg(long, value_name = "NAME=ADDRESS[:PORT]", value_parser = name)]
    resolve: Vec<(String, SocketAddr)>,
    /// What to speak where a URI does not say; TLS needs --ca
    #[arg(long, value_enum, default_value_t = Speaks::Udp)]
    transport: Speaks,
    /// The certificates of those whose signature is believed, with TLS (PEM)
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Address and port to send from
    #[arg(long, value_name = "ADDRESS:PORT")]
    local: Option<SocketAddr>,
    /// Instance of the device, a URN; the same for each user and machine by default
    #[arg(long, value_name = "URN")]
    instance: Option<String>,
    /// Registration asked for, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600)]
    expires: u32,
    /// Print a line for every message; twice: the message too
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// A transport by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Speaks {
    /// UDP
    Udp,
    /// TCP
    Tcp,
    /// TLS over TCP
    Tls,
}

impl Speaks {
    /// The core's name of the transport.
    pub(crate) const fn transport(self) -> Transport {
        match self {
            Self::Udp => Transport::Udp,
            Self::Tcp => Transport::Tcp,
            Self::Tls => Transport::Tls,
        }
    }
}

impl Command {
    pub(super) const fn who(&self) -> &Who {
        match self {
            Self::Register { who, .. } | Self::Call { who, .. } | Self::Listen { who, .. } => who,
        }
    }

    /// How long a call rings, when calls are answered at all.
    pub(super) const fn answer_after(&self) -> Option<Duration> {
        match self {
            Self::Listen { ring, .. } => Some(Duration::from_secs(*ring)),
            Self::Register { .. } | Self::Call { .. } => None,
        }
    }
}

impl Who {
    /// A subscriber of the lab, whose way to the cluster leads to one edge.
    ///
    /// # Errors
    /// When an address of the lab is none.
    pub(crate) fn of_lab(
        user: &str,
        home: (&str, u16),
        edge: (&str, u16),
        transport: Speaks,
        ca: Option<PathBuf>,
        verbose: u8,
    ) -> Result<Self, Fault> {
        let addr_of =
            |(ip, port): (&str, u16)| address(&format!("{ip}:{port}")).map_err(Fault::Options);
        let home = addr_of(home)?;
        Ok(Self {
            aor: format!("sip:{user}@example.com"),
            password: "secret".to_owned(),
            auth_user: None,
            home,
            resolve: vec![("edge.example.com".to_owned(), addr_of(edge)?)],
            transport,
            ca,
            local: None,
            instance: None,
            expires: 3_600,
            verbose,
        })
    }

    pub(super) fn settings(
        &self,
        answer_after: Option<Duration>,
    ) -> Result<agent::Settings, Fault> {
        let (user, domain) = parts(&self.aor).map_err(Fault::Options)?;
        let auth_user = self.auth_user.clone().unwrap_or_else(|| user.clone());
        let instance = self.instance.clone();
        Ok(agent::Settings {
            auth_user,
            password: self.password.clone(),
            transport: self.transport(),
            home: self.home,
            names: self.resolve.clone(),
            instance: instance.unwrap_or_else(|| instance_of(&self.aor, &machine())),
            expires_s: self.expires,
            answer_after,
            user,
            domain,
        })
    }

    pub(super) const fn transport(&self) -> Transport {
        self.transport.transport()
    }

    /// What connections over TLS share; `None` without TLS.
    ///
    /// # Errors
    /// When there is no file of authorities, or not a good one.
    pub(super) fn tls(&self) -> Result<Option<Tls>, Fault> {
        if self.transport != Speaks::Tls {
            return Ok(None);
        }
        let Some(ca) = self.ca.clone() else {
            let sentence = "TLS needs --ca FILE: whose signature on a certificate to believe";
            return Err(Fault::Options(sentence.to_owned()));
        };
        let settings = tls::Settings {
            pairs: Vec::new(),
            ca: Some(ca),
            require: tls::Require::Never,
            peers: Vec::new(),
            ticket_keys: Vec::new(),
            hybrid_key_exchange: true,
        };
        let loaded = Tls::load(&settings);
        loaded
            .map(Some)
            .map_err(|fault| Fault::Options(fault.to_string()))
    }

    /// The address to send from: as told, else the one that leads home.
    pub(super) fn local(&self) -> std::io::Result<SocketAddr> {
        if let Some(local) = self.local {
            return Ok(local);
        }
        let any: IpAddr = if self.home.is_ipv6() {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        };
        let probe = std::net::UdpSocket::bind((any, 0))?;
        probe.connect(self.home)?;
        Ok(SocketAddr::new(probe.local_addr()?.ip(), 0))
    }
}

/// User and domain of `sip:user@domain`.
fn parts(aor: &str) -> Result<(String, String), String> {
    let parsed = crate::uri::Uri::of(aor.as_bytes()).ok();
    let user = parsed.and_then(|uri| uri.user);
    let sip = parsed.filter(|uri| uri.scheme == crate::uri::Scheme::Sip);
    match sip.zip(user) {
        Some((uri, user)) => Ok((
            aor[user.range()].to_owned(),
            aor[uri.host.range()].to_owned(),
        )),
        None => Err(format!(
            "{aor} is no address of record: it should look like sip:joe@example.com"
        )),
    }
}

/// `ADDRESS[:PORT]`.
fn address(text: &str) -> Result<SocketAddr, String> {
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let port = Transport::Udp.default_port();
    text.parse::<SocketAddr>()
        .ok()
        .or_else(|| Some(SocketAddr::new(bare.parse().ok()?, port)))
        .ok_or_else(|| "it should be an address like 127.0.0.11 or 127.0.0.11:5060".to_owned())
}

/// `NAME=ADDRESS[:PORT]`.
fn name(text: &str) -> Result<(String, SocketAddr), String> {
    match text.split_once('=') {
        Some((name, addr)) => Ok((name.to_owned(), address(addr)?)),
        None => Err("it should look like edge.example.com=127.0.0.11".to_owned()),
    }
}

/// What tells this machine from others and stays: O-22 wants an instance that
/// survives the process.
fn machine() -> String {
    std::fs::read_to_string("/etc/machine-id").unwrap_or_default()
}

/// A UUID made of both names (RFC 9562 §5.8).
fn instance_of(aor: &str, machine: &str) -> String {
    let digest = sha2::Sha256::digest(format!("{aor}\n{machine}"));
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id[6] = id[6] & 0x0f | 0x80;
    id[8] = id[8] & 0x3f | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&id);
    let (a, b, c, d, e) = (
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    );
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_record_has_a_user_and_a_domain() {
        let check = |aor, want: Option<(&str, &str)>| {
            let want = want.map(|(user, domain)| (user.to_owned(), domain.to_owned()));
            assert_eq!(parts(aor).ok(), want, "{aor}");
        };
        check("sip:joe@example.com", Some(("joe", "example.com")));
        check("sip:joe@example.com:5070", Some(("joe", "example.com")));
        check("joe@example.com", None);
        check("sip:example.com", None);
        check("tel:+1", None);
    }

    #[test]
    fn an_address_may_leave_its_port_out() {
        let check = |text, want: Option<&str>| {
            let want = want.map(|want| want.parse().unwrap());
            assert_eq!(address(text).ok(), want, "{text}");
        };
        check("127.0.0.11", Some("127.0.0.11:5060"));
        check("127.0.0.11:5070", Some("127.0.0.11:5070"));
        check("[::1]:5070", Some("[::1]:5070"));
        check("[::1]", Some("[::1]:5060"));
        check("edge.example.com", None);
        assert_eq!(
            name("e=127.0.0.1"),
            Ok(("e".to_owned(), "127.0.0.1:5060".parse().unwrap()))
        );
        assert_eq!(name("127.0.0.1").ok(), None);
    }

    #[test]
    fn an_instance_is_the_same_tomorrow_and_another_elsewhere() {
        // O-22
        let here = instance_of("sip:joe@example.com", "m1");
        assert_eq!(here, instance_of("sip:joe@example.com", "m1"));
        assert_ne!(here, instance_of("sip:joe@example.com", "m2"));
        assert_eq!(here.len(), "urn:uuid:".len() + 36);
        assert_eq!(&here[23..24], "8", "{here}");
    }
}
