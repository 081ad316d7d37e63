//! How long temporary credentials are used.

use jiff::{SignedDuration, Timestamp};

/// From when to when temporary credentials are good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetime {
    /// When they were fetched.
    pub(crate) fetched: Timestamp,
    /// When they expire, where that was told.
    pub(crate) expires: Option<Timestamp>,
}

/// How old temporary credentials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// To be used.
    Fresh,
    /// To be replaced; to be used where that fails.
    Ageing,
    /// Of no use.
    Expired,
}

impl Lifetime {
    /// How old they are at `now`.
    ///
    /// They are replaced a quarter of an hour before they expire, as by the SDKs of clouds, but not before three quarters of their time are over:
    /// STS of Alibaba Cloud gives credentials for a quarter of an hour too, which its SDKs fetch anew for every call.
    pub(crate) fn age(&self, now: Timestamp) -> Age {
        let Some(expires) = self.expires else {
            let is_fresh = now.duration_since(self.fetched) < UNTOLD;
            return if is_fresh { Age::Fresh } else { Age::Ageing };
        };
        let margin = MARGIN.min(expires.duration_since(self.fetched) / 4);
        match expires.duration_since(now) {
            left if left > margin => Age::Fresh,
            left if left > SignedDuration::ZERO => Age::Ageing,
            _ => Age::Expired,
        }
    }
}

/// How long before they expire credentials are replaced.
const MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// How long credentials are used that do not say when they expire.
const UNTOLD: SignedDuration = SignedDuration::from_mins(15);

#[cfg(test)]
mod tests {
    use super::*;

    fn age(lasts: Option<i64>, after: i64) -> Age {
        let fetched = Timestamp::from_second(1_800_000_000).unwrap();
        let at = |seconds: i64| fetched + SignedDuration::from_secs(seconds);
        Lifetime { fetched, expires: lasts.map(at) }.age(at(after))
    }

    #[test]
    fn they_are_replaced_before_they_expire() {
        assert_eq!(age(Some(3600), 0), Age::Fresh);
        assert_eq!(age(Some(3600), 2699), Age::Fresh);
        assert_eq!(age(Some(3600), 2700), Age::Ageing);
        assert_eq!(age(Some(3600), 3599), Age::Ageing);
        assert_eq!(age(Some(3600), 3600), Age::Expired);
        assert_eq!((age(Some(900), 600), age(Some(900), 675)), (Age::Fresh, Age::Ageing), "the shortest that STS gives");
        assert_eq!(age(Some(-5), 0), Age::Expired, "they came expired");
        assert_eq!((age(None, 899), age(None, 900)), (Age::Fresh, Age::Ageing));
    }
}
