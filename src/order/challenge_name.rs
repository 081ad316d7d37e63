//! The owner name of a challenge, from what the source says.

use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
};

/// Joins a challenge name that may be full, relative or `@` with the zone that it is meant in.
///
/// `root` is the RootDomain of the source; where it is given, `fallbacks` do not count. `fallbacks` are tried where there is none: the
/// order's domains, then `--base-domain`. Wildcards count as their base.
///
/// - A name that already ends in one of them is full and is never doubled (`_dnsauth.example.com.example.com` is the field's most
///   common mistake). The same holds for a name that ends in a name above one of them, down to two labels: an order for
///   `www.example.com` may be proved at `_dnsauth.example.com`.
/// - `@` and the empty name mean the root, else the first fallback.
/// - Without a root, a name of several labels is full unless a fallback says otherwise, and the labels that it shares with the first
///   fallback are not repeated: `_dnsauth.www` for an order of `www.example.com` is `_dnsauth.www.example.com`.
///
/// # Errors
/// `ErrorKind::Usage` where the name is relative and nothing says to what, naming `--base-domain`; and for what is not a domain name.
pub fn join(name: &str, root: Option<&Name>, fallbacks: &[Name]) -> Result<Name> {
    let trimmed = name.trim();
    let text = trimmed.strip_suffix('.').unwrap_or(trimmed);
    let bases: Vec<Name> = match root {
        Some(root) => vec![root.base()],
        None => fallbacks.iter().map(Name::base).collect(),
    };
    let bases: Vec<Name> = bases.into_iter().filter(|base| !base.is_root()).collect();
    if text.is_empty() || text == "@" {
        return bases.into_iter().next().ok_or_else(|| relative_to_nothing(trimmed));
    }
    let given = Name::parse(text).map_err(|error| error.context(t!("challenge name")))?;
    if bases.iter().any(|base| is_full(&given, base)) {
        return Ok(given);
    }
    match bases.first() {
        Some(base) if root.is_some() => base.below(given.as_str()),
        Some(base) => base.below(&without_overlap(&given, base)),
        None if given.labels().count() > 1 => Ok(given),
        None => Err(relative_to_nothing(trimmed)),
    }
}

/// Whether `name` ends in `base` or in a name above it that has at least two labels. No relative name ends so.
fn is_full(name: &Name, base: &Name) -> bool {
    name.is_within(base) || base.ancestors().any(|above| above.labels().count() >= 2 && name.is_within(&above))
}

/// `name` without those of its last labels that are also the first ones of `base`; at least one label stays.
fn without_overlap(name: &Name, base: &Name) -> String {
    let labels: Vec<&str> = name.labels().collect();
    let base: Vec<&str> = base.labels().collect();
    let shared = (1..labels.len()).rev().find(|&count| base.starts_with(&labels[labels.len() - count..])).unwrap_or(0);
    labels[..labels.len() - shared].join(".")
}

fn relative_to_nothing(name: &str) -> Error {
    let shown = if name.is_empty() { "@" } else { name };
    Error::usage(t!("the challenge name `%{shown}` is relative, and the order does not say to which domain", shown))
        .with_hint(t!("name the domain with `--base-domain`, such as `--base-domain example.com`"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::ErrorKind;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn joined(text: &str, root: Option<&str>, fallbacks: &[&str]) -> String {
        let root = root.map(name);
        let fallbacks: Vec<Name> = fallbacks.iter().map(|text| name(text)).collect();
        join(text, root.as_ref(), &fallbacks).unwrap().to_string()
    }

    #[test]
    fn a_relative_name_is_put_below_the_root() {
        assert_eq!(joined("_dnsauth.www", Some("example.com"), &[]), "_dnsauth.www.example.com");
        assert_eq!(joined("_dnsauth", Some("example.com"), &["www.example.com"]), "_dnsauth.example.com");
        assert_eq!(joined("_DnsAuth.", Some("Example.COM."), &[]), "_dnsauth.example.com");
        assert_eq!(joined(" _dnsauth ", Some("*.example.com"), &[]), "_dnsauth.example.com");
        // With a stated root nothing is merged: the zone is www.com, the host below it is called www.
        assert_eq!(joined("_dnsauth.www", Some("www.com"), &[]), "_dnsauth.www.www.com");
    }

    #[test]
    fn at_means_the_root_itself() {
        assert_eq!(joined("@", Some("example.com"), &[]), "example.com");
        assert_eq!(joined("", Some("example.com"), &[]), "example.com");
        assert_eq!(joined("@", None, &["*.example.com", "example.org"]), "example.com");
    }

    #[test]
    fn a_full_name_is_never_doubled() {
        assert_eq!(joined("_dnsauth.www.example.com", Some("example.com"), &[]), "_dnsauth.www.example.com");
        assert_eq!(joined("_dnsauth.www.example.com.", Some("example.com"), &[]), "_dnsauth.www.example.com");
        assert_eq!(joined("example.com", Some("example.com"), &[]), "example.com");
        assert_eq!(joined("_dnsauth.EXAMPLE.com", None, &["*.example.com"]), "_dnsauth.example.com");
        // Full, but at a name above the order's own.
        assert_eq!(joined("_dnsauth.example.com", None, &["www.example.com"]), "_dnsauth.example.com");
        // What arrives doubled is what the CA will look at: it is not tripled, and not corrected by guess.
        let doubled = "_dnsauth.example.com.example.com";
        assert_eq!(joined(doubled, Some("example.com"), &[]), doubled);
        assert_eq!(joined(doubled, None, &["example.com"]), doubled);
        // A suffix counts at a label only.
        assert_eq!(joined("_dnsauth.badexample.com", Some("example.com"), &[]), "_dnsauth.badexample.com.example.com");
    }

    #[test]
    fn without_a_root_the_fallbacks_are_tried_in_order() {
        assert_eq!(joined("_dnsauth", None, &["*.example.com", "example.org"]), "_dnsauth.example.com");
        assert_eq!(joined("_dnsauth.example.org", None, &["example.com", "example.org"]), "_dnsauth.example.org");
        assert_eq!(joined("_dnsauth.www", None, &["www.example.com"]), "_dnsauth.www.example.com");
        assert_eq!(joined("_dnsauth", None, &["www.example.com"]), "_dnsauth.www.example.com");
        assert_eq!(joined("_dnsauth.www.example.com", None, &[]), "_dnsauth.www.example.com");
    }

    #[test]
    fn international_names_meet_in_their_ascii_form() {
        assert_eq!(joined("_dnsauth.bücher.example", Some("xn--bcher-kva.example"), &[]), "_dnsauth.xn--bcher-kva.example");
        assert_eq!(joined("_dnsauth", Some("例子.测试"), &[]), "_dnsauth.xn--fsqu00a.xn--0zwm56d");
    }

    #[test]
    fn a_relative_name_without_a_domain_is_an_error_that_names_the_option() {
        for text in ["_dnsauth", "@", "", "_dnsauth."] {
            let error = join(text, None, &[]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{text}");
            assert!(error.hint().unwrap().contains("--base-domain"), "{text}");
        }
        assert!(join("a b", Some(&name("example.com")), &[]).is_err());
    }

    fn label() -> impl Strategy<Value = String> {
        "[a-z][a-z0-9]{0,8}"
    }

    proptest! {
        #[test]
        fn joining_twice_changes_nothing(
            relative in prop::collection::vec(label(), 0..3),
            base in prop::collection::vec(label(), 2..4),
            stated in any::<bool>(),
        ) {
            let base = name(&base.join("."));
            let text = format!("_{}", [vec!["dnsauth".to_owned()], relative].concat().join("."));
            let fallbacks = [base.clone()];
            let (root, fallbacks) = if stated { (Some(&base), &[][..]) } else { (None, &fallbacks[..]) };
            let once = join(&text, root, fallbacks).unwrap();
            prop_assert_eq!(&join(once.as_str(), root, fallbacks).unwrap(), &once);
            prop_assert_eq!(&join(&once.with_dot(), root, fallbacks).unwrap(), &once);
            prop_assert_eq!(&join(&once.as_str().to_ascii_uppercase(), root, fallbacks).unwrap(), &once);
            prop_assert!(once.as_str().starts_with("_dnsauth"));
        }

        #[test]
        fn a_relative_name_lands_within_the_root(host in label(), base in prop::collection::vec(label(), 2..4)) {
            let base = name(&base.join("."));
            let full = join(&format!("_x.{host}"), Some(&base), &[]).unwrap();
            prop_assert_eq!(full.as_str(), format!("_x.{host}.{base}"));
        }
    }
}
