use std::fs;

use super::*;

fn certificate(path: &Path, names: &[&str]) {
    let key = rcgen::KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    fs::write(path, rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap().pem()).unwrap();
}

/// The config that comes of it, which this program must be able to read, and what is left.
fn imported(folder: &Path, read: fn(&Path) -> Reading) -> (String, Vec<String>) {
    let mut reading = read(folder);
    let text = config(&Registry::load(None).unwrap(), Path::new("/there"), &mut reading);
    let file = crate::config::file::ConfigFile::parse(&text, "c.toml").unwrap();
    file.check_providers(&Registry::load(None).unwrap()).unwrap();
    (text, reading.left)
}

#[test]
fn lego_tells_names_and_ca() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("certificates");
    fs::create_dir(&place).unwrap();
    certificate(&place.join("example.com.crt"), &["example.com", "*.example.com"]);
    let about = r#"{"domain":"example.com","certUrl":"https://acme-v02.api.letsencrypt.org/acme/cert/04a1"}"#;
    fs::write(place.join("example.com.json"), about).unwrap();
    let (text, left) = imported(folder.path(), lego::read);
    assert!(text.contains("names = [\"example.com\", \"*.example.com\"]\nca = \"letsencrypt\"\n"), "{text}");
    assert!(left.iter().any(|left| left.contains("--provider")), "{left:?}");
}

#[test]
fn certbot_tells_the_provider_and_its_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file).display().to_string();
    fs::create_dir(folder.path().join("renewal")).unwrap();
    certificate(Path::new(&at("a.pem")), &["a.example"]);
    fs::write(at("dns.ini"), "dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_port = 5353\ndns_rfc2136_name = k\ndns_rfc2136_secret = c2VjcmV0\ndns_rfc2136_algorithm = HMAC-SHA512\n")
        .unwrap();
    let text = format!(
        "version = 2.1.0\ncert = {}\n[renewalparams]\nauthenticator = dns-rfc2136\nserver = https://acme-v02.api.letsencrypt.org/directory\nkey_type = ecdsa\nelliptic_curve = secp384r1\ndns_rfc2136_credentials = {}\n",
        at("a.pem"),
        at("dns.ini")
    );
    fs::write(at("renewal/a.example.conf"), text).unwrap();
    let (text, left) = imported(folder.path(), certbot::read);
    for line in [
        "use = \"rfc2136\"",
        "nameserver = \"192.0.2.1:5353\"",
        "tsig_key = \"k\"",
        "tsig_algorithm = \"hmac-sha512\"",
        "ca = \"letsencrypt\"",
        "key_type = \"p384\"",
        "zone = \"a.example\"",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn acme_sh_tells_names_and_credentials_of_its_account_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("b.example_ecc");
    fs::create_dir(&place).unwrap();
    fs::write(folder.path().join("account.conf"), "SAVED_CF_Token='planted'\nSAVED_Ali_Key='other'\nUSER_PATH='/usr/bin'\n")
        .unwrap();
    fs::write(
        place.join("b.example.conf"),
        "Le_Domain='b.example'\nLe_Alt='www.b.example,*.b.example'\nLe_Webroot='dns_cf'\nLe_API='https://acme.zerossl.com/v2/DV90'\nLe_Keylength='ec-256'\nLe_ReloadCmd='x'\n",
    )
    .unwrap();
    let (text, left) = imported(folder.path(), acme_sh::read);
    for line in [
        "use = \"cloudflare\"",
        "api_token = \"planted\"",
        "names = [\"b.example\", \"www.b.example\", \"*.b.example\"]",
        "ca = \"zerossl\"",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("other"), "credentials of other providers stay");
    assert!(left.len() == 1 && left[0].contains("reload command"), "{left:?}");
}

#[test]
fn another_file_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    write(&path, "x").unwrap();
    assert!(write(&path, "y").unwrap_err().to_string().contains("cannot be made"));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
}
