//! Which certificate files are written, and for whom.

use nix::unistd::{Group, User};

use super::{layers::Layers, place::private_file};
use crate::{
    delivery::{Access, Form, Format},
    error::{Error, Result},
    language::t,
    nearest,
};

/// Reads `--format`, `--pkcs12-password-file`, `--key-mode`, `--file-owner`, `--file-group` and `--keep`.
pub(super) fn form(layers: &Layers) -> Result<Form> {
    let form = Form {
        formats: layers.all("format", format)?,
        password: layers.one("pkcs12-password-file", |path| private_file(path, t!("the password of `cert.p12`")))?,
        access: Access {
            key_mode: layers.one("key-mode", key_mode)?,
            owner: layers.one("file-owner", owner)?,
            group: layers.one("file-group", group)?,
        },
        keep: layers.one("keep", |text| {
            text.parse().map_err(|_| Error::config(t!("`%{text}` is not a number of older certificates", text)))
        })?,
    };
    if form.formats.contains(&Format::Pkcs12) && form.password.is_none() {
        return Err(Error::config(t!("the format `pkcs12` needs a password, and none is given")).with_hint(
            t!("put it into a file that only you can read, and name that with `--pkcs12-password-file`; Tomcat's and Java's tools expect at least 6 characters"),
        ));
    }
    Ok(form)
}

fn format(text: &str) -> Result<Format> {
    let found = Format::ALL.iter().find(|(word, _)| *word == text).map(|(_, format)| *format);
    found.ok_or_else(|| {
        let words = Format::ALL.map(|(word, _)| word);
        let error = Error::config(t!("`%{text}` is not a format: %{words}", text, words = words.join(", ")));
        match nearest::nearest(text, words) {
            Some(word) => error.with_hint(t!("did you mean `%{word}`?", word)),
            None => error,
        }
    })
}

/// An octal mode that its owner can read and write, and nobody else can write.
fn key_mode(text: &str) -> Result<u32> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| mode & !0o644 == 0 && mode & 0o600 == 0o600);
    mode.ok_or_else(|| {
        Error::config(t!("`%{text}` is not a mode for a file with a private key", text))
            .with_hint(t!("0600: only its owner reads it; 0640: its group, too; 0644: everybody"))
    })
}

fn owner(text: &str) -> Result<u32> {
    let by_name = |name: &str| User::from_name(name).map(|found| found.map(|user| user.uid.as_raw()));
    id(text, "user", by_name)
}

fn group(text: &str) -> Result<u32> {
    let by_name = |name: &str| Group::from_name(name).map(|found| found.map(|group| group.gid.as_raw()));
    id(text, "group", by_name)
}

/// A name that this machine knows, or a number.
fn id(text: &str, kind: &str, by_name: impl Fn(&str) -> nix::Result<Option<u32>>) -> Result<u32> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match by_name(text) {
        Ok(Some(number)) => Ok(number),
        Ok(None) => Err(Error::config(t!("this machine knows no %{kind} `%{text}`", kind, text))
            .with_hint(t!("name another %{kind}, or its number", kind))),
        Err(error) => Err(Error::config(t!("the %{kind} `%{text}` cannot be looked up: %{error}", kind, text, error))
            .with_hint(t!("give its number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_that_let_others_write_a_key_are_refused() {
        for (text, mode) in [
            ("600", Some(0o600)),
            ("0640", Some(0o640)),
            ("0644", Some(0o644)),
            ("0660", None),
            ("0777", None),
            ("0400", None),
            ("9", None),
        ] {
            assert_eq!(key_mode(text).ok(), mode, "{text}");
        }
    }

    #[test]
    fn users_and_groups_by_name_and_number() {
        assert_eq!((owner("root").unwrap(), group("root").unwrap(), owner("1234").unwrap()), (0, 0, 1234));
        assert!(owner("no-such-user-here").unwrap_err().to_string().contains("knows no user"));
    }

    #[test]
    fn formats_by_word() {
        assert_eq!(format("pkcs12").unwrap(), Format::Pkcs12);
        assert!(format("pkcs-12").unwrap_err().hint().unwrap().contains("`pkcs12`"));
    }
}
