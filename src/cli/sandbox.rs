//! `sandbox`: the simulator in the foreground, and the variables that lead to it.

use super::{command::SandboxArguments, exit::Exit, session::Session};
use crate::{
    config::variables,
    error::Result,
    language::t,
    order::Generation,
    sandbox::{NewOrder, Sandbox, SandboxOptions},
};

/// Runs the simulator until a signal ends it.
pub(super) async fn run(session: &Session, arguments: SandboxArguments) -> Result<Exit> {
    let options = SandboxOptions {
        zones: arguments.zones,
        lag: arguments.lag,
        web_root: arguments.web_root,
        challenge_delay: arguments.challenge_delay,
        issue_delay: arguments.issue_delay,
        calls_per_second: arguments.calls_per_second,
        ..SandboxOptions::default()
    };
    let sandbox = Sandbox::start(options).await?;
    for name in arguments.orders {
        sandbox.add_order(NewOrder { generation: Generation::Api2018, domains: vec![name] });
    }
    let printer = session.printer();
    for (name, value) in environment(&sandbox) {
        printer.result(&format!("export {name}='{value}'"));
    }
    printer.note(t!("the sandbox runs until Ctrl-C; docs/sandbox.md says what it can do"));
    let mut terminates = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).map_err(|error| {
        crate::error::Error::new(crate::error::ErrorKind::Unexpected, t!("signals cannot be listened for")).with_source(error)
    })?;
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminates.recv() => {}
    }
    Ok(Exit::DONE)
}

/// The variables with which the program finds a sandbox; the control API last.
pub(super) fn environment(sandbox: &Sandbox) -> Vec<(&'static str, String)> {
    let (addresses, options) = (sandbox.addresses(), sandbox.options());
    let servers = addresses.authorities.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let authorities = options.zones.iter().map(|zone| format!("{zone}={servers}")).collect::<Vec<_>>().join(";");
    vec![
        ("DV_ENDPOINT", addresses.cas.to_string()),
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", options.access_key_id.clone()),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", options.access_key_secret.clone()),
        ("DV_CLOUDFLARE_BASE_URL", addresses.cloudflare.to_string()),
        ("DV_CLOUDFLARE_API_TOKEN", options.api_token.clone()),
        ("DV_POWERDNS_API_URL", addresses.powerdns.origin().ascii_serialization()),
        ("DV_POWERDNS_API_KEY", options.api_token.clone()),
        ("DV_RFC2136_NAMESERVER", addresses.authorities[0].to_string()),
        ("DV_RFC2136_TSIG_KEY", options.tsig_key.to_string()),
        ("DV_RFC2136_TSIG_SECRET", options.tsig_secret.clone()),
        ("DV_AUTHORITY", authorities),
        ("DV_RESOLVER", addresses.resolver.to_string()),
        ("DV_WEB_SERVER", addresses.web.to_string()),
        (variables::SANDBOX_CONTROL, addresses.control.to_string()),
    ]
}
