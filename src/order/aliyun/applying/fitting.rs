//! What goes with what: names, instances, products, applicants. Decisions without I/O.

use super::{
    super::{listed::Listed, words},
    Application, Way,
};
use crate::{
    error::{Error, Result},
    language::t,
    name::{Name, same_names},
};

/// The most names of an order out of a package.
const MOST_NAMES: usize = 5;

/// Name, mail address, telephone, and for 2018 province and city.
pub(super) fn applicant(application: &Application, of_2018: bool) -> Result<[&str; 5]> {
    let applicant = &application.applicant;
    let needed = [
        ("--applicant-name", &applicant.name, true),
        ("--applicant-email", &applicant.email, true),
        ("--applicant-phone", &applicant.phone, true),
        ("--applicant-province", &applicant.province, of_2018),
        ("--applicant-city", &applicant.city, of_2018),
    ];
    let missing: Vec<&str> =
        needed.iter().filter(|(_, value, needed)| *needed && value.is_none()).map(|(option, ..)| *option).collect();
    if missing.is_empty() {
        return Ok(needed.map(|(_, value, _)| value.as_deref().unwrap_or_default()));
    }
    Err(Error::usage(t!("the CA wants to know who applies: %{missing} is missing", missing = missing.join(", "))).with_hint(t!(
        "give it as an option, as a variable (`DV_APPLICANT_NAME` …), or once in the config (`applicant_name = \"…\"`)"
    )))
}

/// A free instance that takes the names, the smallest one that does; or one that is being applied for with the same names.
pub(super) fn choose(rows: &[Listed], application: &Application) -> Result<Way> {
    let state = |row: &Listed| words::normalized(&row.summary.state);
    if let Some(row) = rows.iter().find(|row| state(row) == "pending" && same_names(&row.summary.domains, &application.names)) {
        return Ok(Way::Already { id: row.summary.id.clone() });
    }
    let wildcards = application.names.iter().filter(|name| name.is_wildcard()).count() as u64;
    let plain = application.names.len() as u64 - wildcards;
    let inactive: Vec<&Listed> = rows.iter().filter(|row| state(row) == "inactive" && row.summary.is_domain_validated).collect();
    // An instance that was never used may not tell what it takes.
    let fits = |row: &&&Listed| row.capacity.is_none_or(|(full, wild)| full + wild == 0 || (full >= plain && wild >= wildcards));
    let best = inactive.iter().filter(fits).min_by_key(|row| row.capacity.map_or(u64::MAX, |(full, wild)| full + wild));
    match best {
        Some(row) => Ok(Way::Instance { id: row.summary.id.clone(), before: None }),
        None if inactive.is_empty() => Err(Error::usage(t!("no instance is free to apply with")).with_hint(t!(
            "buy one or claim a free test certificate in the certificate console, or name a package with `--product CODE`"
        ))),
        None => Err(Error::usage(t!(
            "none of the %{inactive} free instances takes %{plain} plain names and %{wildcards} wildcards",
            inactive = inactive.len(),
            plain,
            wildcards
        ))
        .with_hint(t!("apply for fewer names at once, or name an instance yourself with `--instance ID`"))),
    }
}

/// Whether the names can be those of an order of this product, as far as the code tells.
pub(super) fn fits_product(product: &str, application: &Application) -> Result<()> {
    let wildcards = application.names.iter().filter(|name| name.is_wildcard()).count();
    if application.names.len() > MOST_NAMES {
        return Err(Error::usage(t!("an order of a package has at most %{MOST_NAMES} names", MOST_NAMES)));
    }
    if application.key_algorithm.is_some() {
        return Err(Error::usage(t!("an order of a package takes no `--key-algorithm`"))
            .with_hint(t!("use `--csr FILE` with a key of your own, or `--generate-key`")));
    }
    if product.contains("-w-") && wildcards < application.names.len() {
        return Err(
            Error::usage(t!("`%{product}` is a product for wildcards", product)).with_hint(t!("apply for `*.example.com`"))
        );
    }
    if product.contains("-1-") && wildcards > 0 {
        return Err(Error::usage(t!("`%{product}` is a product for plain names", product))
            .with_hint(t!("wildcards need a product with `-w-`")));
    }
    Ok(())
}

pub(super) fn list(names: &[Name]) -> String {
    names.iter().map(Name::as_str).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{super::Applicant, *};
    use crate::order::{Generation, OrderId, OrderSummary};

    fn names(list: &[&str]) -> Vec<Name> {
        list.iter().map(|name| Name::parse(name).unwrap()).collect()
    }

    fn application(list: &[&str]) -> Application {
        Application {
            names: names(list),
            csr: None,
            key_algorithm: None,
            applicant: Applicant::default(),
            contacts: Vec::new(),
            by_file: false,
        }
    }

    fn row(id: &str, state: &str, domains: &[&str], capacity: Option<(u64, u64)>) -> Listed {
        let summary = OrderSummary {
            id: OrderId::parse(id).unwrap(),
            generation: Generation::Instance,
            domains: names(domains),
            state: state.to_owned(),
            is_final: false,
            is_domain_validated: true,
        };
        Listed { capacity, ..Listed::of(summary) }
    }

    fn chosen(rows: &[Listed], list: &[&str]) -> String {
        match choose(rows, &application(list)) {
            Ok(Way::Instance { id, .. }) => id.to_string(),
            Ok(Way::Already { id }) => format!("already {id}"),
            Ok(other) => format!("{other:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_smallest_free_instance_that_takes_the_names() {
        let rows = [
            row("used", "normal", &["example.com"], Some((1, 0))),
            row("big", "inactive", &[], Some((5, 2))),
            row("small", "inactive", &[], Some((1, 0))),
            row("wild", "inactive", &[], Some((0, 1))),
            row("waits", "pending", &["b.example", "a.example"], Some((2, 0))),
        ];
        assert_eq!(chosen(&rows, &["example.com"]), "small");
        assert_eq!(chosen(&rows, &["*.example.com"]), "wild");
        assert_eq!(chosen(&rows, &["example.com", "*.example.com"]), "big");
        assert_eq!(chosen(&rows, &["a.example", "b.example"]), "already waits");
        assert_eq!(
            chosen(&rows, &["*.a.example", "*.b.example", "*.c.example"]),
            "none of the 3 free instances takes 0 plain names and 3 wildcards"
        );
        assert_eq!(chosen(&rows[..1], &["example.com"]), "no instance is free to apply with");
        assert_eq!(chosen(&[row("silent", "inactive", &[], None)], &["example.com"]), "silent");
        assert_eq!(chosen(&[row("blank", "inactive", &[], Some((0, 0)))], &["example.com"]), "blank");
    }

    #[test]
    fn products_tell_what_they_are_for() {
        let wrong = |product: &str, list: &[&str]| fits_product(product, &application(list)).err().map(|error| error.to_string());
        assert_eq!(wrong("symantec-dv-1-starter", &["example.com", "www.example.com"]), None);
        assert_eq!(wrong("geotrust-dv-w-starter", &["*.example.com"]), None);
        assert!(wrong("geotrust-dv-w-starter", &["*.example.com", "example.com"]).unwrap().contains("for wildcards"));
        assert!(wrong("symantec-dv-1-starter", &["*.example.com"]).unwrap().contains("for plain names"));
        assert!(
            wrong("x", &["a.example", "b.example", "c.example", "d.example", "e.example", "f.example"])
                .unwrap()
                .contains("at most 5")
        );
        let with_algorithm = Application { key_algorithm: Some("ECC_256".to_owned()), ..application(&["example.com"]) };
        assert!(fits_product("x", &with_algorithm).unwrap_err().hint().unwrap().contains("--csr"));
    }

    #[test]
    fn what_is_missing_of_the_applicant_is_named_at_once() {
        let mut application = application(&["example.com"]);
        application.applicant.email = Some("a@example.com".to_owned());
        let error = applicant(&application, false).unwrap_err();
        assert!(error.message().ends_with("--applicant-name, --applicant-phone is missing"), "{error}");
        let error = applicant(&application, true).unwrap_err();
        assert!(error.message().contains("--applicant-province, --applicant-city"), "{error}");
    }
}
