//! Something fails inside: the callback comes all the same, and says so.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Database, ServerOptions, SocketIoClient, TestServer, await_until, draft, with_failpoints,
};

/// Starts a server in which something fails: that may be logged.
async fn failing(options: ServerOptions) -> TestServer {
    options.expect_errors().expect_imbalance().start().await
}

#[tokio::test]
async fn a_send_is_answered_when_the_log_fails() {
    if !with_failpoints() {
        return;
    }
    let options = ServerOptions::new().unlimited();
    let options = options.failpoint("kafka-bridge=1*panic");
    let server = failing(options).await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    client.join(&room).await;
    let message = draft(&room, "again");
    let told = client.ask("sendMessage", message.clone()).await;
    assert_eq!(told["clientMsgId"], message["clientMsgId"]);
    let why = (&told["status"], &told["code"], &told["retryable"]);
    let unavailable = (&json!("FAILED"), &json!("UNAVAILABLE"), &json!(true));
    assert_eq!(why, unavailable, "{told}");
    assert!(told["error"].is_string(), "{told}");
    assert_eq!(client.event("messageFailed").await, told);
    // Its repeat, as the answer asks for: once the log is back it is there, once.
    while client.ask("sendMessage", message.clone()).await["status"] != "ACCEPTED" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let heard = client.event("newMessage").await;
    assert_eq!(
        (&heard["seq"], &heard["content"]),
        (&json!(1), &json!("again"))
    );
}

#[tokio::test]
async fn every_request_is_answered_when_the_database_fails() {
    let server = failing(ServerOptions::new()).await;
    let ada = server.user("ada").await;
    let room = ada.room("room").await;
    let mut client = SocketIoClient::connect(&server, &ada.token).await;
    let mut database = Database::open(&server).await;
    database
        .alter("ALTER TABLE room_members RENAME TO hidden")
        .await;
    let read = json!({ "roomId": room, "lastReadMessageId": "0".repeat(26) });
    for (event, data) in [("joinRoom", json!({ "roomId": room })), ("markRead", read)] {
        let told = client.ask(event, data).await;
        assert_eq!(told["success"], false, "{event}: {told}");
        assert!(told["error"].is_string(), "{event}: {told}");
        let code = told["code"].as_str().expect("a code");
        assert!(
            ["INTERNAL", "UNAVAILABLE"].contains(&code),
            "{event}: {told}"
        );
    }
    let told = client.ask("sendMessage", draft(&room, "lost")).await;
    assert_eq!(told["status"], "FAILED", "{told}");
    // Its connection goes on, and so does all else once the database is itself again.
    let beat = client.ask("heartbeat", json!({})).await;
    assert_eq!(beat["success"], true);
    database
        .alter("ALTER TABLE hidden RENAME TO room_members")
        .await;
    await_until("the room", || async {
        let mut client = SocketIoClient::connect(&server, &ada.token).await;
        let told = client.ask("joinRoom", json!({ "roomId": room })).await;
        (told["success"] == true).then_some(())
    })
    .await;
}
