//! What a message passes on its way, part by part: the key of a URI, a
//! transaction of each side from its creation to its end, a token sealed and
//! opened, the edits of a request. Each checks what it got.

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::Criterion;
use steadfast::bytes::Pool;
use steadfast::edge::{Codec, Subscriber, Token};
use steadfast::edit::Edits;
use steadfast::id::{Flow, SocketId};
use steadfast::stick::{Bound, Source, Table};
use steadfast::time::{Duration, Instant};
use steadfast::txn::{Due, ResponseAction, TransactionKind, Transactions};

/// The proxy's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SEED: [u64; 4] = [1, 2, 3, 4];
/// Transactions a second of virtual time, so that those of 32 s are there.
const RATE: u64 = 1_000;

fn flow() -> Flow {
    Flow::Udp {
        socket: SocketId(0),
        peer: SocketAddr::from(([192, 0, 2, 1], 5_060)),
    }
}

/// One binding, always in cache: what is left is to read the URI and hash it.
fn uri_key(criterion: &mut Criterion) {
    let uri = b"sip:sf3kq7w2m5xj4n6t8r9p1c0v2b4h6d8g0@edge.example.com;lr;ob";
    let (mut table, until) = (Table::new(SEED), Instant::from_micros(2));
    assert!(table.link(
        Instant::ZERO,
        flow(),
        b"edge.example.com",
        Source::Certificate
    ));
    let bound = table.bind(Instant::ZERO, flow(), uri, Source::Path, until);
    assert_eq!(bound, Bound::New);
    criterion.bench_function("the key of a URI, and one binding", |bencher| {
        bencher.iter(|| {
            let found = table.find(Instant::ZERO, black_box(uri), &[], 7);
            assert_eq!(found.map(|found| found.flow), Some(flow()));
        });
    });
}

/// A server and a client transaction of one OPTIONS: keyed, opened, sent,
/// answered, matched, answered again; and what ends 32 seconds later.
fn transactions(criterion: &mut Criterion) {
    let mut txns: Transactions<u32, ()> = Transactions::new(Instant::ZERO, SEED, 0);
    let (pool, mut now, mut number) = (Pool::new(), Instant::ZERO, 0_u32);
    let (request, answer) = ([b'x'; 500], [b'y'; 400]);
    let mut ended = 0_u32;
    let mut work = || {
        number += 1;
        now = now + Duration::from_micros(1_000_000 / RATE);
        let theirs = number.to_be_bytes();
        let key = txns.keys().cookie(&theirs, b"192.0.2.1", 5_060, b"OPTIONS");
        assert!(txns.find_server(key).is_none());
        let server = txns.open_server(now, key, TransactionKind::Other, flow(), number);
        let client = txns.reserve(number);
        let (server, client) = server.zip(client).expect("there is room");
        let branch = txns.branch(client);
        txns.start(now, client, b"OPTIONS", flow(), pool.copy(&request));
        assert_eq!(txns.find_client(&branch, b"OPTIONS"), Some(client));
        assert!(matches!(
            txns.response(now, client, 200),
            ResponseAction::Pass
        ));
        assert!(txns.respond(now, server, 200, pool.copy(&answer)).is_some());
        assert_eq!(txns.find_server(key), Some(server));
        while let Some(due) = txns.due(now) {
            ended += u32::from(matches!(due, Due::ServerDone { .. }));
        }
    };
    for _ in 0..40 * RATE {
        work();
    }
    criterion.bench_function("a transaction of each side", |bencher| {
        bencher.iter(&mut work);
    });
    assert!(ended >= 7_000, "those of 32 s ago end, and {ended} have");
}

fn tokens(criterion: &mut Criterion) {
    let codec = Codec::new(&[[9; 64]], "example.com");
    let joe = Subscriber {
        user: b"joe",
        realm: b"example.com",
        instance: b"urn:uuid:00000000-0000-1000-8000-000a95a0e128",
    };
    let edges: [&[u8]; 2] = [b"e1", b"e3"];
    let seal = |out: &mut Vec<u8>| {
        out.clear();
        codec.write(black_box(&joe), &edges, 0, out)
    };
    let (mut text, mut again, mut token) = (Vec::new(), Vec::new(), Token::new());
    assert_eq!(seal(&mut text), Ok(()));
    criterion.bench_function("a token sealed", |bencher| {
        bencher.iter(|| {
            assert_eq!(seal(&mut again), Ok(()));
            assert_eq!(again, text);
        });
    });
    criterion.bench_function("a token opened", |bencher| {
        bencher.iter(|| {
            assert_eq!(codec.read(black_box(&text), &mut token), Ok(()));
            assert_eq!(token.user(), b"joe");
        });
    });
}

/// What an edge changes in a request: a Via above, a Record-Route, one hop
/// less, a Route taken out.
fn edits(criterion: &mut Criterion) {
    let source = vec![b'x'; 800];
    let via = b"Via: SIP/2.0/UDP 192.0.2.11;branch=z9hG4bKabcdefghijklmnopqrst.12345678\r\n";
    let record = b"Record-Route: <sip:sf3kq7w2m5xj4n6t8r9p1c0v2b4h6d8g0@edge.example.com;lr>\r\n";
    let (mut edits, mut out) = (Edits::default(), Vec::with_capacity(2_000));
    let x = |count| vec![b'x'; count];
    let want = [&x(40)[..], via, record, &x(110), b"69", &x(48), &x(560)].concat();
    criterion.bench_function("the edits of a request", |bencher| {
        bencher.iter(|| {
            edits.clear();
            out.clear();
            edits.insert(40, |out| out.extend_from_slice(via));
            edits.insert(40, |out| out.extend_from_slice(record));
            edits.replace(150..152, |out| steadfast::edit::decimal(out, 69_u64));
            edits.remove(200..240);
            edits.apply(black_box(&source), &mut out);
            assert_eq!(out, want);
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    uri_key(&mut criterion);
    transactions(&mut criterion);
    tokens(&mut criterion);
    edits(&mut criterion);
    criterion.final_summary();
}
