//! `keyward caller`: a secret for who may ask the daemon, and the lines that let it.

use crate::args::Caller;
use crate::config::{NAME, is_name};
use crate::{Status, Stop, World, keygen};
use keyward_server::SecretDigest;
use zeroize::Zeroizing;

pub(crate) fn run(args: &Caller, world: &mut World<'_>) -> Result<Status, Stop> {
    let Caller { name } = args;
    if !is_name(name) {
        return Err(Stop::Mistake(format!("the name of a caller is {NAME}: choose such a one")));
    }
    let secret = secret()?;
    let digest = SecretDigest::of(&secret).to_hex();
    writeln!(
        world.stdout,
        "The secret of `{name}`, shown this once:\n{}\n\nThe lines for the configuration:\n[callers.{name}]\nsecret_sha256 = \
         \"{digest}\"\nmay = [\"introspect\"]",
        secret.as_str()
    )
    .map_err(Stop::stdout)?;
    Ok(Status::Good)
}

/// A new secret: 256 random bits behind a prefix that says what it is, for whoever finds it where it should not be.
pub(crate) fn secret() -> Result<Zeroizing<String>, Stop> {
    let random = keygen::line()?;
    let mut secret = Zeroizing::new(String::with_capacity(64));
    secret.push_str("kwc_");
    secret.push_str(random.trim_end());
    Ok(secret)
}
