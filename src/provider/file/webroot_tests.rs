use std::{fs, os::unix::fs::PermissionsExt};

use super::*;
use crate::name::Name;

const PATH: &str = "/.well-known/pki-validation/fileauth.txt";

struct Site {
    folder: tempfile::TempDir,
    host: Name,
}

impl Site {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), host: Name::parse("example.com").unwrap() }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("www")
    }

    fn at(&self, relative: &str) -> PathBuf {
        self.root().join(relative)
    }

    fn webroot(&self) -> Webroot {
        fs::create_dir_all(self.root()).unwrap();
        Webroot::new(&self.root())
    }

    fn file<'a>(&'a self, content: &'a str) -> File<'a> {
        File { host: &self.host, path: PATH, content }
    }
}

#[tokio::test]
async fn a_file_comes_and_goes_with_its_folders() {
    let site = Site::new();
    let webroot = site.webroot();
    assert_eq!(webroot.find(site.file("abc")).await.unwrap(), Found::Absent);
    let handle = webroot.publish(site.file("abc")).await.unwrap();
    let place = site.at(&PATH[1..]);
    assert_eq!(fs::read(&place).unwrap(), b"abc");
    assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(fs::metadata(place.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1, "no temporary file stays");
    assert!(matches!(webroot.find(site.file("abc")).await.unwrap(), Found::Present(_)));
    webroot.publish(site.file("abc")).await.unwrap();
    webroot.withdraw(site.file("abc"), Some(&handle)).await.unwrap();
    assert_eq!(fs::read_dir(site.root()).unwrap().count(), 0);
    webroot.withdraw(site.file("abc"), Some(&handle)).await.unwrap();
}

#[tokio::test]
async fn folders_and_files_of_others_stay() {
    let site = Site::new();
    let webroot = site.webroot();
    fs::create_dir_all(site.at(".well-known")).unwrap();
    let handle = webroot.publish(site.file("abc")).await.unwrap();
    fs::write(site.at(".well-known/pki-validation/other.txt"), "x").unwrap();
    webroot.withdraw(site.file("abc"), Some(&handle)).await.unwrap();
    assert!(site.at(".well-known/pki-validation/other.txt").exists() && !site.at(&PATH[1..]).exists());
}

#[tokio::test]
async fn folders_of_a_file_that_cannot_be_written_go_again() {
    let site = Site::new();
    let webroot = site.webroot();
    fs::create_dir_all(site.at(".well-known")).unwrap();
    // Too long for the name under which it is made.
    let path = format!("/.well-known/pki-validation/deep/{}", "x".repeat(255));
    let file = File { host: &site.host, path: &path, content: "abc" };
    assert!(webroot.publish(file).await.unwrap_err().to_string().contains("too long"));
    assert_eq!(fs::read_dir(site.at(".well-known")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_foreign_file_is_neither_replaced_nor_removed() {
    let site = Site::new();
    let webroot = site.webroot();
    fs::create_dir_all(site.at(".well-known/pki-validation")).unwrap();
    for foreign in ["", "ab", "abcd", "xyz"] {
        fs::write(site.at(&PATH[1..]), foreign).unwrap();
        for error in [webroot.find(site.file("abc")).await.err(), webroot.publish(site.file("abc")).await.err()] {
            assert!(error.unwrap().to_string().contains("another content"));
        }
        webroot.withdraw(site.file("abc"), None).await.unwrap();
        assert_eq!(fs::read_to_string(site.at(&PATH[1..])).unwrap(), foreign);
    }
    // What came between looking and writing is not replaced either.
    let folder = fs::File::open(site.at(".well-known/pki-validation")).unwrap();
    fs::write(site.at(".well-known/pki-validation/new"), "abc").unwrap();
    assert_eq!(place_new(&folder, "new", "fileauth.txt"), Err(Errno::EXIST));
}

#[tokio::test]
async fn no_symbolic_link_is_followed_below_the_root() {
    for link in [".well-known", ".well-known/pki-validation", ".well-known/pki-validation/fileauth.txt"] {
        let site = Site::new();
        let webroot = site.webroot();
        let outside = site.folder.path().join("outside");
        fs::create_dir_all(outside.join("pki-validation")).unwrap();
        fs::write(outside.join("victim"), "abc").unwrap();
        let is_file = Path::new(link).extension().is_some();
        let target = if is_file { outside.join("victim") } else { outside.clone() };
        fs::create_dir_all(site.at(link).parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(&target, site.at(link)).unwrap();
        let before = listing(&outside);
        assert!(webroot.publish(site.file("abc")).await.is_err(), "{link}");
        let error = webroot.find(site.file("abc")).await.unwrap_err();
        assert!(is_file || error.to_string().contains("symbolic link"), "{error}");
        let _ = webroot.withdraw(site.file("abc"), None).await;
        assert_eq!(listing(&outside), before, "{link}: nothing outside was touched");
        assert!(fs::symlink_metadata(site.at(link)).unwrap().is_symlink(), "{link} stays");
    }
}

fn listing(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            all.push(entry.path());
            if entry.path().is_dir() {
                open.push(entry.path());
            }
        }
    }
    all.sort();
    all
}

#[tokio::test]
async fn the_root_itself_may_be_a_link_and_may_be_gone_later() {
    let site = Site::new();
    site.webroot();
    let link = site.folder.path().join("current");
    std::os::unix::fs::symlink(site.root(), &link).unwrap();
    let webroot = Webroot::new(&link);
    webroot.publish(site.file("abc")).await.unwrap();
    assert!(site.at(&PATH[1..]).exists());
    fs::remove_dir_all(site.root()).unwrap();
    webroot.withdraw(site.file("abc"), None).await.unwrap();
    assert!(webroot.publish(site.file("abc")).await.is_err());
}

#[tokio::test]
async fn what_a_run_left_that_died_while_writing_is_removed() {
    let site = Site::new();
    let webroot = site.webroot();
    fs::create_dir_all(site.at(".well-known/pki-validation")).unwrap();
    let left = site.at(".well-known/pki-validation/.fileauth.txt.dv-verify");
    fs::write(&left, "a").unwrap();
    webroot.publish(site.file("abc")).await.unwrap();
    assert!(!left.exists());
    fs::write(&left, "a").unwrap();
    webroot.withdraw(site.file("abc"), None).await.unwrap();
    assert!(!left.exists() && !site.at(&PATH[1..]).exists());
}

#[tokio::test]
async fn a_pipe_at_the_place_is_foreign_and_does_not_hang() {
    let site = Site::new();
    let webroot = site.webroot();
    fs::create_dir_all(site.at(".well-known/pki-validation")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(site.at(&PATH[1..])).status().unwrap();
    assert!(made.success());
    assert!(webroot.find(site.file("abc")).await.is_err());
}
