//! A worker that is killed at an exact moment.

use std::sync::Arc;

use serde_json::json;

use crate::harness::{Ground, Part, ServerOptions, Services, await_until, seqs, with_failpoints};

/// A worker stops at a fail point after it has stored a message, and is killed there.
async fn check(failpoint: &str) {
    if !with_failpoints() {
        return;
    }
    let Some(services) = Services::of_run() else {
        return;
    };
    let ground = Arc::new(Ground::on(services).await);
    let options = |part| ServerOptions::new().part(part);
    let pausing = options(Part::Worker).failpoint(&format!("{failpoint}=pause"));
    let mut worker = pausing.start_on(Arc::clone(&ground)).await;
    let gateway = options(Part::Gateway).start_on(Arc::clone(&ground)).await;
    let (ada, bob) = (gateway.user("ada").await, gateway.user("bob").await);
    let room = ada.room_with(&[&bob]).await;
    let (mut speaker, mut listener) = (ada.connect_to(&room).await, bob.connect_to(&room).await);
    speaker.say(&room, "stored, not published").await;
    await_until("the message is stored", || async {
        (ada.history(&room).await.len() == 1).then_some(())
    })
    .await;
    speaker.expect_none("newMessage").await;
    worker.kill();
    drop(worker);
    let _next = options(Part::Worker).start_on(Arc::clone(&ground)).await;
    speaker.say(&room, "after it").await;
    for socket in [&mut speaker, &mut listener] {
        assert_eq!(seqs(&socket.messages(2).await), [1, 2]);
        socket.request_frame("heartbeat", json!({})).await;
        socket.expect_none("newMessage").await;
    }
    assert_eq!(ada.history(&room).await.len(), 2);
}

#[tokio::test]
async fn a_worker_killed_after_its_commit_costs_no_message() {
    check("persistor-after-commit").await;
}

#[tokio::test]
async fn a_worker_killed_before_it_publishes_costs_no_message() {
    check("kafka-bridge-publish").await;
}
