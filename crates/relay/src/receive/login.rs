//! AUTH: the check of a client's name and password.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sealpost_smtp::{Credentials, Reply};
use sealpost_transport::Refusal;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::users::Users;

/// Checks logins, a few at a time: each takes memory and a processor.
#[derive(Debug)]
pub(crate) struct Logins {
    users: Arc<Users>,
    permits: Arc<Semaphore>,
}

impl Logins {
    pub(crate) fn new(users: Users) -> Self {
        Self { users: Arc::new(users), permits: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The name that these credentials prove.
    ///
    /// # Errors
    /// The reply that refuses them: 535 5.7.8 for all that is wrong with them, 454 4.7.0 when too many others are
    /// being checked.
    pub(crate) async fn check(&self, credentials: Credentials, client: SocketAddr) -> Result<Arc<str>, Reply> {
        let Ok(Ok(permit)) = timeout(WAIT, Arc::clone(&self.permits).acquire_owned()).await else {
            tracing::warn!(%client, "a login could not be checked in time: too many others are");
            return Err(Refusal::AuthUnavailable.reply());
        };
        let users = Arc::clone(&self.users);
        let checked = spawn_blocking(move || {
            // The permit is held for as long as the memory is, also when the client is gone before.
            let _permit = permit;
            let right = users.verify(&credentials.user, credentials.password.reveal());
            let known = users.has(&credentials.user).then_some(credentials.user);
            // Nobody acts as somebody else here.
            (right && credentials.acting_as.is_none(), known)
        });
        match checked.await {
            Ok((true, Some(user))) => {
                tracing::info!(%client, user, "logged in");
                Ok(user.into())
            }
            Ok((_, user)) => {
                tracing::warn!(%client, user, "login refused");
                Err(Reply::fixed::<535, 7, 8>("name or password is wrong"))
            }
            Err(error) => {
                tracing::error!(%error, "a login could not be checked");
                Err(Refusal::AuthUnavailable.reply())
            }
        }
    }
}

/// Logins that are checked at once: with hashes of the usual cost, 80 MiB.
const AT_ONCE: usize = 4;

/// How long a login waits for its turn.
const WAIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use sealpost_smtp::{AuthMechanism, Secret};

    use super::*;
    use crate::users::tests::line;

    fn credentials(acting_as: Option<&str>, user: &str, password: &str) -> Credentials {
        Credentials::new(AuthMechanism::Plain, acting_as.map(str::to_owned), user.to_owned(), Secret::new(password))
    }

    fn logins() -> Logins {
        Logins::new(Users::parse("users", &line("ann", b"hunter2")).unwrap())
    }

    async fn check(logins: &Logins, credentials: Credentials) -> String {
        match logins.check(credentials, ([192, 0, 2, 1], 4000).into()).await {
            Ok(name) => name.to_string(),
            Err(reply) => reply.to_string(),
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_credentials_is_not_told() {
        let logins = logins();
        assert_eq!(check(&logins, credentials(None, "ann", "hunter2")).await, "ann");
        let wrong = [credentials(None, "ann", "hunter3"), credentials(None, "bob", "hunter2"), credentials(Some("bob"), "ann", "hunter2")];
        for credentials in wrong {
            assert!(check(&logins, credentials).await.starts_with("535 5.7.8 "));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_logins_are_checked_at_once_than_memory_is_meant_for() {
        let logins = logins();
        let others = Arc::clone(&logins.permits).acquire_many_owned(u32::try_from(AT_ONCE).unwrap()).await.unwrap();
        assert!(check(&logins, credentials(None, "ann", "hunter2")).await.starts_with("454 4.7.0 "));
        drop(others);
        assert_eq!(check(&logins, credentials(None, "ann", "hunter2")).await, "ann");
        assert_eq!(logins.permits.available_permits(), AT_ONCE, "each gives its turn back");
    }

    #[test]
    fn secrets_never_print() {
        let shown = format!("{:?}", logins());
        assert!(!shown.contains("argon2") && !shown.contains("ann"), "{shown}");
    }
}
