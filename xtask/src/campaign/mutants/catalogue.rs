//! [`ALL`]: the names of the planted faults, what each does, and which campaign is asked first.
//!
//! A name is `place.fault`: the crate whose code holds it, or `disk` for those that [`super::disk`] makes.

use std::fmt;

/// The campaigns that may kill a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Killer {
    /// Losses of power.
    Crash,
    /// Calls that fail.
    Faults,
    /// Damaged files.
    Corrupt,
    /// Random operations against a map.
    Model,
}

impl fmt::Display for Killer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Killer::Crash => "crash",
            Killer::Faults => "faults",
            Killer::Corrupt => "corrupt",
            Killer::Model => "model",
        })
    }
}

impl Killer {
    /// All of them, `self` first.
    pub fn and_the_others(self) -> Vec<Killer> {
        let mut order = vec![Killer::Crash, Killer::Faults, Killer::Corrupt, Killer::Model];
        order.sort_by_key(|&killer| killer != self);
        order
    }
}

/// One planted fault.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, in the code and on the command line.
    pub name: &'static str,
    /// What is wrong, as a clause.
    pub what: &'static str,
    /// Asked first, to save time; the others are asked if it finds nothing.
    pub first: Killer,
}

/// The engine as it is: must survive, or a death means nothing.
pub const NONE: Mutant = Mutant { name: "none", what: "nothing: the control", first: Killer::Crash };

const fn crash(name: &'static str, what: &'static str) -> Mutant {
    Mutant { name, what, first: Killer::Crash }
}

const fn faults(name: &'static str, what: &'static str) -> Mutant {
    Mutant { name, what, first: Killer::Faults }
}

const fn corrupt(name: &'static str, what: &'static str) -> Mutant {
    Mutant { name, what, first: Killer::Corrupt }
}

const fn model(name: &'static str, what: &'static str) -> Mutant {
    Mutant { name, what, first: Killer::Model }
}

/// All planted faults.
pub const ALL: &[Mutant] = &[
    crash("disk.skip-log-sync", "the log is acknowledged without a sync"),
    crash("disk.skip-log-header-sync", "a segment's first sector is not synced"),
    crash("disk.skip-prepared-sync", "a prepared segment gets its name before its zeros are synced"),
    crash("disk.skip-log-dir-sync", "the directory of the log is never synced"),
    crash("disk.log-after-sync", "log writes reach the system after the sync that was meant for them"),
    crash("disk.skip-data-sync", "pages are not synced before the meta"),
    crash("disk.skip-meta-sync", "metas are not synced"),
    crash("disk.meta-before-pages", "the meta is written before the pages it reaches"),
    crash("disk.skip-tree-sync", "a new page file gets its name before its content is synced"),
    crash("disk.skip-partition-dir-sync", "the directories of the partitions are never synced"),
    crash("disk.skip-manifest-sync", "the MANIFEST gets its name before its content is synced"),
    crash("disk.skip-database-dir-sync", "the database's directory is never synced"),
    crash("disk.skip-parent-dir-sync", "the directory that holds the database's is never synced"),
    crash("wal.begin-before-sync", "the header of segment n+1 is written before segment n is synced"),
    crash("wal.written-is-synced", "a group that was only written counts as synced"),
    faults("wal.retry-failed-sync", "a failed log sync is tried again and believed"),
    faults("wal.publish-before-sync", "readers see a commit before it is as durable as asked"),
    faults("wal.ignore-short-write", "a short write of the log is taken for a whole one"),
    crash("wal.append-after-tail", "after a crash the log goes on in the same segment, behind what survived"),
    crash("wal.no-gap", "the numbers of a dropped tail are given out again"),
    crash("wal.no-open-record", "no open record follows a clean-close marker"),
    faults("wal.trust-tail", "the surviving tail is not written again and synced"),
    faults("wal.trust-names", "after a clean close, prepared segments are used whose names may be in the cache only"),
    crash("wal.trust-old-marker", "after an orderly end the log is taken to end there, whatever follows"),
    faults("wal.trust-close-marker", "a close marker that was only read counts as durable"),
    crash("wal.skip-torn-record", "only the torn record is dropped, valid ones behind it are replayed"),
    crash("wal.ignore-payload-checksum", "payloads are not verified"),
    crash("wal.ignore-header-checksum", "record headers are not verified"),
    crash("wal.number-not-in-checksum", "the segment's number is left out of the checksum"),
    corrupt("wal.no-survey", "nothing behind the first bad record is looked at for proofs"),
    corrupt("wal.rot-is-tail", "a bad record below what is proven synced is dropped as a tail"),
    corrupt("wal.no-witness", "no witness is written behind a group that is synced"),
    crash("wal.witness-ahead", "the witness of a group claims that the group is synced already"),
    crash("wal.overstate-synced", "records claim proof for what is only written"),
    crash("wal.recycle-early", "segments are recycled that are still needed"),
    faults("pager.trust-meta", "the meta found at open is not written again"),
    faults("pager.secure-without-rewrite", "the other slot is overwritten before the chosen meta is synced"),
    crash("pager.one-slot", "every meta goes to the first slot"),
    faults("pager.no-poison", "a failed sync or meta write does not poison"),
    crash("pager.reuse-early", "pages are reused one generation early"),
    faults("pager.reuse-under-readers", "pages are reused that a snapshot reads"),
    faults("pager.retry-failed-sync", "a failed sync of a page file is tried again and believed"),
    crash("pager.republish-nothing", "the second slot does not get the position in the log"),
    crash("pager.leak-page", "a page given up is forgotten"),
    crash("pager.free-twice", "a page is given up twice"),
    crash("pager.list-omits-pending", "the stored free list omits pending pages"),
    crash("pager.cut-early", "the file is cut while the older meta needs it"),
    corrupt("pager.keep-verified", "a recycled page counts as verified"),
    corrupt("pager.ignore-page-checksum", "pages are not verified"),
    corrupt("pager.ignore-meta-checksum", "metas are not verified"),
    corrupt("pager.ignore-stamp", "a page of another generation is taken for the one its parent means"),
    corrupt("pager.ignore-page-id", "a page of another place is taken for the one its parent means"),
    crash("btree.stale-filter", "a new leaf keeps the filter of another one"),
    crash("btree.filter-misses-key", "a filter lacks a key of its leaf"),
    crash("btree.count-short", "a branch counts one child too few"),
    crash("btree.short-separator", "a separator does not tell its neighbours apart"),
    crash("btree.leak-value", "the extent of a replaced value is not given up"),
    crash("btree.seam-loses-entry", "the last entry before a seam of a divided merge is lost"),
    crash("btree.seam-leaks-page", "a page with keys of two parts of a merge is not given up"),
    crash("btree.compact-drops-entry", "compacting leaves the last entry of a leaf out"),
    crash("btree.compact-frees-nothing", "an extent that is moved is not given up"),
    crash("partition.stale-after-compact", "the next merge begins with the tree from before compacting"),
    crash("partition.pages-before-log", "a merge does not wait for the log to be synced"),
    crash("partition.idle-applies-visible", "an idle partition's position passes what is durable"),
    crash("partition.applied-early", "the meta of a first chunk says that all is merged"),
    crash("partition.applied-reset", "the meta of a chunk forgets the position in the log"),
    crash("partition.chunk-skips-key", "a chunk leaves out its first key"),
    crash("partition.recycle-by-newest", "log is given back that the older meta needs"),
    crash("partition.half-batch", "half of a batch is replayed"),
    crash("partition.replay-without-ranges", "range deletes are not replayed"),
    crash("partition.commit-before-parts", "the last part of a large batch is written behind its commit"),
    crash("partition.parts-without-commit", "the parts of a large batch are replayed without its commit"),
    crash("partition.claims-parts", "a tree claims the parts of a large batch whose layer is not merged"),
    model("partition.run-keeps-oldest", "of what was spilled of a key, the oldest is kept"),
    model("partition.validate-ignores-runs", "a commit overlooks writes of a large batch in files"),
    crash("partition.freeze-too-far", "a frozen memtable claims the record after its last one"),
    crash("partition.manifest-first", "the MANIFEST is there before what it names"),
    crash("partition.count-asks-tree-only", "a count does not look under a key in older memtables"),
    crash("partition.count-merged-twice", "a count takes a key that is merged already from the memtable as well"),
    crash("partition.backup-in-place", "a backup is made where it is to be, its MANIFEST first"),
    crash("partition.backup-moves", "a backup looks at each partition when its turn comes"),
    crash("partition.restore-trusts", "a restore does not compare the backup with its checksums"),
    crash("partition.count-ignores-expiry", "a count takes entries that have expired for live ones"),
    crash("partition.drop-uncovers", "a merge drops an entry that has expired, and leaves what it hides"),
    faults("partition.close-beyond-mark", "an orderly end stores a time that only the close marker knows"),
    crash("partition.drop-in-doubt", "what expires by a clock that is in doubt is dropped from the files"),
    crash("partition.time-restarts", "after a crash time is that of the machine's clock"),
    crash("partition.mark-not-synced", "time goes on to a mark that is not synced yet"),
    model("partition.validate-without-ranges", "a commit overlooks keys that were written in a range it rests on"),
    model("partition.validate-without-merged", "a commit overlooks writes that were merged since its snapshot"),
    crash("partition.validate-ignores-expiry", "a commit overlooks what it rests on and has expired since"),
    faults("partition.snapshot-moves", "a snapshot's gets see later writes"),
    model("halodb.keyspace-number-reused", "a new keyspace gets the number of a dropped one"),
    model("halodb.drop-leaves-keys", "a keyspace is dropped and its keys are left"),
    model("halodb.membership-unjudged", "a write does not look whether its keyspace is still there"),
    model("halodb.keep-forgets-expiry", "a put that is to keep a key's time makes it live for ever"),
    model("halodb.transaction-forgets-expiry", "what a transaction puts for a time lives for ever"),
];

/// The mutant of a name.
pub fn named(name: &str) -> Option<&'static Mutant> {
    ALL.iter().chain([&NONE]).find(|mutant| mutant.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::schedules::ONLY_HERE;
    use std::collections::HashSet;
    use std::path::Path;

    #[test]
    fn no_name_is_given_twice() {
        let names: HashSet<_> = ALL.iter().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.len() >= 40);
    }

    #[test]
    fn the_names_in_the_code_are_those_of_the_catalogue() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
        let mut in_code = HashSet::new();
        for name in ["wal", "pager", "btree", "memtable", "partition", "halodb"] {
            collect(&crates.join(name).join("src"), &mut in_code);
        }
        let planted = |name: &&str| !name.starts_with("disk.");
        let names = ALL.iter().map(|m| m.name).filter(planted).chain(ONLY_HERE.iter().copied());
        let listed: HashSet<String> = names.map(str::to_owned).collect();
        assert_eq!(in_code, listed);
    }

    fn collect(dir: &Path, names: &mut HashSet<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, names);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = text.split("mutant(\"").skip(1);
            names.extend(calls.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}
