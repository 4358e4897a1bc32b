//! Puts the words of a sentence into a filter and asks for them and for others.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use halodb_bloom::{Builder, Filter};

fn main() {
    // The crate takes hashes. A filter that is stored needs a hash that never changes (xxh3, for example); this one lives for a moment.
    let hash = |word: &str| BuildHasherDefault::<DefaultHasher>::default().hash_one(word);

    let sentence = "the quick brown fox jumps over the lazy dog";
    let mut builder = Builder::new(16);
    for word in sentence.split(' ') {
        builder.insert(hash(word));
    }
    let keys = builder.len();
    let mut bytes = Vec::new();
    builder.finish_into(&mut bytes);
    println!("{keys} keys in {} bytes", bytes.len());

    let filter = Filter::new(&bytes).expect("a builder writes whole blocks");
    for word in ["fox", "dog", "cat", "sloth"] {
        let answer = if filter.contains(hash(word)) { "probably there" } else { "certainly not there" };
        println!("{word}: {answer}");
    }
}
