use std::{fs, io, os::unix::fs::PermissionsExt};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_ECDSA_P256_SHA256};
use tempfile::TempDir;

use super::*;
use crate::{error::ErrorKind, secret::Secret, test_disk};

mod forms;
mod hooks;
mod pairs;

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

    /// A pair that was issued in the middle of `year`.
    fn issued_in(&self, year: i32, names: &[&str]) -> Bundle {
        self.valid(year, 4096, names)
    }

    /// A pair that is valid from the middle of one year to that of another.
    fn valid(&self, from: i32, until: i32, names: &[&str]) -> Bundle {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.not_before = rcgen::date_time_ymd(from, 6, 1);
        params.not_after = rcgen::date_time_ymd(until, 6, 1);
        let leaf = params.signed_by(&key, &self.intermediate).unwrap().pem();
        Bundle { certificate: format!("{leaf}{}", self.intermediate.pem()), private_key: Some(Secret::new(key.serialize_pem())) }
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
        form: Form::default(),
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
fn a_set_of_names_keeps_its_folder() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let home = |names: &[&str], order: &str| deliver(&ca.bundle(names), &target(out.path(), order, names)).unwrap().live;
    let at = |folder: &str| out.path().join(folder).join("live");
    assert_eq!(home(&["a.test", "b.test"], "o-1"), at("a.test"));
    assert_eq!(home(&["b.test", "a.test"], "o-2"), at("a.test"), "the same names in another order");
    assert_eq!(home(&["a.test"], "o-3"), at("a.test-o-3"), "other names, another order");
    assert_eq!(home(&["a.test"], "o-4"), at("a.test-o-3"), "its renewal");
    assert_eq!(home(&["a.test", "c.test"], "o-2"), at("a.test"), "the same order, issued anew with other names");
    assert_eq!(home(&["a.test", "d.test"], "o-5"), at("a.test-o-5"));
}

#[test]
fn orders_at_once_with_one_first_name_do_not_share_a_folder() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundles: Vec<Bundle> = (0..6).map(|number| ca.bundle(&["a.test", &format!("n{number}.test")])).collect();
    let mut homes: Vec<PathBuf> = std::thread::scope(|scope| {
        let deliveries: Vec<_> = bundles
            .iter()
            .enumerate()
            .map(|(number, bundle)| (bundle, target(out.path(), &format!("o-{number}"), &["a.test"])))
            .map(|(bundle, target)| scope.spawn(move || deliver(bundle, &target).unwrap().live))
            .collect();
        deliveries.into_iter().map(|delivery| delivery.join().unwrap()).collect()
    });
    homes.sort();
    homes.dedup();
    assert_eq!(homes.len(), 6);
}

#[test]
fn an_older_certificate_does_not_push_out_a_newer_one() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let (older, newer) = (ca.issued_in(2024, &["www.example.com"]), ca.issued_in(2025, &["www.example.com"]));
    let put = |bundle: &Bundle, order: &str| deliver(bundle, &target(out.path(), order, &[])).unwrap();
    assert!(put(&older, "o-1").changed);
    let current = put(&newer, "o-2");
    assert!(current.changed);
    for bundle in [&older, &newer, &older] {
        assert!(!put(bundle, "o-1").changed);
        assert_eq!(fs::read_link(&current.live).unwrap(), current.folder.file_name().unwrap());
    }
    let late = ca.issued_in(2023, &["www.example.com"]);
    let kept = put(&late, "o-3");
    assert!(!kept.changed && kept.folder.join("privkey.pem").is_file(), "it is on disk all the same");
    // What is damaged is replaced by whatever is whole.
    fs::remove_file(current.live.join("privkey.pem")).unwrap();
    assert!(put(&older, "o-1").changed);
}

#[test]
fn a_key_that_does_not_come_a_second_time_stays() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = ca.bundle(&["www.example.com"]);
    let target = target(out.path(), "o-1", &[]);
    let first = deliver(&bundle, &target).unwrap();
    let without = Bundle { private_key: None, ..bundle };
    assert_eq!(deliver(&without, &target).unwrap(), Delivered { changed: false, ..first });
}

#[test]
fn what_a_killed_run_left_is_finished_and_swept() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    let bundle = ca.bundle(&["www.example.com"]);
    let target = target(out.path(), "o-1", &[]);
    let first = deliver(&bundle, &target).unwrap();
    // Killed between writing the folder and moving `live`, with scraps of earlier ones.
    let parent = first.live.parent().unwrap();
    fs::remove_file(&first.live).unwrap();
    std::os::unix::fs::symlink("nowhere", parent.join(".live-new")).unwrap();
    fs::create_dir(parent.join(".new-scrap")).unwrap();
    fs::write(parent.join(".new-scrap/privkey.pem"), "x").unwrap();
    let second = deliver(&bundle, &target).unwrap();
    assert_eq!(second, first);
    let mut left: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    let mut expected = [std::ffi::OsString::from(&first.serial), "live".into()];
    expected.sort();
    assert_eq!(left, expected);
}

#[test]
fn a_process_killed_at_any_moment_leaves_live_whole() {
    use std::io::{BufRead, BufReader};
    const OUT: &str = "DV_TEST_OUT";
    let ca = Ca::new();
    if let Some(out) = std::env::var_os(OUT) {
        loop {
            let delivered = deliver(&ca.bundle(&["www.example.com"]), &target(Path::new(&out), "o-1", &[])).unwrap();
            println!("current {}", delivered.serial);
        }
    }
    let out = TempDir::new().unwrap();
    for rounds in 1..=8 {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "delivery::tests::a_process_killed_at_any_moment_leaves_live_whole", "--nocapture"]);
        let mut child = command.env(OUT, out.path()).stdout(std::process::Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let seen = lines.map(Result::unwrap).filter(|line| line.contains("current ")).take(rounds).count();
        assert_eq!(seen, rounds);
        // Somewhere in the next round.
        for _ in 0..rounds * 7 {
            std::thread::yield_now();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let live = out.path().join("www.example.com/live");
        let read = |file: &str| fs::read_to_string(live.join(file)).unwrap();
        let bundle = Bundle { certificate: read("fullchain.pem"), private_key: Some(Secret::new(read("privkey.pem"))) };
        let pair = pair::verify(&bundle, &[name("www.example.com")], jiff::Timestamp::now()).unwrap();
        assert_eq!((pair.certificate, pair.chain), (read("cert.pem"), read("chain.pem")));
        assert_eq!(files::about(&live).unwrap().order, "o-1");
    }
}

#[test]
fn a_live_that_is_no_link_is_not_replaced() {
    let (ca, out) = (Ca::new(), TempDir::new().unwrap());
    fs::create_dir_all(out.path().join("www.example.com/live")).unwrap();
    fs::write(out.path().join("www.example.com/live/mine"), "x").unwrap();
    let error = deliver(&ca.bundle(&["www.example.com"]), &target(out.path(), "o-1", &[])).unwrap_err();
    assert!(error.to_string().contains("not the symbolic link"), "{error}");
    assert!(out.path().join("www.example.com/live/mine").exists());
}

#[test]
fn a_full_or_read_only_disk_is_found_before_and_costs_nothing() {
    let Some(disk) = test_disk::small("delivery::tests::a_full_or_read_only_disk_is_found_before_and_costs_nothing", "256k")
    else {
        return;
    };
    let ca = Ca::new();
    let target = target(&disk, "o-1", &[]);
    let (old, new) = (ca.bundle(&["www.example.com"]), ca.bundle(&["www.example.com"]));
    let before = deliver(&old, &target).unwrap();
    let filler = test_disk::fill(&disk);
    for outcome in [check_writable(&disk), deliver(&new, &target).map(drop)] {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("No space left"), "{error}");
        assert!(error.hint().unwrap().contains("make room"), "{error:?}");
    }
    assert_eq!(fs::read_link(&before.live).unwrap(), Path::new(&before.serial));
    fs::remove_file(&filler).unwrap();
    check_writable(&disk).unwrap();
    assert!(deliver(&new, &target).unwrap().changed);
    test_disk::remount(&disk, "ro");
    for outcome in [check_writable(&disk), deliver(&old, &target).map(drop)] {
        let error = outcome.unwrap_err();
        assert!(error.to_string().contains("Read-only"), "{error}");
    }
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

#[test]
fn the_certificates_on_disk_are_found_and_the_first_to_expire_comes_first() {
    let (out, ca) = (tempfile::tempdir().unwrap(), Ca::new());
    for (order, year, name) in [("o1", 2091, "a.example"), ("o2", 2090, "b.example")] {
        deliver(&ca.valid(2020, year, &[name]), &target(out.path(), order, &[name])).unwrap();
    }
    fs::create_dir_all(out.path().join("damaged/live")).unwrap();
    fs::write(out.path().join("damaged/live/cert.pem"), "no certificate").unwrap();
    let found = inventory(out.path());
    let folders: Vec<&str> = found.iter().map(|held| held.folder.as_str()).collect();
    assert_eq!(folders, ["b.example", "a.example"]);
    assert_eq!(found[0].names, [name("b.example")]);
    let day = jiff::SignedDuration::from_hours(24);
    assert_eq!(found[0].days_left(found[0].not_after - day * 3), 3);
    assert_eq!(found[0].days_left(found[0].not_after + day / 2), -1);
    assert_eq!(inventory(&out.path().join("nowhere")), []);
}
