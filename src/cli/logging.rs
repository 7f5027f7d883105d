//! Log lines on standard error: one line an event, whatever is in it, for people or as JSON.

use std::{
    fmt,
    io::{self, Write},
};

use env_logger::{Builder, Target, fmt::Formatter};
use log::{
    LevelFilter, Record,
    kv::{self, Key, Value, VisitSource},
};
use serde_json::{Map, Value as Json};

use super::escape::escaped;
use crate::{
    clock::Timestamp,
    config::{LogConfig, LogFormat},
    trace,
};

/// Begins to write log lines; to be called once.
pub(super) fn start(config: &LogConfig) {
    let mut builder = Builder::new();
    builder
        // What peers do wrong is an error to it; a hostile one could fill the disk. A filter that
        // names it brings it back.
        .filter_module("actix_http", LevelFilter::Off)
        .parse_filters(&config.filter)
        .target(Target::Stderr)
        .format(match config.format {
            LogFormat::Text => write_line,
            LogFormat::Json => write_json,
        });
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
    trace::with_request_id(|id| write!(out, " request={id}")).transpose()?;
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

/// Writes an object: `time`, `level`, `target`, `message`, and each field under its name, which
/// begins with `field_` where it is one of those four.
fn write_json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let line = json_line(Timestamp::now(), record)?;
    writeln!(out, "{line}")
}

fn json_line(now: Timestamp, record: &Record<'_>) -> io::Result<String> {
    let mut object = Object(Map::new());
    object.set("time", now.to_string().into());
    object.set("level", record.level().as_str().into());
    object.set("target", record.target().into());
    object.set("message", record.args().to_string().into());
    record
        .key_values()
        .visit(&mut object)
        .map_err(io::Error::other)?;
    trace::with_request_id(|id| object.set("request", id.to_string().into()));
    Ok(serde_json::to_string(&object.0)?)
}

/// A line under way.
struct Object(Map<String, Json>);

impl Object {
    fn set(&mut self, name: &str, value: Json) {
        let name = match self.0.contains_key(name) {
            true => format!("field_{name}"),
            false => name.to_owned(),
        };
        self.0.insert(name, value);
    }
}

impl<'kvs> VisitSource<'kvs> for Object {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        // Numbers and truths stay what they are; all else is text.
        let json = value.to_u64().map(Json::from);
        let json = json.or_else(|| value.to_i64().map(Json::from));
        let json = json.or_else(|| value.to_f64().map(Json::from));
        let json = json.or_else(|| value.to_bool().map(Json::from));
        self.set(
            key.as_str(),
            json.unwrap_or_else(|| value.to_string().into()),
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_json_is_one_object_whatever_is_in_it() {
        let fields = [
            ("count", Value::from(3)),
            ("error", Value::from("a\n\"b\"")),
            ("level", Value::from("x")),
        ];
        let line = json_line(
            Timestamp::from_unix_ms(0).expect("a moment"),
            &Record::builder()
                .args(format_args!("two\nlines"))
                .level(log::Level::Warn)
                .target("roomcast")
                .key_values(&&fields[..])
                .build(),
        );
        let line = line.expect("it is written");
        assert_eq!(line.lines().count(), 1);
        let object: Json = serde_json::from_str(&line).expect("JSON");
        let expected = serde_json::json!({
            "time": "1970-01-01T00:00:00.000Z", "level": "WARN", "target": "roomcast",
            "message": "two\nlines", "count": 3, "error": "a\n\"b\"", "field_level": "x",
        });
        assert_eq!(object, expected);
    }

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
