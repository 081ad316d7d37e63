//! One sandbox and one home folder for one test, and the binary run against them.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::Duration,
};

use dv_verify::{
    name::Name,
    order::{Generation, OrderId},
    record::{Record, RecordType},
    sandbox::{Fault, NewOrder, OrderChange, OrderTraits, Sandbox, SandboxOptions},
};
use tempfile::TempDir;

/// Secrets that are planted in every test; none may appear in any output.
pub(crate) const ACCESS_KEY_SECRET: &str = "planted-access-key-secret-8d1f";
pub(crate) const API_TOKEN: &str = "planted-api-token-77aa";
pub(crate) const TSIG_SECRET: &str = "cGxhbnRlZC10c2lnLXNlY3JldC00YzAyLWZvci10aGUtdGVzdHM=";

/// Who applies, as packages want to know.
pub(crate) const APPLICANT: [&str; 6] =
    ["--applicant-name", "Tom", "--applicant-email", "tom@example.com", "--applicant-phone", "13900000000"];

/// A home folder, a sandbox, and the program.
pub(crate) struct Context {
    pub(crate) sandbox: Sandbox,
    home: TempDir,
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        Self { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Asserts the exit code and shows everything where it differs.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code\n--- stdout\n{}\n--- stderr\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that standard error has this text.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` is not in\n{}", self.stderr);
        self
    }

    /// The events of `--output json`.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The `event` words of `--output json`, in order, without repetitions of the same word in a row.
    pub(crate) fn event_words(&self) -> Vec<String> {
        let mut words: Vec<String> =
            self.events().iter().map(|event| event["event"].as_str().unwrap_or_default().to_owned()).collect();
        words.dedup();
        words
    }
}

/// The threads of every sandbox of this process.
pub(crate) fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime"))
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

impl Context {
    /// A sandbox without lag for `example.com` and `example.net`.
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut SandboxOptions)) -> Self {
        let mut options = SandboxOptions {
            zones: vec![name("example.com"), name("example.net")],
            access_key_secret: ACCESS_KEY_SECRET.into(),
            api_token: API_TOKEN.into(),
            tsig_secret: TSIG_SECRET.into(),
            ..SandboxOptions::default()
        };
        options.lag = Duration::ZERO;
        change(&mut options);
        let sandbox = runtime().block_on(Sandbox::start(options)).expect("the sandbox starts");
        Self { sandbox, home: TempDir::new().expect("a folder") }
    }

    /// Everything of the sandbox that listens goes away and comes back, with all that it knew.
    #[cfg(feature = "failpoints")]
    pub(crate) fn restart_sandbox(&mut self) {
        runtime().block_on(self.sandbox.restart()).expect("the sandbox starts again");
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.home().join("out")
    }

    /// What is in the provider's zones now: `NAME TYPE VALUE`.
    pub(crate) fn records(&self) -> Vec<String> {
        let records = self.sandbox.records();
        records.iter().map(|record| format!("{} {} {}", record.name, record.record_type, record.value)).collect()
    }

    /// The values at `owner` now.
    pub(crate) fn values(&self, owner: &str) -> Vec<String> {
        let owner = name(owner);
        self.sandbox.records().into_iter().filter(|record| record.name == owner).map(|record| record.value).collect()
    }

    /// A record that somebody else put there.
    pub(crate) fn put_record(&self, owner: &str, value: &str) {
        let record = Record { name: name(owner), record_type: RecordType::Txt, value: value.into() };
        self.sandbox.add_record(&record).expect("the record is possible");
    }

    /// The value that the CA wants to see for an order with one challenge.
    pub(crate) fn challenge_value(&self, id: &OrderId) -> String {
        self.sandbox.order(id).expect("the order is there").challenges.remove(0).value
    }

    /// How many records were written through the provider's API, or tried to be.
    pub(crate) fn writes(&self) -> u64 {
        self.sandbox.state().provider_calls.get("POST").copied().unwrap_or_default()
    }

    /// Lets something happen to an order.
    pub(crate) fn change(&self, order: &OrderId, change: OrderChange) {
        self.sandbox.fault(Fault::Order { order: order.clone(), change }).expect("the order is there");
    }

    /// How often the CAS was asked for `action`.
    pub(crate) fn calls(&self, action: &str) -> u64 {
        self.sandbox.calls().get(action).copied().unwrap_or_default()
    }

    /// An instance that was bought and not used.
    pub(crate) fn free_instance(&self, traits: OrderTraits) -> OrderId {
        self.order_with(Generation::Instance, &["unused.example.com"], OrderTraits { submitted: false, ..traits })
    }

    /// Waits until the CAS was asked for `action` at least `count` times.
    pub(crate) fn until_calls(&self, action: &str, count: u64) {
        until(|| self.calls(action) >= count);
    }

    /// Waits until the provider's zones hold `count` records.
    pub(crate) fn until_records(&self, count: usize) {
        until(|| self.sandbox.records().len() == count);
    }

    /// An order that waits for validation and is something else beside.
    pub(crate) fn order_with(&self, generation: Generation, domains: &[&str], traits: OrderTraits) -> OrderId {
        let domains = domains.iter().map(|domain| name(domain)).collect();
        let _guard = runtime().enter();
        self.sandbox.add_order_with(NewOrder { generation, domains }, traits)
    }

    /// An order that waits for validation.
    pub(crate) fn order(&self, generation: Generation, domains: &[&str]) -> OrderId {
        let domains = domains.iter().map(|domain| name(domain)).collect();
        let _guard = runtime().enter();
        self.sandbox.add_order(NewOrder { generation, domains })
    }

    /// The program with nothing but what it needs: no variable of this process reaches it.
    pub(crate) fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_dv-verify"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home())
            .env("DV_STORE", self.home().join("state/store.db"))
            .env("DV_OUT", self.out())
            .env("NO_COLOR", "1")
            .current_dir(self.home())
            .stdin(Stdio::null());
        command
    }

    /// The program with the sandbox's endpoint, authorities, resolver and credentials.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let addresses = self.sandbox.addresses();
        let authorities = addresses.authorities.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut command = self.bare(arguments);
        command
            .env("DV_ENDPOINT", addresses.cas.as_str())
            .env("DV_CLOUDFLARE_BASE_URL", addresses.cloudflare.as_str())
            .env("DV_AUTHORITY", format!("example.com={authorities};example.net={authorities}"))
            .env("DV_WEB_SERVER", addresses.web.as_str())
            .env("DV_RESOLVER", addresses.resolver.to_string())
            .env("ALIBABA_CLOUD_ACCESS_KEY_ID", &self.sandbox.options().access_key_id)
            .env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", ACCESS_KEY_SECRET)
            .env("DV_CLOUDFLARE_API_TOKEN", API_TOKEN)
            .env("DV_POWERDNS_API_URL", addresses.powerdns.origin().ascii_serialization())
            .env("DV_POWERDNS_API_KEY", API_TOKEN)
            .env("DV_RFC2136_NAMESERVER", addresses.authorities[0].to_string())
            .env("DV_RFC2136_TSIG_KEY", self.sandbox.options().tsig_key.to_string())
            .env("DV_RFC2136_TSIG_SECRET", TSIG_SECRET);
        command
    }

    /// A folder for programs, with this one in it.
    pub(crate) fn bin(&self) -> PathBuf {
        let bin = self.home().join("bin");
        if !bin.exists() {
            std::fs::create_dir(&bin).unwrap();
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_dv-verify"), bin.join("dv-verify")).unwrap();
        }
        bin
    }

    /// Runs a line as a shell does, in the home folder, with the programs of [`Context::bin`] and the sandbox's variables.
    pub(crate) fn shell(&self, line: &str) -> Ran {
        let ran = Ran::of(self.shell_command(line).current_dir(self.home()).output().unwrap());
        assert_no_secret(&ran);
        ran
    }

    /// `/bin/sh` with a line, still without a folder.
    pub(crate) fn shell_command(&self, line: &str) -> Command {
        let program = self.command(&[]);
        let mut command = Command::new("/bin/sh");
        command.args(["-c", line]).env_clear().stdin(Stdio::null());
        command.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("PATH", format!("{}:/usr/bin:/bin", self.bin().display()));
        command
    }

    /// Writes a manifest of a user's own for the sandbox's Cloudflare, which nothing has shown to work, with `more` at its end; its path.
    pub(crate) fn own_manifest(&self, more: &str) -> String {
        let built_in = include_str!("../../providers/cloudflare.toml");
        let mut manifest: String =
            built_in.lines().filter(|line| !line.starts_with("env =")).flat_map(|line| [line, "\n"]).collect();
        for (old, new) in [
            ("id = \"cloudflare\"", "id = \"mine\""),
            ("aliases = [\"cf\"]\n", ""),
            ("proof = \"vendor-specification\"", "proof = \"derived\""),
        ] {
            assert!(manifest.contains(old), "{old}");
            manifest = manifest.replacen(old, new, 1);
        }
        let path = self.home().join("mine.toml");
        std::fs::write(&path, manifest + more).expect("a folder that can be written");
        path.to_str().expect("text").to_owned()
    }

    /// As [`Context::command`], with what [`Context::own_manifest`] needs.
    pub(crate) fn command_with_own(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.env("DV_MINE_BASE_URL", self.sandbox.addresses().cloudflare.as_str()).env("DV_MINE_API_TOKEN", API_TOKEN);
        command
    }

    /// Runs the program against the sandbox.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        let ran = Ran::of(self.command(arguments).output().expect("the program starts"));
        assert_no_secret(&ran);
        ran
    }
}

/// Waits until it is so. The limit is for what never happens: a machine that has much else to do is slow, and that is no failure.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    runtime().block_on(async {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while !is_so() {
            assert!(tokio::time::Instant::now() < deadline, "it did not happen within 120 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
}

/// Asserts that no planted secret is in what the program said.
#[track_caller]
pub(crate) fn assert_no_secret(ran: &Ran) {
    for secret in [ACCESS_KEY_SECRET, API_TOKEN, TSIG_SECRET] {
        assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "a secret is in the output: {ran:?}");
    }
    assert!(!ran.stdout.contains("PRIVATE KEY") && !ran.stderr.contains("PRIVATE KEY"), "a private key is in the output");
}

impl Drop for Context {
    /// No run of any test leaves a secret in a file, or sends one elsewhere than where it belongs.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        assert_eq!(self.sandbox.leaks(), Vec::<String>::new());
        assert_no_secret_below(self.home());
    }
}

/// Searches every file but those that a test planted (`*.secret`, `config.toml`), and private keys for what is no private key.
fn assert_no_secret_below(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            assert_no_secret_below(&path);
        }
        let name = entry.file_name().to_string_lossy().into_owned();
        if !kind.is_file() || name.ends_with(".secret") || name == "config.toml" {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let has = |text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        for secret in [ACCESS_KEY_SECRET, API_TOKEN, TSIG_SECRET] {
            assert!(!has(secret), "a secret is in {}", path.display());
        }
        let holds_key = matches!(name.as_str(), "privkey.pem" | "combined.pem");
        assert!(holds_key || !has("PRIVATE KEY"), "a private key is in {}", path.display());
    }
}
