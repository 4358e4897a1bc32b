//! Commands on keyspaces, and those that answer with what they found while they wrote.

mod common;

use common::Place;

#[test]
fn a_keyspace_is_named_by_an_option_and_made_by_the_first_write() {
    let place = Place::new();
    place.run(&["put", "k", "default"]).expect(0, "OK\n");
    place.run(&["get", "k", "--keyspace", "users"]).expect(2, "").says("there is no keyspace `users`").says("hint: ");
    place.run(&["len", "--keyspace", "users", "--format", "json"]).expect(2, "").says("\"kind\":\"no_keyspace\"");
    place.run(&["keyspaces"]).expect(0, "default\n");
    place.run(&["--keyspace", "users", "put", "k", "user"]).expect(0, "OK\n");
    place.run(&["put", "--keyspace", "users", "l", "user 2"]).expect(0, "OK\n");
    place.run(&["get", "k"]).expect(0, "default\n");
    place.run(&["get", "k", "--keyspace", "users"]).expect(0, "user\n");
    place.run(&["scan", "--keyspace", "users"]).expect(0, "k\tuser\nl\tuser 2\n");
    place.run(&["len", "--keyspace", "users"]).expect(0, "2\n");
    place.run(&["len", "--keyspace", "default"]).expect(0, "1\n");
    place.run(&["keyspaces"]).expect(0, "default\nusers\n");
    let json = "[{\"keyspace\":\"default\",\"keys\":1},{\"keyspace\":\"users\",\"keys\":2}]\n";
    let listed = place.run(&["keyspaces", "--format", "json"]).out();
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(parse(&listed), parse(json));
    place.run(&["keyspaces", "--format", "csv"]).expect(0, "keyspace,keys\n\"default\",1\n\"users\",2\n");
    place.run(&["put", "k", "v", "--keyspace", ""]).expect(2, "").says("the name of the keyspace is empty");
}

#[test]
fn a_keyspace_goes_with_everything_in_it() {
    let place = Place::new();
    place.run(&["put", "k", "v", "--keyspace", "old"]).expect(0, "OK\n");
    place.run(&["drop", "old"]).expect(2, "").says("--yes");
    place.run(&["drop", "old", "--yes"]).expect(0, "OK\n");
    place.run(&["drop", "old", "--yes"]).expect(1, "").says("(not found)");
    place.run(&["drop", "default", "--yes"]).expect(2, "").says("cannot be dropped");
    place.run(&["put", "l", "v", "--keyspace", "old"]).expect(0, "OK\n");
    place.run(&["list", "--keyspace", "old"]).expect(0, "l\n");
    place.run(&["clear", "--yes", "--keyspace", "old"]).expect(0, "OK\n");
    place.run(&["len", "--keyspace", "old"]).expect(0, "0\n");
}

#[test]
fn a_pipe_goes_from_keyspace_to_keyspace() {
    let place = Place::new();
    let lines = "put k 1\nuse users\nput k 2\nget k\nget k --keyspace default\nuse\nget k\nuse users\ndrop users\n\
                 get k\nkeyspaces\nget k --keyspace users\n";
    let run = place.pipe(lines);
    run.expect(2, "OK\nOK\n2\n1\n1\nOK\n1\ndefault\n").says("line 12").says("there is no keyspace `users`");
    place.feed(&["--keyspace", "b"], b"put k 3\nlen\n").expect(0, "OK\n1\n");
    place.run(&["get", "k", "--keyspace", "b"]).expect(0, "3\n");
    place.run(&["use", "b"]).expect(2, "").says("--keyspace NAME");
}

#[test]
fn files_of_records_go_into_the_keyspace_and_come_out_of_it() {
    let place = Place::new();
    place.write("in.jsonl", "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n");
    assert_eq!(place.run(&["import", "in.jsonl", "--keyspace", "rows"]).code, 0);
    place.run(&["len"]).expect(0, "0\n");
    let out = place.run(&["export", "--keyspace", "rows"]).out();
    assert_eq!(out, "{\"key\":\"a\",\"value\":\"1\"}\n{\"key\":\"b\",\"value\":\"2\"}\n");
    place.run(&["export", "--keyspace", "others"]).expect(2, "").says("no keyspace");
}

#[test]
fn several_values_are_shown_in_the_order_asked_for() {
    let place = Place::new();
    place.pipe("put a 1\nput b 2\nput c 3\n");
    place.run(&["mget", "c", "a"]).expect(0, "c\t3\na\t1\n");
    place.run(&["mget", "c", "x", "a", "y"]).expect(1, "c\t3\na\t1\n").says("(2 of 4 keys not found)");
    place.run(&["mget", "a", "--format", "json"]).expect(0, "[{\"key\":\"a\",\"value\":\"1\"}]\n");
    place.run(&["mget"]).expect(2, "").says("<KEY>");
}

#[test]
fn numbers_are_counted_up_and_down() {
    let place = Place::new();
    place.run(&["incr", "n"]).expect(0, "1\n");
    place.run(&["incr", "n", "41"]).expect(0, "42\n");
    place.run(&["incr", "n", "-50"]).expect(0, "-8\n");
    place.run(&["get", "n"]).expect(0, "-8\n");
    place.run(&["incr", "n", "many"]).expect(2, "").says("many");
    place.run(&["put", "n", "text"]).expect(0, "OK\n");
    place.run(&["incr", "n"]).expect(2, "").says("no decimal number");
    place.run(&["put", "n", "9223372036854775807"]).expect(0, "OK\n");
    place.run(&["incr", "n"]).expect(2, "").says("64 bits");
    place.run(&["get", "n"]).expect(0, "9223372036854775807\n");
}

#[test]
fn a_value_is_replaced_only_if_it_is_the_expected_one() {
    let place = Place::new();
    place.run(&["cas", "owner", "alice", "bob"]).expect(1, "").says("(not found)");
    place.run(&["cas", "owner", "--absent", "alice"]).expect(0, "OK\n");
    place.run(&["cas", "owner", "--absent", "bob"]).expect(1, "").says("(another value)");
    place.run(&["cas", "owner", "bob", "carol"]).expect(1, "").says("(another value)");
    let json = place.run(&["cas", "owner", "bob", "carol", "--format", "json"]);
    json.expect(1, "{\"key\":\"owner\",\"value\":\"alice\"}\n").says("\"kind\":\"mismatch\"");
    place.run(&["cas", "owner", "alice", "bob"]).expect(0, "OK\n");
    place.run(&["get", "owner"]).expect(0, "bob\n");
    place.run(&["cas", "owner", "bob", "--delete"]).expect(0, "OK\n");
    place.run(&["exists", "owner"]).expect(1, "false\n");
    place.run(&["cas", "owner", "alice"]).expect(2, "").says("--absent");
    place.run(&["cas", "owner", "alice", "--absent", "--delete"]).expect(2, "");
}

#[test]
fn ranges_are_deleted_and_counted() {
    let place = Place::new();
    place.pipe("put a1 v\nput a2 v\nput b1 v\nput b2 v\nput c v\n");
    place.run(&["delete-range"]).expect(2, "").says("--from").says("clear");
    place.run(&["delete-range", "--from", "z", "--to", "b"]).expect(0, "0\n");
    place.run(&["delete-range", "--from", "a2", "--to", "b2"]).expect(0, "2\n");
    place.run(&["delete-prefix", "a"]).expect(0, "1\n");
    place.run(&["delete-prefix", ""]).expect(2, "").says("clear");
    place.run(&["list"]).expect(0, "b2\nc\n");
    place.run(&["delete-range", "--prefix", "b"]).expect(0, "1\n");
}

#[test]
fn keys_are_found_by_their_place_and_their_place_by_the_key() {
    let place = Place::new();
    place.pipe("put a 1\nput b 2\nput d 3\n");
    place.run(&["nth", "0"]).expect(0, "a\t1\n");
    place.run(&["nth", "2", "--format", "json"]).expect(0, "[{\"key\":\"d\",\"value\":\"3\"}]\n");
    place.run(&["nth", "3"]).expect(1, "").says("(not found)");
    place.run(&["rank", "c"]).expect(0, "2\n");
    place.run(&["rank", "a"]).expect(0, "0\n");
    place.run(&["nth", "first"]).expect(2, "");
}

#[test]
fn in_a_pipe_every_write_answers_with_one_line() {
    let place = Place::new();
    let lines = "incr n\nincr n x\nincr\ncas k a b\ncas k --absent a\ncas k\ndelete-range\ndelete-prefix \"\"\n\
                 delete-prefix k\nincr n --keyspace \"\"\n";
    let run = place.pipe(lines);
    let out = run.out();
    let answers: Vec<&str> = out.lines().collect();
    assert_eq!(answers.len(), 10, "{out}");
    assert_eq!((answers[0], answers[3], answers[4], answers[8]), ("1", "(not found)", "OK", "1"));
    for at in [1, 2, 5, 6, 7, 9] {
        assert!(answers[at].starts_with("ERROR "), "{out}");
    }
}
