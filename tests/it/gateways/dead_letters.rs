//! What others write into the log, and what becomes of what cannot be stored.

use std::{process::Output, sync::Arc};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
    producer::{FutureProducer, FutureRecord},
};
use serde_json::{Value, json};

use crate::harness::{
    Ground, PATIENCE, Part, ServerOptions, Services, TestServer, TestUser, contents, uuid,
};

const MESSAGES: &str = "chat.messages.v1";
const DEAD: &str = "chat.messages.dlq.v1";

/// Where the foreign producer writes everything: one bad record must not stop its neighbours.
const PARTITION: i32 = 1;

/// Some other service that writes messages.
struct Foreigner {
    producer: FutureProducer,
    topic: String,
}

impl Foreigner {
    fn new(ground: &Ground) -> Self {
        let mut config = ground.scratch().kafka();
        config.set("message.max.bytes", "2000000");
        Self {
            producer: config.create().expect("a producer"),
            topic: ground.scratch().topic(MESSAGES),
        }
    }

    /// Writes a value; returns its offset.
    async fn write(&self, value: &[u8]) -> i64 {
        let record = FutureRecord::<str, [u8]>::to(&self.topic)
            .partition(PARTITION)
            .payload(value);
        let written = self.producer.send(record, PATIENCE).await;
        written.expect("Kafka takes it").offset
    }
}

/// A dead letter as it lies in its topic.
struct Letter {
    headers: Vec<(String, String)>,
    value: Vec<u8>,
}

impl Letter {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key == name);
        &found.expect("a header").1
    }
}

/// Reads the first dead letters.
fn letters(ground: &Ground, count: usize) -> Vec<Letter> {
    let mut config = ground.scratch().kafka();
    config.set("group.id", ground.scratch().topic("reader"));
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset(&ground.scratch().topic(DEAD), 0, Offset::Beginning)
        .expect("an offset");
    consumer.assign(&from).expect("an assignment");
    let letters = (0..count).map(|_| {
        let record = consumer.poll(PATIENCE).expect("a dead letter in time");
        let record = record.expect("a record");
        let headers = record.headers().expect("headers").iter();
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.expect("a value").into());
        Letter {
            headers: headers
                .map(|it| (it.key.to_owned(), text(it.value).expect("text")))
                .collect(),
            value: record.payload().unwrap_or_default().into(),
        }
    });
    letters.collect()
}

/// One gateway, one worker, somebody in a room, and a foreign producer.
struct Scene {
    ground: Arc<Ground>,
    gateway: TestServer,
    _worker: TestServer,
    ada: TestUser,
    room: String,
    foreigner: Foreigner,
}

impl Scene {
    async fn set() -> Option<Self> {
        let ground = Arc::new(Ground::on(Services::of_run()?).await);
        let start = |part| {
            // A worker logs what it puts aside.
            let options = ServerOptions::new().part(part).expect_errors();
            options.start_on(Arc::clone(&ground))
        };
        let (gateway, worker) = (start(Part::Gateway).await, start(Part::Worker).await);
        let ada = gateway.user("ada").await;
        Some(Self {
            room: ada.room("room").await,
            foreigner: Foreigner::new(&ground),
            ada,
            gateway,
            _worker: worker,
            ground,
        })
    }

    /// Makes a record of somebody's message, as the original's producers do.
    fn record(&self, content: &str) -> Value {
        json!({
            "eventId": uuid(), "roomId": self.room, "senderId": self.ada.id, "clientMsgId": uuid(),
            "messageType": "TEXT", "content": content, "producedAt": "2026-03-01T08:00:00Z",
        })
    }

    fn with(&self, name: &str, value: Value) -> Value {
        let mut record = self.record("dead");
        record[name] = value;
        record
    }

    /// Calls the program with the environment of the servers.
    async fn call(&self, args: &'static [&'static str]) -> Output {
        let mut command = self.ground.call(args);
        let calling = tokio::task::spawn_blocking(move || command.output());
        let output = calling.await.expect("no panic").expect("it runs");
        assert!(output.status.success(), "{output:?}");
        output
    }

    async fn list(&self) -> Vec<Value> {
        let output = self.call(&["dlq", "list", "--json"]).await;
        let text = String::from_utf8(output.stdout).expect("text");
        let lines = text.lines().map(serde_json::from_str);
        lines.map(|line| line.expect("JSON")).collect()
    }
}

#[tokio::test]
async fn a_record_of_another_producer_is_delivered() {
    let Some(scene) = Scene::set().await else {
        return;
    };
    let mut socket = scene.ada.connect_to(&scene.room).await;
    let record = scene.record("from elsewhere");
    scene.foreigner.write(record.to_string().as_bytes()).await;
    let msg = socket.expect("newMessage").await;
    assert_eq!(msg["content"], "from elsewhere");
    assert_eq!(msg["clientMsgId"], record["clientMsgId"]);
    assert_eq!((&msg["seq"], &msg["type"]), (&json!(1), &json!("TEXT")));
}

#[tokio::test]
async fn what_cannot_be_stored_is_put_aside_and_its_sender_is_told() {
    let Some(scene) = Scene::set().await else {
        return;
    };
    let mut socket = scene.ada.connect_to(&scene.room).await;
    let told = [
        (scene.with("version", json!(99)), "version"),
        (scene.with("content", json!("a\0b")), "U+0000"),
        (scene.with("roomId", json!(uuid())), "room"),
        (scene.with("content", json!("x".repeat(1_000_000))), "5000"),
    ];
    let mut written = vec![scene.foreigner.write(b"not JSON").await];
    for (record, _) in &told {
        written.push(scene.foreigner.write(record.to_string().as_bytes()).await);
    }
    let good = scene.record("good").to_string();
    scene.foreigner.write(good.as_bytes()).await;
    // The partition went on.
    assert_eq!(socket.expect("newMessage").await["content"], "good");
    for (record, why) in &told {
        let id = record["clientMsgId"].clone();
        let is_it =
            |frame: &Value| frame["event"] == "messageFailed" && frame["data"]["clientMsgId"] == id;
        let failed = socket.expect_where(why, is_it).await["data"].clone();
        assert_eq!(failed["code"], "REJECTED", "{failed}");
        assert_eq!(failed["retryable"], false, "{failed}");
    }
    let ground = Arc::clone(&scene.ground);
    let reading = tokio::task::spawn_blocking(move || letters(&ground, 5));
    let letters = reading.await.expect("no panic");
    let whys = ["not a created record"]
        .into_iter()
        .chain(told.iter().map(|(_, why)| *why));
    let topic = scene.ground.scratch().topic(MESSAGES);
    for ((letter, offset), why) in letters.iter().zip(&written).zip(whys) {
        let reason = letter.header("roomcast-reason");
        assert!(reason.contains(why), "{why} in {reason}");
        assert!([topic.as_str(), MESSAGES].contains(&letter.header("roomcast-topic")));
        assert_eq!(letter.header("roomcast-partition"), PARTITION.to_string());
        assert_eq!(letter.header("roomcast-offset"), offset.to_string());
    }
    assert_eq!(letters[0].value, b"not JSON");
    assert_eq!(letters[4].value.len(), 64 * 1024, "it is cut");
}

#[tokio::test]
async fn an_operator_lists_dead_letters_and_replays_them() {
    let Some(scene) = Scene::set().await else {
        return;
    };
    let late = uuid();
    let record = scene.with("roomId", json!(late));
    let big = scene.with("content", json!("x".repeat(1_000_000)));
    for value in [record.to_string(), big.to_string()] {
        scene.foreigner.write(value.as_bytes()).await;
    }
    let listed = crate::harness::await_until("both are dead", || async {
        let listed = scene.list().await;
        (listed.len() == 2).then_some(listed)
    })
    .await;
    assert_eq!(listed[0]["value"], record.to_string());
    assert_eq!(
        (&listed[0]["isCut"], &listed[1]["isCut"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(listed[0]["source"]["partition"], PARTITION);
    let lines = String::from_utf8(scene.call(&["dlq", "list"]).await.stdout).expect("text");
    assert_eq!(lines.lines().count(), 2, "{lines}");

    // What was missing is there now: the room, and its sender in it.
    let client = scene.ground.scratch().connect().await;
    let rows = format!(
        "INSERT INTO rooms (id, name, visibility, created_at, active_at)
         VALUES ('{late}', 'late', 'public', now(), now());"
    );
    client.batch_execute(&rows).await.expect("a room");
    scene.ada.join(&late).await;
    let mut socket = scene.ada.connect_to(&late).await;
    let replayed = scene.call(&["dlq", "replay"]).await;
    let stdout = String::from_utf8_lossy(&replayed.stdout);
    assert_eq!(stdout.trim(), "1 replayed, 1 cannot be");
    assert_eq!(contents(&[socket.expect("newMessage").await]), ["dead"]);
    // Once, however often it is replayed.
    scene.call(&["dlq", "replay"]).await;
    let ada = scene.ada.at(&scene.gateway);
    ada.say(&late, "next").await;
    socket
        .expect_where("next", |frame| frame["data"]["content"] == "next")
        .await;
    assert_eq!(contents(&ada.history(&late).await), ["dead", "next"]);
}
