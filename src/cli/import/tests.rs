use std::fs;

use super::*;
use crate::provider::registry::Registry;

fn certificate(path: &Path, names: &[&str]) {
    certificate_of(path, names, &rcgen::KeyPair::generate().unwrap());
}

fn certificate_of(path: &Path, names: &[&str], key: &rcgen::KeyPair) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    fs::write(path, rcgen::CertificateParams::new(names).unwrap().self_signed(key).unwrap().pem()).unwrap();
}

/// The config that comes of it, which this program must be able to read, and what is left.
fn imported(folder: &Path, read: impl FnOnce(&Path) -> Reading) -> (String, Vec<String>) {
    let mut reading = read(folder);
    let text = config::text(&Registry::load(None).unwrap(), Path::new("/there"), &mut reading);
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
    let rsa = rcgen::KeyPair::from_pem(include_str!("../../../tests/data/pairs/rsa-pkcs8.key")).unwrap();
    certificate_of(&place.join("old.example.com.crt"), &["old.example.com"], &rsa);
    fs::write(place.join("old.example.com.json"), r#"{"certUrl":"https://ca.example:14000/cert/1"}"#).unwrap();
    let (text, left) = imported(folder.path(), |path| lego::read(path, None));
    assert!(text.contains("names = [\"example.com\", \"*.example.com\"]\nca = \"letsencrypt\"\n"), "{text}");
    assert!(text.contains("names = [\"old.example.com\"]\nkey_type = \"rsa2048\"\n"), "{text}");
    assert!(left.iter().any(|left| left.contains("--provider")), "{left:?}");
    assert!(left.iter().any(|left| left.contains("the CA of old.example.com: it is not written down")), "{left:?}");
    let stated = Ca::parse("https://ca.example:14000/dir").unwrap();
    let (text, _) = imported(folder.path(), |path| lego::read(path, Some(&stated)));
    assert!(text.contains("names = [\"old.example.com\"]\nca = \"https://ca.example:14000/dir\"\n"), "{text}");
}

#[test]
fn certbot_tells_the_provider_and_its_credentials() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file).display().to_string();
    fs::create_dir(folder.path().join("renewal")).unwrap();
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    certificate_of(Path::new(&at("a.pem")), &["a.example"], &key);
    fs::write(at("dns.ini"), "dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_port = 5353\ndns_rfc2136_name = k\ndns_rfc2136_secret = c2VjcmV0\ndns_rfc2136_algorithm = HMAC-SHA512\n")
        .unwrap();
    let text = format!(
        "version = 2.1.0\ncert = {}\n[renewalparams]\nauthenticator = dns-rfc2136\nserver = https://acme-v02.api.letsencrypt.org/directory\nkey_type = ecdsa\nelliptic_curve = secp384r1\nrenew_hook = systemctl reload nginx\ninstaller = None\ndns_rfc2136_credentials = {}\n",
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
    assert!(left.len() == 1 && left[0].contains("renew_hook = systemctl reload nginx"), "{left:?}");
}

#[test]
fn web_roots_are_taken_along_and_other_ways_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let at = |file: &str| folder.path().join(file).display().to_string();
    fs::create_dir(folder.path().join("renewal")).unwrap();
    fs::create_dir(at("www")).unwrap();
    for (file, name) in [("a.pem", "a.example"), ("b.pem", "b.example"), ("c.pem", "c.example")] {
        certificate(Path::new(&at(file)), &[name, &format!("www.{name}")]);
    }
    let conf = |file: &str, rest: String| {
        fs::write(at(file), format!("{rest}server = https://acme-v02.api.letsencrypt.org/directory\n"))
    };
    let webroots = format!("[[webroot_map]]\na.example = {0}\nwww.a.example = {0}\n[x]\n", at("www"));
    conf("renewal/a.conf", format!("cert = {}\nauthenticator = webroot\n{webroots}", at("a.pem"))).unwrap();
    conf("renewal/b.conf", format!("cert = {}\nauthenticator = webroot\nwebroot_path = /not/there,\n", at("b.pem"))).unwrap();
    conf("renewal/c.conf", format!("cert = {}\nauthenticator = nginx\ninstaller = nginx\n", at("c.pem"))).unwrap();
    let (text, left) = imported(folder.path(), certbot::read);
    assert!(text.contains(&format!("webroot = [\"a.example={0}\", \"www.a.example={0}\"]", at("www"))), "{text}");
    for said in ["the web root of `b.example`: there is no folder `/not/there`", "proven by `nginx`", "installer = nginx"] {
        assert!(left.iter().any(|left| left.contains(said)), "{said}\n{left:?}");
    }
}

#[test]
fn acme_sh_tells_names_and_credentials_of_its_account_file() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("b.example_ecc");
    fs::create_dir(&place).unwrap();
    fs::write(
        folder.path().join("account.conf"),
        "SAVED_CF_Token='planted'\nSAVED_DO_API_KEY='of digitalocean'\nSAVED_Ali_Key='other'\nUSER_PATH='/usr/bin'\n",
    )
    .unwrap();
    fs::write(
        place.join("b.example.conf"),
        "Le_Domain='b.example'\nLe_Alt='www.b.example,*.b.example'\nLe_Webroot='dns_cf,'\nLe_API='https://acme.zerossl.com/v2/DV90'\nLe_Keylength='ec-256'\nLe_ReloadCmd='__ACME_BASE64__START_c3lzdGVtY3RsIHJlbG9hZCBuZ2lueA==__ACME_BASE64__END_'\n",
    )
    .unwrap();
    // Its settings do not begin with its name; and the names are proven in different ways.
    let place = folder.path().join("d.example");
    fs::create_dir(&place).unwrap();
    fs::write(
        place.join("d.example.conf"),
        format!(
            "Le_Domain='d.example'\nLe_Alt='www.d.example,e.example,f.example'\nLe_Webroot='dns_dgon,{0},no,dns_unheard'\nLe_API='https://acme-v02.api.letsencrypt.org/directory'\nLe_Keylength='4096'\n",
            folder.path().display()
        ),
    )
    .unwrap();
    let (text, left) = imported(folder.path(), acme_sh::read);
    for line in [
        "use = \"cloudflare\"",
        "api_token = \"planted\"",
        "names = [\"b.example\", \"www.b.example\", \"*.b.example\"]",
        "ca = \"zerossl\"",
        "use = \"digitalocean\"\n",
        "= \"of digitalocean\"\n",
        "zone = \"d.example\"",
        "use = \"acme.sh:dns_unheard\"\nhome = ",
        "zone = \"f.example\"\nprovider = \"imported-unheard\"",
        "ca = \"letsencrypt\"\nkey_type = \"rsa4096\"",
        &format!("webroot = [\"www.d.example={}\"]", folder.path().display()),
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("other"), "credentials of other providers stay");
    assert!(!text.contains("zone = \"e.example\""), "{text}");
    let expected = ["Le_ReloadCmd = systemctl reload nginx", "proven by `standalone`", "and uses `acme.sh:dns_unheard`"];
    for said in expected {
        assert!(left.iter().any(|left| left.contains(said)), "{said}\n{left:?}");
    }
    assert_eq!(left.len(), expected.len(), "{left:?}");
}

#[test]
fn another_file_is_never_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    write(&path, "x").unwrap();
    assert!(write(&path, "y").unwrap_err().to_string().contains("cannot be made"));
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions()) & 0o777, 0o600);
}

/// The names of acme.sh that are mapped are names of providers here, which know what acme.sh saves.
#[test]
fn providers_that_have_another_name_here_know_the_settings_of_acme_sh() {
    let registry = Registry::load(None).unwrap();
    for (id, setting) in [
        ("ali", "Ali_Key"),
        ("dgon", "DO_API_KEY"),
        ("gandi_livedns", "GANDI_LIVEDNS_TOKEN"),
        ("gd", "GD_Key"),
        ("linode_v4", "LINODE_V4_API_KEY"),
        ("me", "ME_Key"),
        ("cf", "CF_Token"),
        ("tencent", "Tencent_SecretId"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.example");
        fs::create_dir(&place).unwrap();
        fs::write(folder.path().join("account.conf"), format!("SAVED_{setting}='planted'\n")).unwrap();
        fs::write(place.join("a.example.conf"), format!("Le_Domain='a.example'\nLe_Webroot='dns_{id}'\n")).unwrap();
        let text = config::text(&registry, Path::new("/there"), &mut acme_sh::read(folder.path()));
        assert!(text.contains("= \"planted\"\n") && !text.contains("acme.sh:"), "{id}: {text}");
    }
}
