//! What the process was started with: its environment, and `.env` in the working folder.

use std::{collections::HashMap, env, ffi::OsString, fs, io, path::Path};

use super::{Problem, keys};

/// The file in the working folder that stands behind the environment.
const DOT_ENV: &str = ".env";

/// Values by name; an empty one counts as unset, since compose files pass those on.
///
/// Of the environment only our own names are taken; nothing is ever written to it.
#[derive(Default)]
pub struct Environment {
    pub(super) process: HashMap<&'static str, OsString>,
    pub(super) file: HashMap<String, String>,
    pub(super) problems: Vec<Problem>,
}

impl Environment {
    /// Reads the environment and `.env`.
    #[must_use]
    pub fn capture() -> Self {
        let names = keys::ALL.iter().copied().flatten().map(|key| key.name);
        let set = names.filter_map(|name| Some((name, env::var_os(name)?)));
        Self {
            process: set.filter(|(_, value)| !value.is_empty()).collect(),
            ..Self::read_file(Path::new(DOT_ENV))
        }
    }

    fn read_file(path: &Path) -> Self {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse_file(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
            Err(error) => {
                let problem = Problem::new(DOT_ENV, format!("cannot be read: {error}"));
                Self {
                    problems: vec![problem],
                    ..Self::default()
                }
            }
        }
    }

    fn parse_file(text: &str) -> Self {
        let mut environment = Self::default();
        let text = text.trim_start_matches('\u{feff}');
        for item in dotenvy::from_read_iter(text.as_bytes()) {
            match item {
                Ok((name, value)) => environment.set_from_file(name, value),
                Err(error) => environment.problems.push(line_problem(text, &error)),
            }
        }
        environment.file.retain(|_, value| !value.is_empty());
        environment
    }

    fn set_from_file(&mut self, name: String, value: String) {
        if self.file.contains_key(&name) {
            let problem = Problem::new(DOT_ENV, format!("sets {name} twice: remove one"));
            self.problems.push(problem);
        }
        self.file.insert(name, value);
    }
}

/// Says which line is wrong, not what it is: it may hold a secret.
fn line_problem(text: &str, error: &dotenvy::Error) -> Problem {
    let number = match error {
        dotenvy::Error::LineParse(bad, _) => {
            // Of the line, dotenvy keeps the value alone where that is what is wrong.
            let first = bad.lines().find(|line| !line.trim().is_empty());
            first.and_then(|first| text.lines().position(|line| line.ends_with(first)))
        }
        _ => None,
    };
    let place = number.map_or_else(|| DOT_ENV.to_owned(), |at| format!("{DOT_ENV}:{}", at + 1));
    let rule =
        "is not a line `NAME=value`; put a value with spaces, `#` or `$` between single quotes";
    Problem::new(&place, rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let environment = Environment::parse_file(text);
        environment
            .problems
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_file_is_read_as_shells_and_compose_write_it() {
        let text = "\u{feff}# a comment\nPORT=4000\nexport BIND_ADDR='::1'\n\nDB_PASSWORD='a$b #c'\nDB_HOST=\n";
        let environment = Environment::parse_file(text);
        let get = |name: &str| environment.file.get(name).map(String::as_str);
        assert_eq!(get("PORT"), Some("4000"));
        assert_eq!(get("BIND_ADDR"), Some("::1"));
        assert_eq!(get("DB_PASSWORD"), Some("a$b #c"));
        assert_eq!(get("DB_HOST"), None, "empty is unset");
        assert!(environment.problems.is_empty());
    }

    #[test]
    fn a_bad_line_is_named_by_its_number_and_not_shown() {
        let problems = problems("PORT=1\nmy secret\nBIND_ADDR=::1\nDB_PASSWORD=two words\n");
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with(".env:2 "), "{problems:?}");
        assert!(problems[1].starts_with(".env:4 "), "{problems:?}");
        assert!(!problems.concat().contains("secret"), "{problems:?}");
        assert!(!problems.concat().contains("two words"), "{problems:?}");
    }

    #[test]
    fn a_name_set_twice_is_a_mistake() {
        assert_eq!(
            problems("PORT=1\nPORT=2\n"),
            [".env sets PORT twice: remove one"]
        );
    }
}
