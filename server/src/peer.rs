//! The other end of a connection.

use std::fmt;
use std::net::IpAddr;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// An address in the network. A socket that listens on `[::]` reports IPv4 addresses within one
    /// IPv6 network, so they are converted to IPv4.
    Address(IpAddr),
    /// A process with access to the Unix socket.
    Unix,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}
