//! The commands of docs/apply.md, docs/file-challenges.md, docs/deploy.md and docs/credentials.md, run as they stand there against the sandbox. What servers are
//! to take from docs/deploy.md is in `deploy`; other pages have tests of their own (`cron`, `notify`, `own_provider` …); the Chinese pages have the same
//! commands (`translations`).

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Fault, OrderChange, OrderTraits, Validation},
};

use super::{context::Context, deploy};
use crate::interop::servers;

const APPLY: &str = include_str!("../../docs/apply.md");
const FILES: &str = include_str!("../../docs/file-challenges.md");
const DEPLOY: &str = include_str!("../../docs/deploy.md");
const CREDENTIALS: &str = include_str!("../../docs/credentials.md");

/// The folder of the web server on the page.
const WEB_ROOT: &str = "/srv/www";

/// The blocks of a page in a language (`` for those that name none).
fn blocks(page: &'static str, language: &str) -> Vec<&'static str> {
    let parts: Vec<&str> = page.split("```").collect();
    let inside = parts.iter().skip(1).step_by(2);
    inside.filter_map(|block| block.split_once('\n')).filter(|(kind, _)| *kind == language).map(|(_, text)| text).collect()
}

/// Each command of a block, as one line.
fn commands(block: &str) -> Vec<String> {
    block.replace("\\\n", "").lines().map(str::to_owned).filter(|line| !line.trim().is_empty()).collect()
}

/// The commands of this program in the text between blocks.
fn in_text(page: &str) -> BTreeSet<&str> {
    let text = page.split("```").step_by(2);
    text.flat_map(|part| part.split('`').skip(1).step_by(2)).filter(|code| code.starts_with("dv-verify ")).collect()
}

fn at_once() -> Context {
    Context::with(|options| options.challenge_delay = Duration::ZERO)
}

/// The certificates on the disk.
fn delivered(context: &Context) -> usize {
    let folders = fs::read_dir(context.out()).into_iter().flatten().flatten();
    folders.filter(|folder| folder.path().join("live/cert.pem").is_file()).count()
}

#[test]
fn each_application_of_the_page_comes_to_a_certificate() {
    let [applications, own_key]: [&str; 2] = blocks(APPLY, "sh").try_into().expect("two blocks of shell");
    let own_key = commands(own_key);
    assert!(own_key[0].starts_with("openssl req ") && own_key.len() == 2, "{own_key:?}");
    let applications = commands(applications);
    assert_eq!(applications.len(), 5);
    for command in applications.iter().chain(&own_key[1..]) {
        let context = at_once();
        let id = context.free_instance(OrderTraits::default());
        fs::write(context.home().join("own.csr"), include_str!("../data/rsa.csr")).unwrap();
        if command == &own_key[1] {
            if !servers::installed(&["openssl"]) {
                continue;
            }
            context.shell(&own_key[0]).expect(0);
            // Not to be taken for a key that the program left.
            fs::rename(context.home().join("www.key"), context.home().join("www.key.secret")).unwrap();
        }
        context.shell(&command.replace("cas_dv-cn-123", id.as_str())).expect(0);
        assert_eq!(delivered(&context), 1, "{command}");
        assert_eq!(context.records(), Vec::<String>::new(), "{command}");
    }
}

#[test]
fn the_commands_in_the_text_of_the_page_work() {
    let expected = [
        "dv-verify --order ID --dry-run",
        "dv-verify apply --list FILE",
        "dv-verify cancel ID",
        "dv-verify orders",
        "dv-verify renew --provider cloudflare",
    ];
    assert_eq!(in_text(APPLY), BTreeSet::from(expected), "each is run below");
    let context = at_once();
    let waiting = context.order(Generation::Order, &["waits.example.com"]);
    context.change(&waiting, OrderChange::Hold);
    context.free_instance(OrderTraits::default());
    fs::write(context.home().join("list.txt"), "www.example.com # one\n").unwrap();
    let run = |command: &str| context.shell(&format!("DV_PROVIDER=cloudflare {command}")).expect(0);
    // What it says of challenges: none that comes with a key, and the way to see it all the same.
    let orders = run(expected[3]);
    let row = orders.stdout.lines().find(|line| line.contains(waiting.as_str())).unwrap();
    assert!(row.contains(" - ") && !row.contains("_dnsauth"), "{row}");
    assert_eq!(context.calls("DescribeCertificateState"), 0);
    let shown = run(&expected[0].replace("ID", waiting.as_str()));
    assert!(format!("{}{}", shown.stdout, shown.stderr).contains(&context.challenge_value(&waiting)), "{shown:?}");
    run(&expected[1].replace("FILE", "list.txt"));
    assert_eq!(delivered(&context), 1);
    run(expected[4]).says("no certificate is due");
    // Each asks, or wants this.
    run(&format!("{} --yes", expected[2].replace("ID", waiting.as_str())));
    assert_eq!(context.sandbox.order(&waiting).unwrap().stage, "not-submitted");
}

/// A sandbox whose web server serves a folder, and that folder.
fn site() -> (Context, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = fs::canonicalize(folder.path()).unwrap();
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.web_root = Some(root.clone());
    });
    (context, folder, root)
}

fn file_order(context: &Context, name: &str) -> OrderId {
    let traits = OrderTraits { validation: Validation::File, ..OrderTraits::default() };
    context.order_with(Generation::Order, &[name], traits)
}

/// Puts a program into the folder that comes first in `PATH`.
fn program(context: &Context, name: &str, text: &str) -> PathBuf {
    let path = context.bin().join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn each_publisher_of_files_comes_to_a_certificate() {
    let [first, ..] = blocks(FILES, "")[..] else { panic!("no block") };
    let [everywhere, by_host, by_hook]: [String; 3] = commands(first).try_into().expect("three commands");
    let at = |root: &Path, command: &str| {
        ["/srv/www", "/srv/a", "/srv/b"]
            .iter()
            .fold(command.to_owned(), |text, folder| text.replace(folder, root.to_str().unwrap()))
    };
    for (command, name) in [(&everywhere, "www.example.com"), (&by_host, "shop.example.com")] {
        let (context, _folder, root) = site();
        file_order(&context, name);
        context.shell(&at(&root, command)).expect(0);
        assert_eq!((delivered(&context), fs::read_dir(&root).unwrap().count()), (1, 0), "{command}");
    }
    // The page's own program; both of its servers are this machine.
    let [script] = blocks(FILES, "sh")[..] else { panic!("one block of shell") };
    let (context, _folder, root) = site();
    file_order(&context, "www.example.com");
    let asked = context.home().join("asked");
    let stub = format!(
        "#!/bin/sh\necho \"$1\" >> {}\nshift\nexec /bin/sh -c \"$(printf %s \"$*\" | sed 's#{WEB_ROOT}#{}#g')\"\n",
        asked.display(),
        root.display()
    );
    program(&context, "ssh", &stub);
    let hook = program(&context, "publish-file", script);
    context.shell(&by_hook.replace("/usr/local/bin/publish-file", hook.to_str().unwrap())).expect(0);
    assert_eq!(fs::read_to_string(asked).unwrap(), "web1\nweb2\nweb1\nweb2\n", "added to both, removed from both");
    assert_eq!(delivered(&context), 1);
    assert!(!root.join(".well-known/pki-validation/fileauth.txt").exists());
}

#[test]
fn the_commands_in_the_text_about_files_work() {
    let look = "dv-verify check --file www.example.com/.well-known/pki-validation/fileauth.txt CONTENT";
    // The one at an ACME CA is run against Pebble, in `interop`.
    let at_acme = "dv-verify apply --ca letsencrypt --webroot /srv/www example.com www.example.com";
    assert_eq!(in_text(FILES), BTreeSet::from([look, at_acme, "dv-verify clean"]));
    let (context, _folder, root) = site();
    let path = root.join(".well-known/pki-validation/fileauth.txt");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "CONTENT").unwrap();
    context.shell(look).expect(0);
    fs::write(&path, "CONTENT\n").unwrap();
    context.shell(look).expect(5);
    context.shell("dv-verify clean").expect(0);
}

#[test]
fn nginx_takes_the_location_of_the_page() {
    if !servers::installed(&["nginx"]) {
        return;
    }
    let location = blocks(FILES, "").into_iter().find(|block| block.starts_with("location ")).expect("a location");
    let context = Context::new();
    deploy::nginx_accepts(&context, &format!("server {{\nlisten 80;\nserver_name www.example.com;\n{location}}}\n"), 80);
}

#[test]
fn deliveries_and_deployments_of_the_page_work() {
    let [reload, deployments]: [&str; 2] = blocks(DEPLOY, "console").try_into().expect("two blocks of commands");
    let context = Context::with(|options| {
        options.challenge_delay = Duration::ZERO;
        options.issue_delay = Duration::from_millis(800);
    });
    let id = context.order(Generation::Instance, &["www.example.com"]);
    let resource = |context: &Context, domain: &str| {
        context.sandbox.fault(Fault::CloudResource { product: "CDN".into(), domain: domain.into(), fails: false }).unwrap();
    };
    let called = context.home().join("called");
    program(&context, "systemctl", &format!("#!/bin/sh\necho \"$@\" >> {}\n", called.display()));
    // A group that is there on every machine: that of this user.
    context.shell(&reload.replace("ssl-cert", "\"$(id -gn)\"")).expect(0);
    assert_eq!(fs::read_to_string(called).unwrap(), "reload haproxy\n");
    let key = fs::metadata(context.out().join("www.example.com/live/privkey.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o640);

    let [resources, of_name, of_order, of_id, with_upload]: [String; 5] =
        commands(deployments).try_into().expect("five commands");
    resource(&context, "www.example.com");
    let ran = context.shell(&resources).expect(0);
    assert!(ran.stdout.contains("501") && ran.stdout.contains("www.example.com"), "{ran:?}");
    context.shell(&of_name).expect(0);
    resource(&context, "www.example.com");
    context.shell(&of_order.replace("cas_dv-cn-123", id.as_str())).expect(0);
    resource(&context, "www.example.com");
    // The sandbox has no load balancers; its first certificate has the number of the page.
    context.shell(&of_id.replace("alb-123", "503")).expect(7);

    // A certificate that the account does not have.
    let (context, other) = (Context::new(), Context::new());
    let id = other.order(Generation::Instance, &["www.example.com", "cdn.example.com"]);
    other.change(&id, OrderChange::Issue);
    let out = context.out();
    other.run(&["--provider", "cloudflare", "--order", id.as_str(), "--out", out.to_str().unwrap()]).expect(0);
    resource(&context, "cdn.example.com");
    context.shell(&with_upload).expect(0);
    let [pair, by_name] = ["dv-verify upload --cert fullchain.pem --key privkey.pem", "dv-verify upload www.example.com"];
    assert_eq!(in_text(DEPLOY), BTreeSet::from(["dv-verify deploy", pair, by_name]));
    let live = out.join("www.example.com/live");
    context.shell(&format!("cd {} && {pair}", live.display())).expect(0).says("nothing was uploaded");
    context.shell(by_name).expect(0).says("nothing was uploaded");
    assert_eq!(context.calls("UploadUserCertificate"), 1);
}

#[test]
fn the_credentials_are_told_without_going_there() {
    assert_eq!(in_text(CREDENTIALS), BTreeSet::from(["dv-verify config check"]));
    let context = Context::new();
    let ran = context.shell("DV_PROVIDER=cloudflare dv-verify config check").expect(0);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains("variable `ALIBABA_CLOUD_ACCESS_KEY_ID`"), "{told}");
    assert!(context.sandbox.calls().is_empty());
}
