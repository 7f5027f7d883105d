//! `roomcast tail`.

use std::{
    io::{BufRead, BufReader, Read},
    process::Stdio,
    time::Duration,
};

use nix::sys::signal::Signal;
use tokio::sync::mpsc;

use super::{Process, assert_refused, path};
use crate::harness::{Cli, ReservedPort, TestServer, await_until, uuid, within};

/// A running `tail`, line by line.
pub(super) struct Tail {
    process: Process,
    lines: mpsc::UnboundedReceiver<String>,
}

impl Tail {
    pub(super) fn start(args: &[&str]) -> Self {
        let mut process = Process::start(
            Cli::new()
                .command(&[&["tail"], args].concat())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped()),
        );
        let stdout = BufReader::new(process.0.stdout.take().expect("piped"));
        let (sender, lines) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut lines = stdout.lines().map_while(Result::ok);
            lines.try_for_each(|line| sender.send(line))
        });
        Self { process, lines }
    }

    /// Waits for the next line.
    pub(super) async fn next(&mut self) -> String {
        let line = within("a line of tail", self.lines.recv()).await;
        line.expect("tail still runs")
    }

    /// Interrupts it; returns what it said on standard error.
    pub(super) fn interrupt(mut self) -> String {
        self.process.end(Signal::SIGINT);
        let mut said = String::new();
        let stderr = self.process.0.stderr.as_mut().expect("piped");
        stderr.read_to_string(&mut said).expect("UTF-8");
        said
    }
}

#[actix_web::test]
async fn tail_follows_a_room_and_makes_content_harmless() {
    let server = TestServer::start().await;
    let ann = server.user("ann").await;
    let room = ann.room("lobby").await;
    let mut client = ann.connect_to(&room).await;
    for content in ["one", "two", "three"] {
        client.say(&room, content).await;
        client.expect("newMessage").await;
    }
    let data_dir = server.data_dir();
    let url = server.url("");
    let mut tail = Tail::start(&[
        &room,
        "-n",
        "2",
        "--url",
        &url,
        "--data-dir",
        path(&data_dir),
    ]);
    let line = tail.next().await;
    assert!(line.ends_with("Z ann: two"), "{line}");
    let line = tail.next().await;
    assert!(line.ends_with("Z ann: three"), "{line}");
    client.say(&room, "four\n\u{1b}[2J").await;
    let line = tail.next().await;
    assert!(line.ends_with(r"Z ann: four\n\u{1b}[2J"), "{line}");
    assert_eq!(tail.interrupt(), "");
    let mut as_json = Tail::start(&[
        &room, "-n", "1", "--json", "--url", &url, "--token", &ann.token,
    ]);
    let line = as_json.next().await;
    let msg: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    assert_eq!(
        (&msg["seq"], &msg["senderId"]),
        (&4.into(), &ann.id.as_str().into())
    );
    as_json.interrupt();
    client.close().await;
}

#[actix_web::test]
async fn tail_comes_back_after_a_restart_and_misses_nothing() {
    let mut server = TestServer::start().await;
    let ann = server.user("ann").await;
    let room = ann.room("lobby").await;
    ann.say(&room, "before").await;
    let port = server.host().rsplit(':').next().expect("a port").to_owned();
    let (data_dir, url) = (server.data_dir(), server.url(""));
    let mut tail = Tail::start(&[
        &room,
        "--url",
        &url,
        "--as",
        &ann.email,
        "--data-dir",
        path(&data_dir),
    ]);
    let line = tail.next().await;
    assert!(line.ends_with("Z ann: before"), "{line}");
    server
        .await_metric("roomcast_frames_out_total", "roomJoined", 1.0)
        .await;
    // It gives up on a server that goes before it was followed: this comes behind `roomJoined`.
    ann.say(&room, "live").await;
    let line = tail.next().await;
    assert!(line.ends_with("Z ann: live"), "{line}");
    server.kill();
    // The harness takes any port: while it serves elsewhere, `tail` keeps trying. Nobody else's
    // server may be given the old one meanwhile: it would refuse the token for good.
    let _reserved = ReservedPort::of(server.host()).expect("nobody else has it");
    let elsewhere = server.restart().await;
    ann.at(&elsewhere).say(&room, "meanwhile").await;
    await_until("the message is stored", || async {
        let history = ann.at(&elsewhere).history(&room).await;
        (history.len() == 3).then_some(())
    })
    .await;
    let mut elsewhere = elsewhere;
    elsewhere.signal(Signal::SIGTERM);
    elsewhere.ended(Duration::from_secs(25)).await;
    let mut back = Process::start(
        Cli::new()
            .command(&[
                "dev",
                "--port",
                &port,
                "--metrics-addr",
                "off",
                "--data-dir",
                path(&data_dir),
            ])
            .stderr(Stdio::null()),
    );
    let line = tail.next().await;
    assert!(line.ends_with("Z ann: meanwhile"), "{line}");
    let said = tail.interrupt();
    assert!(said.contains("coming back in"), "{said}");
    back.end(Signal::SIGTERM);
}

#[actix_web::test]
async fn tail_tells_what_is_not_for_it() {
    let server = TestServer::start().await;
    let (ann, bob) = (server.user("ann").await, server.user("bob").await);
    let room = ann.private_room("secret").await;
    let url = server.url("");
    let check = |args: &[&str], expected: &[&str]| {
        let output = Cli::new().run(&[&["tail", "--url", &url], args].concat());
        assert_refused(&output, 1, expected);
    };
    check(&[&room, "--token", &bob.token], &["refuses"]);
    check(&[&room, "--token", "nonsense"], &["refuses"]);
    let nowhere = uuid();
    let data_dir = server.data_dir();
    check(&[&nowhere, "--data-dir", path(&data_dir)], &["no room"]);
    check(&[&room], &["no token is given (--token"]);
    check(
        &[&room, "--json", "-n", "0", "--token", &bob.token],
        &["ROOM_NOT_FOUND"],
    );
    check(
        &[&room, "--json", "-n", "0", "--token", "nonsense"],
        &["refuses the token"],
    );
}
