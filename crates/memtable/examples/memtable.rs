//! Two snapshots of one table, and a range delete between them.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use halodb_memtable::{Entry, Memtable};

fn print(table: &Arc<Memtable>, at: u64) {
    println!("as of {at}:");
    let mut cursor = table.cursor(at);
    cursor.seek_first();
    while let (Some(key), Some(found)) = (cursor.key(), cursor.found()) {
        let key = String::from_utf8_lossy(key);
        match found.entry {
            Entry::Value(value) => println!("  {key} = {} (written at {})", String::from_utf8_lossy(value), found.seq),
            Entry::Expiring(value, at_ms) => println!("  {key} = {} until {at_ms}", String::from_utf8_lossy(value)),
            Entry::Tombstone => println!("  {key} was deleted at {}", found.seq),
        }
        cursor.next();
    }
}

fn main() {
    let hasher = RandomState::new();
    let table = Arc::new(Memtable::new());
    let fruits = [("apple", "red"), ("banana", "yellow"), ("cherry", "dark red"), ("apple", "green")];
    for (seq, (fruit, colour)) in (1..).zip(fruits) {
        table.insert(hasher.hash_one(fruit.as_bytes()), fruit.as_bytes(), seq, Entry::Value(colour.as_bytes()));
    }
    table.delete_range(b"b", None, 5);
    table.insert(hasher.hash_one(b"cherry".as_slice()), b"cherry", 6, Entry::Value(b"sour"));

    print(&table, 3);
    print(&table, table.last_seq());
    println!("{} versions, {} bytes accounted", table.versions(), table.size_bytes());
}
