//! The table of all options: one line of facts for each, from which flags, help, variables, config keys and documentation follow.

use super::variables;
use crate::order::acme::KeyType;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing: it is there or not. In the environment and the file a boolean.
    Flag,
    /// Nothing, but it counts. In the environment and the file a number.
    Count,
    /// One value.
    Value,
    /// Any number of values: a repeated flag, a list in the file, in the environment separated by this character.
    List(char),
}

/// What an option is about: its heading in the help, and which commands take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Group {
    /// Which orders.
    Orders,
    /// How CAS is reached.
    Source,
    /// Which ACME CA, and as whom.
    Acme,
    /// Who applies at CAS.
    Applicant,
    /// Who writes records.
    Provider,
    /// What may be written.
    Guard,
    /// How records are seen.
    Propagation,
    /// How long to wait, and what to leave out.
    Run,
    /// Where certificates go, and who is told.
    Delivery,
    /// What only `watch` does.
    Watch,
    /// Who sees what goes on.
    Status,
    /// Where the program remembers.
    Store,
    /// What is shown, and the config file; every command takes these.
    Common,
}

impl Group {
    /// All groups, in the order of the help.
    pub const ALL: [Self; 13] = [
        Self::Orders,
        Self::Provider,
        Self::Guard,
        Self::Run,
        Self::Propagation,
        Self::Delivery,
        Self::Watch,
        Self::Status,
        Self::Source,
        Self::Acme,
        Self::Applicant,
        Self::Store,
        Self::Common,
    ];

    /// The heading in the help and in docs/configuration.md.
    pub fn heading(self) -> &'static str {
        match self {
            Self::Orders => "Which orders",
            Self::Source => "Alibaba Cloud",
            Self::Acme => "ACME",
            Self::Applicant => "The applicant, at CAS",
            Self::Provider => "DNS provider",
            Self::Guard => "What may be written",
            Self::Propagation => "Seeing the record",
            Self::Run => "The run",
            Self::Delivery => "Certificates and hooks",
            Self::Watch => "Watching",
            Self::Status => "Being seen",
            Self::Store => "Memory",
            Self::Common => "Output and configuration",
        }
    }
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The long flag without dashes: `poll-interval`.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What it is about.
    pub group: Group,
    /// What stands for the value in the help.
    pub value_name: &'static str,
    /// The only words that it takes; empty: no such list.
    pub choices: &'static [&'static str],
    /// The default as the user would write it, or in words; `None`: unset.
    pub default: Option<&'static str>,
    /// One line.
    pub help: &'static str,
    /// More, for `--help`; empty: nothing more.
    pub details: &'static str,
    /// The short flag.
    pub short: Option<char>,
    /// Another long flag.
    pub alias: Option<&'static str>,
    /// The config key, where it is not the name with `_`; empty: none.
    own_key: Option<&'static str>,
}

impl Setting {
    /// The environment variable: `DV_POLL_INTERVAL`.
    pub fn variable(&self) -> String {
        variables::of_setting(self.name)
    }

    /// The key in the config file: `poll_interval`; `None` where it makes no sense there.
    pub fn key(&self) -> Option<String> {
        match self.own_key {
            Some("") => None,
            Some(key) => Some(key.to_owned()),
            None => Some(self.name.replace('-', "_")),
        }
    }

    const fn new(kind: Kind, group: Group, name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self {
            name,
            kind,
            group,
            value_name,
            choices: &[],
            default: None,
            help,
            details: "",
            short: None,
            alias: None,
            own_key: None,
        }
    }

    const fn default(mut self, default: &'static str) -> Self {
        self.default = Some(default);
        self
    }

    const fn choices(mut self, choices: &'static [&'static str]) -> Self {
        self.choices = choices;
        self
    }

    const fn details(mut self, details: &'static str) -> Self {
        self.details = details;
        self
    }

    const fn short(mut self, short: char) -> Self {
        self.short = Some(short);
        self
    }

    const fn alias(mut self, alias: &'static str) -> Self {
        self.alias = Some(alias);
        self
    }

    const fn key_is(mut self, key: &'static str) -> Self {
        self.own_key = Some(key);
        self
    }
}

/// The option of this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// Every option of the program.
pub const SETTINGS: &[Setting] = &[
    list(',', Group::Orders, "order", "ID", "Only this order; repeatable").alias("instance-id").details(
        "Without it: every order that waits for validation, and what earlier runs left unfinished. `dv-verify orders` lists the ids.",
    ),
    list(',', Group::Orders, "domain", "NAME", "Only orders for this name; repeatable"),
    value(Group::Orders, "base-domain", "NAME", "What relative challenge names are relative to, where the API does not say"),
    value(Group::Provider, "provider", "PROVIDER", "Who writes the records").key_is("default_provider").details(
        "A provider instance of the config, a built-in id (`dv-verify providers list`), or the path of a manifest (with a `/`, or ending in `.toml`). \
         `manual` shows the records and waits until somebody has added them. The flag and the variable win over all routes of the config; the \
         config's key `default_provider` counts where no route fits.",
    ),
    list(',', Group::Provider, "webroot", "[HOST=]FOLDER", "The folder that a web server serves, for FILE challenges; repeatable")
        .details(
            "With a host it counts for that host and those below it, without for all. No symbolic link below the folder is followed, no other file is \
             replaced. See docs/file-challenges.md.",
        ),
    value(Group::Provider, "file-hook", "PROGRAM", "Publishes and removes files where no --webroot fits").details(
        "Called as `PROGRAM add HOST PATH` and `PROGRAM remove HOST PATH`, with DV_FILE_CONTENT, DV_FILE_HOST, DV_FILE_PATH and DV_FILE_URL in its \
         environment, and no credentials. Adding what is there and removing what is not must succeed.",
    ),
    list(',', Group::Guard, "zone", "ZONE", "Write in this zone and nowhere else; repeatable"),
    list(',', Group::Guard, "allow-name", "NAME", "Write at this name, though it is not the order's; repeatable"),
    flag(Group::Guard, "allow-apex", "Write at the apex of a zone"),
    list(
        ',',
        Group::Guard,
        "allow-zone-rewrite",
        "ZONE",
        "Let a provider that has no other way replace this zone as a whole; repeatable",
    )
    .details("Said once, it is remembered for the zone. A copy of the zone is kept beside the store before each write."),
    value(Group::Run, "timeout", "DURATION", "How long an order may take in all").default("75m").details(
        "Exit code 7 when the time is up; the next run goes on where this one stopped.",
    ),
    value(Group::Run, "challenge-timeout", "DURATION", "How long the CA may take to its challenge").default("10m"),
    value(Group::Run, "poll-interval", "DURATION", "The longest step between two looks at an order").default("30s"),
    value(Group::Run, "parallel", "N", "Orders at the same time; 0: 2000, for `watch` 200").default("0"),
    flag(Group::Run, "dry-run", "Show what would be written where, and write nothing"),
    flag(Group::Run, "no-wait", "Publish the records, see them, and leave; a later run goes on"),
    value(Group::Run, "splay", "DURATION", "Wait at random up to so long before the run, for cron").details(
        "So that many machines with the same line do not call at the same second. A signal ends the wait at once.",
    ),
    flag(Group::Run, "no-follow", "Write at the challenge's own name, whatever CNAME stands there"),
    flag(Group::Run, "keep-record", "Leave the records in place; `record remove` or `clean --all` takes them away"),
    value(Group::Propagation, "policy", "POLICY", "When a record counts as visible").default("reachable").details(
        "reachable: every server that answers shows it, and one does. all: every address of every server. quorum=N: N servers. any: one server.",
    ),
    value(Group::Propagation, "propagation-timeout", "DURATION", "How long a record may take to be visible")
        .default("15m, or twice the provider's usual delay"),
    list(';', Group::Propagation, "authority", "ZONE=ADDR[:PORT],…", "Who answers for a zone; repeatable").details(
        "For a hidden primary, split horizon and tests: these servers are asked instead of those that DNS names. IPv6 addresses with a port are \
         in brackets: example.com=192.0.2.1,[2001:db8::1]:5353",
    ),
    list(',', Group::Propagation, "resolver", "RESOLVER", "A recursive resolver; repeatable").default("the system's").details(
        "ADDR[:PORT], tls://HOST[:PORT] or https://HOST/PATH. Used to find zones and their servers, and to see the record once all name servers \
         show it. Who states resolvers gets these and no others.",
    ),
    list(',', Group::Propagation, "web-server", "URL", "Who serves files, instead of who DNS names; repeatable").details(
        "Such as http://192.0.2.1 or https://[2001:db8::1]:8443, for a machine that cannot reach its own public address, and tests. Every host is asked \
         for there, under its own name.",
    ),
    value(Group::Propagation, "vantage", "SET", "Also look from these public resolvers, once visible").choices(&["cn", "global", "all"]),
    flag(Group::Propagation, "wait-negative", "Wait until no resolver remembers that the record was not there"),
    value(Group::Delivery, "out", "FOLDER", "The folder of all certificates").default("`certificates` in the state folder"),
    value(Group::Delivery, "name", "NAME", "The folder of the one order in it").default("the first name of the certificate"),
    list(',', Group::Delivery, "format", "FORMAT", "Certificate files beside the PEM ones; repeatable").default("pem").details(
        "pkcs12: `cert.p12` for Java and Windows. combined: `combined.pem` with the key, for HAProxy. der: `cert.der` and `privkey.der`. The PEM files \
         are always there.",
    ),
    value(Group::Delivery, "pkcs12-password-file", "FILE", "A file that holds the password of `cert.p12`")
        .details("The file must not be readable by others."),
    value(Group::Delivery, "key-mode", "MODE", "The mode of files that hold the private key").default("0600"),
    value(Group::Delivery, "file-owner", "USER", "Who owns the certificate files: a name or a number").default("this user"),
    value(Group::Delivery, "file-group", "GROUP", "The group of the certificate files: a name or a number").default("this user's"),
    value(Group::Delivery, "keep", "N", "Older certificates of the same names that stay; the others are removed").default("all"),
    list('\n', Group::Delivery, "hook", "PROGRAM", "Run this after a new certificate; repeatable").details(
        "It finds the paths in its environment: DV_CERT, DV_CHAIN, DV_FULLCHAIN, DV_PRIVKEY, DV_LIVE, DV_FOLDER, DV_NAMES, DV_SERIAL, DV_NOT_AFTER, \
         DV_ORDER_ID. Credentials are taken out of the environment.",
    ),
    list('\n', Group::Delivery, "hook-shell", "LINE", "The same for a line of shell; repeatable"),
    list('\n', Group::Delivery, "on-issued", "PROGRAM", "Tell somebody of a new certificate; repeatable").details(
        "A notice: where it fails, that is a warning, and it is not tried again. What it finds in its environment, and scripts for chats and mail, are \
         in docs/notify.md.",
    ),
    list('\n', Group::Delivery, "on-failure", "PROGRAM", "Tell somebody of a failure; repeatable").details(
        "Of an order, or of the run as a whole. DV_MESSAGE says what failed, DV_HINT what to do; docs/notify.md has scripts for chats and mail.",
    ),
    value(Group::Delivery, "hook-timeout", "DURATION", "How long a hook may take").default("2m"),
    value(Group::Watch, "interval", "DURATION", "How often `watch` looks for new orders").default("1m").details(
        "Machines that share a store take turns. A list of many pages is asked for less often, so that it takes a twentieth of the time at most.",
    ),
    value(Group::Watch, "renew-before", "DURATION", "How long before its end a certificate is reported, or renewed at CAS").default("30d"),
    flag(Group::Watch, "renew", "Renew certificates that are due, and apply for those of the config").details(
        "What `dv-verify renew` does, for as long as the watch lives: at ACME CAs when the CA asks for it, else in the last third of the lifetime; at CAS \
         what ends within `--renew-before`. `[[certificate]]` of the config is applied for where it is not there yet.",
    ),
    value(Group::Status, "listen", "ADDR:PORT", "Show what goes on: a page at /, and /metrics, /healthz, /readyz").details(
        "While the program runs. On loopback (127.0.0.1:9123) for everybody on this machine; anywhere else only with a token. It speaks plain HTTP: \
         for other machines put a web server with TLS in front (docs/status.md).",
    ),
    value(Group::Status, "listen-token-file", "FILE", "A file with the token that readers must show").details(
        "As `Authorization: Bearer TOKEN`, or as the password that a browser asks for, with any user name. At least 16 characters; the file must not \
         be readable by others. /healthz and /readyz do without.",
    ),
    list(',', Group::Status, "listen-host", "NAME", "A name by which readers come; repeatable").details(
        "Beside `localhost` and addresses. Requests that come by other names are refused, since a web page elsewhere may have sent them.",
    ),
    value(Group::Source, "account", "NAME", "Which account the orders are of, where several share a store").details(
        "A name of your choice: letters, digits, `-`, `_` and `.`. Orders, records and the budget of calls of accounts with different names are kept apart. The \
         credentials say which account it really is (docs/fleet.md).",
    ),
    value(Group::Source, "api", "API", "The generation of the API").default("auto").choices(&["auto", "2018", "order", "instance"]),
    value(Group::Source, "region", "REGION", "The region of the orders").default("cn-hangzhou"),
    value(Group::Source, "endpoint", "URL", "The CAS host, for all generations").default("by region"),
    value(Group::Source, "signature", "VERSION", "The signature of requests").default("v3, for 2018 v1").choices(&["v1", "v3"]),
    value(Group::Source, "source-ip", "ADDR", "The parameter SourceIp of the 2018 API"),
    value(Group::Source, "rate", "N", "Calls per second, over all orders").default("10"),
    value(Group::Acme, "ca", "CA", "The ACME CA: a name, or the URL of its directory").details(
        "letsencrypt, letsencrypt-staging, zerossl, google, sslcom, or an https URL. Without it, orders are those of CAS.",
    ),
    value(Group::Acme, "ca-file", "FILE", "Trust the ACME server by these CA certificates (PEM)").details(
        "For a CA of your own. Instead of those that the system trusts, and for talking to the ACME server only.",
    ),
    list(',', Group::Acme, "contact", "EMAIL", "Where the CA may write to; repeatable"),
    value(Group::Acme, "eab-key-id", "ID", "External account binding: the id of the key").details(
        "The key itself (base64url, as the CA shows it) is in the variable DV_EAB_KEY, or in the file that `--eab-key-file` names.",
    ),
    value(Group::Acme, "eab-key-file", "FILE", "External account binding: the file with the key"),
    value(Group::Acme, "key-type", "TYPE", "The key of a new certificate").default("p256").choices(&KeyType::WORDS).details(
        "Made here (RSA by this machine's `openssl`), and kept by the state folder until it is delivered. For a key of your own: `--csr`.",
    ),
    value(Group::Applicant, "applicant-name", "NAME", "Who applies: packages and the 2018 API want to know"),
    value(Group::Applicant, "applicant-email", "EMAIL", "The mail address of the applicant"),
    value(Group::Applicant, "applicant-phone", "NUMBER", "The telephone number of the applicant"),
    value(Group::Applicant, "applicant-province", "PLACE", "The province of the applicant, in pinyin; 2018 only"),
    value(Group::Applicant, "applicant-city", "PLACE", "The city of the applicant, in pinyin; 2018 only"),
    list(',', Group::Applicant, "contact-id", "N", "A contact for an instance that has none; repeatable"),
    value(Group::Acme, "profile", "NAME", "The CA's profile, such as `tlsserver` or `shortlived`"),
    value(Group::Store, "store", "PLACE", "The journal of records and what is known of orders")
        .default("`store.db` in the state folder")
        .details(
            "A file, or `postgres://USER@HOST:PORT/DATABASE` for several machines (docs/fleet.md). A URL with a password is refused here, since \
             others can read it: see `--store-file`, or use PGPASSFILE.",
        ),
    value(Group::Store, "store-file", "FILE", "A file that holds the place of the store").details(
        "For a URL with a password. Instead of `--store`. The file must not be readable by others.",
    ),
    value(Group::Store, "lease", "DURATION", "How long a silent machine keeps its orders").default("30s").details(
        "On PostgreSQL: a machine that gives no sign of life for so long loses its orders to the others. At least 1s.",
    ),
    value(Group::Common, "config", "FILE", "The config file").key_is("").default("see `config check`"),
    value(Group::Common, "output", "FORMAT", "For people, or one JSON object per line")
        .default("human")
        .choices(&["human", "json"]),
    value(Group::Common, "lang", "LANGUAGE", "The language of the program, and of CAS's messages")
        .default("the locale's")
        .choices(&["zh", "en"]),
    flag(Group::Common, "detailed-exit-code", "Exit with 10 instead of 0 where something new was issued"),
    count(Group::Common, "verbose", "Say more; twice: say everything").short('v'),
    flag(Group::Common, "quiet", "Say nothing but errors, one line each, and what was asked for").short('q'),
    value(Group::Common, "color", "WHEN", "Colours").default("auto").choices(&["auto", "always", "never"]),
];

const fn value(group: Group, name: &'static str, value_name: &'static str, help: &'static str) -> Setting {
    Setting::new(Kind::Value, group, name, value_name, help)
}

const fn list(separator: char, group: Group, name: &'static str, value_name: &'static str, help: &'static str) -> Setting {
    Setting::new(Kind::List(separator), group, name, value_name, help)
}

const fn flag(group: Group, name: &'static str, help: &'static str) -> Setting {
    Setting::new(Kind::Flag, group, name, "", help)
}

const fn count(group: Group, name: &'static str, help: &'static str) -> Setting {
    Setting::new(Kind::Count, group, name, "", help)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_and_keys_are_unique_and_help_is_short() {
        let mut seen = HashSet::new();
        for setting in SETTINGS {
            assert!(seen.insert(setting.name.to_owned()), "{} twice", setting.name);
            assert!(setting.key().is_none_or(|key| key == setting.name || seen.insert(key)), "key of {}", setting.name);
            assert!(setting.help.len() < 80 && !setting.help.ends_with('.'), "{}", setting.help);
            assert!(Group::ALL.contains(&setting.group));
        }
    }

    #[test]
    fn every_option_is_in_the_documentation() {
        let page = include_str!("../../docs/configuration.md");
        for setting in SETTINGS {
            assert!(page.contains(&format!("`--{}`", setting.name)), "--{} is not in docs/configuration.md", setting.name);
            assert!(
                page.contains(&format!("`{}`", setting.variable())),
                "{} is not in docs/configuration.md",
                setting.variable()
            );
            if let Some(key) = setting.key() {
                assert!(page.contains(&format!("`{key}`")), "`{key}` is not in docs/configuration.md");
            }
        }
        for variable in [
            variables::LOG,
            variables::NO_COLOR,
            variables::TERM,
            variables::XDG_STATE_HOME,
            variables::XDG_CONFIG_HOME,
            variables::SANDBOX_CONTROL,
        ] {
            assert!(page.contains(&format!("`{variable}`")), "{variable} is not in docs/configuration.md");
        }
    }
}
