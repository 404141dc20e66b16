//! What a connection that did not come about says of the host.

use sealpost_transport::{ConnectFault, ConnectStage};

/// What a connection that did not come about says of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nobody is there: no connection, or one on which nothing was ever said.
    Dead,
    /// It is there, whatever it says.
    There,
    /// Nothing: the fault is of this machine.
    Nothing,
}

impl Sign {
    pub(super) fn of(stage: ConnectStage, fault: &ConnectFault) -> Self {
        match fault {
            ConnectFault::Local { .. } => Self::Nothing,
            ConnectFault::TimedOut { .. } if stage <= ConnectStage::Ehlo => Self::Dead,
            ConnectFault::TimedOut { .. } => Self::There,
            _ if stage == ConnectStage::Connect => Self::Dead,
            _ => Self::There,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::*;

    /// Out of file descriptors, the relay once took it for an answer: it forgot that the host was dead, and dialled it for each message.
    #[test]
    fn a_fault_of_this_machine_says_nothing_of_a_host() {
        let timed_out = || ConnectFault::TimedOut { after: Duration::from_secs(30) };
        let cases = [
            (ConnectStage::Connect, ConnectFault::Local { kind: ErrorKind::Other }, Sign::Nothing),
            (ConnectStage::Connect, ConnectFault::Unreachable { kind: ErrorKind::ConnectionRefused }, Sign::Dead),
            (ConnectStage::Connect, timed_out(), Sign::Dead),
            (ConnectStage::Banner, timed_out(), Sign::Dead),
            (ConnectStage::Ehlo, timed_out(), Sign::Dead),
            // The negative control: who has said a word is there.
            (ConnectStage::StartTls, timed_out(), Sign::There),
            (ConnectStage::Banner, ConnectFault::Lost { kind: ErrorKind::ConnectionReset }, Sign::There),
            (ConnectStage::Ehlo, ConnectFault::StartTlsNotOffered, Sign::There),
        ];
        for (stage, fault, expected) in cases {
            assert_eq!(Sign::of(stage, &fault), expected, "{stage:?} {fault:?}");
        }
    }
}
