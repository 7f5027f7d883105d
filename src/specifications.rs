//! The two specifications: OpenAPI 3.1 of REST, AsyncAPI 3 of `/ws`. Made from the types that the
//! handlers and the frames are written with, and served, printed and tested as they are made here.

mod asyncapi;
mod examples;
mod openapi;
pub(crate) mod refusals;
pub(crate) mod schemas;

pub use asyncapi::asyncapi;
pub use openapi::openapi;
