//! Signed tokens: HS256 JWTs with every claim required.
//!
//! The algorithm is pinned, and a header that names a key of its own (`kid`, `jwk`, `jku`, …) or
//! something critical is refused: none of ours has one.

use std::{sync::Arc, time::Duration};

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::hs256;
use crate::{
    clock::Timestamp,
    config::TokenConfig,
    ids::{LoginId, TokenId, UserId},
    store::User,
};

/// `iss` and `aud` of every token.
const AUDIENCE: &str = "roomcast";

/// How far the clocks of issuer and verifier may be apart, in seconds.
const LEEWAY_S: u64 = 5;

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub sub: UserId,
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    pub iss: String,
    pub aud: String,
    /// The login; a token made elsewhere with the same secret may do without, and is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<LoginId>,
    /// The generation of the user's tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    r#gen: Option<u64>,
}

impl Claims {
    /// Returns the login that a logout with this token ends.
    #[must_use]
    pub fn login_id(&self) -> LoginId {
        self.sid.unwrap_or_else(|| LoginId(self.token_id().0))
    }

    /// Returns the token's own id; a `jti` that is no UUID is made one.
    #[must_use]
    pub fn token_id(&self) -> TokenId {
        self.jti.parse().unwrap_or_else(|_| {
            let digest = Sha256::digest(self.jti.as_bytes());
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&digest[..16]);
            TokenId(Uuid::from_bytes(bytes))
        })
    }

    /// Returns the generation of the user's tokens that this one is of.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.r#gen.unwrap_or(0)
    }

    /// Returns when the token runs out.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_unix_seconds(self.exp).unwrap_or_else(Timestamp::now)
    }
}

/// A token that was just signed.
#[derive(Clone)]
pub struct IssuedToken {
    pub token: String,
    pub expires_at: Timestamp,
    pub expires_in: Duration,
}

/// Signs and verifies tokens.
#[derive(Clone)]
pub struct Tokens(Arc<Keys>);

struct Keys {
    signing: EncodingKey,
    /// The current key first.
    accepted: Vec<DecodingKey>,
    validation: Validation,
    expires_in: Duration,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// Signs with `secret`, and accepts the previous one of the configuration too.
    #[must_use]
    pub fn new(secret: &SecretString, config: &TokenConfig) -> Self {
        hs256::install();
        let secrets = std::iter::once(secret).chain(&config.previous_secret);
        let accepted = secrets
            .map(|secret| DecodingKey::from_secret(secret.expose_secret().as_bytes()))
            .collect();
        Self(Arc::new(Keys {
            signing: EncodingKey::from_secret(secret.expose_secret().as_bytes()),
            accepted,
            validation: validation(),
            expires_in: config.expires_in,
        }))
    }

    /// Returns the usual, and longest, life of a token.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.0.expires_in
    }

    /// Signs a token for a user; it lives for whole seconds.
    #[must_use]
    pub fn issue(&self, user: &User, login_id: LoginId, expires_in: Duration) -> IssuedToken {
        let iat = Timestamp::now().unix_seconds();
        let exp = iat.saturating_add_unsigned(expires_in.as_secs());
        let claims = Claims {
            sub: user.id,
            iat,
            exp,
            jti: TokenId::random().to_string(),
            iss: AUDIENCE.to_owned(),
            aud: AUDIENCE.to_owned(),
            sid: Some(login_id),
            r#gen: Some(user.tokens.generation),
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.0.signing);
        IssuedToken {
            token: token.expect("claims are plain JSON and the key fits any secret"),
            expires_at: claims.expires_at(),
            expires_in,
        }
    }

    /// Returns what a token says, if it is ours and valid at `now`.
    #[must_use]
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let header = jsonwebtoken::decode_header(token).ok()?;
        if !is_plain(&header) {
            return None;
        }
        let keys = &self.0.accepted;
        let claims = keys
            .iter()
            .find_map(|key| jsonwebtoken::decode::<Claims>(token, key, &self.0.validation).ok());
        claims
            .map(|data| data.claims)
            .filter(|claims| self.is_timely(claims, now))
    }

    /// `jsonwebtoken` checks `exp` and `nbf`; how `iat` and `exp` fit together is ours to check.
    fn is_timely(&self, claims: &Claims, now: Timestamp) -> bool {
        let leeway = LEEWAY_S as i64;
        let longest = self.0.expires_in.as_secs();
        let latest = claims
            .iat
            .saturating_add_unsigned(longest)
            .saturating_add(leeway);
        let issued_by = now.unix_seconds() + leeway;
        claims.iat <= issued_by && claims.exp <= latest
    }
}

fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = LEEWAY_S;
    validation.validate_nbf = true;
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[AUDIENCE]);
    validation.set_required_spec_claims(&["exp", "sub", "iss", "aud"]);
    validation
}

fn is_plain(header: &Header) -> bool {
    let names_a_key = header.kid.is_some()
        || header.jku.is_some()
        || header.jwk.is_some()
        || header.x5u.is_some()
        || header.x5c.is_some();
    !names_a_key && header.crit.is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::store::TokenState;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn tokens() -> Tokens {
        let config = TokenConfig {
            expires_in: Duration::from_secs(3600),
            previous_secret: Some("the-previous-secret-of-32-bytes!".into()),
            bcrypt_cost: 4,
        };
        Tokens::new(&SECRET.into(), &config)
    }

    fn user() -> User {
        User {
            id: UserId::random(),
            email: "a@example.com".into(),
            display_name: "A".into(),
            created_at: Timestamp::now(),
            tokens: TokenState::default(),
        }
    }

    fn sign(header: &Header, claims: &Value, secret: &str) -> String {
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(header, claims, &key).expect("claims encode")
    }

    #[test]
    fn a_token_says_whose_it_is() {
        let (user, login) = (user(), LoginId::random());
        let issued = tokens().issue(&user, login, Duration::from_secs(60));
        let claims = tokens()
            .verify(&issued.token, Timestamp::now())
            .expect("valid");
        assert_eq!((claims.sub, claims.login_id()), (user.id, login));
    }

    #[test]
    fn every_claim_is_required_and_in_its_bounds() {
        let now = Timestamp::now().unix_seconds();
        let check = |change: fn(&mut Value, i64), expected: bool, what: &str| {
            let mut claims = json!({
                "sub": UserId::random(), "iat": now, "exp": now + 60, "jti": "x",
                "iss": "roomcast", "aud": "roomcast"
            });
            change(&mut claims, now);
            let token = sign(&Header::new(Algorithm::HS256), &claims, SECRET);
            let verified = tokens().verify(&token, Timestamp::now());
            assert_eq!(verified.is_some(), expected, "{what}");
        };
        check(|_, _| {}, true, "as it should be");
        for claim in ["sub", "iat", "exp", "jti", "iss", "aud"] {
            let mut claims = json!({
                "sub": UserId::random(), "iat": now, "exp": now + 60, "jti": "x",
                "iss": "roomcast", "aud": "roomcast"
            });
            claims.as_object_mut().expect("an object").remove(claim);
            let token = sign(&Header::new(Algorithm::HS256), &claims, SECRET);
            assert!(
                tokens().verify(&token, Timestamp::now()).is_none(),
                "no {claim}"
            );
        }
        check(
            |c, now| c["exp"] = json!(now - 4),
            true,
            "within the leeway",
        );
        check(|c, now| c["exp"] = json!(now - 7), false, "expired");
        check(
            |c, now| c["exp"] = json!(now + 3600 + 7),
            false,
            "lives too long",
        );
        check(|c, _| c["exp"] = json!(1e18), false, "lives for ever");
        check(
            |c, now| c["exp"] = json!((now + 60).to_string()),
            false,
            "exp is text",
        );
        check(
            |c, now| c["iat"] = json!(now + 60),
            false,
            "from the future",
        );
        check(|c, now| c["nbf"] = json!(now + 60), false, "not yet");
        check(|c, _| c["iss"] = json!("other"), false, "another issuer");
        check(|c, _| c["aud"] = json!("other"), false, "another audience");
        check(|c, _| c["sub"] = json!("no uuid"), false, "no user");
    }

    #[test]
    fn only_our_algorithm_and_keys_count() {
        let now = Timestamp::now().unix_seconds();
        let claims = json!({
            "sub": UserId::random(), "iat": now, "exp": now + 60, "jti": "x",
            "iss": "roomcast", "aud": "roomcast"
        });
        let check = |header: Header, secret: &str, expected: bool| {
            let token = sign(&header, &claims, secret);
            assert_eq!(
                tokens().verify(&token, Timestamp::now()).is_some(),
                expected,
                "{header:?}"
            );
        };
        let plain = || Header::new(Algorithm::HS256);
        check(plain(), SECRET, true);
        check(plain(), "the-previous-secret-of-32-bytes!", true);
        check(plain(), "another-secret-of-at-least-32-by", false);
        check(
            Header {
                kid: Some("../../dev/null".into()),
                ..plain()
            },
            SECRET,
            false,
        );
        check(
            Header {
                jku: Some("https://evil".into()),
                ..plain()
            },
            SECRET,
            false,
        );
        check(
            Header {
                crit: Some(vec!["x".into()]),
                ..plain()
            },
            SECRET,
            false,
        );
        // {"alg":"none"} with the signature left out.
        let signed = sign(&plain(), &claims, SECRET);
        let mut parts = signed.split('.');
        let payload = parts.nth(1).expect("three parts");
        let none = format!("eyJhbGciOiJub25lIn0.{payload}.");
        assert!(tokens().verify(&none, Timestamp::now()).is_none());
        assert!(tokens().verify("", Timestamp::now()).is_none());
    }
}
