//! `SessionActor`: one socket, from its handshake to its close. Rank 0; on its HTTP worker's arbiter.
//!
//! | message | from | kind | reply | when refused |
//! |---|---|---|---|---|
//! | text frames | the socket | stream | replies by the outbox | – |
//! | [`RejoinRoom`], [`MembershipEnded`] | RoomRegistry | tell | – | mailbox full: the socket is cut and resumes by seq |
//!
//! What it says goes through its [`Outbox`], never through the WebSocket context: an actor whose
//! peer does not read is not polled. Invariants: sends of one socket enter the log in the order
//! they came; joins and leaves of one room are done one after another. When it panics its socket
//! closes, and nobody else notices.

mod faults;
mod introducing;
mod joining;
mod sending;
mod walk;

use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Handler, Message, WrapFuture};
use actix_web::web::Data;
use fail::fail_point;

use self::{
    faults::Faults,
    joining::{RoomSlot, RoomTurns},
    sending::SendQueue,
};
use super::mailbox::Mailbox;
use super::room_registry::{IdentifySession, RegisterSession, RoomRegistry, SessionGone};
use crate::{
    auth::Identity,
    clock::Timestamp,
    error::{ApiError, Code},
    gateway::Gateway,
    ids::{RoomId, UserId},
    limits::{SocketLimits, SocketPermit},
    message::MAX_CONTENT_CHARS,
    metrics::{self, ActorKind, Transport},
    outbox::Outbox,
    protocol::{
        AUTH_TIMEOUT, HEARTBEAT_INTERVAL, MAX_FRAME_BYTES, MAX_REPLAY,
        client::{self, BadRequest, ClientEvent, MarkRead, Request, RequestId, TypingState},
        close::CloseCode,
        server::{
            ErrorFrame, HeartbeatAck, MessageFailed, ReadUpdated, Ready, ReadyLimits, ServerEvent,
        },
    },
    small_map::SmallMap,
    trace::Trace,
    transport::websocket::Connection,
};

/// Notes from the registry that wait.
pub const MAILBOX: usize = 64;

/// How long a socket that nothing watches has to read why it is closed.
const CLOSE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// The context is the transport's choice.
type SessionContext = <SessionActor as Actor>::Context;

/// One socket.
pub struct SessionActor {
    pub(crate) outbox: Arc<Outbox>,
    /// The transport's own, for the frames that come in.
    pub(crate) connection: Connection,
    gateway: Data<Gateway>,
    registry: Mailbox<RoomRegistry>,
    identity: Option<Arc<Identity>>,
    /// Who the handshake said it is, until the socket starts.
    handshake: Option<Arc<Identity>>,
    permit: Option<SocketPermit>,
    limits: SocketLimits,
    faults: Faults,
    rooms: SmallMap<RoomId, RoomSlot>,
    turns: RoomTurns,
    sends: SendQueue,
    /// Of the handshake; what the socket sends is of it.
    trace: Option<Trace>,
}

impl SessionActor {
    /// Makes a session; `handshake` is who its token said it is, if it had one.
    #[must_use]
    pub fn new(
        gateway: Data<Gateway>,
        registry: Mailbox<RoomRegistry>,
        outbox: Arc<Outbox>,
        connection: Connection,
        handshake: Option<Identity>,
    ) -> Self {
        let limits = SocketLimits::new(gateway.limits.config());
        Self {
            outbox,
            connection,
            gateway,
            registry,
            identity: None,
            handshake: handshake.map(Arc::new),
            permit: None,
            limits,
            faults: Faults::default(),
            rooms: SmallMap::default(),
            turns: RoomTurns::default(),
            sends: SendQueue::default(),
            trace: None,
        }
    }

    /// Ties what the socket sends to the request that opened it.
    #[must_use]
    pub fn traced(mut self, trace: Option<Trace>) -> Self {
        self.trace = trace;
        self
    }
}

/// The room goes on without this socket, which was too slow, or its actor has died and lives
/// again: join it from the outbox's position.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RejoinRoom(pub RoomId);

/// The user's membership has ended: a join under way must not go on.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MembershipEnded {
    pub room_id: RoomId,
    pub generation: u64,
}

impl Handler<RejoinRoom> for SessionActor {
    type Result = ();

    fn handle(&mut self, RejoinRoom(room_id): RejoinRoom, ctx: &mut SessionContext) {
        self.rejoin(room_id, ctx);
    }
}

impl Handler<MembershipEnded> for SessionActor {
    type Result = ();

    fn handle(&mut self, ended: MembershipEnded, _: &mut SessionContext) {
        self.membership_ended(ended.room_id, ended.generation);
    }
}

// -------------------------------------------------- what the transport calls

impl SessionActor {
    fn transport(&self) -> Transport {
        match self.connection.socket_io {
            Some(_) => Transport::SocketIo,
            None => Transport::WebSocket,
        }
    }

    /// The socket is open.
    pub(crate) fn opened(&mut self, ctx: &mut SessionContext) {
        metrics::get().socket_opened(self.transport());
        metrics::get().actor(ActorKind::Session).started();
        let register = RegisterSession {
            addr: Mailbox::new(ctx.address()),
            outbox: Arc::clone(&self.outbox),
        };
        self.outbox.open();
        if self.registry.try_send(register).is_err() {
            self.outbox.close(CloseCode::ServerError);
            // No sweep knows of it.
            ctx.run_later(CLOSE_PATIENCE, |this, _| this.outbox.cut());
            return;
        }
        if self.gateway.drain.is_draining() {
            // The registry sends it away, as those that were here before.
            return;
        }
        match self.handshake.take() {
            Some(identity) => self.admit(identity, None, ctx),
            None => {
                ctx.run_later(AUTH_TIMEOUT, |this, _| {
                    if this.identity.is_none() {
                        this.outbox.close(CloseCode::Unauthenticated);
                    }
                });
            }
        }
    }

    /// The socket has closed.
    pub(crate) fn closed(&mut self) {
        metrics::get().socket_closed(self.transport());
        metrics::get().actor(ActorKind::Session).stopped();
        self.outbox.end();
        // On a full mailbox the registry's sweep finds the outbox at its end.
        let _ = self.registry.try_send(SessionGone(self.outbox.session_id));
    }

    /// A text frame, or a message put together from fragments, has come in.
    pub(crate) fn text(&mut self, text: &str, ctx: &mut SessionContext) {
        let _handling = metrics::get().actor(ActorKind::Session).begin();
        fail_point!("session-actor");
        if self.connection.socket_io.is_some() {
            return self.packet(text, ctx);
        }
        self.received(client::parse(text), ctx);
    }

    /// A frame or packet has been read.
    pub(crate) fn received(&mut self, read: Result<Request, BadRequest>, ctx: &mut SessionContext) {
        match (read, self.identity.is_some()) {
            (Ok(request), true) => self.request(request, ctx),
            (
                Ok(Request {
                    id,
                    event: ClientEvent::Authenticate(auth),
                }),
                false,
            ) => {
                metrics::get().frame_in("authenticate");
                self.authenticate(auth.token, id, ctx);
            }
            (_, false) => self.outbox.close(CloseCode::Unauthenticated),
            (Err(bad), true) => self.answer_bad(bad),
        }
    }

    /// A ping or pong has come in; returns whether there was room for it.
    pub(crate) fn control(&mut self, event: &'static str) -> bool {
        metrics::get().frame_in(event);
        let allowed = self.limits.check_control().is_ok();
        if !allowed {
            self.count_refusal();
        }
        allowed
    }
}

// ------------------------------------------------------------------ requests

impl SessionActor {
    fn request(&mut self, Request { id, event }: Request, ctx: &mut SessionContext) {
        metrics::get().frame_in(event_name(&event));
        let allowed = match &event {
            // Sends are counted by user, with REST's.
            ClientEvent::SendMessage(_) => Ok(()),
            ClientEvent::JoinRoom(_) => self.limits.check_join(),
            _ => self.limits.check_frame(),
        };
        if let Err(wait) = allowed {
            self.error(id.as_ref(), &ApiError::rate_limited(wait));
            return self.count_refusal();
        }
        match event {
            ClientEvent::Authenticate(auth) => self.authenticate(auth.token, id, ctx),
            ClientEvent::JoinRoom(join) => self.join_room(id, join, ctx),
            ClientEvent::LeaveRoom(leave) => self.leave_room(id, leave.room_id, ctx),
            ClientEvent::SendMessage(msg) => self.send_message(id, msg, ctx),
            ClientEvent::Heartbeat => {
                let server_time = Timestamp::now();
                let ack = ServerEvent::HeartbeatAck(HeartbeatAck { server_time });
                self.outbox.reply(&ack, id.as_ref());
            }
            ClientEvent::Typing(typing) => self.typing(id, typing, ctx),
            ClientEvent::MarkRead(mark) => self.mark_read(id, mark, ctx),
        }
    }

    fn answer_bad(&mut self, bad: BadRequest) {
        match bad {
            BadRequest::Frame { id, error } => {
                metrics::get().frame_in("bad");
                if self.faults.bad_frame() {
                    return self.outbox.close(CloseCode::BadFrames);
                }
                self.error(id.as_ref(), &error);
            }
            BadRequest::Refused { id, error } => {
                metrics::get().frame_in("bad");
                match self.limits.check_frame() {
                    Ok(()) => self.error(id.as_ref(), &error),
                    Err(wait) => {
                        self.error(id.as_ref(), &ApiError::rate_limited(wait));
                        self.count_refusal();
                    }
                }
            }
            BadRequest::Send {
                id,
                client_msg_id,
                error,
            } => {
                metrics::get().frame_in("sendMessage");
                let limited = self.gateway.limits.check_send(self.user_id());
                let is_refusal = limited.is_err();
                let error = limited.map_or_else(ApiError::rate_limited, |()| error);
                self.message_failed(id.as_ref(), client_msg_id.as_deref(), &error);
                if is_refusal {
                    self.count_refusal();
                }
            }
        }
    }

    fn authenticate(&mut self, token: String, id: Option<RequestId>, ctx: &mut SessionContext) {
        let gateway = self.gateway.clone();
        let asking = async move { gateway.auth.authenticate(&token).await };
        // Whatever the client sends meanwhile waits: it may need to know who that is.
        ctx.wait(asking.into_actor(self).map(move |identity, this, ctx| {
            match (identity, &this.identity) {
                (Ok(identity), Some(known)) if identity.user_id != known.user_id => {
                    let error = "a socket stays with its user: open another";
                    let error = ApiError::with_detail(Code::Forbidden, error);
                    this.error(id.as_ref(), &error);
                }
                (Ok(identity), _) => this.admit(Arc::new(identity), id.as_ref(), ctx),
                (Err(error), Some(_)) => this.error(id.as_ref(), &error),
                (Err(error), None) => {
                    this.error(id.as_ref(), &error);
                    this.outbox.close(match error.code {
                        Code::Unauthenticated => CloseCode::Unauthenticated,
                        _ => CloseCode::ServerError,
                    });
                }
            }
        }));
    }

    /// Greets an authenticated socket, or one that has extended its time.
    fn admit(
        &mut self,
        identity: Arc<Identity>,
        reply_to: Option<&RequestId>,
        ctx: &mut SessionContext,
    ) {
        if self.permit.is_none() {
            let Some(permit) = self.gateway.limits.open_socket(identity.user_id) else {
                return self.outbox.close(CloseCode::TooMany);
            };
            self.permit = Some(permit);
        }
        self.identity = Some(Arc::clone(&identity));
        self.outbox.identify(identity.user_id);
        self.outbox.greet();
        let identify = IdentifySession {
            session_id: self.outbox.session_id,
            identity: Arc::clone(&identity),
        };
        if self.registry.try_send(identify).is_err() {
            return self.outbox.close(CloseCode::ServerError);
        }
        let ready = ServerEvent::Ready(self.ready(&identity));
        self.outbox.reply(&ready, reply_to);
        self.judge_again(identity, ctx);
    }

    /// A logout or password change since the token was judged found no socket to close, for the
    /// registry did not know this one; one that comes from now on does.
    fn judge_again(&self, identity: Arc<Identity>, ctx: &mut SessionContext) {
        let gateway = self.gateway.clone();
        let judging = async move { gateway.auth.still_counts(&identity).await };
        ctx.spawn(judging.into_actor(self).map(|counts, this, _| {
            if !counts {
                this.outbox.close(CloseCode::Unauthenticated);
            }
        }));
    }

    fn ready(&self, identity: &Identity) -> Ready {
        let limits = self.gateway.limits.config();
        Ready {
            user_id: identity.user_id,
            session_id: self.outbox.session_id,
            server_id: self.gateway.server_id,
            heartbeat_interval_ms: HEARTBEAT_INTERVAL.as_millis() as u64,
            expires_at: identity.expires_at,
            limits: ReadyLimits {
                max_frame_bytes: MAX_FRAME_BYTES,
                max_content_chars: MAX_CONTENT_CHARS,
                send_burst: limits.sends.map_or(0, |rate| rate.burst),
                send_per_s: limits.sends.map_or(0, |rate| rate.per_second),
                join_burst: limits.joins.map_or(0, |rate| rate.burst),
                max_replay: MAX_REPLAY,
            },
        }
    }

    fn typing(&mut self, id: Option<RequestId>, typing: TypingState, ctx: &mut SessionContext) {
        let (gateway, user_id) = (self.gateway.clone(), self.user_id());
        let asking = async move {
            gateway.require_member(typing.room_id, user_id).await?;
            gateway
                .presence
                .typing(typing.room_id, user_id, typing.is_typing);
            Ok(())
        };
        ctx.spawn(
            asking
                .into_actor(self)
                .map(move |outcome, this, _| match outcome {
                    Ok(()) => this.outbox.done(id.as_ref()),
                    Err(error) => this.error(id.as_ref(), &error),
                }),
        );
    }

    fn mark_read(&mut self, id: Option<RequestId>, mark: MarkRead, ctx: &mut SessionContext) {
        let (gateway, user_id) = (self.gateway.clone(), self.user_id());
        let session_id = self.outbox.session_id;
        let MarkRead {
            room_id,
            last_read_message_id: read,
        } = mark;
        let marking = async move {
            let marked = gateway.mark_read(room_id, user_id, read, Some(session_id));
            Ok(ReadUpdated {
                room_id,
                user_id,
                last_read_message_id: marked.await?,
            })
        };
        ctx.spawn(marking.into_actor(self).map(move |outcome, this, _| {
            match outcome {
                Ok(updated) => this
                    .outbox
                    .reply(&ServerEvent::ReadUpdated(updated), id.as_ref()),
                Err(error) => this.error(id.as_ref(), &error),
            }
        }));
    }

    // --------------------------------------------------------------- answers

    /// Only called once the socket is authenticated.
    fn user_id(&self) -> UserId {
        let identity = self.identity.as_ref();
        identity
            .expect("requests are handled after `admit`")
            .user_id
    }

    fn error(&self, id: Option<&RequestId>, error: &ApiError) {
        let event = ServerEvent::Error(ErrorFrame::from(error));
        self.outbox.reply(&event, id);
    }

    fn message_failed(
        &self,
        id: Option<&RequestId>,
        client_msg_id: Option<&str>,
        error: &ApiError,
    ) {
        metrics::get().failed(error.code);
        let event = ServerEvent::MessageFailed(MessageFailed::new(client_msg_id, error));
        self.outbox.reply(&event, id);
    }

    fn count_refusal(&mut self) {
        if self.faults.refused() {
            self.outbox.close(CloseCode::TooMany);
        }
    }
}

fn event_name(event: &ClientEvent) -> &'static str {
    match event {
        ClientEvent::Authenticate(_) => "authenticate",
        ClientEvent::JoinRoom(_) => "joinRoom",
        ClientEvent::LeaveRoom(_) => "leaveRoom",
        ClientEvent::SendMessage(_) => "sendMessage",
        ClientEvent::Heartbeat => "heartbeat",
        ClientEvent::Typing(_) => "typing",
        ClientEvent::MarkRead(_) => "markRead",
    }
}
