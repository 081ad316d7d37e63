//! What the user chose: flags, environment and file in one precedence, and which provider instance writes which name.

mod acme;
mod applicant;
mod cas;
pub mod chosen;
pub mod file;
mod files;
mod form;
pub mod layers;
mod listen;
pub mod manner;
mod parse;
pub mod paths;
mod place;
pub mod routing;
pub mod settings;
pub mod variables;

/// A duration such as `90s`, `15m`, `1h30m`, `500ms`, `2d`.
///
/// # Errors
/// `ErrorKind::Config` for anything else.
pub fn duration(text: &str) -> crate::error::Result<std::time::Duration> {
    parse::duration(text)
}

/// A duration in the spelling that [`duration`] reads.
pub fn show_duration(duration: std::time::Duration) -> String {
    parse::show_duration(duration)
}
