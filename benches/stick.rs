//! Stickiness look-ups in random order, and what a binding costs in memory.
//!
//! The home of a cluster of edges: every phone's Path URI, bound to one flow of
//! sixteen. `cargo bench --bench stick`; the bounds are 150 ns and 150 bytes
//! (perf/README.md). Each look-up's answer is checked.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{BatchSize, Criterion};
use steadfast::id::{Flow, SocketId};
use steadfast::stick::{Bound, Level, Source, Table};
use steadfast::time::Instant;

/// The proxy's own, whose large pages a table of this size is read through.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: Instant = Instant::from_micros(1);
const LATER: Instant = Instant::from_micros(2);
const FLOWS: u64 = 16;

/// A permutation of 64 bits: names that share no order with their numbers.
fn mix(n: u64) -> u64 {
    let n = (n ^ (n >> 31)).wrapping_mul(0x7FB5_D329_728E_A185);
    (n ^ (n >> 27)).wrapping_mul(0x81DA_DEF4_BC2D_D44D)
}

fn write_uri(n: u64, parameters: &str, out: &mut Vec<u8>) {
    use std::io::Write;
    out.clear();
    let (a, b) = (mix(n), mix(!n));
    write!(
        out,
        "sip:k1{a:016x}{b:016x}{a:08x}@edge.example.com{parameters}"
    )
    .expect("a Vec takes all");
}

fn flow(n: u64) -> Flow {
    let port = 5_060 + u16::try_from(n % FLOWS).expect("below 16");
    Flow::Udp {
        socket: SocketId(0),
        peer: SocketAddr::from(([192, 0, 2, 1], port)),
    }
}

fn table(bindings: u64) -> Table {
    let (mut table, mut uri) = (Table::new([1, 2, 3, 4]), Vec::new());
    for n in 0..FLOWS {
        assert!(table.link(NOW, flow(n), b"edge.example.com", Source::Certificate));
    }
    for n in 0..bindings {
        write_uri(n, ";lr;ob", &mut uri);
        assert_eq!(
            table.bind(NOW, flow(n), &uri, Source::Path, LATER),
            Bound::New
        );
    }
    table
}

fn look_ups(criterion: &mut Criterion) {
    for bindings in [1_000, 100_000, 1_000_000] {
        let mut table = table(bindings);
        let bytes = table.memory() / table.len();
        println!("stick: {bindings} bindings, {bytes} bytes each");
        for (name, parameters, level) in [
            ("exact", ";lr;ob", Level::Exact),
            ("equal", ";lr;gunk=e1", Level::Equal),
        ] {
            let mut step = 0u64;
            // The URIs of a batch are made outside the measurement; a message's
            // own bytes are in cache when the proxy asks.
            let mut batch = || {
                let mut uris = Vec::with_capacity(64);
                for _ in 0..64 {
                    step += 1;
                    let n = mix(step) % bindings;
                    let mut uri = Vec::new();
                    write_uri(n, parameters, &mut uri);
                    uris.push((uri, flow(n)));
                }
                uris
            };
            criterion.bench_function(&format!("stick/64 {name} of {bindings}"), |bench| {
                bench.iter_batched(
                    &mut batch,
                    |uris| {
                        for (uri, want) in &uris {
                            let found = table
                                .find(NOW, black_box(uri), &[], 7)
                                .expect("every URI is bound");
                            assert_eq!((found.flow, found.level), (*want, level));
                        }
                        uris
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    look_ups(&mut criterion);
    criterion.final_summary();
}
