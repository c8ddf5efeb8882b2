//! The state of an edge: its fields, and what can be read off them alone; what the edge does stands in the other files of the room, which
//! use this one.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::flow_token;
use super::homes::Homes;
use super::phone_directory::PhoneDirectory;
use super::refreshed_dialogs::RefreshedDialogs;
use super::{Codec, EdgeSet, FlowBindings, Settings, Subscriber, Token};
use crate::carry::carried;
use crate::id::{Flow, Transport};
use crate::limits;
use crate::proxy::Net;
use crate::scan::Message;
use crate::send::HostRule;
use crate::stick::Table;
use crate::trust::MarkKey;
use crate::trust::mark::PhoneName;

/// One edge.
pub struct Edge {
    pub(super) settings: Settings,
    /// Its own index in `settings.members`.
    pub(super) own: usize,
    pub(super) homes: Homes,
    /// How the other edges are recognised without TLS: by address and port.
    pub(super) siblings: Vec<HostRule>,
    pub(super) codec: Codec,
    pub(super) flow_key: flow_token::FlowTokenKeys,
    pub(super) marks: MarkKey,
    pub(super) flow_bindings: FlowBindings,
    pub(super) directory: PhoneDirectory,
    pub(super) refreshed: RefreshedDialogs,
    /// Flows of other shards, by rows of an earlier run (`restoring`).
    pub(super) flows_elsewhere: PhoneDirectory,
    /// Keeps flow tokens of an earlier run from finding a flow of this one.
    pub(super) boot: u64,
    /// Buffer for the outline of a request that is scanned again when its response comes.
    pub(super) rescanned: Message,
    /// Buffer for the members of a set while it is chosen.
    pub(super) indices: Vec<usize>,
    /// The flows of homes that the homes' own URIs are bound to, where there are several.
    pub(super) stick: Table,
    /// Buffer for the flows that a URI is bound to, while a request is planned.
    pub(super) stuck: Vec<Flow>,
    pub(super) pings: Pings,
}

/// The state of the rounds in which phones behind a NAT are kept reachable (`keep_open`).
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Pings {
    /// The number of parts of the running round; `None`: no timer runs.
    pub(super) parts: Option<u32>,
}

impl Edge {
    /// An edge; `seed` is the shard's, `boot` differs from run to run and is the
    /// same on all shards of a node.
    #[must_use]
    pub fn new(settings: Settings, seed: [u64; 4], boot: u64) -> Self {
        let mut flow_bindings = FlowBindings::new(seed);
        if settings.keeps_flows {
            flow_bindings.keep_changes();
        }
        Self {
            own: own_index(&settings),
            homes: Homes::new(&settings.home, settings.core_port),
            siblings: sibling_rules(&settings),
            codec: codec(&settings),
            flow_key: flow_token::FlowTokenKeys::ring(
                &settings.flow_key,
                &settings.older_flow_keys,
            ),
            marks: MarkKey::ring(&settings.flow_key, &settings.older_flow_keys),
            flow_bindings,
            directory: PhoneDirectory::default(),
            refreshed: RefreshedDialogs::default(),
            flows_elsewhere: PhoneDirectory::default(),
            boot,
            rescanned: Message::default(),
            indices: Vec::new(),
            stick: Table::new(seed),
            stuck: Vec::new(),
            pings: Pings::default(),
            settings,
        }
    }

    /// Replaces what follows from the settings and from nothing else.
    pub(super) fn derive(&mut self, settings: &Settings) {
        self.own = own_index(settings);
        self.siblings = sibling_rules(settings);
        self.codec = codec(settings);
        self.flow_key =
            flow_token::FlowTokenKeys::ring(&settings.flow_key, &settings.older_flow_keys);
        self.marks = MarkKey::ring(&settings.flow_key, &settings.older_flow_keys);
    }

    /// Number of dialogs whose phone sends over another flow than their Route leads to.
    #[must_use]
    pub const fn refreshed(&self) -> usize {
        self.refreshed.len()
    }

    /// Number of phones bound to flows of this shard.
    #[must_use]
    pub(crate) const fn bound_phones(&self) -> usize {
        self.flow_bindings.len()
    }

    /// Number of phones bound to flows of this shard over a transport.
    #[must_use]
    pub(crate) const fn phones_over(&self, transport: Transport) -> u32 {
        self.flow_bindings.over(transport)
    }

    /// Where the homes are found, as far as is known.
    #[must_use]
    pub(crate) fn located_homes(&self) -> &[(Transport, SocketAddr)] {
        self.homes.located()
    }

    /// Addresses of homes where nothing has failed since they last worked.
    #[must_use]
    pub(crate) fn homes_in_reach(&self, net: &Net) -> usize {
        self.homes.in_reach(net)
    }

    /// The name of a phone in the Record-Route value of its own side of a dialog.
    pub(super) fn phone_name(&self, phone: &Subscriber<'_>) -> PhoneName {
        self.marks.phone_name(&phone.fields())
    }

    /// The indices of the members that a token names; names that no member has are left out.
    pub(super) fn token_indices(&self, token: &Token) -> impl Iterator<Item = usize> {
        token.edges().filter_map(|name| {
            let mut members = self.settings.members.iter();
            members.position(|member| member.name.as_bytes() == name)
        })
    }

    /// The indices of the members that a token does not name, without this edge: a phone whose
    /// edges are all dead has come to one of them.
    pub(super) fn indices_outside(&self, token: &Token) -> impl Iterator<Item = usize> {
        let mut all = (0..self.settings.members.len()).filter(|index| *index != self.own);
        std::iter::from_fn(move || {
            all.find(|index| self.token_indices(token).all(|known| known != *index))
        })
    }

    /// The edges of a token as a set; this edge alone where they do not fit one.
    pub(super) fn token_set(&self, token: &Token) -> EdgeSet {
        EdgeSet::of_all(self.token_indices(token)).unwrap_or_else(|| self.own_set())
    }

    /// The set of this edge and no other.
    pub(super) fn own_set(&self) -> EdgeSet {
        EdgeSet::of(self.own)
    }

    /// Writes the token of a subscriber with these edges; false where it is too long.
    pub(super) fn write_token(
        &self,
        subscriber: &Subscriber<'_>,
        edges: EdgeSet,
        flags: u8,
        out: &mut Vec<u8>,
    ) -> bool {
        let mut names: [&[u8]; limits::EDGE_SET_MAX] = Default::default();
        let mut count = 0;
        for index in edges.iter() {
            if let (Some(slot), Some(member)) =
                (names.get_mut(count), self.settings.members.get(index))
            {
                *slot = member.name.as_bytes();
                count += 1;
            }
        }
        self.codec
            .write(subscriber, &names[..count], flags, out)
            .is_ok()
    }
}

/// The place of this edge among the members.
fn own_index(settings: &Settings) -> usize {
    let mut members = settings.members.iter();
    let own = members.position(|member| member.name == settings.name);
    own.unwrap_or_default()
}

/// How the other edges are recognised without TLS.
fn sibling_rules(settings: &Settings) -> Vec<HostRule> {
    let own = own_index(settings);
    let others = settings.members.iter().enumerate();
    let others = others.filter(|(index, _)| *index != own);
    others.flat_map(|(_, member)| member.rules()).collect()
}

/// How tokens are written and read. A token leaves out one realm. For sealed tokens it follows
/// from the cluster's name, which stands in the token's URI: the list of domains may change while
/// phones have tokens.
fn codec(settings: &Settings) -> Codec {
    let common = match &settings.token_keys[..] {
        [] => settings.home_domains.first().cloned(),
        [_, ..] => parent(&settings.cluster),
    };
    Codec::new(&settings.token_keys, &common.unwrap_or_default())
}

/// The parent domain of a name, in lower case and without a last dot.
fn parent(name: &str) -> Option<String> {
    let (_, parent) = name.strip_suffix('.').unwrap_or(name).split_once('.')?;
    Some(parent.to_ascii_lowercase())
}

carried!(Edge {
    parts: homes, flow_bindings, directory, refreshed, flows_elsewhere, stick;
    values: pings;
    made: settings, own, siblings, codec, flow_key, marks, boot, rescanned, indices, stuck;
});
