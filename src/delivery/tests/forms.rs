use std::{os::unix::fs::MetadataExt, process::Command};

use super::*;

const PASSWORD: &str = "a password of the test";

fn wanted(formats: &[Format]) -> Form {
    Form { formats: formats.to_vec(), password: Some(Secret::new(PASSWORD)), ..Form::default() }
}

fn with_form(out: &Path, form: Form) -> Target {
    Target { form, ..target(out, "o-1", &[]) }
}

/// What OpenSSL says; the password reaches it by its environment.
fn openssl(arguments: &[&str]) -> String {
    let output =
        Command::new("openssl").args(arguments).env("PASSWORD", PASSWORD).output().expect("openssl is needed for this test");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same key in the older forms that CAs still send.
fn spellings(pkcs8: &str) -> [(&'static str, String); 2] {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key.pem");
    fs::write(&path, pkcs8).unwrap();
    let traditional = openssl(&["pkey", "-in", path.to_str().unwrap(), "-traditional"]);
    [("PKCS#8", pkcs8.to_owned()), ("traditional", traditional)]
}

/// A self-signed RSA pair, as Alibaba Cloud sends keys: PKCS#1.
fn rsa_bundle() -> Bundle {
    let folder = TempDir::new().unwrap();
    let at = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    let (key, certificate) = (at("key.pem"), at("cert.pem"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        &key,
        "-out",
        &certificate,
        "-subj",
        "/CN=rsa.example.com",
        "-days",
        "90",
    ]);
    let key = openssl(&["rsa", "-in", &key, "-traditional"]);
    assert!(key.contains("BEGIN RSA PRIVATE KEY"));
    Bundle { certificate: fs::read_to_string(certificate).unwrap(), private_key: Some(Secret::new(key)) }
}

fn public_key_of(private: &str) -> String {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, private).unwrap();
    openssl(&["pkey", "-in", path.to_str().unwrap(), "-pubout"])
}

#[test]
fn openssl_reads_what_was_written_in_every_format() {
    let ca = Ca::new();
    let elliptic = ca.bundle(&["www.example.com"]);
    let mut bundles: Vec<(&str, Bundle)> = spellings(elliptic.private_key.as_ref().unwrap().expose())
        .into_iter()
        .map(|(title, key)| (title, Bundle { certificate: elliptic.certificate.clone(), private_key: Some(Secret::new(key)) }))
        .collect();
    bundles.push(("PKCS#1", rsa_bundle()));
    for (title, bundle) in bundles {
        let out = TempDir::new().unwrap();
        let form = wanted(&[Format::Pkcs12, Format::Combined, Format::Der]);
        let delivered = deliver(&bundle, &with_form(out.path(), form)).unwrap();
        let path = |file: &str| delivered.live.join(file).to_str().unwrap().to_owned();
        let expected = public_key_of(bundle.private_key.as_ref().unwrap().expose());
        let opened = openssl(&["pkcs12", "-in", &path("cert.p12"), "-passin", "env:PASSWORD", "-nodes"]);
        assert_eq!(public_key_of(&opened), expected, "{title}");
        let certificates = bundle.certificate.matches("BEGIN CERTIFICATE").count();
        assert_eq!(opened.matches("BEGIN CERTIFICATE").count(), certificates, "{title}");
        assert!(opened.contains(&format!("friendlyName: {}", delivered.names[0])), "{title}: {opened}");
        assert_eq!(openssl(&["pkey", "-inform", "DER", "-in", &path("privkey.der"), "-pubout"]), expected, "{title}");
        assert_eq!(openssl(&["x509", "-inform", "DER", "-in", &path("cert.der"), "-pubkey", "-noout"]), expected, "{title}");
        let combined = fs::read_to_string(path("combined.pem")).unwrap();
        assert_eq!(public_key_of(&combined), expected, "{title}");
        assert_eq!(combined.matches("BEGIN CERTIFICATE").count(), certificates, "{title}");
        for file in ["privkey.pem", "privkey.der", "combined.pem", "cert.p12"] {
            assert_eq!(mode(&delivered.live.join(file)), 0o600, "{title}: {file}");
        }
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_wrong_password_does_not_open_it() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let delivered = deliver(&ca.bundle(&["www.example.com"]), &with_form(out.path(), wanted(&[Format::Pkcs12]))).unwrap();
    let path = delivered.live.join("cert.p12");
    let output = Command::new("openssl").args(["pkcs12", "-noout", "-passin", "pass:other", "-in"]).arg(path).output().unwrap();
    assert!(!output.status.success());
}

#[test]
fn a_format_that_is_wanted_later_is_added_to_the_pair_that_is_there() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = ca.bundle(&["www.example.com"]);
    let first = deliver(&bundle, &with_form(out.path(), Form::default())).unwrap();
    let before = fs::metadata(first.live.join("cert.pem")).unwrap().modified().unwrap();
    let later = with_form(out.path(), wanted(&[Format::Combined]));
    assert!(!is_there(&bundle, &later));
    let second = deliver(&bundle, &later).unwrap();
    assert!(second.changed && second.folder == first.folder, "services must hear of the new file");
    assert!(second.live.join("combined.pem").is_file());
    assert_eq!(fs::metadata(first.live.join("cert.pem")).unwrap().modified().unwrap(), before);
    assert!(is_there(&bundle, &later));
    assert!(!deliver(&bundle, &later).unwrap().changed);
}

#[test]
fn without_a_key_there_is_only_what_needs_none() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = Bundle { private_key: None, ..ca.bundle(&["www.example.com"]) };
    let form = wanted(&[Format::Pkcs12, Format::Combined, Format::Der]);
    let delivered = deliver(&bundle, &with_form(out.path(), form)).unwrap();
    let mut files: Vec<String> =
        fs::read_dir(&delivered.folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    files.sort();
    assert_eq!(files, ["cert.der", "cert.pem", "chain.pem", "fullchain.pem", "order.json"]);
}

#[test]
fn modes_are_as_stated_whatever_the_umask() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = ca.bundle(&["www.example.com"]);
    let plain = deliver(&bundle, &with_form(out.path(), Form::default())).unwrap();
    assert_eq!(mode(&plain.live.join("privkey.pem")), 0o600);
    let access = Access { key_mode: Some(0o640), group: Some(rustix::process::getgid().as_raw()), ..Access::default() };
    let form = Form { access, ..Form::default() };
    let opened = deliver(&bundle, &with_form(out.path(), form.clone())).unwrap();
    assert!(!opened.changed, "the pair is the same: no service need be told");
    assert_eq!((mode(&opened.folder), mode(&opened.live.join("privkey.pem"))), (0o755, 0o640));
    let fresh = deliver(&ca.bundle(&["www.example.com"]), &with_form(out.path(), form)).unwrap();
    assert_eq!((mode(&fresh.folder), mode(&fresh.live.join("privkey.pem"))), (0o755, 0o640));
    assert_eq!(mode(&fresh.live.join("cert.pem")), 0o644);
}

#[test]
fn an_owner_that_may_not_be_set_leaves_the_older_certificate() {
    if rustix::process::geteuid().is_root() {
        // Root may give files to anybody: then the owner is what was stated.
        let (ca, out) = (Ca::new(), TempDir::new().unwrap());
        let form = Form { access: Access { owner: Some(65534), group: Some(65534), key_mode: None }, ..Form::default() };
        let delivered = deliver(&ca.bundle(&["www.example.com"]), &with_form(out.path(), form)).unwrap();
        let data = fs::metadata(delivered.live.join("privkey.pem")).unwrap();
        assert_eq!((data.uid(), data.gid(), data.mode() & 0o777), (65534, 65534, 0o600));
        return;
    }
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let first = deliver(&ca.bundle(&["www.example.com"]), &with_form(out.path(), Form::default())).unwrap();
    let form = Form { access: Access { owner: Some(0), ..Access::default() }, ..Form::default() };
    let error = deliver(&ca.bundle(&["www.example.com"]), &with_form(out.path(), form)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Delivery);
    assert_eq!(fs::read_link(&first.live).unwrap(), Path::new(&first.serial));
}

#[test]
fn only_so_many_older_pairs_stay_and_nothing_that_is_not_ours_goes() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let issue = |year: i32| {
        let form = Form { keep: Some(1), ..Form::default() };
        deliver(&ca.issued_in(year, &["www.example.com"]), &with_form(out.path(), form)).unwrap()
    };
    let oldest = issue(2019);
    fs::write(oldest.folder.join("notes.txt"), "somebody's").unwrap();
    let (second, third) = (issue(2020), issue(2021));
    assert!(second.folder.is_dir() && third.folder.is_dir());
    let newest = issue(2022);
    assert!(!second.folder.exists(), "the second is one too many");
    assert!(third.folder.is_dir() && newest.folder.is_dir() && newest.live.join("cert.pem").is_file());
    assert!(oldest.folder.join("notes.txt").is_file(), "a folder with a foreign file stays");
    // The pair in use is never removed, not even where none may stay.
    let form = Form { keep: Some(0), ..Form::default() };
    deliver(&ca.issued_in(2018, &["www.example.com"]), &with_form(out.path(), form)).unwrap();
    assert!(newest.live.join("cert.pem").is_file() && !third.folder.exists());
}
