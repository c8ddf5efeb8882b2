//! The zone as a master file (RFC 1035 §5), to be included in that of a domain.

use std::fmt;

use super::{Record, Silent, Zone, address};
use crate::limits;
use crate::locate;

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cluster, nobody) = (&self.cluster, Silent::default());
        writeln!(
            f,
            "; The cluster {cluster}, for the zone that it is in ($INCLUDE)."
        )?;
        for record in self.cluster_records(nobody) {
            writeln!(f, "{record}")?;
        }
        writeln!(
            f,
            "\n; Where the edges serve {cluster} as a zone of its own ([dns] `listen`), the zone \
             above it\n; has these instead:"
        )?;
        for (_, node) in self.staying() {
            let ttl_s = limits::ZONE_TTL_LASTING_S;
            writeln!(f, ";{cluster}. {ttl_s} IN NS {}.", node.name)?;
            for &ip in &node.addresses {
                writeln!(f, ";{}", address(&node.name, ttl_s, ip))?;
            }
        }
        for domain in &self.domains {
            writeln!(
                f,
                "\n; With these in the zone {domain}, a phone that knows nothing but that name comes \
                 to an edge.\n; None of them is for TLS, where its host must prove {domain}, as only \
                 a home does."
            )?;
            for record in self.domain_records(domain, nobody) {
                writeln!(f, ";{record}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {} IN ", self.name, self.ttl_s)?;
        match &self.data {
            locate::Record::Address(ip) if ip.is_ipv4() => write!(f, "A {ip}"),
            locate::Record::Address(ip) => write!(f, "AAAA {ip}"),
            locate::Record::Naptr {
                order,
                preference,
                flags,
                service,
                replacement,
            } => write!(
                f,
                "NAPTR {order} {preference} \"{flags}\" \"{service}\" \"\" {replacement}."
            ),
            locate::Record::Srv {
                priority,
                weight,
                port,
                target,
            } => write!(f, "SRV {priority} {weight} {port} {target}."),
        }
    }
}
