//! What the library tells while it works (recoveries, merges, errors of background threads), on standard error.

use halodb::config::{Log, LogFormat, LogLevel};
use std::io;
use tracing_subscriber::filter::LevelFilter;

/// Starts telling what `[log]` of the configuration asks for. Only the first call counts.
pub(crate) fn start(log: &Log) {
    let level = match log.level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let subscriber = tracing_subscriber::fmt().with_max_level(level).with_writer(io::stderr).with_target(false);
    // Refused only if one is there already, which then goes on.
    let _ = match log.format {
        LogFormat::Text => subscriber.try_init(),
        LogFormat::Json => subscriber.json().try_init(),
    };
}
