//! Somebody in a room of every partition, who finds out whether messages arrive everywhere.

use std::{collections::HashSet, time::Duration};

use serde_json::{Value, json};

use crate::harness::{TestClient, TestServer, TestUser, uuid};

/// So many that every partition has one of them, as good as certainly.
const ROOMS: usize = 16;

/// Between two tries: nothing but another one tells whether the fault is over.
const RETRY: Duration = Duration::from_millis(50);

/// See the module.
pub struct Probe {
    pub user: TestUser,
    pub rooms: Vec<String>,
}

impl Probe {
    pub async fn new(gateways: &[&TestServer; 2]) -> Self {
        let user = gateways[0].user("probe").await;
        let mut rooms = Vec::new();
        for number in 0..ROOMS {
            rooms.push(user.room(&format!("probe {number}")).await);
        }
        Self { user, rooms }
    }

    /// Sends a message to every room, and returns once all of them have come by every gateway.
    ///
    /// Whatever fails meanwhile is tried again: this ends when the fault is over.
    pub async fn delivered(&self, gateways: &[&TestServer; 2]) {
        while !self.try_delivered(gateways).await {
            tokio::time::sleep(RETRY).await;
        }
    }

    async fn try_delivered(&self, gateways: &[&TestServer; 2]) -> bool {
        let mut sockets = Vec::new();
        for gateway in gateways {
            match self.listen(gateway).await {
                Some(socket) => sockets.push(socket),
                None => return false,
            }
        }
        let mut said = HashSet::new();
        for room in &self.rooms {
            match self.say(gateways[0], room).await {
                Some(id) => said.insert(id),
                None => return false,
            };
        }
        for mut socket in sockets {
            if !hears(&mut socket, said.clone()).await {
                return false;
            }
        }
        true
    }

    /// Joins all rooms on a new socket.
    async fn listen(&self, gateway: &TestServer) -> Option<TestClient> {
        let request = TestClient::request(&gateway.ws_url(), Some(&self.user.token));
        let mut socket = TestClient::open(request).await.ok()?;
        for room in &self.rooms {
            let join = json!({ "roomId": room });
            if !socket.offer("joinRoom", join).await {
                return None;
            }
        }
        let mut joined = 0;
        while joined < self.rooms.len() {
            match socket.hear().await.ok()?["event"].as_str()? {
                "roomJoined" => joined += 1,
                "error" => return None,
                _ => {}
            }
        }
        Some(socket)
    }

    /// Sends a message; returns its client message id if it was accepted.
    async fn say(&self, gateway: &TestServer, room: &str) -> Option<String> {
        let id = uuid();
        let body = json!({ "clientMsgId": id, "type": "TEXT", "content": "here?" });
        let path = format!("/rooms/{room}/messages");
        let answer = self.user.at(gateway).post(&path, body).await;
        (answer.status == 202).then_some(id)
    }
}

/// Returns whether all of these messages come before the socket's end.
async fn hears(socket: &mut TestClient, mut awaited: HashSet<String>) -> bool {
    while !awaited.is_empty() {
        let Ok(frame) = socket.hear().await else {
            return false;
        };
        if frame["event"] == "newMessage" {
            let id = frame["data"]["clientMsgId"].as_str();
            awaited.remove(id.expect("a message has one"));
        }
    }
    true
}

/// Returns the presence of a room's members, as a gateway tells it.
pub async fn online(user: &TestUser, room: &str) -> Vec<Value> {
    let members = user.get(&format!("/rooms/{room}/members")).await.ok(200);
    let members = members.as_array().expect("an array").iter();
    members.map(|member| member["online"].clone()).collect()
}
