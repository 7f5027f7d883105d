//! PostgreSQL, Kafka and Valkey over TLS, as `dev/services` runs them.

use std::{env, process::Command, sync::Arc};

use crate::harness::{Ground, ServerOptions, Services, TestServer, seqs, skip, tls::Identity};

/// Where TLS is spoken, and by whom it is vouched for.
struct Encrypted {
    authority: String,
    kafka: String,
    kafka_sasl: String,
    valkey: String,
    password: String,
}

impl Encrypted {
    /// Reads what `dev/services` writes for tests.
    fn of_run() -> Option<(Services, Self)> {
        let services = Services::of_run()?;
        let found = |name: &str| env::var(name).ok();
        let read = || {
            Some(Self {
                authority: found("ROOMCAST_TEST_CA")?,
                kafka: found("ROOMCAST_TEST_KAFKA_SSL")?,
                kafka_sasl: found("ROOMCAST_TEST_KAFKA_SASL")?,
                valkey: found("ROOMCAST_TEST_VALKEY_TLS")?,
                password: found("DB_PASSWORD")?,
            })
        };
        let encrypted = read();
        if encrypted.is_none() {
            skip("needs services of `dev/services` that speak TLS: wipe them and begin anew");
        }
        Some((services, encrypted?))
    }

    /// What a process has in its environment to use TLS everywhere.
    fn env(&self, ground: &Ground) -> Vec<(&'static str, String)> {
        let mut database = ground.scratch().database();
        database.set_query(Some("sslmode=verify-full"));
        vec![
            ("DATABASE_URL", database.to_string()),
            ("DB_SSL_CA", self.authority.clone()),
            ("REDIS_URL", format!("rediss://{}", self.valkey)),
            ("REDIS_SSL_CA", self.authority.clone()),
            ("KAFKA_BROKERS", self.kafka.clone()),
            ("KAFKA_SECURITY_PROTOCOL", "SSL".to_owned()),
            ("KAFKA_SSL_CA", self.authority.clone()),
        ]
    }

    /// What it has besides to say who it is.
    fn user(&self, mechanism: &str) -> Vec<(&'static str, String)> {
        vec![
            ("KAFKA_BROKERS", self.kafka_sasl.clone()),
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL".to_owned()),
            ("KAFKA_SASL_MECHANISM", mechanism.to_owned()),
            ("KAFKA_SASL_USERNAME", "chat".to_owned()),
            ("KAFKA_SASL_PASSWORD", self.password.clone()),
        ]
    }
}

async fn start(ground: &Arc<Ground>, env: Vec<(&'static str, String)>) -> TestServer {
    let set = |options: ServerOptions, (name, value): (&str, String)| options.env(name, value);
    let options = env.into_iter().fold(ServerOptions::new(), set);
    options.start_on(Arc::clone(ground)).await
}

/// Two members talk, and all that is between them works.
async fn chat(server: &TestServer) {
    let (ada, bob) = (server.user("ada").await, server.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let mut of_ada = ada.connect_to(&room).await;
    let mut of_bob = bob.connect_to(&room).await;
    for turn in 0..5 {
        of_ada.say(&room, &format!("ada {turn}")).await;
        of_bob.say(&room, &format!("bob {turn}")).await;
    }
    let heard = of_bob.messages(10).await;
    assert_eq!(seqs(&heard), (1..=10).collect::<Vec<_>>());
    assert_eq!(of_ada.messages(10).await, heard);
    let health = server.await_health(&[]).await;
    for part in ["database", "kafka", "redis"] {
        assert_eq!(health["details"][part]["status"], "up", "{health:#}");
    }
}

#[tokio::test]
async fn a_chat_goes_over_services_that_speak_tls_alone() {
    let Some((services, encrypted)) = Encrypted::of_run() else {
        return;
    };
    let ground = Arc::new(Ground::on(services).await);
    let server = start(&ground, encrypted.env(&ground)).await;
    chat(&server).await;
    let ask = "SELECT bool_and(ssl), count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
         WHERE application_name = 'roomcast' AND datname = current_database()";
    let row = ground.scratch().connect().await.query_one(ask, &[]).await;
    let row = row.expect("one row");
    assert!(row.get::<_, i64>(1) > 0, "it has connections");
    assert!(row.get::<_, bool>(0), "none is in the clear");
}

#[tokio::test]
async fn kafka_is_told_who_we_are() {
    let Some((services, encrypted)) = Encrypted::of_run() else {
        return;
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let ground = Arc::new(Ground::on(services.clone()).await);
        let env = [encrypted.env(&ground), encrypted.user(mechanism)].concat();
        let server = start(&ground, env).await;
        chat(&server).await;
        let log = server.log().concat();
        assert!(!log.contains(&encrypted.password), "a password is logged");
    }
}

/// Calls `serve`, which does not start; returns its exit status and what it said.
fn refusal(mut command: Command) -> (i32, String) {
    // Long enough for the services that are reached, on a busy machine.
    let output = command.env("START_TIMEOUT_S", "20").output();
    let output = output.expect("the program runs");
    let text = String::from_utf8(output.stderr).expect("UTF-8");
    (output.status.code().expect("it ends by itself"), text)
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_not_talked_to() {
    let Some((services, encrypted)) = Encrypted::of_run() else {
        return;
    };
    let ground = Ground::on(services).await;
    let stranger = Identity::make();
    let [(_, stranger), _] = stranger.env();
    let check = |changed: &[(&str, &str)], expected: i32, words: &str| {
        let args = ["serve", "--role", "all", "--migrate", "--port", "0"];
        let mut command = ground.call(&args);
        command
            .envs(encrypted.env(&ground))
            .env("METRICS_ADDR", "off");
        command
            .env("WORKER_PORT", "0")
            .envs(changed.iter().copied());
        let (status, said) = refusal(command);
        assert_eq!(status, expected, "{changed:?}: {said}");
        assert!(said.contains(words), "{words} in {said}");
        assert!(!said.contains(&encrypted.password), "{said}");
    };
    let stranger = stranger.to_str().expect("UTF-8");
    // A certificate is not mended by waiting; but PostgreSQL's client alone says what is wrong.
    check(&[("DB_SSL_CA", stranger)], 2, "does not prove who it is");
    check(&[("KAFKA_SSL_CA", stranger)], 69, "Kafka cannot be reached");
    check(&[("REDIS_SSL_CA", stranger)], 69, "REDIS_SSL_CA");
    let user = encrypted.user("SCRAM-SHA-512");
    let mut user: Vec<(&str, &str)> = user.iter().map(|(k, v)| (*k, v.as_str())).collect();
    user.push(("KAFKA_SASL_PASSWORD", "not the password"));
    check(&user, 69, "KAFKA_SECURITY_PROTOCOL");
}
