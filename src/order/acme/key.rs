//! Private keys of certificates. Elliptic ones are made here. RSA ones are made by this machine's `openssl`: ring makes none, and the `rsa` crate
//! has an open advisory (RUSTSEC-2023-0071).

use std::time::Duration;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::{request, wanted::KeyType};
use crate::{
    error::{Error, Result},
    language::t,
    process::{self, Ended, Limits, Streams},
    secret::Secret,
};

/// The program that makes RSA keys.
const OPENSSL: &str = "openssl";

/// How long it may take: 4096 bits need some seconds on a small machine.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), grace: Duration::ZERO };

/// The longest that is read of it, in bytes; 4096 bits need some 3300.
const LONGEST: usize = 16 * 1024;

/// Makes sure that a key of this kind can be made, before anything is ordered.
///
/// # Errors
/// `ErrorKind::Config` where there is no `openssl` for an RSA key.
pub(super) async fn check(kind: KeyType) -> Result<()> {
    if kind.rsa_bits().is_some() {
        openssl(&["version"]).await?;
    }
    Ok(())
}

/// Makes a private key, PEM with PKCS#8.
///
/// # Errors
/// `ErrorKind::Unexpected` where the generator fails; for RSA as [`check`].
pub(super) async fn make(kind: KeyType) -> Result<Secret> {
    let algorithm = match kind {
        KeyType::P256 => &PKCS_ECDSA_P256_SHA256,
        KeyType::P384 => &PKCS_ECDSA_P384_SHA384,
        KeyType::Rsa2048 | KeyType::Rsa3072 | KeyType::Rsa4096 => {
            let bits = format!("rsa_keygen_bits:{}", kind.rsa_bits().unwrap_or_default());
            let pem = openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", &bits]).await?;
            return Ok(Secret::new(String::from_utf8_lossy(&pem).into_owned()));
        }
    };
    KeyPair::generate_for(algorithm).map(|key| Secret::new(key.serialize_pem())).map_err(|error| request::failed(&error))
}

/// What `openssl` writes to standard output.
async fn openssl(arguments: &[&str]) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |why: String| {
        Error::config(t!("no RSA key can be made: `%{program}` %{why}", program = OPENSSL, why)).with_hint(t!(
            "install the program `openssl`, choose `--key-type p256`, or give a certificate request of your own with `--csr`"
        ))
    };
    let mut command = Command::new(OPENSSL);
    // It needs no credentials of ours.
    command.args(arguments).env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
    // All of it at once: a vector that grows leaves copies of a key behind.
    let mut output = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut sink = |piece: &[u8]| {
        let fits = output.len() + piece.len() <= LONGEST;
        if fits {
            output.extend_from_slice(piece);
        }
        fits
    };
    match process::run(command, Streams::Output, LIMITS, &mut sink).await {
        Ok(Ended::Exited(status)) if status.success() => Ok(output),
        Ok(Ended::Exited(status)) => Err(failed(t!("failed (%{status})", status))),
        Ok(Ended::TimedOut) => Err(failed(t!("did not end within %{value} s and was killed", value = LIMITS.timeout.as_secs()))),
        Err(process::Failure::Start(error) | process::Failure::Wait(error)) => {
            Err(failed(t!("cannot be started: %{error}", error)))
        }
        Err(process::Failure::TooMuch) => Err(failed(t!("wrote more than %{LONGEST} bytes and was killed", LONGEST))),
    }
}
