//! The one table of error codes, shared by REST, WebSocket and the documents.

use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use crate::specifications::schemas;

macro_rules! codes {
    ($(#[doc = $doc:literal] $variant:ident = $name:literal, $status:literal, $title:literal;)+) => {
        /// A stable code: what a program may branch on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $doc] $variant,)+
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Returns the name that clients see.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Returns the HTTP status that goes with it.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// Returns what it means, in a sentence.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $doc.trim_ascii(),)+ }
            }

            /// Returns the title: the same words for every occurrence.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }
        }
    };
}

codes! {
    /// A value breaks a rule; `errors` names each.
    ValidationFailed = "VALIDATION_FAILED", 400, "A value is not valid";
    /// The text is not JSON.
    InvalidJson = "INVALID_JSON", 400, "Not JSON";
    /// No token, or one that is not valid any more.
    Unauthenticated = "UNAUTHENTICATED", 401, "Not authenticated";
    /// E-mail address or password is wrong.
    InvalidCredentials = "INVALID_CREDENTIALS", 401, "Wrong e-mail address or password";
    /// The address has an account already.
    EmailTaken = "EMAIL_TAKEN", 409, "E-mail address taken";
    /// The caller's role does not allow it.
    Forbidden = "FORBIDDEN", 403, "Not allowed";
    /// The caller is not a member of this public room.
    NotMember = "NOT_MEMBER", 403, "Not a member of the room";
    /// No such room, or a private one that the caller is not in.
    RoomNotFound = "ROOM_NOT_FOUND", 404, "No such room";
    /// No such thing.
    NotFound = "NOT_FOUND", 404, "Not found";
    /// The user is a member already.
    AlreadyMember = "ALREADY_MEMBER", 409, "Already a member";
    /// The invite is unknown, used or expired.
    InviteNotFound = "INVITE_NOT_FOUND", 404, "No such invite";
    /// The path exists, but not with this method.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", 405, "Method not allowed";
    /// The client took too long to send its request.
    RequestTimeout = "REQUEST_TIMEOUT", 408, "Request took too long";
    /// The body or frame is larger than allowed.
    PayloadTooLarge = "PAYLOAD_TOO_LARGE", 413, "Too large";
    /// The body is of another type than `application/json`.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", 415, "Unsupported media type";
    /// Too much at once; come back after `retryAfterMs` or `Retry-After`.
    RateLimited = "RATE_LIMITED", 429, "Too many requests";
    /// A part of the server is away; the same request may succeed later.
    Unavailable = "UNAVAILABLE", 503, "Temporarily unavailable";
    /// No event of this name.
    UnknownEvent = "UNKNOWN_EVENT", 400, "Unknown event";
    /// The frame is not of the protocol's shape.
    BadFrame = "BAD_FRAME", 400, "Bad frame";
    /// An accepted message that can never be stored.
    Rejected = "REJECTED", 422, "Message rejected";
    /// A fault of the server; the log has the details.
    Internal = "INTERNAL", 500, "Internal error";
}

impl Code {
    /// Returns whether repeating the same request can succeed.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::RateLimited | Self::Unavailable | Self::RequestTimeout | Self::Internal
        )
    }

    /// Returns the code that describes a bare HTTP status, for answers made by the framework.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Forbidden,
            404 => Self::NotFound,
            405 => Self::MethodNotAllowed,
            408 => Self::RequestTimeout,
            413 => Self::PayloadTooLarge,
            415 => Self::UnsupportedMediaType,
            429 => Self::RateLimited,
            503 => Self::Unavailable,
            500.. => Self::Internal,
            _ => Self::ValidationFailed,
        }
    }
}

schemas::described!(
    Code as "ErrorCode",
    schemas::one_of(
        "A stable code: what a program may branch on.",
        Code::ALL.iter().map(|code| code.as_str())
    )
);

/// One value that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The path of the value (`visibility`, `data[0].x`), empty for the whole.
    #[schema(examples("displayName"))]
    pub path: String,
    #[schema(examples("must be 1 to 100 characters long"))]
    pub message: String,
}

/// A refusal as a client sees it, on REST (`application/problem+json`) or in a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    pub code: Code,
    pub detail: String,
    pub fields: Vec<FieldError>,
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// Makes a refusal whose detail is the code's title.
    #[must_use]
    pub fn new(code: Code) -> Self {
        Self::with_detail(code, code.title())
    }

    /// Makes a refusal that says more than its code.
    #[must_use]
    pub fn with_detail(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// Makes a validation failure of one value.
    #[must_use]
    pub fn field(path: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self::validation(vec![FieldError {
            path: path.to_owned(),
            message,
        }])
    }

    /// Makes a validation failure of several values; the detail names all of them.
    #[must_use]
    pub fn validation(fields: Vec<FieldError>) -> Self {
        let detail = fields
            .iter()
            .map(|field| match field.path.as_str() {
                "" => field.message.clone(),
                path => format!("{path}: {}", field.message),
            })
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            fields,
            ..Self::with_detail(Code::ValidationFailed, detail)
        }
    }

    /// Makes a refusal for too much at once, with the time after which there is room again.
    #[must_use]
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Code::RateLimited)
        }
    }

    /// Makes a refusal because a part of the server is away.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::with_detail(Code::Unavailable, detail)
        }
    }
}

impl From<garde::Report> for ApiError {
    fn from(report: garde::Report) -> Self {
        let fields = report
            .iter()
            .map(|(path, error)| FieldError {
                path: camel_case(&path.to_string()),
                message: error.message().to_owned(),
            })
            .collect();
        Self::validation(fields)
    }
}

/// Turns a field's name into its name on the wire.
fn camel_case(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        name + letters.as_str()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_upper_snake_case() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for name in names {
            assert!(
                name.chars().all(|c| c.is_ascii_uppercase() || c == '_'),
                "{name}"
            );
        }
    }

    #[test]
    fn a_field_is_called_what_its_sender_called_it() {
        let check = |name, expected| assert_eq!(camel_case(name), expected);
        check("email", "email");
        check("display_name", "displayName");
        check("client_msg_id", "clientMsgId");
    }

    #[test]
    fn a_validation_failure_names_every_field() {
        let error = ApiError::validation(vec![
            FieldError {
                path: "email".into(),
                message: "is not valid".into(),
            },
            FieldError {
                path: String::new(),
                message: "both cursors".into(),
            },
        ]);
        assert_eq!(error.detail, "email: is not valid; both cursors");
    }
}
