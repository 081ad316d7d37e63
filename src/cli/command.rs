//! The commands and their own arguments. Options that many commands share are in [`crate::config::settings`].

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use super::providers::{Auth, Names, Records, Zones};
use crate::{
    config::settings::Group,
    language::t,
    name::Name,
    record::{Record, RecordType},
};

/// What stands after the options in the help of the main command.
const EXAMPLES: &str = "\
Examples:
  dv-verify --provider cloudflare                        every order that waits for validation
  dv-verify --provider cloudflare --order cas-cn-68n1mm16abcd
  dv-verify --provider manual                            shows the records, waits until they are there
  dv-verify --dry-run                                    what would be written where
  dv-verify demo                                         the whole journey on this machine, no account needed

Credentials come from the environment, files or the config, never from the command line:
  Alibaba Cloud   ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET, or ~/.aliyun/config.json
  DNS provider    `dv-verify providers show ID` names the variables

Every option has a variable (`--poll-interval`: DV_POLL_INTERVAL) and a key in the config file (poll_interval).

Exit codes: 0 done or nothing to do, 1 unexpected, 2 usage or configuration, 3 credentials or rights, 4 provider,
5 not visible in time, 6 refused by the CA, 7 still waiting for the CA (run again), 8 held by another run,
9 several orders and at least one failed, 10 newly issued (--detailed-exit-code), 130/143 interrupted";

/// Takes certificate orders of Alibaba Cloud from `checking` to a certificate on disk.
///
/// Without a command: reads the challenge of every order that waits for validation, writes its record through your DNS provider, sees it at
/// the zone's own name servers, waits until the order is issued, stores certificate and key, and removes the record.
#[derive(Debug, Parser)]
#[command(name = "dv-verify", version, after_long_help = EXAMPLES, disable_help_subcommand = true, subcommand_value_name = "COMMAND")]
pub(super) struct Arguments {
    /// What to do; without it, orders are verified.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Verify orders: what happens without a command.
    #[command(skip)]
    Verify,
    /// Apply for a certificate, and take the order to its end.
    #[command(after_help = "Example:\n  dv-verify apply --ca letsencrypt --provider cloudflare example.com '*.example.com'")]
    Apply(super::apply::Arguments),
    /// Renew the certificates that near their end.
    Renew(super::renew::Arguments),
    /// Write a config from what lego, certbot or acme.sh keep.
    #[command(after_help = "Example:\n  dv-verify import certbot /etc/letsencrypt --to dv-verify.toml")]
    Import(super::import::Arguments),
    /// List the account's orders: states, challenges, ages, ends.
    #[command(after_help = "Example:\n  dv-verify orders --regions cn-hangzhou,ap-southeast-1")]
    Orders(super::orders::Arguments),
    /// Withdraw the application of an order at CAS, and its records.
    Cancel(super::ending::CancelArguments),
    /// Revoke the certificate of an order at CAS.
    Revoke(super::ending::Arguments),
    /// Delete an order at CAS that is over.
    Delete(super::ending::DeleteArguments),
    /// Put a certificate of the account on cloud resources, by the vendor's own deployment.
    #[command(after_help = "Example:\n  dv-verify deploy --resources\n  dv-verify deploy www.example.com --to www.example.com")]
    Deploy(super::deploy::Arguments),
    /// Put a certificate from elsewhere, with its key, into the account.
    #[command(after_help = "Example:\n  dv-verify upload --cert fullchain.pem --key privkey.pem")]
    Upload(super::upload::Arguments),
    /// Show what every name server of the zone says about a record.
    #[command(
        after_help = "Exit code 0 where the record is visible, 5 where it is not.\n\nExample:\n  dv-verify check --file www.example.com/.well-known/pki-validation/fileauth.txt CONTENT"
    )]
    Check(Asked),
    /// Say why a record is not visible, or why an order is not issued, and what to do.
    #[command(after_help = "Exit code 0 where nothing stands in the way, 5 where something does.")]
    Explain {
        /// The owner name of a record, or an order.
        #[arg(id = "subject", value_name = "NAME|ORDER")]
        subject: String,
        /// The value that the CA wants to see, for a name.
        #[arg(id = "expected", value_name = "VALUE", allow_hyphen_values = true)]
        value: Option<String>,
    },
    /// Write, see and remove two random values: proves a provider's credentials, rights and manners.
    #[command(after_help = "Example:\n  dv-verify test --provider cloudflare --zone example.com")]
    Test,
    /// Add or remove one record, journaled.
    #[command(subcommand)]
    Record(RecordAction),
    /// Show DNS providers and what they need.
    #[command(subcommand)]
    Providers(ProvidersAction),
    /// Keep going: look for orders that wait for validation, and carry them through.
    #[command(
        after_help = "SIGHUP reads the config again. SIGTERM ends in order and keeps the records for the next start; Ctrl-C removes them.\nUnits for systemd are in dist/systemd; several machines share one PostgreSQL (--store)."
    )]
    Watch,
    /// Remove records that no order needs any more.
    Clean {
        /// Remove also what was kept on request.
        #[arg(long)]
        all: bool,
        /// Show what would be removed, and remove nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Show the whole journey on this machine: no account, no network.
    Demo,
    /// Run the simulator (CAS, name servers, a DNS provider, a CA) for your own scripts.
    #[command(
        after_help = "Example:\n  dv-verify sandbox > sandbox.env &     then, in another shell:  . ./sandbox.env; dv-verify --provider cloudflare"
    )]
    Sandbox(SandboxArguments),
    /// Print completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    Man {
        /// Write the pages of all commands into this folder instead.
        folder: Option<PathBuf>,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Show what is set, where it comes from (no secrets), and whether it works.
    Check,
}

/// A record to look for.
#[derive(Debug, Args)]
pub(super) struct Asked {
    #[command(flatten)]
    pub(super) record: RecordArguments,
    /// Wait until it is visible, at most `--propagation-timeout`.
    #[arg(long)]
    pub(super) wait: bool,
    /// Look at the web servers of a host instead: NAME is HOST/PATH of a file, VALUE its exact content.
    #[arg(id = "checked-file", long = "file", conflicts_with = "record_type")]
    pub(super) is_file: bool,
}

/// A record.
#[derive(Clone, Debug, Args)]
pub(super) struct RecordArguments {
    /// The owner name: `_dnsauth.www.example.com`.
    #[arg(id = "owner", value_name = "NAME")]
    name: String,
    /// The exact value, without quotes.
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
    /// TXT or CNAME.
    #[arg(long = "type", value_name = "TYPE", default_value = "TXT")]
    record_type: String,
}

impl RecordArguments {
    /// Name and value as they were given.
    pub(super) fn given(&self) -> (&str, &str) {
        (&self.name, &self.value)
    }

    /// The record that is meant.
    ///
    /// # Errors
    /// `ErrorKind::Usage` for what is no name, type or value.
    pub(super) fn record(&self) -> crate::error::Result<Record> {
        let record_type = RecordType::parse(&self.record_type)?;
        let value = match record_type {
            RecordType::Txt if self.value.is_empty() => {
                return Err(
                    crate::error::Error::usage(t!("the value is empty")).with_hint(t!("name the exact value of the record"))
                );
            }
            RecordType::Txt | RecordType::File => self.value.clone(),
            RecordType::Cname => Name::parse(&self.value)?.as_str().to_owned(),
        };
        Record { name: Name::parse(&self.name)?, record_type, value }.fits()
    }
}

/// What to do with one record.
#[derive(Debug, Subcommand)]
pub(super) enum RecordAction {
    /// Add the value at the name; what is there already is success.
    Add(RecordArguments),
    /// Remove this value and no other; what is not there is success.
    Remove(RecordArguments),
}

/// What to do with providers.
#[derive(Debug, Subcommand)]
pub(super) enum ProvidersAction {
    /// List the providers; with TERM, those that have it in id, title, variables or name servers.
    List {
        /// A part of a name, of a variable (`CF_Token`) or of a name server.
        term: Option<String>,
    },
    /// Show what a provider needs and can do.
    Show {
        /// Its id, or the path of a manifest.
        id: String,
    },
    /// Write a manifest and its examples to start from; asks what the options do not say.
    #[command(
        after_help = "Example:\n  dv-verify providers new mydns --base-url https://api.mydns.example/v1 --auth header --auth-name X-API-Key"
    )]
    New(NewProvider),
    /// Replay the examples of a manifest without a network.
    Replay {
        /// The path of the manifest or of its examples, or the id of a built-in one; examples are in `<name>.examples.toml` beside it.
        manifest: PathBuf,
        /// Another file of examples.
        #[arg(long, value_name = "FILE")]
        examples: Option<PathBuf>,
    },
    /// Print the JSON schema of manifests, for editors.
    Schema {
        /// That of files of examples instead.
        #[arg(long)]
        examples: bool,
    },
}

/// What a new provider's API is like.
#[derive(Debug, Args)]
pub(super) struct NewProvider {
    /// Its id: small letters, digits and `-`.
    pub(super) id: Option<String>,
    /// Its name for people [default: the id].
    #[arg(long)]
    pub(super) title: Option<String>,
    /// The base URL of its API.
    #[arg(long, value_name = "URL")]
    pub(super) base_url: Option<String>,
    /// How one authenticates [default: bearer].
    #[arg(long, value_enum)]
    pub(super) auth: Option<Auth>,
    /// The header or parameter that carries the key, with `--auth header` or `query`.
    #[arg(long, value_name = "NAME")]
    pub(super) auth_name: Option<String>,
    /// How the zone of a name is found [default: listed].
    #[arg(long, value_enum)]
    pub(super) zones: Option<Zones>,
    /// What a record is for the API [default: ids].
    #[arg(long, value_enum)]
    pub(super) records: Option<Records>,
    /// How the API writes a record's name [default: relative].
    #[arg(long, value_enum)]
    pub(super) names: Option<Names>,
    /// Where the files are written.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub(super) folder: PathBuf,
}

/// What the simulator plays.
#[derive(Debug, Args)]
pub(super) struct SandboxArguments {
    /// A zone that its name servers serve; repeatable.
    #[arg(long = "zone", value_name = "ZONE", default_values = ["example.com", "example.net"])]
    pub(super) zones: Vec<Name>,
    /// How long the two secondaries lag behind the primary.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = duration)]
    pub(super) lag: Duration,
    /// How long the CA takes to its challenge.
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = duration)]
    pub(super) challenge_delay: Duration,
    /// How long the CA takes from seeing the record to the certificate.
    #[arg(long, value_name = "DURATION", default_value = "300ms", value_parser = duration)]
    pub(super) issue_delay: Duration,
    /// The folder that its web server serves as every host, for FILE challenges.
    #[arg(long, value_name = "FOLDER")]
    pub(super) web_root: Option<PathBuf>,
    /// Refuse calls above so many per second.
    #[arg(long, value_name = "N")]
    pub(super) calls_per_second: Option<u32>,
    /// Put in a waiting order of the 2018 API for this name; repeatable.
    #[arg(long = "order-for", value_name = "NAME")]
    pub(super) orders: Vec<Name>,
}

fn duration(text: &str) -> Result<Duration, String> {
    crate::config::duration(text).map_err(|error| error.to_string())
}

/// The groups of options that the command at this path takes; an empty path is the main command. `None`: there is no such command.
pub(super) fn groups(path: &[&str]) -> Option<&'static [Group]> {
    use Group::{Acme, Applicant, Common, Delivery, Guard, Orders, Propagation, Provider, Run, Source, Status, Store};
    Some(match path {
        [] => &[Orders, Provider, Guard, Run, Propagation, Delivery, Status, Source, Store, Common],
        ["watch"] | ["config", "check"] => &Group::ALL,
        ["apply" | "renew"] => {
            &[Orders, Provider, Guard, Run, Propagation, Delivery, Status, Source, Acme, Applicant, Store, Common]
        }
        ["orders" | "revoke" | "delete"] => &[Source, Common],
        ["deploy"] => &[Delivery, Applicant, Source, Store, Common],
        ["upload"] => &[Delivery, Source, Common],
        ["check"] => &[Propagation, Common],
        ["explain"] => &[Provider, Propagation, Source, Acme, Store, Common],
        ["import"] => &[Acme, Store, Common],
        ["test"] | ["record", "add" | "remove"] => &[Provider, Guard, Propagation, Store, Common],
        ["clean" | "cancel"] => &[Provider, Propagation, Source, Store, Common],
        ["providers", "list" | "show" | "new" | "replay" | "schema"] | ["demo" | "sandbox"] => &[Common],
        ["completions" | "man" | "record" | "providers" | "config"] => &[],
        _ => return None,
    })
}
