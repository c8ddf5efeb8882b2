//! What happened, in numbers. Counted where it happens, read by the operator.

use crate::carry::{Carried, Reader, Unreadable, Writer};
use crate::stick::Bound;

/// A set of counters: a struct of them, their rows and what each one means.
#[macro_export]
macro_rules! counters {
    (
        $(#[$about:meta])* $vis:vis struct $set:ident;
        $($(#[doc = $doc:literal])+ $name:ident,)+
    ) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        $vis struct $set { $($(#[doc = $doc])+ $vis $name: u64,)+ }

        impl $set {
            /// Every counter with its name, in the order of declaration.
            $vis fn rows(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name)),+].into_iter()
            }

            /// Every counter in the order of declaration, to be set.
            $vis fn values_mut(&mut self) -> impl Iterator<Item = &mut u64> {
                [$(&mut self.$name),+].into_iter()
            }

            /// What each counter means, in the same order.
            $vis fn meanings() -> impl Iterator<Item = &'static str> {
                [$(concat!($($doc),+).trim_ascii()),+].into_iter()
            }
        }
    };
}

counters! {
    /// Counts since the shard began.
    pub struct Counters;
    /// Requests that parsed.
    requests_in,
    /// Of them, those sent on.
    taken_forwarded,
    /// Those answered here at once.
    taken_answered,
    /// Those that end here without a word: repeated ones, and ACKs of refusals.
    taken_absorbed,
    /// Those that another shard of the node got instead, or that wait for the store which
    /// several homes share.
    taken_handed,
    /// Those dropped: ACKs that lead nowhere, and what goes unanswered so that
    /// nobody is flooded. The five make up all requests.
    taken_dropped,
    /// Responses that parsed.
    responses_in,
    /// Requests sent, retransmissions not counted.
    requests_out,
    /// Responses sent for another element.
    responses_out,
    /// Answers of our own, 100 not counted.
    answers,
    /// Retransmissions received and absorbed.
    retransmissions_in,
    /// Retransmissions sent by our timers.
    retransmissions_out,
    /// Messages with a defect, answered or not.
    malformed,
    /// Requests refused by RFC 3261 §16.3, or since a list in them is too long.
    invalid,
    /// Datagrams that are no message: keep-alives and noise.
    keepalives,
    /// STUN requests answered.
    stun,
    /// Keep-alives sent to phones behind an address translation that agreed on none.
    nat_pings,
    /// Responses that match no transaction (RFC 6026 §8).
    stray_responses,
    /// ACKs that lead nowhere.
    stray_acks,
    /// Client transactions that ended without an answer.
    timeouts,
    /// Requests whose flow or connection failed under them.
    transport_failures,
    /// Requests that failed since the network sent their beginning back (ICMP).
    unreachable_heeded,
    /// ICMP errors that match no request which was sent there and still waits: late, forged,
    /// or about something other than a request.
    unreachable_strange,
    /// Requests whose stand-by was started beside them, since their peer was
    /// silent.
    overtaken,
    /// Requests sent again over a new connection, since the one that they had
    /// left on was lost and nothing had been heard.
    sent_again,
    /// Requests that waited for a home, since none took them.
    held,
    /// Times that an element of the cluster fell silent.
    peers_silent,
    /// Destinations left for last because they failed or asked for it.
    circuits_opened,
    /// Keep-alives sent to elements of the cluster.
    peer_pings,
    /// Requests refused by an answer of our own, whatever the reason.
    rejected,
    /// Requests refused because a table was full.
    overflows,
    /// Requests, and connections, refused because the node drains.
    drained,
    /// Idle connections of phones closed because the node drains.
    drained_flows,
    /// Registrations of phones that have none here, and what stands for itself,
    /// refused because the shard was late.
    shed_new,
    /// Renewed registrations refused for that.
    shed_renewals,
    /// Calls refused for that.
    shed_calls,
    /// Emergency calls refused for that: nothing else was left to refuse.
    shed_emergencies,
    /// Requests kept from a server of the cluster since it asked for fewer
    /// (RFC 7339 §5.4).
    restrained,
    /// Requests, and STUN requests, of sources that ask for too much.
    limited,
    /// Requests of sources that make us keep more than their share.
    kept_out,
    /// Pending requests of strangers given up for others, since memory was short
    /// and their sources held much of it.
    evicted,
    /// Requests that did not leave, since too many wait unheard on their flow.
    unheard,
    /// Answers, and repetitions of requests, withheld from UDP sources that might
    /// be forged, since they are longer than what came from there.
    withheld,
    /// CANCELs that did not come from where their INVITE came from.
    spoofed_cancels,
    /// Connections refused since their source has, or opens, too many.
    connections_refused,
    /// TLS connections refused for want of time for their handshakes.
    connections_shed,
    /// Streams closed since a message on them began and did not end in time.
    partials_late,
    /// Streams closed since their source has too much of unfinished messages.
    partials_refused,
    /// Credentials that did not prove what they claimed.
    failed_digests,
    /// Credentials that were right and had been used before, or that are too
    /// old for this shard to know.
    replayed_digests,
    /// Credentials on a nonce that was sent to another source.
    foreign_nonces,
    /// Requests whose sender names in its own Via where the answer should go
    /// (`maddr`, `received`). It goes to where they came from.
    aimed_vias,
    /// Messages not sent since nobody but a peer may be sent to that address.
    out_of_bounds,
    /// Requests refused since their sender may not have what they ask for.
    not_allowed,
    /// Of them, those inside a dialog, without the mark that we gave to it; and ACKs.
    unmarked,
    /// Requests of strangers refused.
    strangers_refused,
    /// Phones sent to other edges by 300.
    moved,
    /// Dialogs that their phones have gone on with over another flow than they were
    /// recorded on.
    refreshed,
    /// Requests relayed to another edge of the set.
    relays,
    /// Requests answered with a redirect to the edges of their token.
    redirects,
    /// Redirects followed.
    redirects_followed,
    /// Requests answered 430: no flow of that token is left.
    flows_failed,
    /// Streams closed because their phone kept silent.
    flows_silent,
    /// Streams closed because nobody said anything on them.
    flows_mute,
    /// Questions asked of the DNS.
    names_asked,
    /// Questions that the DNS failed to answer.
    names_failed,
    /// Requests that waited for the DNS.
    names_waited,
    /// Tokens that did not verify.
    bad_tokens,
    /// Registrations bound at the edge or stored at the home.
    registrations,
    /// REGISTERs answered with 500 since their record did not get to the disk.
    registrations_not_stored,
    /// Addresses of record whose bindings another home has changed, in the store that
    /// several homes share.
    shared_rows,
    /// Requests that waited until that store had said what it has of somebody.
    shared_asked,
    /// Of them, those that went on without its answer.
    shared_late,
    /// Registrations that it refused, since another home had taken a later one.
    shared_refused,
    /// Registrations of UDP phones that an earlier run of this edge has left.
    restored,
    /// Registrations of UDP phones whose names are too long for the table of flows.
    flows_too_long,
    /// Registrations taken back, by the list of subscribers or by the operator.
    revoked,
    /// Requests that met themselves (482).
    loops,
    /// Requests handed to the shard that holds the phone's flow.
    handed_over,
    /// Requests handed to the shard that holds their flow since before a restart.
    handed_strays,
    /// REGISTERs handed to the shard that keeps the address of record.
    handed_registers,
    /// Responses handed to the shard that sent the request.
    handed_responses,
    /// Messages handed to the shard that holds the flow they leave by.
    handed_sends,
    /// URIs bound to a connection.
    stick_bound,
    /// URIs refused because their domain is not the connection's.
    stick_refused,
    /// Look-ups answered by an exact match.
    stick_exact,
    /// Look-ups answered by an RFC 3261 match.
    stick_equal,
    /// Look-ups answered by the domain alone.
    stick_domain,
}

/// What becomes of a request that parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It went on, to one target or more.
    Forwarded,
    /// It was answered here.
    Answered,
    /// It was known already.
    Absorbed,
    /// Another shard has it.
    Handed,
    /// Nobody hears of it.
    Dropped,
}

impl Counters {
    /// What became of a request.
    pub(crate) const fn taken(&mut self, fate: Fate) {
        match fate {
            Fate::Forwarded => self.taken_forwarded += 1,
            Fate::Answered => self.taken_answered += 1,
            Fate::Absorbed => self.taken_absorbed += 1,
            Fate::Handed => self.taken_handed += 1,
            Fate::Dropped => self.taken_dropped += 1,
        }
    }

    /// What became of binding a URI to a flow.
    pub const fn bound(&mut self, bound: Bound) {
        match bound {
            Bound::New => self.stick_bound += 1,
            Bound::Refreshed => {}
            Bound::Refused | Bound::Full => self.stick_refused += 1,
        }
    }
}

impl Carried for Counters {
    fn write(&self, out: &mut Writer) {
        let values: Vec<u64> = self.rows().map(|(_, value)| value).collect();
        out.value(&values);
    }

    fn read(&mut self, input: &mut Reader<'_>) -> Result<(), Unreadable> {
        let values: Vec<u64> = input.value()?;
        for (counter, value) in self.values_mut().zip(values) {
            *counter = value;
        }
        Ok(())
    }
}
