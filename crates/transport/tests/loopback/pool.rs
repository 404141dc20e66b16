//! Connections that wait for the next message.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sealpost_transport::{ConnectOptions, ListenerTls, Pool, PoolSettings, RustlsBackend, WallClock};
use sealpost_types::{Destination, UnixMillis};

use crate::pki::{Kind, Pki};
use crate::raw::script_and_close;
use crate::receiver::{Receiver, plain_server};
use crate::sending::*;

fn pool(settings: PoolSettings) -> Pool<RustlsBackend> {
    Pool::new(settings, WallClock::system())
}

fn bank() -> Destination {
    Destination::new("mx:bank.example")
}

#[tokio::test]
async fn a_connection_serves_its_own_key_only() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let (client, pool) = (pki.client(), pool(PoolSettings::default()));
    pool.put(connect(&client, &require(server.local_addr())).await.unwrap(), &bank());
    assert!(pool.take(&verify(server.local_addr())).is_none(), "it was never verified for this demand");
    let mut connection = pool.take(&require(server.local_addr())).unwrap();
    deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    pool.put(connection, &bank());
    let mut connection = pool.take(&require(server.local_addr())).unwrap();
    deliver(&mut connection, &["bob@receiver.example"], b"y\r\n").await;
    assert_eq!((receiver.messages().len(), connection.uses(), pool.len()), (2, 2, 0));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_given_out() {
    let (address, server) = script_and_close(&[("", "220 mx\r\n"), ("\r\n", "250 mx\r\n")]).await;
    let (client, pool) = (Pki::new().client(), pool(PoolSettings::default()));
    let connection = connect(&client, &never(address)).await.unwrap();
    pool.put(connection, &bank());
    server.await.unwrap();
    while !pool.is_empty() {
        // The end of the connection may take a moment to be seen.
        if let Some(connection) = pool.take(&never(address)) {
            tokio::task::yield_now().await;
            pool.put(connection, &bank());
        }
    }
    assert!(pool.take(&never(address)).is_none());
}

#[tokio::test]
async fn uses_age_and_generation_have_their_limits() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let (client, key) = (pki.client(), verify(server.local_addr()));
    let mut settings = PoolSettings::default();
    settings.uses = 1;
    let once = pool(settings);
    let mut connection = connect(&client, &key).await.unwrap();
    deliver(&mut connection, &["bob@receiver.example"], b"x\r\n").await;
    once.put(connection, &bank());
    assert!(once.is_empty());

    let mut settings = PoolSettings::default();
    settings.age = Duration::ZERO;
    let young = pool(settings);
    young.put(connect(&client, &key).await.unwrap(), &bank());
    assert!(young.is_empty());

    let pool = pool(PoolSettings::default());
    pool.put(connect(&client, &key).await.unwrap(), &bank());
    pool.invalidate_all(1);
    assert!(pool.take(&key).is_none());
    pool.put(connector(&client).connect(&key, &ConnectOptions::of_generation(pool.generation())).await.unwrap(), &bank());
    assert!(pool.take(&key).is_some());
}

#[tokio::test]
async fn a_connection_does_not_outlive_its_certificate() {
    let pki = Pki::new();
    let receiver = Receiver::default().into();
    let server = plain_server(ListenerTls::StartTls, &pki.server(Kind::Right), &receiver);
    let key = verify(server.local_addr());
    let connection = connect(&pki.client(), &key).await.unwrap();
    let end = connection.valid_until().unwrap();
    let now = Arc::new(AtomicI64::new(end.0 - 1));
    let clock = Arc::clone(&now);
    let pool = Pool::new(PoolSettings::default(), WallClock::from_fn(move || UnixMillis(clock.load(Ordering::Relaxed))));
    pool.put(connection, &bank());
    let connection = pool.take(&key).unwrap();
    pool.put(connection, &bank());
    now.store(end.0, Ordering::Relaxed);
    assert!(pool.take(&key).is_none());
}

#[tokio::test]
async fn what_lies_idle_too_long_is_closed_with_quit() {
    let (address, heard) = crate::raw::script(&[("", "220 mx\r\n"), ("\r\n", "250 mx\r\n")]).await;
    let mut settings = PoolSettings::default();
    settings.idle_time = Duration::from_millis(20);
    let pool = Arc::new(pool(settings));
    let reaper = tokio::spawn(Arc::clone(&pool).reap());
    pool.put(connect(&Pki::new().client(), &never(address)).await.unwrap(), &bank());
    assert_eq!(heard.await.unwrap(), "EHLO client.example\r\nQUIT\r\n");
    assert!(pool.is_empty());
    reaper.abort();
}
