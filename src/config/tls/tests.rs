use secrecy::ExposeSecret;

use super::*;
use crate::config::{DatabaseConfig, RedisConfig, settings::of_process as settings};

/// Reads one part of the configuration; returns its problems.
fn problems<T>(
    given: &[(&'static str, &str)],
    read: impl FnOnce(&mut Settings) -> Option<T>,
) -> Vec<String> {
    let mut settings = settings(given);
    let read = read(&mut settings);
    let problems = settings.finish(read).err().map(|error| error.problems);
    problems
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_connection_is_in_the_clear_unless_it_is_said() {
    let url = [("DATABASE_URL", "postgres://u@h/d?sslmode=disable&a=b%20c")];
    let database = DatabaseConfig::read(&mut settings(&url)).expect("valid");
    assert!(database.tls.is_none());
    assert_eq!(
        database.url.expose_secret(),
        "postgres://u@h/d?a=b%20c",
        "the rest is as it was"
    );
    let kafka = KafkaSecurity::read(&mut settings(&[])).expect("valid");
    assert_eq!(kafka.protocol, KafkaProtocol::Plaintext);
    assert!(kafka.sasl.is_none() && kafka.authorities.is_none());
    assert!(server(&mut settings(&[])).expect("valid").is_none());
}

#[test]
fn a_mode_that_promises_nothing_is_refused() {
    for mode in ["prefer", "allow", "verify-ca", "", "yes"] {
        let url = format!("postgres://u@h/d?sslmode={mode}");
        let found = problems(&[("DATABASE_URL", &url)], DatabaseConfig::read);
        let expected = "DATABASE_URL sslmode must be disable, require or verify-full";
        assert_eq!(found, [expected], "{mode}");
    }
}

#[test]
fn what_means_nothing_is_told() {
    let of_kafka = [
        ("KAFKA_SASL_MECHANISM", "PLAIN"),
        ("KAFKA_SASL_USERNAME", "chat"),
        ("KAFKA_SASL_PASSWORD", "hunter2"),
    ];
    let found = problems(&of_kafka, KafkaSecurity::read);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(!found.concat().contains("hunter2"), "{found:?}");
    let unknown = [("KAFKA_SECURITY_PROTOCOL", "TLS")];
    assert_eq!(
        problems(&unknown, KafkaSecurity::read),
        ["KAFKA_SECURITY_PROTOCOL must be PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL, not \"TLS\""]
    );
}

/// What a bad URL may have meant is not guessed at: it is the problem.
#[test]
fn a_bad_url_is_one_problem() {
    let redis = [("REDIS_URL", "cache")];
    let found = problems(&redis, RedisConfig::read);
    assert_eq!(found.len(), 1, "{found:?}");
    let database = [("DATABASE_URL", "db")];
    let found = problems(&database, DatabaseConfig::read);
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn a_bad_mechanism_does_not_hide_what_else_is_wrong() {
    let given = [
        ("KAFKA_SASL_MECHANISM", "GSSAPI"),
        ("KAFKA_SASL_USERNAME", "chat"),
    ];
    let found = problems(&given, KafkaSecurity::read);
    let idle = "means nothing without KAFKA_SECURITY_PROTOCOL=SASL_SSL or SASL_PLAINTEXT";
    assert_eq!(
        found,
        [
            "KAFKA_SASL_MECHANISM must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512, not \"GSSAPI\"",
            &format!("KAFKA_SASL_MECHANISM {idle}"),
            &format!("KAFKA_SASL_USERNAME {idle}"),
        ]
    );
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_all_that_it_cannot() {
    let check =
        |given: &[(&'static str, &str)], names: &[&str], read: fn(&mut Settings) -> bool| {
            let found = problems(given, |settings| read(settings).then_some(()));
            let cannot =
                |name: &&str| format!("{name} this build has no TLS: build with --features tls");
            let expected: Vec<_> = names.iter().map(cannot).collect();
            assert_eq!(found, expected);
        };
    let database = [
        ("DATABASE_URL", "postgres://u@h/d?sslmode=require"),
        ("DB_SSL_CA", "/ca.pem"),
    ];
    check(&database, &["DB_SSL_CA", "DATABASE_URL"], |settings| {
        DatabaseConfig::read(settings).is_some()
    });
    let redis = [("REDIS_URL", "rediss://cache"), ("REDIS_SSL_CA", "/ca.pem")];
    check(&redis, &["REDIS_SSL_CA", "REDIS_URL"], |settings| {
        RedisConfig::read(settings).is_some()
    });
    let kafka = [
        ("KAFKA_SECURITY_PROTOCOL", "SSL"),
        ("KAFKA_SSL_CA", "/ca.pem"),
    ];
    let names = ["KAFKA_SSL_CA", "KAFKA_SECURITY_PROTOCOL"];
    check(&kafka, &names, |settings| {
        KafkaSecurity::read(settings).is_some()
    });
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_which_has_it() {
    let wanted: [(&str, &str); 4] = [
        ("DATABASE_URL", "postgres://u@h/d?sslmode=require"),
        ("REDIS_URL", "rediss://cache"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
        ("TLS_CERT", "/somewhere"),
    ];
    for (name, value) in wanted {
        let found = problems(&[(name, value)], |settings| {
            let database = DatabaseConfig::read(settings);
            let redis = RedisConfig::read(settings);
            let kafka = KafkaSecurity::read(settings);
            let server = server(settings);
            Some((database, redis, kafka, server))
        });
        let expected = format!("{name} this build has no TLS: build with --features tls");
        assert!(found.contains(&expected), "{found:?}");
    }
}

#[cfg(feature = "tls")]
mod built_in {
    use std::{fs, path::PathBuf};

    use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
    use secrecy::ExposeSecret;
    use tempfile::TempDir;

    use super::*;

    /// A certificate, its key, another key, and a file of nonsense.
    struct Files {
        folder: TempDir,
    }

    impl Files {
        fn make() -> Self {
            let made = generate_simple_self_signed(["localhost".to_owned()]);
            let CertifiedKey { cert, signing_key } = made.expect("a certificate");
            let other = KeyPair::generate().expect("a key");
            let files = Self {
                folder: TempDir::new().expect("a folder"),
            };
            files.write("cert", &cert.pem());
            files.write("key", &signing_key.serialize_pem());
            files.write("other", &other.serialize_pem());
            files.write("nonsense", "hunter2");
            files
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.path(name), text).expect("a folder that can be written to");
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn at(&self, name: &str) -> String {
            self.path(name).display().to_string()
        }
    }

    #[test]
    fn certificate_and_key_come_together() {
        let files = Files::make();
        let check = |cert: Option<&str>, key: Option<&str>, expected: &[&str]| {
            let (cert, key) = (cert.map(|it| files.at(it)), key.map(|it| files.at(it)));
            let cert = cert.as_deref().map(|path| ("TLS_CERT", path));
            let key = key.as_deref().map(|path| ("TLS_KEY", path));
            let given: Vec<_> = cert.into_iter().chain(key).collect();
            let found = problems(&given, server);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.starts_with(expected), "{found} is not {expected}");
                assert!(!found.contains("hunter2"), "{found}");
            }
        };
        check(Some("cert"), Some("key"), &[]);
        check(
            Some("cert"),
            None,
            &["TLS_KEY is not set: TLS_CERT needs it"],
        );
        check(
            None,
            Some("key"),
            &["TLS_CERT is not set: TLS_KEY needs it"],
        );
        let other = "TLS_KEY is the key of another certificate";
        check(Some("cert"), Some("other"), &[other]);
        let empty = "TLS_CERT must be a PEM file (there is none in it)";
        check(Some("key"), Some("key"), &[empty]);
        let both = [
            "TLS_CERT must be a PEM file (there is none in it)",
            "TLS_KEY must be a PEM file (No such file",
        ];
        check(Some("nonsense"), Some("nowhere"), &both);
        let lonely = [
            "TLS_CERT must be a PEM file (there is none in it)",
            "TLS_KEY is not set: TLS_CERT needs it",
        ];
        check(Some("nonsense"), None, &lonely);
        let lonely = [
            "TLS_KEY must be a PEM file (there is none in it)",
            "TLS_CERT is not set: TLS_KEY needs it",
        ];
        check(None, Some("nonsense"), &lonely);
    }

    /// One that can vouch for nobody would be told by nobody but the service that is not believed.
    #[test]
    fn authorities_are_looked_at_before_anything_is_opened() {
        let files = Files::make();
        let noise = "-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n";
        files.write("noise", noise);
        let path = files.at("noise");
        let check = |given: &[(&'static str, &str)], read: fn(&mut Settings) -> bool| {
            let found = problems(given, |settings| read(settings).then_some(()));
            let [found] = found.as_slice() else {
                panic!("{found:?}");
            };
            let expected = "_SSL_CA must be a PEM file of what can be used (";
            assert!(found.contains(expected), "{found}");
        };
        let url = ("DATABASE_URL", "postgres://u@h/d?sslmode=require");
        check(&[url, ("DB_SSL_CA", &path)], |settings| {
            DatabaseConfig::read(settings).is_some()
        });
        let url = ("REDIS_URL", "rediss://cache");
        check(&[url, ("REDIS_SSL_CA", &path)], |settings| {
            RedisConfig::read(settings).is_some()
        });
        let ssl = ("KAFKA_SECURITY_PROTOCOL", "SSL");
        check(&[ssl, ("KAFKA_SSL_CA", &path)], |settings| {
            KafkaSecurity::read(settings).is_some()
        });
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let files = Files::make();
        let (nowhere, path) = (files.at("nowhere"), files.at("cert"));
        let kafka = [
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("KAFKA_SSL_CA", &nowhere),
            ("KAFKA_SASL_MECHANISM", "GSSAPI"),
        ];
        let names = |found: Vec<String>| -> Vec<String> {
            let first = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
            found.iter().map(first).collect()
        };
        let found = names(problems(&kafka, KafkaSecurity::read));
        let sasl = ["MECHANISM", "USERNAME", "PASSWORD"];
        let sasl = sasl.map(|name| format!("KAFKA_SASL_{name}"));
        assert_eq!(found, [&["KAFKA_SSL_CA".to_owned()], &sasl[..]].concat());
        let database = [
            ("DATABASE_URL", "postgres://u@h/d?sslmode=require"),
            ("DB_PORT", "x"),
            ("DB_SSL_MODE", "prefer"),
            ("DB_SSL_CA", &nowhere),
        ];
        let found = names(problems(&database, DatabaseConfig::read));
        assert_eq!(found, ["DB_PORT", "DB_SSL_MODE", "DB_SSL_CA"]);
        // It is asked for by a URL of which more is wrong: the authorities are not idle.
        let database = [
            ("DATABASE_URL", "postgres://u@h/d?sslmode=require"),
            ("DB_PORT", "x"),
            ("DB_SSL_CA", &path),
        ];
        let found = names(problems(&database, DatabaseConfig::read));
        assert_eq!(found, ["DB_PORT"]);
        let redis = [("REDIS_URL", "nonsense"), ("REDIS_SSL_CA", &path)];
        assert_eq!(names(problems(&redis, RedisConfig::read)), ["REDIS_URL"]);
    }

    #[test]
    fn a_database_is_asked_for_tls_by_url_or_by_setting() {
        let files = Files::make();
        let authorities = files.at("cert");
        let parts = |more: &[(&'static str, &str)]| {
            let given = [
                ("DB_HOST", "h"),
                ("DB_USERNAME", "u"),
                ("DB_PASSWORD", "p"),
                ("DB_DATABASE", "d"),
                ("DB_SSL_CA", authorities.as_str()),
            ];
            let given: Vec<_> = given.iter().chain(more).copied().collect();
            DatabaseConfig::read(&mut settings(&given))
        };
        let has_tls = |config: Option<DatabaseConfig>| config.expect("valid").tls.is_some();
        assert!(has_tls(parts(&[("DB_SSL_MODE", "require")])));
        assert!(has_tls(parts(&[("DB_SSL_MODE", "verify-full")])));
        let url = "postgres://u:p%40@h/d?sslmode=verify-full&connect_timeout=3";
        let config = parts(&[("DATABASE_URL", url)]).expect("valid");
        assert_eq!(
            config.url.expose_secret(),
            "postgres://u:p%40@h/d?connect_timeout=3"
        );
        assert!(config.tls.is_some());
        // Whoever names authorities wants them to count.
        assert!(parts(&[]).is_none());
        let disabled = "postgres://u@h/d?sslmode=disable";
        let both = [("DATABASE_URL", disabled), ("DB_SSL_MODE", "require")];
        assert!(parts(&both).is_none(), "the URL wins");
    }

    #[test]
    fn sasl_needs_all_of_a_user() {
        let protocol = ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl");
        let found = problems(&[protocol], KafkaSecurity::read);
        let names = ["MECHANISM", "USERNAME", "PASSWORD"];
        let expected = names.map(|name| format!("KAFKA_SASL_{name} is not set: SASL_SSL needs it"));
        assert_eq!(found, expected);
        let user = [
            protocol,
            ("KAFKA_SASL_MECHANISM", "scram-sha-512"),
            ("KAFKA_SASL_USERNAME", "chat"),
            ("KAFKA_SASL_PASSWORD", "hunter2"),
        ];
        let security = KafkaSecurity::read(&mut settings(&user)).expect("valid");
        let shown = format!("{security:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let sasl = security.sasl.expect("a user");
        assert_eq!(sasl.mechanism, "SCRAM-SHA-512");
    }

    #[test]
    fn authorities_without_tls_are_told() {
        let files = Files::make();
        let path = files.at("cert");
        let plain = [("REDIS_URL", "redis://cache"), ("REDIS_SSL_CA", &path)];
        let found = problems(&plain, RedisConfig::read);
        assert_eq!(
            found,
            ["REDIS_SSL_CA means nothing without a REDIS_URL with rediss://"]
        );
        let encrypted = [("REDIS_URL", "rediss://cache"), ("REDIS_SSL_CA", &path)];
        let config = RedisConfig::read(&mut settings(&encrypted)).expect("valid");
        assert!(config.authorities.is_some());
    }
}
