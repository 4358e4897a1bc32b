//! What people see: the program on a pseudo-terminal.

mod common;

use common::Place;
use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// The program, with a person in front of it.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let size = Winsize { ws_row: 40, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a pseudo-terminal");
        let stdio = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = place.command();
        command.args(arguments).env("TERM", "xterm").env("NO_COLOR", "1");
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("the program starts");
        let mut display = File::from(master.try_clone().expect("a descriptor"));
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = display.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keyboard: File::from(master), screen, seen: String::new() }
    }

    /// Waits until a text is on the screen; returns what came before and forgets it all.
    #[track_caller]
    fn until(&mut self, text: &str) -> String {
        let limit = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            match self.screen.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) if Instant::now() < limit => {}
                Err(_) => panic!("{text:?} did not come; on the screen: {:?}", self.seen),
            }
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the keyboard works");
    }

    fn exit_code(&mut self) -> Option<i32> {
        self.child.wait().expect("the program ends").code()
    }
}

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
