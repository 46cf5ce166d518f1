//! The addresses and the Unix socket that the daemon listens on.

use crate::CliError;
use crate::config::{Address, Located};
use crate::config_file::ConfigFile;
use crate::private_file::{file_error, refuse_shared};
use keyward_server::Listeners;
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::{TcpListener, TcpSocket, UnixListener};

/// The sockets of the daemon, which are open.
pub(super) struct Bound {
    pub(super) service: TcpListener,
    pub(super) plain: Option<TcpListener>,
    pub(super) unix: Option<(UnixListener, SocketFile)>,
    pub(super) pages: Option<TcpListener>,
    pub(super) admin: TcpListener,
}

impl Bound {
    /// Opens the sockets of the configuration. `listen` and `admin` override its addresses.
    pub(super) fn new(
        loaded: &ConfigFile,
        listen: Option<SocketAddr>,
        admin: Option<SocketAddr>,
    ) -> Result<Self, CliError> {
        let server = &loaded.config.server;
        let bind = |option, setting, given, configured| Listen { option, setting, given, configured }.bind(loaded);
        let service = bind("--listen", "listen", listen, server.listen)?;
        let admin = bind("--admin", "admin", admin, server.admin)?;
        let plain = server.listen_plain.map(|plain| bind("", "listen_plain", None, plain)).transpose()?;
        let pages = loaded.config.pages.as_ref().and_then(|pages| pages.listen);
        let pages = pages.map(|pages| bind("", "listen", None, pages)).transpose()?;
        let unix = server.listen_unix.as_ref().map(|Located { line, value }| {
            let bound = SocketFile::bind(&loaded.path(value));
            bound.map_err(|text| loaded.usage_error(*line, &format!("`listen_unix`: {text}")))
        });
        Ok(Self { service, plain, unix: unix.transpose()?, pages, admin })
    }

    /// Returns the port of the listener that serves the pages.
    pub(super) fn pages_port(&self) -> io::Result<u16> {
        Ok(self.pages.as_ref().unwrap_or(&self.service).local_addr()?.port())
    }

    /// Returns the listeners for the server, and the file to keep until it has stopped.
    pub(super) fn into_listeners(self) -> (Listeners, Option<SocketFile>) {
        let Self { service, plain, unix, pages, admin } = self;
        let (unix, file) = unix.unzip();
        let mut listeners = Listeners::new(service);
        (listeners.plain, listeners.unix, listeners.pages) = (plain, unix, pages);
        listeners.admin = Some(admin);
        (listeners, file)
    }
}

/// An address to listen on, and its source.
struct Listen {
    option: &'static str,
    setting: &'static str,
    given: Option<SocketAddr>,
    configured: Address,
}

impl Listen {
    fn bind(&self, loaded: &ConfigFile) -> Result<TcpListener, CliError> {
        let Self { option, setting, given, configured } = self;
        let address = given.unwrap_or(configured.value);
        let error = match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => error,
        };
        let (wrong, first) = match error.kind() {
            io::ErrorKind::AddrInUse => ("is in use".to_owned(), "stop the program that uses it, or "),
            io::ErrorKind::AddrNotAvailable => ("is not an address of this machine".to_owned(), ""),
            _ => (format!("cannot be listened on ({})", file_error(&error)), ""),
        };
        let wrong = format!("the address {address} {wrong}: {first}");
        Err(match (given, configured.line) {
            (Some(_), _) => CliError::Usage(format!("{wrong}change `{option}`")),
            (None, Some(line)) => loaded.usage_error(line, &format!("{wrong}change `{setting}`")),
            (None, None) => loaded.usage_error(None, &format!("{wrong}set another `{setting}` in `[server]`")),
        })
    }
}

/// Maximum number of connections that the system queues until they are accepted; it may allow
/// fewer. A client that finds the queue full retries after a second.
const BACKLOG: u32 = 4_096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of a previous daemon may still be in the TIME_WAIT state.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The file of a Unix socket, which is removed when this is dropped.
pub(super) struct SocketFile(PathBuf);

impl SocketFile {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Listens on a Unix socket that the owner and the group of this process can connect to. A file
    /// that a daemon left behind is replaced.
    fn bind(path: &Path) -> Result<(UnixListener, Self), String> {
        let shown = path.display();
        // A process that can replace the file would receive the tokens.
        refuse_shared(path)?;
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(format!("{shown} is not a socket: remove it, or change the path"));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(format!("{shown} is in use: stop the program that uses it, or change the path"));
            }
            _ => {}
        }
        // The file gets its name when its mode is final.
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let _ = fs::remove_file(&new);
        let bound = UnixListener::bind(&new).and_then(|listener| {
            fs::set_permissions(&new, Permissions::from_mode(0o660))?;
            fs::rename(&new, path).map(|()| listener)
        });
        match bound {
            Ok(listener) => Ok((listener, Self(path.to_owned()))),
            Err(error) => Err(format!("{shown} cannot be listened on ({}): change the path", file_error(&error))),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that stays behind is replaced by the next daemon.
        let _ = fs::remove_file(&self.0);
    }
}
