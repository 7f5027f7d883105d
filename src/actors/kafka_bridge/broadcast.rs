//! The gateway's half of the bridge: stored records and events → every slice.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::join_all;

use super::GatewayParts;
use crate::{
    actors::room_registry::DeliverBatch,
    event::{Announcement, Event},
    fanout::{Delivery, SharedDelivery},
    ids::ServerId,
    message::PersistedMessage,
    message_log::{BroadcastEvent, MessageLog},
    metrics,
};

/// How long to wait before a failed reader is opened anew.
const REOPEN_DELAY: Duration = Duration::from_millis(100);

/// Reads the two broadcast topics, for as long as it is polled.
pub(super) async fn run(log: MessageLog, server_id: ServerId, parts: GatewayParts) {
    loop {
        let mut events = log.broadcast();
        while let Some(event) = events.recv().await {
            match event {
                BroadcastEvent::Persisted(values) => deliver(&parts, &values).await,
                BroadcastEvent::Events(values) => apply(&parts, server_id, &values).await,
                BroadcastEvent::Failed(reason) => {
                    log::error!(reason:%; "the broadcast topics cannot be read");
                    break;
                }
            }
        }
        tokio::time::sleep(REOPEN_DELAY).await;
    }
}

/// Hands a batch to every slice and waits until all have taken it: never drops one.
async fn deliver(parts: &GatewayParts, values: &[Bytes]) {
    let began = Instant::now();
    let batch: Arc<[SharedDelivery]> = values.iter().filter_map(decode_persisted).collect();
    if batch.is_empty() {
        return;
    }
    let registries = parts.slices.all();
    join_all(
        registries
            .iter()
            .map(|registry| registry.send(DeliverBatch(Arc::clone(&batch)))),
    )
    .await;
    metrics::get().fanout.record(began.elapsed());
}

fn decode_persisted(value: &Bytes) -> Option<SharedDelivery> {
    match serde_json::from_slice::<PersistedMessage>(value) {
        Ok(msg) => Some(Delivery::new(msg)),
        Err(error) => {
            log::error!(error:%; "a record of chat.messages.persisted.v1 was skipped: rooms read it from the store");
            None
        }
    }
}

/// Applies others' events; this process has applied its own already.
async fn apply(parts: &GatewayParts, server_id: ServerId, values: &[Bytes]) {
    for value in values {
        match serde_json::from_slice::<Announcement>(value) {
            Ok(announcement) if is_news(server_id, &announcement) => {
                parts.apply(Arc::new(announcement.event)).await;
            }
            Ok(_) => {}
            Err(error) => log::error!(error:%; "a record of chat.events.v1 was skipped"),
        }
    }
}

fn is_news(server_id: ServerId, announcement: &Announcement) -> bool {
    // A rejection is published without having been applied first.
    announcement.origin != server_id || matches!(announcement.event, Event::MessageRejected { .. })
}
