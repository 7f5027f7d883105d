//! `roomcast bench` against real servers: what it reports, and that it finds what is wrong.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use crate::harness::{
    ReservedPort, ServerOptions, TestServer,
    bench::{Bench, assert_clean, count},
};

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

#[tokio::test]
async fn load_with_reconnects_and_repeats_is_verified() {
    let server = ServerOptions::new().unlimited().start().await;
    let flags = "--clients 24 --rooms 4 --rate 200 --duration-s 3 --json \
                 --reconnect-every-s 1 --duplicate-percent 20";
    let report = Bench::start(&[&server.url("")], flags).report(0).await;
    assert_clean(&report);
    assert_eq!(count(&report, "sent"), 600, "the rate is kept: {report}");
    assert_eq!(count(&report, "delivered"), 600 * 24 / 4);
    assert!(count(&report, "reconnects") > 0);
    for stage in ["accept", "deliver"] {
        let times = &report["latency_ms"][stage];
        let at = |key: &str| times[key].as_f64().expect("a number");
        assert!(0.0 < at("p50") && at("p50") <= at("p90"), "{report}");
        assert!(at("p90") <= at("p99") && at("p99") <= at("max"), "{report}");
    }
    let repeats = server.metric("roomcast_messages_duplicate_total", "").await;
    assert!(repeats > 0.0, "some were sent twice");
}

#[tokio::test]
async fn more_rooms_than_clients_are_all_used() {
    let server = ServerOptions::new().unlimited().start().await;
    let flags = "--clients 3 --rooms 7 --rate 0 --duration-s 1 --json";
    let report = Bench::start(&[&server.url("")], flags).report(0).await;
    assert_clean(&report);
    assert!(count(&report, "sent") >= 7, "{report}");
    assert_eq!(count(&report, "delivered"), count(&report, "accepted"));
}

#[tokio::test]
async fn the_limits_that_a_server_ships_with_are_kept_to() {
    let server = TestServer::start().await;
    let flags = "--clients 2 --rooms 1 --rate 0 --duration-s 1 --json";
    let report = Bench::start(&[&server.url("")], flags).report(0).await;
    assert_clean(&report);
    assert_eq!(count(&report, "reconnects"), 0, "nobody was thrown out");
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_loses_nothing() {
    let options = ServerOptions::new().unlimited().expect_imbalance();
    let mut server = options.start().await;
    let flags = "--clients 20 --rooms 3 --rate 150 --duration-s 10 --json --duplicate-percent 5";
    let bench = Bench::start(&[&server.url("")], flags);
    let accepted = "roomcast_messages_accepted_total";
    server.await_metric(accepted, "", 150.0).await;
    server.kill();
    let server = server.restart_in_place().await;
    let report = bench.report(0).await;
    assert_clean(&report);
    assert_eq!(
        count(&report, "sent"),
        1_500,
        "also what was due without a server"
    );
    assert!(count(&report, "reconnects") >= 20, "{report}");
    assert!(
        server.metric(accepted, "").await > 0.0,
        "the second one served"
    );
}

#[tokio::test]
async fn an_interrupt_ends_the_load_and_the_verdict_is_a_table() {
    let server = ServerOptions::new().unlimited().start().await;
    let flags = "--clients 4 --rooms 2 --rate 100 --duration-s 600";
    let bench = Bench::start(&[&server.url("")], flags);
    server
        .await_metric("roomcast_messages_accepted_total", "", 20.0)
        .await;
    bench.interrupt();
    let output = bench.ended().await;
    let table = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{table}{}",
        text(&output.stderr)
    );
    for word in [
        "sent",
        "lost",
        "duplicated",
        "reordered",
        "gaps",
        "p99",
        "deliver",
    ] {
        assert!(table.contains(word), "{word} in {table}");
    }
    assert_eq!(text(&output.stderr), "", "no bar where nobody looks");
}

#[tokio::test]
async fn a_run_that_cannot_begin_says_why_in_one_line() {
    let server = TestServer::start().await;
    let reserved = ReservedPort::any();
    let nobody = format!("http://{}", reserved.addr());
    for wrong in [&*nobody, server.metrics_url()] {
        let output = Bench::start(&[&server.url(""), wrong], "--json")
            .ended()
            .await;
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.contains(wrong), "{wrong} in {stderr}");
        assert_eq!(text(&output.stdout), "");
    }
}

#[tokio::test]
async fn a_server_that_miscounts_is_found_out() {
    let server = ServerOptions::new().unlimited().start().await;
    let liar = liar_before(server.host().to_owned()).await;
    let flags = "--clients 2 --rooms 1 --rate 20 --duration-s 1 --json";
    let report = Bench::start(&[&liar], flags).report(1).await;
    assert!(count(&report, "gaps") > 0, "{report}");
    assert!(count(&report, "reordered") > 0, "{report}");
}

/// Starts a proxy that says 8 for 7; returns its URL.
async fn liar_before(server: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.expect("it runs");
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            tokio::spawn(pass_on(from_client, to_server, false));
            tokio::spawn(pass_on(from_server, to_client, true));
        }
    });
    url
}

async fn pass_on(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_lying: bool) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let said = &mut buffer[..read];
        let truth = br#""seq":7,"#;
        let places = said.windows(truth.len()).enumerate();
        let places = places.filter(|(_, bytes)| is_lying && bytes == truth);
        let places: Vec<usize> = places.map(|(at, _)| at).collect();
        for at in places {
            said[at..at + truth.len()].copy_from_slice(br#""seq":8,"#);
        }
        if to.write_all(said).await.is_err() {
            return;
        }
    }
}
