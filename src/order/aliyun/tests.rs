//! The client and the source as a whole, against a scripted server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    client::Stamp,
    scripted::{Answer, Asked, Server, action},
    *,
};
use crate::{order::challenge_name, secret::Secret};

const SECRET: &str = "planted-secret";
const TOKEN: &str = "planted/token+x==";

/// Every stamp is one second after the one before.
fn stamps() -> Surroundings {
    let seconds = AtomicI64::new(1_767_323_045); // 2026-01-02T03:04:05Z
    let stamp = move || {
        let second = seconds.fetch_add(1, Ordering::SeqCst);
        Stamp { nonce: format!("nonce-{second}"), timestamp: Timestamp::from_second(second).unwrap() }
    };
    Surroundings { stamp: Arc::new(stamp), first_pause: Duration::from_millis(1) }
}

fn http() -> Http {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Http::new().unwrap()
}

fn options(server: &Server) -> CasOptions {
    CasOptions { endpoint: Some(server.url.clone()), calls_per_second: 1_000_000, ..CasOptions::default() }
}

fn keys() -> Environment {
    Environment::of([("ALIBABA_CLOUD_ACCESS_KEY_ID", "testid"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET)])
}

fn temporary_keys() -> Environment {
    Environment::of([
        ("ALIBABA_CLOUD_ACCESS_KEY_ID", "STS.testid"),
        ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", SECRET),
        ("ALIBABA_CLOUD_SECURITY_TOKEN", TOKEN),
    ])
}

fn cas_with(options: CasOptions, environment: Environment, http: Http) -> Cas {
    Cas::with_surroundings(options, environment, http, Redactor::default(), stamps()).unwrap()
}

fn cas(server: &Server) -> Cas {
    cas_with(options(server), keys(), http())
}

fn cas_2018(server: &Server) -> Cas {
    cas_with(CasOptions { generations: vec![Generation::Api2018], ..options(server) }, keys(), http())
}

fn id(text: &str) -> OrderId {
    OrderId::parse(text).unwrap()
}

const CHECKING: &str =
    r#"{"CheckValue":"v","OrderStatus":"checking","CheckType":"DNS","RequestId":"R","CheckName":"_x.example.com"}"#;

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
    assert_eq!(error.retry(), Retry::After(Duration::from_secs(3600)));
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
    let v3 = CasOptions { signature: Signature::V3, ..options(&server) };
    cas_with(v3, temporary_keys(), http()).read(&id("123")).await.unwrap();
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
    let error = cas_with(options(&server), temporary_keys(), http()).read(&id("123")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Credentials);
    assert!(error.hint().unwrap().contains("the AccessKeySecret is not that of the AccessKeyId"), "{error:?}");

    let server = Server::start(refusing(|parameters| {
        parameters.insert("OrderId".to_owned(), "124".to_owned());
    }))
    .await;
    let error = cas_with(options(&server), temporary_keys(), http()).read(&id("123")).await.unwrap_err();
    assert!(error.hint().unwrap().contains("run with -v to see where"), "{error:?}");
    let shown = format!("{error:?}");
    assert!(!shown.contains("planted"), "{shown}");
    assert_eq!(server.asked().len(), 1, "the same signature would be refused again");
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
async fn without_credentials_nothing_is_sent() {
    let server = Server::of(vec![Answer::json("{}")]).await;
    let cas = cas_with(options(&server), Environment::default(), http());
    for error in [cas.read(&id("1")).await.unwrap_err(), cas.list().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Credentials);
        assert!(error.message().contains("HOME is not set"), "{error}");
    }
    assert!(server.asked().is_empty() && cas.calls().is_empty());
}

#[tokio::test]
async fn auto_asks_the_instance_first_then_2018_and_remembers() {
    let server = Server::start(|asked, _| match action(asked).as_str() {
        "GetInstanceDetail" => Answer::error(404, "NotFound"),
        _ => Answer::json(CHECKING),
    })
    .await;
    let cas = cas(&server);
    let order = cas.read(&id("cas-cn-1")).await.unwrap();
    assert_eq!(order.generation, Generation::Api2018);
    cas.read(&id("cas-cn-1")).await.unwrap();
    assert_eq!(server.actions(), ["GetInstanceDetail", "DescribeDVOrderResult", "DescribeDVOrderResult"]);

    // What the store remembers counts from the first read.
    cas.remember(&id("cas-cn-2"), Generation::Api2018);
    cas.read(&id("cas-cn-2")).await.unwrap();
    assert_eq!(server.actions().len(), 4);
}

#[tokio::test]
async fn digits_are_an_order_id() {
    let server = Server::of(vec![Answer::json(r#"{"Type":"process"}"#)]).await;
    assert_eq!(cas(&server).read(&id("123451222")).await.unwrap().generation, Generation::Order);
    assert_eq!(server.actions(), ["DescribeCertificateState"]);

    let only_instance = CasOptions { generations: vec![Generation::Instance], ..options(&server) };
    let error = cas_with(only_instance, keys(), http()).read(&id("123451222")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(error.message().contains("`--api instance`"), "{error}");
    assert_eq!(server.actions().len(), 1);
}

#[tokio::test]
async fn an_order_that_no_generation_knows_is_unknown() {
    let server = Server::start(|asked, _| match action(asked).as_str() {
        "GetInstanceDetail" => Answer::error(404, "NotFound"),
        _ => Answer::error(404, "InvalidAction.NotFound"),
    })
    .await;
    let error = cas(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::UnknownOrder);
    assert!(
        error.message().starts_with("asked as instance and 2018: GetInstanceDetail: order `cas-cn-1` is unknown at 127.0.0.1")
    );
    assert!(error.hint().unwrap().contains("--region ap-southeast-1"));
}

#[tokio::test]
async fn throttling_is_not_taken_for_an_unknown_order() {
    let server = Server::start(|asked, _| match action(asked).as_str() {
        "GetInstanceDetail" => Answer::error(400, "Throttling.User"),
        _ => Answer::json(CHECKING),
    })
    .await;
    let error = cas(&server).read(&id("cas-cn-1")).await.unwrap_err();
    assert_eq!(error.code(), Some("Throttling.User"));
    assert!(!server.actions().contains(&"DescribeDVOrderResult".to_owned()));
}

#[tokio::test]
async fn an_issued_instance_brings_its_certificate() {
    let server = Server::start(|asked, _| match action(asked).as_str() {
        "GetInstanceDetail" => Answer::json(
            r#"{"InstanceId":"cas_dv-cn-1","Status":"normal","CertificateStatus":"issued","CertificateId":777,"Domain":"a.example,*.a.example"}"#,
        ),
        _ if asked.query["CertId"] == "777" => Answer::json(r#"{"Id":777,"Cert":"c","RequestId":"R"}"#),
        _ => Answer::error(400, "WrongCertId"),
    })
    .await;
    let order = cas(&server).read(&id("cas_dv-cn-1")).await.unwrap();
    assert_eq!(order.certificate_id.as_deref(), Some("777"));
    assert_eq!(order.domains.len(), 2);
    let OrderState::Issued(bundle) = order.state else { panic!("{order:?}") };
    assert!(bundle.certificate == "c" && bundle.private_key.is_none());
}

#[tokio::test]
async fn a_certificate_that_is_not_there_does_not_make_the_order_unknown() {
    let server = Server::start(|asked, _| match action(asked).as_str() {
        "GetInstanceDetail" => Answer::json(r#"{"Status":"normal","CertificateStatus":"issued","CertificateId":777}"#),
        _ => Answer::error(404, "NotFound"),
    })
    .await;
    let only_instance = CasOptions { generations: vec![Generation::Instance], ..options(&server) };
    let error = cas_with(only_instance, keys(), http()).read(&id("cas_dv-cn-1")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OrderSource);
    assert!(error.message().starts_with("certificate 777: "), "{error}");
}

/// Three orders over two pages of CPACK, one of BUY; one challenge that is relative.
fn orders_2020(asked: &Asked, _: usize) -> Answer {
    let parameter = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    match (action(asked).as_str(), parameter("OrderType"), parameter("CurrentPage")) {
        ("DescribeCertificateState", ..) => Answer::json(
            r#"{"Type":"domain_verify","ValidateType":"DNS","RecordDomain":"_dnsauth","RecordType":"TXT","RecordValue":"v"}"#,
        ),
        ("ListUserCertificateOrder", "CPACK", "1") => Answer::json(
            r#"{"TotalCount":2,"CertificateOrderList":[{"OrderId":1,"InstanceId":"cas-cn-1","Domain":"one.example","CertType":"FREE","Status":"CHECKING"}]}"#,
        ),
        ("ListUserCertificateOrder", "CPACK", "2") => Answer::json(
            r#"{"TotalCount":"2","CertificateOrderList":[{"OrderId":"2","InstanceId":"cas-cn-2","Domain":"*.two.example","CertType":"DV","Status":"ISSUED"}]}"#,
        ),
        ("ListUserCertificateOrder", "BUY", "1") => Answer::json(
            r#"{"TotalCount":1,"CertificateOrderList":[{"OrderId":3,"Domain":"three.example","CertType":"OV","Status":"PAYED"}]}"#,
        ),
        ("ListInstances", ..) => Answer::json(
            r#"{"TotalCount":1,"InstanceList":[{"InstanceId":"cas-cn-9","Status":"pending","Domain":"nine.example","CertificateType":"DV"}]}"#,
        ),
        ("DescribeOrderInstanceList", ..) => Answer::json(
            r#"{"TotalCount":3,"OrderList":[{"InstanceId":"cas-cn-1","Status":"CHECKING"},{"InstanceId":"cas-cn-9","Status":"CHECKING"},{"InstanceId":"cas-cn-8","Status":"PAYED"}]}"#,
        ),
        _ => Answer::error(400, "Unscripted"),
    }
}

#[tokio::test]
async fn all_generations_and_pages_are_listed_and_no_order_twice() {
    let server = Server::start(orders_2020).await;
    let cas = cas(&server);
    let listing = cas.list().await.unwrap();
    assert!(listing.unanswered.is_empty(), "{:?}", listing.unanswered);
    let found: Vec<_> = listing.orders.iter().map(|order| (order.id.as_str(), order.generation)).collect();
    assert_eq!(
        found,
        [
            ("cas-cn-9", Generation::Instance),
            ("1", Generation::Order),
            ("2", Generation::Order),
            ("3", Generation::Order),
            ("cas-cn-8", Generation::Api2018),
        ]
    );
    let actions = server.actions();
    assert_eq!(actions.len(), 5);
    assert!(!actions.contains(&"GetUserCertificateDetail".to_owned()));
    // The list told the names, so that the read of a listed order is one call.
    let order = cas.read(&id("1")).await.unwrap();
    assert_eq!(order.domains, [Name::parse("one.example").unwrap()]);
    assert_eq!(server.actions().len(), 6);
}

#[tokio::test]
async fn the_domain_of_a_named_order_is_looked_up_once() {
    let server = Server::start(orders_2020).await;
    let cas = cas(&server);
    let order = cas.read(&id("1")).await.unwrap();
    let OrderState::Checking(challenges) = &order.state else { panic!("{order:?}") };
    let name = challenge_name::join(&challenges[0].name, challenges[0].root_domain.as_ref(), &order.domains).unwrap();
    assert_eq!(name.as_str(), "_dnsauth.one.example");
    let after_first = server.asked();
    assert!(after_first[1..].iter().all(|asked| asked.query["Status"] == "CHECKING"));
    cas.read(&id("1")).await.unwrap();
    assert_eq!(server.asked().len(), after_first.len() + 1);
    // An order that the list does not have costs one look-up as well, not one per read.
    assert!(cas.read(&id("99")).await.unwrap().domains.is_empty());
    let after_unknown = server.asked().len();
    cas.read(&id("99")).await.unwrap();
    assert_eq!(server.asked().len(), after_unknown + 1);
}

#[tokio::test]
async fn a_generation_that_does_not_answer_is_named() {
    let server = Server::start(|asked, before| match action(asked).as_str() {
        "DescribeOrderInstanceList" => Answer::error(404, "InvalidVersion"),
        "ListUserCertificateOrder" if asked.query["OrderType"] == "BUY" => Answer::error(403, "NoPermission"),
        _ => orders_2020(asked, before),
    })
    .await;
    let listing = cas(&server).list().await.unwrap();
    assert_eq!(listing.orders.len(), 3, "the orders of packages are there although single ones are not");
    let unanswered: Vec<_> = listing.unanswered.iter().map(|(generation, error)| (*generation, error.code().unwrap())).collect();
    assert_eq!(unanswered, [(Generation::Order, "NoPermission"), (Generation::Api2018, "InvalidVersion")]);
}

#[tokio::test]
async fn where_none_answers_the_list_is_an_error() {
    let server = Server::start(|asked, _| match action(asked).as_str() {
        "ListUserCertificateOrder" => Answer::error(403, "NoPermission"),
        _ => Answer::error(404, "InvalidVersion"),
    })
    .await;
    assert_eq!(cas(&server).list().await.unwrap_err().kind(), ErrorKind::Rights);

    let server = Server::of(vec![Answer::error(404, "InvalidAccessKeyId.NotFound")]).await;
    assert_eq!(cas(&server).list().await.unwrap_err().kind(), ErrorKind::Credentials);
    assert_eq!(server.asked().len(), 1, "wrong credentials are wrong for all");
}

#[tokio::test]
async fn pages_of_2018_go_on_from_the_rows_received_and_end() {
    let server = Server::start(|asked, _| match asked.query["StartIndex"].as_str() {
        "0" => Answer::json(
            r#"{"TotalCount":3,"OrderList":[{"InstanceId":"a","Status":"PAYED"},{"InstanceId":"b","Status":"Issued"}]}"#,
        ),
        "2" => Answer::json(r#"{"TotalCount":3,"OrderList":[{"InstanceId":"c","Status":"CHECKING"}]}"#),
        _ => Answer::error(400, "Unscripted"),
    })
    .await;
    let listing = cas_2018(&server).list().await.unwrap();
    assert_eq!(listing.orders.iter().map(|order| order.id.as_str()).collect::<Vec<_>>(), ["a", "b", "c"]);

    // A server that always gives the same page and claims more does not hold the program.
    let server =
        Server::of(vec![Answer::json(r#"{"TotalCount":1000000,"OrderList":[{"InstanceId":"a","Status":"PAYED"}]}"#)]).await;
    assert_eq!(cas_2018(&server).list().await.unwrap().orders.len(), 1);
    assert_eq!(server.asked().len(), 2);
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
    let cas = |options: CasOptions| Cas::new(options, Environment::default(), http(), Redactor::default());
    assert_eq!(cas(CasOptions::default()).unwrap().origin(), "cas.aliyuncs.com");
    let region = Some("ap-southeast-1".to_owned());
    assert_eq!(cas(CasOptions { region, ..CasOptions::default() }).unwrap().origin(), "cas.ap-southeast-1.aliyuncs.com");
    let endpoint = Some(Url::parse("http://cas.example").unwrap());
    assert_eq!(cas(CasOptions { endpoint, ..CasOptions::default() }).unwrap_err().kind(), ErrorKind::Config);
    assert_eq!(cas(CasOptions { calls_per_second: 0, ..CasOptions::default() }).unwrap_err().kind(), ErrorKind::Config);
}
