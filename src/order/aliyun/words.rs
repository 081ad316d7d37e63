//! The words of CAS, which differ between generations and even between pages of one: read in any case and spelling.

use crate::{language::t, name::Name, order::OrderId};

/// A word in lower case without blanks, dashes and underscores: `CHECKED_FAIL` and `Checked fail` are one.
pub(super) fn normalized(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The note of an order that is issued while its certificate cannot be had.
pub(super) fn certificate_to_come() -> String {
    t!("issued, but the certificate is not there yet").to_owned()
}

/// Whether a state of a list means that domain validation has nothing to do for the order any more. Unknown words do not.
///
/// An order that is being revoked was issued before, so it counts.
pub(super) fn is_final(word: &str) -> bool {
    matches!(
        normalized(word).as_str(),
        "issued"
            | "certificate"
            | "normal"
            | "willexpire"
            | "willexpired"
            | "expired"
            | "revoked"
            | "revoke"
            | "verifyingrevocation"
            | "pendingverificationforrevocation"
            | "checkedfail"
            | "checkfail"
            | "verifyfail"
            | "refund"
            | "refunded"
            | "closed"
            | "canceled"
            | "cancelled"
    )
}

/// Whether domain validation can help an order of this certificate type; unknown types count.
pub(super) fn is_domain_validated(certificate_type: Option<&str>) -> bool {
    !certificate_type.is_some_and(|word| matches!(normalized(word).as_str(), "ov" | "ev"))
}

/// The names of a comma-separated list. What is no domain name is left out, with a warning.
pub(super) fn domains(list: Option<&str>) -> Vec<Name> {
    let texts = list.unwrap_or_default().split([',', ';', ' ']).map(str::trim).filter(|text| !text.is_empty());
    let mut names = Vec::new();
    for text in texts {
        match Name::parse(text) {
            Ok(name) if !names.contains(&name) => names.push(name),
            Ok(_) => {}
            Err(error) => tracing::warn!("a domain of an order is left out: {error}"),
        }
    }
    names
}

/// The id of a row of a list. A row without one is left out, with a warning.
pub(super) fn row_id(action: &str, id: Option<String>) -> Option<OrderId> {
    let parsed = OrderId::parse(id.as_deref().unwrap_or_default());
    parsed.map_err(|error| tracing::warn!("{action}: a row of the list is left out: {error}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn final_words_are_known_in_any_dress_and_unknown_ones_are_not_final() {
        for word in [
            "Issued",
            "ISSUED",
            "CHECKED_FAIL",
            "check_fail",
            "EXPIRED",
            "REVOKED",
            "WILLEXPIRED",
            "Verifying Revocation",
            "willExpire",
        ] {
            assert!(is_final(word), "{word}");
        }
        for word in
            ["PAYED", "inactive", "pending", "CHECKING", "Verifying", "Pending Verification", "NOTACTIVATED", "something", ""]
        {
            assert!(!is_final(word), "{word}");
        }
    }

    #[test]
    fn only_ov_and_ev_are_beyond_domain_validation() {
        for word in [Some("DV"), Some("FREE"), Some("new"), None] {
            assert!(is_domain_validated(word), "{word:?}");
        }
        assert!(!is_domain_validated(Some("OV")) && !is_domain_validated(Some("ev")));
    }

    #[test]
    fn a_list_of_domains_is_read_with_tolerance() {
        let names = |text: &str| domains(Some(text)).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("Example.com, *.example.com,,example.com,a..b"), ["example.com", "*.example.com"]);
        assert!(domains(None).is_empty());
    }
}
