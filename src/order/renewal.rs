//! When a certificate is to be renewed: a pure decision, for every order source.

use jiff::{SignedDuration, Timestamp};

use crate::language::t;

/// The time in which a CA wants a certificate to be renewed (RFC 9773 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub start: Timestamp,
    /// Its end.
    pub end: Timestamp,
    /// A page that says why, where the CA names one.
    pub explanation: Option<String>,
}

/// Whether to renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// Now, and why.
    Now(String),
    /// Not before this moment.
    NotBefore(Timestamp),
}

/// Decides for a certificate that is valid from `not_before` to `not_after`.
///
/// Where the CA says when, one moment of its window is taken; `share` (0 to 1, the same for one certificate each time) says which, so that
/// the certificates of all the world do not come at once. A window of the past means now: the CA may have to revoke. Else a certificate is due
/// when a third of its lifetime is left.
pub fn due(now: Timestamp, not_before: Timestamp, not_after: Timestamp, window: Option<&Window>, share: f64) -> Due {
    if now >= not_after {
        return Due::Now(t!("it expired on %{not_after}", not_after));
    }
    let part = |whole: SignedDuration, share: f64| whole.mul_f64_clamped(share);
    let (moment, why) = match window {
        Some(window) if window.start <= window.end => {
            let long = window.end.duration_since(window.start);
            let why = window.explanation.as_ref().map(|page| format!(" (see {page})")).unwrap_or_default();
            (window.start + part(long, share.clamp(0.0, 1.0)), t!("the CA asks for it%{why}", why))
        }
        _ => {
            let lifetime = not_after.duration_since(not_before);
            (not_after - part(lifetime, 1.0 / 3.0), t!("less than a third of its lifetime is left").to_owned())
        }
    };
    if now >= moment { Due::Now(why) } else { Due::NotBefore(moment) }
}

trait Part {
    fn mul_f64_clamped(self, share: f64) -> Self;
}

impl Part for SignedDuration {
    /// A share of a duration of whole seconds; what is negative counts as nothing.
    fn mul_f64_clamped(self, share: f64) -> Self {
        Self::try_from_secs_f64(self.as_secs_f64().max(0.0) * share).unwrap_or(Self::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_second(number * DAY).unwrap()
    }

    fn window(start: i64, end: i64) -> Window {
        Window { start: day(start), end: day(end), explanation: None }
    }

    #[test]
    fn a_third_of_the_lifetime_where_the_ca_does_not_say() {
        assert_eq!(due(day(59), day(0), day(90), None, 0.5), Due::NotBefore(day(60)));
        assert!(matches!(due(day(60), day(0), day(90), None, 0.5), Due::Now(_)));
        // A certificate for six days is renewed with two left.
        assert_eq!(due(day(3), day(0), day(6), None, 0.0), Due::NotBefore(day(4)));
    }

    #[test]
    fn the_cas_window_wins() {
        let ahead = window(70, 80);
        assert_eq!(due(day(65), day(0), day(90), Some(&ahead), 0.5), Due::NotBefore(day(75)));
        assert!(matches!(due(day(75), day(0), day(90), Some(&ahead), 0.5), Due::Now(_)));
        assert_eq!(due(day(70), day(0), day(90), Some(&ahead), 1.0), Due::NotBefore(day(80)));
        // Early, because the CA has to revoke.
        let past = Window { explanation: Some("https://ca.example/incident".into()), ..window(1, 2) };
        let Due::Now(why) = due(day(5), day(0), day(90), Some(&past), 0.9) else { panic!("not due") };
        assert!(why.contains("incident"), "{why}");
        // A window that ends before it begins says nothing.
        assert_eq!(due(day(5), day(0), day(90), Some(&window(8, 7)), 0.5), Due::NotBefore(day(60)));
    }

    #[test]
    fn what_has_expired_is_due_whatever_the_ca_says() {
        assert!(matches!(due(day(90), day(0), day(90), Some(&window(95, 99)), 0.0), Due::Now(_)));
    }
}
