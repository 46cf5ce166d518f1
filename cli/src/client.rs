//! `keyward client`: generates a client's secret, and the lines for the configuration.

use crate::args::Client;
use crate::config::{NAME, is_name};
use crate::{CliError, ExitStatus, Io, keygen};
use keyward_pages::CLIENT;
use keyward_server::SecretDigest;
use zeroize::Zeroizing;

pub(crate) fn run(args: &Client, io: &mut Io<'_>) -> Result<ExitStatus, CliError> {
    let Client { name } = args;
    if !is_name(name) || name == CLIENT {
        return Err(CliError::Usage(format!("the name of a client must be {NAME}, and not `{CLIENT}`")));
    }
    let secret = secret()?;
    let digest = SecretDigest::of(&secret).to_hex();
    writeln!(
        io.stdout,
        "The secret of `{name}`, shown only once:\n{}\n\nThe lines for the configuration:\n[clients.{name}]\nsecret_sha256 = \
         \"{digest}\"\nmay = [\"introspect\"]",
        secret.as_str()
    )
    .map_err(CliError::stdout)?;
    Ok(ExitStatus::Success)
}

/// Generates a secret of 256 random bits. Its prefix identifies it as a secret if it is leaked.
pub(crate) fn secret() -> Result<Zeroizing<String>, CliError> {
    let random = keygen::line()?;
    let mut secret = Zeroizing::new(String::with_capacity(64));
    secret.push_str("kwc_");
    secret.push_str(random.trim_end());
    Ok(secret)
}
