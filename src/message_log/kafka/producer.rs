//! The producer: idempotent, in order, and bounded; built anew after a fatal error.

use std::{
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use arc_swap::ArcSwapOption;
use rdkafka::{
    ClientConfig, ClientContext,
    config::RDKafkaLogLevel,
    error::KafkaError,
    message::{DeliveryResult, Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
    types::RDKafkaErrorCode,
};
use tokio::sync::oneshot;

use super::{
    client::{Context, Names, Settings},
    queries::unavailable,
};
use crate::message_log::{AppendError, Appending, LogError, NewRecord, Topic};

/// Records that wait for their acknowledgement; more are refused.
const MAX_IN_FLIGHT: usize = 16_384;

/// How long to wait before a producer that could not be made is tried again, or one that is still
/// used is asked for again.
const RETRY_DELAY: Duration = Duration::from_millis(20);

type Answer = oneshot::Sender<Result<(), AppendError>>;
type Client = ThreadedProducer<Deliveries>;

/// Appends to all topics.
pub(super) struct Producer {
    client: ArcSwapOption<Client>,
    settings: Settings,
    names: Names,
    in_flight: AtomicUsize,
    /// No broker answers, as far as the client knows.
    is_down: AtomicBool,
    is_closed: AtomicBool,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    pub(super) fn new(settings: &Settings) -> Result<Arc<Self>, LogError> {
        let producer = Arc::new(Self {
            client: ArcSwapOption::empty(),
            settings: settings.clone(),
            names: settings.names(),
            in_flight: AtomicUsize::new(0),
            is_down: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
        });
        let client = producer.connect().map_err(|error| unavailable(&error))?;
        producer.client.store(Some(Arc::new(client)));
        Ok(producer)
    }

    fn connect(self: &Arc<Self>) -> Result<Client, KafkaError> {
        self.config().create_with_context(Deliveries {
            context: self.settings.context(),
            producer: Arc::downgrade(self),
            is_dead: AtomicBool::new(false),
        })
    }

    fn config(&self) -> ClientConfig {
        let mut config = self.settings.base();
        let within = self.settings.timeouts.delivery.as_millis();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("max.in.flight.requests.per.connection", "5")
            .set("delivery.timeout.ms", within.to_string())
            .set("request.timeout.ms", "3000")
            .set("linger.ms", "0")
            // As the Java and Node clients: a room's records stay in one partition.
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", "65536")
            .set("queue.buffering.max.messages", "100000");
        config
    }

    /// Appends a record: its place is taken now, the future says what became of it.
    pub(super) fn append(&self, record: NewRecord) -> Appending {
        if self.is_closed.load(Ordering::Acquire) {
            return refused("the log is closed");
        }
        // What workers publish is repeated until it succeeds, so that waiting costs nothing.
        if record.topic == Topic::Messages && self.is_down() {
            return refused("no broker answers");
        }
        if self.in_flight.fetch_add(1, Ordering::AcqRel) >= MAX_IN_FLIGHT {
            self.in_flight.fetch_sub(1, Ordering::AcqRel);
            return refused("too many records wait to be written");
        }
        let (answer, appending) = oneshot::channel();
        match self.send(&record, answer) {
            Ok(()) => Appending::Pending(appending),
            Err(error) => {
                self.in_flight.fetch_sub(1, Ordering::AcqRel);
                // It was never handed over.
                refused(&error.to_string())
            }
        }
    }

    fn send(&self, record: &NewRecord, answer: Answer) -> Result<(), KafkaError> {
        let Some(client) = self.client.load_full() else {
            return Err(KafkaError::Canceled);
        };
        let topic = self.names.of_topic(record.topic);
        let mut sent = BaseRecord::with_opaque_to(topic, Box::new(answer))
            .key(record.key.as_str())
            .payload(&record.value[..]);
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let headers = record
                .headers
                .iter()
                .fold(headers, |headers, (key, value)| {
                    let value = Some(value.as_str());
                    headers.insert(Header { key, value })
                });
            sent = sent.headers(headers);
        }
        client.send(sent).map_err(|(error, _)| {
            if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
                client.context().replace();
            }
            error
        })
    }

    /// Returns whether the client has given all brokers up for now.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Acquire)
    }

    /// Notes that a broker answers.
    pub(super) fn is_up(&self) {
        self.is_down.store(false, Ordering::Release);
    }

    /// Puts a new client in the place of a dead one. Blocks; runs on a thread of its own.
    fn rebuild(self: &Arc<Self>) {
        while !self.is_closed.load(Ordering::Acquire) {
            match self.connect() {
                Ok(client) => {
                    let dead = self.client.swap(Some(Arc::new(client)));
                    log::warn!("the producer was built anew after a fatal error");
                    return retire(dead);
                }
                Err(error) => log::error!(error:%; "the producer cannot be built anew"),
            }
            thread::sleep(RETRY_DELAY);
        }
    }

    /// Writes what is queued; refuses what comes later. Blocks.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        let client = self.client.swap(None);
        if let Some(client) = &client
            && let Err(error) = client.flush(self.settings.timeouts.flush)
        {
            log::warn!(error:%; "some records were not acknowledged before the log closed");
        }
        retire(client);
    }
}

/// Drops a client here, where it may block, and not where somebody just appends.
fn retire(client: Option<Arc<Client>>) {
    let Some(mut client) = client else { return };
    loop {
        match Arc::try_unwrap(client) {
            Ok(last) => return drop(last),
            Err(shared) => client = shared,
        }
        thread::sleep(RETRY_DELAY);
    }
}

/// Answers appenders when the client has a record's fate.
struct Deliveries {
    context: Context,
    producer: Weak<Producer>,
    /// Set once: the client takes nothing any more.
    is_dead: AtomicBool,
}

impl Deliveries {
    /// Has this client replaced, on another thread: this one is the client's own.
    fn replace(&self) {
        if self.is_dead.swap(true, Ordering::AcqRel) {
            return;
        }
        let Some(producer) = self.producer.upgrade() else {
            return;
        };
        let replacing = thread::Builder::new()
            .name("kafka-rebuild".into())
            .spawn(move || producer.rebuild());
        if let Err(error) = replacing {
            log::error!(error:%; "the producer cannot be built anew");
            self.is_dead.store(false, Ordering::Release);
        }
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.context.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::Fatal) => self.replace(),
            Some(RDKafkaErrorCode::AllBrokersDown) => {
                if let Some(producer) = self.producer.upgrade() {
                    producer.is_down.store(true, Ordering::Release);
                }
            }
            _ => {}
        }
        self.context.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Answer>;

    fn delivery(&self, delivery: &DeliveryResult<'_>, answer: Box<Answer>) {
        let outcome = match delivery {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(self.judge(error)),
        };
        if let Some(producer) = self.producer.upgrade() {
            producer.in_flight.fetch_sub(1, Ordering::AcqRel);
            if outcome.is_ok() {
                producer.is_up();
            }
        }
        // The appender may not want to know.
        let _ = answer.send(outcome);
    }
}

impl Deliveries {
    fn judge(&self, error: &KafkaError) -> AppendError {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::Fatal) {
            self.replace();
        }
        match code.is_some_and(is_permanent) {
            true => AppendError::Refused(error.to_string()),
            false => AppendError::Unknown(error.to_string()),
        }
    }
}

/// Returns whether the brokers have said no. Of everything else they may have taken the record and
/// only the answer was lost.
fn is_permanent(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}

fn refused(reason: &str) -> Appending {
    Appending::Done(Some(Err(AppendError::Refused(reason.into()))))
}
