//! The channel: a connection of its own, made anew for as long as somebody listens.

use std::{sync::Weak, time::Duration};

use deadpool_redis::redis::{
    Msg, RedisResult, Value,
    aio::{PubSub, PubSubSink},
};
use futures_util::StreamExt;
use tokio::{
    sync::mpsc,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use super::{CHANNEL, Shared, ValkeyPresence, retries};
use crate::presence::Signal;

/// How often the connection is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// How long that, and the making of a connection, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Hears signals until the subscriber or the adapter is gone.
pub(super) async fn hear(shared: Weak<Shared>, subscriber: mpsc::Sender<Signal>) {
    let mut delays = retries();
    while !subscriber.is_closed() {
        let Some(presence) = shared.upgrade().map(ValkeyPresence) else {
            return;
        };
        if let Some(pubsub) = subscribe(&presence).await {
            log::info!("signals of other gateways are heard");
            delays = retries();
            drop(presence);
            tokio::select! {
                () = forward(pubsub, &subscriber) => {}
                () = subscriber.closed() => return,
            }
            log::warn!("signals of other gateways are not heard");
        }
        sleep(delays.next().unwrap_or_default()).await;
    }
}

/// Subscribes, then has every gateway repeat what it has said before, which was missed.
async fn subscribe(presence: &ValkeyPresence) -> Option<PubSub> {
    let subscribing = async {
        let mut pubsub = presence.0.client.get_async_pubsub().await?;
        pubsub.subscribe(CHANNEL).await?;
        RedisResult::Ok(pubsub)
    };
    match timeout(ANSWER_TIMEOUT, subscribing).await {
        Ok(Ok(pubsub)) => presence
            .signal(&[Signal::Hello])
            .await
            .ok()
            .map(|()| pubsub),
        Ok(Err(error)) => {
            log::debug!(error = error.category(); "no subscription");
            None
        }
        Err(_) => None,
    }
}

/// Passes signals on until the connection no longer lives.
async fn forward(pubsub: PubSub, subscriber: &mpsc::Sender<Signal>) {
    let (mut sink, mut messages) = pubsub.split();
    let mut pings = interval(PING_INTERVAL);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => pass_on(&message, subscriber),
                None => return,
            },
            _ = pings.tick() => if !answers(&mut sink).await {
                return;
            },
        }
    }
}

async fn answers(sink: &mut PubSubSink) -> bool {
    let answer = timeout(ANSWER_TIMEOUT, sink.ping::<Value>()).await;
    answer.is_ok_and(|answer| answer.is_ok())
}

fn pass_on(message: &Msg, subscriber: &mpsc::Sender<Signal>) {
    let payload = message.get_payload_bytes();
    match serde_json::from_slice(payload) {
        // Full or gone: a signal may be lost.
        Ok(signal) => drop(subscriber.try_send(signal)),
        // Its text may hold anything: it is not shown.
        Err(error) => log::warn!(
            bytes = payload.len(), line = error.line(), column = error.column();
            "a message that is no signal is ignored"
        ),
    }
}
