//! The section `[dns]`: whom the node asks, and what it answers itself.

use std::net::SocketAddr;

use super::file::DnsSection;
use super::reader::Section;
use super::{Config, Mistake, NameServer, lacks_tcp, names};
use crate::id::Transport;
use crate::zone::{Unfit, Zone};

/// Completes a configuration that is whole but for this section.
pub(super) fn read(root: &Section<'_>, config: &mut Config) -> Result<(), Mistake> {
    let Some(dns) = root.section("dns")? else {
        return Ok(());
    };
    dns.only::<DnsSection>()?;
    let want = "a list of name servers such as [\"192.0.2.53\", \"127.0.0.1:5353\"]";
    if dns.has("servers") || !dns.has("listen") {
        config.dns_servers = dns.list("servers", want, names::name_server)?;
    }
    config.name_server = name_server(&dns, config)?;
    Ok(())
}

fn name_server(dns: &Section<'_>, config: &Config) -> Result<Option<NameServer>, Mistake> {
    let want = "a list of listeners such as [\"udp:192.0.2.1:53\", \"tcp:192.0.2.1:53\"]";
    let home_domains = dns.flag("home_domains", "true or false")?;
    let Some(listen) = dns.maybe_list("listen", want, listener)? else {
        return match home_domains {
            Some(_) => Err(dns.mistake("home_domains", "needs a `listen` beside it")),
            None => Ok(None),
        };
    };
    // RFC 7766 §5: what is too long for a datagram is asked for again.
    for &(transport, addr) in &listen {
        if lacks_tcp(&listen, (transport, addr)) {
            let text =
                format!("has \"udp:{addr}\" without \"tcp:{addr}\", but long answers need both");
            return Err(dns.mistake("listen", &text));
        }
    }
    let zone = Zone::of(config).map_err(|why| match why {
        Unfit::Home => dns.mistake("listen", "is for edges: a home has no names in the DNS"),
        Unfit::Long { .. } | Unfit::Twice { .. } => {
            dns.mistake("listen", &format!("cannot be served: {why}"))
        }
    })?;
    Ok(Some(NameServer {
        listen,
        at: dns.place("listen"),
        home_domains: home_domains.unwrap_or(false),
        zone,
    }))
}

/// `udp:192.0.2.1:53`
fn listener(text: &str) -> Result<(Transport, SocketAddr), String> {
    match names::listener(text)? {
        (Transport::Tls, _) => Err(format!(
            "has {text:?}, which should be like \"udp:192.0.2.1:53\" or \"tcp:192.0.2.1:53\""
        )),
        listener => Ok(listener),
    }
}
