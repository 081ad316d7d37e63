//! The guard: the order says what to write, the user says what may be written.

use super::Permission;
use crate::{
    error::{Error, Result},
    language::t,
    name::Name,
};

/// What is about to be written, as far as the guard needs to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    /// The name that the order asks for.
    pub(crate) name: &'a Name,
    /// The name that is written: another one where the user's own CNAME leads there.
    pub(crate) target: &'a Name,
    /// The zone of the provider's account that holds the name.
    pub(crate) zone: &'a Name,
    /// The names of the certificate, where the API tells them.
    pub(crate) domains: &'a [Name],
    /// The zone that the source names.
    pub(crate) root_domain: Option<&'a Name>,
    /// Whether the provider replaces the whole record set with each write.
    pub(crate) rewrites_set: bool,
}

/// Refuses what the user did not allow.
///
/// # Errors
/// `ErrorKind::Usage`, naming the option that would allow it.
pub(crate) fn permit(request: &Request<'_>, permission: &Permission) -> Result<()> {
    permit_name(request, permission)?;
    permit_apex(request, permission)
}

fn permit_name(request: &Request<'_>, permission: &Permission) -> Result<()> {
    let name = request.name;
    if permission.names.contains(name) {
        return Ok(());
    }
    let refuse = |why: String| {
        Err(Error::usage(t!("the order asks for a record at `%{name}`, %{why}", name, why))
            .with_hint(t!("if that is what you want, allow it with `--allow-name %{name}`", name)))
    };
    let in_zones = permission.zones.iter().any(|zone| name.is_within(zone));
    let outside = |name: &Name| !permission.zones.iter().any(|zone| name.is_within(zone));
    if permission.zones_limit && outside(request.target) && !permission.names.contains(request.target) {
        return refuse(t!(
            "written at `%{target}`, outside of the zones allowed with --zone (%{zones})",
            target = request.target,
            zones = list(&permission.zones)
        ));
    }
    if permission.zones_limit && !in_zones {
        return refuse(t!("outside of the zones allowed with --zone (%{zones})", zones = list(&permission.zones)));
    }
    if in_zones {
        return Ok(());
    }
    if request.domains.is_empty() {
        if name.first_label().starts_with('_') {
            return Ok(());
        }
        return refuse(t!("whose first label does not begin with `_`").to_owned());
    }
    if request.domains.iter().any(|domain| proves(name, &domain.base())) {
        return Ok(());
    }
    refuse(t!("which does not belong to the order's domain %{domains}", domains = list(request.domains)))
}

/// Whether a record at `name` can be about `domain`: at or below it, or a `_` label at one of its parents, where a CA may look too.
fn proves(name: &Name, domain: &Name) -> bool {
    if name.is_within(domain) {
        return true;
    }
    let owner = name.ancestors().find(|ancestor| !ancestor.first_label().starts_with('_')).unwrap_or_else(Name::root);
    name.first_label().starts_with('_') && !owner.is_root() && domain.is_within(&owner)
}

fn permit_apex(request: &Request<'_>, permission: &Permission) -> Result<()> {
    if request.target != request.zone || permission.apex {
        return Ok(());
    }
    let why = if request.rewrites_set {
        t!("and this provider replaces the whole record set there, which holds SPF and the like")
    } else if request.root_domain == Some(request.zone) {
        return Ok(());
    } else {
        t!("which the source does not name as its root domain")
    };
    Err(Error::usage(t!(
        "the record would be written at `%{target}`, the apex of the zone, %{why}",
        target = request.target,
        why
    ))
    .with_hint(t!("if that is what you want, allow it with `--allow-apex`")))
}

fn list(names: &[Name]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn ask(owner: &str, zone: &str, domains: &[&str], permission: &Permission) -> Result<()> {
        let domains: Vec<Name> = domains.iter().map(|domain| name(domain)).collect();
        let (owner, zone) = (name(owner), name(zone));
        permit(
            &Request { name: &owner, target: &owner, zone: &zone, domains: &domains, root_domain: None, rewrites_set: false },
            permission,
        )
    }

    #[test]
    fn a_name_of_the_orders_domain_is_allowed() {
        let nothing = Permission::default();
        for (owner, domain) in [
            ("_dnsauth.www.example.com", "www.example.com"),
            ("_dnsauth.example.com", "www.example.com"),
            ("_dnsauth.example.com", "*.example.com"),
            ("a.www.example.com", "www.example.com"),
        ] {
            ask(owner, "example.com", &[domain], &nothing).unwrap();
        }
    }

    #[test]
    fn a_name_of_another_domain_is_refused_with_the_option_that_allows_it() {
        let error = ask("_dnsauth.other.org", "other.org", &["www.example.com"], &Permission::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.hint().unwrap().contains("--allow-name _dnsauth.other.org"), "{error:?}");
        for owner in ["www.example.org", "mail.example.com", "example.com.evil.org"] {
            let zone = name(owner).parent().unwrap().to_string();
            ask(owner, &zone, &["www.example.com"], &Permission::default()).unwrap_err();
        }
        let permission = Permission { names: vec![name("_dnsauth.other.org")], ..Permission::default() };
        ask("_dnsauth.other.org", "other.org", &["www.example.com"], &permission).unwrap();
    }

    #[test]
    fn where_the_api_tells_no_domain_the_first_label_decides() {
        ask("_dnsauth.www.example.com", "example.com", &[], &Permission::default()).unwrap();
        ask("www.example.com", "example.com", &[], &Permission::default()).unwrap_err();
    }

    #[test]
    fn zones_of_the_config_allow_and_zones_of_the_command_line_limit() {
        let config = Permission { zones: vec![name("example.com")], ..Permission::default() };
        ask("anything.example.com", "example.com", &["other.org"], &config).unwrap();
        ask("_dnsauth.other.org", "other.org", &["other.org"], &config).unwrap();
        let limit = Permission { zones_limit: true, ..config };
        ask("_dnsauth.other.org", "other.org", &["other.org"], &limit).unwrap_err();
        ask("_dnsauth.example.com", "example.com", &["other.org"], &limit).unwrap();
    }

    #[test]
    fn the_apex_needs_a_root_domain_and_a_provider_that_adds() {
        let owner = name("example.com");
        let domains = [name("example.com")];
        let request = |root: Option<&'static str>, rewrites_set| {
            let root = root.map(name);
            permit(
                &Request {
                    name: &owner,
                    target: &owner,
                    zone: &owner,
                    domains: &domains,
                    root_domain: root.as_ref(),
                    rewrites_set,
                },
                &Permission::default(),
            )
        };
        request(Some("example.com"), false).unwrap();
        assert!(request(Some("example.com"), true).unwrap_err().hint().unwrap().contains("--allow-apex"));
        request(None, false).unwrap_err();
        let permission = Permission { apex: true, ..Permission::default() };
        ask("example.com", "example.com", &["example.com"], &permission).unwrap();
    }
}
