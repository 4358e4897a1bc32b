//! `doctor` and `doctor --salvage`: what they say, what they save, and with which exit code.

mod common;

use common::Place;
use serde_json::Value;
use std::fs;

fn flip(place: &Place, file: &str, offset: usize) {
    let path = place.path(file);
    let mut bytes = fs::read(&path).expect("the file");
    bytes[offset] ^= 1;
    fs::write(&path, bytes).expect("written");
}

/// Offset of the first leaf of a tree.
fn leaf(place: &Place, file: &str) -> usize {
    let bytes = fs::read(place.path(file)).expect("the file");
    let begins = |page: &usize| bytes[page * 16384 + 24] == 1 && bytes[page * 16384 + 8] as usize == *page;
    (2..bytes.len() / 16384).find(begins).expect("a leaf") * 16384
}

#[test]
fn a_sound_database_is_exit_code_0() {
    let place = Place::new();
    place.fill(50, 10);
    let run = place.run(&["doctor"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out().contains("sound: 50 entries"), "{}", run.out());
    place.run(&["doctor", "--db", "nothing"]).expect(2, "");
}

#[test]
fn what_loses_nothing_is_exit_code_1_and_comes_back_whole() {
    let place = Place::new();
    place.fill(50, 10);
    fs::remove_file(place.path("data/MANIFEST")).expect("removed");
    assert_ne!(place.run(&["get", "0007"]).code, 0);
    let run = place.run(&["doctor", "--format", "json"]);
    assert_eq!(run.code, 1, "{run:?}");
    let answer: Value = serde_json::from_str(run.out().trim()).expect("JSON");
    assert_eq!((&answer["health"], &answer["lost_entries"]), (&"repairable".into(), &0.into()));
    let run = place.run(&["doctor", "--salvage", "saved"]);
    assert_eq!(run.code, 1, "{run:?}");
    assert!(run.out().contains("salvaged 50 keys into saved"), "{}", run.out());
    place.run(&["len", "--db", "saved"]).expect(0, "50\n");
    place.run(&["get", "0007", "--db", "saved"]).expect(0, "xxxxxxxxxx\n");
    place.run(&["doctor", "--salvage", "saved"]).expect(2, "").says("not empty");
}

#[test]
fn lost_data_is_exit_code_4_and_the_rest_is_saved() {
    let place = Place::new();
    place.fill(3000, 10);
    let at = leaf(&place, "data/p000/tree.db");
    flip(&place, "data/p000/tree.db", at + 100);
    let before = fs::read(place.path("data/p000/tree.db")).expect("the file");
    let run = place.run(&["doctor"]);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.out().contains(&format!("p000/tree.db at {at}: ")), "{}", run.out());
    run.says("--salvage");
    assert_eq!(place.run(&["doctor", "--salvage", "saved"]).code, 4);
    let left: u32 = place.run(&["len", "--db", "saved"]).out().trim().parse().expect("a number");
    assert!((1..3000).contains(&left), "{left}");
    assert_eq!(fs::read(place.path("data/p000/tree.db")).expect("the file"), before);
}

#[test]
fn time_is_turned_back_only_on_a_word_and_only_if_it_is_ahead() {
    let place = Place::new();
    assert_eq!(place.run(&["put", "k", "v", "--ttl", "1h"]).code, 0);
    let run = place.run(&["doctor", "--turn-back"]);
    assert_eq!(run.code, 2, "{run:?}");
    assert!(run.stderr.contains("--turn-back --yes"), "{run:?}");
    let run = place.run(&["doctor", "--turn-back", "--yes"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out().contains("nothing was changed"), "{run:?}");
    let run = place.run(&["doctor", "--turn-back", "--yes", "--format", "json"]);
    assert_eq!(run.out().trim(), "{\"turned_back_seconds\":null}");
    place.run(&["get", "k"]).expect(0, "v\n");
}
