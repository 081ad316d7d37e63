//! Who may call, and how often: key, time, signature, nonce, limit.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};

use super::{
    call::{Call, Scheme, Signed},
    failure::Failure,
    signature::{v1_signature, v3_signature},
};
use crate::sandbox::SandboxOptions;

/// How far the time of a request may be from the server's.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(15);

/// How long a nonce is remembered: as long as its request could be sent again.
const NONCE_LIFETIME: Duration = Duration::from_mins(30);

/// What the gate remembers between calls.
pub(in crate::sandbox) struct Gate {
    used: HashSet<String>,
    oldest: VecDeque<(Instant, String)>,
    calls_per_second: Option<u32>,
    /// By account, and whether it is that of `GetUserCertificateDetail`, which is one of its own, ten times that of the others.
    buckets: HashMap<(String, bool), Bucket>,
}

/// A token bucket that holds what one second brings, and one more.
struct Bucket {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Gate {
    /// A gate that lets so many calls through per second.
    pub(in crate::sandbox) fn new(calls_per_second: Option<u32>) -> Self {
        Self { used: HashSet::new(), oldest: VecDeque::new(), calls_per_second, buckets: HashMap::new() }
    }

    /// Lets a call through, or says why not. `renewed` is the token in the place of that of the options, `clock` the server's own time of day.
    pub(super) fn admit(
        &mut self,
        call: &Call,
        signed: &Signed,
        options: &SandboxOptions,
        renewed: Option<&str>,
        clock: Timestamp,
        now: Instant,
    ) -> Result<(), Failure> {
        check_time(&signed.timestamp, clock)?;
        let secret = match options.other_accounts.get(&signed.access_key_id) {
            _ if signed.access_key_id == options.access_key_id => &options.access_key_secret,
            Some(secret) => secret,
            None => return Err(Failure::new(404, "InvalidAccessKeyId.NotFound", "Specified access key is not found.")),
        };
        check_token(signed.security_token.as_deref(), options.security_token.as_deref(), renewed)?;
        check_signature(call.scheme, signed, secret)?;
        self.use_nonce(&signed.nonce, now)?;
        let Some(limit) = self.calls_per_second else { return Ok(()) };
        let is_detail = call.action == "GetUserCertificateDetail";
        let limit = if is_detail { limit.saturating_mul(10) } else { limit };
        let bucket = self.buckets.entry((signed.access_key_id.clone(), is_detail)).or_insert_with(|| Bucket::new(limit, now));
        if bucket.take(now) { Ok(()) } else { Err(Failure::throttled(None)) }
    }

    fn use_nonce(&mut self, nonce: &str, now: Instant) -> Result<(), Failure> {
        while self.oldest.front().is_some_and(|(used, _)| now.duration_since(*used) > NONCE_LIFETIME) {
            if let Some((_, old)) = self.oldest.pop_front() {
                self.used.remove(&old);
            }
        }
        if !self.used.insert(nonce.to_owned()) {
            return Err(Failure::new(400, "SignatureNonceUsed", "Specified signature nonce was used already."));
        }
        self.oldest.push_back((now, nonce.to_owned()));
        Ok(())
    }
}

impl Bucket {
    fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, tokens: per_second + 1.0, filled: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let brought = now.saturating_duration_since(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + brought).min(self.per_second + 1.0);
        self.filled = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

fn check_time(timestamp: &str, clock: Timestamp) -> Result<(), Failure> {
    let read = DateTime::strptime("%Y-%m-%dT%H:%M:%SZ", timestamp).and_then(|time| time.to_zoned_datetime(TimeZone::UTC));
    let Ok(time) = read else {
        return Err(Failure::new(400, "InvalidTimeStamp.Format", "Specified time stamp or date value is not well formatted."));
    };
    if time.timestamp().duration_since(clock).abs() > TOLERANCE {
        return Err(Failure::new(400, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired."));
    }
    Ok(())
}

fn check_token(sent: Option<&str>, first: Option<&str>, renewed: Option<&str>) -> Result<(), Failure> {
    match (sent, renewed.or(first)) {
        (Some(sent), Some(expected)) if sent != expected && Some(sent) == first => {
            Err(Failure::new(403, "InvalidSecurityToken.Expired", "Specified SecurityToken is expired."))
        }
        (None, Some(_)) => Err(Failure::new(400, "MissingSecurityToken", "SecurityToken is mandatory for this action.")),
        (Some(_), None) => Err(Failure::new(
            400,
            "InvalidSecurityToken.MismatchWithAccessKey",
            "Specified SecurityToken mismatch with the AccessKey.",
        )),
        (Some(sent), Some(expected)) if sent != expected => {
            Err(Failure::new(400, "InvalidSecurityToken.Malformed", "Specified SecurityToken is malformed."))
        }
        _ => Ok(()),
    }
}

fn check_signature(scheme: Scheme, signed: &Signed, secret: &str) -> Result<(), Failure> {
    let ours = match scheme {
        Scheme::V1 => v1_signature(secret, &signed.string_to_sign),
        Scheme::V3 => v3_signature(secret, &signed.string_to_sign),
    };
    if ours == signed.signature {
        return Ok(());
    }
    let message =
        format!("Specified signature is not matched with our calculation. server string to sign is:{}", signed.string_to_sign);
    Err(Failure::new(400, "SignatureDoesNotMatch", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert_eq!((0..100).filter(|_| bucket.take(start)).count(), 11);
        assert!(!bucket.take(start + Duration::from_millis(50)));
        assert!(bucket.take(start + Duration::from_millis(101)));
        let taken = (0..1000).filter(|step| bucket.take(start + Duration::from_millis(200 + step * 10))).count();
        assert!((100..=112).contains(&taken), "{taken} calls in ten seconds");
    }

    #[test]
    fn a_nonce_counts_once_until_it_is_too_old_to_matter() {
        let start = Instant::now();
        let mut gate = Gate::new(None);
        gate.use_nonce("a", start).unwrap();
        assert_eq!(gate.use_nonce("a", start).unwrap_err().code, "SignatureNonceUsed");
        gate.use_nonce("b", start).unwrap();
        gate.use_nonce("a", start + NONCE_LIFETIME * 2).unwrap();
    }

    #[test]
    fn a_quarter_of_an_hour_is_tolerated() {
        let clock: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        check_time("2026-03-01T11:45:00Z", clock).unwrap();
        check_time("2026-03-01T12:15:00Z", clock).unwrap();
        for late in ["2026-03-01T11:44:59Z", "2026-03-01T12:15:01Z"] {
            assert_eq!(check_time(late, clock).unwrap_err().code, "InvalidTimeStamp.Expired");
        }
        for odd in ["2026-03-01 12:00:00", "2026-03-01T12:00:00.123Z", "2026-03-01T12:00:00+00:00", ""] {
            assert_eq!(check_time(odd, clock).unwrap_err().code, "InvalidTimeStamp.Format", "{odd}");
        }
    }
}
