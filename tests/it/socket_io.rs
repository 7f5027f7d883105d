//! Socket.IO as it is on the wire: who is let in, what is answered, what ends a connection.
//!
//! Contract section 8. The library that existing clients use is driven from Node, in
//! `tests/node/socket-io.test.js`.

mod failing;
mod hostile;
mod limits;
mod opening;
mod talking;
