//! The set of edges that serve a subscriber: the edge it came to and, of the
//! others, those with the highest weight for it (rendezvous hashing).
//!
//! Every edge computes the same weights from the configuration alone: nothing
//! is looked up, replicated or agreed on (D-E7). Taking a member away moves
//! only the subscribers that had it in their set.
//!
//! The hash is a fixed one, the same in every version and on every machine; it
//! is no secret. A subscriber who picks an instance to land on a certain backup
//! edge only moves itself.

use serde::{Deserialize, Serialize};

use super::{Member, Subscriber};
use crate::limits::{EDGE_SET_MAX, MEMBERS_MAX};

/// A set of edges, as indices in `Settings::members`, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct EdgeSet {
    /// `NOBODY` from the end of the set on.
    indices: [u8; EDGE_SET_MAX],
}

impl EdgeSet {
    /// The set of these indices, in this order; `None` when they are more than
    /// `EDGE_SET_MAX`, or one is not below `MEMBERS_MAX`.
    #[must_use]
    pub(super) fn new(indices: &[usize]) -> Option<Self> {
        Self::of_all(indices.iter().copied())
    }

    /// The set of the members that an iterator gives, as [`EdgeSet::new`] makes it.
    pub(super) fn of_all(indices: impl Iterator<Item = usize>) -> Option<Self> {
        let mut set = Self {
            indices: [NOBODY; EDGE_SET_MAX],
        };
        for (at, index) in indices.enumerate() {
            let index = u8::try_from(index).ok().filter(|_| index < MEMBERS_MAX)?;
            *set.indices.get_mut(at)? = index;
        }
        Some(set)
    }

    /// The set of one member; the empty set when the index is not below `MEMBERS_MAX`.
    #[must_use]
    pub(super) fn of(index: usize) -> Self {
        let none = Self {
            indices: [NOBODY; EDGE_SET_MAX],
        };
        Self::new(&[index]).unwrap_or(none)
    }

    /// The same members where each index of theirs is replaced by the one that `places` has for
    /// it; without those that it has none for.
    #[must_use]
    pub(super) fn renumbered(self, places: &[Option<usize>]) -> Self {
        let there = self.iter().filter_map(|index| *places.get(index)?);
        Self::of_all(there).unwrap_or(self)
    }

    /// The indices, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + use<> {
        self.indices
            .into_iter()
            .take_while(|&index| index != NOBODY)
            .map(usize::from)
    }
}

/// Fills `out` with the set of a subscriber that came to member `own`: `own`
/// first, then the best of the others, `size` in all (D-E5), those of another
/// site before those of its own. Fewer when there are fewer members, and never
/// more than `EDGE_SET_MAX`. Members that retire are left out, `own` excepted: a
/// phone that cannot be moved is served. So are those without an address of the
/// phone's family (`v6`), which it could open no flow to.
pub(super) fn choose(
    own: usize,
    members: &[Member],
    subscriber: &Subscriber<'_>,
    v6: bool,
    size: usize,
    out: &mut Vec<usize>,
) {
    out.clear();
    out.extend((own < members.len()).then_some(own));
    let key = subscriber_hash(subscriber);
    let site = members.get(own).map(|member| &member.site);
    let mut best = [((false, 0), usize::MAX); EDGE_SET_MAX];
    for (index, member) in members
        .iter()
        .enumerate()
        .filter(|&(index, member)| index != own && !member.retires && member.public(v6).is_some())
    {
        let is_apart = site != Some(&member.site);
        let mut entry = ((is_apart, weight(key, member)), index);
        for held in &mut best {
            // Equal weights: the earlier member stays ahead.
            if held.1 == usize::MAX || entry.0 > held.0 {
                std::mem::swap(held, &mut entry);
            }
        }
    }
    let room = size.min(EDGE_SET_MAX).saturating_sub(out.len());
    out.extend(
        best.iter()
            .take(room)
            .map(|&(_, index)| index)
            .filter(|&index| index != usize::MAX),
    );
}

/// Fills `out` with the set of [`choose`] in the order of the members. For phones that register
/// with each of two edges on their own: two edges that choose one another then write the same
/// token.
pub(super) fn canonical(
    own: usize,
    members: &[Member],
    subscriber: &Subscriber<'_>,
    v6: bool,
    size: usize,
    out: &mut Vec<usize>,
) {
    choose(own, members, subscriber, v6, size, out);
    out.sort_unstable();
}

fn weight(key: u64, member: &Member) -> u64 {
    mix(key ^ mix(fold(START, member.name.as_bytes())))
}

/// Over user and instance only: namesakes of two domains may well share edges.
fn subscriber_hash(subscriber: &Subscriber<'_>) -> u64 {
    // 0xFF is no part of UTF-8, so it separates.
    fold(
        fold(fold(START, subscriber.user), &[0xFF]),
        subscriber.instance,
    )
}

/// FNV-1a.
fn fold(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// The finaliser of SplitMix64: FNV alone leaves the high bits of short names
/// too alike to compare weights by.
const fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    hash ^ (hash >> 31)
}

/// The offset basis of 64-bit FNV.
const START: u64 = 0xCBF2_9CE4_8422_2325;

const NOBODY: u8 = u8::MAX;

const _: () = assert!(
    MEMBERS_MAX <= NOBODY as usize,
    "indices in a set are one byte"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(count: usize) -> Vec<Member> {
        (1..=count)
            .map(|n| Member::at(&format!("e{n}"), [192, 0, 2, 1].into()))
            .collect()
    }

    fn chosen(own: usize, members: &[Member], user: &str, size: usize) -> Vec<usize> {
        let mut out = vec![99];
        let subscriber = Subscriber {
            user: user.as_bytes(),
            realm: b"",
            instance: b"urn:uuid:1",
        };
        choose(own, members, &subscriber, false, size, &mut out);
        out
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fold(START, b"foobar"), 0x8594_4171_F739_67E8);
        assert_eq!(mix(0x9E37_79B9_7F4A_7C15), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn the_choice_is_the_same_on_every_node_and_version() {
        // D-E7. A change here moves every subscriber of a running cluster.
        let members = cluster(8);
        let firsts: Vec<_> = ["joe", "ann", "+4930123", ""]
            .map(|user| chosen(2, &members, user, 4))
            .into();
        assert_eq!(firsts, PINNED);
    }

    #[test]
    fn the_edge_itself_comes_first_and_nobody_twice() {
        // D-E5
        let members = cluster(5);
        for own in 0..5 {
            let all = chosen(own, &members, "joe", 4);
            assert_eq!(all[0], own);
            for size in 1..=4 {
                assert_eq!(chosen(own, &members, "joe", size), all[..size]);
            }
            let mut distinct = all.clone();
            distinct.sort_unstable();
            distinct.dedup();
            assert_eq!(distinct.len(), 4);
            assert_eq!(chosen(own, &members, "joe", 99), all);
        }
        assert_eq!(chosen(0, &cluster(1), "joe", 2), [0]);
        assert_eq!(chosen(7, &cluster(1), "joe", 2), [0]);
        assert_eq!(chosen(0, &[], "joe", 2), [0; 0]);
    }

    #[test]
    fn backups_are_spread_evenly() {
        for count in [3, 16] {
            let members = cluster(count);
            let mut load = vec![0_usize; count];
            for user in 0..10_000 {
                load[chosen(0, &members, &user.to_string(), 2)[1]] += 1;
            }
            let fair = 10_000 / (count - 1);
            for (index, &users) in load.iter().enumerate().skip(1) {
                assert!(
                    users.abs_diff(fair) * 5 <= fair,
                    "{count} members: {index} has {users} of {fair}"
                );
            }
            assert_eq!(load[0], 0);
        }
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own_users() {
        let before = cluster(6);
        let after = &before[..5];
        let mut moved = 0;
        for user in 0..1_000 {
            let (old, new) = (
                chosen(0, &before, &user.to_string(), 3),
                chosen(0, after, &user.to_string(), 3),
            );
            let kept: Vec<_> = old.iter().copied().filter(|&index| index != 5).collect();
            assert_eq!(new[..kept.len()], kept);
            moved += usize::from(kept.len() < 3);
        }
        assert!(
            (320..480).contains(&moved),
            "{moved} of 1000, expected two fifths"
        );
    }

    #[test]
    fn the_backup_is_of_another_site_while_there_is_one() {
        let mut members = cluster(8);
        for (index, member) in members.iter_mut().enumerate() {
            member.site = ["north", "south"][index / 4].to_owned();
        }
        let mut load = [0_usize; 8];
        for user in 0..4_000 {
            let set = chosen(1, &members, &user.to_string(), 3);
            assert!(set[1] >= 4 && set[2] >= 4, "{set:?}");
            load[set[1]] += 1;
        }
        assert!(load[4..].iter().all(|&users| (800..1_200).contains(&users)));
        // The other site is out of service.
        for member in &mut members[4..] {
            member.retires = true;
        }
        assert!(
            chosen(1, &members, "joe", 3)[1..]
                .iter()
                .all(|&index| index < 4)
        );
    }

    #[test]
    fn a_phone_gets_no_edge_that_its_family_does_not_lead_to() {
        let mut members = cluster(6);
        for member in &mut members[..3] {
            member.addresses.push("2001:db8::1".parse().unwrap());
        }
        let joe = Subscriber {
            user: b"joe",
            ..Subscriber::default()
        };
        let mut out = Vec::new();
        choose(0, &members, &joe, true, 4, &mut out);
        out.sort_unstable();
        assert_eq!(out, [0, 1, 2]);
        choose(0, &members, &joe, false, 4, &mut out);
        assert_eq!(out.len(), 4);
        // Whatever it came by leads to this one.
        choose(5, &members, &joe, true, 2, &mut out);
        assert_eq!((out.len(), out[0]), (2, 5));
    }

    #[test]
    fn a_pair_agrees_on_one_set() {
        // D-E6, H-3: both edges write the same Path URI.
        let members = cluster(2);
        let joe = Subscriber {
            user: b"joe",
            ..Subscriber::default()
        };
        let mut out = Vec::new();
        for own in 0..2 {
            canonical(own, &members, &joe, false, 2, &mut out);
            assert_eq!(out, [0, 1]);
        }
    }

    #[test]
    fn a_set_keeps_its_order_and_its_bounds() {
        assert_eq!(
            EdgeSet::new(&[3, 1]).map(|set| set.iter().collect()),
            Some(vec![3, 1])
        );
        assert_eq!(EdgeSet::new(&[0; EDGE_SET_MAX + 1]), None);
        assert_eq!(EdgeSet::new(&[MEMBERS_MAX]), None);
    }

    const PINNED: [&[usize]; 4] = [&[2, 7, 6, 0], &[2, 6, 7, 1], &[2, 6, 1, 7], &[2, 1, 3, 5]];
}
