//! [`Text`]: records that look like a catalogue of packages: keys with long shared prefixes, values of mixed size that
//! compress.
//!
//! ```text
//! pkg/python3-velora-tami-dev    {"name":"python3-velora-tami-dev","section":"net","size":40321,"text":"…"}
//! ```
//!
//! Keys have 14 to about 50 bytes, values 100 bytes to 2 KB, most of them below 500. Everything follows from a seed and
//! an index; no file is read.

use crate::data::{mix, pick};

const STEMS: [&str; 16] = [
    "python3",
    "golang-github",
    "node",
    "ruby",
    "librust",
    "libjs",
    "r-cran",
    "haskell",
    "fonts",
    "php",
    "gir1.2",
    "texlive",
    "gnome",
    "kde",
    "ocaml",
    "elpa",
];
const TAILS: [&str; 8] = ["", "-dev", "-doc", "-common", "-data", "-tools", "-dbgsym", "-bin"];
const SECTIONS: [&str; 8] = ["net", "libs", "devel", "science", "text", "admin", "math", "web"];
const SYLLABLES: [&str; 16] =
    ["ve", "lo", "ra", "ta", "mi", "ku", "den", "sor", "pha", "bri", "zu", "gon", "xi", "nel", "wo", "jak"];

/// Different words in keys; a prefix of stem and first word is one of `STEMS × WORDS`.
const WORDS: u64 = 256;

/// Bits of the number that stands for a key: stem, two words, tail.
const KEY_BITS: u32 = 4 + 8 + 8 + 3;

/// Bytes of running text that values are cut from.
const CORPUS_BYTES: usize = 64 << 10;

/// The generator.
pub(crate) struct Text {
    seed: u64,
    words: Vec<String>,
    corpus: String,
}

impl Text {
    /// Groups of keys that share stem and first word.
    pub(crate) const PREFIXES: u64 = STEMS.len() as u64 * WORDS;

    /// The generator for a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let syllable = |number: u64| SYLLABLES[(number % 16) as usize];
        // The first two syllables number the words, so that they differ; a third one makes their lengths vary.
        let words: Vec<_> = (0..WORDS)
            .map(|word| {
                let third = if mix(word).is_multiple_of(3) { syllable(mix(word) >> 8) } else { "" };
                format!("{}{}{third}", syllable(word / 16), syllable(word))
            })
            .collect();
        let mut corpus = String::with_capacity(CORPUS_BYTES + 16);
        let mut step = 0;
        while corpus.len() < CORPUS_BYTES {
            // Squaring makes some words frequent and most rare, as in prose.
            let random = pick(seed, 1, step, WORDS * WORDS);
            corpus.push_str(&words[((random * random / (WORDS * WORDS)) / WORDS) as usize]);
            corpus.push(if step % 11 == 10 { ',' } else { ' ' });
            step += 1;
        }
        Text { seed, words, corpus }
    }

    /// Number of the key of an index: a bijection, so that no two indices share one.
    fn number(&self, index: u64) -> u64 {
        let mask = (1 << KEY_BITS) - 1;
        (index.wrapping_mul(0x9e37_79b9_7f4a_7c15 | 1) ^ mix(self.seed)) & mask
    }

    /// The group of the index's key, below [`PREFIXES`](Text::PREFIXES).
    pub(crate) fn prefix_of(&self, index: u64) -> u64 {
        self.number(index) & (Self::PREFIXES - 1)
    }

    /// Writes what the keys of a group begin with.
    pub(crate) fn prefix(&self, group: u64, out: &mut Vec<u8>) {
        out.clear();
        for part in ["pkg/", STEMS[(group % 16) as usize], "-", &self.words[(group / 16 % WORDS) as usize], "-"] {
            out.extend_from_slice(part.as_bytes());
        }
    }

    /// Writes the key of an index. Indices up to eight million have different keys.
    pub(crate) fn key(&self, index: u64, out: &mut Vec<u8>) {
        let number = self.number(index);
        self.prefix(number & (Self::PREFIXES - 1), out);
        out.extend_from_slice(self.words[((number >> 12) % WORDS) as usize].as_bytes());
        out.extend_from_slice(TAILS[(number >> 20) as usize % TAILS.len()].as_bytes());
    }

    /// Writes the value of an index whose key is `key`.
    pub(crate) fn value(&self, index: u64, key: &[u8], out: &mut Vec<u8>) {
        let random = mix(self.seed ^ index ^ 0x7465_7874);
        // One value in sixteen is long, as descriptions with many dependencies are.
        let len = if random.is_multiple_of(16) { 500 + (random >> 8) % 1_400 } else { 40 + (random >> 8) % 380 };
        let begin = (random >> 32) as usize % (CORPUS_BYTES - len as usize);
        out.clear();
        out.extend_from_slice(b"{\"name\":\"");
        out.extend_from_slice(&key[4..]);
        out.extend_from_slice(b"\",\"section\":\"");
        out.extend_from_slice(SECTIONS[(random >> 4) as usize % 8].as_bytes());
        out.extend_from_slice(b"\",\"size\":");
        let digits = 10_000 + random % 89_999;
        let mut divisor = 10_000;
        while divisor > 0 {
            out.push(b'0' + (digits / divisor % 10) as u8);
            divisor /= 10;
        }
        out.extend_from_slice(b",\"text\":\"");
        out.extend_from_slice(&self.corpus.as_bytes()[begin..begin + len as usize]);
        out.extend_from_slice(b"\"}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_differ_and_begin_with_the_prefix_of_their_group() {
        let text = Text::new(7);
        let mut keys = HashSet::new();
        let (mut key, mut prefix) = (Vec::new(), Vec::new());
        for index in 0..100_000 {
            text.key(index, &mut key);
            text.prefix(text.prefix_of(index), &mut prefix);
            assert!(key.starts_with(&prefix), "{}", key.escape_ascii());
            assert!((12..=60).contains(&key.len()), "{}", key.escape_ascii());
            assert!(keys.insert(key.clone()), "{}", key.escape_ascii());
        }
    }

    #[test]
    fn prefixes_of_different_groups_differ() {
        let text = Text::new(7);
        let mut prefix = Vec::new();
        let seen: HashSet<_> = (0..Text::PREFIXES)
            .map(|group| {
                text.prefix(group, &mut prefix);
                prefix.clone()
            })
            .collect();
        assert_eq!(seen.len() as u64, Text::PREFIXES);
    }

    #[test]
    fn values_are_json_of_100_bytes_to_2_kb() {
        let text = Text::new(7);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for index in 0..2_000 {
            text.key(index, &mut key);
            text.value(index, &key, &mut value);
            assert!((90..=2_048).contains(&value.len()), "{}", value.len());
            let parsed: serde_json::Value = serde_json::from_slice(&value).unwrap();
            assert_eq!(parsed["name"].as_str().unwrap().as_bytes(), &key[4..]);
        }
    }
}
