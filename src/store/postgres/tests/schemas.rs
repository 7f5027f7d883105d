//! The two migrations, against each other.

use diesel::{Connection, QueryableByName, RunQueryDsl, SqliteConnection, sql_types::Text};
use tempfile::TempDir;

use super::scratch::Scratch;
use crate::store::{
    Store,
    suite::{batch, ingest, scene},
};

/// `table.column type nullable default`, with PostgreSQL's names for what SQLite calls another way.
const POSTGRES: &str = "SELECT concat_ws(' ', table_name || '.' || column_name, \
     CASE WHEN data_type IN ('bigint', 'integer') THEN 'number' ELSE 'text' END, \
     is_nullable, column_default) \
     FROM information_schema.columns \
     WHERE table_schema = 'public' AND table_name NOT LIKE '\\_\\_%' \
     ORDER BY table_name COLLATE \"C\", ordinal_position";

const SQLITE: &str = "SELECT concat_ws(' ', m.name || '.' || c.name, \
     CASE c.type WHEN 'INTEGER' THEN 'number' ELSE 'text' END, \
     CASE c.\"notnull\" WHEN 1 THEN 'NO' ELSE 'YES' END, c.dflt_value) AS line \
     FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c \
     WHERE m.type = 'table' AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' \
     ORDER BY m.name, c.cid";

/// The columns of each unique key.
const POSTGRES_KEYS: &str = "SELECT c.relname || ' ' || string_agg(a.attname, ',' ORDER BY k.n) \
     FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid \
     CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
     JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum \
     WHERE i.indisunique AND c.relnamespace = 'public'::regnamespace \
     AND c.relname NOT LIKE '\\_\\_%' AND k.n <= i.indnkeyatts \
     GROUP BY i.indexrelid, c.relname ORDER BY 1";

const SQLITE_KEYS: &str = "SELECT line FROM (SELECT m.name || ' ' || \
     (SELECT group_concat(k.name) FROM (SELECT name FROM pragma_index_info(i.name) ORDER BY seqno) AS k) AS line \
     FROM sqlite_master AS m JOIN pragma_index_list(m.name) AS i \
     WHERE m.type = 'table' AND i.\"unique\" AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\' \
     UNION SELECT m.name || ' ' || c.name FROM sqlite_master AS m \
     JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table' AND c.pk = 1 \
     AND (SELECT count(*) FROM pragma_table_info(m.name) WHERE pk > 0) = 1 \
     AND m.name NOT LIKE '\\_\\_%' ESCAPE '\\') ORDER BY line";

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

async fn lines_of_sqlite(queries: &[&str]) -> Vec<Vec<String>> {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("store.sqlite3");
    let store = Store::open_sqlite(&path).await.expect("a new file opens");
    store.close().await;
    let mut conn = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("it opens");
    let mut lines = |query: &&str| {
        let lines = diesel::sql_query(*query).load::<Line>(&mut conn);
        let lines = lines.expect("a query").into_iter();
        lines.map(|line| line.line).collect()
    };
    queries.iter().map(&mut lines).collect()
}

#[tokio::test]
async fn both_databases_have_the_same_tables() {
    let Some(scratch) = Scratch::migrated().await else {
        return;
    };
    let [columns, mut keys] = [
        scratch.texts(POSTGRES).await,
        scratch.texts(POSTGRES_KEYS).await,
    ];
    let sqlite = lines_of_sqlite(&[SQLITE, SQLITE_KEYS]).await;
    assert!(columns.len() > 40, "{columns:#?}");
    assert_eq!(columns, sqlite[0]);
    // Whatever the server's own order of texts is.
    keys.sort_unstable();
    assert_eq!(keys, sqlite[1]);
}

#[tokio::test]
async fn text_is_compared_bytewise_wherever_it_is_a_key() {
    let Some(scratch) = Scratch::migrated().await else {
        return;
    };
    let other = "SELECT c.relname || '.' || a.attname FROM pg_index AS i \
         JOIN pg_class AS c ON c.oid = i.indrelid \
         CROSS JOIN unnest(i.indkey) WITH ORDINALITY AS k (attnum, n) \
         JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.attnum \
         JOIN pg_collation AS l ON l.oid = a.attcollation \
         WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE '\\_\\_%' \
         AND k.n <= i.indnkeyatts AND l.collname <> 'C'";
    assert_eq!(scratch.texts(other).await, [""; 0]);
}

#[tokio::test]
async fn a_page_of_history_is_read_from_one_index() {
    let Some((scratch, store)) = super::open().await else {
        return;
    };
    let scene = scene(&store).await;
    ingest(&store, batch(0, &scene.messages(500))).await;
    scratch.execute("VACUUM ANALYZE messages").await;
    let room = scene.room;
    let plan = scratch
        .texts(&format!(
            "EXPLAIN SELECT room_id, seq, id, sender_id, client_msg_id, message_type, content, \
             created_at FROM messages WHERE room_id = '{room}' AND seq <= 300 \
             ORDER BY seq DESC LIMIT 51"
        ))
        .await;
    let scan = "Index Only Scan Backward using messages_pkey";
    assert!(plan.iter().any(|line| line.contains(scan)), "{plan:#?}");
}
