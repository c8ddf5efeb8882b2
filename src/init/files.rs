//! What the files say.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use data_encoding::{BASE32_NOPAD, HEXLOWER};

use super::Fault;
use crate::authority;
use crate::config::random;

/// Whom the configuration is for, and where its nodes are.
pub(super) struct Domain {
    /// The domain of the subscribers.
    pub(super) name: String,
    /// The address of the home.
    pub(super) home: IpAddr,
    /// Those of the edges, `e1` first.
    pub(super) edges: Vec<IpAddr>,
    /// What is kept goes where the units of systemd let it.
    pub(super) service: bool,
}

impl Domain {
    /// The names of the nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = String> {
        let edges = (1..=self.edges.len()).map(|number| format!("e{number}"));
        std::iter::once("home".to_owned()).chain(edges)
    }

    /// The files that a node needs, by name.
    pub(super) fn files_of(node: &str) -> Vec<String> {
        let own: &[&str] = match node {
            "home" => &["home.pem", "home.key", NONCE_KEYS, USERS],
            _ => &["edge.pem", "edge.key", CLUSTER_KEYS],
        };
        let own = own.iter().map(|file| (*file).to_owned());
        let mut all = vec![format!("{node}.toml"), "ca.pem".to_owned()];
        all.extend(own);
        all
    }

    /// All of them, with what they say.
    pub(super) fn files(&self) -> Result<Vec<(String, String)>, Fault> {
        let mut all = self.certificates()?;
        let mut put = |name: &str, text: String| all.push((name.to_owned(), text));
        put(CLUSTER_KEYS, keys::<64>("seals tokens and TLS tickets")?);
        put(NONCE_KEYS, keys::<32>("writes nonces and dialog marks")?);
        put(USERS, self.users());
        put("home.toml", self.home_file());
        for (index, ip) in self.edges.iter().enumerate() {
            let node = format!("e{}", index + 1);
            put(&format!("{node}.toml"), self.edge_file(&node, *ip));
        }
        Ok(all)
    }

    /// The cluster's domain.
    pub(super) fn cluster(&self) -> String {
        format!("edge.{}", self.name)
    }

    fn certificates(&self) -> Result<Vec<(String, String)>, Fault> {
        let cluster = self.cluster();
        // The name of each edge too, for phones that come to it by that (C-6, M-3).
        let edges = self.nodes().skip(1);
        let edges: Vec<String> = edges.map(|edge| format!("{edge}.{cluster}")).collect();
        let edges = [vec![cluster], edges].concat();
        let home = [self.name.clone()];
        let made = authority::make(&format!("{} authority", self.name), &[&home, &edges]);
        let made = made.map_err(|why| Fault::Certificates {
            domain: self.name.clone(),
            why: why.to_string(),
        })?;
        let mut all = vec![
            ("ca.pem".to_owned(), made.root),
            ("ca.key".to_owned(), made.root_key),
        ];
        for (name, signed) in ["home", "edge"].into_iter().zip(made.pairs) {
            all.push((format!("{name}.pem"), signed.certificate));
            all.push((format!("{name}.key"), signed.key));
        }
        Ok(all)
    }

    fn users(&self) -> String {
        format!(
            "# Who may register: user, realm, and the password or its hashes. Read again when it \
             changes.\n# joe {name} password=secret\n# ann {name} sha256=HASH  (of \
             \"ann:{name}:secret\")\n",
            name = self.name
        )
    }

    /// What the files of all nodes begin with.
    fn head(&self, node: &str, pair: &str, ip: IpAddr) -> String {
        let [sip, sips] = [5060, 5061].map(|port| SocketAddr::new(ip, port));
        let control = self.kept("/run/steadfast", &format!("{node}.sock"));
        format!(
            "# Every key: `steadfast config reference`. After a change: `steadfast check --config` \
             and this file,\n# then `steadfast reload --node` and this file.\n\
             name = \"{node}\"\n\
             listen = [\"udp:{sip}\", \"tcp:{sip}\", \"tls:{sips}\"]\n\
             # For the commands of the operator, such as `why`, `rejected` and `status`.\n\
             control = \"{control}\"\n\
             # For Prometheus, and for a balancer:\n\
             # metrics = \"127.0.0.1:9090\"\n\
             \n\
             [tls]\n\
             certs = [{{ cert = \"{pair}.pem\", key = \"{pair}.key\" }}]\n\
             # Whoever shows a certificate of this authority for the domain is a home, and for the \
             cluster an edge.\n\
             ca = \"ca.pem\"\n"
        )
    }

    fn home_file(&self) -> String {
        let peers: Vec<_> = self
            .edges
            .iter()
            .map(|ip| format!("\"tls:{ip}\""))
            .collect();
        format!(
            "{head}\n\
             [home]\n\
             domain = \"{name}\"\n\
             subscribers = \"{USERS}\"\n\
             # The registrations; they outlive a restart.\n\
             store = \"{store}\"\n\
             nonce_key_file = \"{NONCE_KEYS}\"\n\
             # Where phones that can follow are sent to.\n\
             edges = \"sip:{cluster};lr\"\n\
             edge_peers = [{peers}]\n",
            head = self.head("home", "home", self.home),
            name = self.name,
            store = self.kept(STATE, "home.redb"),
            cluster = self.cluster(),
            peers = peers.join(", "),
        )
    }

    fn edge_file(&self, node: &str, ip: IpAddr) -> String {
        let (name, cluster) = (&self.name, self.cluster());
        let home = match self.home {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let mut members = String::new();
        for (member, ip) in self.nodes().skip(1).zip(&self.edges) {
            let entry = writeln!(
                members,
                "    {{ name = \"{member}\", address = \"{ip}\" }},"
            );
            // A String takes everything.
            debug_assert!(entry.is_ok());
        }
        let flows = self.kept(STATE, &format!("{node}.flows"));
        format!(
            "{head}\n\
             [edge]\n\
             cluster = \"{cluster}\"\n\
             # Over TLS, where it shows the domain's certificate.\n\
             home = [\"sips:{name};maddr={home}\"]\n\
             home_domains = [\"{name}\"]\n\
             members = [\n{members}]\n\
             # Once the DNS has what `steadfast zone` prints, phones that resolve go on by names:\n\
             # member_names = true\n\
             # The same file at every edge.\n\
             token_key_file = \"{CLUSTER_KEYS}\"\n\
             # Where UDP phones are, for the next start.\n\
             flows = \"{flows}\"\n",
            head = self.head(node, "edge", ip),
        )
    }

    /// The path of a file that the node makes itself.
    fn kept(&self, folder: &str, name: &str) -> String {
        if self.service {
            format!("{folder}/{name}")
        } else {
            name.to_owned()
        }
    }
}

/// A file of keys with one in it, and `does` for what the first one does.
fn keys<const N: usize>(does: &str) -> Result<String, Fault> {
    let key: [u8; N] = random().map_err(Fault::Keys)?;
    let hex = HEXLOWER.encode(&key);
    Ok(format!(
        "# The first key {does}; every key is read. To change it: add the new one below, reload \
         every node,\n# move it to the first line, reload again.\n{hex}\n"
    ))
}

/// A password that nobody can guess: 80 bits, in letters and digits of a telephone's menu.
pub(super) fn password() -> Result<String, Fault> {
    let bytes: [u8; 10] = random().map_err(Fault::Keys)?;
    Ok(BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
}

const STATE: &str = "/var/lib/steadfast";
const USERS: &str = "users.txt";
const CLUSTER_KEYS: &str = "cluster.key";
const NONCE_KEYS: &str = "nonce.key";
