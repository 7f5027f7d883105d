//! What the server keeps between two batches.

use diesel::{QueryableByName, sql_types::Text};
use diesel_async::RunQueryDsl;
use secrecy::SecretString;

use super::open;
use crate::store::{
    postgres::Database,
    suite::{batch, scene},
};

#[derive(QueryableByName)]
struct Statement {
    #[diesel(sql_type = Text)]
    statement: String,
}

#[tokio::test]
async fn the_statements_of_an_ingest_are_prepared_once() {
    let Some((scratch, store)) = open().await else {
        return;
    };
    let scene = scene(&store).await;
    let url = SecretString::from(scratch.url().as_str());
    let database = Database::open(&url.into(), false).await.expect("it opens");
    for (from, count) in [(0, 3), (3, 1), (4, 5)] {
        let stored = database.ingest(batch(from, &scene.messages(count))).await;
        stored.expect("up");
    }
    let mut conn = database.connection().await.expect("the one that was used");
    let often = "SELECT statement FROM pg_prepared_statements \
         WHERE generic_plans + custom_plans >= 3";
    let often = diesel::sql_query(often).load::<Statement>(&mut conn).await;
    let often = often.expect("a query");
    for part in [
        "\"ingest_offsets\".\"partition\" = $1",
        "FROM \"rooms\" WHERE",
        "FROM \"users\" WHERE",
        "FROM messages AS s",
        "INSERT INTO messages",
        "UPDATE rooms SET",
        "UPDATE ingest_offsets SET",
    ] {
        let is_kept = often.iter().any(|kept| kept.statement.contains(part));
        assert!(is_kept, "{part}");
    }
}
