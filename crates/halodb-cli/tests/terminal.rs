//! What people see: the program on a pseudo-terminal.

mod common;

use common::Place;
use common::terminal::Terminal;
use std::time::Duration;

#[test]
fn the_shell_greets_answers_and_leaves() {
    let place = Place::new();
    place.pipe("put a 1\nput b \"\\x00\\xff\"\n");
    let mut terminal = Terminal::start(&place, &[]);
    let greeting = terminal.until("halodb> ");
    assert!(greeting.contains("2 keys") && greeting.contains("help"), "{greeting}");
    assert!(greeting.contains(env!("CARGO_PKG_VERSION")) && greeting.contains("data"), "{greeting}");
    terminal.types("get b\r");
    terminal.until("\\x00\\xff\r\n");
    terminal.until("halodb> ");
    terminal.types("get nothing\r");
    terminal.until("(not found)");
    terminal.until("halodb> ");
    terminal.types("put c \"open\r");
    terminal.types("closed\"\r");
    terminal.until("OK");
    terminal.until("halodb> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.exit_code(), Some(0));
    place.run(&["get", "c"]).expect(0, "open\nclosed\n");
}

#[test]
fn the_shell_completes_commands_and_keys_and_keeps_a_history() {
    let place = Place::new();
    place.run(&["put", "a long key", "found"]);
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("ge\t\"a l\t\r");
    terminal.until("found\r\n");
    terminal.until("halodb> ");
    terminal.types(" get secret\r");
    terminal.until("(not found)");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
    let history = std::fs::read_to_string(place.path(".local/state/halodb/history")).unwrap();
    assert!(history.contains("get \"a long key\"") || history.contains("get \\\"a long key\\\""), "{history}");
    assert!(!history.contains("secret"), "{history}");
}

#[test]
fn control_c_leaves_the_line_and_not_the_shell() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("put half a line\u{3}");
    terminal.until("halodb> ");
    terminal.types("len\r");
    terminal.until("0\r\n");
    terminal.types("exit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn clear_asks_on_a_terminal() {
    let place = Place::new();
    place.run(&["put", "k", "v"]);
    let mut terminal = Terminal::start(&place, &["clear"]);
    terminal.until("Delete all 1 keys? [y/N] ");
    terminal.types("n\n");
    terminal.until("(nothing was deleted)");
    assert_eq!(terminal.exit_code(), Some(1));
    let mut terminal = Terminal::start(&place, &["clear"]);
    terminal.until("[y/N] ");
    terminal.types("y\n");
    terminal.until("OK");
    assert_eq!(terminal.exit_code(), Some(0));
    place.run(&["len"]).expect(0, "0\n");
}

#[test]
fn the_prompt_names_the_keyspace_whose_keys_are_completed_and_drop_asks() {
    let place = Place::new();
    place.run(&["put", "long key of a user", "Ada", "--keyspace", "users"]);
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("use us\t\r");
    terminal.until("halodb:users> ");
    terminal.types("get \"lon\t\r");
    terminal.until("Ada\r\n");
    terminal.until("halodb:users> ");
    terminal.types("use new\r");
    terminal.until("created the keyspace `new`");
    terminal.until("halodb:new> ");
    terminal.types("drop users\r");
    terminal.until("Delete the keyspace `users` with 1 keys? [y/N] ");
    terminal.types("y\r");
    terminal.until("OK");
    terminal.until("halodb:new> ");
    terminal.types("drop new --yes\r");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
    place.run(&["keyspaces"]).expect(0, "default\n");
}

#[test]
fn a_list_stops_at_100_rows_on_a_terminal_and_says_how_many_remain() {
    let place = Place::new();
    place.fill(1234, 0);
    let mut terminal = Terminal::start(&place, &["list"]);
    let rows = terminal.until("(1,134 more of 1,234");
    assert_eq!(rows.matches("\r\n").count(), 100);
    assert_eq!(terminal.exit_code(), Some(0));
    assert_eq!(place.run(&["list"]).out().lines().count(), 1234);
}

#[test]
fn the_arrow_key_brings_back_lines_of_this_and_of_earlier_sessions() {
    const UP: &str = "\u{1b}[A";
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("put a first\r");
    terminal.until("OK");
    terminal.until("halodb> ");
    terminal.types("get a\r");
    terminal.until("first\r\n");
    terminal.until("halodb> ");
    terminal.types("put a second\r");
    terminal.until("OK");
    terminal.until("halodb> ");
    terminal.types(&format!("{UP}{UP}\r"));
    terminal.until("second\r\n");
    terminal.until("halodb> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.exit_code(), Some(0));
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types(&format!("{UP}\r"));
    terminal.until("second\r\n");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn several_candidates_are_listed_and_options_values_and_files_are_completed() {
    let place = Place::new();
    place.pipe("put user/ada 1\nput user/grace 2\n");
    place.write("new records.jsonl", "{\"key\":\"log\",\"value\":\"3\"}\n");
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("get us\t\t");
    let listed = terminal.until("user/grace");
    assert!(listed.contains("user/ada"), "{listed}");
    terminal.types("gr\t\r");
    terminal.until("2\r\n");
    terminal.until("halodb> ");
    terminal.types("get user/ada --form\tjsonl\r");
    terminal.until("{\"key\":\"user/ada\",\"value\":\"1\"}\r\n");
    terminal.until("halodb> ");
    terminal.types("get user/ada --format bas\t\r");
    terminal.until("MQ==\r\n");
    terminal.until("halodb> ");
    terminal.types("import ne\t\r");
    terminal.until("committed 1 records (");
    terminal.until("halodb> ");
    terminal.types("get log\r");
    terminal.until("3\r\n");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn hints_show_what_a_command_still_needs() {
    let place = Place::new();
    let mut terminal = Terminal::with(&place, &[], &[("TERM", "xterm")]);
    terminal.until("halodb> ");
    terminal.types("put ");
    terminal.until("\u{1b}[2mKEY VALUE");
    terminal.types("k ");
    terminal.until("\u{1b}[2mVALUE");
    terminal.types("v\r");
    terminal.until("OK");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn a_resized_window_draws_the_line_anew_and_loses_nothing_of_it() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    let value = "0123456789".repeat(6);
    terminal.types(&format!("put k {value}"));
    // The line is drawn with every key.
    terminal.until(&value);
    // The line editor notices a change only while it waits for a key, so a person pulls at the window for a while.
    let drawn_anew = |columns| {
        terminal.resize(columns);
        terminal.within(Duration::from_secs(1), "halodb> put k ").is_some()
    };
    assert!((40..70).any(drawn_anew));
    terminal.types("x\r");
    terminal.until("OK");
    terminal.until("halodb> ");
    terminal.resize(120);
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
    place.run(&["get", "k"]).expect(0, &format!("{value}x\n"));
}

#[test]
fn control_c_stops_a_long_scan_and_not_the_shell() {
    let place = Place::new();
    place.fill(9000, 1000);
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("scan\r");
    // From here on nobody looks at the screen, so nine million bytes cannot all be written.
    terminal.until("0001\t");
    terminal.types("\u{3}");
    let rest = terminal.until("halodb> ");
    assert!(rest.contains("interrupted after ") && !rest.contains("8999\t"), "{}", &rest[rest.len().min(200)..]);
    terminal.types("\u{3}");
    terminal.until("halodb> ");
    terminal.types("len\r");
    terminal.until("9000\r\n");
    terminal.until("halodb> ");
    terminal.types("\u{4}");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn control_c_ends_a_one_shot_command_with_130() {
    let place = Place::new();
    place.fill(9000, 1000);
    let mut terminal = Terminal::start(&place, &["scan"]);
    terminal.until("0001\t");
    terminal.types("\u{3}");
    assert_eq!(terminal.exit_code(), Some(130));
    let mut terminal = Terminal::start(&place, &["import"]);
    terminal.until("committed 0 records");
    terminal.types("\u{3}");
    assert_eq!(terminal.exit_code(), Some(130));
}

#[test]
fn switches_change_how_things_are_shown() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("\\for\tjso\t");
    terminal.until("json");
    terminal.types("\u{15}\\format json\r");
    terminal.until("the format is json");
    terminal.until("halodb> ");
    terminal.types("get nothing\r");
    terminal.until("null\r\n");
    terminal.until("{\"error\":{");
    terminal.until("halodb> ");
    terminal.types("\\format text\r");
    terminal.until("the format is text");
    terminal.until("halodb> ");
    terminal.types("\\timing\r");
    terminal.until("timing is on");
    terminal.until("halodb> ");
    terminal.types("len\r");
    terminal.until("0\r\n");
    terminal.until(" ms\r\n");
    terminal.until("halodb> ");
    terminal.types("\\tming\r");
    terminal.until("`\\tming` is no switch");
    terminal.until("halodb> ");
    terminal.types("lst\r");
    terminal.until("'list'");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}

#[test]
fn an_open_transaction_and_a_line_that_goes_on_are_seen_in_the_prompt() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("begin\r");
    terminal.until("halodb*> ");
    terminal.types("put k 'line one\r");
    terminal.types("line two'\r");
    terminal.until("OK");
    terminal.until("halodb*> ");
    terminal.types("commit\r");
    terminal.until("halodb> ");
    terminal.types("begin\r");
    terminal.until("halodb*> ");
    terminal.types("put k lost\r");
    terminal.until("OK");
    terminal.until("halodb*> ");
    terminal.types("\u{4}");
    terminal.until("(the open transaction was rolled back)");
    assert_eq!(terminal.exit_code(), Some(0));
    place.run(&["get", "k"]).expect(0, "line one\nline two\n");
}

#[test]
fn control_c_at_a_question_is_a_no() {
    let place = Place::new();
    place.run(&["put", "k", "v"]);
    let mut terminal = Terminal::start(&place, &[]);
    terminal.until("halodb> ");
    terminal.types("clear\r");
    terminal.until("Delete all 1 keys? [y/N] ");
    terminal.types("\u{3}");
    terminal.until("interrupted");
    terminal.until("halodb> ");
    terminal.types("len\r");
    terminal.until("1\r\n");
    terminal.until("halodb> ");
    terminal.types("quit\r");
    assert_eq!(terminal.exit_code(), Some(0));
}
