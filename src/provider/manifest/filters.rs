//! The filters of templates: encodings, hashes, times and DNS spellings. All are pure.

use std::cell::Cell;

use data_encoding::{BASE32_NOPAD, BASE64, HEXLOWER, HEXLOWER_PERMISSIVE};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use md5::{Digest, Md5};
use minijinja::{Environment, Error, ErrorKind, State, Value, filters};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;
use sha2::Sha256;

use super::sign::rsa::{self, Scheme};

use crate::language::t;

/// Everything but the unreserved characters of RFC 3986 section 2.3.
pub(super) const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The variable that tells [`quoted`] and [`dotted`] which record type is written; templates cannot name it.
pub(super) const RECORD_TYPE: &str = "record_type__";

/// The names of all filters, for the check at load.
pub(super) const NAMES: &[&str] = &[
    "at_least",
    "b64",
    "default",
    "dotted",
    "e",
    "esc",
    "first",
    "fromjson",
    "hex",
    "hex2b64",
    "hmac_sha1",
    "hmac_sha256",
    "int",
    "iso",
    "iso8601_basic",
    "join",
    "jwt",
    "ladder",
    "last",
    "length",
    "list",
    "lower",
    "md5",
    "nodot",
    "pairs",
    "quoted",
    "replace",
    "rfc1123",
    "rsa_sha256",
    "rsa_sha512",
    "sha1",
    "sha256",
    "split",
    "strftime",
    "string",
    "tojson",
    "totp",
    "trim",
    "upper",
];

/// The longest text that a filter takes or makes, in bytes.
const MAX_TEXT: usize = 2 * 1024 * 1024;
/// How many bytes all filters of one evaluation may work through.
const MAX_WORK: usize = 64 * 1024 * 1024;
/// What one RSA signature counts, in bytes of work: the evaluation has room for 32.
const RSA_WORK: usize = 2 * 1024 * 1024;

thread_local! {
    /// What is left of [`MAX_WORK`]. Evaluations do not nest, and none is moved to another thread on its way.
    static WORK: Cell<usize> = const { Cell::new(MAX_WORK) };
}

/// Begins an evaluation: the filters have their whole budget again.
pub(super) fn begin() {
    WORK.set(MAX_WORK);
}

/// Takes work off the budget. minijinja's own fuel counts instructions, whatever a filter does in one.
fn spend(bytes: usize) -> Result<(), Error> {
    let left = WORK.get();
    if bytes > MAX_TEXT || bytes + 1 > left {
        WORK.set(if bytes > MAX_TEXT { left } else { 0 });
        return Err(invalid(t!("the filters have too much to do")));
    }
    WORK.set(left - bytes - 1);
    Ok(())
}

/// Adds a filter from text to text.
fn text(environment: &mut Environment<'static>, name: &'static str, filter: fn(&str) -> Result<String, Error>) {
    environment.add_filter(name, move |text: String| {
        spend(text.len())?;
        filter(&text)
    });
}

/// Adds a filter from text and a key to text.
fn keyed(environment: &mut Environment<'static>, name: &'static str, filter: fn(&str, &str) -> Result<String, Error>) {
    environment.add_filter(name, move |text: String, key: String| {
        spend(text.len() + key.len())?;
        filter(&text, &key)
    });
}

/// Adds every filter of [`NAMES`] to an environment that has none.
pub(super) fn register(environment: &mut Environment<'static>) {
    text(environment, "b64", |text| Ok(BASE64.encode(text.as_bytes())));
    text(environment, "e", |text| Ok(xml_escaped(text)));
    text(environment, "esc", |text| Ok(utf8_percent_encode(text, RESERVED).to_string()));
    text(environment, "hex", |text| Ok(HEXLOWER.encode(text.as_bytes())));
    text(environment, "hex2b64", hex_to_base64);
    text(environment, "lower", |text| Ok(text.to_lowercase()));
    text(environment, "md5", |text| Ok(HEXLOWER.encode(&Md5::digest(text.as_bytes()))));
    text(environment, "nodot", |text| Ok(text.strip_suffix('.').unwrap_or(text).to_owned()));
    text(environment, "sha1", |text| Ok(HEXLOWER.encode(&Sha1::digest(text.as_bytes()))));
    text(environment, "sha256", |text| Ok(HEXLOWER.encode(&Sha256::digest(text.as_bytes()))));
    text(environment, "trim", |text| Ok(text.trim().to_owned()));
    text(environment, "upper", |text| Ok(text.to_uppercase()));
    keyed(environment, "hmac_sha1", |text, key| hmac_hex::<Hmac<Sha1>>(key.as_bytes(), text.as_bytes()));
    keyed(environment, "hmac_sha256", |text, key| hmac_hex::<Hmac<Sha256>>(key.as_bytes(), text.as_bytes()));
    keyed(environment, "rsa_sha256", |text, key| rsa_signed(text, key, Scheme::Pkcs1Sha256));
    keyed(environment, "rsa_sha512", |text, key| rsa_signed(text, key, Scheme::Pkcs1Sha512));
    environment.add_filter("at_least", |number: i64, least: i64| number.max(least));
    environment.add_filter("default", filters::default);
    environment.add_filter("dotted", dotted);
    environment.add_filter("first", filters::first);
    environment.add_filter("fromjson", from_json);
    environment.add_filter("int", filters::int);
    environment.add_filter("iso", |seconds: i64| at(seconds).map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
    environment.add_filter("iso8601_basic", |seconds: i64| at(seconds).map(|time| time.strftime("%Y%m%dT%H%M%SZ").to_string()));
    environment.add_filter("join", join);
    environment.add_filter("jwt", jwt);
    environment.add_filter("ladder", ladder);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("list", filters::list);
    environment.add_filter("pairs", pairs);
    environment.add_filter("quoted", quoted);
    environment.add_filter("replace", replace);
    environment
        .add_filter("rfc1123", |seconds: i64| at(seconds).map(|time| time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()));
    environment.add_filter("split", |text: String, by: String| -> Result<Vec<String>, Error> {
        spend(text.len())?;
        if by.is_empty() {
            return Err(invalid(t!("`split` needs what stands between the parts")));
        }
        Ok(text.split(by.as_str()).map(str::to_owned).collect())
    });
    environment.add_filter("strftime", strftime);
    environment.add_filter("string", |value: Value| value.to_string());
    environment.add_filter("tojson", to_json);
    environment.add_filter("totp", totp);
}

fn rsa_signed(text: &str, key: &str, scheme: Scheme) -> Result<String, Error> {
    spend(RSA_WORK)?;
    rsa::sign(key, scheme, text.as_bytes()).map(|signature| BASE64.encode(&signature)).map_err(|why| invalid(&why))
}

/// A JSON Web Token of the claims.
fn jwt(claims: Value, algorithm: String, key: String, key_id: Option<String>) -> Result<String, Error> {
    spend(RSA_WORK)?;
    let claims = serde_json::to_value(&claims).map_err(|_| invalid(t!("`jwt` takes an object of claims")))?;
    rsa::jwt(&claims, &algorithm, &key, key_id.as_deref()).map_err(|why| invalid(&why))
}

/// JSON in text as a value. The text may be a secret: it is not quoted.
fn from_json(text: String) -> Result<Value, Error> {
    spend(text.len())?;
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|_| invalid(t!("the text is not JSON")))?;
    Ok(Value::from(minijinja::value::Serde(&value)))
}

/// A list of texts as one, at most [`MAX_TEXT`] long.
fn join(values: Value, between: Option<String>) -> Result<String, Error> {
    let between = between.unwrap_or_default();
    let mut joined = String::new();
    for (index, value) in values.try_iter()?.enumerate() {
        if index > 0 {
            joined.push_str(&between);
        }
        let text = value.to_string();
        spend(text.len() + between.len())?;
        joined.push_str(&text);
        if joined.len() > MAX_TEXT {
            return Err(invalid(t!("the text is too long")));
        }
    }
    Ok(joined)
}

/// Names and values (`req.params`) as one text: what stands between name and value, and between pairs.
fn pairs(list: Value, inner: String, outer: String) -> Result<String, Error> {
    let mut all = Vec::new();
    for pair in list.try_iter()? {
        let (name, value) = (pair.get_item_by_index(0)?, pair.get_item_by_index(1)?);
        all.push(Value::from(format!("{name}{inner}{value}")));
    }
    join(Value::from(all), Some(outer))
}

fn replace(text: String, from: String, to: String) -> Result<String, Error> {
    spend(text.len())?;
    if from.is_empty() || text.matches(from.as_str()).count().saturating_mul(to.len()) > MAX_TEXT {
        return Err(invalid(t!("`replace` would make too long a text")));
    }
    Ok(text.replace(from.as_str(), &to))
}

/// A time in seconds by a format of strftime, in UTC or in a named time zone.
fn strftime(seconds: i64, format: String, zone: Option<String>) -> Result<String, Error> {
    let zone = match zone {
        None => jiff::tz::TimeZone::UTC,
        Some(name) => jiff::tz::TimeZone::get(&name).map_err(|_| invalid(t!("the time zone is not known on this machine")))?,
    };
    let mut text = String::new();
    let time = at(seconds)?.to_zoned_datetime(zone);
    jiff::fmt::strtime::BrokenDownTime::from(&time)
        .format(&format, jiff::fmt::StdFmtWrite(&mut text))
        .map_err(|_| invalid(t!("`strftime` does not know the format")))?;
    Ok(text)
}

/// The one-time password of six digits (RFC 6238) of a secret in base32, at a time in seconds.
fn totp(secret: String, seconds: i64) -> Result<String, Error> {
    let secret = secret.replace([' ', '-'], "").trim_end_matches('=').to_ascii_uppercase();
    let key = BASE32_NOPAD.decode(secret.as_bytes()).map_err(|_| invalid(t!("the secret of `totp` is not base32")))?;
    let steps = u64::try_from(seconds / 30).map_err(|_| invalid(t!("the time is out of range")))?;
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(&key).map_err(|_| invalid(t!("the key cannot be used")))?;
    mac.update(&steps.to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let start = usize::from(hash[19] & 15);
    let number = hash[start..start + 4].iter().fold(0_u32, |number, byte| (number << 8) | u32::from(*byte)) & 0x7fff_ffff;
    Ok(format!("{:06}", number % 1_000_000))
}

/// A TXT value as zone files have it: in double quotes, in parts of at most 255 bytes (RFC 1035 sections 3.3.14 and 5.1).
/// Any other type's value stays as it is.
fn quoted(state: &State, text: String) -> Result<String, Error> {
    spend(text.len())?;
    if !is_type(state, "TXT") {
        return Ok(text);
    }
    let mut parts = vec![String::new()];
    let mut length = 0;
    for c in text.chars() {
        if length + c.len_utf8() > 255 {
            parts.push(String::new());
            length = 0;
        }
        length += c.len_utf8();
        if let Some(part) = parts.last_mut() {
            if matches!(c, '"' | '\\') {
                part.push('\\');
            }
            part.push(c);
        }
    }
    Ok(parts.iter().map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(" "))
}

/// The target of a CNAME with its final dot; any other type's value stays as it is.
fn dotted(state: &State, text: String) -> String {
    if is_type(state, "CNAME") && !text.ends_with('.') { format!("{text}.") } else { text }
}

fn is_type(state: &State, kind: &str) -> bool {
    state.lookup(RECORD_TYPE).is_some_and(|value| value.as_str() == Some(kind))
}

/// The least rung that is not below the number; the highest rung where all are.
fn ladder(number: i64, rungs: Vec<i64>) -> Result<i64, Error> {
    let fitting = rungs.iter().copied().filter(|rung| *rung >= number).min();
    fitting.or_else(|| rungs.iter().copied().max()).ok_or_else(|| invalid(t!("`ladder` has no rungs")))
}

/// JSON without spaces; unlike minijinja's own, without the escapes that HTML needs.
fn to_json(value: Value) -> Result<String, Error> {
    let text = serde_json::to_string(&value).map_err(|error| invalid(&t!("cannot be written as JSON: %{error}", error)))?;
    spend(text.len())?;
    Ok(text)
}

fn hex_to_base64(text: &str) -> Result<String, Error> {
    HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map(|bytes| BASE64.encode(&bytes))
        .map_err(|_| invalid(t!("`hex2b64` takes hex digits")))
}

fn hmac_hex<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> Result<String, Error> {
    let mut mac = <M as KeyInit>::new_from_slice(key).map_err(|_| invalid(t!("the key cannot be used")))?;
    mac.update(text);
    Ok(HEXLOWER.encode(&mac.finalize().into_bytes()))
}

fn at(seconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_second(seconds).map_err(|_| invalid(t!("the time is out of range")))
}

/// Text for XML content and attributes.
fn xml_escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn invalid(why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn eval(expression: &str, record_type: &str) -> serde_json::Value {
        let mut environment = Environment::empty();
        register(&mut environment);
        let context = json!({"v": "a\"b", "long": "x".repeat(300), "n": 100, "t": 0, RECORD_TYPE: record_type});
        let value =
            environment.compile_expression(expression).unwrap().eval(Value::from(minijinja::value::Serde(&context))).unwrap();
        serde_json::to_value(&value).unwrap()
    }

    #[test]
    fn quotes_and_dots_follow_the_record_type() {
        assert_eq!(eval("v | quoted | dotted", "TXT"), r#""a\"b""#);
        assert_eq!(eval("v | quoted | dotted", "CNAME"), "a\"b.");
        assert_eq!(eval("long | quoted", "TXT"), format!("\"{}\" \"{}\"", "x".repeat(255), "x".repeat(45)));
    }

    #[test]
    fn hashes_and_encodings_match_known_answers() {
        // RFC 1321 A.5, FIPS 180, RFC 2202 case 2, RFC 4231 case 2, RFC 4648 section 10.
        assert_eq!(eval("'abc' | md5", ""), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(eval("'abc' | sha1", ""), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(eval("'abc' | sha256", ""), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(eval("'what do ya want for nothing?' | hmac_sha1('Jefe')", ""), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(
            eval("'what do ya want for nothing?' | hmac_sha256('Jefe')", ""),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(eval("'foobar' | b64", ""), "Zm9vYmFy");
        assert_eq!(eval("'666f6f' | hex2b64", ""), "Zm9v");
        assert_eq!(eval("'foo' | hex", ""), "666f6f");
    }

    #[test]
    fn times_numbers_and_escapes() {
        assert_eq!(eval("t | rfc1123", ""), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(eval("t | iso", ""), "1970-01-01T00:00:00Z");
        assert_eq!(eval("t | iso8601_basic", ""), "19700101T000000Z");
        assert_eq!(eval("n | ladder([60, 300, 3600])", ""), 300);
        assert_eq!(eval("9999 | ladder([60, 300, 3600])", ""), 3600);
        assert_eq!(eval("n | at_least(120)", ""), 120);
        assert_eq!(eval("'<a&\"' | e", ""), "&lt;a&amp;&quot;");
        assert_eq!(eval("'a/b c' | esc", ""), "a%2Fb%20c");
        assert_eq!(eval("{'a': [v, n]} | tojson", ""), r#"{"a":["a\"b",100]}"#);
        assert_eq!(eval("(\"a.b.c\" | split('.') | list)[-2]", ""), "b");
        assert_eq!(eval("n | string", ""), "100");
        assert_eq!(eval("t | strftime('%Y-%m-%d %H', 'UTC')", ""), "1970-01-01 00");
        assert_eq!(eval("(long | tojson | fromjson) == long", ""), true);
        assert_eq!(eval("('{\"a\": [1]}' | fromjson).a[0]", ""), 1);
        assert_eq!(eval("[['a', '1'], ['b', n]] | pairs('=', '&')", ""), "a=1&b=100");
        // RFC 6238 appendix B, its last six digits.
        assert_eq!(eval("'GEZDGNBVGY3TQOJQ GEZDGNBVGY3TQOJQ' | totp(59)", ""), "287082");
        assert_eq!(eval("'gezdgnbvgy3tqojqgezdgnbvgy3tqojq' | totp(1111111109)", ""), "081804");
    }

    #[test]
    fn every_name_is_registered() {
        let mut environment = Environment::empty();
        register(&mut environment);
        for name in NAMES {
            let error = environment.empty_state().apply_filter(name, &[]).map(|_| ()).err();
            assert!(error.is_none_or(|error| error.kind() != ErrorKind::UnknownFilter), "{name}");
        }
    }
}
