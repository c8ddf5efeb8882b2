//! A warm shard forwards without the allocator: whole calls through an edge,
//! the home and another edge, counted inside `Shard::handle` and `Shard::poll`
//! and where their outputs are dropped. And records of TLS are sealed and opened
//! without it.

#[cfg(test)]
#[expect(dead_code, reason = "the tests of the wire use the rest")]
#[path = "wire"]
mod wire {
    pub(crate) mod cables;
    pub(crate) mod names;
    pub(crate) mod phone;
    pub(crate) mod settings;
    pub(crate) mod world;
}

#[cfg(test)]
mod counting {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    /// The system's allocator, counted per thread.
    struct Counting;

    thread_local! {
        static ARMED: Cell<bool> = const { Cell::new(false) };
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    #[global_allocator]
    static ALLOCATOR: Counting = Counting;

    #[expect(unsafe_code, reason = "the only way to count allocations")]
    // SAFETY: every call goes to the system's allocator as it came; the two
    // cells are plain values that allocate nothing.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            count();
            // SAFETY: the caller's promise, passed on.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            // SAFETY: the caller's promise, passed on.
            unsafe { System.dealloc(pointer, layout) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            count();
            // SAFETY: the caller's promise, passed on.
            unsafe { System.realloc(pointer, layout, size) }
        }
    }

    fn count() {
        if ARMED.get() {
            COUNT.set(COUNT.get() + 1);
        }
    }

    /// Runs `call` and counts what it allocates.
    pub(crate) fn counted(call: &mut dyn FnMut()) {
        ARMED.set(true);
        call();
        ARMED.set(false);
    }

    /// Allocations counted so far.
    pub(crate) fn count_so_far() -> usize {
        COUNT.get()
    }
}

#[cfg(test)]
mod tests {
    use super::counting::{count_so_far, counted};
    use super::wire::phone::Phone;
    use super::wire::world::{EDGES, Tokens, World};
    use steadfast::time::Duration;
    use steadfast_record::{Cipher, Keys, Role, Secret, Session, Stand, State};

    /// INVITE, 100, 180, 200, ACK, BYE, 200.
    fn call(world: &mut World, joe: &mut Phone, ann: &mut Phone, number: u32) {
        let invite = joe.request("INVITE", "sip:ann@example.com", number, "", "v=0\r\n");
        joe.send(world, EDGES[0], &invite);
        assert_eq!(joe.status(world), 100);
        let received = ann.receive(world);
        ann.answer(world, EDGES[1], &received, 180, "Ringing");
        assert_eq!(joe.status(world), 180);
        ann.answer(world, EDGES[1], &received, 200, "OK");
        let ok = joe.receive(world);
        joe.dialog(&ok, true);
        ann.dialog(&received, false);
        joe.in_dialog(world, EDGES[0], "ACK", number);
        assert!(ann.receive(world).starts_with("ACK "));
        ann.in_dialog(world, EDGES[1], "BYE", number);
        let bye = joe.receive(world);
        joe.answer(world, EDGES[0], &bye, 200, "OK");
        assert_eq!(ann.status(world), 200);
        world.forget();
        world.pass(Duration::from_millis(200));
    }

    #[test]
    fn a_warm_call_allocates_nothing() {
        for (tokens, sticky) in [(Tokens::Sealed, true), (Tokens::Clear, false)] {
            let mut world = World::lab(tokens);
            let mut joe = Phone::new("joe", "127.0.0.1:5070", sticky);
            let mut ann = Phone::new("ann", "127.0.0.1:5080", sticky);
            joe.register(&mut world, EDGES[0]);
            ann.register(&mut world, EDGES[1]);
            world.around = counted;
            for number in 1..=300 {
                call(&mut world, &mut joe, &mut ann, number);
            }
            let before = count_so_far();
            assert!(before > 0, "a cold shard does");
            for number in 301..=400 {
                call(&mut world, &mut joe, &mut ann, number);
            }
            assert_eq!(count_so_far() - before, 0, "in 100 calls, sticky: {sticky}");
        }
    }

    /// Two ends that stand at this number in both directions.
    fn ends(cipher: Cipher, is_new: bool, sequence: u64) -> [Session; 2] {
        [Role::Client, Role::Server].map(|role| {
            if is_new {
                let half = || (Secret::new(&[7; 32]).expect("it is short"), sequence);
                return Session::tls13(cipher, role, half(), half());
            }
            let key = if cipher == Cipher::Aes128Gcm { 16 } else { 32 };
            let (key, iv) = (&[8; 32][..key], [9; 12]);
            let keys = Keys { key, iv, sequence };
            Session::tls12(cipher, role, &keys, &keys).expect("a key of that length")
        })
    }

    #[test]
    fn a_record_allocates_nothing() {
        // The last records of a key: with TLS 1.3 the next one is derived meanwhile.
        const SEQUENCE: u64 = (1 << 24) - 1_000;
        let message = [b'x'; 800];
        let (mut out, mut answers) = (Vec::with_capacity(40_000), Vec::with_capacity(64));
        for cipher in [
            Cipher::Aes128Gcm,
            Cipher::Aes256Gcm,
            Cipher::ChaCha20Poly1305,
        ] {
            for (is_new, keeps, rounds) in [
                (true, false, 2_000),
                (true, true, 2_000),
                (false, false, 900),
            ] {
                let [mut near, mut far] = ends(cipher, is_new, SEQUENCE);
                if keeps {
                    near.keep_keys();
                    far.keep_keys();
                }
                let before = count_so_far();
                let mut heard = 0;
                counted(&mut || {
                    for _ in 0..rounds {
                        out.clear();
                        let messages = [&message[..], &message];
                        near.seal(messages, &mut out).expect("it may");
                        let received = far.receive(&mut out, &mut answers, &mut |_| Ok(()));
                        assert_eq!(received.stand, Stand::Open);
                        heard += received.plain.len();
                        std::mem::swap(&mut near, &mut far);
                    }
                });
                assert_eq!(heard, rounds * 1_600);
                assert_eq!(count_so_far() - before, 0, "{cipher:?} {is_new} {keeps}");
                let state: State = near.into_state();
                let (_, tx) = state.as_bytes().split_at(121);
                let is_next = tx.first_chunk().map(|it| u64::from_be_bytes(*it)) < Some(SEQUENCE);
                // ChaCha20 seals many more.
                assert_eq!(is_next, is_new && cipher != Cipher::ChaCha20Poly1305);
            }
        }
    }
}
