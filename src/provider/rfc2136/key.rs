//! The TSIG key: from three settings, or from a key file of BIND.

use base64::{Engine, alphabet, engine};
use hickory_proto::rr::{TSigner, rdata::tsig::TsigAlgorithm};

use super::familiar;
use crate::{
    error::{Error, ErrorKind, Result},
    language::t,
    name::Name,
    provider::settings::{Setting, Settings},
    secret::{Redactor, Secret},
};

/// How far the clocks of server and client may differ, in seconds: the value that RFC 8945 section 10 recommends.
const FUDGE: u16 = 300;

/// Base64 with or without padding, as people paste it.
const BASE64: engine::GeneralPurpose = engine::GeneralPurpose::new(
    &alphabet::STANDARD,
    engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent),
);

/// The parts of a key, as text.
#[derive(Debug, PartialEq, Eq)]
struct Parts {
    name: String,
    algorithm: Option<String>,
    secret: Secret,
}

/// The signer that the settings describe; `None` where no part of a key is set.
///
/// # Errors
/// `ErrorKind::Credentials` where a part is missing or the secret is not base64; `ErrorKind::Config` for an algorithm that cannot
/// be used, and for a file that cannot be read.
pub(super) fn find(settings: &Settings, redactor: &Redactor) -> Result<Option<TSigner>> {
    let setting = |name: &str| settings.find(name, &familiar(name));
    let (name, secret, algorithm, file) =
        (setting("tsig_key")?, setting("tsig_secret")?, setting("tsig_algorithm")?, setting("tsig_file")?);
    let (parts, origin) = match (name, secret, file) {
        (None, None, None) => {
            return match algorithm {
                None => Ok(None),
                Some(algorithm) => Err(incomplete(&t!("%{origin} is set, but there is no key", origin = algorithm.origin))),
            };
        }
        (None, None, Some(file)) => read(&file)?,
        (Some(_), _, Some(file)) | (_, Some(_), Some(file)) => {
            return Err(Error::config(t!("%{origin} names a key file, and a key is set besides", origin = file.origin))
                .with_hint(t!("set `tsig_file`, or `tsig_key` with `tsig_secret`, but not both")));
        }
        (Some(name), Some(secret), None) => {
            let origin = secret.origin.clone();
            (Parts { name: name.value.expose().trim().to_owned(), algorithm: None, secret: secret.value }, origin)
        }
        (Some(name), None, None) => {
            return Err(incomplete(&t!("%{origin} names a key, but its secret is not set", origin = name.origin)));
        }
        (None, Some(secret), None) => {
            return Err(incomplete(&t!("%{origin} is set, but the name of the key is not", origin = secret.origin)));
        }
    };
    redactor.learn(&parts.secret);
    let algorithm = algorithm.map(|setting| setting.value.expose().to_owned()).or(parts.algorithm);
    let algorithm = parse_algorithm(algorithm.as_deref().unwrap_or("hmac-sha256"))?;
    let name =
        Name::parse(&parts.name).map_err(|error| error.with_kind(ErrorKind::Config).context(t!("the name of the TSIG key")))?;
    let bytes =
        BASE64.decode(parts.secret.expose().split_whitespace().collect::<String>()).ok().filter(|bytes| !bytes.is_empty());
    let bytes = bytes.ok_or_else(|| {
        Error::new(ErrorKind::Credentials, t!("the secret of TSIG key `%{name}` (%{origin}) is not base64", name, origin))
            .with_hint(t!("copy the text between the quotes of `secret \"…\"` in the server's key statement"))
    })?;
    let signer = TSigner::new(bytes, algorithm, name.to_wire(), FUDGE);
    signer.map(Some).map_err(|error| Error::config(t!("the TSIG key `%{name}` cannot be used: %{error}", name, error)))
}

fn incomplete(what: &str) -> Error {
    Error::new(ErrorKind::Credentials, what).with_hint(t!(
        "set `DV_RFC2136_TSIG_KEY` and `DV_RFC2136_TSIG_SECRET`, or `DV_RFC2136_TSIG_FILE`; set none of them for unsigned updates"
    ))
}

/// The algorithms by their names (RFC 8945 section 6), also without `hmac-` and with the final dot that lego's users write.
fn parse_algorithm(text: &str) -> Result<TsigAlgorithm> {
    let lower = text.trim().trim_end_matches('.').to_ascii_lowercase();
    let bare = lower.strip_prefix("hmac-").unwrap_or(&lower).replace("sha-", "sha");
    match bare.as_str() {
        "sha256" => Ok(TsigAlgorithm::HmacSha256),
        "sha384" => Ok(TsigAlgorithm::HmacSha384),
        "sha512" => Ok(TsigAlgorithm::HmacSha512),
        "sha1" | "sha224" | "md5" | "md5.sig-alg.reg.int" => {
            Err(Error::config(t!("TSIG with `%{text}` is not supported: it is outdated", text))
                .with_hint(t!("make a new key on the server, with `tsig-keygen -a hmac-sha256 NAME`")))
        }
        "gss-tsig" | "gss" => Err(Error::config(t!("TSIG with Kerberos (gss-tsig) is not supported"))
            .with_hint(t!("allow a key with hmac-sha256 on the server, or use `--provider exec` with `nsupdate -g`"))),
        _ => Err(Error::config(t!("there is no TSIG algorithm `%{text}`", text))
            .with_hint(t!("use hmac-sha256, hmac-sha384 or hmac-sha512"))),
    }
}

/// Reads a key file: one `key "name" { algorithm …; secret "…"; };` statement of BIND, comments and all.
fn read(file: &Setting) -> Result<(Parts, String)> {
    let path = file.value.expose();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Error::config(t!("the key file `%{path}` (%{origin}) cannot be read: %{error}", path, origin = file.origin, error))
    })?;
    let parts = parse_statement(&text).ok_or_else(|| {
        Error::config(t!("the key file `%{path}` holds no `key` statement with a name and a secret", path))
            .with_hint(t!("it must look as `tsig-keygen` prints it: key \"name\" { algorithm hmac-sha256; secret \"…\"; };"))
    })?;
    Ok((parts, t!("file `%{path}`", path)))
}

fn parse_statement(text: &str) -> Option<Parts> {
    let words = words(text);
    let mut rest = words.iter().map(String::as_str).skip_while(|word| *word != "key");
    let (_, name) = (rest.next()?, rest.next()?);
    if rest.next()? != "{" {
        return None;
    }
    let (mut algorithm, mut secret) = (None, None);
    while let Some(word) = rest.next().filter(|word| *word != "}") {
        match word {
            "algorithm" => algorithm = Some(rest.next()?.to_owned()),
            "secret" => secret = Some(Secret::new(rest.next()?)),
            _ => {}
        }
    }
    Some(Parts { name: name.to_owned(), algorithm, secret: secret? })
}

/// The words of a BIND configuration: quoted ones whole, braces and semicolons apart, comments (`//`, `#`, `/* */`) left out.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.trim_start().chars().next() {
        rest = rest.trim_start();
        let (word, length) = if rest.starts_with("//") || first == '#' {
            (None, rest.find('\n').unwrap_or(rest.len()))
        } else if rest.starts_with("/*") {
            (None, rest.find("*/").map_or(rest.len(), |end| end + 2))
        } else if first == '"' {
            let end = rest[1..].find('"').map_or(rest.len(), |end| end + 1);
            (Some(&rest[1..end]), (end + 1).min(rest.len()))
        } else if matches!(first, '{' | '}' | ';') {
            (Some(&rest[..1]), 1)
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || "{};\"#".contains(c)).unwrap_or(rest.len());
            (Some(&rest[..end]), end)
        };
        words.extend(word.map(str::to_owned));
        rest = &rest[length..];
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;

    const SECRET: &str = "UgewPpzSTEs0m5q1PyVWb4ld8qzYtYkgXoSyFVvWZjI=";

    fn of<const N: usize>(variables: [(&str, &str); N]) -> Result<Option<TSigner>> {
        find(&Settings::of_builtin("rfc2136", Environment::of(variables)), &Redactor::default())
    }

    /// The error; a signer has no `Debug`, for good reasons.
    fn refused<const N: usize>(variables: [(&str, &str); N]) -> Error {
        of(variables).err().unwrap()
    }

    #[test]
    fn a_key_comes_from_the_variables_of_lego() {
        let signer =
            of([("RFC2136_TSIG_KEY", "DV-Key."), ("RFC2136_TSIG_SECRET", SECRET), ("RFC2136_TSIG_ALGORITHM", "hmac-sha512.")]);
        let signer = signer.unwrap().unwrap();
        assert_eq!(signer.signer_name().to_ascii(), "dv-key.");
        assert_eq!(*signer.algorithm(), TsigAlgorithm::HmacSha512);
        assert_eq!(signer.key().len(), 32);
        assert_eq!(signer.fudge(), 300);
    }

    #[test]
    fn nothing_set_means_unsigned_and_half_a_key_is_an_error() {
        assert!(of([]).unwrap().is_none());
        for variables in
            [[("DV_RFC2136_TSIG_KEY", "k")], [("DV_RFC2136_TSIG_SECRET", SECRET)], [("DV_RFC2136_TSIG_ALGORITHM", "hmac-sha256")]]
        {
            let error = refused(variables);
            assert_eq!(error.kind(), ErrorKind::Credentials, "{variables:?}");
            assert!(error.to_string().contains(variables[0].0), "{error}");
        }
    }

    #[test]
    fn a_secret_that_is_not_base64_is_not_shown() {
        let error = refused([("DV_RFC2136_TSIG_KEY", "k"), ("DV_RFC2136_TSIG_SECRET", "not*base64")]);
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(!format!("{error:?}").contains("not*base64"));
    }

    #[test]
    fn outdated_and_unknown_algorithms_are_explained() {
        for (text, part) in [
            ("hmac-md5", "outdated"),
            ("hmac-md5.sig-alg.reg.int.", "outdated"),
            ("HMAC-SHA1", "outdated"),
            ("sha224", "outdated"),
            ("gss-tsig", "Kerberos"),
            ("rot13", "no TSIG algorithm"),
        ] {
            let error = parse_algorithm(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config);
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
        assert_eq!(parse_algorithm("SHA-384").unwrap(), TsigAlgorithm::HmacSha384);
    }

    #[test]
    fn a_key_file_of_bind_is_read_with_its_comments() {
        let text = format!(
            "# key \"wrong\" {{ }}\n/* and {{ this }} */ key \"dv-key\" {{\n\talgorithm hmac-sha384; // strong\n\tsecret \"{SECRET}\";\n}};\n"
        );
        let want = Parts { name: "dv-key".into(), algorithm: Some("hmac-sha384".into()), secret: Secret::new(SECRET) };
        assert_eq!(parse_statement(&text).unwrap(), want);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let path = file.path().to_str().unwrap();
        let signer = of([("NSUPDATE_KEY", path)]).unwrap().unwrap();
        assert_eq!(*signer.algorithm(), TsigAlgorithm::HmacSha384);
        assert_eq!(refused([("NSUPDATE_KEY", path), ("RFC2136_TSIG_KEY", "k")]).kind(), ErrorKind::Config);
    }

    #[test]
    fn a_broken_key_file_is_an_error_and_no_panic() {
        for text in [
            "",
            "key",
            "key k",
            "key k {",
            "key k { secret",
            "key k { algorithm hmac-sha256; };",
            "key \"k",
            "/* key",
            "key { secret x; };",
        ] {
            assert_eq!(parse_statement(text), None, "{text}");
        }
    }
}
