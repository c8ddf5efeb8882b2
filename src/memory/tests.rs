use std::alloc::System;

use super::*;

#[test]
fn the_share_grows_from_three_quarters_to_nine_tenths() {
    let most = 1_000_000;
    for (used, want) in [
        (0, 0),
        (750_000, 0),
        (750_001, 1),
        (825_000, 50),
        (900_000, 100),
        (usize::MAX, 100),
    ] {
        assert_eq!(refused(used, most), want, "{used}");
    }
}

#[test]
fn the_bound_is_that_of_the_file_or_follows_from_the_group() {
    let group = Some(400);
    assert_eq!(Bound::OfGroup.bytes(group), Some(300));
    assert_eq!(Bound::OfGroup.bytes(None), None);
    assert_eq!(Bound::Bytes(7).bytes(group), Some(7));
    assert_eq!(Bound::Nothing.bytes(group), None);
}

#[test]
fn the_kernel_tells_what_the_process_has() {
    assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
}

#[test]
fn what_is_allocated_is_counted_and_what_is_freed_is_not() {
    let counted = Counted(System);
    let layout = Layout::from_size_align(1 << 20, 16).unwrap();
    let before = on_heap();
    // SAFETY: the layout is not empty.
    let block = unsafe { counted.alloc(layout) };
    assert_eq!(on_heap() - before, 1 << 20);
    // SAFETY: the block has that layout, and the new size is not 0.
    let block = unsafe { counted.realloc(block, layout, 3 << 20) };
    assert_eq!(on_heap() - before, 3 << 20);
    let layout = Layout::from_size_align(3 << 20, 16).unwrap();
    // SAFETY: the block has that layout.
    unsafe { counted.dealloc(block, layout) };
    assert_eq!(on_heap(), before);
}

#[test]
fn what_the_recorders_will_fill_counts_from_the_start() {
    // 20 MiB are there, of 70 on the heap, 64 of which are a recorder that is empty yet.
    let mib = |count: usize| count << 20;
    let beside = beside(mib(20), mib(70), mib(64));
    assert_eq!(mib(70).saturating_add_signed(beside), mib(84));
}
