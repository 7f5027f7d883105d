//! A build without TLS.

use crate::{config::least, harness::Cli};

#[test]
fn whatever_asks_for_tls_is_refused_with_the_build_that_has_it() {
    let check = |cli: Cli, args: &[&str], name: &str| {
        let output = cli.run(args);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let text = String::from_utf8(output.stderr).expect("UTF-8");
        let expected = "this build has no TLS: build with --features tls";
        let mut lines = text.lines();
        let line = lines.find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {text}"));
        assert!(line.ends_with(expected), "{line}");
        assert!(!text.contains("hunter2"), "{text}");
    };
    let serve = ["serve", "--role", "all"];
    let files = [
        "TLS_CERT",
        "TLS_KEY",
        "DB_SSL_CA",
        "KAFKA_SSL_CA",
        "REDIS_SSL_CA",
    ];
    for name in files {
        check(least().env(name, "/etc/ssl/cert.pem"), &serve, name);
    }
    let url = "postgres://chat:hunter2@db/chat?sslmode=require";
    check(least().env("DATABASE_URL", url), &serve, "DATABASE_URL");
    let valkey = "rediss://:hunter2@cache";
    check(least().env("REDIS_URL", valkey), &serve, "REDIS_URL");
    check(
        least().env("DB_SSL_MODE", "verify-full"),
        &serve,
        "DB_SSL_MODE",
    );
    let kafka = least().env("KAFKA_SECURITY_PROTOCOL", "SSL");
    check(kafka, &serve, "KAFKA_SECURITY_PROTOCOL");
    check(Cli::new(), &["--tls-cert", "cert.pem"], "--tls-cert");
}
