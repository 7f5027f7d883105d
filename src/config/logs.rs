//! What is logged, and in which shape.

use super::{Settings, keys, parse};

/// What is logged, and in which shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// `RUST_LOG`.
    pub filter: String,
    /// `LOG_FORMAT`.
    pub format: LogFormat,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: time, level, target, sentence, fields.
    Text,
    /// For programs: an object a line.
    Json,
}

impl LogConfig {
    /// Reads how to log; `None` says that a problem was noted.
    pub fn read(settings: &mut Settings) -> Option<Self> {
        let filter = settings.read(&keys::RUST_LOG, parse::log_filter);
        let format = settings.read(&keys::LOG_FORMAT, parse::log_format);
        Some(Self {
            filter: filter?,
            format: format?,
        })
    }
}
