//! Two people who chat undisturbed, whatever a test does to their server.

use super::{TestClient, TestServer, TestUser};

/// A healthy conversation.
pub struct Bystanders {
    pub room: String,
    pub alice: TestUser,
    pub bob: TestUser,
    speaker: TestClient,
    listener: TestClient,
    seq: u64,
}

impl Bystanders {
    /// Brings two members of a new public room together.
    pub async fn meet(server: &TestServer) -> Self {
        let (alice, bob) = (server.user("alice").await, server.user("bob").await);
        let room = alice.room("bystanders").await;
        bob.join(&room).await;
        Self {
            speaker: alice.connect_to(&room).await,
            listener: bob.connect_to(&room).await,
            room,
            alice,
            bob,
            seq: 0,
        }
    }

    /// Says something; asserts that both hear it next, with the next seq if nobody else speaks.
    pub async fn chat(&mut self) {
        let id = self.speaker.say(&self.room, "undisturbed").await;
        for client in [&mut self.speaker, &mut self.listener] {
            let heard = client.expect("newMessage").await;
            assert_eq!(heard["clientMsgId"], id, "{heard}");
            assert_eq!(heard["seq"], self.seq + 1, "{heard}");
        }
        self.seq += 1;
    }
}
