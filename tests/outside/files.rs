//! FILE challenges: files in a web root, or through a program; the CA of the sandbox fetches them from its web server.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{OrderChange, OrderTraits, Validation},
};

use super::context::{APPLICANT, Context};

const FILE: &str = ".well-known/pki-validation/fileauth.txt";

/// A sandbox whose web server serves `root`, and an order that wants a file.
struct Site {
    context: Context,
    _root: tempfile::TempDir,
    root: PathBuf,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(folder.path()).unwrap();
        let context = Context::with(|options| {
            options.web_root = Some(root.clone());
            // `--no-wait` does not wait for a challenge either.
            options.challenge_delay = std::time::Duration::ZERO;
        });
        Self { context, _root: folder, root }
    }

    fn order(&self, generation: Generation, domains: &[&str]) -> OrderId {
        let traits = OrderTraits { validation: Validation::File, ..OrderTraits::default() };
        self.context.order_with(generation, domains, traits)
    }

    fn webroot(&self) -> &str {
        self.root.to_str().unwrap()
    }

    fn file(&self) -> PathBuf {
        self.root.join(FILE)
    }

    /// What lies in the web root.
    fn left(&self) -> usize {
        fs::read_dir(&self.root).unwrap().count()
    }
}

#[test]
fn orders_of_all_generations_are_issued_by_a_file_that_goes_again() {
    for generation in [Generation::Api2018, Generation::Order, Generation::Instance] {
        let site = Site::new();
        let id = site.order(generation, &["www.example.com"]);
        let ran = site.context.run(&["--webroot", site.webroot(), "--order", id.as_str()]).expect(0);
        let ran = ran.says(&format!("FILE www.example.com/{FILE} is at webroot:{}", site.webroot()));
        ran.says("is visible at").says("is removed");
        assert!(site.context.out().join("www.example.com/live/fullchain.pem").exists());
        assert_eq!(site.left(), 0, "{generation}");
        assert_eq!(site.context.records(), Vec::<String>::new());
    }
}

#[test]
fn events_name_the_file_and_what_the_web_servers_show() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["example.com"]);
    let given = format!("example.com={}", site.webroot());
    let ran = site.context.run(&["--webroot", &given, "--order", id.as_str(), "--output", "json"]).expect(0);
    let events = ran.events();
    let of = |word: &str| events.iter().find(|event| event["event"] == word).unwrap_or_else(|| panic!("no {word}")).clone();
    assert_eq!(of("published")["type"], "FILE");
    assert_eq!(of("published")["path"], format!("/{FILE}"));
    assert_eq!(of("visible")["web_servers"][0]["verdict"], "visible");
    assert_eq!(of("withdrawn")["name"], "example.com");
}

#[test]
fn a_wrong_folder_ends_with_what_the_ca_will_see_and_the_right_one_mends_it() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    let wrong = tempfile::tempdir().unwrap();
    let path = wrong.path().to_str().unwrap();
    let ran = site.context.run(&["--webroot", path, "--order", id.as_str(), "--propagation-timeout", "1s"]).expect(5);
    ran.says("the CA will not see FILE www.example.com").says("answers 404").says("VERDICT").says("--webroot");
    assert!(wrong.path().join(FILE).exists(), "it stays, so that one can look");
    site.context.run(&["--webroot", site.webroot(), "--order", id.as_str()]).expect(0);
    assert!(!wrong.path().join(FILE).exists(), "the file in the wrong folder is removed");
    assert_eq!(site.left(), 0);
}

#[test]
fn a_link_that_leads_out_of_the_web_root_is_refused() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), site.root.join(".well-known")).unwrap();
    site.context.run(&["--webroot", site.webroot(), "--order", id.as_str()]).expect(2).says("is a symbolic link");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    fs::remove_file(site.root.join(".well-known")).unwrap();
    site.context.run(&["--webroot", site.webroot(), "--order", id.as_str()]).expect(0);
}

#[test]
fn a_foreign_file_is_named_and_left_alone() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    fs::create_dir_all(site.file().parent().unwrap()).unwrap();
    fs::write(site.file(), "somebody else's").unwrap();
    site.context.run(&["--webroot", site.webroot(), "--order", id.as_str()]).expect(2).says("another content");
    site.context.run(&["clean"]).expect(0);
    assert_eq!(fs::read_to_string(site.file()).unwrap(), "somebody else's");
}

#[test]
fn what_was_there_with_the_right_content_is_used_and_left() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    fs::create_dir_all(site.file().parent().unwrap()).unwrap();
    fs::write(site.file(), site.context.challenge_value(&id)).unwrap();
    // The CA looks only after the run has: else the order may be issued before the run begins.
    site.context.change(&id, OrderChange::Hold);
    let arguments = ["--webroot", site.webroot(), "--order", id.as_str()];
    site.context.run(&[&arguments[..], &["--no-wait"]].concat()).expect(0).says("was there before");
    site.context.change(&id, OrderChange::Recover);
    site.context.run(&arguments).expect(0);
    assert!(site.file().exists());
}

#[test]
fn a_challenge_that_changes_replaces_our_own_file() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    let arguments = ["--webroot", site.webroot(), "--order", id.as_str()];
    site.context.change(&id, OrderChange::Hold);
    site.context.run(&[&arguments[..], &["--no-wait"]].concat()).expect(0);
    let first = fs::read_to_string(site.file()).unwrap();
    site.context.change(&id, OrderChange::ChangeChallenge);
    site.context.change(&id, OrderChange::Recover);
    assert_ne!(site.context.challenge_value(&id), first);
    site.context.run(&arguments).expect(0);
    assert_eq!(site.left(), 0);
}

#[test]
fn a_program_publishes_and_removes() {
    let site = Site::new();
    let id = site.order(Generation::Instance, &["www.example.com"]);
    let program = site.context.home().join("publish");
    let script = format!(
        "#!/bin/sh\n[ -z \"$ALIBABA_CLOUD_ACCESS_KEY_SECRET\" ] || exit 9\necho \"$1 $2 $3 $DV_FILE_URL\" >> calls\n\
         case $1 in add) mkdir -p \"{0}${{3%/*}}\" && printf %s \"$DV_FILE_CONTENT\" > \"{0}$3\" ;; remove) rm -f \"{0}$3\" ;; esac\n",
        site.webroot()
    );
    fs::write(&program, script).unwrap();
    let arguments = ["--file-hook", program.to_str().unwrap(), "--order", id.as_str()];
    site.context.run(&arguments).expect(2).says("is not executable");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    site.context.run(&arguments).expect(0);
    assert!(!site.file().exists());
    let url = format!("http://www.example.com/{FILE}");
    let calls = fs::read_to_string(site.context.home().join("calls")).unwrap();
    assert_eq!(calls, format!("add www.example.com /{FILE} {url}\nremove www.example.com /{FILE} {url}\n"));
}

#[test]
fn a_program_that_fails_is_quoted() {
    let site = Site::new();
    let id = site.order(Generation::Instance, &["www.example.com"]);
    let program = site.context.home().join("publish");
    fs::write(&program, "#!/bin/sh\necho no space on web1\nexit 3\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let arguments = ["--file-hook", program.to_str().unwrap(), "--order", id.as_str()];
    site.context.run(&arguments).expect(4).says("no space on web1");
}

#[test]
fn without_a_publisher_the_place_and_the_content_are_shown() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    let value = site.context.challenge_value(&id);
    let ran = site.context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(2).says("--webroot");
    assert!(ran.stderr.contains(&value) && ran.stderr.contains(FILE), "{}", ran.stderr);
    let ran = site.context.run(&["--order", id.as_str()]).expect(2);
    assert!(ran.stdout.contains(&value) && ran.stdout.contains(FILE), "{}", ran.stdout);
}

#[test]
fn bad_options_are_told_before_anything_is_read() {
    let site = Site::new();
    for (arguments, why) in [
        (vec!["--webroot", "/no/such/folder"], "cannot be used"),
        (vec!["--webroot", "*.example.com=/tmp"], "wildcard"),
        (vec!["--webroot", "/tmp", "--webroot", "/"], "given twice"),
        (vec!["--file-hook", "/no/such/program"], "cannot be read"),
        (vec!["--web-server", "example.com"], "is not a web server"),
    ] {
        site.context.run(&arguments).expect(2).says(why);
    }
    assert!(site.context.sandbox.calls().is_empty());
}

#[test]
fn an_application_is_for_validation_by_file_where_somebody_publishes_files() {
    let site = Site::new();
    let context = &site.context;
    let instance = context.free_instance(OrderTraits::default());
    let not_submitted = OrderTraits { submitted: false, ..OrderTraits::default() };
    let of_2018 = context.order_with(Generation::Api2018, &["unused.example.com"], not_submitted);
    let apply = |more: &[&str]| context.run(&[&["apply", "--webroot", site.webroot()], more].concat());
    apply(&["*.example.com", "--instance", instance.as_str()]).expect(2).says("no file proves the wildcard");
    assert_eq!(context.calls("UpdateInstance"), 0, "nothing was applied for");

    let package = ["--product", "symantec-dv-1-starter"];
    let old = ["--instance", of_2018.as_str(), "--api", "2018"];
    let place = ["--applicant-province", "Beijing", "--applicant-city", "Beijing"];
    apply(&["www.example.com", "--instance", instance.as_str()]).expect(0).says("FILE www.example.com");
    apply(&[&["own.example.com"], package.as_slice(), &APPLICANT].concat()).expect(0).says("FILE own.example.com");
    apply(&[&["old.example.com"], old.as_slice(), &APPLICANT, &place].concat()).expect(0).says("FILE old.example.com");
    // Its renewal too; and by a record where nobody publishes files any more.
    let renew = |more: &[&str]| context.run(&[&["renew", "--force", "www.example.com"], more].concat());
    renew(&["--webroot", site.webroot()]).expect(0).says("FILE www.example.com");
    let ran = renew(&["--provider", "cloudflare"]).expect(0);
    assert!(!ran.stderr.contains("FILE"), "{}", ran.stderr);
    for name in ["www.example.com", "own.example.com", "old.example.com"] {
        assert!(context.out().join(name).join("live/cert.pem").is_file(), "{name}");
    }
    assert_eq!((site.left(), context.records().len()), (0, 0));

    // One way for all names of an order: a wildcard takes the others along.
    let instance = context.free_instance(OrderTraits::default());
    let both = ["--provider", "cloudflare", "--instance", instance.as_str(), "example.net", "*.example.net"];
    let ran = apply(&both).expect(0);
    assert!(!ran.stderr.contains("FILE"), "{}", ran.stderr);
    assert!(context.out().join("example.net/live/cert.pem").is_file());
}

/// `clean` needs no `--webroot`: the journal says where the file is.
#[cfg(feature = "failpoints")]
#[test]
fn clean_removes_the_file_of_an_order_that_ended_meanwhile() {
    let site = Site::new();
    let id = site.order(Generation::Order, &["www.example.com"]);
    let arguments = ["--webroot", site.webroot(), "--order", id.as_str()];
    site.context.command(&arguments).env("DV_FAILPOINT", "publish.after-handle").output().unwrap();
    assert!(site.file().exists());
    site.context.change(&id, OrderChange::Reject);
    site.context.run(&["clean"]).expect(0).says("is removed");
    assert_eq!(site.left(), 0);
}

#[test]
fn a_file_is_checked_without_an_order() {
    let site = Site::new();
    let place = format!("www.example.com/{FILE}");
    let check = |more: &[&str]| site.context.run(&[&["check", "--file"], more].concat());
    let ran = check(&[&place, "right"]).expect(5);
    assert!(ran.stdout.contains("HOST") && ran.stdout.contains("not visible: "), "{ran:?}");
    fs::create_dir_all(site.file().parent().unwrap()).unwrap();
    fs::write(site.file(), "wrong").unwrap();
    let row = check(&[&place, "right", "--output", "json"]).expect(5).events().remove(0);
    assert_eq!(row["visible"], false);
    assert_ne!(row["web_servers"][0]["verdict"], "visible");
    fs::write(site.file(), "right").unwrap();
    let ran = check(&[&format!("https://{place}"), "right"]).expect(0);
    assert!(ran.stdout.contains("visible: the CA will see the file"), "{ran:?}");
    let row = check(&[&place, "right", "--wait", "--output", "json"]).expect(0).events().remove(0);
    assert_eq!((&row["visible"], &row["type"]), (&true.into(), &"FILE".into()));
    check(&[&place, "other", "--wait", "--propagation-timeout", "1s"]).expect(5);
    check(&["www.example.com", "x"]).expect(2).says("is not the place of a file");
}

#[test]
fn two_contents_at_one_place_of_one_web_root_are_told_and_nothing_stays() {
    let site = Site::new();
    let id = site.order(Generation::Instance, &["a.example.com", "b.example.com"]);
    let ran = site.context.run(&["--webroot", site.webroot(), "--order", id.as_str()]).expect(2);
    ran.says("is there already with another content").says("another name of this one").says("--webroot HOST=FOLDER");
    assert_eq!(site.left(), 0);
    site.context.run(&["clean"]).expect(0).says("nothing");
}
