//! Rules of bodies that `garde` has in other words: with a unit.

use std::ops::RangeInclusive;

/// Refuses a text that is not that many bytes long.
pub(super) fn bytes(allowed: RangeInclusive<usize>) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| within(text.len(), &allowed, "bytes")
}

/// Refuses a text that is not that many characters long.
pub(super) fn chars(allowed: RangeInclusive<usize>) -> impl Fn(&str, &()) -> garde::Result {
    move |text, ()| within(text.chars().count(), &allowed, "characters")
}

fn within(length: usize, allowed: &RangeInclusive<usize>, unit: &str) -> garde::Result {
    if allowed.contains(&length) {
        return Ok(());
    }
    let rule = match allowed.start() {
        0 => format!("must be at most {} {unit} long", allowed.end()),
        least => format!("must be {least} to {} {unit} long", allowed.end()),
    };
    Err(garde::Error::new(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_refused_with_its_unit() {
        let refused = |result: garde::Result| result.err().map(|error| error.to_string());
        assert_eq!(refused(bytes(8..=71)("12345678", &())), None);
        let short = refused(bytes(8..=71)("1234567", &()));
        assert_eq!(short.as_deref(), Some("must be 8 to 71 bytes long"));
        let long = refused(bytes(0..=3)("éé", &()));
        assert_eq!(long.as_deref(), Some("must be at most 3 bytes long"));
        assert_eq!(refused(chars(1..=2)("éé", &())), None);
        let empty = refused(chars(1..=2)("", &()));
        assert_eq!(empty.as_deref(), Some("must be 1 to 2 characters long"));
    }
}
