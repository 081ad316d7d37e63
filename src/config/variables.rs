//! Every environment variable that the program reads, apart from credentials.
//!
//! Each option has one too: `DV_` and its name ([`of_setting`]; the names are in [`super::settings::SETTINGS`]). Credentials of providers
//! are `DV_<INSTANCE>_<NAME>` and `DV_<ID>_<NAME>`, which `dv-verify providers show ID` lists; those of Alibaba Cloud are its own.

/// What is logged, in the syntax of `tracing-subscriber` (`dv_verify=debug`); wins over `-v`.
pub const LOG: &str = "DV_LOG";

/// Set to anything: no colour (<https://no-color.org>). `--color always` wins.
pub const NO_COLOR: &str = "NO_COLOR";

/// The kind of terminal; `dumb` gets neither colour nor live progress.
pub const TERM: &str = "TERM";

/// Where a user's state lies (XDG base directories); default `~/.local/state`.
pub const XDG_STATE_HOME: &str = "XDG_STATE_HOME";

/// Where a user's configuration lies (XDG base directories); default `~/.config`.
pub const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";

/// The control API of a running `dv-verify sandbox`, which prints it; for scripts that use it.
pub const SANDBOX_CONTROL: &str = "DV_SANDBOX_CONTROL";

/// The key of the external account at an ACME CA, base64url; `--eab-key-file` names a file with it instead.
pub const EAB_KEY: &str = "DV_EAB_KEY";

/// The variable of an option: `DV_POLL_INTERVAL` for `poll-interval`.
pub fn of_setting(name: &str) -> String {
    format!("DV_{}", name.replace('-', "_").to_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_has_a_variable() {
        assert_eq!(of_setting("poll-interval"), "DV_POLL_INTERVAL");
    }
}
