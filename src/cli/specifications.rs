//! `roomcast openapi` and `roomcast asyncapi`: the two specifications.

use super::failure::{Failure, print_line};
use crate::specifications;

pub(super) fn openapi() -> Result<(), Failure> {
    print_line(&format!("{:#}", specifications::openapi()))
}

pub(super) fn asyncapi() -> Result<(), Failure> {
    print_line(&format!("{:#}", specifications::asyncapi()))
}
