use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

use super::*;
use crate::{environment::Environment, error::ErrorKind, secret::Secret};

const RSA_CERTIFICATE: &str = include_str!("../../tests/data/pairs/rsa.crt");
const RSA_KEY: &str = include_str!("../../tests/data/pairs/rsa-pkcs1.key");

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// A root, an intermediate and leaves below it.
struct Ca {
    root: String,
    intermediate: CertifiedIssuer<'static, KeyPair>,
}

fn authority(title: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, title);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

impl Ca {
    fn new() -> Self {
        let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
        let intermediate = CertifiedIssuer::signed_by(authority("intermediate"), KeyPair::generate().unwrap(), &root).unwrap();
        Self { root: root.pem(), intermediate }
    }

    fn leaf(&self, names: &[&str]) -> (String, String) {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (params.signed_by(&key, &self.intermediate).unwrap().pem(), key.serialize_pem())
    }

    fn bundle(&self, names: &[&str]) -> Bundle {
        let (leaf, key) = self.leaf(names);
        Bundle { certificate: format!("{leaf}{}", self.intermediate.pem()), private_key: Some(Secret::new(key)) }
    }
}

fn target(out: &Path, order: &str, domains: &[&str]) -> Target {
    Target {
        out: out.to_owned(),
        name: None,
        order: OrderId::parse(order).unwrap(),
        domains: domains.iter().map(|domain| name(domain)).collect(),
    }
}

fn blocks(path: &Path) -> usize {
    fs::read_to_string(path).unwrap().matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_pair_is_written_whole_and_made_current() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let delivered = deliver(&ca.bundle(&["www.example.com"]), &target(out.path(), "o-1", &["www.example.com"])).unwrap();
    assert!(delivered.changed && delivered.has_private_key);
    assert_eq!(delivered.live, out.path().join("www.example.com/live"));
    assert_eq!(fs::read_link(&delivered.live).unwrap(), Path::new(&delivered.serial));
    assert_eq!(blocks(&delivered.live.join("cert.pem")), 1);
    assert_eq!(blocks(&delivered.live.join("chain.pem")), 1);
    assert_eq!(blocks(&delivered.live.join("fullchain.pem")), 2);
    let mode = |file: &str| fs::metadata(delivered.live.join(file)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("privkey.pem"), 0o600);
    assert!(fs::read_to_string(delivered.live.join("order.json")).unwrap().contains("o-1"));
}

#[test]
fn the_same_pair_again_changes_nothing() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = ca.bundle(&["www.example.com"]);
    let target = target(out.path(), "o-1", &[]);
    let first = deliver(&bundle, &target).unwrap();
    let again = deliver(&bundle, &target).unwrap();
    assert!(!again.changed);
    assert_eq!(again.folder, first.folder);
    // Cut short by a full disk: written anew, beside the damaged one.
    fs::write(first.folder.join("fullchain.pem"), "").unwrap();
    let mended = deliver(&bundle, &target).unwrap();
    assert!(mended.changed);
    assert_eq!(blocks(&mended.live.join("fullchain.pem")), 2);
    assert!(mended.folder.ends_with(format!("{}.2", first.serial)));
}

#[test]
fn a_renewal_takes_the_place_of_the_older_certificate() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let first = deliver(&ca.bundle(&["a.example.com", "b.example.com"]), &target(out.path(), "o-1", &[])).unwrap();
    let second = deliver(&ca.bundle(&["a.example.com", "b.example.com"]), &target(out.path(), "o-2", &[])).unwrap();
    assert_eq!(first.live, second.live);
    assert_ne!(first.folder, second.folder);
    assert!(first.folder.join("privkey.pem").is_file(), "the older pair stays");
    // Other names that begin with the same name do not disturb it.
    let other = deliver(&ca.bundle(&["a.example.com"]), &target(out.path(), "o-3", &[])).unwrap();
    assert_eq!(other.live, out.path().join("a.example.com-o-3/live"));
}

#[test]
fn wildcards_and_chosen_names_make_folders() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let wildcard = deliver(&ca.bundle(&["*.example.com"]), &target(out.path(), "o-1", &["*.example.com"])).unwrap();
    assert_eq!(wildcard.live, out.path().join("_wildcard.example.com/live"));
    let mut chosen = target(out.path(), "o-2", &[]);
    chosen.name = Some("web".into());
    assert_eq!(deliver(&ca.bundle(&["x.example.com"]), &chosen).unwrap().live, out.path().join("web/live"));
    for bad in ["", "..", ".hidden", "a/b", "/etc"] {
        chosen.name = Some(bad.into());
        assert_eq!(deliver(&ca.bundle(&["x.example.com"]), &chosen).unwrap_err().kind(), ErrorKind::Usage, "{bad}");
    }
}

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
        let error = deliver(&bundle, &target(out.path(), "o-2", &["www.example.com"])).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.kind(), ErrorKind::Delivery);
    }
    assert_eq!(fs::read_link(&good.live).unwrap(), Path::new(&good.serial));
    deliver(&ca.bundle(&["*.example.com"]), &target(out.path(), "o-3", &["www.example.com"])).unwrap();
}

#[test]
fn whatever_step_fails_live_is_the_old_pair_or_the_new_one() {
    let ca = Ca::new();
    let (old, new) = (ca.bundle(&["www.example.com"]), ca.bundle(&["www.example.com"]));
    for failing in 0.. {
        let out = TempDir::new().unwrap();
        let target = target(out.path(), "o-1", &[]);
        let before = deliver(&old, &target).unwrap();
        let pair = pair::verify(&new, &[], jiff::Timestamp::now()).unwrap();
        let mut steps = 0;
        let outcome = files::write(&pair, &target, &mut |_| {
            steps += 1;
            if steps > failing { Err(io::Error::new(io::ErrorKind::StorageFull, "no space left")) } else { Ok(()) }
        });
        let current = fs::read_link(&before.live).unwrap();
        if outcome.is_ok() {
            assert_eq!(current, Path::new(&pair.serial));
            assert!(failing >= 7, "every step was tried");
            break;
        }
        assert!(outcome.unwrap_err().to_string().contains("no space left"));
        assert_eq!(current, Path::new(&before.serial));
        assert_eq!(blocks(&before.live.join("fullchain.pem")), 2);
        let hidden = fs::read_dir(out.path().join("www.example.com"))
            .unwrap()
            .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".new-"));
        assert_eq!(hidden.count(), 0, "nothing half written is left");
        assert!(deliver(&new, &target).unwrap().changed, "the next try goes through");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_found_before() {
    let folder = TempDir::new().unwrap();
    check_writable(&folder.path().join("new/out")).unwrap();
    assert_eq!(fs::read_dir(folder.path().join("new/out")).unwrap().count(), 0, "the test leaves nothing");
    fs::write(folder.path().join("file"), "").unwrap();
    let error = check_writable(&folder.path().join("file/out")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Delivery);
    assert!(error.to_string().contains("file/out"), "{error}");
}

fn delivered(out: &Path) -> Delivered {
    deliver(&Ca::new().bundle(&["www.example.com"]), &target(out, "o-1", &[])).unwrap()
}

async fn hook(line: &str, delivered: &Delivered, timeout: Duration) -> Result<()> {
    let environment = Environment::of([("PATH", "/usr/bin:/bin"), ("KEPT", "yes"), ("TOKEN", "hidden")]);
    let order = OrderId::parse("o-1").unwrap();
    run_hook(&Hook::Shell(line.into()), delivered, &order, &environment, &["TOKEN".to_owned()], timeout).await
}

const LONG: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_hook_gets_paths_and_no_credentials() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let line = "test -s \"$DV_FULLCHAIN\" -a -s \"$DV_PRIVKEY\" -a \"$DV_ORDER_ID\" = o-1 -a \"$KEPT\" = yes -a -z \"$TOKEN\" \
                -a \"$DV_FOLDER\" = www.example.com && ! read line";
    hook(line, &delivered, LONG).await.unwrap();
}

#[tokio::test]
async fn a_hook_that_fails_says_what_it_said_last() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let error = hook("echo one; echo two >&2; exit 7", &delivered, LONG).await.unwrap_err().to_string();
    assert!(error.contains("two") && error.contains('7'), "{error}");
    let error = hook("exit 3", &delivered, LONG).await.unwrap_err().to_string();
    assert!(error.contains("it said nothing"), "{error}");
    let missing = Hook::Program("/nonexistent/program".into());
    let order = OrderId::parse("o-1").unwrap();
    let error = run_hook(&missing, &delivered, &order, &Environment::default(), &[], LONG).await.unwrap_err().to_string();
    assert!(error.contains("/nonexistent/program") && error.contains("cannot start"), "{error}");
}

#[tokio::test]
async fn megabytes_of_output_do_not_block_and_only_the_end_is_kept() {
    let out = TempDir::new().unwrap();
    let line = "head -c 5000000 /dev/zero | tr '\\0' x; echo; echo the end; exit 1";
    let error = hook(line, &delivered(out.path()), LONG).await.unwrap_err().to_string();
    assert!(error.contains("the end"), "{}", &error[error.len() - 100..]);
    assert!(error.len() < 70_000);
}

#[tokio::test]
async fn a_hook_that_hangs_is_ended_with_its_children() {
    let out = TempDir::new().unwrap();
    let delivered = delivered(out.path());
    let began = Instant::now();
    let line = format!("sleep 60 & echo $! > {0}/pid; sleep 60", out.path().display());
    let error = hook(&line, &delivered, Duration::from_millis(500)).await.unwrap_err().to_string();
    assert!(error.contains("was ended"), "{error}");
    let child = fs::read_to_string(out.path().join("pid")).unwrap();
    let is_running = || fs::read_to_string(format!("/proc/{}/stat", child.trim())).is_ok_and(|stat| !stat.contains(") Z "));
    while is_running() && began.elapsed() < Duration::from_secs(10) {
        tokio::task::yield_now().await;
    }
    assert!(!is_running(), "the child of the hook goes on");
    assert!(began.elapsed() < Duration::from_secs(10));
}
