//! How many connections there may be with the files that the process may open.

use crate::config::Config;

/// Connections at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Of clients, in all.
    pub(crate) received: usize,
    /// To next hosts, in all.
    pub(crate) delivered: usize,
}

impl Room {
    /// What the settings ask for, or a share of it where the process may not open so many files: then clients are turned
    /// away with a reply instead of waiting for a greeting, and deliveries go on.
    pub(crate) fn of(config: &Config) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let wanted = Self { received: config.limits.connections, delivered: config.delivery.connections };
        let room = wanted.within(files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX)));
        if room != wanted {
            tracing::warn!(
                received = room.received,
                delivered = room.delivered,
                "[limits] connections = {} and [delivery] connections = {} need {} open files, and this process may have {}: so many \
                 connections there are at most (LimitNOFILE of systemd and ulimit -n say how many files)",
                wanted.received,
                wanted.delivered,
                wanted.files(),
                files.unwrap_or_default()
            );
        }
        room
    }

    fn files(self) -> usize {
        let both = self.received.saturating_add(self.delivered);
        both.saturating_add(both / BODIES).saturating_add(FILES_OWN)
    }

    fn within(self, files: usize) -> Self {
        if self.files() <= files {
            return self;
        }
        let both = files.saturating_sub(FILES_OWN).saturating_mul(BODIES) / (BODIES + 1);
        let share = |of: usize| (both as f64 * of as f64 / (self.received + self.delivered).max(1) as f64) as usize;
        Self { received: share(self.received).max(1), delivered: share(self.delivered).max(1) }
    }
}

/// A connection is one file. A large body that comes or goes by it is another: as if every second one had such.
const BODIES: usize = 2;

/// Databases, listeners, the management, name servers.
const FILES_OWN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_files_are_shared() {
        let wanted = Room { received: 2000, delivered: 500 };
        assert_eq!(wanted.within(3814), wanted);
        assert_eq!(wanted.within(814), Room { received: 400, delivered: 100 });
        assert_eq!(wanted.within(10), Room { received: 1, delivered: 1 });
        let many = Room { received: usize::MAX / 2, delivered: 1 };
        assert!(many.within(1064).received >= 600, "nothing overflows");
    }
}
