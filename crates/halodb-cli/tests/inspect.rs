//! `inspect`: what is inside the files, of a sound, a damaged and an open database.

mod common;

use common::Place;
use serde_json::Value;
use std::fs;

fn json(place: &Place, arguments: &[&str], code: i32) -> Value {
    let run = place.run(&[arguments, &["--format", "json"]].concat());
    assert_eq!(run.code, code, "{run:?}");
    serde_json::from_str(run.out().trim()).expect("JSON")
}

fn flip(place: &Place, file: &str, offset: u64) {
    let path = place.path(file);
    let mut bytes = fs::read(&path).expect("the file");
    bytes[offset as usize] ^= 1;
    fs::write(&path, bytes).expect("written");
}

/// The page of the root of partition 0.
fn root(place: &Place) -> u64 {
    let metas = json(place, &["inspect", "meta"], 0);
    let relied = metas[0]["relied_on"].as_u64().expect("one is relied on");
    metas[0]["slots"][relied as usize]["fields"]["roots"][0]["at"]["page"].as_u64().expect("a root")
}

#[test]
fn metas_are_shown_field_by_field_and_the_one_relied_on_is_named() {
    let place = Place::new();
    place.fill(500, 100);
    let run = place.run(&["inspect", "meta", "--partition", "0"]);
    assert_eq!(run.code, 0, "{run:?}");
    for text in
        ["slot 0 at 0: valid", "slot 1 at 16384: valid", "relied on", "generation", "applied", "An open relies on slot"]
    {
        assert!(run.out().contains(text), "{text:?} is not in: {}", run.out());
    }
    // The meta that counts is damaged: the other one takes over, and that is no damage yet.
    let metas = json(&place, &["inspect", "meta"], 0);
    let relied = metas[0]["relied_on"].as_u64().expect("one is relied on");
    flip(&place, "data/p000/tree.db", relied * 16384 + 700);
    let metas = json(&place, &["inspect", "meta"], 0);
    assert_eq!(metas[0]["relied_on"], 1 - relied);
    assert!(metas[0]["slots"][relied as usize]["verdict"].as_str().is_some_and(|text| text.starts_with("damaged")));
    flip(&place, "data/p000/tree.db", (1 - relied) * 16384 + 700);
    place.run(&["inspect", "meta"]).says("no meta of").says("doctor");
    assert_eq!(json(&place, &["inspect", "meta"], 4)[0]["relied_on"], Value::Null);
}

#[test]
fn a_page_says_what_it_is_who_refers_to_it_and_what_it_holds() {
    let place = Place::new();
    place.fill(500, 100);
    let root = root(&place);
    let number = root.to_string();
    let page = json(&place, &["inspect", "page", &number], 0);
    assert_eq!((&page["kind"]["name"], &page["verdict"]["sound"]), (&"branch".into(), &true.into()));
    assert_eq!((&page["standing"]["by"]["meta"], &page["standing"]["same_stamp"]), (&"root".into(), &true.into()));
    let leaf = page["children"][1]["at"]["page"].as_u64().expect("a child").to_string();
    let run = place.run(&["inspect", "page", &leaf, "--limit", "2", "--hex"]);
    assert_eq!(run.code, 0, "{run:?}");
    for text in [
        "sound: checksum",
        &format!("branch {root}, child 1, refers to it with this stamp"),
        "\"xxxxxxxxxx",
        "more of",
        "heads",
        "records",
        "page id",
    ] {
        assert!(run.out().contains(text), "{text:?} is not in: {}", run.out());
    }
    place.run(&["inspect", "page", "1"]).expect(2, "").says("inspect meta");
    place.run(&["inspect", "page", "99999"]).expect(2, "").says("no page 99999");
    place.run(&["inspect", "page", "2", "--partition", "9"]).expect(2, "").says("there is no partition 9");
}

#[test]
fn damage_is_told_and_is_exit_code_4() {
    let place = Place::new();
    place.fill(500, 100);
    let root = root(&place);
    flip(&place, "data/p000/tree.db", root * 16384 + 12_000);
    let run = place.run(&["inspect", "page", &root.to_string()]);
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.out().contains("checksum") && run.out().contains("children"), "{}", run.out());
    // A file of something else in the place of a page file, and of the MANIFEST.
    fs::write(place.path("data/p000/tree.db"), "nothing of ours".repeat(5000)).expect("written");
    let run = place.run(&["inspect", "meta", "--partition", "0"]);
    assert!(run.code == 4 && run.out().contains("does not begin with HALOPAGE"), "{run:?}");
    assert_eq!(place.run(&["inspect", "page", "3"]).code, 4);
    fs::remove_file(place.path("data/MANIFEST")).expect("removed");
    place.run(&["inspect", "wal"]).says("the MANIFEST cannot be read");
    place.run(&["inspect", "wal", "--db", "nowhere"]).expect(2, "").says("no database");
}

#[test]
fn a_database_of_another_version_is_named() {
    let place = Place::new();
    place.fill(5, 10);
    let path = place.path("data/MANIFEST");
    let mut bytes = fs::read(&path).expect("the file");
    bytes[8] = 9;
    fs::write(&path, bytes).expect("written");
    place.run(&["inspect", "meta"]).expect(4, "").says("version 9");
}

#[test]
fn the_log_is_shown_record_by_record() {
    let place = Place::new();
    place.pipe("put a 1\nput b 2 --ttl 1h\ndelete a b\ndelete-range --from a --to m\n").expect(0, "OK\nOK\n2\n0\n");
    let run = place.run(&["inspect", "wal"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out().contains("live, needed") && run.out().contains("The log ends here"), "{}", run.out());
    let segment = json(&place, &["inspect", "wal", "--segment", "1"], 0);
    let what: Vec<&str> =
        segment["entries"].as_array().expect("records").iter().filter_map(|e| e["what"].as_str()).collect();
    for expected in ["1 put", "1 put with an expiry", "2 delete"] {
        assert!(what.contains(&expected), "{what:?}");
    }
    let first = segment["entries"][0]["offset"].as_u64().expect("an offset");
    assert_eq!(first, 512);
    let text = place.run(&["inspect", "wal", "--segment", "1", "--limit", "1"]).out();
    assert!(text.contains("at       512  record 1") && text.contains("--limit shows more"), "{text}");
    place.run(&["inspect", "wal", "--segment", "7"]).expect(2, "").says("there is no segment 7");
    // A record in the middle that was synchronised.
    flip(&place, "data/wal/0000000001.log", 512 + 48);
    let run = place.run(&["inspect", "wal", "--segment", "1"]);
    assert_eq!(run.code, 4, "{run:?}");
    run.says("It was synchronised");
}

#[test]
fn without_a_word_behind_it_the_words_are_named() {
    let place = Place::new();
    place.run(&["inspect"]).expect(2, "").says("error: a command is missing").says("wal ").says("meta ");
    place.run(&["config"]).expect(2, "").says("explain");
    assert_eq!(place.pipe("put k v\ninspect\nget k\n").out(), "OK\nv\n");
}

#[test]
fn an_open_database_is_looked_at_too() {
    let place = Place::new();
    let run = place.pipe("put k v\ninspect meta --partition 0\ninspect wal\nget k\n");
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.out().contains("An open relies on slot") && run.out().ends_with("v\n"), "{}", run.out());
}

#[test]
fn whatever_the_files_hold_the_program_answers() {
    let place = Place::new();
    place.fill(300, 100);
    place.run(&["put", "long", &"x".repeat(20_000)]).expect(0, "OK\n");
    let paths = ["data/p000/tree.db", "data/wal/0000000001.log"];
    let whole = paths.map(|path| fs::read(place.path(path)).expect("the file"));
    let mut state = 3u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..40 {
        let which = draw(2);
        let mut bytes = whole[which].clone();
        let page = draw(bytes.len().div_ceil(16384).min(8));
        for _ in 0..=draw(6) {
            bytes[page * 16384 + draw(300)] = draw(256) as u8;
        }
        fs::write(place.path(paths[which]), &bytes).expect("written");
        let number = page.max(2).to_string();
        for arguments in [
            &["inspect", "meta"][..],
            &["inspect", "page", &number, "--hex"],
            &["inspect", "page", &number, "--format", "json"],
            &["inspect", "wal"],
            &["inspect", "wal", "--segment", "1", "--format", "json"],
        ] {
            let run = place.run(arguments);
            assert!([0, 2, 4].contains(&run.code) && !run.stderr.contains("panicked"), "{arguments:?}: {run:?}");
        }
        fs::write(place.path(paths[which]), &whole[which]).expect("written");
    }
}
