//! Lists the migrations of each database, in the order of their numbers.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let mut lists = String::new();
    for (name, folder) in [("SQLITE", "sqlite"), ("POSTGRES", "postgres")] {
        let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("migrations").join(folder);
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut migrations = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let (number, _) = stem.split_once('_').ok_or("a migration is named `NUMBER_NAME.sql`")?;
            migrations.push((number.parse::<i64>()?, path));
        }
        migrations.sort();
        writeln!(lists, "pub(crate) const {name}: &[(i64, &str)] = &[")?;
        for (number, path) in migrations {
            writeln!(lists, "    ({number}, include_str!({:?})),", path.display().to_string())?;
        }
        lists += "];\n";
    }
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), lists)?;
    Ok(())
}
