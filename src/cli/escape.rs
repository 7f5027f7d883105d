//! Makes text of others harmless on a terminal and keeps it on one line.

use std::fmt::{self, Write};

/// Returns the text with every control character written out, such as `\n` or `\u{1b}`.
pub(super) fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// See [`escaped`].
pub(super) struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match changes_the_line(c) {
            true => write!(f, "{}", c.escape_default()),
            false => f.write_char(c),
        })
    }
}

/// Control characters move the cursor; the others break lines or turn the reading direction.
fn changes_the_line(c: char) -> bool {
    let separator = matches!(c, '\u{2028}' | '\u{2029}');
    let direction = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || separator || direction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_a_cursor_is_written_out_and_the_rest_stays() {
        let check = |text: &str, shown: &str| assert_eq!(escaped(text).to_string(), shown);
        check(
            "Grüße, 世界 👩\u{200d}🚀 \"x\" \\n",
            "Grüße, 世界 👩\u{200d}🚀 \"x\" \\n",
        );
        check("a\nb\tc\r", r"a\nb\tc\r");
        check("\u{1b}[2J\u{7f}\u{9b}", r"\u{1b}[2J\u{7f}\u{9b}");
        check("\u{202e}gpj.exe", r"\u{202e}gpj.exe");
        check("a\u{2028}b", r"a\u{2028}b");
    }
}
