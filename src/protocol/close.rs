//! Why the server closes a socket. The range says what a client does next.

/// A close code with its reason text.
///
/// 1xxx are RFC 6455's; 44xx are ours. Come back and resume after 1001, 1011, 1012, 4408, 4429
/// (after a pause) and 4490; get a new token after 4401; do not repeat what led to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// The peer asked to close; it is answered in kind.
    Normal,
    /// A frame that breaks RFC 6455.
    ProtocolError,
    /// A binary frame.
    Unsupported,
    /// Text that is not UTF-8.
    InvalidText,
    /// A frame or message over [`super::MAX_FRAME_BYTES`], or too many fragments.
    TooBig,
    /// A fault of the server.
    ServerError,
    /// The server restarts.
    Restart,
    /// Repeated bad frames.
    BadFrames,
    /// Not authenticated in time, or not any more.
    Unauthenticated,
    /// No frame for [`super::HEARTBEAT_TIMEOUT`].
    HeartbeatTimeout,
    /// Too many sockets, frames or refusals.
    TooMany,
    /// The peer takes its messages too slowly: reconnect and resume.
    TooSlow,
}

impl CloseCode {
    /// Every code, in the order of its number.
    pub const ALL: &'static [Self] = &[
        Self::Normal,
        Self::ProtocolError,
        Self::Unsupported,
        Self::InvalidText,
        Self::TooBig,
        Self::ServerError,
        Self::Restart,
        Self::BadFrames,
        Self::Unauthenticated,
        Self::HeartbeatTimeout,
        Self::TooMany,
        Self::TooSlow,
    ];

    /// Returns the number on the wire.
    #[must_use]
    pub fn number(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::ProtocolError => 1002,
            Self::Unsupported => 1003,
            Self::InvalidText => 1007,
            Self::TooBig => 1009,
            Self::ServerError => 1011,
            Self::Restart => 1012,
            Self::BadFrames => 4400,
            Self::Unauthenticated => 4401,
            Self::HeartbeatTimeout => 4408,
            Self::TooMany => 4429,
            Self::TooSlow => 4490,
        }
    }

    /// Returns the text sent along, for people.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Normal => "bye",
            Self::ProtocolError => "protocol error",
            Self::Unsupported => "text frames only",
            Self::InvalidText => "not UTF-8",
            Self::TooBig => "frame or message too large",
            Self::ServerError => "server error",
            Self::Restart => "server restarts",
            Self::BadFrames => "too many bad frames",
            Self::Unauthenticated => "not authenticated",
            Self::HeartbeatTimeout => "heartbeat timeout",
            Self::TooMany => "too many",
            Self::TooSlow => "too slow: reconnect and resume",
        }
    }
}
