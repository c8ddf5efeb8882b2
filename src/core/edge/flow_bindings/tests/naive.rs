//! A plain list argues with the table.

use super::*;

/// The obvious way: a list, the newest last.
#[derive(Default)]
struct Naive(Vec<(&'static [u8], u32, u32, Instant)>);

impl Naive {
    fn newest(&self, now: Instant, fits: impl Fn(&[u8], u32) -> bool) -> Option<Flow> {
        self.0
            .iter()
            .rev()
            .find(|(user, _, to, expires)| *expires > now && fits(user, *to))
            .map(|it| flow(it.2))
    }
}

#[test]
fn it_agrees_with_a_plain_list_on_random_operations() {
    const USERS: [&[u8]; 5] = [b"a", b"b", b"c", b"d", b"e"];
    let mut table = FlowBindings::new([5, 6, 7, 8]);
    let mut naive = Naive::default();
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut draw = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from((state >> 33) % u64::from(below)).unwrap()
    };
    for step in 0..20_000_u64 {
        let now = Instant::from_micros(step);
        let (user, reg_id, to) = (USERS[draw(5) as usize], draw(3), draw(6));
        let subscriber = Subscriber { user, ..JOE };
        let is_same = |it: &(&[u8], u32, u32, Instant)| it.0 == user && it.1 == reg_id;
        match draw(8) {
            0..=3 => {
                let expires = now + Duration::from_micros(u64::from(draw(40)));
                table
                    .bind(&FlowBinding {
                        expires,
                        ..registration(subscriber, reg_id, to)
                    })
                    .unwrap();
                naive.0.retain(|it| !is_same(it));
                naive.0.push((user, reg_id, to, expires));
            }
            4 => {
                assert_eq!(
                    table.unbind(&subscriber, reg_id),
                    naive.0.iter().any(is_same)
                );
                naive.0.retain(|it| !is_same(it));
            }
            5 => {
                let before = naive.0.len();
                naive.0.retain(|it| it.2 != to);
                assert_eq!(table.flow_lost(flow(to), |_, _| ()), before - naive.0.len());
            }
            6 => {
                let before = naive.0.len();
                naive.0.retain(|it| it.3 > now);
                assert_eq!(table.expire(now, usize::MAX), before - naive.0.len());
            }
            _ => assert_eq!(
                table.flow_of(now, &subscriber, Some(flow(to))),
                naive.newest(now, |held, at| held == user && at != to)
            ),
        }
        assert_eq!(
            table.flow_of(now, &subscriber, None),
            naive.newest(now, |held, _| held == user)
        );
        let has = naive
            .newest(now, |held, at| held == user && at == to)
            .is_some();
        assert_eq!(table.has_flow(now, flow(to), &subscriber), has);
        assert_eq!(
            table
                .on_flow(now, flow(to), who(user, b"example.com"))
                .is_some_and(|it| it.subscriber.user == user),
            has
        );
        assert_eq!(table.len(), naive.0.len());
    }
}
