//! JSON of clients, read with the place and in plain words of what is wrong with it.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, Unexpected, Visitor},
};
use serde_json::Value;

use crate::error::FieldError;

/// Why a text is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not JSON.
    Syntax(String),
    /// It is, but a value is missing or of another type; the path is empty for the whole.
    Value(FieldError),
}

/// Reads an object.
///
/// # Errors
/// What is wrong first, and where.
pub fn read_object<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, Fault> {
    // serde would take an array for an object, field by field.
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(match serde_json::from_slice::<Value>(text) {
            Ok(_) => Fault::Value(field("", "must be an object")),
            Err(error) => Fault::Syntax(error.to_string()),
        });
    }
    // Nearly all are right, and following the path costs more than the reading.
    if let Ok(value) = serde_json::from_slice(text) {
        return Ok(value);
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        judge(text, &path, error.inner())
    })?;
    json.end().map_err(|error| judge(text, "", &error))?;
    Ok(value)
}

/// Reads a whole number as JSON schemas know it: `7.0` is one.
///
/// # Errors
/// For every other value.
pub fn whole<'de, D: Deserializer<'de>>(json: D) -> Result<u64, D::Error> {
    json.deserialize_u64(WholeNumber)
}

/// As [`whole`], for a number that may be null.
///
/// # Errors
/// For every other value.
pub fn optional_whole<'de, D: Deserializer<'de>>(json: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] u64);
    let number = Option::<Whole>::deserialize(json)?;
    Ok(number.map(|number| number.0))
}

/// Reads a value that may be left out: null is as if it were.
///
/// # Errors
/// For every value that the type does not have.
pub fn or_default<'de, D, T>(json: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(json).map(Option::unwrap_or_default)
}

struct WholeNumber;

impl Visitor<'_> for WholeNumber {
    type Value = u64;

    /// As serde itself says it, for [`in_words`].
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("u64")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<u64, E> {
        Ok(number)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<u64, E> {
        u64::try_from(number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<u64, E> {
        // Beyond, a float does not tell whole numbers apart.
        const MOST: f64 = 9_007_199_254_740_992.0;
        match number.fract() == 0.0 && (0.0..=MOST).contains(&number) {
            true => Ok(number as u64),
            false => Err(E::invalid_value(Unexpected::Float(number), &self)),
        }
    }
}

/// `serde_json` calls some values of a wrong type a mistake of syntax: what is JSON decides.
fn judge(text: &[u8], path: &str, error: &serde_json::Error) -> Fault {
    if error.is_data() || serde_json::from_slice::<Value>(text).is_ok() {
        let path = if path == "." { "" } else { path };
        return Fault::Value(explain(path, &without_place(error)));
    }
    Fault::Syntax(error.to_string())
}

fn without_place(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// Says in plain words what serde said of a value: its own words name our types.
#[must_use]
pub fn explain(path: &str, said: &str) -> FieldError {
    let inner = |name: &str| match path {
        "" => name.to_owned(),
        path => format!("{path}.{name}"),
    };
    if said.starts_with("must ") {
        return field(path, said);
    }
    if let Some(name) = quoted_after(said, "missing field ") {
        return field(&inner(name), "is missing");
    }
    if let Some(name) = quoted_after(said, "duplicate field ") {
        // The path has the name already where the second value has been reached.
        let is_named = path == name || path.ends_with(&format!(".{name}"));
        let path = if is_named {
            path.to_owned()
        } else {
            inner(name)
        };
        return field(&path, "is given twice");
    }
    let expected = said
        .rsplit_once(", expected ")
        .map(|(_, expected)| expected);
    field(path, &format!("must be {}", in_words(expected)))
}

fn quoted_after<'a>(said: &'a str, start: &str) -> Option<&'a str> {
    let name = said.strip_prefix(start)?;
    Some(name.trim_matches('`'))
}

fn in_words(expected: Option<&str>) -> &str {
    match expected {
        Some("u8" | "u16" | "u32" | "u64" | "usize") => "a whole number, not negative",
        Some(kind) if kind.starts_with("struct ") => "an object",
        Some(kind) if kind.starts_with(['`', 'a', 'o']) => kind,
        // Where one of several texts is allowed, and it is no text.
        None => "a string",
        Some(_) => "of another type",
    }
}

fn field(path: &str, message: &str) -> FieldError {
    FieldError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::ids::RoomId;

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        One,
        Two,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Sample {
        #[serde(rename = "roomId")]
        _room_id: RoomId,
        #[serde(default, rename = "kind")]
        _kind: Option<Nested>,
        #[serde(default, rename = "count")]
        _count: u32,
    }

    #[derive(Debug, Deserialize)]
    struct Nested {
        #[serde(rename = "of")]
        _of: Kind,
    }

    const ROOM: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn a_value_is_refused_by_its_path_in_plain_words() {
        let check = |fields: &str, path: &str, message: &str| {
            let text = format!("{{{fields}}}");
            let fault = read_object::<Sample>(text.as_bytes()).expect_err("refused");
            assert_eq!(fault, Fault::Value(field(path, message)), "{text}");
        };
        let room = format!(r#""roomId":"{ROOM}""#);
        let with = |more: &str| format!("{room},{more}");
        check("", "roomId", "is missing");
        check(r#""roomId":1"#, "roomId", "must be a string");
        check(
            r#""roomId":"x""#,
            "roomId",
            "must be a UUID of 36 characters",
        );
        check(&with(&room), "roomId", "is given twice");
        check(&with(r#""kind":1"#), "kind", "must be an object");
        check(&with(r#""kind":{}"#), "kind.of", "is missing");
        let options = "must be `one` or `two`";
        check(&with(r#""kind":{"of":"three"}"#), "kind.of", options);
        for other in ["null", "5", "[]", "true"] {
            let kind = with(&format!(r#""kind":{{"of":{other}}}"#));
            check(&kind, "kind.of", "must be a string");
        }
        let whole = "must be a whole number, not negative";
        check(&with(r#""count":-1"#), "count", whole);
        check(&with(r#""count":"1""#), "count", whole);
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_float() {
        #[derive(Debug, Deserialize)]
        struct Counted {
            #[serde(deserialize_with = "whole")]
            count: u64,
            #[serde(default, deserialize_with = "optional_whole")]
            more: Option<u64>,
        }
        let read = |count: &str| {
            let text = format!(r#"{{"count":{count},"more":{count}}}"#);
            let counted = read_object::<Counted>(text.as_bytes()).ok()?;
            assert_eq!(counted.more, Some(counted.count));
            Some(counted.count)
        };
        for (text, number) in [("7", 7), ("7.0", 7), ("7e2", 700), ("0.0", 0)] {
            assert_eq!(read(text), Some(number), "{text}");
        }
        for text in ["7.5", "-1", "-1.0", "1e300", "\"7\"", "true"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_object_or_no_json_is_told_apart() {
        let read = |text: &str| read_object::<Sample>(text.as_bytes()).expect_err("refused");
        for text in ["null", "1", r#""x""#, "[]", r#"["abc"]"#] {
            let expected = Fault::Value(field("", "must be an object"));
            assert_eq!(read(text), expected, "{text}");
        }
        let trailing = format!(r#"{{"roomId":"{ROOM}"}} x"#);
        for text in [
            "",
            "{",
            &trailing,
            "[",
            r#"{"roomId":"\ud800"}"#,
            "{\"count\":1e400}",
        ] {
            assert!(matches!(read(text), Fault::Syntax(_)), "{text}");
        }
    }
}
