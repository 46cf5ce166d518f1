//! First start of `keyward serve` without a configuration, which creates a folder with its files.

use crate::CliError;
use crate::client;
use crate::keygen;
use crate::private_file::file_error;
use keyward_server::SecretDigest;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The folder, within the current one.
const FOLDER: &str = "keyward-data";

/// The file of the admin's secret, within the folder, unless the secret is printed on a terminal.
const SECRET: &str = "admin.secret";

/// The initial configuration. `ADMIN_SHA256` is replaced with the digest of the admin's secret.
const TEMPLATE: &str = include_str!("../default.toml");

/// Returns the path of the configuration in the folder, and on the first start a shell expression
/// for the admin's secret.
///
/// Prints the secret only on a terminal, because standard output is otherwise likely to be a log.
/// The configuration is written last and atomically: as long as it does not exist, this is the
/// first start. If a start is interrupted, the next one generates another secret.
pub(super) fn configuration(
    stdout: &mut dyn Write,
    stdout_is_terminal: bool,
) -> Result<(PathBuf, Option<String>), CliError> {
    create(Path::new(FOLDER), stdout, stdout_is_terminal)
}

fn create(
    folder: &Path,
    stdout: &mut dyn Write,
    stdout_is_terminal: bool,
) -> Result<(PathBuf, Option<String>), CliError> {
    let shown = folder.display();
    let config = folder.join("keyward.toml");
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: io::Error| {
            CliError::Usage(format!(
                "{path} cannot be created ({}): use another folder, or specify a configuration with `--config`",
                file_error(&error)
            ))
        }
    };
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(folder)(error)),
        _ => {}
    }
    // Two concurrent first starts must not each write a part of the folder.
    let opened = File::open(folder).map_err(failed(folder))?;
    opened.lock().map_err(failed(folder))?;
    // Anyone who can write there could replace the configuration and the key.
    if opened.metadata().map_err(failed(folder))?.mode() & 0o022 != 0 {
        let text = format!(
            "{shown} can be written by others: run `chmod 700 {shown}`, or specify a configuration with `--config`"
        );
        return Err(CliError::Usage(text));
    }
    if config.try_exists().map_err(failed(&config))? {
        return Ok((config, None));
    }
    let key = folder.join("secret.key");
    if !key.try_exists().map_err(failed(&key))? {
        write(&key, keygen::line()?.as_bytes()).map_err(failed(&key))?;
    }
    let secret = client::secret()?;
    let created = format!("keyward: created {shown} with a key, a configuration and the client `admin`");
    let expression = if stdout_is_terminal {
        writeln!(stdout, "{created}. Its secret, shown only once:\n{}", secret.as_str()).map_err(CliError::stdout)?;
        "$ADMIN".to_owned()
    } else {
        let file = folder.join(SECRET);
        let line = Zeroizing::new(format!("{}\n", secret.as_str()));
        write(&file, line.as_bytes()).map_err(failed(&file))?;
        let file = file.display();
        writeln!(stdout, "{created}, whose secret is in {file}: store it elsewhere and delete the file")
            .map_err(CliError::stdout)?;
        format!("$(cat {file})")
    };
    stdout.flush().map_err(CliError::stdout)?;
    let text = TEMPLATE.replace("ADMIN_SHA256", &SecretDigest::of(&secret).to_hex());
    write(&config, text.as_bytes()).map_err(failed(&config))?;
    opened.sync_all().map_err(failed(folder))?;
    Ok((config, Some(expression)))
}

/// Writes a file that only its owner can read, atomically.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let _ = fs::remove_file(&new);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use keyward_pages::SignIn;
    use keyward_runtime::keys::Scheme;
    use keyward_server::Right;

    #[test]
    fn the_secret_is_printed_once_on_a_terminal_and_never_elsewhere() {
        for (is_terminal, count) in [(true, 1), (false, 0)] {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().join("data");
            let mut stdout = Vec::new();
            let (config, expression) = create(&data, &mut stdout, is_terminal).unwrap();
            let stdout = String::from_utf8(stdout).unwrap();
            assert_eq!(stdout.matches("kwc_").count(), count, "{stdout}");
            let file = data.join(SECRET);
            assert_eq!(file.exists(), !is_terminal);
            let secret = match is_terminal {
                true => stdout.lines().nth(1).unwrap().to_owned(),
                false => fs::read_to_string(&file).unwrap().trim_end().to_owned(),
            };
            let expected = if is_terminal { "$ADMIN".to_owned() } else { format!("$(cat {})", file.display()) };
            assert_eq!(expression.unwrap(), expected);
            assert!(fs::read_to_string(config).unwrap().contains(&SecretDigest::of(&secret).to_hex()));
            assert!(create(&data, &mut Vec::new(), is_terminal).unwrap().1.is_none(), "the second start");
        }
    }

    #[test]
    fn the_template_is_a_valid_configuration() {
        let text = TEMPLATE.replace("ADMIN_SHA256", &SecretDigest::of("secret").to_hex());
        let config = Config::parse(&text).unwrap();
        assert_eq!(config.actions.len(), 21);
        assert!(config.actions_open);
        let [signed] = config.handlers.as_slice() else { panic!() };
        assert_eq!(signed.prefixes, ["dstok_"]);
        assert_eq!(signed.keys["token"].scheme, Scheme::HmacSha256);
        assert_eq!(config.served_pages(None).unwrap().sign_in, SignIn::Link);
        let server = &config.server.config;
        let admin = &server.clients["admin"];
        assert_eq!(admin.secret.to_hex(), SecretDigest::of("secret").to_hex());
        for right in [Right::Introspect, Right::Verify, Right::Create, Right::Revoke] {
            assert!(admin.may(right), "{right:?}");
        }
        assert!(server.policies["members"].permission.is_none());
        // It is also valid with all optional settings.
        let is_setting = |line: &&str| !line.starts_with([' ', '#']);
        let uncomment = |line: &str| line.strip_prefix('#').filter(is_setting).unwrap_or(line).to_owned() + "\n";
        let uncommented: String = text.lines().map(uncomment).collect();
        assert_ne!(uncommented, text);
        Config::parse(&uncommented).unwrap();
    }
}
