//! The bridge to lexicon with the real `dns-lexicon`, against PowerDNS.

use std::{path::Path, sync::Arc};

use dv_verify::{
    error::ErrorKind,
    provider::{DnsProvider, Found},
    record::RecordType,
};

use super::{
    rfc2136::record,
    servers::{
        OPEN_ZONE, dig, left_out,
        powerdns::{API_KEY, PowerDns, powerdns},
    },
};

/// Lexicon asks DNS for the zone of a name, through the resolver of the machine; here it is told to ask the server of the tests.
const RESOLVER: &str = "
import os
import dns.resolver
resolver = dns.resolver.Resolver(configure=False)
resolver.nameservers = [os.environ['TEST_DNS_ADDRESS']]
resolver.port = int(os.environ['TEST_DNS_PORT'])
dns.resolver.default_resolver = resolver
";

/// The provider, where the virtual environment of `DV_TEST_PYTHON` has lexicon.
fn opened(server: &PowerDns, folder: &Path, key: &str) -> Option<Arc<dyn DnsProvider>> {
    let interpreter = std::env::var_os("DV_TEST_PYTHON").unwrap_or_default();
    let program = Path::new(&interpreter).with_file_name("lexicon");
    if !program.is_file() {
        left_out("dns-lexicon is not beside DV_TEST_PYTHON");
        return None;
    }
    let url = format!("http://{}", server.api);
    std::fs::write(folder.join("sitecustomize.py"), RESOLVER).unwrap();
    let (address, port) = (server.address.ip().to_string(), server.address.port().to_string());
    let variables = [
        ("PATH", "/usr/bin:/bin"),
        ("HOME", folder.to_str().unwrap()),
        ("PYTHONPATH", folder.to_str().unwrap()),
        ("TEST_DNS_ADDRESS", address.as_str()),
        ("TEST_DNS_PORT", port.as_str()),
        ("DV_LEXICON_PATH", program.to_str().unwrap()),
        ("LEXICON_POWERDNS_PDNS_SERVER", url.as_str()),
        ("LEXICON_POWERDNS_AUTH_TOKEN", key),
    ];
    Some(super::opened("lexicon:powerdns", variables))
}

#[tokio::test]
async fn the_foreign_value_stays() {
    let Some(server) = powerdns() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(provider) = opened(server, folder.path(), API_KEY) else { return };
    let name = "_dv.lexicon.example.test";
    server.add(OPEN_ZONE, "_dv.lexicon", "TXT", "\"theirs\"");
    let ours = record(name, RecordType::Txt, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    assert_eq!(provider.find(&zone, &ours).await.unwrap(), Found::Absent);
    for _ in 0..2 {
        provider.publish(&zone, &ours).await.unwrap();
        assert_eq!(dig(server.address, name, "TXT"), ["\"ours\"", "\"theirs\""]);
    }
    assert!(matches!(provider.find(&zone, &ours).await.unwrap(), Found::Present(_)));
    provider.withdraw(&zone, &ours, None).await.unwrap();
    assert_eq!(dig(server.address, name, "TXT"), ["\"theirs\""]);
}

#[tokio::test]
async fn a_wrong_key_is_quoted_and_not_shown() {
    let Some(server) = powerdns() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(provider) = opened(server, folder.path(), "wrong-key-of-lexicon") else { return };
    let ours = record("_dv.lexicon.example.test", RecordType::Txt, "ours");
    let zone = provider.locate(&ours.name).await.unwrap();
    let error = provider.publish(&zone, &ours).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Provider);
    assert!(error.to_string().contains("401"), "{error}");
    assert!(!error.to_string().contains("wrong-key-of-lexicon"), "{error}");
}
