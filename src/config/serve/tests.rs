use super::*;
use crate::config::settings::of_process as settings;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

const LEAST: [(&str, &str); 5] = [
    ("DB_HOST", "db"),
    ("DB_USERNAME", "chat"),
    ("DB_PASSWORD", "pass"),
    ("DB_DATABASE", "chat"),
    ("JWT_SECRET", SECRET),
];

fn problems(given: &[(&'static str, &str)], role: Role) -> Vec<String> {
    let error = ServeConfig::load(settings(given), role).expect_err("not valid");
    error
        .problems
        .into_iter()
        .map(|problem| problem.what)
        .collect()
}

fn with(more: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    LEAST.iter().chain(more).copied().collect()
}

#[test]
fn the_least_is_database_and_secret() {
    let config = ServeConfig::load(settings(&LEAST), Role::All).expect("valid");
    assert_eq!(
        config.database.url.expose_secret(),
        "postgres://chat:pass@db:5432/chat"
    );
    let gateway = config.gateway.expect("all has a gateway");
    assert_eq!(gateway.redis.url.expose_secret(), "redis://localhost:6379");
    assert_eq!(gateway.config.http.bind_addr, ([0, 0, 0, 0], 3000).into());
    assert_eq!(config.worker_addr, Some(([0, 0, 0, 0], 3001).into()));
    assert_eq!(config.kafka.brokers, ["localhost:29092"]);
}

#[test]
fn each_role_asks_for_what_it_needs() {
    let check = |role, expected: &[&str]| assert_eq!(problems(&[], role), expected, "{role:?}");
    let database = ["DB_HOST", "DB_USERNAME", "DB_PASSWORD", "DB_DATABASE"];
    let gateway: Vec<_> = database.into_iter().chain(["JWT_SECRET"]).collect();
    check(Role::Worker, &database);
    check(Role::Gateway, &gateway);
    check(Role::All, &gateway);
    ServeConfig::load(settings(&LEAST[..4]), Role::Worker).expect("no secret needed");
}

#[test]
fn a_url_wins_and_the_parts_are_checked_all_the_same() {
    let urls = [
        ("DATABASE_URL", "postgres://u@h/d"),
        ("REDIS_URL", "redis://r:1"),
    ];
    let config = ServeConfig::load(settings(&with(&urls)), Role::All).expect("valid");
    assert_eq!(config.database.url.expose_secret(), "postgres://u@h/d");
    let gateway = config.gateway.expect("all has a gateway");
    assert_eq!(gateway.redis.url.expose_secret(), "redis://r:1");
    let alone = [urls[0], ("JWT_SECRET", SECRET)];
    ServeConfig::load(settings(&alone), Role::All).expect("the parts may be missing");
    let bad = [
        urls[0],
        urls[1],
        ("DB_PORT", "x"),
        ("REDIS_PORT", "0"),
        ("DB_HOST", "a:1"),
    ];
    let found = problems(&with(&bad), Role::All);
    assert_eq!(found, ["DB_PORT", "DB_HOST", "REDIS_PORT"]);
    let bad_url = problems(&with(&[("DATABASE_URL", "mysql://x")]), Role::All);
    assert_eq!(
        bad_url,
        ["DATABASE_URL"],
        "valid parts do not stand in for a bad URL"
    );
}

#[test]
fn parts_become_a_url_whatever_is_in_them() {
    let odd = [
        ("DB_HOST", "::1"),
        ("DB_USERNAME", "a b@c"),
        ("DB_PASSWORD", "p@ss:/?#[]%41"),
        ("DB_DATABASE", "x/y"),
    ];
    let database = DatabaseConfig::read(&mut settings(&odd)).expect("valid");
    let url = url::Url::parse(database.url.expose_secret()).expect("a URL");
    let decoded = |text: &str| {
        let text = percent_encoding::percent_decode_str(text).decode_utf8();
        text.expect("UTF-8").into_owned()
    };
    assert_eq!(url.host_str(), Some("[::1]"));
    assert_eq!(decoded(url.username()), "a b@c");
    assert_eq!(decoded(url.password().expect("one")), "p@ss:/?#[]%41");
    assert_eq!(decoded(url.path()), "/x/y");
    let socket = [("DB_HOST", "/run/pg"), odd[1], odd[2], odd[3]];
    let database = DatabaseConfig::read(&mut settings(&socket)).expect("valid");
    assert!(database.url.expose_secret().contains("@%2Frun%2Fpg:5432/"));
}

#[test]
fn a_start_demands_no_more_copies_than_it_makes() {
    let few = [
        ("KAFKA_REPLICATION", "1"),
        ("KAFKA_MIN_ISR", "2"),
        ("KAFKA_MIN_REPLICATION", "3"),
    ];
    assert_eq!(
        problems(&with(&few), Role::Worker),
        ["KAFKA_MIN_REPLICATION", "KAFKA_MIN_ISR"]
    );
}

#[test]
fn a_problem_is_told_once() {
    let bad = with(&[("BIND_ADDR", "here")]);
    assert_eq!(problems(&bad, Role::All), ["BIND_ADDR"]);
}

#[test]
fn no_secret_is_shown() {
    let config = ServeConfig::load(settings(&LEAST), Role::All).expect("valid");
    let shown = format!("{config:?}");
    assert!(
        !shown.contains("pass") && !shown.contains(SECRET),
        "{shown}"
    );
}
