//! http-01: files in a folder that a web server on loopback serves, or through a program; Pebble fetches them.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use super::{Scene, run};
use crate::{
    interop::servers::{OPEN_ZONE, nsupdate, pebble::Manner},
    outside::Ran,
};

/// A CA, and the web server of all hosts.
struct Site {
    scene: Scene,
    root: PathBuf,
    server: String,
    _folder: tempfile::TempDir,
}

/// Serves the files below `root` for as long as the process lives.
fn serve(root: &Path) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (address, root) = (listener.local_addr().unwrap(), root.to_owned());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                match stream.read(&mut buffer) {
                    Ok(length) if length > 0 => request.extend_from_slice(&buffer[..length]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
            let (status, body) = match std::fs::read(root.join(path)) {
                Ok(body) => ("200 OK", body),
                Err(_) => ("404 Not Found", b"nothing here".to_vec()),
            };
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
        }
    });
    address
}

impl Site {
    /// With these hosts of the open zone.
    fn new(hosts: &[&str]) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        let address = serve(&root);
        let scene = Scene::with(&Manner { http_port: Some(address.port()), ..Manner::default() })?;
        for host in hosts {
            nsupdate(scene.dns, OPEN_ZONE, &format!("add {host}. 60 A 127.0.0.1"));
        }
        Some(Self { scene, root, server: format!("http://{address}"), _folder: folder })
    }

    /// The program without a provider of records, that knows where the web server is.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.scene.command(arguments);
        command.env_remove("DV_PROVIDER").env("DV_WEB_SERVER", &self.server);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(&mut self.command(arguments))
    }

    fn webroot(&self) -> &str {
        self.root.to_str().unwrap()
    }

    /// What lies in the folder for challenges.
    fn challenges(&self) -> usize {
        std::fs::read_dir(self.root.join(".well-known/acme-challenge")).into_iter().flatten().count()
    }

    #[track_caller]
    fn assert_clean(&self) {
        assert_eq!(std::fs::read_dir(&self.root).unwrap().count(), 0, "files, and the folders that were made for them, are gone");
    }

    fn orders(&self) -> usize {
        self.scene.pebble.log().matches("Added order").count()
    }
}

#[test]
fn names_are_proven_by_files_that_go_again() {
    let Some(site) = Site::new(&["f1.example.test", "f2.example.test", "www.f2.example.test"]) else { return };
    let ran = site.run(&["apply", "f1.example.test", "--webroot", site.webroot(), "--output", "json"]).expect(0);
    let published = ran.events().into_iter().find(|event| event["event"] == "published").unwrap();
    assert_eq!(published["type"], "FILE");
    assert!(published["path"].as_str().unwrap().starts_with("/.well-known/acme-challenge/"), "{published}");
    assert!(site.scene.live("f1.example.test").join("privkey.pem").is_file());
    site.assert_clean();
    let ran = site.run(&["apply", "f2.example.test", "www.f2.example.test", "--webroot", site.webroot()]).expect(0);
    let ran = ran.says("FILE f2.example.test/.well-known/acme-challenge/").says("FILE www.f2.example.test/.well-known/");
    ran.says("is visible at").says("is removed");
    site.assert_clean();
    assert!(site.scene.pebble.log().contains("validate w/ HTTP"), "the CA has fetched files: {}", site.scene.pebble.log());
}

#[test]
fn a_wildcard_is_proven_by_a_record_beside_the_file_of_its_apex() {
    let Some(site) = Site::new(&["mix.example.test"]) else { return };
    let arguments = ["apply", "mix.example.test", "*.mix.example.test", "--webroot", site.webroot(), "--output", "json"];
    let ran = run(site.command(&arguments).env("DV_PROVIDER", "rfc2136")).expect(0);
    let published = ran.events().into_iter().filter(|event| event["event"] == "published");
    let mut types: Vec<String> = published.map(|event| event["type"].as_str().unwrap().to_owned()).collect();
    types.sort();
    assert_eq!(types, ["FILE", "TXT"]);
    site.assert_clean();
    site.scene.assert_clean("mix.example.test");
}

#[test]
fn a_folder_for_one_host_leaves_the_others_to_records() {
    let Some(site) = Site::new(&["here.example.test"]) else { return };
    let given = format!("here.example.test={}", site.webroot());
    let arguments = ["apply", "here.example.test", "there.example.test", "--webroot", &given];
    run(&mut site.command(&arguments)).expect(2).says("of `there.example.test` are, and no provider is set for a record");
    let ran = run(site.command(&arguments).env("DV_PROVIDER", "rfc2136")).expect(0);
    ran.says("FILE here.example.test/").says("TXT _acme-challenge.there.example.test");
    site.assert_clean();
}

#[test]
fn a_wildcard_without_a_provider_is_refused_before_anything_is_ordered() {
    let Some(site) = Site::new(&[]) else { return };
    let ran = site.run(&["apply", "w.example.test", "*.w.example.test", "--webroot", site.webroot()]).expect(2);
    ran.says("no file proves the wildcard `*.w.example.test`").says("--provider");
    assert_eq!(site.orders(), 0);
    assert!(!site.scene.state().iter().any(|path| path.contains(".json")), "no account either: {:?}", site.scene.state());
    site.assert_clean();
    let ran = site.run(&["apply", "w.example.test", "--webroot", site.webroot(), "--dry-run"]).expect(0);
    assert!(ran.stdout.contains(".well-known/acme-challenge/TOKEN") && ran.stdout.contains("FILE"), "{}", ran.stdout);
    assert_eq!(site.orders(), 0);
}

#[test]
fn a_wrong_folder_is_named_and_the_right_one_goes_on_with_the_same_order() {
    let Some(site) = Site::new(&["wrong.example.test"]) else { return };
    let wrong = tempfile::tempdir().unwrap();
    let path = wrong.path().to_str().unwrap();
    let ran = site.run(&["apply", "wrong.example.test", "--webroot", path, "--propagation-timeout", "1s"]).expect(5);
    ran.says("the CA will not see FILE wrong.example.test").says("answers 404").says("--webroot");
    site.run(&["apply", "wrong.example.test", "--webroot", site.webroot()]).expect(0);
    assert_eq!(std::fs::read_dir(wrong.path()).unwrap().count(), 0, "the file in the wrong folder is removed");
    assert_eq!(site.orders(), 1);
    site.assert_clean();
}

/// The CA fetches from another server than the one that is looked at from here.
#[test]
fn what_the_ca_saw_and_what_the_web_server_shows() {
    let Some(site) = Site::new(&["unseen-file.example.test"]) else { return };
    let elsewhere = tempfile::tempdir().unwrap();
    let other = serve(elsewhere.path());
    let path = elsewhere.path().to_str().unwrap();
    let mut command = site.command(&["apply", "unseen-file.example.test", "--webroot", path]);
    let ran = run(command.env("DV_WEB_SERVER", format!("http://{other}"))).expect(6);
    let ran = ran
        .says("the authorization of `unseen-file.example.test` has failed: ")
        .says("of the file at http://unseen-file.example.test/");
    assert!(ran.stderr.contains("every web server shows it"), "{}", ran.stderr);
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn a_program_publishes_the_file() {
    let Some(site) = Site::new(&["hook.example.test"]) else { return };
    let hook = site.scene.home().join("publish");
    let script = format!(
        "#!/bin/sh\ncase $1 in\nadd) mkdir -p '{0}'\"${{3%/*}}\" && printf %s \"$DV_FILE_CONTENT\" > '{0}'\"$3\" ;;\n\
         remove) rm -f '{0}'\"$3\" ;;\nesac\n",
        site.webroot()
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    site.run(&["apply", "hook.example.test", "--file-hook", hook.to_str().unwrap()]).expect(0);
    assert_eq!(site.challenges(), 0);
    assert!(site.scene.live("hook.example.test").join("cert.pem").is_file());
}

/// Whoever dies leaves the file to the next run, which goes on with the order.
#[cfg(feature = "failpoints")]
#[test]
fn killed_with_a_file_out_the_next_run_finishes_and_removes_it() {
    let Some(site) = Site::new(&["die0.example.test", "die1.example.test", "die2.example.test"]) else { return };
    for (number, point) in ["publish.after-write", "visible.after", "withdraw.before-release"].into_iter().enumerate() {
        let name = format!("die{number}.example.test");
        let arguments = ["apply", &name, "--webroot", site.webroot()];
        let ran = run(site.command(&arguments).env("DV_FAILPOINT", point));
        assert_eq!(ran.code, -1, "{point}: {ran:?}");
        assert_eq!(site.challenges(), 1, "{point}");
        site.run(&arguments).expect(0);
        assert!(site.scene.live(&name).join("privkey.pem").is_file(), "{point}");
        // After a kill between making a folder and noting that, the empty folder may stay.
        assert_eq!(site.challenges(), 0, "{point}");
    }
    assert_eq!(site.orders(), 3);
}
