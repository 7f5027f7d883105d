//! A database and topics of one test's own on the services.

use std::thread;

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions},
    client::DefaultClientContext,
};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};
use url::Url;

use super::{Services, uuid};

/// Few: each costs the broker files, and a test has one or two rooms.
const PARTITIONS: u32 = 3;

const TOPICS: [&str; 4] = [
    "chat.messages.v1",
    "chat.messages.persisted.v1",
    "chat.messages.dlq.v1",
    "chat.events.v1",
];

/// Removed when it is dropped, with everything in it.
pub struct Scratch {
    services: Services,
    /// Of the database, and before the name of each topic and of the workers' group.
    name: String,
}

impl Scratch {
    /// Makes the database; the server makes its schema and its topics.
    ///
    /// Valkey is shared: its keys carry user ids, and signals of other rooms are passed over.
    pub async fn make(services: Services) -> Self {
        let name = format!("test_{}", uuid().replace('-', ""));
        let create = format!("CREATE DATABASE {name}");
        let client = connect(&services.database).await;
        client.batch_execute(&create).await.expect("a database");
        Self { services, name }
    }

    /// Returns what a process on it has in its environment.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let services = Services {
            database: self.database(),
            ..self.services.clone()
        };
        let own = [
            ("KAFKA_TOPIC_PREFIX", self.topic("")),
            ("KAFKA_PARTITIONS", PARTITIONS.to_string()),
        ];
        services.env().into_iter().chain(own).collect()
    }

    /// Opens a connection to the database.
    pub async fn connect(&self) -> Client {
        connect(&self.database()).await
    }

    /// Returns the URL of the database.
    pub fn database(&self) -> Url {
        let mut url = self.services.database.clone();
        url.set_path(&self.name);
        url
    }

    /// Returns what a topic or a group is called here.
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    /// Returns where Kafka is, for a client of librdkafka.
    pub fn kafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.services.brokers);
        config
    }

    async fn remove(database: Url, kafka: ClientConfig, name: String) {
        let drop = format!("DROP DATABASE {name} WITH (FORCE)");
        let client = connect(&database).await;
        client.batch_execute(&drop).await.expect("it was there");
        let admin: AdminClient<DefaultClientContext> = kafka.create().expect("a client");
        let topics = TOPICS.map(|topic| format!("{name}.{topic}"));
        let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
        // What is left over harms no other test.
        let _ = admin.delete_topics(&topics, &AdminOptions::new()).await;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let (database, kafka) = (self.services.database.clone(), self.kafka());
        let name = self.name.clone();
        // A test may be in a runtime already.
        let removing = thread::spawn(move || {
            let runtime = Runtime::new().expect("a runtime");
            runtime.block_on(Self::remove(database, kafka, name));
        });
        let removed = removing.join();
        if !thread::panicking() {
            removed.expect("it can be removed");
        }
    }
}

async fn connect(database: &Url) -> Client {
    let (client, connection) = tokio_postgres::connect(database.as_str(), NoTls)
        .await
        .expect("PostgreSQL is up");
    tokio::spawn(connection);
    client
}
