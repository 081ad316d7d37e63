//! `upload`: a certificate from elsewhere, with its key, into the account's store.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{exit::Exit, session::Session};
use crate::{
    delivery::{self, Verified},
    error::{Error, ErrorKind, Result},
    http::Http,
    language::t,
    name::Name,
    order::{Bundle, aliyun::Cas},
    secret::Secret,
    text_file,
};

/// Which pair.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// A name of a certificate that was delivered here.
    #[arg(id = "uploaded", value_name = "NAME", required_unless_present = "pair-cert")]
    name: Option<Name>,
    /// The certificate (PEM), with those above it.
    #[arg(id = "pair-cert", long = "cert", value_name = "FILE", requires = "pair-key", conflicts_with = "uploaded")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM).
    #[arg(id = "pair-key", long = "key", value_name = "FILE", requires = "pair-cert")]
    key: Option<PathBuf>,
    /// Its name in the account [default: the first name and the serial number].
    #[arg(id = "uploaded-as", long = "as", value_name = "NAME")]
    called: Option<String>,
}

/// Uploads a pair, unless it is there already, and tells its CertId.
pub(super) async fn run(session: &Session, arguments: &Arguments) -> Result<Exit> {
    let bundle = match (&arguments.certificate, &arguments.key, &arguments.name) {
        (Some(certificate), Some(key), _) => of_files(certificate, key)?,
        (_, _, Some(name)) => of_folder(session, name)?,
        _ => return Err(Error::usage(t!("no certificate is named"))),
    };
    let pair = verified(&bundle)?;
    let cas = session.cas(&Http::new()?)?;
    let (id, is_new) = upload(&cas, &pair, arguments.called.as_deref()).await?;
    let printer = session.printer();
    if printer.is_json() {
        printer.json(&serde_json::json!({"certificate": id, "names": pair.names, "new": is_new}));
        return Ok(Exit::DONE);
    }
    printer.result(&id.to_string());
    if !is_new {
        printer.note(t!("the account has this certificate already; nothing was uploaded"));
    }
    Ok(Exit::DONE)
}

/// Puts a verified pair into the account; returns its id, and whether it is new there.
pub(super) async fn upload(cas: &Cas, pair: &Verified, called: Option<&str>) -> Result<(u64, bool)> {
    let (Some(key), Some(name)) = (&pair.private_key, pair.names.first()) else {
        return Err(Error::usage(t!("this certificate has no private key here, and the account wants both"))
            .with_hint(t!("its key was made elsewhere: upload the pair with `--cert FILE --key FILE`")));
    };
    let usual = usual_name(name, &pair.serial);
    cas.upload(called.unwrap_or(&usual), name, &pair.chain, key).await
}

/// The pair that was delivered here for a name.
pub(super) fn of_folder(session: &Session, name: &Name) -> Result<Bundle> {
    let out = session.chosen().out()?;
    let current = delivery::current(&out);
    let there = current.iter().find(|there| there.names.contains(name)).ok_or_else(|| {
        Error::usage(t!("no certificate for `%{name}` was delivered below `%{out}`", name, out = out.display()))
            .with_hint(t!("name an order or, with `--certificate-id`, a certificate of the account; `--out` is the folder of the certificates here"))
    })?;
    let private_key = there.live.join("privkey.pem");
    Ok(Bundle {
        certificate: text_file::read(&there.live.join("fullchain.pem"))?,
        private_key: if private_key.exists() { Some(Secret::new(text_file::read(&private_key)?)) } else { None },
    })
}

fn of_files(certificate: &Path, key: &Path) -> Result<Bundle> {
    Ok(Bundle { certificate: text_file::read(certificate)?, private_key: Some(Secret::new(text_file::read(key)?)) })
}

/// A pair that fits; what does not fit says what to do for somebody who brought it.
pub(super) fn verified(bundle: &Bundle) -> Result<Verified> {
    delivery::verified(bundle).map_err(|error| {
        Error::new(ErrorKind::Usage, t!("nothing was uploaded: %{error}", error))
            .with_hint(t!("give the leaf with the certificates above it, and the key that belongs to the leaf, as PEM"))
    })
}

/// At most 63 characters, and another for each certificate.
fn usual_name(name: &Name, serial: &str) -> String {
    let serial: String = serial.chars().take(16).collect();
    let name: String = name.as_str().chars().take(63 - 1 - serial.len()).collect();
    format!("{name}-{serial}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_name_is_short_enough() {
        let long = Name::parse(&format!("{}.example.com", "a".repeat(60))).unwrap();
        assert_eq!(usual_name(&long, "0123456789abcdef0123").chars().count(), 63);
        assert_eq!(usual_name(&Name::parse("www.example.com").unwrap(), "ab"), "www.example.com-ab");
    }
}
