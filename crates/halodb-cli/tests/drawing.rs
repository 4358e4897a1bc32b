//! What is drawn on a terminal and nowhere else: bars, the course of a watch, what long work shows while it goes on.

mod common;

use common::Place;
use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::Read;
use std::process::Stdio;

/// Runs one command on a pseudo-terminal, 80 characters wide: exit code, and all that came.
fn on_a_terminal(place: &Place, arguments: &[&str]) -> (Option<i32>, String) {
    let size = Winsize { ws_row: 40, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let OpenptyResult { master, slave } = openpty(&size, None).expect("a pseudo-terminal");
    let stdio = || Stdio::from(slave.try_clone().expect("a descriptor"));
    let mut command = place.command();
    command.args(arguments).env("TERM", "xterm").stdin(stdio()).stdout(stdio()).stderr(stdio());
    let mut child = command.spawn().expect("the program starts");
    // Only the child holds the other side now, so that its end ends the reading.
    drop((command, slave));
    let mut seen = Vec::new();
    let mut bytes = [0; 4096];
    let mut display = File::from(master);
    while let Ok(read @ 1..) = display.read(&mut bytes) {
        seen.extend_from_slice(&bytes[..read]);
    }
    (child.wait().expect("the program ends").code(), String::from_utf8_lossy(&seen).into_owned())
}

#[test]
fn trees_and_space_have_bars_on_a_terminal_and_none_in_a_pipe() {
    let place = Place::new();
    place.fill(2000, 100);
    for command in ["tree", "space"] {
        let (code, drawn) = on_a_terminal(&place, &[command]);
        assert!(code == Some(0) && drawn.contains('█'), "{drawn}");
        let piped = place.run(&[command]).out();
        assert!(!piped.contains('█') && !piped.contains('\x1b'), "{piped}");
        assert!(piped.lines().all(|line| line == line.trim_end()), "{piped}");
    }
}

#[test]
fn a_watch_is_drawn_over_in_place_with_its_course() {
    let place = Place::new();
    place.fill(100, 10);
    let (code, drawn) = on_a_terminal(&place, &["stats", "--watch", "0.1", "--times", "3"]);
    assert_eq!(code, Some(0), "{drawn}");
    assert_eq!(drawn.matches("tree keys").count(), 3, "{drawn}");
    // Twice up to where it began; three looks at a number that stays are three bars of one height.
    assert_eq!((drawn.matches("\x1b[11A").count(), drawn.contains("███")), (2, true), "{drawn}");
    assert!(drawn.contains("\x1b[?7h"), "{drawn}");
}

#[test]
fn long_work_clears_what_it_showed() {
    let place = Place::new();
    place.fill(2000, 100);
    let (code, drawn) = on_a_terminal(&place, &["check", "--deep"]);
    assert!(code == Some(0) && drawn.contains("sound: 2,000 keys"), "{drawn}");
    let (code, drawn) = on_a_terminal(&place, &["doctor"]);
    assert!(code == Some(0) && drawn.contains("sound: 2,000 entries"), "{drawn}");
    let (code, drawn) = on_a_terminal(&place, &["compact"]);
    let last = drawn.trim_end().lines().last().unwrap_or_default().to_owned();
    assert!(code == Some(0) && (last.contains("won ") || last.contains("nothing to win")), "{drawn}");
    let (code, drawn) = on_a_terminal(&place, &["backup", "copy"]);
    assert!(code == Some(0) && drawn.contains(" UTC"), "{drawn}");
}
