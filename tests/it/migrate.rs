//! `roomcast migrate` as an operator calls it.

use std::{env, process::Output};

use tokio_postgres::{Client, NoTls};
use url::Url;

use crate::harness::{Cli, skip, uuid};

/// Where nothing listens.
const NOWHERE: &str = "postgres://chat:hush@127.0.0.1:1/chat";

fn told(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(!stderr.contains("hush"), "{stderr}");
    (output.status.code(), stdout, stderr)
}

#[test]
fn a_database_that_is_away_is_waited_for() {
    let cli = Cli::new().env("DATABASE_URL", NOWHERE);
    let output = cli.run(&["migrate", "--start-timeout-s", "5"]);
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stdout.as_str()), (Some(69), ""), "{stderr}");
    assert!(
        stderr.contains("waiting: ") && stderr.contains("DB_HOST"),
        "{stderr}"
    );
}

#[test]
fn nothing_is_forgotten_without_a_yes() {
    let cli = Cli::new().env("DATABASE_URL", NOWHERE);
    let output = cli.run(&["migrate", "--new-epoch", "--reset-ingest"]);
    let (code, _, stderr) = told(&output);
    assert_eq!(code, Some(2), "{stderr}");
    for flag in ["--new-epoch", "--reset-ingest", "--yes"] {
        assert!(stderr.contains(flag), "{stderr}");
    }
}

async fn connect(url: &Url) -> Client {
    let (client, connection) = tokio_postgres::connect(url.as_str(), NoTls)
        .await
        .expect("the server is up");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn a_schema_is_made_once_and_a_wrong_database_is_told() {
    let Ok(server) = env::var("DATABASE_URL") else {
        let is_required = env::var_os("ROOMCAST_REQUIRE_SERVICES").is_some_and(|it| it == "1");
        assert!(!is_required, "DATABASE_URL is not set");
        return skip("needs PostgreSQL (run dev/services up, and load its environment)");
    };
    let server = Url::parse(&server).expect("a URL");
    let name = format!("roomcast_test_{}", uuid().replace('-', ""));
    let mut url = server.clone();
    url.set_path(&name);
    let cli = Cli::new().env("DATABASE_URL", &url);
    let missing = told(&cli.run(&["migrate"]));
    assert_eq!(missing.0, Some(2), "{missing:?}");
    assert!(missing.2.contains("DB_DATABASE"), "{missing:?}");
    let admin = connect(&server).await;
    let create = format!("CREATE DATABASE {name}");
    admin.batch_execute(&create).await.expect("a database");
    let lines = [
        "the schema is up to date now\n",
        "the schema was up to date\n",
    ];
    for line in lines {
        let done = told(&cli.run(&["migrate"]));
        assert_eq!((done.0, done.1.as_str()), (Some(0), line), "{done:?}");
    }
    // Where nothing is asked, a yes is no mistake.
    let done = told(&cli.run(&["migrate", "--yes"]));
    assert_eq!((done.0, done.1.as_str()), (Some(0), lines[1]), "{done:?}");
    let epoch = "SELECT epoch::text FROM installation";
    let first: String = connect(&url)
        .await
        .query_one(epoch, &[])
        .await
        .expect("one")
        .get(0);
    let done = told(&cli.run(&["migrate", "--new-epoch", "--reset-ingest", "--yes"]));
    assert_eq!((done.0, done.1.lines().count()), (Some(0), 3), "{done:?}");
    let second: String = connect(&url)
        .await
        .query_one(epoch, &[])
        .await
        .expect("one")
        .get(0);
    assert!(first != second && done.1.contains(&second), "{done:?}");
    let drop = format!("DROP DATABASE {name} WITH (FORCE)");
    admin.batch_execute(&drop).await.expect("dropped");
}
