//! What the server keeps between two batches.

use diesel::{
    QueryableByName,
    sql_types::{Integer, Text},
};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection, pooled_connection::deadpool::Object};
use secrecy::SecretString;

use super::{Scratch, open};
use crate::store::{
    postgres::{Conn, Database, statements::PlanOnce},
    suite::{batch, scene},
};

#[derive(QueryableByName)]
struct Statement {
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Integer)]
    parameters: i32,
    #[diesel(sql_type = Text)]
    statement: String,
}

#[derive(QueryableByName)]
struct PlanLine {
    #[diesel(sql_type = Text, column_name = "QUERY PLAN")]
    line: String,
}

/// Returns the statements that were planned once and executed thrice or more.
async fn kept(conn: &mut Conn) -> Vec<Statement> {
    let kept = "SELECT name, cardinality(parameter_types) AS parameters, statement \
         FROM pg_prepared_statements WHERE generic_plans >= 3 AND custom_plans = 0";
    let kept = diesel::sql_query(kept).load(conn).await;
    kept.expect("a query")
}

/// Stores three batches; returns the connection that they went over.
async fn ingested() -> Option<(Scratch, Object<Conn>)> {
    let (scratch, store) = open().await?;
    let scene = scene(&store).await;
    let url = SecretString::from(scratch.url().as_str());
    let database = Database::open(&url.into(), false).await.expect("it opens");
    for (from, count) in [(0, 3), (3, 1), (4, 5)] {
        let stored = database.ingest(batch(from, &scene.messages(count))).await;
        stored.expect("up");
    }
    let conn = database.connection().await.expect("the one that was used");
    Some((scratch, conn))
}

/// Tables are small here: a plan for what they are now would read all of them, or all of an index.
#[tokio::test]
async fn what_is_kept_goes_by_indexes() {
    let Some((_scratch, mut conn)) = ingested().await else {
        return;
    };
    let statements = kept(&mut conn).await;
    conn.batch_execute("ANALYZE").await.expect("up");
    conn.batch_execute("BEGIN").await.expect("up");
    let planning = PlanOnce::default().execute(&mut conn).await;
    planning.expect("a query");
    for statement in statements {
        let nothing = vec!["NULL"; statement.parameters as usize].join(", ");
        let given = match nothing.is_empty() {
            true => nothing,
            false => format!("({nothing})"),
        };
        let explain = format!("EXPLAIN EXECUTE {}{given}", statement.name);
        let plan = diesel::sql_query(explain).load::<PlanLine>(&mut conn).await;
        let plan = plan.expect("a plan");
        let lines: Vec<_> = plan.iter().map(|it| it.line.as_str()).collect();
        assert!(!lines.iter().any(|line| line.contains("JIT")), "{lines:?}");
        for (scan, next) in lines.iter().zip(lines.iter().skip(1).chain([&""])) {
            let is_of_table = scan.contains("Scan") && scan.contains(" on ");
            let exempt = ["Function Scan", "Subquery Scan", "on installation"];
            let is_exempt = exempt.iter().any(|it| scan.contains(it));
            let is_bounded = next.contains("Cond:");
            assert!(!is_of_table || is_exempt || is_bounded, "{lines:#?}");
        }
    }
}

#[tokio::test]
async fn the_statements_of_an_ingest_are_prepared_and_planned_once() {
    let Some((_scratch, mut conn)) = ingested().await else {
        return;
    };
    let often = kept(&mut conn).await;
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
