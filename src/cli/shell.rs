//! Completions and manual pages, from the definition that also parses.

use std::{
    io::{self, Write},
    path::Path,
};

use super::{arguments, exit::Exit};
use crate::{
    error::{Error, ErrorKind, Result},
    language::{Language, t},
};

fn failed(error: io::Error) -> Error {
    Error::new(ErrorKind::Unexpected, t!("it cannot be written")).with_source(error)
}

/// Prints completions for a shell.
pub(super) fn completions(shell: clap_complete::Shell) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut arguments::definition(Language::English), "dv-verify", &mut text);
    print(&text)
}

/// Prints the manual page, or writes the pages of all commands into a folder.
pub(super) fn man(folder: Option<&Path>) -> Result<Exit> {
    let definition = arguments::definition(Language::English);
    if let Some(folder) = folder {
        std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(definition, folder)).map_err(|error| {
            Error::usage(t!("manual pages cannot be written to `%{folder}`: %{error}", folder = folder.display(), error))
        })?;
        return Ok(Exit::DONE);
    }
    let mut text = Vec::new();
    clap_mangen::Man::new(definition).render(&mut text).map_err(failed)?;
    print(&text)
}

fn print(text: &[u8]) -> Result<Exit> {
    match io::stdout().lock().write_all(text) {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(failed(error)),
        _ => Ok(Exit::DONE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_command_in_a_folder_that_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let pages = folder.path().join("man").join("man1");
        man(Some(&pages)).unwrap();
        for page in ["dv-verify.1", "dv-verify-check.1", "dv-verify-record-add.1"] {
            assert!(std::fs::read_to_string(pages.join(page)).unwrap().contains(".SH SYNOPSIS"), "{page}");
        }
    }
}
