//! What a merge keeps, writes and gives up.

mod harness;

use halodb_btree::{Change, Depth, Edits, Error, KeyRange, Tree, merge};
use halodb_pager::PageSet;
use harness::{Keys, Rig, Sorted, VecEdits};

fn puts(ns: impl Iterator<Item = u32>, len: usize) -> Sorted {
    let edits = ns.map(|n| (Keys::Numbers.key(n), Some(vec![n as u8; len]))).collect();
    Sorted { edits, ..Sorted::default() }
}

fn deletes(ns: impl Iterator<Item = u32>) -> Sorted {
    Sorted { edits: ns.map(|n| (Keys::Numbers.key(n), None)).collect(), ..Sorted::default() }
}

fn range(from: u32, to: u32) -> Sorted {
    let range = KeyRange { start: Keys::Numbers.key(from), end: Some(Keys::Numbers.key(to)) };
    Sorted { ranges: vec![range], ..Sorted::default() }
}

fn filled(n: u32, len: usize) -> Rig {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..n, len), 93, u64::MAX);
    rig
}

/// Pages written and given up by a batch; it is committed and compared.
fn cost(rig: &mut Rig, batch: &Sorted) -> (u64, u64) {
    let base = rig.tree();
    let mut edits = VecEdits { edits: batch.edits.iter().map(|(k, v)| (k.clone(), v.clone())).collect(), at: 0 };
    let merged = {
        let mut txn = rig.pager.begin().unwrap();
        merge(&mut txn, &base, &batch.ranges, &mut edits, 93, u64::MAX).unwrap()
    };
    drop(base);
    rig.merge(batch, 93, u64::MAX);
    (merged.pages_written, merged.pages_freed)
}

fn leaves(tree: &Tree) -> (u64, u64) {
    let shape = tree.shape().unwrap();
    let leaves = shape.last().unwrap();
    (leaves.pages, leaves.used_bytes * 100 / leaves.capacity_bytes)
}

#[test]
fn a_batch_that_changes_nothing_keeps_the_root() {
    let rig = filled(4000, 100);
    let root = rig.tree().root();
    let check = |batch: Sorted| {
        let base = rig.tree();
        let mut txn = rig.pager.begin().unwrap();
        let mut edits = VecEdits { edits: batch.edits.into_iter().collect(), at: 0 };
        let merged = merge(&mut txn, &base, &batch.ranges, &mut edits, 93, 3).unwrap();
        assert_eq!((merged.root, merged.pages_written, merged.pages_freed), (root, 0, 0));
        assert_eq!(merged.merged_up_to, None);
        assert!(edits.current().is_none());
    };
    check(Sorted::default());
    check(deletes(4000..5000));
    check(puts((0..4000).step_by(7), 100));
    let between =
        |n| KeyRange { start: [&Keys::Numbers.key(n)[..], b"a"].concat(), end: Some(Keys::Numbers.key(n + 1)) };
    check(Sorted { ranges: (0..4000).step_by(3).map(between).collect(), ..Sorted::default() });
}

#[test]
fn a_change_of_one_key_rewrites_one_page_per_level_and_a_filter() {
    let mut rig = filled(20_000, 100);
    let levels = rig.tree().shape().unwrap();
    assert_eq!(levels.len(), 3);
    let filter_pages = levels[1].extra_pages / levels[1].pages + 2;
    let (written, freed) = cost(&mut rig, &puts(7000..7001, 90));
    assert!(written <= 3 + filter_pages, "{written} pages written");
    assert!(freed <= 3 + filter_pages, "{freed} pages freed");
}

#[test]
fn deleting_a_range_unlinks_what_is_inside_it() {
    let mut rig = filled(20_000, 100);
    let (pages, _) = leaves(&rig.tree());
    let (written, freed) = cost(&mut rig, &range(1000, 19_000));
    assert!(written < 40, "{written} pages written");
    assert!(freed > pages * 8 / 10, "{freed} pages freed of {pages} leaves");
    assert_eq!(rig.model.len(), 2000);
}

#[test]
fn poorly_filled_leaves_take_their_neighbours_in() {
    let mut rig = filled(2000, 100);
    let (before, _) = leaves(&rig.tree());
    // Nine in ten entries go, less than a leaf at a time, as many small merges would have it.
    for from in (0..2000).step_by(20) {
        rig.merge(&deletes((from..from + 20).filter(|n| n % 10 != 0)), 93, u64::MAX);
    }
    let (pages, fill) = leaves(&rig.tree());
    assert!(fill >= 50, "leaves are filled to {fill} %");
    assert!(pages <= before / 5, "{pages} leaves of {before}");
}

#[test]
fn a_poor_leaf_does_not_make_the_merge_run_on_through_the_tree() {
    let mut rig = filled(20_000, 100);
    // One leaf is left with a few entries; its neighbours are full.
    let (written, _) = cost(&mut rig, &deletes(5000..5031));
    let filter_pages = 8;
    assert!(written <= 4 + 2 * filter_pages, "{written} pages written");
}

#[test]
fn the_tree_grows_and_shrinks_by_levels() {
    let mut rig = filled(20_000, 100);
    let height = |rig: &Rig| rig.tree().shape().unwrap().len();
    assert_eq!(height(&rig), 3);
    rig.merge(&range(5, 19_990), 93, u64::MAX);
    assert_eq!(height(&rig), 1);
    rig.merge(&range(0, 20_000), 93, u64::MAX);
    assert_eq!((height(&rig), rig.tree().root()), (0, None));
    rig.merge(&puts(0..300, 100), 93, u64::MAX);
    assert_eq!(height(&rig), 2);
}

#[test]
fn a_tree_whose_right_part_goes_ends_without_a_needless_root() {
    for keep in [1, 30, 31, 40, 1000, 3300, 3400] {
        let mut rig = filled(20_000, 100);
        rig.merge(&range(keep, 30_000), 93, u64::MAX);
        let shape = rig.tree().shape().unwrap();
        assert!(shape.len() == 1 || shape[0].entries > 1, "{keep} keys: {shape:?}");
        let mut rig = filled(20_000, 100);
        rig.merge(&range(0, 20_000 - keep), 93, u64::MAX);
        let shape = rig.tree().shape().unwrap();
        assert!(shape.len() == 1 || shape[0].entries > 1, "{keep} keys: {shape:?}");
    }
}

#[test]
fn a_single_child_left_over_at_the_right_edge_becomes_the_root() {
    let tall = |ns: std::ops::Range<u32>| Sorted {
        edits: ns.map(|n| (Keys::Tall.key(n), Some(vec![n as u8; 900]))).collect(),
        ..Sorted::default()
    };
    let cut = |from: u32, to: u32| Sorted {
        ranges: vec![KeyRange { start: Keys::Tall.key(from), end: Some(Keys::Tall.key(to)) }],
        ..Sorted::default()
    };
    let mut tallest = 0;
    for keep in (0..200).step_by(5) {
        let mut rig = Rig::new(4096, 11);
        rig.merge(&tall(0..200), 93, u64::MAX);
        tallest = tallest.max(rig.tree().shape().unwrap().len());
        for batch in [cut(keep + 1, 300), cut(0, keep)] {
            rig.merge(&batch, 93, u64::MAX);
            let shape = rig.tree().shape().unwrap();
            assert!(shape.len() == 1 || shape[0].entries > 1, "key {keep}: {shape:?}");
        }
        assert_eq!(rig.model.len(), 1);
    }
    assert!(tallest >= 3, "{tallest} levels");
}

#[test]
fn a_value_of_the_same_length_replaces_the_old_one() {
    let mut rig = filled(500, 20);
    let edits = (0..500).step_by(3).map(|n| (Keys::Numbers.key(n), Some(vec![!(n as u8); 20]))).collect();
    rig.merge(&Sorted { edits, ..Sorted::default() }, 93, u64::MAX);
}

#[test]
fn filters_of_leaves_that_stay_are_kept() {
    let mut rig = filled(20_000, 100);
    let filter_pages = |rig: &Rig| rig.tree().shape().unwrap()[1].extra_pages;
    let before = filter_pages(&rig);
    rig.merge(&puts((0..20_000).step_by(3000), 99), 93, u64::MAX);
    assert!(filter_pages(&rig) >= before, "{} pages of filters, {before} before", filter_pages(&rig));
}

#[test]
fn a_chunk_may_end_between_two_ranges_of_one_key() {
    for limit in 0..6 {
        let mut rig = filled(1200, 100);
        let unit = |n| KeyRange { start: Keys::Numbers.key(n), end: Some(Keys::Numbers.key(n + 1)) };
        let ranges = (0..1200).filter(|n| n % 3 != 2).map(unit).collect();
        let chunks = rig.merge(&Sorted { ranges, ..Sorted::default() }, 93, limit);
        assert!(chunks > 1, "{chunks} chunks");
    }
}

#[test]
fn bulk_builds_fill_their_leaves() {
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..20_000, 100), 100, u64::MAX);
    let (_, full) = leaves(&rig.tree());
    assert!(full >= 95, "{full} %");
    let mut rig = Rig::new(4096, 11);
    rig.merge(&puts(0..20_000, 100), 60, u64::MAX);
    let (_, fill) = leaves(&rig.tree());
    assert!((54..=61).contains(&fill), "{fill} %");
}

#[test]
fn a_long_value_stays_where_it_is_when_its_neighbours_change() {
    let mut rig = filled(100, 100);
    let long = puts(50..51, 5 << 20);
    rig.merge(&long, 93, u64::MAX);
    let address = |rig: &Rig| rig.tree().get(&Keys::Numbers.key(50)).unwrap().unwrap().as_ptr();
    let before = address(&rig);
    let (written, freed) = cost(&mut rig, &puts((40..60).filter(|n| *n != 50), 7));
    assert!(written < 10 && freed < 10, "{written} written, {freed} freed");
    assert_eq!(address(&rig), before);
    let (_, freed) = cost(&mut rig, &puts(50..51, 3));
    assert!(freed > (5 << 20) / 4096, "{freed}");
}

#[test]
fn values_around_the_limits_come_back() {
    let mut rig = Rig::new(4096, 11);
    for keys in [Keys::Numbers, Keys::Longest] {
        let lens = (960..=1030).chain(4040..4100).chain([0, 1, 8150, 8152, 8153]);
        let edits = lens.zip(0..).map(|(len, n)| (keys.key(n), Some(vec![n as u8; len]))).collect();
        rig.merge(&Sorted { edits, ..Sorted::default() }, 93, u64::MAX);
        rig.merge(&range(0, 100_000), 93, u64::MAX);
    }
}

fn refused(rig: &Rig, ranges: &[KeyRange], edits: Vec<(Vec<u8>, Option<Vec<u8>>)>, fill: u32) -> String {
    let mut txn = rig.pager.begin().unwrap();
    match merge(&mut txn, &rig.tree(), ranges, &mut VecEdits { edits, at: 0 }, fill, u64::MAX) {
        Err(Error::Invalid(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn impossible_input_is_refused_and_changes_nothing() {
    for rig in [Rig::new(4096, 11), filled(1000, 50)] {
        let put = |key: &[u8]| (key.to_vec(), Some(vec![1]));
        let order = "edits are not strictly ascending by key";
        assert_eq!(refused(&rig, &[], vec![put(b"b"), put(b"a")], 93), order);
        assert_eq!(refused(&rig, &[], vec![put(b"b"), put(b"b")], 93), order);
        assert!(refused(&rig, &[], vec![put(b"")], 93).starts_with("a key of 0 bytes"));
        assert!(refused(&rig, &[], vec![put(b"a"), put(&[7; 1041])], 93).starts_with("a key of 1041 bytes"));
        assert!(refused(&rig, &[], vec![], 49).starts_with("fill of 49 %"));
        assert!(refused(&rig, &[], vec![], 101).starts_with("fill of 101 %"));
        let range = |start: &[u8], end: Option<&[u8]>| KeyRange { start: start.to_vec(), end: end.map(<[u8]>::to_vec) };
        let overlap = "ranges to delete overlap or are out of order";
        assert_eq!(refused(&rig, &[range(b"a", Some(b"c")), range(b"b", None)], vec![], 93), overlap);
        assert_eq!(refused(&rig, &[range(b"a", None), range(b"b", None)], vec![], 93), overlap);
        assert_eq!(refused(&rig, &[range(b"c", Some(b"d")), range(b"a", Some(b"b"))], vec![], 93), overlap);
        rig.compare();
    }
}

/// One value of a length that is one more than allowed, without a copy per call.
struct TooLong(Vec<u8>);
impl Edits for TooLong {
    fn current(&self) -> Option<(&[u8], Change<'_>)> {
        Some((b"k", Change::put(&self.0)))
    }
    fn advance(&mut self) {}
}

#[test]
fn a_value_above_one_gibibyte_is_refused() {
    let rig = Rig::new(4096, 0);
    let mut txn = rig.pager.begin().unwrap();
    let mut edits = TooLong(vec![0; halodb_btree::MAX_VALUE_LEN + 1]);
    let result = merge(&mut txn, &rig.tree(), &[], &mut edits, 93, u64::MAX);
    assert!(matches!(result, Err(Error::Invalid(what)) if what.starts_with("a value of 1073741825 bytes")));
}

#[test]
fn a_chunk_ends_near_its_limit_and_takes_the_rest_as_it_is() {
    let mut rig = filled(20_000, 100);
    let base = rig.tree();
    let mut txn = rig.pager.begin().unwrap();
    let batch = puts(0..20_000, 99);
    let mut edits = VecEdits { edits: batch.edits.clone().into_iter().collect(), at: 0 };
    let merged = merge(&mut txn, &base, &[], &mut edits, 93, 50).unwrap();
    assert!(merged.merged_up_to.is_some());
    assert!((50..90).contains(&merged.pages_written), "{} pages", merged.pages_written);
    drop(txn);
    let chunks = rig.merge(&batch, 93, 50);
    assert!((5..20).contains(&chunks), "{chunks} chunks");
}

#[test]
fn trees_and_cursors_go_to_other_threads() {
    fn check<T: Send + Sync>(_: T) {}
    let rig = filled(10, 1);
    check(rig.tree());
    check(rig.tree().cursor());
}

#[test]
fn a_quick_check_accounts_for_what_it_does_not_read() {
    let mut rig = filled(1000, 10);
    rig.merge(&puts(5..8, 9000), 93, u64::MAX);
    let (mut quick, mut deep) = (PageSet::default(), PageSet::default());
    rig.tree().check(Depth::Quick, &mut quick).unwrap();
    rig.tree().check(Depth::Deep, &mut deep).unwrap();
    assert_eq!(quick.len(), deep.len());
}

/// Two entries may take more than the fill asks for and still fit one page; the page was then written with nothing
/// left to make the next separator from.
#[test]
fn two_great_entries_that_fill_a_page_are_followed_by_a_third() {
    for fill_percent in [50, 60, 93, 100] {
        let mut rig = Rig::new(4096, 11);
        let edits = [(0, 900), (8, 900), (9, 0), (16, 900), (17, 1), (24, 800), (32, 700)];
        let edits = edits.map(|(n, len)| (Keys::Tall.key(n), Some(vec![7; len])));
        rig.merge(&Sorted { edits: edits.into(), ..Sorted::default() }, fill_percent, u64::MAX);
    }
}
