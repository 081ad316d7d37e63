//! Small things for sentences.

use std::time::Duration;

use crate::language::t;

/// A duration as people write it: `150 ms`, `3 s`, `2.5 s`, `4 min`, `1 h 5 min`.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration < Duration::from_secs(1) {
        t!("%{milliseconds} ms", milliseconds = duration.as_millis())
    } else if seconds < 10 && duration.subsec_millis() >= 100 {
        t!("%{seconds} s", seconds = format_args!("{seconds}.{}", duration.subsec_millis() / 100))
    } else if seconds < 120 {
        t!("%{seconds} s", seconds)
    } else if seconds < 3600 {
        t!("%{minutes} min", minutes = seconds / 60)
    } else {
        t!("%{hours} h %{minutes} min", hours = seconds / 3600, minutes = seconds % 3600 / 60)
    }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn and(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [head @ .., last] => t!("%{others} and %{last}", others = head.join(t!(", ")), last),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        for (millis, text) in
            [(150, "150 ms"), (1000, "1 s"), (2500, "2.5 s"), (61_000, "61 s"), (240_000, "4 min"), (3_900_000, "1 h 5 min")]
        {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn lists_read_well() {
        let items = ["a", "b", "c"].map(str::to_owned);
        assert_eq!([and(&[]), and(&items[..1]), and(&items[..2]), and(&items)], ["", "a", "a and b", "a, b and c"]);
    }
}
