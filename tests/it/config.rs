//! The configuration: where values come from, what is refused, and that all of it is documented.

use std::{collections::BTreeMap, fs, process::Output};

use roomcast::config::keys::{self, Fallback, Key};

use crate::harness::{Cli, uuid};

/// The least that `serve` needs.
const LEAST: [(&str, &str); 5] = [
    ("DB_HOST", "db.example.com"),
    ("DB_USERNAME", "chat"),
    ("DB_PASSWORD", "hunter2-hunter2"),
    ("DB_DATABASE", "chat"),
    ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
];

fn all_keys() -> impl Iterator<Item = &'static Key> {
    keys::ALL.iter().copied().flatten().copied()
}

/// A call with the least that `serve` needs.
pub fn least() -> Cli {
    LEAST
        .iter()
        .fold(Cli::new(), |cli, (name, value)| cli.env(name, value))
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// The settings that a refusal names.
fn refused(output: &Output) -> Vec<String> {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(output.stdout.is_empty(), "nothing but the problems");
    assert_eq!(text.lines().next(), Some("configuration is not valid:"));
    let names = text.lines().skip(1).filter_map(|line| {
        let line = line.strip_prefix("  ")?;
        line.split("  ").next().map(str::to_owned)
    });
    names.collect()
}

#[test]
fn a_flag_beats_the_environment_that_beats_the_file_that_beats_the_default() {
    let check = |cli: Cli, args: &[&str], expected: &str| {
        let output = cli.run(&[&["check-config"], args].concat());
        let text = stdout(&output);
        assert!(
            text.lines().any(|line| line == expected),
            "{expected} in {text}{}",
            stderr(&output)
        );
    };
    let file = "PORT=3\nBIND_ADDR=::1\n";
    let both = || least().env("PORT", "2").file(".env", file);
    check(least(), &[], "PORT=3000  # default");
    check(least().file(".env", file), &[], "PORT=3  # .env");
    check(both(), &[], "PORT=2  # environment");
    check(both(), &["--port", "1"], "PORT=1  # --port");
    check(both(), &[], "BIND_ADDR=::1  # .env");
    check(least().env("PORT", ""), &[], "PORT=3000  # default");
    check(
        least().env("PORT", "").file(".env", file),
        &[],
        "PORT=3  # .env",
    );
    check(least().file(".env", "PORT=\n"), &[], "PORT=3000  # default");
}

#[test]
fn the_effective_configuration_is_shown_without_secrets() {
    let cli = least()
        .env(
            "DATABASE_URL",
            "postgres://chat:hunter2-hunter2@db:5432/chat?password=hunter2-hunter2",
        )
        .env("REDIS_URL", "redis://:hunter2-hunter2@cache:6379")
        .env("JWT_SECRET_PREVIOUS", "fedcba9876543210fedcba9876543210");
    let output = cli.run(&["check-config"]);
    let text = stdout(&output);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for secret in ["hunter2-hunter2", "0123456789abcdef", "fedcba9876543210"] {
        assert!(!text.contains(secret), "{text}");
    }
    let has = |line: &str| assert!(text.lines().any(|found| found == line), "{line} in {text}");
    has("JWT_SECRET=********  # environment");
    has("DB_PASSWORD=********  # environment");
    has("DATABASE_URL=postgres://********@db:5432/chat  # environment");
    has("REDIS_URL=redis://********@cache:6379  # environment");
    has("BIND_ADDR=0.0.0.0  # default");
    has("LIMIT_SEND_BURST=20  # default");
    has("# KAFKA_REPLICATION is not set");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let printed = stdout(
        &least()
            .env("CORS_ORIGINS", "https://a.example")
            .run(&["check-config"]),
    );
    let again = least().file(".env", &printed).run(&["check-config"]);
    // A masked secret is no secret; those of the environment stand before it.
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert!(stdout(&again).contains("CORS_ORIGINS=https://a.example  # .env"));
}

#[test]
fn every_problem_is_told_at_once() {
    let missing = refused(&Cli::new().run(&["check-config"]));
    assert_eq!(
        missing,
        [
            "DB_HOST",
            "DB_USERNAME",
            "DB_PASSWORD",
            "DB_DATABASE",
            "JWT_SECRET"
        ]
    );
    let bad = all_keys().filter(|key| key.group != "Embedded data and tools");
    let bad: Vec<&Key> = bad.collect();
    // U+0000 cannot be in a variable, so that a text which means nothing to us is never bad.
    let free_text = [
        "DB_USERNAME",
        "DB_PASSWORD",
        "DB_DATABASE",
        "KAFKA_SASL_USERNAME",
        "KAFKA_SASL_PASSWORD",
    ];
    let cli = bad
        .iter()
        .fold(Cli::new(), |cli, key| cli.env(key.name, "= bad ="));
    let mut told = refused(&cli.run(&["serve", "--role", "all"]));
    told.sort_unstable();
    let names = bad.iter().map(|key| key.name.to_owned());
    let mut expected: Vec<String> = names
        .filter(|name| !free_text.contains(&name.as_str()))
        .collect();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

#[test]
fn flags_and_files_are_named_where_they_are_wrong() {
    let cli = least()
        .env("BCRYPT_COST", "3")
        .file(".env", "METRICS_ADDR=here\nPORT=x\n");
    let told = refused(&cli.run(&["check-config", "--port", "70000"]));
    assert_eq!(told, ["--port", "METRICS_ADDR (.env)", "BCRYPT_COST"]);
}

#[test]
fn a_broken_file_is_a_problem_of_configuration_and_its_line_stays_secret() {
    let output = Cli::new()
        .file(".env", "PORT=1\nDB_PASSWORD=my secret\nPORT=2\n")
        .run(&["check-config"]);
    let told = refused(&output);
    assert_eq!(told[..2], [".env:2", ".env"], "{told:?}");
    assert!(stderr(&output).contains("sets PORT twice"));
    assert!(!stderr(&output).contains("my secret"));
    let of_dev = Cli::new()
        .file(".env", "my secret\n")
        .run(&["dev", "--port", "x"]);
    assert_eq!(refused(&of_dev), [".env:1", "--port"]);
}

#[test]
fn each_role_asks_for_what_it_needs() {
    let check = |args: &[&str], expected: &[&str]| {
        assert_eq!(refused(&Cli::new().run(args)), expected, "{args:?}");
    };
    let database = ["DB_HOST", "DB_USERNAME", "DB_PASSWORD", "DB_DATABASE"];
    let gateway = [&database[..], &["JWT_SECRET"]].concat();
    check(&["serve", "--role", "all"], &gateway);
    check(&["serve", "--role", "gateway"], &gateway);
    check(&["serve", "--role", "worker"], &database);
    check(&["migrate"], &database);
    let role = Cli::new().run(&["serve"]);
    assert_eq!(role.status.code(), Some(2));
    assert!(stderr(&role).contains("--role"), "{}", stderr(&role));
}

#[test]
fn dev_does_not_look_at_the_services_settings() {
    let groups = [
        keys::DATABASE,
        keys::KAFKA,
        keys::VALKEY,
        keys::SECRETS,
        keys::START,
        keys::WORKER,
    ];
    let foreign = groups.into_iter().flatten();
    let cli = foreign.fold(Cli::new(), |cli, key| cli.env(key.name, "= bad ="));
    assert_eq!(refused(&cli.run(&["dev", "--port", "x"])), ["--port"]);
}

#[test]
fn every_setting_of_dev_is_checked() {
    let groups = [keys::ADDRESSES, keys::ACCOUNTS, keys::LIMITS, keys::LOGS];
    let names: Vec<&str> = groups.into_iter().flatten().map(|key| key.name).collect();
    let cli = names
        .iter()
        .fold(Cli::new(), |cli, name| cli.env(name, "= bad ="));
    assert_eq!(refused(&cli.run(&[])), names);
}

#[test]
fn tools_check_their_arguments_first() {
    let output = Cli::new().run(&[
        "bench",
        "https://a",
        "--clients",
        "0",
        "--rooms",
        "x",
        "--rate",
        "-1",
        "--duration-s",
        "0",
        "--reconnect-every-s",
        "1.5",
        "--duplicate-percent",
        "101",
    ]);
    let expected = [
        "URL",
        "--clients",
        "--rooms",
        "--rate",
        "--duration-s",
        "--reconnect-every-s",
        "--duplicate-percent",
    ];
    assert_eq!(refused(&output), expected);
    assert_eq!(
        refused(&Cli::new().env("KAFKA_BROKERS", "x").run(&["dlq", "list"])),
        ["KAFKA_BROKERS"]
    );
    assert_eq!(
        refused(&Cli::new().run(&["top", "--url", "here"])),
        ["--url"]
    );
    let room = uuid();
    for tool in [&["tail", &room][..], &["healthcheck"], &["top"]] {
        let args = [tool, &["--url", "https://chat.example.com"]].concat();
        let output = Cli::new().run(&args);
        assert_eq!(refused(&output), ["--url"], "{tool:?}");
        let said = stderr(&output);
        assert!(said.contains("do not speak TLS"), "{said}");
        assert!(said.contains("http://127.0.0.1:3000"), "{said}");
    }
    assert_eq!(
        Cli::new().run(&["bench"]).status.code(),
        Some(2),
        "a URL is needed"
    );
}

/// Names and values of a file in the form of `.env`, those behind `# ` too.
fn documented(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("# ").unwrap_or(line).split_once('=')?;
        let is_name = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
        let is_key = !name.is_empty() && name.bytes().all(is_name);
        is_key.then(|| (name.to_owned(), value.to_owned()))
    });
    lines.collect()
}

#[test]
fn the_example_has_every_setting_with_its_default() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example");
    let mut found = documented(&fs::read_to_string(path).expect("an example"));
    for key in all_keys() {
        let value = found.remove(key.name);
        let value = value.unwrap_or_else(|| panic!("{} is not in .env.example", key.name));
        match key.fallback {
            Fallback::Required => {}
            Fallback::Nothing => assert_eq!(value, "", "{}", key.name),
            Fallback::Value(default) => assert_eq!(value, default, "{}", key.name),
            Fallback::ByMode { serve, .. } => assert_eq!(value, serve, "{}", key.name),
        }
    }
    assert!(found.is_empty(), "not settings: {found:?}");
}

#[test]
fn the_operators_page_has_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/OPERATIONS.md");
    let Ok(page) = fs::read_to_string(path) else {
        eprintln!("not checked: {path} is not there yet");
        return;
    };
    for key in all_keys() {
        assert!(
            page.contains(&format!("`{}`", key.name)),
            "{} is not in {path}",
            key.name
        );
    }
}

#[test]
fn help_names_the_variable_of_each_flag() {
    let help = |args: &[&str]| {
        let output = Cli::new().run(args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output)
    };
    let serve = help(&["serve", "--help"]);
    let dev = help(&["--help"]);
    let of_dev = [
        keys::ADDRESSES,
        keys::ACCOUNTS,
        keys::LIMITS,
        keys::LOGS,
        &[&keys::ROOMCAST_DATA_DIR],
    ];
    let of_dev: Vec<&str> = of_dev.into_iter().flatten().map(|key| key.name).collect();
    for key in
        all_keys().filter(|key| key.group != "Embedded data and tools" || key.name.ends_with("DIR"))
    {
        let text = match key.name.ends_with("DIR") {
            true => &dev,
            false => &serve,
        };
        match key.flag {
            Some(flag) => {
                assert!(text.contains(&format!("--{flag} ")), "--{flag}");
                assert!(
                    text.contains(&format!("[env: {}]", key.name)),
                    "{}",
                    key.name
                );
            }
            None => assert!(text.contains(&format!("  {} ", key.name)), "{}", key.name),
        }
        let is_of_dev = of_dev.contains(&key.name);
        assert_eq!(
            dev.contains(&format!("[env: {}]", key.name)),
            is_of_dev,
            "{}",
            key.name
        );
    }
}
