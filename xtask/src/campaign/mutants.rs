//! `mutants`: engines that are wrong in one known way each; `crash`, `faults`, `corrupt` or `model` must notice every one of them.
//!
//! A campaign that finds nothing proves nothing until it has been seen to find something. [`catalogue`] names the faults;
//! those of the engine stand in its code behind `halodb_vfs::mutant`, those of the disk are made by [`disk`]. All are in
//! one build, made with `--cfg halodb_mutants`; [`judge`] runs the campaigns against one of them, in a process of its
//! own, and [`trial`] builds, runs and judges all. A mutant that survives is a hole in the campaigns.

pub mod catalogue;
pub mod disk;
pub mod judge;
pub mod trial;
