//! Settings as flags: each command offers those that it reads.

use std::{collections::HashMap, marker::PhantomData};

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::config::{
    Environment, Mode, Settings,
    keys::{self, Fallback, Key},
};

/// Which settings a command reads.
pub(super) trait Reads {
    const MODE: Mode;
    const KEYS: &'static [&'static [&'static Key]];
}

macro_rules! reads {
    ($($(#[$doc:meta])* $name:ident $mode:ident [$($keys:expr),+ $(,)?];)+) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(super) struct $name;
        impl Reads for $name {
            const MODE: Mode = Mode::$mode;
            const KEYS: &'static [&'static [&'static Key]] = &[$($keys),+];
        }
    )+};
}

reads! {
    /// The whole system in one process: nothing of the real services.
    ForDev Dev [&[&keys::ROOMCAST_DATA_DIR], keys::ADDRESSES, keys::ACCOUNTS, keys::LIMITS, keys::LOGS];
    /// The real services.
    ForServe Serve [
        keys::ADDRESSES, keys::WORKER, keys::ACCOUNTS, keys::SECRETS, keys::LIMITS, keys::DATABASE,
        keys::KAFKA, keys::VALKEY, keys::START, keys::LOGS,
    ];
    /// The database alone.
    ForMigrate Serve [keys::DATABASE, keys::START, keys::LOGS];
    /// The dead letters.
    ForDlq Serve [keys::KAFKA, keys::START, keys::LOGS];
    /// The data folder, and how long a token lives.
    ForToken Dev [&[&keys::ROOMCAST_DATA_DIR, &keys::JWT_EXPIRES_IN], keys::LOGS];
    /// A running server, and a token for it.
    ForTail Dev [
        &[&keys::ROOMCAST_URL, &keys::PORT, &keys::ROOMCAST_TOKEN],
        &[&keys::ROOMCAST_DATA_DIR, &keys::JWT_EXPIRES_IN],
        keys::LOGS,
    ];
    /// What operators read of a running server.
    ForTop Dev [&[&keys::ROOMCAST_URL, &keys::METRICS_ADDR], keys::LOGS];
    /// A running server.
    ForProbe Dev [&[&keys::ROOMCAST_URL, &keys::PORT, &keys::METRICS_ADDR], keys::LOGS];
}

/// The settings of a command that were given as flags.
#[derive(Debug)]
pub(super) struct Flags<R> {
    given: HashMap<&'static str, String>,
    reads: PhantomData<R>,
}

impl<R: Reads> Flags<R> {
    /// Puts the environment and `.env` behind the flags.
    pub(super) fn settings(self) -> Settings {
        Settings::new(R::MODE, self.given, Environment::capture())
    }
}

impl<R: Reads> FromArgMatches for Flags<R> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let offered = keys_of::<R>().filter(|key| key.flag.is_some());
        let given = offered.filter_map(|key| {
            let value = matches.get_one::<String>(key.name)?;
            Some((key.name, value.clone()))
        });
        Ok(Self {
            given: given.collect(),
            reads: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<R: Reads> Args for Flags<R> {
    fn augment_args(command: Command) -> Command {
        let command = keys_of::<R>()
            .filter_map(|key| argument(key, R::MODE))
            .fold(command, Command::arg);
        let secrets = keys_of::<R>().filter(|key| key.flag.is_none());
        let lines: Vec<String> = secrets
            .map(|key| format!("  {:<20} {}", key.name, key.help))
            .collect();
        match lines.is_empty() {
            true => command,
            false => command.after_help(format!(
                "Secrets, in the environment or `.env` alone:\n{}",
                lines.join("\n")
            )),
        }
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn keys_of<R: Reads>() -> impl Iterator<Item = &'static Key> {
    R::KEYS.iter().copied().flatten().copied()
}

/// Values stay text here: they are checked with all others, so that every problem is told.
fn argument(key: &'static Key, mode: Mode) -> Option<Arg> {
    let default = match (key.fallback, mode) {
        (Fallback::Required, _) => " [required]".to_owned(),
        (Fallback::Nothing, _) => String::new(),
        (Fallback::Value(text), _) => format!(" [default: {text}]"),
        (Fallback::ByMode { dev, .. }, Mode::Dev) => format!(" [default: {dev}]"),
        (Fallback::ByMode { serve, .. }, Mode::Serve) => format!(" [default: {serve}]"),
    };
    let arg = Arg::new(key.name)
        .long(key.flag?)
        .value_name("VALUE")
        .allow_negative_numbers(true)
        .help_heading(key.group)
        .help(format!("{}\n[env: {}]{default}", key.help, key.name));
    Some(arg)
}
