//! Faults, on brokers that exist in memory alone; what is lost there is not ours to judge.

use std::time::Instant;

use rdkafka::{
    mocking::MockCluster,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use super::*;
use crate::message_log::AppendError;

/// Partitions of each topic.
const PARTITIONS: i32 = 1;

fn cluster() -> (MockCluster<'static, DefaultProducerContext>, Settings) {
    let cluster = MockCluster::new(1).expect("a cluster");
    let mut config = config();
    config.brokers = vec![cluster.bootstrap_servers()];
    let mut settings = Settings::new(&config);
    settings.timeouts = PATIENT;
    for topic in TOPICS {
        let name = settings.topic(topic);
        cluster.create_topic(&name, PARTITIONS, 1).expect("a topic");
    }
    (cluster, settings)
}

async fn append(producer: &Producer, n: usize) -> Result<(), AppendError> {
    suite::in_time(producer.append(suite::record(Topic::Messages, "a", n))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_is_built_anew_after_a_fatal_error() {
    let (cluster, settings) = cluster();
    let producer = Producer::new(&settings).expect("a producer");
    append(&producer, 0).await.expect("an accepted record");
    let fatal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 1];
    cluster.request_errors(RDKafkaApiKey::Produce, &fatal);
    let lost = append(&producer, 1).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    let accepted = async {
        let mut n = 2;
        while append(&producer, n).await.is_err() {
            n += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    suite::in_time(accepted).await;
    producer.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_nobody_answers_is_unknown_and_not_refused() {
    let (cluster, mut settings) = cluster();
    settings.timeouts = Timeouts::default();
    let producer = Producer::new(&settings).expect("a producer");
    append(&producer, 0).await.expect("an accepted record");
    cluster
        .broker_round_trip_time(1, Duration::from_secs(60))
        .expect("a broker");
    let began = Instant::now();
    let lost = append(&producer, 1).await;
    assert!(matches!(lost, Err(AppendError::Unknown(_))), "{lost:?}");
    log::info!(ms = began.elapsed().as_millis() as u64; "answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_the_brokers_never_take_is_refused() {
    let (_cluster, settings) = cluster();
    let producer = Producer::new(&settings).expect("a producer");
    let huge = NewRecord {
        value: vec![b'x'; 2 << 20].into(),
        ..suite::record(Topic::Messages, "a", 0)
    };
    let refused = suite::in_time(producer.append(huge)).await;
    assert!(
        matches!(refused, Err(AppendError::Refused(_))),
        "{refused:?}"
    );
    producer.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_records_in_flight_are_refused_at_once() {
    let (cluster, mut settings) = cluster();
    // None is given up, and makes room for another, before all were appended.
    settings.timeouts.delivery = Duration::from_secs(60);
    let producer = Producer::new(&settings).expect("a producer");
    append(&producer, 0).await.expect("an accepted record");
    cluster
        .broker_round_trip_time(1, Duration::from_secs(60))
        .expect("a broker");
    let mut refused = 0;
    for n in 0..17_000 {
        let appending = producer.append(suite::record(Topic::Persisted, "a", n));
        if matches!(
            appending,
            Appending::Done(Some(Err(AppendError::Refused(_))))
        ) {
            refused += 1;
        }
    }
    assert_eq!(refused, 17_000 - 16_384);
}
