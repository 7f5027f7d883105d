//! What clients and operators see, tested from outside: each test has a server process of its
//! own, on free ports and in a temporary folder.

mod harness;
