//! Which answers are compressed: those for who asks, and none on a route of sockets.

use reqwest::{
    Client, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, VARY},
};

use crate::harness::{
    TestServer,
    raw::{exchange, upgrade_request},
};

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
async fn what_opens_sockets_has_no_compressor() {
    let server = TestServer::start().await;
    // Refused for its origin, and for a transport that there is not.
    let foreign = "Accept-Encoding: gzip\r\nOrigin: http://elsewhere.example\r\n";
    let polling = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: localhost\r\n\
                   Connection: close\r\nAccept-Encoding: gzip\r\n\r\n";
    for (request, status) in [(upgrade_request(foreign), 403), (polling.to_owned(), 400)] {
        let answer = exchange(&server, request).await;
        assert_eq!(answer.status, status);
        assert!(!answer.body.is_empty(), "{status}");
        assert_eq!(answer.header("content-encoding"), None, "{status}");
    }
}
