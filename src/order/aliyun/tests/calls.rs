//! One call: signed, repeated, paced, and what misbehaving servers make of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    scripted::{Answer, Asked, Server, action},
    *,
};
use crate::secret::Secret;

#[tokio::test]
async fn a_throttled_call_is_sent_again_with_a_fresh_nonce_and_timestamp() {
    let server = Server::of(vec![
        Answer::error(400, "Throttling.User"),
        Answer::error(503, "ServiceUnavailable"),
        Answer::Hangup,
        Answer::json(CHECKING),
    ])
    .await;
    let cas = cas_2018(&server);
    let order = cas.read(&id("cas-cn-1")).await.unwrap();
    assert_eq!(order.state.word(), "checking");
    let asked = server.asked();
    let of = |name: &str| asked.iter().map(|asked| asked.query[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("SignatureNonce"), ["nonce-1767323045", "nonce-1767323046", "nonce-1767323047", "nonce-1767323048"]);
    assert_eq!(of("Timestamp"), ["2026-01-02T03:04:05Z", "2026-01-02T03:04:06Z", "2026-01-02T03:04:07Z", "2026-01-02T03:04:08Z"]);
    assert_eq!(cas.calls(), [("DescribeDVOrderResult".to_owned(), 4)]);
}

#[tokio::test]
async fn a_call_is_given_up_after_five_attempts() {
    let server = Server::of(vec![Answer::error(400, "Throttling")]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert_eq!(server.asked().len(), 5);
    assert_eq!((error.code(), error.retry()), (Some("Throttling"), Retry::Later));
    assert_eq!(error.request_id(), Some("R-Throttling"));
}

#[tokio::test]
async fn what_will_fail_again_is_not_sent_again() {
    let server = Server::of(vec![Answer::error(400, "MissingParameter")]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert_eq!(server.asked().len(), 1);
    assert_eq!(error.kind(), ErrorKind::OrderSource);
}

#[tokio::test]
async fn the_pause_that_the_server_asks_for_is_kept() {
    let throttled = Answer::Plain(
        400,
        "content-type: application/json\r\nx-acs-retry-after: 60\r\n",
        r#"{"Code":"AnythingAtAll","RequestId":"R"}"#.to_owned(),
    );
    let server = Server::of(vec![throttled, Answer::json(CHECKING)]).await;
    let start = Instant::now();
    cas_2018(&server).read(&id("cas-cn-1")).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(60), "{:?}", start.elapsed());

    // A pause of an hour is for the caller to decide on.
    let later = Answer::Plain(503, "retry-after: 3600\r\n", "busy".to_owned());
    let server = Server::of(vec![later]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::After(Duration::from_hours(1)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_gateways_page_is_a_clear_error() {
    let page = Answer::Plain(503, "content-type: text/html\r\n", "<html><body>Busy</body></html>".to_owned());
    let server = Server::of(vec![page]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    let port = server.url.port().unwrap();
    assert_eq!(
        error.to_string(),
        format!("DescribeDVOrderResult: 127.0.0.1:{port} answered with text/html instead of JSON (HTTP 503)")
    );
    assert_eq!(server.asked().len(), 5, "a 503 is worth another try");

    let page = Answer::Plain(200, "content-type: text/html\r\n", "<!DOCTYPE html><p>Log in first".to_owned());
    let server = Server::of(vec![page]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert!(error.message().ends_with("answered with text/html instead of JSON"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn json_under_a_wrong_name_is_still_json() {
    let server = Server::of(vec![Answer::Plain(200, "content-type: text/plain\r\n", CHECKING.to_owned())]).await;
    assert_eq!(cas_2018(&server).read(&id("cas-cn-1")).await.unwrap().state.word(), "checking");
}

#[tokio::test]
async fn a_huge_an_endless_and_a_redirected_reply_end() {
    let server = Server::of(vec![Answer::Long(50 * 1024 * 1024)]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert!(error.message().contains("longer than 8 MiB"), "{error}");
    assert_eq!(server.asked().len(), 1, "the next one would be as long");

    let server = Server::of(vec![Answer::Endless]).await;
    let only_2018 = CasOptions { generations: vec![Generation::Api2018], ..options(&server) };
    let cas = cas_with(only_2018, keys(), http().with_timeout(Duration::from_millis(100)));
    let error = cas.read(&id("cas-cn-1")).await.unwrap_err();
    assert!(error.message().contains("did not answer within"), "{error}");
    assert_eq!(server.asked().len(), 5);

    let server = Server::of(vec![Answer::Plain(302, "location: https://elsewhere.example/\r\n", String::new())]).await;
    let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert!(error.message().contains("redirects to elsewhere.example"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_error_in_xml_is_an_error_even_with_status_200() {
    let xml = "<?xml version='1.0'?><Error><RequestId>R1</RequestId><HostId>h</HostId><Code>Forbidden.RAM</Code><Message>no</Message></Error>";
    for status in [200, 403] {
        let server = Server::of(vec![Answer::Plain(status, "content-type: text/xml\r\n", xml.to_owned())]).await;
        let error = cas_2018(&server).read(&id("cas-cn-1")).await.unwrap_err();
        assert_eq!((error.kind(), error.request_id()), (ErrorKind::Rights, Some("R1")));
        assert!(error.hint().unwrap().contains("yundun-cert:DescribeDVOrderResult"));
    }
}

#[tokio::test]
async fn a_v1_request_is_what_the_signature_says() {
    let server = Server::of(vec![Answer::json(CHECKING)]).await;
    let only_2018 = CasOptions {
        generations: vec![Generation::Api2018],
        lang: Some("en".to_owned()),
        source_ip: Some("192.0.2.1".to_owned()),
        ..options(&server)
    };
    cas_with(only_2018, temporary_keys(), http()).read(&id("cas-cn-1")).await.unwrap();
    let mut asked = server.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", "/"));
    for (name, value) in [
        ("Action", "DescribeDVOrderResult"),
        ("Version", "2018-07-13"),
        ("Format", "JSON"),
        ("InstanceId", "cas-cn-1"),
        ("Lang", "en"),
        ("SourceIp", "192.0.2.1"),
        ("AccessKeyId", "STS.testid"),
        ("SecurityToken", TOKEN),
        ("SignatureMethod", "HMAC-SHA1"),
        ("SignatureVersion", "1.0"),
    ] {
        assert_eq!(asked.query[name], value, "{name}");
    }
    let signature = asked.query.remove("Signature").unwrap();
    assert_eq!(signing::v1("POST", &asked.query, &Secret::new(SECRET)).signature, signature);
    assert!(!asked.raw_query.contains('+'), "a blank is %20 and a plus %2B");
}

#[tokio::test]
async fn a_v3_request_is_what_the_signature_says() {
    let server = Server::of(vec![Answer::json(r#"{"Type":"process"}"#)]).await;
    // Nobody chose V3: it is what 2020-04-07 gets.
    cas_with(options(&server), temporary_keys(), http()).read(&id("123")).await.unwrap();
    let asked = server.asked().remove(0);
    assert_eq!((asked.method.as_str(), asked.raw_query.as_str()), ("POST", "OrderId=123"));
    assert_eq!(asked.headers["accept"], "application/json");
    assert_eq!(asked.headers["x-acs-security-token"], TOKEN);
    assert_eq!(asked.headers["x-acs-date"], "2026-01-02T03:04:05Z");
    // Signed is what arrived, with the host and port as they arrived.
    let signed = asked.headers.iter().filter(|(name, _)| *name == "host" || name.starts_with("x-acs-"));
    let headers = signed.map(|(name, value)| (name.clone(), value.clone())).collect();
    let expected = signing::v3("POST", &asked.query, &headers, "STS.testid", &Secret::new(SECRET));
    assert_eq!(asked.headers["authorization"], expected.authorization);
}

#[tokio::test]
async fn the_signature_that_the_user_chose_is_that_of_every_version() {
    for (signature, has_header) in [(Signature::V1, false), (Signature::V3, true)] {
        let server = Server::start(|asked, _| match action(asked).as_str() {
            "DescribeCertificateState" => Answer::json(r#"{"Type":"process"}"#),
            _ => Answer::json(CHECKING),
        })
        .await;
        let chosen = CasOptions { signature: Some(signature), ..options(&server) };
        let cas = cas_with(chosen, keys(), http());
        cas.read(&id("123")).await.unwrap();
        cas.remember(&id("cas-cn-1"), Generation::Api2018);
        cas.read(&id("cas-cn-1")).await.unwrap();
        assert_eq!(server.actions(), ["DescribeCertificateState", "DescribeDVOrderResult"]);
        for asked in server.asked() {
            assert_eq!(asked.headers.contains_key("authorization"), has_header, "{asked:?}");
            assert_eq!(asked.query.contains_key("Signature"), !has_header, "{asked:?}");
        }
    }
}

fn with_v1(server: &Server) -> CasOptions {
    CasOptions { signature: Some(Signature::V1), ..options(server) }
}

/// The server's side of a refused signature: it signs the parameters as `change` leaves them.
fn refusing(change: impl Fn(&mut signing::Parameters) + Send + Sync + 'static) -> impl Fn(&Asked, usize) -> Answer {
    move |asked, _| {
        let mut parameters = asked.query.clone();
        parameters.remove("Signature");
        change(&mut parameters);
        let theirs = signing::v1("POST", &parameters, &Secret::new("another secret")).string_to_sign;
        let message = format!("Specified signature is not matched with our calculation. server string to sign is:{theirs}");
        let body = serde_json::json!({"Code": "SignatureDoesNotMatch", "Message": message, "RequestId": "R"}).to_string();
        Answer::Plain(400, "content-type: application/json\r\n", body)
    }
}

#[tokio::test]
async fn a_refused_signature_is_told_apart_and_shows_nothing_secret() {
    let server = Server::start(refusing(|_| {})).await;
    let error = cas_with(with_v1(&server), temporary_keys(), http()).read(&id("123")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.hint().unwrap().contains("the AccessKeySecret is not that of the AccessKeyId"), "{error:?}");

    let server = Server::start(refusing(|parameters| {
        parameters.insert("OrderId".to_owned(), "124".to_owned());
    }))
    .await;
    let error = cas_with(with_v1(&server), temporary_keys(), http()).read(&id("123")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("run with -v to see where"), "{error:?}");
    let shown = format!("{error:?}");
    assert!(!shown.contains("planted"), "{shown}");
    assert_eq!(server.asked().len(), 1, "the same signature would be refused again");
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_shows_the_first_difference_and_the_origin_of_the_credentials() {
    let server = Server::start(refusing(|parameters| {
        parameters.insert("OrderId".to_owned(), "124".to_owned());
    }))
    .await;
    let cas = cas_with(with_v1(&server), temporary_keys(), http());
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    cas.read(&id("123")).await.unwrap_err();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("credentials `STS.testid` come from variable `ALIBABA_CLOUD_ACCESS_KEY_ID`"), "{text}");
    assert!(text.contains("they differ from character"), "{text}");
    assert!(text.contains("OrderId%3D123%26") && text.contains("OrderId%3D124%26"), "{text}");
    assert!(!text.contains("planted"), "{text}");
}

#[tokio::test]
async fn no_error_shows_a_secret_that_the_server_repeats() {
    let once = signing::percent_encode(TOKEN);
    let twice = signing::percent_encode(&once);
    let body = serde_json::json!({"Code": "Odd", "Message": format!("a {SECRET} b {TOKEN} c {once} d {twice}")}).to_string();
    let server = Server::of(vec![Answer::Plain(400, "", body)]).await;
    let error = cas_with(options(&server), temporary_keys(), http()).read(&id("123")).await.unwrap_err();
    assert!(error.message().ends_with("a [redacted] b [redacted] c [redacted] d [redacted]"), "{error}");
}

#[tokio::test]
async fn calls_of_all_orders_share_one_pace() {
    let server = Server::of(vec![Answer::json(CHECKING)]).await;
    let slow = CasOptions { generations: vec![Generation::Api2018], calls_per_second: 50, ..options(&server) };
    let cas = cas_with(slow, keys(), http());
    let start = Instant::now();
    let ids: Vec<OrderId> = (0..10).map(|number| id(&format!("cas-cn-{number}"))).collect();
    for read in futures_util::future::join_all(ids.iter().map(|id| cas.read(id))).await {
        read.unwrap();
    }
    // Ten calls are nine pauses of 20 ms, whatever their number at a time.
    assert!(start.elapsed() >= Duration::from_millis(180), "{:?}", start.elapsed());
}

#[test]
fn endpoints_and_pace_are_checked_at_once() {
    let cas = |options: CasOptions| Cas::new(options, chain(Environment::default()), http(), Redactor::default());
    assert_eq!(cas(CasOptions::default()).unwrap().origin(), "cas.aliyuncs.com");
    let region = Some("ap-southeast-1".to_owned());
    assert_eq!(cas(CasOptions { region, ..CasOptions::default() }).unwrap().origin(), "cas.ap-southeast-1.aliyuncs.com");
    let endpoint = Some(Url::parse("http://cas.example").unwrap());
    assert_eq!(cas(CasOptions { endpoint, ..CasOptions::default() }).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(cas(CasOptions { calls_per_second: 0, ..CasOptions::default() }).unwrap_err().kind(), ErrorKind::Config);
}
