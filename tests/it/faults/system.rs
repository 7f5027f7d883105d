//! Two gateways and two workers, the services they stand on, and load on them.

use std::{sync::Arc, time::Duration};

use nix::sys::signal::Signal;
use reqwest::Client;
use tokio::{
    sync::{Mutex, MutexGuard},
    time::{Instant, timeout},
};

use super::{probe::Probe, verdict::Verdict};
use crate::harness::{
    BreakableStack, Ground, Part, ServerOptions, Services, TestServer, await_until, bench::Bench,
};

pub const GATEWAYS: [usize; 2] = [0, 1];
pub const WORKERS: [usize; 2] = [2, 3];
const PARTS: [Part; 4] = [Part::Gateway, Part::Gateway, Part::Worker, Part::Worker];

/// What the load is: it ends when it is told to.
const LOAD: &str = "--clients 40 --rooms 10 --rate 200 --duration-s 3600 --json \
                    --reconnect-every-s 15 --duplicate-percent 3";

/// Delivery goes on within this time after a fault has ended. On a quiet machine it takes a few
/// seconds, as is printed.
const RESUMES_WITHIN: Duration = Duration::from_secs(60);

/// Partitions of a worker that died, or that lost sight of the brokers, are free after this time.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long clients may take to catch up, and their histories to be read.
const SETTLES_WITHIN: Duration = Duration::from_secs(120);

/// How long those who look after the processes wait for an answer on health.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// A drain takes no longer.
const DRAIN: Duration = Duration::from_secs(25);

/// Of the two sets of faults one runs at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// See the module. Fields are dropped in this order.
pub struct System {
    servers: Vec<Option<TestServer>>,
    probe: Probe,
    pub ground: Arc<Ground>,
    pub services: BreakableStack,
    _turn: MutexGuard<'static, ()>,
}

impl System {
    /// Starts everything on services of its own; `None` where there are none.
    pub async fn start() -> Option<Self> {
        Services::of_run()?;
        let turn = TURN.lock().await;
        let services = BreakableStack::up();
        let ground = Arc::new(Ground::on(services.services()).await);
        let mut servers = Vec::new();
        for part in PARTS {
            let options = ServerOptions::new().unlimited().part(part);
            servers.push(Some(options.start_on(Arc::clone(&ground)).await));
        }
        let gateways = GATEWAYS.map(|gateway| servers[gateway].as_ref().expect("just started"));
        let probe = Probe::new(&gateways).await;
        Some(Self {
            servers,
            probe,
            ground,
            services,
            _turn: turn,
        })
    }

    pub fn server(&self, number: usize) -> &TestServer {
        self.servers[number].as_ref().expect("it is not away")
    }

    pub fn gateways(&self) -> [&TestServer; 2] {
        GATEWAYS.map(|gateway| self.server(gateway))
    }

    /// Kills a process.
    pub fn kill(&mut self, number: usize) {
        let server = self.servers[number].as_mut();
        server.expect("it is not away").kill();
    }

    /// Ends a process in an orderly way, and asserts that it does.
    pub async fn terminate(&mut self, number: usize) {
        let server = self.servers[number].as_mut().expect("it is not away");
        server.signal(Signal::SIGTERM);
        let status = server.ended(DRAIN).await;
        assert!(status.success(), "{status}: {}", server.log().join("\n"));
    }

    /// Starts a process again where it was.
    pub async fn revive(&mut self, number: usize) {
        let dead = self.servers[number].take().expect("it is not away");
        self.servers[number] = Some(dead.restart_in_place().await);
    }

    /// Puts load on the gateways; returns when it flows.
    pub async fn load(&self) -> Bench {
        let urls = self.gateways().map(|gateway| gateway.url(""));
        let load = Bench::start(&urls.each_ref().map(String::as_str), LOAD);
        self.count_on("delivered", 800.0).await;
        load
    }

    /// Returns a counter of messages, summed over the gateways.
    pub async fn counted(&self, what: &str) -> f64 {
        let name = format!("roomcast_messages_{what}_total");
        let [one, other] = self.gateways();
        one.metric(&name, "").await + other.metric(&name, "").await
    }

    /// Waits until so many more are counted.
    pub async fn count_on(&self, what: &str, more: f64) {
        let goal = self.counted(what).await + more;
        await_until(&format!("{goal} {what}"), || async {
            (self.counted(what).await >= goal).then_some(())
        })
        .await;
    }

    /// Waits until both gateways answer so on a path.
    pub async fn answer(&self, path: &str, status: u16) {
        let http = Client::builder().timeout(PROBE_TIMEOUT).build();
        let http = http.expect("a client");
        for gateway in self.gateways() {
            let url = gateway.url(path);
            await_until(&format!("{status} on {url}"), || async {
                let answer = http.get(&url).send().await.ok()?;
                (answer.status() == status).then_some(())
            })
            .await;
        }
    }

    /// Returns who watches whether messages arrive.
    pub fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Waits until messages reach everybody again, in all partitions and by all gateways; returns
    /// how long that took.
    pub async fn delivers(&self) -> Duration {
        self.delivers_within(RESUMES_WITHIN).await
    }

    /// As [`Self::delivers`], where partitions have to change hands first.
    pub async fn delivers_after_session_timeout(&self) -> Duration {
        self.delivers_within(SESSION_TIMEOUT + RESUMES_WITHIN).await
    }

    async fn delivers_within(&self, most: Duration) -> Duration {
        let began = Instant::now();
        let in_time = timeout(most, self.probe.delivered(&self.gateways())).await;
        assert!(in_time.is_ok(), "delivery does not go on within {most:?}");
        began.elapsed()
    }

    /// Ends the load and judges it.
    pub async fn judge(&self, fault: &str, load: Bench, resumed: Duration) {
        load.interrupt();
        let output = load.ended_within(SETTLES_WITHIN).await;
        let verdict = Verdict::new(&output, &self.ground).await;
        verdict.tell(fault, resumed);
        verdict.assert_kept();
    }
}
