//! `roomcast serve`: production, on PostgreSQL, Kafka and Valkey.

use clap::{Args, ValueEnum};

use futures_util::future::try_join3;

use super::{
    banner::ServeBanner,
    descriptors,
    failure::Failure,
    flags::{Flags, ForServe},
    logging, reaching,
};
use crate::{
    backends::{self, Backends, GatewayBackends},
    config::{Role, ServeConfig},
    server::{self, ServerConfig, Stop},
    store::{OpenError, Store},
};

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Which half of the system this process is
    #[arg(long, value_enum)]
    role: RoleName,
    /// Apply the migrations that the database lacks, instead of refusing to start
    #[arg(long)]
    migrate: bool,
    #[command(flatten)]
    flags: Flags<ForServe>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum RoleName {
    /// Gateway and worker
    All,
    /// Sockets and the API
    Gateway,
    /// Stores messages
    Worker,
}

impl From<RoleName> for Role {
    fn from(name: RoleName) -> Self {
        match name {
            RoleName::All => Self::All,
            RoleName::Gateway => Self::Gateway,
            RoleName::Worker => Self::Worker,
        }
    }
}

pub(super) fn run(args: ServeArgs) -> Result<(), Failure> {
    let role = Role::from(args.role);
    let config = ServeConfig::load(args.flags.settings(), role)?;
    logging::start(&config.logs);
    descriptors::prepare();
    server::block_on(serve(config, role, args.migrate))
}

async fn serve(config: ServeConfig, role: Role, migrate: bool) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    let backends = tokio::select! {
        opened = open(&config, role, migrate) => opened?,
        // Nothing is served yet, and nothing is held that others would miss.
        () = stop.told() => return Ok(()),
    };
    let banner = ServeBanner::new(role, &config);
    let config = ServerConfig {
        gateway: config.gateway.map(|gateway| gateway.config),
        worker_addr: config.worker_addr.filter(|_| role == Role::Worker),
    };
    server::run(backends, config, stop, |opened| banner.show(opened)).await?;
    Ok(())
}

/// Opens what the role needs, side by side: whatever is missing is waited for.
async fn open(config: &ServeConfig, role: Role, migrate: bool) -> Result<Backends, Failure> {
    let patience = config.start_timeout;
    let database = &config.database;
    let presence = config.gateway.as_ref().map(|gateway| {
        let opened = backends::valkey(&gateway.redis);
        opened.map_err(|error| Failure::Setting(error.to_string()))
    });
    let presence = presence.transpose()?;
    let (store, log, ()) = try_join3(
        reaching::service(patience, async || {
            // With TLS it is a large one.
            Box::pin(Store::open_postgres(database, migrate)).await
        }),
        reaching::service(patience, async || backends::kafka(&config.kafka).await),
        async {
            match &presence {
                Some(presence) => reaching::presence(patience, presence).await,
                None => Ok(()),
            }
        },
    )
    .await?;
    // The pool connects now: what is read next at the start finds it there.
    reaching::service(patience, async || {
        store.installation().await.map_err(OpenError::from)
    })
    .await?;
    let is_worker = role != Role::Gateway;
    if is_worker {
        reaching::service(patience, async || store.bind_log(log.id()).await).await?;
    }
    let gateway = config.gateway.as_ref().zip(presence);
    Ok(Backends {
        store,
        log,
        is_worker,
        gateway: gateway.map(|(gateway, presence)| GatewayBackends {
            presence,
            secret: gateway.secret.clone(),
            is_demo: false,
        }),
    })
}
