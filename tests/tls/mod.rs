//! TLS for servers of tests: a CA of their own, certificates by it, and who ends connections with them.

use std::{path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

/// Makes a CA (`ca.pem`), and a certificate by it for these names (`server.pem`, `server.key`), with what `change` does to it.
pub(crate) fn certify(folder: &Path, names: &[&str], change: impl FnOnce(&mut CertificateParams)) {
    let key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "tests of dv-verify");
    let ca_certificate = ca.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(ca, key);
    let key = KeyPair::generate().expect("a key");
    let mut server = CertificateParams::new(names.iter().copied().map(str::to_owned).collect::<Vec<_>>()).expect("names");
    change(&mut server);
    let server = server.signed_by(&key, &issuer).expect("a certificate");
    for (file, content) in [("ca.pem", ca_certificate.pem()), ("server.pem", server.pem()), ("server.key", key.serialize_pem())] {
        std::fs::write(folder.join(file), content).expect("written");
    }
}

/// Ends TLS with the certificate that [`certify`] made in this folder.
pub(crate) fn acceptor(folder: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    Arc::new(config).into()
}
