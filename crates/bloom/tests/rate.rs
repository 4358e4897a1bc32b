//! The share of absent keys let through is the one the theory of split blocks foretells.
//!
//! With λ keys in a block on average their number is Poisson distributed. A block of i keys lets an absent key through if
//! in each of its 8 words one of i random bits out of 32 is the asked one: (1 - (1 - 1/32)^i)^8.

use halodb_bloom::{Builder, Filter};

const KEYS: u64 = 200_000;
const QUESTIONS: u64 = 3_000_000;

/// SplitMix64 (Steele, Lea, Flood 2014): a bijection, so different numbers are different hashes.
fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn theory(keys_per_block: f64) -> f64 {
    let mut probability = (-keys_per_block).exp();
    let mut rate = 0.0;
    for keys in 0..1000 {
        rate += probability * (1.0 - (31.0_f64 / 32.0).powi(keys)).powi(8);
        probability *= keys_per_block / f64::from(keys + 1);
    }
    rate
}

/// `expected_percent` pins the theory's value itself, rounded to two figures.
fn check(bits_per_key: u32, expected_percent: f64) {
    let mut builder = Builder::new(bits_per_key);
    for key in 1..=KEYS {
        builder.insert(mix(key));
    }
    let mut bytes = Vec::new();
    builder.finish_into(&mut bytes);
    let filter = Filter::new(&bytes).expect("whole blocks");

    let passed = (KEYS + 1..=KEYS + QUESTIONS).filter(|&n| filter.contains(mix(n))).count();
    let measured = passed as f64 / QUESTIONS as f64;
    let theory = theory(KEYS as f64 / (bytes.len() / 32) as f64);
    println!("{bits_per_key} bits: measured {:.4} %, theory {:.4} %", measured * 100.0, theory * 100.0);
    assert!(
        (measured / theory - 1.0).abs() < 0.10,
        "{bits_per_key} bits per key: measured {measured}, theory {theory}"
    );
    assert!(
        (theory * 100.0 / expected_percent - 1.0).abs() < 0.05,
        "{bits_per_key} bits per key: theory {theory}, documented {expected_percent} %"
    );
}

#[test]
fn eight_bits_per_key_let_the_foretold_share_through() {
    check(8, 3.3);
}

#[test]
fn eleven_bits_per_key_let_the_foretold_share_through() {
    check(11, 0.82);
}

#[test]
fn sixteen_bits_per_key_let_the_foretold_share_through() {
    check(16, 0.13);
}
