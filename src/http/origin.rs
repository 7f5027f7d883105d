//! Where a browser says that a request comes from.

use actix_web::{
    HttpRequest,
    http::header::{self, HeaderMap},
};

/// Returns the request's `Origin`: `None` without one, and an empty text for what is none, or
/// more than one.
pub(super) fn origin(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::ORIGIN);
    let first = values.next()?;
    let is_only = values.next().is_none();
    Some(first.to_str().ok().filter(|_| is_only).unwrap_or_default())
}

/// Returns whether an origin is the host that the request was sent to.
pub(super) fn is_own_host(origin: &str, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let named = origin.split_once("://").map(|(_, named)| named);
    host.is_some() && host == named
}

/// Returns whether a page of another origin is behind a request, by all that browsers say.
pub(super) fn is_foreign(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let is_other = |origin| !is_own_host(origin, headers);
    let site = headers.get("Sec-Fetch-Site");
    let is_from_elsewhere =
        site.is_some_and(|site| site.as_bytes() != b"same-origin" && site.as_bytes() != b"none");
    is_from_elsewhere || origin(headers).is_some_and(is_other)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_page_of_another_origin_is_foreign() {
        let check = |headers: &[(&str, &str)], expected: bool| {
            let request = TestRequest::default().insert_header(("Host", "localhost:3000"));
            let request = headers.iter().fold(request, |request, header| {
                request.append_header((header.0, header.1))
            });
            assert_eq!(
                is_foreign(&request.to_http_request()),
                expected,
                "{headers:?}"
            );
        };
        check(&[], false);
        check(&[("Origin", "http://localhost:3000")], false);
        check(&[("Sec-Fetch-Site", "same-origin")], false);
        check(&[("Sec-Fetch-Site", "none")], false);
        check(&[("Origin", "null")], true);
        check(&[("Origin", "")], true);
        check(&[("Origin", "http://localhost:5173")], true);
        check(&[("Origin", "https://evil.example")], true);
        check(&[("Sec-Fetch-Site", "cross-site")], true);
        check(&[("Sec-Fetch-Site", "same-site")], true);
        let own = ("Origin", "http://localhost:3000");
        check(&[own, ("Origin", "https://evil.example")], true);
    }
}
