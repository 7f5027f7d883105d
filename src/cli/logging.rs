//! Log lines on standard error: one line an event, whatever is in it.

use std::{
    fmt,
    io::{self, Write},
};

use env_logger::{Builder, Target, fmt::Formatter};
use log::{
    LevelFilter, Record,
    kv::{self, Key, Value, VisitSource},
};

use super::escape::escaped;
use crate::clock::Timestamp;

/// Begins to write log lines that pass a filter; to be called once.
pub(super) fn start(filter: &str) {
    let mut builder = Builder::new();
    builder
        // What peers do wrong is an error to it; a hostile one could fill the disk. A filter that
        // names it brings it back.
        .filter_module("actix_http", LevelFilter::Off)
        .parse_filters(filter)
        .target(Target::Stderr)
        .format(write_line);
    // A second logger is impossible but for tests, which have theirs.
    let _ = builder.try_init();
}

fn write_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let level = record.level();
    let style = out.default_level_style(level);
    let now = Timestamp::now();
    let target = record.target();
    write!(out, "{now} {style}{level:<5}{style:#} {target}: ")?;
    write!(out, "{}", escaped(&record.args().to_string()))?;
    let mut fields = Fields { out };
    record
        .key_values()
        .visit(&mut fields)
        .map_err(io::Error::other)?;
    writeln!(out)
}

struct Fields<'a> {
    out: &'a mut Formatter,
}

impl<'kvs> VisitSource<'kvs> for Fields<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        write!(self.out, " {key}={}", Field(&value.to_string()))?;
        Ok(())
    }
}

/// A value with spaces is quoted, so that a line can be taken apart again.
struct Field<'a>(&'a str);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains([' ', '"', '=']) || self.0.is_empty() {
            true => write!(f, "{:?}", self.0),
            false => escaped(self.0).fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_can_be_told_from_the_next() {
        let check = |value: &str, shown: &str| assert_eq!(Field(value).to_string(), shown);
        check("plain", "plain");
        check("", r#""""#);
        check("two words", r#""two words""#);
        check("a=b", r#""a=b""#);
        check("line\nbreak", r"line\nbreak");
        check(
            "line\nbreak and \u{1b}[31m",
            "\"line\\nbreak and \\u{1b}[31m\"",
        );
    }
}
