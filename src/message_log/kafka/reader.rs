//! One partition, as the bridge reads it.

use std::{
    fmt,
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::{
    Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, base_consumer::PartitionQueue},
    error::KafkaError,
    message::BorrowedMessage,
    types::RDKafkaErrorCode,
};
use tokio::{
    sync::{Notify, mpsc},
    task::spawn_blocking,
};

use super::{gone, lock, not_ours, worker::WorkerContext};
use crate::message_log::{IngestEvent, LogError, Record};

/// Most records of a batch. There is no timer: a batch is what is there.
const BATCH: usize = 500;

/// How long a seek may take, retries included: a partition just handed out is not ready at once.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);

/// Between two tries of a seek.
const SEEK_RETRY: Duration = Duration::from_millis(10);

/// What the worker's thread and a reader share: the partition's queue, while it is theirs.
///
/// The queue keeps the consumer alive, and the consumer's end blocks: only the worker's thread may
/// be the last to let go of it.
pub(super) struct Slot {
    queue: Mutex<Option<PartitionQueue<WorkerContext>>>,
    wake: Arc<Notify>,
}

impl Slot {
    pub(super) fn new(mut queue: PartitionQueue<WorkerContext>) -> Arc<Self> {
        let wake = Arc::<Notify>::default();
        let waker = Arc::clone(&wake);
        queue.set_nonempty_callback(move || waker.notify_one());
        Arc::new(Self {
            queue: Mutex::new(Some(queue)),
            wake,
        })
    }

    /// Takes the partition away: its reader ends.
    pub(super) fn close(&self) {
        drop(lock(&self.queue).take());
        self.wake.notify_one();
    }

    fn is_closed(&self) -> bool {
        lock(&self.queue).is_none()
    }
}

/// Reads one partition.
pub struct KafkaReader {
    topic: String,
    partition: u32,
    /// Offset of the oldest record, when the partition was handed out.
    first: u64,
    slot: Arc<Slot>,
    consumer: Weak<BaseConsumer<WorkerContext>>,
    events: mpsc::WeakSender<IngestEvent>,
    sequence: Sequence,
    /// Whether the consumer has to go back to where the sequence is.
    must_look_again: bool,
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader")
            .field("partition", &self.partition)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// What lay in the queue.
enum Taken {
    Batch(Vec<Record>),
    Nothing,
    Closed,
    Failed(String),
}

impl KafkaReader {
    pub(super) fn new(
        topic: String,
        (partition, first): (u32, u64),
        slot: Arc<Slot>,
        consumer: &Arc<BaseConsumer<WorkerContext>>,
        events: &mpsc::Sender<IngestEvent>,
    ) -> Self {
        Self {
            topic,
            partition,
            first,
            slot,
            consumer: Arc::downgrade(consumer),
            events: events.downgrade(),
            sequence: Sequence::default(),
            must_look_again: false,
        }
    }

    /// Reads from an offset on; what was removed from there on is read as holes.
    ///
    /// # Errors
    /// [`LogError::Unavailable`] when the partition was taken away, or no broker answers.
    pub async fn seek(&mut self, next: u64) -> Result<(), LogError> {
        self.sequence = Sequence::begin(next, self.first);
        self.must_look_again = false;
        self.go_to(next.max(self.first)).await
    }

    /// Returns the next records; `None` when the partition was taken away, or the reader failed.
    pub async fn recv(&mut self) -> Option<Vec<Record>> {
        loop {
            if self.must_look_again {
                self.go_to(self.sequence.expected).await.ok()?;
                self.must_look_again = false;
            }
            match self.take() {
                Taken::Batch(records) => return Some(records),
                Taken::Nothing if self.must_look_again => {}
                Taken::Nothing => self.slot.wake.notified().await,
                Taken::Closed => return None,
                Taken::Failed(reason) => {
                    if let Some(events) = self.events.upgrade() {
                        // It has gone: then nobody has to be told.
                        let _ = events.send(IngestEvent::Failed(reason)).await;
                    }
                    return None;
                }
            }
        }
    }

    /// Takes what is there, without waiting.
    fn take(&mut self) -> Taken {
        let queue = lock(&self.slot.queue);
        let Some(queue) = &*queue else {
            return Taken::Closed;
        };
        let mut batch = Vec::new();
        self.sequence.fill(&mut batch);
        while batch.len() < BATCH && !self.sequence.is_filling() {
            match queue.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    if self.sequence.offer(record(&message), &mut batch) == Next::LookAgain {
                        self.must_look_again = true;
                        break;
                    }
                }
                Some(Err(error)) if is_final(&error) => {
                    return Taken::Failed(format!("partition {}: {error}", self.partition));
                }
                // The client tries again by itself, and has told the log.
                Some(Err(_)) => {}
                None => break,
            }
        }
        match batch.is_empty() {
            true => Taken::Nothing,
            false => Taken::Batch(batch),
        }
    }

    async fn go_to(&self, offset: u64) -> Result<(), LogError> {
        let (topic, partition) = (self.topic.clone(), self.partition);
        let (consumer, slot) = (Weak::clone(&self.consumer), Arc::clone(&self.slot));
        let seeking = spawn_blocking(move || {
            let until = Instant::now() + SEEK_TIMEOUT;
            loop {
                let consumer = consumer.upgrade().filter(|_| !slot.is_closed());
                let consumer = consumer.ok_or_else(|| not_ours(partition))?;
                match seek(&consumer, &topic, partition, offset) {
                    Ok(()) => return Ok(()),
                    Err(error) if Instant::now() >= until => {
                        return Err(LogError::Unavailable(error.to_string()));
                    }
                    Err(_) => {}
                }
                drop(consumer);
                thread::sleep(SEEK_RETRY);
            }
        });
        seeking.await.unwrap_or_else(|error| Err(gone(&error)))
    }
}

/// Lets a partition be fetched, as it is handed out paused, and puts it at an offset.
///
/// The seek comes last: each of the two throws away what was fetched before it, and only a seek
/// has it fetched again. After a resume, what is thrown away would look like a hole.
fn seek(
    consumer: &BaseConsumer<WorkerContext>,
    topic: &str,
    partition: u32,
    offset: u64,
) -> Result<(), KafkaError> {
    let (partition, offset) = (
        partition.cast_signed(),
        Offset::Offset(offset.cast_signed()),
    );
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    consumer.resume(&list)?;
    consumer.seek(topic, partition, offset, Duration::from_secs(2))
}

fn record(message: &BorrowedMessage<'_>) -> Record {
    Record {
        offset: message.offset().cast_unsigned(),
        // Without a value it is no created record, and a dead letter as any other.
        value: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        is_hole: false,
    }
}

/// Returns whether the partition cannot be read on: what comes next is not there any more.
fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}

/// Whether the queue can be read on.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    More,
    /// Records seem to be missing before this one: go back, and see whether they are there.
    LookAgain,
}

/// Makes consecutive records of what a partition yields.
///
/// Kafka gives offsets to markers of its own (of transactions), which no consumer sees, so that a
/// record may lie beyond the next offset. The store takes consecutive offsets alone: such a hole is
/// filled. A jump may also be a mistake on the way, and filling it would lose messages; so it
/// counts as a hole only if the same offset is followed by a jump again after going back.
#[derive(Debug, Default)]
struct Sequence {
    /// Offset of the next record.
    expected: u64,
    /// Before this offset, nothing is there.
    hole_end: u64,
    /// The record after a hole that is still being filled.
    held: Option<Record>,
    /// The offset at which a jump was seen, and gone back to.
    looked_at: Option<u64>,
}

impl Sequence {
    fn begin(next: u64, first: u64) -> Self {
        Self {
            expected: next,
            hole_end: first,
            ..Self::default()
        }
    }

    fn is_filling(&self) -> bool {
        self.expected < self.hole_end || self.held.is_some()
    }

    /// Adds what is known to be missing, as far as there is room, and the record after it.
    fn fill(&mut self, batch: &mut Vec<Record>) {
        while self.expected < self.hole_end && batch.len() < BATCH {
            batch.push(Record::hole(self.expected));
            self.expected += 1;
        }
        if self.expected >= self.hole_end
            && batch.len() < BATCH
            && let Some(record) = self.held.take()
        {
            self.expected = record.offset + 1;
            batch.push(record);
        }
    }

    /// Adds a record, if it is the next one.
    fn offer(&mut self, record: Record, batch: &mut Vec<Record>) -> Next {
        if record.offset < self.expected {
            return Next::More;
        }
        if record.offset > self.expected {
            if self.looked_at != Some(self.expected) {
                self.looked_at = Some(self.expected);
                return Next::LookAgain;
            }
            log::warn!(from = self.expected, to = record.offset; "offsets of the log hold nothing");
        }
        self.hole_end = record.offset;
        self.held = Some(record);
        self.fill(batch);
        Next::More
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Record {
        Record {
            offset,
            value: "x".into(),
            is_hole: false,
        }
    }

    /// Offers records; returns what came out, a hole as its negative offset.
    fn offered(sequence: &mut Sequence, offsets: &[u64]) -> (Vec<i64>, bool) {
        let mut batch = Vec::new();
        let mut looks_again = false;
        for offset in offsets {
            if sequence.offer(at(*offset), &mut batch) == Next::LookAgain {
                looks_again = true;
                break;
            }
        }
        (shown(&batch), looks_again)
    }

    fn shown(batch: &[Record]) -> Vec<i64> {
        let sign = |record: &Record| if record.is_hole { -1 } else { 1 };
        batch
            .iter()
            .map(|record| record.offset.cast_signed() * sign(record))
            .collect()
    }

    #[test]
    fn consecutive_records_pass_and_old_ones_do_not() {
        let mut sequence = Sequence::begin(5, 0);
        assert_eq!(
            offered(&mut sequence, &[3, 4, 5, 6, 5, 7]),
            (vec![5, 6, 7], false)
        );
    }

    #[test]
    fn a_jump_is_a_hole_only_when_it_is_seen_twice() {
        let mut sequence = Sequence::begin(5, 0);
        assert_eq!(offered(&mut sequence, &[5, 8]), (vec![5], true));
        // They were there after all.
        assert_eq!(offered(&mut sequence, &[6, 7, 8]), (vec![6, 7, 8], false));
        assert_eq!(offered(&mut sequence, &[11]), (vec![], true));
        assert_eq!(
            offered(&mut sequence, &[11, 12]),
            (vec![-9, -10, 11, 12], false)
        );
        assert_eq!(
            offered(&mut sequence, &[14]),
            (vec![], true),
            "each hole for itself"
        );
    }

    #[test]
    fn a_large_hole_is_filled_batch_by_batch() {
        let mut sequence = Sequence::begin(0, 0);
        assert_eq!(offered(&mut sequence, &[1_200]), (vec![], true));
        let mut seen = offered(&mut sequence, &[1_200]).0;
        assert_eq!(seen.len(), BATCH);
        while sequence.is_filling() {
            let mut batch = Vec::new();
            sequence.fill(&mut batch);
            assert!(!batch.is_empty() && batch.len() <= BATCH);
            seen.extend(shown(&batch));
        }
        let expected: Vec<i64> = (0..1_200).map(|n: i64| -n).chain([1_200]).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn what_was_removed_before_the_first_record_is_a_hole() {
        let mut sequence = Sequence::begin(2, 4);
        let mut batch = Vec::new();
        sequence.fill(&mut batch);
        assert_eq!(shown(&batch), [-2, -3]);
        assert_eq!(offered(&mut sequence, &[4]), (vec![4], false));
    }
}
