//! Why a signature did not match: the server's string to sign beside ours.

use std::fmt;

use crate::language::t;

/// What the comparison of both strings to sign says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Diagnosis {
    /// The server did not tell its string.
    NotTold,
    /// Both signed the same text, so that the keys differ.
    SameText,
    /// The texts differ from here on.
    Differs {
        /// The number of characters that both share.
        position: usize,
        /// Our text around the place.
        ours: String,
        /// The server's text around the place.
        theirs: String,
    },
}

/// Compares what we signed with what `message`, the server's, says that it signed. For V3 the server may add the canonical request,
/// which says more than the hash of it that is signed.
pub(super) fn diagnose(message: &str, string_to_sign: &str, canonical_request: Option<&str>) -> Diagnosis {
    if let (Some(ours), Some(theirs)) =
        (canonical_request, told(message, &["server canonicalrequest is", "server canonical request is"]))
        && let differs @ Diagnosis::Differs { .. } = compare(ours, &theirs)
    {
        return differs;
    }
    match told(message, &["server string to sign is", "server stringtosign is"]) {
        Some(theirs) => compare(string_to_sign, &theirs),
        None => Diagnosis::NotTold,
    }
}

/// The text behind one of these phrases, which come in any case, with or without a colon, with or without brackets.
fn told(message: &str, phrases: &[&str]) -> Option<String> {
    let lower = message.to_ascii_lowercase();
    let at = phrases.iter().find_map(|phrase| Some(lower.find(phrase)? + phrase.len()))?;
    let rest = message[at..].trim_start_matches([':', ' ']);
    let text = match rest.strip_prefix('[') {
        Some(inside) => &inside[..inside.find(']').unwrap_or(inside.len())],
        None => rest,
    };
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn compare(ours: &str, theirs: &str) -> Diagnosis {
    let (ours, theirs) = (ours.trim(), theirs.trim());
    let shared = ours.chars().zip(theirs.chars()).take_while(|(one, other)| one == other).count();
    if shared == ours.chars().count() && shared == theirs.chars().count() {
        return Diagnosis::SameText;
    }
    Diagnosis::Differs { position: shared, ours: around(ours, shared), theirs: around(theirs, shared) }
}

/// Some characters on both sides of a place, on one line.
fn around(text: &str, position: usize) -> String {
    let from = position.saturating_sub(24);
    let excerpt: String = text.chars().skip(from).take(position - from + 40).collect();
    let before = if from > 0 { "…" } else { "" };
    let after = if text.chars().count() > position + 40 { "…" } else { "" };
    format!("{before}{}{after}", excerpt.escape_debug())
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTold => f.write_str(t!("the server did not say what it signed")),
            Self::SameText => f.write_str(
                t!("the server signed the same text as this program, so the AccessKeySecret is not that of the AccessKeyId"),
            ),
            Self::Differs { position, ours, theirs } => f.write_str(&t!(
                "the server signed another text than this program; they differ from character %{position} on: ours `%{ours}`, the server's `%{theirs}`",
                position = position + 1,
                ours,
                theirs
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "POST&%2F&AccessKeyId%3Dtestid%26Action%3DDescribeDVOrderResult%26InstanceId%3Dcas-cn-1";

    fn v1_message(theirs: &str) -> String {
        format!("Specified signature is not matched with our calculation. server string to sign is:{theirs}")
    }

    #[test]
    fn the_first_difference_is_shown_from_both_sides() {
        let theirs = OURS.replace("POST&", "GET&");
        let diagnosis = diagnose(&v1_message(&theirs), OURS, None);
        let Diagnosis::Differs { position: 0, ours, theirs } = &diagnosis else { panic!("{diagnosis:?}") };
        assert!(ours.starts_with("POST&%2F&") && theirs.starts_with("GET&%2F&"));

        let theirs = OURS.replace("cas-cn-1", "cas-cn-2%26X");
        let diagnosis = diagnose(&v1_message(&theirs), OURS, None);
        let text = diagnosis.to_string();
        assert!(text.contains(&format!("character {}", OURS.len())), "{text}");
        assert!(text.contains("InstanceId%3Dcas-cn-1`") && text.contains("InstanceId%3Dcas-cn-2%26X`"), "{text}");

        // One text is the beginning of the other.
        let diagnosis = diagnose(&v1_message(&format!("{OURS}%26Lang%3Den")), OURS, None);
        assert!(matches!(diagnosis, Diagnosis::Differs { position, .. } if position == OURS.len()), "{diagnosis:?}");
    }

    #[test]
    fn equal_texts_mean_a_wrong_secret() {
        assert_eq!(diagnose(&v1_message(OURS), OURS, None), Diagnosis::SameText);
        assert_eq!(diagnose(&v1_message(&format!(" {OURS}\n")), OURS, None), Diagnosis::SameText);
        assert_eq!(diagnose("The signature does not match.", OURS, None), Diagnosis::NotTold);
        assert_eq!(diagnose(&v1_message(""), OURS, None), Diagnosis::NotTold);
    }

    #[test]
    fn the_canonical_request_of_v3_says_more_than_its_hash() {
        let message = "Specified signature does not match. server StringToSign is [ACS3-HMAC-SHA256\nbbbb],\
            server CanonicalRequest is [POST\n/\nA=2\n]";
        let diagnosis = diagnose(message, "ACS3-HMAC-SHA256\naaaa", Some("POST\n/\nA=1\n"));
        assert!(matches!(&diagnosis, Diagnosis::Differs { position: 9, ours, .. } if ours == "POST\\n/\\nA=1"), "{diagnosis:?}");
        let diagnosis = diagnose(message, "ACS3-HMAC-SHA256\naaaa", Some("POST\n/\nA=2\n"));
        assert!(matches!(diagnosis, Diagnosis::Differs { position: 17, .. }), "{diagnosis:?}");
        assert_eq!(diagnose(message, "ACS3-HMAC-SHA256\nbbbb", Some("POST\n/\nA=2\n")), Diagnosis::SameText);
    }

    #[test]
    fn excerpts_cut_between_characters() {
        let ours = "ü".repeat(100);
        let theirs = format!("{}x", "ü".repeat(60));
        assert!(matches!(compare(&ours, &theirs), Diagnosis::Differs { position: 60, .. }));
    }
}
