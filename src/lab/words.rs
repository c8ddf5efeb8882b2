//! What the lab tells the person in front of it.

use std::path::Path;

use super::processes::NodeEnd;
use super::{DNS_PORT, EDGES, HOME, NodeAddress, PAGE_PORT, PORT, TLS_PORT, ending};
use crate::id::Transport;

/// The page printed once every node listens; the two phones speak TLS where the
/// nodes do among themselves.
pub(super) fn welcome(folder: &Path, nodes: &[(NodeAddress, u32)], core: Transport) -> String {
    let row = |(NodeAddress { name, ip }, id): &(NodeAddress, u32)| {
        format!("  {name:<6}{ip}:{PORT}   process {id}\n")
    };
    let table: String = nodes.iter().map(row).collect();
    let victim = nodes
        .iter()
        .find(|(node, _)| node.name != HOME.name)
        .map_or(0, |(_, id)| *id);
    let folder = folder.display();
    let (port, how) = match core {
        Transport::Tls => (
            format!(":{TLS_PORT}"),
            format!(" --transport tls --ca {folder}/ca.pem"),
        ),
        Transport::Udp | Transport::Tcp => (String::new(), String::new()),
    };
    let home = HOME.ip;
    let [first, second, _] = EDGES.map(|edge| edge.ip);
    format!(
        "
The lab is up: example.com with its home and the edge cluster edge.example.com.

{table}
  subscribers   joe and ann, password \"secret\"
  files, logs   {folder}

Two phones without media, each in a terminal of its own:

  steadfast ua listen sip:ann@example.com --password secret --home {home}{port} --resolve edge.example.com={second}{port}{how} -v
  steadfast ua call sip:joe@example.com sip:ann@example.com --for 60 --password secret --home {home}{port} --resolve edge.example.com={first}{port}{how} -v

or any SIP phone: user joe, domain example.com, password secret, and one of the
edges above as its outbound proxy. For baresip, this line in ~/.baresip/accounts:

  <sip:joe@example.com>;auth_pass=secret;outbound=\"sip:127.0.0.11;lr\"

Every edge is a name server too, for example.com and edge.example.com. A phone that
asks it needs no outbound proxy and finds the edges by SRV: in ~/.baresip/config the
line \"dns_server {first}:{DNS_PORT}\", or pjsua --nameserver={first} where the lab may
have port 53. What it says, and once an edge is dead:

  dig @{second} -p {DNS_PORT} _sip._udp.example.com SRV
  steadfast zone --config {folder}/e1.toml

While they talk, kill the edge that carries joe's side of the call:

  kill -9 {victim}

The call goes on, and the next BYE or re-INVITE goes through the other edge.
A picture of the cluster, as each node sees it, for a browser:

  http://{first}:{PAGE_PORT}/    http://{home}:{PAGE_PORT}/

Why a request goes where it goes:

  steadfast why sip:joe@example.com --node {folder}/home.sock

Counters: kill -USR1 PROCESS, then look into its log. Ctrl-C ends the lab.

"
    )
}

/// A node has ended, most often because somebody wanted to see what happens.
pub(super) fn ended(end: &NodeEnd) -> String {
    let name = end.name;
    match end.heir {
        Some(process) => format!("{name} goes on in process {process}."),
        None => format!("{name} {}; the others go on.", ending(&end.status)),
    }
}
