//! A record says which request it came from.

use std::sync::Arc;

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use reqwest::Method;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::harness::{Answer, Ground, PATIENCE, Part, ServerOptions, Services, TestClient, draft};

const MESSAGES: &str = "chat.messages.v1";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Reads the first records of a topic: the request's id and the trace of each.
fn traces(ground: &Ground, count: usize) -> Vec<(String, String)> {
    let mut config = ground.scratch().kafka();
    config.set("group.id", ground.scratch().topic("reader"));
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let name = ground.scratch().topic(MESSAGES);
    let metadata = consumer.fetch_metadata(Some(&name), PATIENCE);
    let partitions = metadata.expect("metadata").topics()[0].partitions().len();
    let mut from = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions).expect("few") {
        from.add_partition_offset(&name, partition, Offset::Beginning)
            .expect("an offset");
    }
    consumer.assign(&from).expect("an assignment");
    let traces = (0..count).map(|_| {
        let record = consumer.poll(PATIENCE).expect("a record in time");
        let record = record.expect("a record");
        let headers = record.headers().expect("headers");
        let header = |name: &str| {
            let found = headers.iter().find(|it| it.key == name);
            let value = found.and_then(|it| it.value).expect("a header");
            String::from_utf8(value.into()).expect("text")
        };
        (header("x-request-id"), header("traceparent"))
    });
    traces.collect()
}

#[tokio::test]
async fn records_carry_the_request_and_its_trace() {
    let Some(services) = Services::of_run() else {
        return;
    };
    let ground = Arc::new(Ground::on(services).await);
    let gateway = ServerOptions::new().part(Part::Gateway);
    let gateway = gateway.start_on(Arc::clone(&ground)).await;
    let ada = gateway.user("ada").await;
    let room = ada.room("room").await;

    let path = format!("/rooms/{room}/messages");
    let sent = ada
        .request(Method::POST, &path)
        .json(&draft(&room, "by REST"));
    let sent = sent
        .header("X-Request-Id", "by-rest")
        .header("traceparent", TRACE);
    assert_eq!(Answer::of(sent).await.status, 202);

    let mut handshake = TestClient::request(&gateway.ws_url(), Some(&ada.token));
    let headers = handshake.headers_mut();
    headers.insert("x-request-id", HeaderValue::from_static("by-socket"));
    let mut socket = TestClient::open(handshake).await.expect("a socket");
    socket.expect("ready").await;
    socket.say(&room, "by socket").await;

    let traces = traces(&ground, 2);
    assert_eq!(traces[0], ("by-rest".to_owned(), TRACE.to_owned()));
    assert_eq!(traces[1].0, "by-socket");
    assert!(traces[1].1.starts_with("00-") && traces[1].1 != TRACE);
}
