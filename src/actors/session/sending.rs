//! Sends of one socket: membership, then the log, strictly one after another; only the
//! acknowledgements are awaited side by side.

use std::{collections::VecDeque, sync::Arc};

use actix::{ActorFutureExt, AsyncContext, WrapFuture};

use super::{SessionActor, SessionContext};
use crate::{
    error::{ApiError, Code},
    protocol::client::{RequestId, SendMessage},
};

/// Sends of one socket that wait for a look at its membership. A burst that the limits allow is
/// far below; it is reached where they are switched off.
const MAX_WAITING: usize = 1_024;

/// The sends that have not reached the log yet.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    waiting: VecDeque<(Option<RequestId>, SendMessage)>,
    /// Whether the membership of the first one is being looked up.
    looking_up: bool,
}

impl SessionActor {
    pub(super) fn send_message(
        &mut self,
        id: Option<RequestId>,
        msg: SendMessage,
        ctx: &mut SessionContext,
    ) {
        if let Err(error) = self.check_send() {
            self.refuse_send(id.as_ref(), &msg, &error);
            // The refusal that closes the socket is answered too.
            if error.code == Code::RateLimited {
                self.count_refusal();
            }
            return;
        }
        self.sends.waiting.push_back((id, msg));
        self.pump_sends(ctx);
    }

    fn check_send(&self) -> Result<(), ApiError> {
        self.gateway.begin_send(self.user_id())?;
        if self.sends.waiting.len() >= MAX_WAITING {
            return Err(ApiError::unavailable("too many messages wait"));
        }
        Ok(())
    }

    /// Hands sends to the log until one has to wait for the store.
    fn pump_sends(&mut self, ctx: &mut SessionContext) {
        while !self.sends.looking_up {
            let Some((id, msg)) = self.sends.waiting.pop_front() else {
                return;
            };
            let user_id = self.user_id();
            let known = self.gateway.memberships.remembered(msg.room_id, user_id);
            if known.is_some() {
                self.append(id, msg);
            } else {
                self.look_up(id, msg, ctx);
            }
        }
    }

    fn look_up(&mut self, id: Option<RequestId>, msg: SendMessage, ctx: &mut SessionContext) {
        self.sends.looking_up = true;
        let (gateway, user_id) = (self.gateway.clone(), self.user_id());
        let room_id = msg.room_id;
        let looking = async move { gateway.require_member(room_id, user_id).await };
        ctx.spawn(looking.into_actor(self).map(move |outcome, this, ctx| {
            this.sends.looking_up = false;
            match outcome {
                Ok(()) => this.append(id, msg),
                Err(error) => this.refuse_send(id.as_ref(), &msg, &error),
            }
            this.pump_sends(ctx);
        }));
    }

    fn append(&self, id: Option<RequestId>, msg: SendMessage) {
        let SendMessage { room_id, draft } = msg;
        let client_msg_id = draft.client_msg_id;
        self.outbox.expect_acceptance(room_id, client_msg_id, id);
        let outbox = Arc::clone(&self.outbox);
        let then = move |appended: Result<(), ApiError>| match appended {
            Ok(()) => outbox.accept(room_id, client_msg_id),
            Err(error) => outbox.refuse(room_id, client_msg_id, &error),
        };
        let submit = || self.gateway.submit(room_id, self.user_id(), draft, then);
        match &self.trace {
            Some(trace) => trace.enter(submit),
            None => submit(),
        }
    }

    fn refuse_send(&self, id: Option<&RequestId>, msg: &SendMessage, error: &ApiError) {
        let client_msg_id = msg.draft.client_msg_id.to_string();
        self.message_failed(id, Some(&client_msg_id), error);
    }
}
