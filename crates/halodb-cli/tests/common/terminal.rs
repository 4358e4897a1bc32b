//! The program on a pseudo-terminal, with a person in front of it: what is typed goes in as a terminal sends it, and what
//! comes is waited for. The terminal is the controlling one, so that Ctrl-C and a change of its size become signals.

use super::Place;
use nix::pty::{OpenptyResult, Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// How long a person waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Reads ahead of what is looked at: with a program that writes on and on the screen stands still.
const AHEAD: usize = 4;

/// The program, with a person in front of it.
pub struct Terminal {
    child: Child,
    keyboard: File,
    line: OwnedFd,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    /// Starts the program without colours on a terminal of 200 columns.
    pub fn start(place: &Place, arguments: &[&str]) -> Self {
        Self::with(place, arguments, &[("TERM", "xterm"), ("NO_COLOR", "1")])
    }

    /// The same in another environment.
    pub fn with(place: &Place, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: 40, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
        let OpenptyResult { master, slave } = openpty(&size, None).expect("a pseudo-terminal");
        let stdio = || Stdio::from(slave.try_clone().expect("a descriptor"));
        // It makes the terminal the controlling one of a new session, and becomes the program.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(env!("CARGO_BIN_EXE_halodb")).args(arguments);
        command.current_dir(place.path("")).env_clear().env("HOME", place.path(""));
        command.env("PATH", "/usr/local/bin:/usr/bin:/bin").envs(environment.iter().copied());
        let child = command.stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().expect("the program starts");
        let mut display = File::from(master.try_clone().expect("a descriptor"));
        let (sender, screen) = sync_channel(AHEAD);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = display.read(&mut bytes) {
                if sender.send(bytes[..read].to_vec()).is_err() {
                    break;
                }
            }
        });
        Terminal { child, keyboard: File::from(master), line: slave, screen, seen: String::new() }
    }

    /// Waits until a text is on the screen; returns everything from what was looked at before up to its end.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        match self.within(PATIENCE, text) {
            Some(looked_at) => looked_at,
            None => panic!("{text:?} did not come; on the screen: {:?}", self.seen),
        }
    }

    /// The same for somebody in a hurry: `None` if the text has not come by then.
    pub fn within(&mut self, time: Duration, text: &str) -> Option<String> {
        let limit = Instant::now() + time;
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return Some(std::mem::replace(&mut self.seen, rest));
            }
            match self.screen.recv_timeout(Duration::from_millis(100)) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(RecvTimeoutError::Timeout) if Instant::now() < limit => {}
                Err(_) => return None,
            }
        }
    }

    /// Types keys.
    pub fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the keyboard works");
    }

    /// Makes the window narrower or wider.
    pub fn resize(&mut self, columns: u16) {
        let mut stty = Command::new("stty");
        stty.args(["cols", &columns.to_string()]).stdin(self.line.try_clone().expect("a descriptor"));
        assert!(stty.status().expect("stty runs").success());
    }

    /// Looks on until the program ends.
    #[track_caller]
    pub fn exit_code(&mut self) -> Option<i32> {
        let limit = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                return status.code();
            }
            assert!(Instant::now() < limit, "the program does not end; on the screen: {:?}", self.seen);
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(10)) {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
    }
}

impl Drop for Terminal {
    /// A test that has failed leaves no program behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
