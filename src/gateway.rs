//! What every request and every socket of this process shares.

mod changes;
mod rooms;
mod turns;

pub use rooms::OrUnavailable;
pub use turns::Turns;

use std::sync::Arc;

use crate::{
    actors::{kafka_bridge::BridgeHandle, presence::PresenceHandle},
    auth::{Authenticator, LoginFailures, Passwords, Tokens},
    config::GatewayConfig,
    drain::Drain,
    http::demo::Demo,
    ids::{Epoch, ServerId},
    limits::Limits,
    memberships::Memberships,
    store::Store,
};

/// One gateway.
pub struct Gateway {
    pub store: Store,
    pub tokens: Tokens,
    pub passwords: Passwords,
    pub auth: Authenticator,
    pub failures: LoginFailures,
    pub limits: Arc<Limits>,
    pub memberships: Memberships,
    /// Of joins and replays, at the store.
    pub turns: Turns,
    pub bridge: BridgeHandle,
    pub presence: PresenceHandle,
    pub drain: Drain,
    pub config: GatewayConfig,
    pub server_id: ServerId,
    /// The life of the database that seqs belong to.
    pub epoch: Epoch,
    /// In `dev` alone.
    pub demo: Option<Demo>,
}
