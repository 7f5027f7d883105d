//! Scripts of other origins: CORS and the handshakes of sockets.

use super::{assert_problem, assert_safe, bearer, get, request};
use crate::harness::{
    RawSocket, ServerOptions,
    raw::{exchange, upgrade_request},
};

#[tokio::test]
async fn a_script_of_an_allowed_origin_can_read_that_its_body_is_too_large() {
    let app = "https://app.example.com";
    let server = ServerOptions::new().env("CORS_ORIGINS", app).start().await;
    let declared = format!("Origin: {app}\r\nContent-Length: {}\r\n", 1 << 30);
    let answer = exchange(&server, request("POST", "/auth/login", &declared, "")).await;
    assert_problem(&answer, 413, "PAYLOAD_TOO_LARGE");
    assert_eq!(answer.header("access-control-allow-origin"), Some(app));

    let preflight = format!("Origin: {app}\r\nAccess-Control-Request-Method: PATCH\r\n");
    let answer = exchange(&server, request("OPTIONS", "/me", &preflight, "")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("access-control-allow-origin"), Some(app));
    assert_safe(&answer);

    let foreign = declared.replace(app, "https://evil");
    let answer = exchange(&server, request("POST", "/auth/login", &foreign, "")).await;
    assert_problem(&answer, 413, "PAYLOAD_TOO_LARGE");
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn scripts_of_allowed_origins_alone_may_read_answers() {
    let server = ServerOptions::new()
        .env(
            "CORS_ORIGINS",
            "https://app.example.com,http://localhost:5173",
        )
        .start()
        .await;
    let ada = server.user("ada").await;
    let preflight = |origin: &str| {
        let headers = format!(
            "Origin: {origin}\r\nAccess-Control-Request-Method: POST\r\n\
             Access-Control-Request-Headers: authorization,content-type\r\n"
        );
        request("OPTIONS", "/rooms", &headers, "")
    };
    for origin in ["https://app.example.com", "http://localhost:5173"] {
        let answer = exchange(&server, preflight(origin)).await;
        assert!([200, 204].contains(&answer.status), "{answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(origin),
            "{answer:?}"
        );
        let methods = answer
            .header("access-control-allow-methods")
            .expect("methods");
        assert!(
            ["GET", "POST", "PATCH", "DELETE"]
                .iter()
                .all(|method| methods.contains(method))
        );
        let headers = answer
            .header("access-control-allow-headers")
            .expect("headers")
            .to_lowercase();
        assert!(
            headers.contains("authorization") && headers.contains("content-type"),
            "{headers}"
        );

        let headers = format!("{}Origin: {origin}\r\n", bearer(&ada));
        let answer = exchange(&server, get("/rooms", &headers)).await;
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("access-control-allow-origin"),
            Some(origin),
            "{answer:?}"
        );
        let exposed = answer
            .header("access-control-expose-headers")
            .expect("some")
            .to_lowercase();
        assert!(
            exposed.contains("x-has-more") && exposed.contains("link"),
            "{exposed}"
        );
        assert!(
            answer
                .header("vary")
                .is_some_and(|vary| vary.to_lowercase().contains("origin"))
        );
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil",
        "https://sub.app.example.com",
        "http://app.example.com",
        "https://app.example.com:444",
    ] {
        let answer = exchange(&server, preflight(origin)).await;
        assert_problem(&answer, 400, "VALIDATION_FAILED");
        assert!(answer.body.contains(r#""path":"Origin""#), "{answer:?}");
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{answer:?}"
        );
        let headers = format!("{}Origin: {origin}\r\n", bearer(&ada));
        let answer = exchange(&server, get("/rooms", &headers)).await;
        assert_eq!(
            answer.header("access-control-allow-origin"),
            None,
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn sockets_open_for_allowed_origins_alone() {
    let server = ServerOptions::new()
        .env("CORS_ORIGINS", "https://app.example.com")
        .start()
        .await;
    let ada = server.user("ada").await;
    // The second is the host that the request names itself.
    for origin in ["https://app.example.com", "http://localhost"] {
        let mut socket = RawSocket::connect(&server).await;
        socket
            .upgrade(&ada.token, &format!("Origin: {origin}\r\n"))
            .await;
        socket.expect("ready").await;
    }
    for origin in [
        "https://evil.example",
        "null",
        "https://app.example.com.evil",
        "https://sub.app.example.com",
        "http://app.example.com",
        "",
    ] {
        let headers = format!("{}Origin: {origin}\r\n", bearer(&ada));
        let mut socket = RawSocket::connect(&server).await;
        let handshake = upgrade_request(&headers);
        socket
            .write(handshake.as_bytes())
            .await
            .expect("it is open");
        let refusal = socket.refusal().await.expect("a refusal");
        assert_problem(&refusal, 403, "FORBIDDEN");
    }
}
