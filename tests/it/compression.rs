//! Whose answers are compressed: those of who can read it, and no upgrade.

use reqwest::{
    Client, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, VARY},
};

use crate::harness::{RawSocket, TestServer, raw::upgrade_request};

async fn get(server: &TestServer, path: &str, encodings: &str) -> Response {
    let request = Client::new().get(server.url(path));
    let request = request.header(ACCEPT_ENCODING, encodings);
    request.send().await.expect("the server answers")
}

fn encoding(headers: &HeaderMap) -> Option<&str> {
    let encoding = headers.get(CONTENT_ENCODING)?;
    Some(encoding.to_str().expect("it is text"))
}

#[tokio::test]
async fn what_is_read_is_compressed_for_who_asks() {
    let server = TestServer::start().await;
    for path in ["/", "/roomcast.js", "/openapi.json"] {
        let plain = get(&server, path, "identity").await;
        assert_eq!(encoding(plain.headers()), None, "{path}");
        let plain = plain.bytes().await.expect("a body");

        let packed = get(&server, path, "gzip").await;
        assert_eq!(encoding(packed.headers()), Some("gzip"), "{path}");
        let vary: Vec<_> = packed.headers().get_all(VARY).iter().collect();
        let varies = vary.iter().any(|value| {
            let value = value.to_str().expect("it is text").to_ascii_lowercase();
            value.contains("accept-encoding")
        });
        assert!(varies, "{path}: {vary:?}");
        let packed = packed.bytes().await.expect("a body");
        assert!(
            packed.len() < plain.len() / 2,
            "{path}: {} of {} bytes",
            packed.len(),
            plain.len()
        );
    }
}

#[tokio::test]
async fn an_upgrade_carries_no_compressor() {
    let server = TestServer::start().await;
    for (more, status) in [("", "101"), ("Origin: http://elsewhere.example\r\n", "403")] {
        let mut socket = RawSocket::connect(&server).await;
        let request = upgrade_request(&format!("Accept-Encoding: gzip\r\n{more}"));
        let written = socket.write(request.as_bytes()).await;
        written.expect("it is open");
        let head = socket.head().await.expect("an answer");
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        assert!(!head.contains("content-encoding"), "{head}");
    }
}
