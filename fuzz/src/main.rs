//! The program that libFuzzer drives: one for all targets, so that there is one to build. `HALODB_FUZZ_TARGET` names the
//! target; the command line is libFuzzer's. `cargo xtask fuzz` builds it with instrumentation and runs it.
#![no_main]

use halodb_fuzz::{Target, target};
use std::sync::OnceLock;

static TARGET: OnceLock<&'static Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("HALODB_FUZZ_TARGET").unwrap_or_default();
        match target(&name) {
            Some(target) => drop(TARGET.set(target)),
            None => panic!("HALODB_FUZZ_TARGET names no target: {name:?}"),
        }
    },
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            (target.run)(data);
        }
    }
);
