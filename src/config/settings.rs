//! Finds the value of each setting, and collects what is wrong with all of them.

use std::{collections::HashMap, fmt};

use super::{
    environment::Environment,
    keys::{Fallback, Key},
    parse::Invalid,
};

/// What stands for a secret wherever it would be shown.
const MASK: &str = "********";

/// Whose defaults hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Dev,
    Serve,
}

/// Something that has to be put right before anything is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting as its reader wrote it: a flag, a name, a line of `.env`.
    pub what: String,
    pub why: String,
}

impl Problem {
    /// Makes a problem; `why` goes on where `what` ends.
    #[must_use]
    pub fn new(what: &str, why: impl Into<String>) -> Self {
        Self {
            what: what.to_owned(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.why)
    }
}

/// All problems of a configuration, one a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("configuration is not valid:")?;
        let widths = self.problems.iter().map(|problem| problem.what.len());
        let width = widths.max().unwrap_or(0);
        for problem in &self.problems {
            write!(f, "\n  {:width$}  {}", problem.what, problem.why)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Where a value comes from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Flag(&'static str),
    Environment,
    DotEnv,
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Environment => f.write_str("environment"),
            Self::DotEnv => f.write_str(".env"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as it was found, not checked yet.
pub struct Value {
    pub text: String,
    pub source: Source,
    is_text: bool,
}

impl Value {
    fn new(text: impl Into<String>, source: Source) -> Self {
        Self {
            text: text.into(),
            source,
            is_text: true,
        }
    }
}

/// Flags, environment, `.env` and defaults, in this order; and what is wrong with them so far.
pub struct Settings {
    mode: Mode,
    flags: HashMap<&'static str, String>,
    environment: Environment,
    problems: Vec<Problem>,
}

impl Settings {
    /// Begins with flags by the names of their settings.
    #[must_use]
    pub fn new(
        mode: Mode,
        flags: HashMap<&'static str, String>,
        mut environment: Environment,
    ) -> Self {
        Self {
            mode,
            flags,
            problems: std::mem::take(&mut environment.problems),
            environment,
        }
    }

    /// Finds a setting's value; `None` when nobody set it and it has no default.
    #[must_use]
    pub fn find(&self, key: &Key) -> Option<Value> {
        if let (Some(text), Some(flag)) = (self.flags.get(key.name), key.flag) {
            return Some(Value::new(text, Source::Flag(flag)));
        }
        if let Some(text) = self.environment.process.get(key.name) {
            return Some(Value {
                text: text.to_string_lossy().into_owned(),
                source: Source::Environment,
                is_text: text.to_str().is_some(),
            });
        }
        if let Some(text) = self.environment.file.get(key.name) {
            return Some(Value::new(text, Source::DotEnv));
        }
        let text = match (key.fallback, self.mode) {
            (Fallback::Value(text), _) => text,
            (Fallback::ByMode { dev, .. }, Mode::Dev) => dev,
            (Fallback::ByMode { serve, .. }, Mode::Serve) => serve,
            (Fallback::Required | Fallback::Nothing, _) => return None,
        };
        Some(Value::new(text, Source::Default))
    }

    /// Returns whether nobody set it, in `dev`.
    #[must_use]
    pub fn is_dev_default(&self, key: &Key) -> bool {
        let value = self.find(key);
        let is_default = value.is_none_or(|value| value.source == Source::Default);
        self.mode == Mode::Dev && is_default
    }

    /// Reads a setting that has to have a value; `None` says that a problem was noted.
    pub fn read<T>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let read = self.read_optional(key, parse)?;
        if read.is_none() {
            self.note(key.name, format!("is not set: {}", key.help));
        }
        read
    }

    /// Reads a setting that may be left out; the outer `None` says that a problem was noted.
    pub fn read_optional<T>(
        &mut self,
        key: &Key,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<Option<T>> {
        let Some(value) = self.find(key) else {
            return Some(None);
        };
        let checked = match value.is_text {
            true => parse(&value.text),
            false => Err(Invalid::new("must be UTF-8 text")),
        };
        match checked {
            Ok(parsed) => Some(Some(parsed)),
            Err(invalid) => {
                let Problem { what, why } = problem(key, &value, &invalid);
                self.note(&what, why);
                None
            }
        }
    }

    /// Reads an argument that is no setting.
    pub fn read_argument<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, Invalid>,
    ) -> Option<T> {
        let parsed = parse(text);
        parsed
            .map_err(|invalid| self.note(name, format!("{invalid}, not {text:?}")))
            .ok()
    }

    /// Notes a problem, once however often it is met.
    pub fn note(&mut self, what: &str, why: impl Into<String>) {
        let problem = Problem::new(what, why);
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Notes a problem of a setting that cannot be read off its value alone.
    pub fn refuse(&mut self, key: &Key, why: impl Into<String>) {
        let what = match self.find(key) {
            Some(value) => place(key, &value),
            None => key.name.to_owned(),
        };
        self.note(&what, why);
    }

    /// Ends the reading: the configuration, or every problem.
    ///
    /// # Errors
    /// When a problem was noted.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, ConfigError> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(ConfigError {
                problems: self.problems,
            }),
        }
    }

    /// Returns a setting's value for people: a secret is masked.
    #[must_use]
    pub fn show(&self, key: &Key) -> Option<(String, Source)> {
        let value = self.find(key)?;
        let text = match key.is_secret() {
            true if key.is_url() => mask_url(&value.text),
            true => MASK.to_owned(),
            false => value.text,
        };
        Some((text, value.source))
    }
}

/// The setting as its reader wrote it.
fn place(key: &Key, value: &Value) -> String {
    match value.source {
        Source::Flag(flag) => format!("--{flag}"),
        Source::DotEnv => format!("{} (.env)", key.name),
        Source::Environment | Source::Default => key.name.to_owned(),
    }
}

fn problem(key: &Key, value: &Value, invalid: &Invalid) -> Problem {
    let what = place(key, value);
    let why = match key.is_secret() {
        true => invalid.to_string(),
        false => format!("{invalid}, not {:?}", value.text),
    };
    Problem { what, why }
}

/// Host and path stay: they are what people look for.
fn mask_url(secret: &str) -> String {
    let Ok(url) = url::Url::parse(secret) else {
        return MASK.to_owned();
    };
    let Some(host) = url.host_str() else {
        return MASK.to_owned();
    };
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{MASK}@{host}{port}{}", url.scheme(), url.path())
}

/// Returns what a server reads that is given these variables.
#[cfg(test)]
pub(super) fn of_process(given: &[(&'static str, &str)]) -> Settings {
    let process = given.iter().map(|(name, value)| (*name, value.into()));
    let environment = Environment {
        process: process.collect(),
        ..Environment::default()
    };
    Settings::new(Mode::Serve, HashMap::new(), environment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{keys, parse};

    fn settings(
        flags: &[(&'static str, &str)],
        process: &[(&'static str, &str)],
        file: &[(&str, &str)],
    ) -> Settings {
        let own = |(name, value): &(&'static str, &str)| (*name, (*value).to_owned());
        let environment = Environment {
            process: process
                .iter()
                .map(|(name, value)| (*name, value.into()))
                .collect(),
            file: file
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            problems: Vec::new(),
        };
        Settings::new(Mode::Dev, flags.iter().map(own).collect(), environment)
    }

    #[test]
    fn a_flag_beats_the_environment_that_beats_the_file_that_beats_the_default() {
        let (flag, process, file) = ([("PORT", "1")], [("PORT", "2")], [("PORT", "3")]);
        let check = |settings: Settings, text: &str, source: Source| {
            let found = settings.find(&keys::PORT).expect("a value");
            assert_eq!((found.text.as_str(), found.source), (text, source));
        };
        check(settings(&flag, &process, &file), "1", Source::Flag("port"));
        check(settings(&[], &process, &file), "2", Source::Environment);
        check(settings(&[], &[], &file), "3", Source::DotEnv);
        check(settings(&[], &[], &[]), "3000", Source::Default);
    }

    #[test]
    fn every_problem_is_told_with_its_place_and_without_secrets() {
        let process = [("BCRYPT_COST", "99"), ("JWT_SECRET", "short")];
        let mut settings = settings(&[("PORT", "x")], &process, &[("BIND_ADDR", "here")]);
        settings.read(&keys::PORT, parse::port);
        settings.read(&keys::BIND_ADDR, parse::ip);
        settings.read(&keys::BCRYPT_COST, parse::within(4..=14));
        settings.read(&keys::JWT_SECRET, parse::secret);
        settings.read(&keys::DB_HOST, parse::host);
        let error = settings
            .finish(Some(()))
            .expect_err("five problems")
            .to_string();
        let lines: Vec<&str> = error.lines().collect();
        let expected = [
            "configuration is not valid:",
            "  --port            must be a port from 0 to 65535, not \"x\"",
            "  BIND_ADDR (.env)  must be an IP address, not \"here\"",
            "  BCRYPT_COST       must be a number from 4 to 14, not \"99\"",
            "  JWT_SECRET        must be at least 32 bytes long",
            "  DB_HOST           is not set: Host of PostgreSQL, or the folder of its socket",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_url_is_shown_without_what_opens_the_door() {
        let check = |secret: &str, shown: &str| assert_eq!(mask_url(secret), shown);
        check("hunter2", "********");
        check(
            "redis://:pass@cache:6380/1",
            "redis://********@cache:6380/1",
        );
        check(
            "postgres://chat:p%40ss@db/chat?password=other",
            "postgres://********@db/chat",
        );
    }

    #[test]
    fn a_value_that_is_no_text_is_a_problem_and_no_panic() {
        use std::os::unix::ffi::OsStringExt;
        let mut settings = settings(&[], &[], &[]);
        let bytes = std::ffi::OsString::from_vec(vec![b'3', 0xff]);
        settings.environment.process.insert("PORT", bytes);
        assert_eq!(settings.read(&keys::PORT, parse::port), None);
        let error = settings.finish(Some(())).expect_err("no text");
        assert!(
            error.problems[0].why.starts_with("must be UTF-8 text"),
            "{error}"
        );
    }
}
