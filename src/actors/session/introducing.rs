//! What a session of Socket.IO has besides: who it is comes with its first packet, and some of
//! its packets ask for nothing.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, WrapFuture};

use super::{SessionActor, SessionContext};
use crate::{error::Code, metrics, protocol::close::CloseCode};

impl SessionActor {
    /// The first packet of a Socket.IO client has come in, which says who it is. One that is not
    /// let in is greeted and sent away, as the original did and existing clients expect.
    pub(crate) fn introduce(&mut self, token: String, ctx: &mut SessionContext) {
        let gateway = self.gateway.clone();
        let asking = async move { gateway.auth.authenticate(&token).await };
        ctx.wait(
            asking
                .into_actor(self)
                .map(|identity, this, ctx| match identity {
                    Ok(identity) => this.admit(Arc::new(identity), None, ctx),
                    Err(error) if error.code == Code::Unauthenticated => {
                        this.outbox.greet();
                        this.outbox.close(CloseCode::Unauthenticated);
                    }
                    Err(_) => this.outbox.close(CloseCode::ServerError),
                }),
        );
    }

    /// Returns whether it is known whose socket it is.
    pub(crate) fn is_introduced(&self) -> bool {
        self.identity.is_some()
    }

    /// Something has come in that asks for nothing; it costs as much as what does.
    pub(crate) fn idle_talk(&mut self) {
        metrics::get().frame_in("bad");
        if self.limits.check_frame().is_err() {
            self.count_refusal();
        }
    }
}
