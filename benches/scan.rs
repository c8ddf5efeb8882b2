//! How fast `scan` and `frame` read, in bytes of whole messages, beside what
//! it costs to find the line ends alone: that is the limit of one pass.

#[path = "scan/samples.rs"]
mod samples;

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use steadfast::frame::{self, DatagramFrame};
use steadfast::scan::{self, Message, Method};

fn scan_messages(criterion: &mut Criterion) {
    let large = samples::large_invite();
    for (name, text, method, headers) in [
        ("options", samples::OPTIONS, Method::Options, 7),
        ("invite", samples::INVITE, Method::Invite, 13),
        ("large invite", &large, Method::Invite, 28),
    ] {
        let bytes = text.as_bytes();
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function("scan", |bencher| {
            let mut message = Message::default();
            bencher.iter(|| {
                assert_eq!(scan::scan(black_box(bytes), &mut message), Ok(()));
                assert_eq!(
                    (message.method(), message.headers().len()),
                    (method, headers)
                );
            });
        });
        group.bench_function("frame", |bencher| {
            bencher
                .iter(|| assert_eq!(frame::datagram(black_box(bytes)), DatagramFrame::Sip(bytes)));
        });
        group.bench_function("line ends", |bencher| {
            let lines = text.matches('\n').count();
            bencher.iter(|| {
                assert_eq!(
                    memchr::memchr_iter(b'\n', black_box(bytes))
                        .map(black_box)
                        .count(),
                    lines
                )
            });
        });
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    scan_messages(&mut criterion);
    criterion.final_summary();
}
