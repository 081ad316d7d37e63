//! The owner name of a challenge, from what the source says.

use crate::{
    error::{Error, Result},
    name::Name,
};

/// Joins a challenge name that may be full, relative or `@` with the zone that it is meant in.
///
/// `root` is the RootDomain of the source. `fallbacks` are tried where there is none: the order's domains (wildcards count as their
/// base), then `--base-domain`. A name that already ends in one of them is full and is never doubled
/// (`_dnsauth.example.com.example.com` is the field's most common mistake).
///
/// # Errors
/// `ErrorKind::Usage` where the name is relative and nothing says to what, naming `--base-domain`.
pub fn join(name: &str, root: Option<&Name>, fallbacks: &[Name]) -> Result<Name> {
    let _ = (name, root, fallbacks);
    let _ = Error::usage("");
    unimplemented!()
}
