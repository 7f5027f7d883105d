//! Tokens of somebody without the secret, and of somebody who has it and lies: they are refused
//! wherever a token can be said.

use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Bystanders, RawSocket, SocketIoClient, TestClient, TestServer, TestUser,
    raw::upgrade_request, uuid,
};

const UNAUTHENTICATED: u16 = 4401;

/// Returns JSON as a part of a token.
fn part(value: &Value) -> String {
    let any_key = EncodingKey::from_secret(b"any");
    let token = jsonwebtoken::encode(&Header::default(), value, &any_key).expect("JSON");
    token.split('.').nth(1).expect("three parts").to_owned()
}

/// Signs any header and any claims with HMAC and SHA-256.
fn sign(secret: &str, header: &Value, claims: &Value) -> String {
    sign_by(Algorithm::HS256, secret, header, claims)
}

fn sign_by(algorithm: Algorithm, secret: &str, header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", part(header), part(claims));
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = crypto::sign(signed.as_bytes(), &key, algorithm);
    format!("{signed}.{}", signature.expect("a signature"))
}

/// Makes tokens that each have one thing wrong.
struct Forger {
    secret: String,
    claims: Value,
}

impl Forger {
    fn new(server: &TestServer, user: &TestUser) -> Self {
        let now = chrono::Utc::now().timestamp();
        let claims = json!({
            "sub": user.id, "iat": now - 30, "exp": now + 600, "jti": uuid(),
            "iss": "roomcast", "aud": "roomcast",
        });
        Self {
            secret: server.ground().secret(),
            claims,
        }
    }

    fn now(&self) -> i64 {
        self.claims["iat"].as_i64().expect("a number") + 30
    }

    fn good(&self) -> String {
        self.with_header(&json!({ "alg": "HS256", "typ": "JWT" }))
    }

    fn with_header(&self, header: &Value) -> String {
        sign(&self.secret, header, &self.claims)
    }

    /// Signed with the right secret, as it says, by another algorithm.
    fn by(&self, algorithm: Algorithm) -> String {
        let header = json!({ "alg": format!("{algorithm:?}") });
        sign_by(algorithm, &self.secret, &header, &self.claims)
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        let mut claims = self.claims.clone();
        claims[name] = value;
        sign(&self.secret, &json!({ "alg": "HS256" }), &claims)
    }

    fn without_claim(&self, name: &str) -> String {
        let mut claims = self.claims.clone();
        claims.as_object_mut().expect("an object").remove(name);
        sign(&self.secret, &json!({ "alg": "HS256" }), &claims)
    }

    /// With its own key in the header, and signed with that.
    fn self_signed(&self) -> String {
        let secret = "0123456789abcdef0123456789abcdef";
        let key = json!({ "kty": "oct", "k": part(&json!(secret)) });
        sign(secret, &json!({ "alg": "HS256", "jwk": key }), &self.claims)
    }

    fn unsigned(&self) -> Vec<(String, String)> {
        let names = ["none", "None", "NONE", "nOnE", ""];
        let of_names = names.iter().flat_map(|alg| {
            let token = self.with_header(&json!({ "alg": alg }));
            let (signed, _) = token.rsplit_once('.').expect("three parts");
            [
                (format!("alg {alg:?}, no signature"), format!("{signed}.")),
                (format!("alg {alg:?}, signed all the same"), token.clone()),
            ]
        });
        let good = self.good();
        let (signed, _) = good.rsplit_once('.').expect("three parts");
        let empty = ("an empty signature".to_owned(), format!("{signed}."));
        let absent = ("no signature".to_owned(), signed.to_owned());
        of_names.chain([empty, absent]).collect()
    }

    fn all(&self) -> Vec<(String, String)> {
        let now = self.now();
        let others = [
            ("no token", "x".to_owned()),
            ("HS384", self.by(Algorithm::HS384)),
            ("HS512", self.by(Algorithm::HS512)),
            (
                "HS384, signed by HS256",
                self.with_header(&json!({ "alg": "HS384" })),
            ),
            ("RS256", self.with_header(&json!({ "alg": "RS256" }))),
            ("no algorithm", self.with_header(&json!({ "typ": "JWT" }))),
            (
                "a key in a file",
                self.with_header(&json!({ "alg": "HS256", "kid": "../../dev/null" })),
            ),
            (
                "a key elsewhere",
                self.with_header(&json!({ "alg": "HS256", "jku": "https://evil.example/keys" })),
            ),
            ("a key of its own", self.self_signed()),
            (
                "another secret",
                sign(
                    "0123456789abcdef0123456789abcdef",
                    &json!({ "alg": "HS256" }),
                    &self.claims,
                ),
            ),
            ("run out 6 s ago", self.with_claim("exp", json!(now - 6))),
            (
                "for ever",
                self.with_claim("exp", json!(1_000_000_000_000_000_000_i64)),
            ),
            ("for ever, as a float", self.with_claim("exp", json!(1e18))),
            ("beyond numbers", self.with_claim("exp", json!(1e300))),
            (
                "an end as text",
                self.with_claim("exp", json!("9999999999")),
            ),
            ("an end of null", self.with_claim("exp", Value::Null)),
            ("an end below zero", self.with_claim("exp", json!(-1))),
            ("of tomorrow", self.with_claim("iat", json!(now + 86_400))),
            (
                "of many users",
                self.with_claim("sub", json!([self.claims["sub"]])),
            ),
            ("of nobody", self.with_claim("sub", json!(uuid()))),
            ("for others", self.with_claim("aud", json!("others"))),
            ("by others", self.with_claim("iss", json!("others"))),
        ];
        let missing = ["sub", "iat", "exp", "jti", "iss", "aud"];
        let missing = missing.map(|name| (format!("no {name}"), self.without_claim(name)));
        let others = others.map(|(what, token)| (what.to_owned(), token));
        self.unsigned()
            .into_iter()
            .chain(others)
            .chain(missing)
            .collect()
    }
}

async fn handshake(server: &TestServer, headers: &str) -> Option<u16> {
    let mut socket = RawSocket::connect(server).await;
    let request = upgrade_request(headers);
    socket.write(request.as_bytes()).await.expect("it is open");
    socket.refusal().await.map(|answer| answer.status)
}

#[tokio::test]
async fn a_forged_token_is_refused_wherever_it_is_said() {
    let server = TestServer::start().await;
    let mut others = Bystanders::meet(&server).await;
    let ada = server.user("ada").await;
    let forger = Forger::new(&server, &ada);
    // What is wrong is the one thing that is said to be.
    let good = ada.with_token(&forger.good());
    good.get("/me").await.ok(200);
    good.connect().await.close().await;

    for (what, token) in forger.all() {
        let by_rest = Answer::of(ada.with_token(&token).request(Method::GET, "/me")).await;
        assert_eq!(by_rest.status, 401, "REST: {what}");
        let header = format!("Authorization: Bearer {token}\r\n");
        assert_eq!(
            handshake(&server, &header).await,
            Some(401),
            "header: {what}"
        );
        let pair = format!("Sec-WebSocket-Protocol: roomcast.v1, bearer.{token}\r\n");
        assert_eq!(handshake(&server, &pair).await, Some(401), "pair: {what}");

        let silent = TestClient::request(&server.ws_url(), None);
        let mut socket = TestClient::open(silent).await.expect("a handshake");
        socket.send("authenticate", json!({ "token": token })).await;
        assert_eq!(
            socket.expect_close().await,
            UNAUTHENTICATED,
            "frame: {what}"
        );

        let mut client = SocketIoClient::open(&server, "").await;
        client
            .say(&format!("40{}", json!({ "token": token })))
            .await;
        let (said, code) = client.said_until_close().await;
        let starts: Vec<_> = said.iter().map(|packet| &packet[..2]).collect();
        assert_eq!(starts, ["0{", "40", "41"], "Socket.IO: {what}");
        assert_eq!(code, UNAUTHENTICATED, "Socket.IO: {what}");
    }
    others.chat().await;
}
