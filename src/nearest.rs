//! "Did you mean": the known word that a wrong one is nearest to.

/// The word that was probably meant: the nearest, where it is near, or one that stands whole in the wrong one.
pub(crate) fn nearest<'a>(wanted: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = wanted.chars().count() / 3 + 1;
    let ranked = known.into_iter().map(|name| (distance(wanted, name), name)).filter(|(distance, name)| {
        *distance <= allowed && *distance < name.chars().count() || name.len() > 3 && wanted.contains(name)
    });
    ranked.min().map(|(_, name)| name)
}

/// How many characters must be added, removed, changed or swapped with their neighbour to make one text the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (i, from) in left.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, to) in right.iter().enumerate() {
            let mut least = (row[j] + usize::from(from != *to)).min(row[j + 1] + 1).min(next[j] + 1);
            if j > 0 && previous == Some(*to) && right[j - 1] == from {
                least = least.min(before[j - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
        previous = Some(from);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, want) in [
            ("", "", 0),
            ("abc", "", 3),
            ("cloudflare", "cloudlfare", 1),
            ("kitten", "sitting", 3),
            ("exec", "exec", 0),
            ("", "ab", 2),
            ("", "", 0),
            ("a", "", 1),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(left, right), want, "{left} {right}");
            assert_eq!(distance(right, left), want, "{right} {left}");
        }
    }

    #[test]
    fn a_typo_finds_its_provider_and_nonsense_finds_none() {
        let names = || ["cloudflare", "rfc2136", "exec", "manual", "dnsupdate", "gandi"].into_iter();
        assert_eq!(nearest("cloudlfare", names()), Some("cloudflare"));
        assert_eq!(nearest("rfc-2136", names()), Some("rfc2136"));
        assert_eq!(nearest("manuel", names()), Some("manual"));
        assert_eq!(nearest("dns_cloudflare", names()), Some("cloudflare"));
        assert_eq!(nearest("zzzzzz", names()), None);
        assert_eq!(nearest("a", names()), None);
    }

    #[test]
    fn a_typo_is_near_and_nonsense_is_not() {
        let known = ["timeout", "poll_interval", "out"];
        assert_eq!(nearest("tmeout", known), Some("timeout"));
        assert_eq!(nearest("poll-interval", known), Some("poll_interval"));
        assert_eq!(nearest("xyzzy", known), None);
    }
}
