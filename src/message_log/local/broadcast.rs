//! The two broadcast topics: a queue in memory between the process's appenders and its one reader.
//!
//! Records lie in the queue until the reader asks for the next ones. So a reader that died with
//! some in its hands leaves them to its successor, and what is appended while there is no reader
//! waits for one.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::{Notify, oneshot};

use crate::message_log::{AppendError, Appending, BroadcastEvent};

/// Records that lie in the queue before their appenders have to wait.
const WINDOW: usize = 1_024;

/// Records whose appenders wait; more are refused.
const MAX_WAITING: usize = 16_384;

/// Most values of one event.
const BATCH: usize = 512;

/// Which of the two topics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Channel {
    Persisted,
    Events,
}

/// The queue, shared by everybody.
#[derive(Debug, Clone, Default)]
pub(super) struct Hub(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    records: VecDeque<(Channel, Bytes)>,
    /// Of the records beyond the window, which are the last ones.
    waiting: VecDeque<oneshot::Sender<Result<(), AppendError>>>,
    /// How many of the first records the reader has in its hands.
    handed: usize,
    /// Wakes the reader that counts; an earlier one has another.
    wake: Arc<Notify>,
    is_closed: bool,
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a record; its future waits while the window is full.
    pub(super) fn append(&self, channel: Channel, value: Bytes) -> Appending {
        let mut queue = self.lock();
        if queue.is_closed {
            return refused("the log is closed");
        }
        if queue.waiting.len() >= MAX_WAITING {
            return refused("too many records wait to be read");
        }
        queue.records.push_back((channel, value));
        queue.wake.notify_one();
        if queue.records.len() <= WINDOW {
            return Appending::Done(Some(Ok(())));
        }
        let (answer, appending) = oneshot::channel();
        queue.waiting.push_back(answer);
        Appending::Pending(appending)
    }

    /// Makes the reader that counts from now on; the earlier one's stream ends.
    pub(super) fn subscribe(&self) -> Subscriber {
        let mut queue = self.lock();
        queue.handed = 0;
        queue.wake.notify_one();
        queue.wake = Arc::default();
        // What lies there already is news to this reader.
        queue.wake.notify_one();
        Subscriber {
            hub: self.clone(),
            wake: Arc::clone(&queue.wake),
        }
    }

    /// Refuses appends from now on; the reader's stream ends after what is in the queue.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.is_closed = true;
        queue.waiting.clear();
        queue.wake.notify_one();
    }

    /// Returns how many records lie in the queue.
    pub(super) fn len(&self) -> usize {
        self.lock().records.len()
    }
}

impl Queue {
    /// Forgets what the reader had in its hands, and lets as many appenders go on.
    fn acknowledge(&mut self) {
        self.records.drain(..self.handed);
        let freed = self.handed.min(self.waiting.len());
        for answer in self.waiting.drain(..freed) {
            // The appender may not want to know.
            let _ = answer.send(Ok(()));
        }
        self.handed = 0;
    }

    /// Hands out the first records, as far as they are of one topic.
    fn hand_out(&mut self) -> Option<BroadcastEvent> {
        let channel = self.records.front()?.0;
        let values: Vec<Bytes> = self
            .records
            .iter()
            .take(BATCH)
            .take_while(|(other, _)| *other == channel)
            .map(|(_, value)| value.clone())
            .collect();
        self.handed = values.len();
        Some(match channel {
            Channel::Persisted => BroadcastEvent::Persisted(values),
            Channel::Events => BroadcastEvent::Events(values),
        })
    }
}

/// The reader of the two broadcast topics.
#[derive(Debug)]
pub struct Subscriber {
    hub: Hub,
    wake: Arc<Notify>,
}

impl Subscriber {
    /// Returns the next records and lets go of those before; `None` when another reader has
    /// begun, or the log has closed.
    pub async fn recv(&mut self) -> Option<BroadcastEvent> {
        let mut is_first_look = true;
        loop {
            {
                let mut queue = self.hub.lock();
                if !Arc::ptr_eq(&queue.wake, &self.wake) {
                    return None;
                }
                if is_first_look {
                    queue.acknowledge();
                }
                let event = queue.hand_out();
                if event.is_some() || queue.is_closed {
                    return event;
                }
            }
            is_first_look = false;
            self.wake.notified().await;
        }
    }
}

pub(super) fn refused(reason: &str) -> Appending {
    Appending::Done(Some(Err(AppendError::Refused(reason.into()))))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn value(n: usize) -> Bytes {
        n.to_string().into()
    }

    fn persisted(event: Option<BroadcastEvent>) -> Vec<Bytes> {
        match event {
            Some(BroadcastEvent::Persisted(values)) => values,
            other => panic!("not a batch of persisted records: {other:?}"),
        }
    }

    #[tokio::test]
    async fn appenders_wait_while_the_window_is_full_and_stay_in_order() {
        let hub = Hub::default();
        let mut subscriber = hub.subscribe();
        for n in 0..WINDOW {
            let taken = hub.append(Channel::Persisted, value(n)).now_or_never();
            assert!(matches!(taken, Some(Ok(()))), "{n}");
        }
        let mut late: Vec<_> = (WINDOW..WINDOW + 2)
            .map(|n| hub.append(Channel::Persisted, value(n)))
            .collect();
        assert!((&mut late[0]).now_or_never().is_none());
        let mut seen = persisted(subscriber.recv().await);
        assert!(
            (&mut late[0]).now_or_never().is_none(),
            "in the reader's hands is not read"
        );
        seen.extend(persisted(subscriber.recv().await));
        for appending in late {
            assert!(matches!(appending.now_or_never(), Some(Ok(()))));
        }
        seen.extend(persisted(subscriber.recv().await));
        assert_eq!(seen, (0..WINDOW + 2).map(value).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_record_is_kept_though_its_appender_does_not_wait() {
        let hub = Hub::default();
        let mut subscriber = hub.subscribe();
        for n in 0..=WINDOW {
            drop(hub.append(Channel::Persisted, value(n)));
        }
        let mut seen = 0;
        while seen <= WINDOW {
            seen += persisted(subscriber.recv().await).len();
        }
        assert_eq!(seen, WINDOW + 1);
    }

    #[tokio::test]
    async fn a_reader_that_died_leaves_what_it_had_in_its_hands() {
        let hub = Hub::default();
        drop(hub.append(Channel::Persisted, value(1)));
        let mut first = hub.subscribe();
        assert_eq!(persisted(first.recv().await), [value(1)]);
        drop(first);
        drop(hub.append(Channel::Persisted, value(2)));
        let mut second = hub.subscribe();
        assert_eq!(persisted(second.recv().await), [value(1), value(2)]);
        let mut next = pin!(second.recv());
        assert!(next.as_mut().now_or_never().is_none(), "both were let go");
    }

    #[tokio::test]
    async fn the_order_of_the_two_topics_is_kept() {
        let hub = Hub::default();
        let mut subscriber = hub.subscribe();
        for channel in [Channel::Persisted, Channel::Events, Channel::Persisted] {
            drop(hub.append(channel, value(0)));
        }
        let kind = |event: Option<BroadcastEvent>| match event {
            Some(BroadcastEvent::Persisted(values)) => ("persisted", values.len()),
            Some(BroadcastEvent::Events(values)) => ("events", values.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(subscriber.recv().await), ("persisted", 1));
        assert_eq!(kind(subscriber.recv().await), ("events", 1));
        assert_eq!(kind(subscriber.recv().await), ("persisted", 1));
    }

    #[tokio::test]
    async fn a_waiting_reader_ends_when_another_begins() {
        let hub = Hub::default();
        let mut first = hub.subscribe();
        let mut waiting = Box::pin(first.recv());
        assert!(waiting.as_mut().now_or_never().is_none());
        let mut second = hub.subscribe();
        assert!(waiting.await.is_none());
        drop(hub.append(Channel::Events, value(1)));
        assert!(matches!(
            second.recv().await,
            Some(BroadcastEvent::Events(_))
        ));
    }

    #[tokio::test]
    async fn a_closed_queue_is_read_to_its_end() {
        let hub = Hub::default();
        let mut subscriber = hub.subscribe();
        drop(hub.append(Channel::Persisted, value(1)));
        hub.close();
        let late = hub.append(Channel::Persisted, value(2)).now_or_never();
        assert!(matches!(late, Some(Err(AppendError::Refused(_)))));
        assert_eq!(persisted(subscriber.recv().await), [value(1)]);
        assert!(subscriber.recv().await.is_none());
    }

    #[test]
    fn too_many_waiting_records_are_refused() {
        let hub = Hub::default();
        let appending: Vec<_> = (0..WINDOW + MAX_WAITING)
            .map(|n| hub.append(Channel::Persisted, value(n)))
            .collect();
        let refused = hub.append(Channel::Persisted, value(0)).now_or_never();
        assert!(matches!(refused, Some(Err(AppendError::Refused(_)))));
        drop(appending);
    }
}
