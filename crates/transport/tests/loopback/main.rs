//! Client and server of this crate against each other, and against raw sockets, over loopback.

mod client;
mod hello;
mod https;
mod pki;
mod pool;
mod proxy;
mod raw;
mod receiver;
mod sending;
mod server;
mod transfer;
