//! Request bodies: JSON objects, bounded in size and time, checked by their own rules.

use std::{future::Future, pin::Pin, time::Duration};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use garde::Validate;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::MAX_BODY_BYTES;
use crate::{
    error::{ApiError, Code},
    json::{self, Fault},
};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(8);

/// A body that is a JSON object of `T`'s shape and keeps its rules.
pub(super) struct Body<T>(pub(super) T);

/// As [`Body`], but where the body carries nothing, which also `{}` does, it need not be there or be
/// of any type: it stands for `T::default()`.
pub(super) struct OptionalBody<T>(pub(super) T);

type Extracting<T> = Pin<Box<dyn Future<Output = Result<T, ApiError>>>>;

impl<T: DeserializeOwned + Validate<Context = ()> + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let body = read(payload.take());
        Box::pin(async move {
            let body = body.await?;
            if !is_json {
                return Err(ApiError::with_detail(
                    Code::UnsupportedMediaType,
                    "the body must be application/json",
                ));
            }
            parse(&body).map(Self)
        })
    }
}

impl<T> FromRequest for OptionalBody<T>
where
    T: DeserializeOwned + Validate<Context = ()> + Default + 'static,
{
    type Error = ApiError;
    type Future = Extracting<Self>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_json = is_json(request);
        let body = read(payload.take());
        Box::pin(async move {
            let body = body.await?;
            if carries_nothing(&body) {
                return Ok(Self(T::default()));
            }
            if !is_json {
                return Err(ApiError::with_detail(
                    Code::UnsupportedMediaType,
                    "the body must be application/json",
                ));
            }
            parse(&body).map(Self)
        })
    }
}

/// Nothing at all, or an object without a member.
fn carries_nothing(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    let inside = body
        .strip_prefix(b"{")
        .and_then(|body| body.strip_suffix(b"}"));
    inside.unwrap_or(body).trim_ascii().is_empty()
}

/// A body without a type is taken for JSON.
fn is_json(request: &HttpRequest) -> bool {
    let Some(value) = request.headers().get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = value.to_str().unwrap_or_default().split(';').next();
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

async fn read(mut payload: Payload) -> Result<Bytes, ApiError> {
    let reading = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| {
                ApiError::with_detail(Code::InvalidJson, "the body ended before its time")
            })?;
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(ApiError::new(Code::PayloadTooLarge));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    let too_slow = |_| ApiError::new(Code::RequestTimeout);
    timeout(BODY_TIMEOUT, reading).await.map_err(too_slow)?
}

fn parse<T: DeserializeOwned + Validate<Context = ()>>(body: &[u8]) -> Result<T, ApiError> {
    let value: T = json::read_object(body).map_err(|fault| match fault {
        Fault::Value(field) => ApiError::validation(vec![field]),
        Fault::Syntax(why) => {
            ApiError::with_detail(Code::InvalidJson, format!("the body is not JSON: {why}"))
        }
    })?;
    value.validate()?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, Validate)]
    struct Named {
        #[garde(length(chars, min = 1, max = 3))]
        #[serde(default)]
        name: String,
        #[garde(skip)]
        #[serde(default)]
        kind: Kind,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        Plain,
    }

    #[test]
    fn an_empty_object_carries_nothing() {
        for body in ["", " \n", "{}", " {\t} "] {
            assert!(carries_nothing(body.as_bytes()), "{body:?}");
        }
        for body in ["{", "}", "null", "[]", "{{}}", r#"{"":0}"#, "x"] {
            assert!(!carries_nothing(body.as_bytes()), "{body:?}");
        }
    }

    #[test]
    fn a_bad_body_says_where() {
        let check = |body: &str, code: Code, path: Option<&str>| {
            let error = parse::<Named>(body.as_bytes()).expect_err("refused");
            assert_eq!(error.code, code, "{body}");
            let first = error.fields.first().map(|field| field.path.as_str());
            assert_eq!(first, path, "{body}");
        };
        check("", Code::InvalidJson, None);
        check("{", Code::InvalidJson, None);
        check(r#"{"name":"x"} trailing"#, Code::InvalidJson, None);
        check(r#"{"name":"\ud800"}"#, Code::InvalidJson, None);
        check("null", Code::ValidationFailed, Some(""));
        check(r#"["abc"]"#, Code::ValidationFailed, Some(""));
        check(r#"{"name":1}"#, Code::ValidationFailed, Some("name"));
        check(
            r#"{"name":"x","kind":null}"#,
            Code::ValidationFailed,
            Some("kind"),
        );
        check(
            r#"{"name":"x","kind":5}"#,
            Code::ValidationFailed,
            Some("kind"),
        );
        check(r#"{"name":"four"}"#, Code::ValidationFailed, Some("name"));
        check("{}", Code::ValidationFailed, Some("name"));
        let body = br#"{"name":"abc","kind":"plain","more":1}"#;
        let named = parse::<Named>(body).expect("fine");
        assert!(named.name == "abc" && matches!(named.kind, Kind::Plain));
    }
}
