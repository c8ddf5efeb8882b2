use ahash::RandomState;

use super::*;
use crate::id::{Flow, Slot, StreamId};

/// Links with one flow in one domain, and that link.
fn links() -> (Links, u32) {
    let mut links = Links::new(RandomState::with_seeds(1, 2, 3, 4));
    let slot = Slot {
        index: 1,
        generation: 0,
    };
    let holder = links
        .get_or_insert_flow(Flow::Stream(StreamId(slot)))
        .unwrap();
    let link = links.join(holder, b"h").unwrap();
    (links, link)
}

fn print(a: u64, b: u64) -> Print {
    [a, b | 1 << 63]
}

fn draft(print: Print, set: u32, link: u32) -> Draft {
    let until = Instant::from_micros(9);
    Draft {
        print,
        scheme_port: 0,
        set,
        link,
        source: Source::Path,
        until,
        dialog: None,
        stamp: 0,
    }
}

fn sets(rows: &Rows, print: Print) -> Vec<u32> {
    let mut sets: Vec<u32> = rows.chain(print).map(|(_, row)| row.set).collect();
    sets.sort_unstable();
    sets
}

/// The sets of a link's rows from the newest on, the same the other way round.
#[track_caller]
fn order(rows: &Rows, links: &Links, link: u32) -> Vec<u32> {
    let list = links.link(link).rows;
    let walk = |from: u32, next: fn(&Row) -> u32| {
        let some = |row: u32| (row != NONE).then_some(row);
        let all = std::iter::successors(some(from), |&row| some(next(rows.get(row))));
        all.map(|row| rows.get(row).set).collect::<Vec<_>>()
    };
    let (down, mut up) = (
        walk(list.newest, |row| row.older),
        walk(list.oldest, |row| row.newer),
    );
    up.reverse();
    assert_eq!((down.len(), &down), (list.len as usize, &up));
    down
}

#[test]
fn a_chain_survives_the_loss_of_any_of_its_rows() {
    for gone in 0..3 {
        let (mut links, link) = links();
        let mut rows = Rows::new();
        for set in 0..3 {
            rows.insert(draft(print(7, 7), set, link), &mut links)
                .unwrap();
        }
        // The search begins at the same slot, the chain is another.
        rows.insert(draft(print(8, 7), 9, link), &mut links)
            .unwrap();
        let row = rows.chain(print(7, 7)).find(|(_, row)| row.set == gone);
        rows.remove(row.unwrap().0, &mut links);
        let mut want = vec![0, 1, 2];
        want.remove(gone as usize);
        assert_eq!(
            (
                sets(&rows, print(7, 7)),
                sets(&rows, print(8, 7)),
                rows.len()
            ),
            (want.clone(), vec![9], 3)
        );
        want.push(9);
        want.reverse();
        assert_eq!(order(&rows, &links, link), want);
    }
}

#[test]
fn the_list_runs_from_the_newest_to_the_oldest() {
    let (mut links, link) = links();
    let mut rows = Rows::new();
    for n in 0..3 {
        let draft = draft(print(u64::from(n), 0), n, link);
        rows.insert(draft, &mut links).unwrap();
    }
    assert_eq!(order(&rows, &links, link), [2, 1, 0]);
    let b = rows.head(print(1, 0));
    rows.take_out(b, &mut links.link_mut(link).rows);
    assert_eq!(order(&rows, &links, link), [2, 0]);
    rows.remove(rows.head(print(0, 0)), &mut links);
    rows.push_newest(b, &mut links.link_mut(link).rows);
    assert_eq!(order(&rows, &links, link), [1, 2]);
    assert_eq!(rows.head(print(0, 0)), NONE);
}

/// A permutation of 64 bits.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x7FB5_D329_728E_A185);
    (n ^ (n >> 27)).wrapping_mul(0x81DA_DEF4_BC2D_D44D)
}

#[test]
fn growth_and_removal_lose_no_row_and_no_order() {
    let (mut links, link) = links();
    let mut rows = Rows::new();
    let of = |n: u32| print(mix(u64::from(n)), mix(!u64::from(n)));
    let mut there = std::collections::VecDeque::new();
    for n in 0..12_000 {
        rows.insert(draft(of(n), n, link), &mut links).unwrap();
        there.push_front(n);
        // Every third goes again, some at once and some much later.
        if n % 3 == 0 {
            let gone = if n % 2 == 0 { n } else { (n / 2) | 1 };
            let row = rows.head(of(gone));
            if row != NONE {
                rows.remove(row, &mut links);
                there.retain(|&other| other != gone);
            }
        }
    }
    assert_eq!(rows.len(), there.len());
    assert!(there.iter().all(|&n| sets(&rows, of(n)) == [n]));
    assert_eq!(order(&rows, &links, link), Vec::from(there));
    let counted = (0..rows.slots()).filter_map(|nth| rows.at(nth)).count();
    assert_eq!(counted, rows.len());
}

#[test]
fn links_and_chains_keep_their_rows_through_everything() {
    let (mut links, first) = links();
    let more = [2, 3].map(|index| {
        let slot = Slot {
            index,
            generation: 0,
        };
        let holder = links
            .get_or_insert_flow(Flow::Stream(StreamId(slot)))
            .unwrap();
        links.join(holder, b"h").unwrap()
    });
    let all = [first, more[0], more[1]];
    let mut rows = Rows::new();
    // By link what is there, the newest first: its number in the test and its user.
    let mut there: [Vec<(u32, u64)>; 3] = Default::default();
    let of = |user: u64| print(mix(user), mix(!user));
    let find = |rows: &Rows, (set, user): (u32, u64)| {
        let mut chain = rows.chain(of(user));
        chain.find(|(_, row)| row.set == set).unwrap().0
    };
    for n in 0..40_000u32 {
        let dice = mix(u64::from(n) + 77);
        let which = (dice % 3) as usize;
        let (link, list) = (all[which], &mut there[which]);
        match dice >> 8 & 7 {
            0 | 1 if !list.is_empty() => {
                let gone = list.remove((dice >> 16) as usize % list.len());
                let row = find(&rows, gone);
                assert_eq!(rows.remove(row, &mut links).set, gone.0);
            }
            2 if !list.is_empty() => {
                let again = list.remove((dice >> 16) as usize % list.len());
                let row = find(&rows, again);
                rows.take_out(row, &mut links.link_mut(link).rows);
                rows.push_newest(row, &mut links.link_mut(link).rows);
                list.insert(0, again);
            }
            _ => {
                // Four rows a user, more or less.
                let user = (dice >> 16) % 6_000;
                rows.insert(draft(of(user), n, link), &mut links).unwrap();
                list.insert(0, (n, user));
            }
        }
        if n % 4_000 == 0 || n == 39_999 {
            for (&link, list) in all.iter().zip(&there) {
                let want: Vec<u32> = list.iter().map(|&(set, _)| set).collect();
                assert_eq!(order(&rows, &links, link), want, "after {n}");
            }
        }
    }
    assert_eq!(rows.len(), there.iter().map(Vec::len).sum::<usize>());
    assert!(
        there
            .iter()
            .flatten()
            .all(|&one| rows.get(find(&rows, one)).link != NONE)
    );
    assert!(rows.more.len() > 5_000 && rows.heads.len() > 4_000);
}

#[test]
fn rows_that_nothing_tells_apart_fill_one_segment_and_no_more() {
    let (mut links, link) = links();
    let mut rows = Rows::new();
    let taken = (0..3_000u32)
        .map_while(|n| rows.insert(draft(print(5, u64::from(n) << 32), n, link), &mut links))
        .count();
    assert_eq!(taken, 1_024);
    assert_eq!(sets(&rows, print(5, 7 << 32)), [7]);
    assert_eq!(rows.head(print(5, 2_000 << 32)), NONE);
}
