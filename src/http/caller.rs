//! Who is calling: the identity behind `Authorization: Bearer`.

use std::{future::Future, pin::Pin};

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header, web::Data};

use crate::{
    auth::Identity,
    error::{ApiError, Code},
    gateway::Gateway,
};

/// An authenticated caller.
pub(super) struct Caller(pub(super) Identity);

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = Result<Self, ApiError>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let gateway = request.app_data::<Data<Gateway>>().cloned();
        let token = bearer(request).unwrap_or_default().to_owned();
        Box::pin(async move {
            let gateway = gateway.ok_or_else(|| ApiError::new(Code::Internal))?;
            gateway.auth.authenticate(&token).await.map(Self)
        })
    }
}

/// Returns the token of the `Authorization` header; an empty one for another scheme, and for two
/// headers, of which a proxy may have judged the other.
pub(super) fn bearer(request: &HttpRequest) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let value = values.next()?;
    if values.next().is_some() {
        return Some("");
    }
    let parts = value.to_str().unwrap_or_default().split_once(' ');
    let token = parts.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    Some(token.map_or("", |(_, token)| token.trim()))
}
