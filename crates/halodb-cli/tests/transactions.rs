//! Transactions in the pipe.

mod common;

use common::Place;

#[test]
fn what_is_done_in_a_transaction_is_seen_in_it_and_kept_by_its_commit() {
    let place = Place::new();
    let run = place.pipe(
        "put a 1\nbegin\nput b 2\ndelete a\nget b\nexists b\nlist\nscan --reverse\ncount --prefix b\nlen\nrank c\nnth 0\n\
         mget b\nincr n 4\nincr n\ncas b 2 3\ncommit\nscan\n",
    );
    run.expect(0, "OK\nOK\nOK\n1\n2\ntrue\nb\nb\t2\n1\n1\n1\nb\t2\nb\t2\n4\n5\nOK\nOK\nb\t3\nn\t5\n");
    place.run(&["scan"]).expect(0, "b\t3\nn\t5\n");
}

#[test]
fn what_is_rolled_back_or_left_open_was_never_done() {
    let place = Place::new();
    place
        .pipe("put a 1\nbegin\nput a 2\ndelete-prefix a\nput b 1\nrollback\nscan\n")
        .expect(0, "OK\nOK\nOK\n1\nOK\nOK\na\t1\n");
    let run = place.pipe("begin\nclear\nput b 1\nlen\n");
    run.expect(0, "OK\nOK\nOK\n1\n").says("rolled back");
    place.run(&["scan"]).expect(0, "a\t1\n");
}

#[test]
fn commands_that_do_not_fit_are_refused_and_leave_the_transaction_open() {
    let place = Place::new();
    let run = place.pipe(
        "commit\nbegin\nbegin\nput a 1\nput a 2 --if-absent\nput x 1 --if-present\nget x\nexport\ncommit\nget a\n",
    );
    let out = run.out();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[0].starts_with("ERROR no transaction is open"), "{out}");
    assert!(lines[2].starts_with("ERROR a transaction is open already"), "{out}");
    assert_eq!(lines[3..], ["OK", "(exists)", "(not found)", "OK", "1"]);
    run.says("does not take part in transactions");
    assert_eq!(run.code, 2);
    place.run(&["begin"]).expect(2, "").says("for shell and pipe");
    place.run(&["commit"]).expect(2, "").says("no transaction is open");
}

#[test]
fn keys_get_and_lose_their_time_in_a_transaction() {
    let place = Place::new();
    let run = place.pipe(
        "put a 1\nbegin\nput b 2 --ttl 2h\nexpire a 3h\nttl a --format json\npersist b\nttl b\nexpire none 1h\n\
         ttl none\nput c 3 --ttl 1h --if-present\nput a 4 --ttl 1h --if-absent\nexpire b 0s\nexists b\ncommit\nlist\n",
    );
    let out = run.out();
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines[4].starts_with("{\"ttl_ms\":10"), "{out}");
    let rest = [&lines[..4], &lines[5..]].concat();
    assert_eq!(
        rest,
        ["OK", "OK", "OK", "OK", "OK", "never", "(not found)", "(not found)", "(exists)", "OK", "false", "OK", "a"]
    );
    assert!(place.run(&["ttl", "a"]).out().starts_with("2h59m"));
    place.pipe("begin\npersist a\nput n 1 --ttl 1h\nrollback\n").expect(0, "OK\nOK\nOK\nOK\n");
    assert!(place.run(&["ttl", "a"]).out().starts_with("2h59m"));
    place.run(&["exists", "n"]).expect(1, "false\n");
}

#[test]
fn a_transaction_goes_over_keyspaces() {
    let place = Place::new();
    let run = place.pipe(
        "use users\nput 1 Ada\nuse log\nput 0 made\nbegin\nput 1 gone\ndelete 1 --keyspace users\nuse users\nlen\nuse\nlen\ncommit\n\
         len --keyspace log\nlen --keyspace users\n",
    );
    run.expect(0, "OK\nOK\nOK\nOK\n1\n0\n0\nOK\n2\n0\n");
    place.pipe("begin\nput k v --keyspace new\n").expect(2, "OK\nERROR there is no keyspace `new`\n");
}

#[test]
fn a_commit_answers_with_its_number_in_json() {
    let place = Place::new();
    let run = place.feed(&["--format", "json"], b"begin\nput a 1\ncommit\n");
    assert!(run.out().contains("{\"ok\":true,\"seq\":"), "{}", run.out());
}
