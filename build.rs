//! Puts every manifest of `providers/` into the binary: a new provider is a new file, and no list to keep. Builds again where messages changed.

use std::{env, error::Error, fmt::Write as _, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let project = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let folder = project.join("providers");
    println!("cargo::rerun-if-changed={}", folder.display());
    // A macro reads it, which cargo cannot see.
    println!("cargo::rerun-if-changed={}", project.join("locales").display());
    let mut files: Vec<PathBuf> =
        fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    // By id: as paths, `joker-svc.toml` comes before `joker.toml`.
    files.sort_by(|one, other| one.file_stem().cmp(&other.file_stem()));
    let mut list = String::from("&[\n");
    for path in files {
        let id = path.file_stem().and_then(|stem| stem.to_str()).ok_or("a manifest's name is not text")?;
        let file = path.to_str().ok_or("the path of the project is not text")?;
        writeln!(list, "({id:?}, include_str!({file:?})),")?;
    }
    list.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("manifests.rs"), list)?;
    Ok(())
}
