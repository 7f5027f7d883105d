//! What opening says of a server, a login, a database, a schema.

use secrecy::SecretString;
use url::Url;

use super::scratch::{Scratch, open};
use crate::store::{OpenError, Store};

async fn refusal(url: &Url) -> OpenError {
    let opened = Store::open_postgres(&SecretString::from(url.as_str()).into(), false).await;
    opened.expect_err("refused")
}

#[tokio::test]
async fn a_schema_that_is_behind_or_ahead_is_refused() {
    let Some(scratch) = Scratch::empty().await else {
        return;
    };
    let error = refusal(&scratch.url()).await;
    assert!(matches!(error, OpenError::Behind { .. }), "{error:?}");
    assert!(error.to_string().contains("roomcast migrate"), "{error}");
    open(&scratch.url(), true).await.close().await;
    open(&scratch.url(), false).await.close().await;
    let newer = "INSERT INTO __diesel_schema_migrations VALUES ('29991231', '2999-12-31')";
    scratch.execute(newer).await;
    for migrate in [false, true] {
        let url = SecretString::from(scratch.url().as_str());
        let opened = Store::open_postgres(&url.clone().into(), migrate).await;
        assert!(
            matches!(opened, Err(OpenError::NewerSchema { .. })),
            "{opened:?}"
        );
    }
}

#[tokio::test]
async fn processes_that_migrate_at_once_do_not_disturb_each_other() {
    let Some(scratch) = Scratch::empty().await else {
        return;
    };
    let url = scratch.url();
    let stores = futures_util::future::join_all((0..4).map(|_| open(&url, true))).await;
    let mut epochs = Vec::new();
    for store in &stores {
        epochs.push(store.installation().await.expect("up").epoch);
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "one life: {epochs:?}");
}

#[tokio::test]
async fn a_refusal_names_the_setting_and_never_the_password() {
    let Some(scratch) = Scratch::migrated().await else {
        return;
    };
    let check = async |change: &dyn Fn(&mut Url), setting: &str, is_transient: bool| {
        let mut url = scratch.url();
        url.set_password(Some("not-to-be-shown")).expect("a host");
        change(&mut url);
        let error = refusal(&url).await;
        let told = format!("{error} {error:?}");
        assert!(told.contains(setting), "{told}");
        assert!(!told.contains("not-to-be-shown"), "{told}");
        let kind = (error.is_transient(), error.is_wrong_setting());
        assert_eq!(kind, (is_transient, !is_transient), "{told}");
    };
    let real = scratch.url().password().map(ToOwned::to_owned);
    check(&|_| {}, "DB_PASSWORD", false).await;
    let nothing = |url: &mut Url| url.set_password(None).expect("a host");
    check(&nothing, "DB_PASSWORD", false).await;
    check(
        &|url| {
            url.set_password(real.as_deref()).expect("a host");
            url.set_path("no_such_database");
        },
        "DB_DATABASE",
        false,
    )
    .await;
    check(
        &|url| url.set_port(Some(1)).expect("a host"),
        "DB_PORT",
        true,
    )
    .await;
    check(
        &|url| url.set_query(Some("connect_timeout=never")),
        "DATABASE_URL",
        false,
    )
    .await;
}
