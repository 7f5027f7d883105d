//! What health says while a service is away, and what answers all the while.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::future::{join, join_all};
use reqwest::Client;
use serde_json::Value;
use tokio::{task::JoinHandle, time::timeout};

use super::{
    system::{GATEWAYS, System, WORKERS},
    verdict,
};
use crate::harness::{Service, await_until};

/// Readiness tells within this time that something is away. On a quiet machine it takes less than
/// ten seconds, as is printed.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// How long a process may look for its services before it answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long those who look after the processes wait for what has to answer throughout. A machine
/// may stand still for a moment; a process that waits for the service does so while it is away.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

/// Two answers after another that take longer are no such moment.
const SLOW: Duration = Duration::from_secs(3);

/// Between two looks at what has to answer throughout.
const PACE: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy)]
enum Fault {
    Killed,
    Hangs,
}

/// Takes each service away, in each way, and gives it back.
pub async fn is_told(system: &System) {
    for service in [Service::Kafka, Service::Postgres, Service::Valkey] {
        for fault in [Fault::Hangs, Fault::Killed] {
            let watch = Watch::begin(system);
            match fault {
                Fault::Killed => system.services.kill(service),
                Fault::Hangs => system.services.stop(service),
            }
            let what = format!("{service:?} {fault:?}");
            let began = Instant::now();
            let told = timeout(TOLD_WITHIN, is_away(system, service)).await;
            assert!(told.is_ok(), "{what}: not told within {TOLD_WITHIN:?}");
            let told = began.elapsed().as_secs_f64();
            verdict::print(&format!("{what}: told after {told:.1} s"));
            watch.hear_from_all().await;
            match fault {
                Fault::Killed => system.services.start(service),
                Fault::Hangs => system.services.cont(service),
            }
            await_until(&format!("health after {what}"), || is_well(system)).await;
            watch.end(&what).await;
        }
    }
}

/// Waits until every process says of a service that it is away; all are asked at once.
async fn is_away(system: &System, service: Service) {
    let http = client(ANSWER_TIMEOUT);
    let (part, is_ready) = match service {
        Service::Kafka => ("kafka", 503),
        Service::Postgres => ("database", 503),
        // Presence does not count.
        Service::Valkey => ("redis", 200),
    };
    // A worker has no presence.
    let has_it = |number: &usize| part != "redis" || GATEWAYS.contains(number);
    let told = processes().filter(has_it).map(async |number| {
        let server = system.server(number);
        let (health, ready) = (server.url("/health"), server.url("/health/ready"));
        join(
            until(&http, &health, 503, Some(part)),
            until(&http, &ready, is_ready, None),
        )
        .await;
    });
    join_all(told).await;
}

fn processes() -> impl Iterator<Item = usize> {
    GATEWAYS.into_iter().chain(WORKERS)
}

/// Asks until the answer is of this status, and names this part as down.
async fn until(http: &Client, url: &str, status: u16, part: Option<&str>) {
    loop {
        if let Ok(answer) = http.get(url).send().await
            && answer.status() == status
            && let Ok(report) = answer.json::<Value>().await
            && part.is_none_or(|part| report["error"][part]["status"] == "down")
        {
            return;
        }
        tokio::time::sleep(PACE).await;
    }
}

async fn is_well(system: &System) -> Option<()> {
    let http = client(ANSWER_TIMEOUT);
    for number in processes() {
        let url = system.server(number).url("/health");
        let answer = http.get(url).send().await.ok()?;
        if answer.status() != 200 {
            return None;
        }
    }
    Some(())
}

fn client(timeout: Duration) -> Client {
    // A connection of its own each time: the server closes idle ones.
    let client = Client::builder().timeout(timeout).pool_max_idle_per_host(0);
    let client = client.build();
    client.expect("a client")
}

/// Asks every process for what has to answer throughout.
struct Watch {
    is_over: Arc<AtomicBool>,
    asking: Vec<(JoinHandle<()>, Arc<AtomicUsize>)>,
}

impl Watch {
    fn begin(system: &System) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let urls = processes().flat_map(|number| {
            let server = system.server(number);
            [server.url("/health/live"), server.metrics_url().to_owned()]
        });
        let asking = urls.map(|url| {
            let answered = Arc::new(AtomicUsize::new(0));
            let asking = ask(url, Arc::clone(&is_over), Arc::clone(&answered));
            (tokio::spawn(asking), answered)
        });
        Self {
            asking: asking.collect(),
            is_over,
        }
    }

    /// Waits until everything has answered what was asked from now on, or has not in time.
    async fn hear_from_all(&self) {
        for (asking, answered) in &self.asking {
            // One question may be under way.
            let goal = answered.load(Ordering::SeqCst) + 2;
            await_until("an answer, or its absence", || async {
                let is_heard = answered.load(Ordering::SeqCst) >= goal;
                (is_heard || asking.is_finished()).then_some(())
            })
            .await;
        }
    }

    async fn end(self, what: &str) {
        self.is_over.store(true, Ordering::SeqCst);
        for (asking, answered) in self.asking {
            asking.await.expect("everything answered");
            let answered = answered.load(Ordering::SeqCst);
            assert!(answered > 0, "{what}: nothing was asked");
        }
    }
}

async fn ask(url: String, is_over: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    let http = client(PROBE_TIMEOUT);
    let mut slow = 0;
    while !is_over.load(Ordering::SeqCst) {
        let began = Instant::now();
        let answer = http.get(&url).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(answer.status(), 200, "{url}");
        slow = if began.elapsed() > SLOW { slow + 1 } else { 0 };
        assert!(slow < 2, "{url} answers late, again and again");
        answered.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(PACE).await;
    }
}
