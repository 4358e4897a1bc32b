//! [`mutant`]: the seam at which a build made for it can plant a fault in the engine.
//!
//! A test that cannot fail proves nothing. So the campaigns are run against engines that are wrong in one known way each:
//! "skip this synchronisation", "reuse pages one generation early". The faults stand where they would be made, as
//! `if mutant("crate.fault")`, all in one build, and one of them is chosen when the program starts.
//!
//! Ordinary builds have none of this: there [`mutant`] is a constant `false` and the compiler drops what depends on it.
//! Only `--cfg halodb_mutants` brings the faults in, and then the environment variable `HALODB_MUTANT` names the one that
//! is active. This file does not know which names exist; `cargo xtask mutants --list` does.

/// Whether the fault called `name` is planted: never, in ordinary builds.
///
/// Built with `--cfg halodb_mutants`: if the environment variable `HALODB_MUTANT` holds exactly this name.
#[cfg(not(halodb_mutants))]
#[inline(always)]
pub const fn mutant(_name: &str) -> bool {
    false
}

#[cfg(halodb_mutants)]
pub use planted::{mutant, mutant_reached};

#[cfg(halodb_mutants)]
mod planted {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CHOSEN: OnceLock<String> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);

    /// Whether the fault called `name` is planted: if the environment variable `HALODB_MUTANT` holds exactly this name.
    pub fn mutant(name: &str) -> bool {
        let chosen = CHOSEN.get_or_init(|| std::env::var("HALODB_MUTANT").unwrap_or_default());
        let planted = chosen == name;
        if planted {
            REACHED.fetch_add(1, Ordering::Relaxed);
        }
        planted
    }

    /// How often the program came by the planted fault. A fault that was never reached has not been tested.
    pub fn mutant_reached() -> u64 {
        REACHED.load(Ordering::Relaxed)
    }
}
