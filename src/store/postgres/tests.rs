//! The adapter against a real server: the port's suite, and what only happens there.

mod faults;
mod opening;
mod plans;
mod proxy;
mod schemas;
mod scratch;

use crate::store::{Store, suite::store_suite};
use scratch::Scratch;

async fn open() -> Option<(Scratch, Store)> {
    let scratch = Scratch::migrated().await?;
    let store = scratch.store().await;
    Some((scratch, store))
}

store_suite!(open());
