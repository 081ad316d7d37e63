use super::*;

const RSA_CERTIFICATE: &str = include_str!("../../../tests/data/pairs/rsa.crt");
const RSA_KEY: &str = include_str!("../../../tests/data/pairs/rsa-pkcs1.key");
const RSA_KEY_PKCS8: &str = include_str!("../../../tests/data/pairs/rsa-pkcs8.key");
const P521_CERTIFICATE: &str = include_str!("../../../tests/data/pairs/p521.crt");
const P521_KEY_SEC1: &str = include_str!("../../../tests/data/pairs/p521-sec1.key");
const P521_KEY_PKCS8: &str = include_str!("../../../tests/data/pairs/p521-pkcs8.key");

#[test]
fn rsa_keys_in_pkcs1_and_windows_line_ends_are_read() {
    let out = TempDir::new().unwrap();
    let bundle = Bundle {
        certificate: format!("subject=/CN=rsa.example.com\r\n{}", RSA_CERTIFICATE.replace('\n', "\r\n")),
        private_key: Some(Secret::new(RSA_KEY.replace('\n', "\r\n"))),
    };
    let delivered = deliver(&bundle, &target(out.path(), "o-1", &["rsa.example.com"])).unwrap();
    assert_eq!(fs::read_to_string(delivered.live.join("privkey.pem")).unwrap(), RSA_KEY);
    assert_eq!(fs::read_to_string(delivered.live.join("cert.pem")).unwrap(), RSA_CERTIFICATE);
}

#[test]
fn keys_of_every_form_are_matched_with_their_certificate() {
    let cases = [
        (RSA_CERTIFICATE, RSA_KEY_PKCS8, true),
        // No kind that the TLS library loads: the public point in the key tells.
        (P521_CERTIFICATE, P521_KEY_SEC1, true),
        (P521_CERTIFICATE, P521_KEY_PKCS8, true),
        (RSA_CERTIFICATE, P521_KEY_SEC1, false),
        (P521_CERTIFICATE, RSA_KEY, false),
    ];
    for (certificate, key, fits) in cases {
        let bundle = Bundle { certificate: certificate.to_owned(), private_key: Some(Secret::new(key)) };
        match pair::verify(&bundle, &[], jiff::Timestamp::now()) {
            Ok(pair) => assert!(fits && pair.private_key().unwrap().expose() == key),
            Err(error) => assert!(!fits && error.to_string().contains("belong to the certificate"), "{error}"),
        }
    }
    let (ca, another) = (Ca::new(), KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap());
    let params = CertificateParams::new(vec!["ed.example.com".to_owned()]).unwrap();
    let certificate = params.signed_by(&another, &ca.intermediate).unwrap().pem();
    let bundle = Bundle { certificate, private_key: Some(Secret::new(another.serialize_pem())) };
    pair::verify(&bundle, &[], jiff::Timestamp::now()).unwrap();
    for key in ["", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----", &RSA_KEY.repeat(2)] {
        let bundle = Bundle { certificate: RSA_CERTIFICATE.to_owned(), private_key: Some(Secret::new(key)) };
        let error = pair::verify(&bundle, &[], jiff::Timestamp::now()).err().unwrap();
        assert!(error.to_string().contains("private key cannot be used"), "{error}");
    }
}

#[test]
fn a_chain_with_a_gap_is_refused_and_a_cross_signed_double_left_out() {
    let ca = Ca::new();
    let (leaf, key) = ca.leaf(&["www.example.com"]);
    let key = Some(Secret::new(key));
    let gap = Bundle { certificate: format!("{leaf}{}", ca.root), private_key: key.clone() };
    let error = pair::verify(&gap, &[], jiff::Timestamp::now()).err().unwrap();
    assert!(error.to_string().contains("gap") && error.to_string().contains("CN=root"), "{error}");
    let other_root = CertifiedIssuer::self_signed(authority("other root"), KeyPair::generate().unwrap()).unwrap();
    let crossed = authority("intermediate").signed_by(ca.intermediate.key(), &other_root).unwrap().pem();
    let both = Bundle { certificate: format!("{leaf}{}{crossed}", ca.intermediate.pem()), private_key: key.clone() };
    let pair = pair::verify(&both, &[], jiff::Timestamp::now()).unwrap();
    assert_eq!(pair.chain, ca.intermediate.pem().replace("\r\n", "\n"));
    // Without a key the leaf is found too.
    let turned = Bundle { certificate: format!("{}{}{leaf}", ca.root, ca.intermediate.pem()), private_key: None };
    let pair = pair::verify(&turned, &[name("www.example.com")], jiff::Timestamp::now()).unwrap();
    assert_eq!(pair.certificate, leaf.replace("\r\n", "\n"));
    assert_eq!(pair.chain.matches("BEGIN").count(), 2);
}

#[test]
fn a_serial_number_has_no_leading_zeros() {
    let ca = Ca::new();
    for (bytes, expected) in [(vec![0xAB, 0x01], "ab01"), (vec![0x05], "05"), (vec![0x7f, 0xff], "7fff")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from(bytes));
        let certificate = params.signed_by(&key, &ca.intermediate).unwrap().pem();
        let pair = pair::verify(&Bundle { certificate, private_key: None }, &[], jiff::Timestamp::now()).unwrap();
        assert_eq!(pair.serial, expected);
    }
}

#[test]
fn a_certificate_of_tomorrow_passes() {
    let bundle = Ca::new().issued_in(2090, &["www.example.com"]);
    assert_eq!(pair::verify(&bundle, &[], jiff::Timestamp::now()).unwrap().not_before.to_string(), "2090-06-01T00:00:00Z");
}

#[test]
fn a_chain_in_any_order_is_brought_in_order() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let (leaf, key) = ca.leaf(&["www.example.com"]);
    let shuffled = format!("{}{}{leaf}{leaf}", ca.root, ca.intermediate.pem());
    let bundle = Bundle { certificate: shuffled, private_key: Some(Secret::new(key)) };
    let delivered = deliver(&bundle, &target(out.path(), "o-1", &["www.example.com"])).unwrap();
    let text = fs::read_to_string(delivered.live.join("fullchain.pem")).unwrap();
    let normal = |pem: &str| pem.replace("\r\n", "\n");
    assert_eq!(text, format!("{}{}{}", normal(&leaf), normal(&ca.intermediate.pem()), normal(&ca.root)));
}

#[test]
fn where_the_csr_was_the_users_there_is_no_key_file() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = Bundle { private_key: None, ..ca.bundle(&["www.example.com"]) };
    let delivered = deliver(&bundle, &target(out.path(), "o-1", &[])).unwrap();
    assert!(!delivered.has_private_key && !delivered.live.join("privkey.pem").exists());
}

#[test]
fn pairs_that_do_not_fit_are_refused_and_live_stays() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let good = deliver(&ca.bundle(&["www.example.com"]), &target(out.path(), "o-1", &[])).unwrap();
    let expired = {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["www.example.com".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        Bundle {
            certificate: params.signed_by(&key, &ca.intermediate).unwrap().pem(),
            private_key: Some(Secret::new(key.serialize_pem())),
        }
    };
    let foreign_key = Bundle { private_key: ca.bundle(&["x.example.com"]).private_key, ..ca.bundle(&["www.example.com"]) };
    let cases = [
        (foreign_key, "does not belong"),
        (ca.bundle(&["other.example.com"]), "does not name `www.example.com`"),
        (ca.bundle(&["*.www.example.com"]), "does not name `www.example.com`"),
        (expired, "expired"),
        (Bundle { certificate: "no pem".into(), private_key: None }, "no PEM block"),
    ];
    for (bundle, expected) in cases {
        let error = deliver(&bundle, &target(out.path(), "o-2", &["www.example.com"])).err().unwrap();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Delivery);
    }
    assert_eq!(fs::read_link(&good.live).unwrap(), Path::new(&good.serial));
    deliver(&ca.bundle(&["*.example.com"]), &target(out.path(), "o-3", &["www.example.com"])).unwrap();
}
