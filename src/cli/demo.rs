//! `demo`: the whole journey on this machine, told step by step.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{arguments, exit::Exit, printer::Printer, sandbox, session::Session, verify};
use crate::{
    environment::Environment,
    error::{Error, ErrorKind, Result},
    journey::event::{Event, Observer},
    language::t,
    mutex::locked,
    name::Name,
    order::Generation,
    propagation::Verdict,
    sandbox::{NewOrder, Sandbox, SandboxOptions},
};

/// How far the secondaries of the demo are behind: long enough to be seen.
const LAG: Duration = Duration::from_millis(1500);

/// Runs the main command against a sandbox, in a folder that is removed afterwards.
pub(super) async fn run(session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let began = Instant::now();
    let sandbox = Sandbox::start(SandboxOptions { lag: LAG, ..SandboxOptions::default() }).await?;
    let home = tempfile::tempdir()
        .map_err(|error| Error::new(ErrorKind::Unexpected, t!("no temporary folder can be made")).with_source(error))?;
    let name = Name::parse("www.example.com")?;
    let wildcard = Name::parse("*.example.com")?;
    let apex = Name::parse("example.com")?;
    sandbox.add_order(NewOrder { generation: Generation::Api2018, domains: vec![name.clone()] });
    sandbox.add_order(NewOrder { generation: Generation::Instance, domains: vec![apex, wildcard] });
    printer.note(t!(
        "On this machine now: Alibaba Cloud's certificate service, a DNS provider with Cloudflare's API, three name servers of"
    ));
    printer.note(&t!(
        "example.com (two of them %{value} s behind the first), a CA. Nothing leaves the machine.",
        value = LAG.as_secs_f64()
    ));
    printer.note(t!(
        "Two orders wait for validation: one of the 2018 API for www.example.com, one instance for example.com and *.example.com."
    ));
    printer.note("");
    printer.note(t!("$ dv-verify --provider cloudflare"));
    let inner = inner_session(session, &sandbox, home.path())?;
    // Through the printer that owns the live lines, or they would be torn.
    let narrator = Narrator::new(inner.printer().clone());
    let exit = verify::run_told(&inner, Some(Arc::new(narrator))).await?;
    if exit != Exit::DONE {
        return Ok(exit);
    }
    printer.note("");
    printer.note(t!("$ ls certificates/www.example.com/live/"));
    let live = home.path().join("certificates").join(name.as_str()).join("live");
    let mut files: Vec<String> = std::fs::read_dir(&live)
        .map_err(|error| {
            Error::new(ErrorKind::Unexpected, t!("`%{live}` cannot be read", live = live.display())).with_source(error)
        })?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect();
    files.sort_unstable();
    printer.note(&files.join("  "));
    let left = sandbox.records();
    if !left.is_empty() {
        return Err(Error::new(ErrorKind::Unexpected, t!("%{left} records were left behind", left = left.len())));
    }
    printer.note("");
    printer.note(&t!(
        "Done in %{elapsed} s: both certificates and their keys were on disk, and no record is left at the provider.",
        elapsed = format_args!("{:.1}", began.elapsed().as_secs_f64())
    ));
    printer.note(t!("Now with your own account: dv-verify --dry-run, and the README."));
    Ok(Exit::DONE)
}

/// Says in plain words what happens, the first time that it does.
struct Narrator {
    printer: Printer,
    said: Mutex<HashSet<&'static str>>,
}

impl Narrator {
    fn new(printer: Printer) -> Self {
        Self { printer, said: Mutex::default() }
    }
}

impl Observer for Narrator {
    fn event(&self, event: &Event<'_>) {
        let Some(words) = words(event) else { return };
        if locked(&self.said).insert(words) {
            let colour = self.printer.palette().hint;
            self.printer.note(&format!("{colour}# {words}{colour:#}"));
        }
    }
}

/// What an event means.
fn words(event: &Event<'_>) -> Option<&'static str> {
    Some(match event {
        Event::Order { state: "checking", .. } => t!("The CA wants to see a TXT record; the certificate service tells which."),
        Event::Published { .. } => {
            t!("The record went into the journal on disk first, then to the provider: whatever happens, it is not forgotten.")
        }
        Event::Verdicts { round, .. } => {
            let shows = |wanted: bool| round.observations.iter().any(|it| (it.verdict == Verdict::Visible) == wanted);
            if !(shows(true) && shows(false)) {
                return None;
            }
            t!(
                "The first server shows it, the others lag. Each is asked directly, and no resolver is: none remembers a \"no\" because of us."
            )
        }
        Event::Visible { .. } => t!("Every name server shows the record: the CA will see it, whichever it asks."),
        Event::Issued { .. } => t!("The CA looked, and issued."),
        Event::Delivered { .. } => t!("Key and certificate fit each other and are on disk; the link `live` was switched last."),
        Event::Withdrawn { kept: None, .. } => {
            t!("The record has done its work and goes again. Other values at its name are never touched.")
        }
        _ => return None,
    })
}

/// A session of the main command with the sandbox's environment and nothing of the user's.
fn inner_session(session: &Session, sandbox: &Sandbox, home: &std::path::Path) -> Result<Session> {
    let place = |name: &str| home.join(name).display().to_string();
    let mut environment = Environment::of([("DV_PROVIDER", "cloudflare")]);
    for (name, value) in sandbox::environment(sandbox) {
        environment = environment.with(name, &value);
    }
    for (name, value) in [("DV_STORE", place("store.db")), ("DV_OUT", place("certificates")), ("DV_CONFIG", place("config.toml"))]
    {
        environment = environment.with(name, &value);
    }
    for name in ["TERM", "NO_COLOR"] {
        if let Some(value) = session.environment().get(name) {
            environment = environment.with(name, value);
        }
    }
    let config = home.join("config.toml");
    std::fs::write(&config, "")
        .map_err(|error| Error::new(ErrorKind::Unexpected, t!("the demo cannot write its files")).with_source(error))?;
    let mut flags = arguments::parse(["dv-verify".into()]).map(|parsed| parsed.flags).unwrap_or_default();
    for name in ["output", "color", "verbose", "quiet"] {
        if let Some(given) = session.layers().get(name) {
            flags.insert(name, given.texts.clone());
        }
    }
    Session::new(&flags, environment).map_err(|(_, error)| error)
}
