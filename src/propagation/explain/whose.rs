//! Whose name servers serve the zone, as far as their names tell. Pure.

use super::{
    ExplainContext, Finding, Severity,
    facts::{ZoneFacts, texts},
};
use crate::{language::t, name::Name, propagation::text::and};

/// Whether they are those of the provider that is written to, and who else has such.
pub(super) fn findings(zone: &ZoneFacts, context: &ExplainContext) -> Vec<Finding> {
    [other_provider(zone, context), providers_of(zone, context)].into_iter().flatten().collect()
}

fn other_provider(zone: &ZoneFacts, context: &ExplainContext) -> Option<Finding> {
    let suffixes = &context.name_server_suffixes;
    let names = zone.named_servers();
    let apex = zone.zone.as_ref()?;
    if suffixes.is_empty() || names.is_empty() {
        return None;
    }
    let provider = and(suffixes);
    let foreign: Vec<Name> =
        names.iter().filter(|name| !suffixes.iter().any(|suffix| ends_with(name, suffix))).cloned().collect();
    let list = and(&texts(&foreign));
    if foreign.len() == names.len() {
        Some(Finding::new(
            Severity::Blocks,
            t!(
                "%{apex} is not delegated to the provider that is written to: its name servers are %{list}, those of the provider end in %{provider}.",
                apex,
                list,
                provider
            ),
            Some(match owners(&names, context).as_slice() {
                [] => t!("Write to the provider that serves the zone, or change the name servers at the registrar.").to_owned(),
                known => t!(
                    "Write to the provider that serves the zone (by its name servers %{known}), or change the name servers at the registrar.",
                    known = known.join(t!(" or "))
                ),
            }),
        ))
    } else if foreign.is_empty() {
        None
    } else {
        Some(Finding::new(
            Severity::Risk,
            if foreign.len() == 1 {
                t!(
                    "%{apex} is served by more than the provider that is written to: %{list} is elsewhere, and must get the record too.",
                    apex,
                    list
                )
            } else {
                t!(
                    "%{apex} is served by more than the provider that is written to: %{list} are elsewhere, and must get the record too.",
                    apex,
                    list
                )
            },
            Some(t!("Check that the other servers copy the zone from the provider.").to_owned()),
        ))
    }
}

/// Whose the name servers are, where no provider is set, or where several providers have name servers of the same names.
fn providers_of(zone: &ZoneFacts, context: &ExplainContext) -> Option<Finding> {
    let apex = zone.zone.as_ref()?;
    let known = owners(&zone.named_servers(), context);
    let told = |next: String| {
        let what =
            t!("By their names, the name servers of %{apex} are those of %{known}.", apex, known = known.join(t!(" or of ")));
        Some(Finding::new(Severity::Note, what, Some(next)))
    };
    match (&context.provider, known.as_slice()) {
        (_, []) => None,
        (None, [only]) => told(t!("Write with `--provider %{provider}`.", provider = only.trim_matches('`'))),
        (None, _) => told(t!("Write with the one that holds the zone (`--provider`); their names do not tell which.").to_owned()),
        (Some(ours), several) if several.len() > 1 && several.iter().any(|id| id.trim_matches('`') == ours) => told(
            t!("If the record was written and no server shows it, look in which of these accounts the zone is, and write with that (`--provider`).")
                .to_owned(),
        ),
        (Some(_), _) => None,
    }
}

/// The providers whose name servers have such names, all of them; each in backticks.
fn owners(names: &[Name], context: &ExplainContext) -> Vec<String> {
    let is_of =
        |suffixes: &[String]| !names.is_empty() && names.iter().all(|name| suffixes.iter().any(|suffix| ends_with(name, suffix)));
    context.providers.iter().filter(|(_, suffixes)| is_of(suffixes)).map(|(id, _)| format!("`{id}`")).collect()
}

fn ends_with(name: &Name, suffix: &str) -> bool {
    let suffix = suffix.trim_matches('.').to_ascii_lowercase();
    let name = name.as_str().to_ascii_lowercase();
    name == suffix || name.strip_suffix(&suffix).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{facts::Facts, tests::facts},
        *,
    };

    fn context(ours: Option<&str>) -> ExplainContext {
        let providers = [("one", "ns.test"), ("two", "test"), ("three", "other.test")];
        let suffix = providers.iter().find(|(id, _)| Some(*id) == ours).map(|(_, suffix)| (*suffix).to_owned());
        ExplainContext {
            name_server_suffixes: suffix.into_iter().collect(),
            provider: ours.map(str::to_owned),
            providers: providers.map(|(id, suffix)| (id.to_owned(), vec![suffix.to_owned()])).to_vec(),
            ..ExplainContext::default()
        }
    }

    fn said(facts: &Facts, context: &ExplainContext) -> Vec<(Severity, String, String)> {
        let found = findings(facts.zone.as_ref().unwrap(), context).into_iter();
        found.map(|finding| (finding.severity, finding.what, finding.do_next.unwrap_or_default())).collect()
    }

    #[test]
    fn name_servers_are_compared_with_the_providers_at_labels() {
        for (suffix, severity) in
            [("ns.test", None), (".NS.test.", None), ("s.test", Some(Severity::Blocks)), ("a.ns.test", Some(Severity::Risk))]
        {
            let context = ExplainContext { name_server_suffixes: vec![suffix.to_owned()], ..ExplainContext::default() };
            let found = said(&facts(), &context);
            assert_eq!(found.first().map(|found| found.0), severity, "{suffix}: {found:?}");
        }
        assert!(said(&facts(), &context(Some("three")))[0].1.contains("a.ns.test and b.ns.test"));
    }

    #[test]
    fn every_provider_with_such_name_servers_is_named() {
        let told = |ours| said(&facts(), &context(ours));
        // The zone is elsewhere: where, as far as is known.
        let elsewhere = told(Some("three"));
        assert!(elsewhere.len() == 1 && elsewhere[0].2.contains("(by its name servers `one` or `two`)"), "{elsewhere:?}");
        // Two have such name servers, and the zone may be with either.
        for ours in ["one", "two"] {
            let shared = told(Some(ours));
            assert_eq!(shared.len(), 1, "{shared:?}");
            assert_eq!(shared[0].0, Severity::Note);
            assert!(shared[0].1.ends_with("are those of `one` or of `two`."), "{shared:?}");
        }
        let nobody = told(None);
        assert!(nobody.len() == 1 && nobody[0].2.contains("do not tell which"), "{nobody:?}");
        let mut alone = context(None);
        alone.providers.truncate(1);
        assert_eq!(said(&facts(), &alone)[0].2, "Write with `--provider one`.");
        alone.provider = Some("one".to_owned());
        assert_eq!(said(&facts(), &alone), []);
    }
}
