use secrecy::ExposeSecret;

use super::*;

/// Each value is read as `expected` shows it, or refused.
fn check<T: fmt::Debug>(parse: impl Fn(&str) -> Parsed<T>, cases: &[(&str, Option<&str>)]) {
    for (text, expected) in cases {
        let parsed = parse(text).ok().map(|value| format!("{value:?}"));
        assert_eq!(parsed.as_deref(), *expected, "{text:?}");
    }
}

#[test]
fn ports_are_numbers_of_sixteen_bits() {
    let common = [
        ("3000", Some("3000")),
        (" 65535 ", Some("65535")),
        ("65536", None),
        ("-1", None),
        ("abc", None),
        ("", None),
        ("3000.0", None),
    ];
    check(port, &common);
    check(service_port, &common);
    check(port, &[("0", Some("0"))]);
    check(service_port, &[("0", None)]);
}

#[test]
fn addresses_are_numeric() {
    check(
        ip,
        &[
            ("127.0.0.1", Some("127.0.0.1")),
            ("::", Some("::")),
            ("[::1]", Some("::1")),
            ("localhost", None),
            ("127.0.0.1:3000", None),
            ("", None),
        ],
    );
    check(
        metrics_addr,
        &[
            ("127.0.0.1:9464", Some("Some(127.0.0.1:9464)")),
            ("[::1]:0", Some("Some([::1]:0)")),
            ("off", Some("None")),
            ("9464", None),
            ("localhost:9464", None),
            ("none", None),
        ],
    );
}

#[test]
fn numbers_keep_to_their_range() {
    check(
        |text: &str| within(4..=14)(text),
        &[
            ("4", Some("4")),
            ("14", Some("14")),
            ("3", None),
            ("15", None),
            ("ten", None),
        ],
    );
    check(
        limit,
        &[
            ("0", Some("0")),
            ("1000000", Some("1000000")),
            ("1000001", None),
            ("-1", None),
            ("1e3", None),
        ],
    );
}

#[test]
fn a_life_has_a_unit_or_is_in_seconds() {
    check(
        expires_in,
        &[
            ("1", Some("1s")),
            ("30s", Some("30s")),
            ("15m", Some("900s")),
            ("12h", Some("43200s")),
            ("1d", Some("86400s")),
            ("365d", Some("31536000s")),
            ("366d", None),
            ("0", None),
            ("0d", None),
            ("", None),
            ("d", None),
            ("1dd", None),
            ("-5m", None),
            ("+5m", None),
            ("1.5h", None),
            ("1 h", None),
            ("1w", None),
            ("99999999999999999999d", None),
            ("18446744073709551615d", None),
        ],
    );
}

#[test]
fn a_secret_is_long_enough_in_bytes() {
    assert!(secret(&"x".repeat(31)).is_err());
    assert!(secret(&"x".repeat(32)).is_ok());
    assert!(secret(&"é".repeat(16)).is_ok());
    let kept = secret(&format!(" {} ", "x".repeat(32))).expect("long enough");
    assert_eq!(kept.expose_secret().len(), 34, "taken as it is");
}

#[test]
fn hosts_come_without_ports() {
    check(
        host,
        &[
            ("db.example.com", Some("\"db.example.com\"")),
            ("localhost", Some("\"localhost\"")),
            ("10.0.0.1", Some("\"10.0.0.1\"")),
            ("::1", Some("\"::1\"")),
            ("/var/run/postgresql", Some("\"/var/run/postgresql\"")),
            ("db:5432", None),
            ("postgres://db", None),
            ("two words", None),
            ("", None),
        ],
    );
}

#[test]
fn brokers_come_with_ports() {
    check(
        brokers,
        &[
            ("localhost:29092", Some(r#"["localhost:29092"]"#)),
            ("a:1, b:2,", Some(r#"["a:1", "b:2"]"#)),
            ("[::1]:9092", Some(r#"["[::1]:9092"]"#)),
            ("localhost", None),
            ("localhost:0", None),
            ("localhost:x", None),
            ("a:1,b", None),
            (",", None),
            ("kafka://a:1", None),
        ],
    );
}

#[test]
fn networks_may_be_single_addresses() {
    check(
        networks,
        &[
            ("", Some("[]")),
            ("10.0.0.0/8, ::1", Some("[10.0.0.0/8, ::1/128]")),
            ("192.0.2.1", Some("[192.0.2.1/32]")),
            ("10.0.0.0/33", None),
            ("proxy", None),
            ("10.0.0.0/8,proxy", None),
        ],
    );
}

#[test]
fn origins_are_written_as_browsers_do() {
    check(
        origins,
        &[
            ("", Some("[]")),
            (
                "https://Chat.Example.com:443/",
                Some(r#"["https://chat.example.com"]"#),
            ),
            (
                "http://localhost:5173, https://a.example",
                Some(r#"["http://localhost:5173", "https://a.example"]"#),
            ),
            (
                "capacitor://localhost",
                Some(r#"["capacitor://localhost"]"#),
            ),
            ("*", None),
            ("https://*.example.com", None),
            ("null", None),
            ("chat.example.com", None),
            ("https://a.example/path", None),
            ("https://user@a.example", None),
            ("https://a.example?x", None),
        ],
    );
}

#[test]
fn urls_of_services_name_what_is_needed() {
    let shown = |parse: fn(&str) -> Parsed<SecretString>| move |text: &str| parse(text).map(|_| ());
    let yes = Some("()");
    check(
        shown(database_url),
        &[
            ("postgres://chat:p%40ss@db:5432/chat?sslmode=require", yes),
            ("postgresql://chat@[::1]/chat", yes),
            ("postgres:///chat?host=/run/postgresql&user=chat", yes),
            ("mysql://chat@db/chat", None),
            ("postgres://db/chat", None),
            ("postgres:///chat", None),
            ("db:5432", None),
            ("", None),
        ],
    );
    check(
        shown(redis_url),
        &[
            ("redis://cache", yes),
            ("redis://:pass@cache:6380/1", yes),
            ("redis://cache/first", None),
            ("http://cache", None),
            ("cache:6379", None),
        ],
    );
    check(
        |text: &str| server_url(text).map(|_| ()),
        &[
            ("http://127.0.0.1:3000", yes),
            ("https://chat.example.com", None),
            ("127.0.0.1:3000", None),
        ],
    );
}

#[test]
fn log_filters_are_what_env_logger_takes() {
    check(
        |text: &str| log_filter(text).map(|_| ()),
        &[
            ("info", Some("()")),
            ("info,actix_server=warn", Some("()")),
            ("off", Some("()")),
            ("warn,roomcast::store", Some("()")),
            ("actix_web=debug,INFO", Some("()")),
            ("info/some.text", Some("()")),
            ("nonsense", None),
            ("info,debgu", None),
            ("roomcast=loud", None),
            ("a=b=c", None),
        ],
    );
}
