//! The command line: what can be asked for, and how it ends. One file a command.
//!
//! Exit status: 0 clean, 1 failure at run time, 2 bad configuration or usage, 69 a dependency
//! that cannot be reached.

mod banner;
mod bench;
mod check_config;
mod descriptors;
mod dev;
mod dlq;
pub(crate) mod endpoint;
mod escape;
mod failure;
mod flags;
mod healthcheck;
mod logging;
mod migrate;
mod reaching;
mod serve;
mod signing;
mod specifications;
mod tail;
mod token;
mod top;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// Group chat server: an accepted message is never lost, never doubled, never out of order.
///
/// Without a command, `roomcast` is `roomcast dev`. A flag beats the environment, that beats a
/// `.env` file in the working folder, that beats the default. An empty variable counts as unset.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    dev: dev::DevArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the whole system in one process, with nothing else installed (the default)
    Dev(dev::DevArgs),
    /// Run on PostgreSQL, Kafka and Valkey
    Serve(serve::ServeArgs),
    /// Bring the schema of PostgreSQL up to date
    Migrate(migrate::MigrateArgs),
    /// Print what `serve --role all` would run with, or every problem
    CheckConfig(check_config::CheckConfigArgs),
    /// Print a signed token for a user of the data folder, for scripts
    Token(token::TokenArgs),
    /// Follow a room
    Tail(tail::TailArgs),
    /// Watch a running server
    Top(top::TopArgs),
    /// Ask a running server whether it may receive traffic: 0 or 1
    Healthcheck(healthcheck::HealthcheckArgs),
    /// List or replay messages that could not be stored
    Dlq(dlq::DlqArgs),
    /// Put load on servers and verify what arrives
    Bench(bench::BenchArgs),
    /// Print the OpenAPI 3.1 document of the REST API (served at /openapi.json, shown at /docs)
    Openapi,
    /// Print the AsyncAPI 3.0 document of the WebSocket (served at /asyncapi.json, shown at /docs)
    Asyncapi,
}

/// Does what the arguments of the process ask for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to standard output, which may be closed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    match cli.command.unwrap_or(Command::Dev(cli.dev)) {
        Command::Dev(args) => dev::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Migrate(args) => migrate::run(args),
        Command::CheckConfig(args) => check_config::run(args),
        Command::Token(args) => token::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Top(args) => top::run(args),
        Command::Healthcheck(args) => healthcheck::run(args),
        Command::Dlq(args) => dlq::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Openapi => specifications::openapi(),
        Command::Asyncapi => specifications::asyncapi(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
