//! Several gateways and several workers on the same services: for clients they are one system.
//!
//! Always on the services, whatever the rest of the run is on.

mod crossing;
mod dead_letters;
mod dying;
mod starting;
mod talking;
mod traces;

use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::Value;

use crate::harness::{Ground, Part, ServerOptions, Services, TestClient, TestServer, TestUser};

/// Two gateways and two workers.
struct Stack {
    gateways: Vec<TestServer>,
    workers: Vec<TestServer>,
}

impl Stack {
    /// Starts all four at once; `None` after saying that there are no services.
    async fn start() -> Option<Self> {
        let ground = Arc::new(Ground::on(Services::of_run()?).await);
        let part = |part| {
            let options = ServerOptions::new().unlimited().part(part);
            options.start_on(Arc::clone(&ground))
        };
        let starting = [Part::Gateway, Part::Gateway, Part::Worker, Part::Worker].map(part);
        let mut gateways = join_all(starting).await;
        let workers = gateways.split_off(2);
        Some(Self { gateways, workers })
    }

    /// Registers a user at the first gateway.
    async fn user(&self, name: &str) -> TestUser {
        self.gateways[0].user(name).await
    }

    /// Opens a socket of a user at a gateway and joins a room on it.
    async fn socket(&self, gateway: usize, user: &TestUser, room: &str) -> TestClient {
        user.at(&self.gateways[gateway]).connect_to(room).await
    }
}

/// Adds a metric up over servers.
async fn total(servers: &[TestServer], name: &str) -> f64 {
    let values = servers.iter().map(|server| server.metric(name, ""));
    join_all(values).await.iter().sum()
}

/// Returns the messages among frames that were not waited for.
fn unread_messages(socket: &TestClient) -> Vec<&Value> {
    let unread = socket.unread();
    unread
        .filter(|frame| frame["event"] == "newMessage")
        .collect()
}
