//! `roomcast openapi` and `roomcast asyncapi`: the two specifications.

use super::failure::Failure;

pub(super) fn openapi() -> Result<(), Failure> {
    Err(Failure::NotYet("openapi"))
}

pub(super) fn asyncapi() -> Result<(), Failure> {
    Err(Failure::NotYet("asyncapi"))
}
