//! Frames that a client sends, read and checked.

#![expect(unused_qualifications, reason = "what utoipa's derive writes has them")]

use garde::Validate;
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, OneOfBuilder, schema::Type},
};

use crate::{
    error::{ApiError, Code, FieldError},
    ids::{ClientMsgId, Epoch, MessageId, RoomId, Seq},
    json::{self, Fault},
    message::{MessageType, check_content},
    specifications::schemas,
};

/// Longest text of a request id that is echoed.
const MAX_REQUEST_ID_CHARS: usize = 128;

/// A client's own name for a request, echoed in the reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "must be a string or a number")]
pub enum RequestId {
    Text(String),
    Number(serde_json::Number),
}

impl RequestId {
    fn is_too_long(&self) -> bool {
        matches!(self, Self::Text(id) if id.chars().count() > MAX_REQUEST_ID_CHARS)
    }
}

schemas::described!(
    RequestId,
    OneOfBuilder::new()
        .description(Some(
            "A client's own name for a request, echoed in the reply."
        ))
        .item(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(MAX_REQUEST_ID_CHARS))
        )
        .item(ObjectBuilder::new().schema_type(Type::Number))
        .examples([1])
);

/// A frame that was understood.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub id: Option<RequestId>,
    pub event: ClientEvent,
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    Authenticate(Authenticate),
    JoinRoom(JoinRoom),
    LeaveRoom(LeaveRoom),
    SendMessage(SendMessage),
    Heartbeat,
    Typing(TypingState),
    MarkRead(MarkRead),
}

/// A frame that was not.
#[derive(Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// Not of the protocol's shape: three in a minute get an answer, the fourth closes.
    Frame {
        id: Option<RequestId>,
        error: ApiError,
    },
    /// Of the shape, but its event is unknown or its data breaks a rule.
    Refused {
        id: Option<RequestId>,
        error: ApiError,
    },
    /// A `sendMessage` whose data breaks a rule: answered by `messageFailed`.
    Send {
        id: Option<RequestId>,
        /// As the client wrote it, where it could be read.
        client_msg_id: Option<String>,
        error: ApiError,
    },
}

/// Says who the socket belongs to, or extends its time.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
pub struct Authenticate {
    /// From `/auth/login` or `/auth/refresh`.
    #[schema(examples("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI…"))]
    pub token: String,
}

/// Listens to a room, and has what was missed replayed.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JoinRoom {
    pub room_id: RoomId,
    /// The last message that was seen: everything after it is replayed first.
    #[serde(default)]
    pub after: Option<After>,
    /// The `epoch` that `after` was seen in; any text, for it need not be of this database.
    #[serde(default)]
    #[schema(value_type = Option<String>, examples("67e55044-10b1-426f-9247-bb680e5fe0c8"))]
    pub epoch: Option<SeenEpoch>,
}

/// An epoch as a client names it; of a text that is none, nothing is kept while a join waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenEpoch(Option<Epoch>);

impl SeenEpoch {
    /// Returns whether it is this one.
    #[must_use]
    pub fn is(self, epoch: Epoch) -> bool {
        self.0 == Some(epoch)
    }
}

impl<'de> Deserialize<'de> for SeenEpoch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ok(Self(text.parse().ok()))
    }
}

/// The last message that a client has seen, by id or by seq.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(untagged, expecting = "must be a message id or a seq")]
pub enum After {
    Id(MessageId),
    Seq(Seq),
}

/// Stops listening to a room; membership stays.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LeaveRoom {
    pub room_id: RoomId,
}

/// What a client may send; `SYSTEM` is the server's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum ClientMessageType {
    #[default]
    Text,
    Image,
}

impl From<ClientMessageType> for MessageType {
    fn from(kind: ClientMessageType) -> Self {
        match kind {
            ClientMessageType::Text => Self::Text,
            ClientMessageType::Image => Self::Image,
        }
    }
}

/// A message to be sent, on WebSocket.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "FlatSendMessage")]
pub struct SendMessage {
    pub room_id: RoomId,
    pub draft: Draft,
}

/// A message to be sent. Repeat it with the same `clientMsgId` when the answer is lost; it is
/// stored once.
// As it is on the wire: a flattened draft would lose the name of the field that is wrong.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = SendMessage)]
pub(crate) struct FlatSendMessage {
    room_id: RoomId,
    client_msg_id: ClientMsgId,
    /// `TEXT` unless given.
    #[serde(default, deserialize_with = "json::or_default")]
    #[schema(value_type = Option<ClientMessageType>)]
    r#type: ClientMessageType,
    /// 1 to 5,000 characters (Unicode scalar values), no U+0000.
    #[schema(
        min_length = 1,
        max_length = 5000,
        pattern = "^[^\\u0000]*$",
        examples("Hello, Bob")
    )]
    content: String,
}

impl From<FlatSendMessage> for SendMessage {
    fn from(flat: FlatSendMessage) -> Self {
        Self {
            room_id: flat.room_id,
            draft: Draft {
                client_msg_id: flat.client_msg_id,
                r#type: flat.r#type,
                content: flat.content,
            },
        }
    }
}

/// A message to be sent, without its room: the body of REST's `POST /rooms/{roomId}/messages`.
#[derive(Debug, PartialEq, Eq, Deserialize, Validate, ToSchema)]
#[serde(rename_all = "camelCase")]
#[garde(context(()))]
pub struct Draft {
    #[garde(rename("clientMsgId"), custom(not_nil))]
    pub client_msg_id: ClientMsgId,
    /// `TEXT` unless given.
    #[serde(default, deserialize_with = "json::or_default")]
    #[schema(value_type = Option<ClientMessageType>)]
    #[garde(skip)]
    pub r#type: ClientMessageType,
    /// 1 to 5,000 characters (Unicode scalar values), no U+0000.
    #[schema(
        min_length = 1,
        max_length = 5000,
        pattern = "^[^\\u0000]*$",
        examples("Hello, Bob")
    )]
    #[garde(custom(storable))]
    pub content: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde's signature")]
fn not_nil(id: &ClientMsgId, (): &()) -> garde::Result {
    if id.0.is_nil() {
        return Err(garde::Error::new("must not be the nil UUID"));
    }
    Ok(())
}

fn storable(content: &str, (): &()) -> garde::Result {
    check_content(content).map_err(garde::Error::new)
}

/// Says whether the user types; the others in the room are told.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TypingState {
    pub room_id: RoomId,
    pub is_typing: bool,
}

/// Moves the user's read cursor; it never moves back.
#[derive(Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct MarkRead {
    pub room_id: RoomId,
    /// The last message that was read; an id that is not stored stands for the newest before it.
    pub last_read_message_id: MessageId,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    event: String,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    id: Option<RequestId>,
}

/// Reads a text frame.
///
/// # Errors
/// [`BadRequest`] says how the client is answered.
pub fn parse(text: &str) -> Result<Request, BadRequest> {
    let envelope = json::read_object(text.as_bytes());
    let envelope: Envelope<'_> = envelope.map_err(|fault| bad_frame(text, fault))?;
    let id = envelope.id;
    if id.as_ref().is_some_and(RequestId::is_too_long) {
        let error = ApiError::with_detail(Code::BadFrame, "id is too long");
        return Err(BadRequest::Frame { id: None, error });
    }
    let data = match envelope.data.map(RawValue::get) {
        None | Some("null") => "{}",
        Some(data) if data.starts_with('{') => data,
        Some(_) => {
            let error = ApiError::with_detail(Code::BadFrame, "data must be an object");
            return Err(BadRequest::Frame { id, error });
        }
    };
    read_object(id, &envelope.event, data)
}

/// Reads an event whose data may be of any type, as those of Socket.IO.
///
/// # Errors
/// [`BadRequest`] says how the client is answered; it is never [`BadRequest::Frame`].
pub fn read_event(
    id: Option<RequestId>,
    event: &str,
    data: Option<&str>,
) -> Result<Request, BadRequest> {
    match data {
        None | Some("null") => read_object(id, event, "{}"),
        Some(data) if data.starts_with('{') => read_object(id, event, data),
        Some(_) => {
            let error = match parse_event(event, "{}") {
                Err(error) if error.code == Code::UnknownEvent => error,
                _ => ApiError::field("data", "must be an object"),
            };
            Err(refuse(id, event, None, error))
        }
    }
}

fn read_object(id: Option<RequestId>, event: &str, data: &str) -> Result<Request, BadRequest> {
    match parse_event(event, data) {
        Ok(event) => Ok(Request { id, event }),
        Err(error) => Err(refuse(id, event, read_client_msg_id(data), error)),
    }
}

fn refuse(
    id: Option<RequestId>,
    event: &str,
    client_msg_id: Option<String>,
    error: ApiError,
) -> BadRequest {
    match event {
        "sendMessage" => BadRequest::Send {
            id,
            client_msg_id,
            error,
        },
        _ => BadRequest::Refused { id, error },
    }
}

fn parse_event(event: &str, data: &str) -> Result<ClientEvent, ApiError> {
    Ok(match event {
        "authenticate" => ClientEvent::Authenticate(read(data)?),
        "joinRoom" => ClientEvent::JoinRoom(read(data)?),
        "leaveRoom" => ClientEvent::LeaveRoom(read(data)?),
        "sendMessage" => {
            let msg: SendMessage = read(data)?;
            msg.draft.validate()?;
            ClientEvent::SendMessage(msg)
        }
        "heartbeat" => ClientEvent::Heartbeat,
        "typing" => ClientEvent::Typing(read(data)?),
        "markRead" => ClientEvent::MarkRead(read(data)?),
        _ => return Err(ApiError::new(Code::UnknownEvent)),
    })
}

fn read<T: DeserializeOwned>(data: &str) -> Result<T, ApiError> {
    json::read_object(data.as_bytes()).map_err(|fault| match fault {
        Fault::Value(field) => ApiError::validation(vec![field]),
        // It was JSON when the frame was read: only halves of surrogate pairs were not looked at.
        Fault::Syntax(_) => ApiError::field("data", "must be Unicode text throughout"),
    })
}

fn bad_frame(text: &str, fault: Fault) -> BadRequest {
    #[derive(Deserialize)]
    struct OnlyId {
        id: RequestId,
    }
    let id = json::read_object(text.as_bytes());
    let id = id.ok().map(|only: OnlyId| only.id);
    let id = id.filter(|id| !id.is_too_long());
    let error = match fault {
        Fault::Syntax(why) => ApiError::with_detail(Code::InvalidJson, why),
        Fault::Value(FieldError { path, message }) => {
            let what = if path.is_empty() { "a frame" } else { &path };
            ApiError::with_detail(Code::BadFrame, format!("{what} {message}"))
        }
    };
    BadRequest::Frame { id, error }
}

fn read_client_msg_id(data: &str) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct OnlyClientMsgId {
        client_msg_id: String,
    }
    let only: OnlyClientMsgId = serde_json::from_str(data).ok()?;
    (only.client_msg_id.chars().count() <= MAX_REQUEST_ID_CHARS).then_some(only.client_msg_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

    #[test]
    fn the_schemas_tell_the_rule() {
        let most = Some(crate::message::MAX_CONTENT_CHARS as u64);
        assert_eq!(schemas::said_of::<Draft>("content", "maxLength"), most);
        let frame = schemas::said_of::<FlatSendMessage>("content", "maxLength");
        assert_eq!(frame, most);
    }

    #[test]
    fn of_an_epoch_that_is_none_nothing_is_kept() {
        let seen = |text: &str| serde_json::from_value(text.into());
        let seen = |text: &str| seen(text).map_err(|error: serde_json::Error| error.to_string());
        assert_eq!(seen(&"x".repeat(65_000)), Ok(SeenEpoch(None)));
        let epoch = ROOM.parse().expect("an epoch");
        assert!(seen(ROOM).is_ok_and(|seen: SeenEpoch| seen.is(epoch)));
    }

    fn outcome(text: &str) -> String {
        match parse(text) {
            Ok(request) => format!("{:?}", request.event)
                .split(['(', ' '])
                .next()
                .unwrap_or_default()
                .to_owned(),
            Err(BadRequest::Frame { error, .. }) => format!("frame {}", error.code.as_str()),
            Err(BadRequest::Refused { error, .. }) => format!("refused {}", error.code.as_str()),
            Err(BadRequest::Send {
                error,
                client_msg_id,
                ..
            }) => format!("send {} {client_msg_id:?}", error.code.as_str()),
        }
    }

    #[test]
    fn frames_are_read_or_refused() {
        let check = |text: &str, expected: &str| assert_eq!(outcome(text), expected, "{text}");
        check(r#"{"event":"heartbeat"}"#, "Heartbeat");
        check(
            r#"{"event":"heartbeat","data":null,"id":null}"#,
            "Heartbeat",
        );
        check(
            r#"{"event":"heartbeat","data":{"x":1},"more":2}"#,
            "Heartbeat",
        );
        check(
            &format!(
                r#"{{"event":"joinRoom","data":{{"roomId":"{ROOM}","after":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}}}}"#
            ),
            "JoinRoom",
        );
        check(
            &format!(r#"{{"event":"joinRoom","data":{{"roomId":"{ROOM}","after":7}}}}"#),
            "JoinRoom",
        );
        check(
            &format!(r#"{{"event":"joinRoom","data":{{"roomId":"{ROOM}","after":-1}}}}"#),
            "refused VALIDATION_FAILED",
        );
        check(r#"{"event":"joinRoom"}"#, "refused VALIDATION_FAILED");
        check(r#"{"event":"fly","data":{}}"#, "refused UNKNOWN_EVENT");
        check("{", "frame INVALID_JSON");
        check("1e400", "frame INVALID_JSON");
        check("[]", "frame BAD_FRAME");
        check("null", "frame BAD_FRAME");
        check(r#""x""#, "frame BAD_FRAME");
        check(
            r#"{"event":"heartbeat","event":"heartbeat"}"#,
            "frame BAD_FRAME",
        );
        check(r#"{"event":"heartbeat","id":{}}"#, "frame BAD_FRAME");
        check(r#"{"event":"heartbeat","data":[]}"#, "frame BAD_FRAME");
        check(r#"{"event":1}"#, "frame BAD_FRAME");
    }

    #[test]
    fn a_bad_message_is_answered_under_its_own_id() {
        let check = |fields: &str, expected: &str| {
            let text = format!(
                r#"{{"event":"sendMessage","data":{{"roomId":"{ROOM}","clientMsgId":"{ROOM}",{fields}}}}}"#
            );
            assert_eq!(outcome(&text), expected, "{fields}");
        };
        let failed = format!("send VALIDATION_FAILED Some({ROOM:?})");
        check(r#""type":"TEXT","content":"hello""#, "SendMessage");
        check(r#""content":"hello""#, "SendMessage");
        check(r#""type":"SYSTEM","content":"x""#, &failed);
        check(r#""content":"""#, &failed);
        check(r#""content":"a\u0000b""#, &failed);
        check(r#""content":"\ud800""#, &failed);
        check(&format!(r#""content":"{}""#, "x".repeat(5_001)), &failed);
        assert_eq!(
            outcome(r#"{"event":"sendMessage","data":{"clientMsgId":["x"]}}"#),
            "send VALIDATION_FAILED None"
        );
    }

    #[test]
    fn what_is_wrong_is_named_in_plain_words() {
        let check = |text: &str, expected: &str| {
            let (Err(BadRequest::Frame { error, .. })
            | Err(BadRequest::Refused { error, .. })
            | Err(BadRequest::Send { error, .. })) = parse(text)
            else {
                panic!("{text} is taken");
            };
            assert_eq!(error.detail, expected, "{text}");
        };
        check("null", "a frame must be an object");
        check("[1]", "a frame must be an object");
        check("{}", "event is missing");
        check(r#"{"event":1}"#, "event must be a string");
        check(
            r#"{"event":"heartbeat","id":{}}"#,
            "id must be a string or a number",
        );
        check(
            r#"{"event":"heartbeat","event":"heartbeat"}"#,
            "event is given twice",
        );
        let with = |event: &str, data: &str| format!(r#"{{"event":"{event}","data":{data}}}"#);
        let uuid = "must be a UUID of 36 characters";
        check(
            &with("joinRoom", r#"{"roomId":"x"}"#),
            &format!("roomId: {uuid}"),
        );
        check(&with("joinRoom", "{}"), "roomId: is missing");
        let join = |after: &str| format!(r#"{{"roomId":"{ROOM}","after":{after}}}"#);
        check(
            &with("joinRoom", &join("-1")),
            "after: must be a message id or a seq",
        );
        let send = |field: &str| format!(r#"{{"roomId":"{ROOM}",{field}}}"#);
        check(
            &with("sendMessage", &send(r#""clientMsgId":"x","content":"x""#)),
            &format!("clientMsgId: {uuid}"),
        );
        let of = |kind: &str| {
            send(&format!(
                r#""clientMsgId":"{ROOM}","content":"x","type":{kind}"#
            ))
        };
        check(
            &with("sendMessage", &of(r#""SYSTEM""#)),
            "type: must be `TEXT` or `IMAGE`",
        );
        check(&with("sendMessage", &of("5")), "type: must be a string");
    }

    #[test]
    fn the_id_of_a_bad_frame_is_kept_where_it_can_be_read() {
        let Err(BadRequest::Frame { id, .. }) = parse(r#"{"id":"a","data":[]}"#) else {
            panic!("a frame without an event is bad");
        };
        assert_eq!(id, Some(RequestId::Text("a".into())));
        let long = format!(r#"{{"id":"{}"}}"#, "a".repeat(MAX_REQUEST_ID_CHARS + 1));
        let Err(BadRequest::Frame { id: None, .. }) = parse(&long) else {
            panic!("what is too long to be echoed is not");
        };
    }
}
