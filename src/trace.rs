//! What ties log lines and records to the request that caused them: its id, and the W3C trace
//! that it belongs to.
//!
//! While a request is answered its trace is at hand for whatever runs in its task, log lines
//! included; an actor enters the trace of its socket where it hands something on.

use std::fmt;

use actix_web::http::header::{HeaderMap, HeaderName};
use uuid::{Builder, Uuid};

/// Longest request id that is taken over from a client.
const MAX_REQUEST_ID_LEN: usize = 64;

/// The header of a request's id, on HTTP and on records.
pub const REQUEST_ID: &str = "x-request-id";

/// The header of the trace, on HTTP and on records: <https://www.w3.org/TR/trace-context/>.
pub const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static CURRENT: Trace;
}

/// A request's id and trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    pub request_id: RequestId,
    traceparent: Traceparent,
}

/// Names a request: letters, digits, `-`, `_` and `.`, at most 64. Text only where a client said so:
/// every socket keeps one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestId {
    Made(Uuid),
    Given(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Traceparent {
    /// A trace that nobody has asked to be sampled.
    Made {
        trace: Uuid,
        parent: u64,
    },
    Given(Box<str>),
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made(id) => fmt::Display::fmt(id, f),
            Self::Given(id) => f.write_str(id),
        }
    }
}

impl fmt::Display for Traceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Made { trace, parent } => write!(f, "00-{}-{parent:016x}-00", trace.simple()),
            Self::Given(value) => f.write_str(value),
        }
    }
}

impl Trace {
    /// Takes over what a request says, as far as it can be believed, and makes the rest.
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        let header = |name| headers.get(HeaderName::from_static(name))?.to_str().ok();
        let request_id = header(REQUEST_ID).filter(|id| is_plain(id));
        let traceparent = header(TRACEPARENT).filter(|value| is_traceparent(value));
        let made = || Traceparent::Made {
            trace: random_uuid(),
            parent: fastrand::u64(1..),
        };
        Self {
            request_id: match request_id {
                Some(id) => RequestId::Given(id.into()),
                None => RequestId::Made(random_uuid()),
            },
            traceparent: traceparent.map_or_else(made, |value| Traceparent::Given(value.into())),
        }
    }

    /// Returns the trace that what runs now belongs to.
    #[must_use]
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Runs a request's answering within its trace.
    pub fn around<F: Future>(&self, answering: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self.clone(), answering)
    }

    /// Calls something within the trace.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self.clone(), work)
    }

    /// Returns the headers of records that the request causes.
    #[must_use]
    pub fn headers(self) -> Vec<(&'static str, String)> {
        vec![
            (REQUEST_ID, self.request_id.to_string()),
            (TRACEPARENT, self.traceparent.to_string()),
        ]
    }
}

/// Calls something with the id of the request that is being answered, if one is.
pub(crate) fn with_request_id<T>(work: impl FnOnce(&RequestId) -> T) -> Option<T> {
    CURRENT.try_with(|trace| work(&trace.request_id)).ok()
}

fn is_plain(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_REQUEST_ID_LEN).contains(&id.len()) && id.bytes().all(allowed)
}

/// Version 00: trace, parent and flags in lower-case hexadecimals; the first two are not zero.
fn is_traceparent(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    let is_hex = |part: &str, len: usize| {
        let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        part.len() == len && part.bytes().all(digit)
    };
    let is_zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    match parts[..] {
        ["00", trace, parent, flags] => {
            let are_hex = is_hex(trace, 32) && is_hex(parent, 16) && is_hex(flags, 2);
            are_hex && !is_zero(trace) && !is_zero(parent)
        }
        _ => false,
    }
}

/// Unlike what identifies somebody, a request's names may be guessed: they cost no system call.
fn random_uuid() -> Uuid {
    Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    const GIVEN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn of(headers: &[(&'static str, &'static str)]) -> Vec<(&'static str, String)> {
        let headers = headers.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        Trace::of(&headers.collect()).headers()
    }

    #[test]
    fn what_is_well_formed_is_taken_over() {
        let headers = of(&[(REQUEST_ID, "a.request-1_B"), (TRACEPARENT, GIVEN)]);
        let expected = [
            (REQUEST_ID, "a.request-1_B".to_owned()),
            (TRACEPARENT, GIVEN.to_owned()),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn what_is_not_is_made_anew() {
        for (id, traceparent) in [
            ("", ""),
            (
                "two words",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            ),
            (
                "new\u{7f}line",
                "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
            (
                "a/b",
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            ),
            (
                "a:b",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            ),
            (
                "ä",
                "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            ),
        ] {
            assert!(!is_plain(id), "{id}");
            assert!(!is_traceparent(traceparent), "{traceparent}");
        }
        let (one, other) = (of(&[(TRACEPARENT, "no")]), of(&[]));
        assert!(one.iter().zip(&other).all(|(one, other)| one.1 != other.1));
        assert!(is_plain(&one[0].1) && is_traceparent(&one[1].1), "{one:?}");
    }

    #[test]
    fn what_runs_in_a_trace_knows_it() {
        assert_eq!(Trace::current(), None);
        let trace = Trace::of(&HeaderMap::new());
        trace.enter(|| assert_eq!(Trace::current().as_ref(), Some(&trace)));
        assert_eq!(Trace::current(), None);
    }
}
