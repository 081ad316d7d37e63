use super::*;
use crate::{
    order::{
        OrderId,
        aliyun::reply::{parse, tests::reply},
    },
    secret::Secret,
};

fn call() -> Call {
    Call::new("GetInstanceDetail", "2020-04-07").about(&OrderId::parse("cas-cn-1").unwrap())
}

fn site() -> Site {
    Site { host: "cas.aliyuncs.com".to_owned(), region: Some("cn-hangzhou".to_owned()), is_explicit: false, is_china: true }
}

fn error_of(call: &Call, reply: &Reply) -> Error {
    let sent =
        Sent { timestamp: "2026-01-02T04:04:05Z".parse().unwrap(), string_to_sign: "POST&x".to_owned(), canonical_request: None };
    let redactor = Redactor::default();
    redactor.learn(&Secret::new("planted-secret"));
    let fields = parse(reply).unwrap_or_else(|why| panic!("{why}")).fields;
    of_reply(call, &site(), reply, &fields, &sent, &redactor)
}

fn error(status: u16, code: &str) -> Error {
    error_of(&call(), &reply(status, "application/json", &format!(r#"{{"Code":"{code}","Message":"m","RequestId":"R"}}"#)))
}

#[test]
fn codes_have_their_kind_and_their_retry() {
    use ErrorKind::{Config, Credentials, OrderSource, Rights, UnknownOrder};
    for (status, code, kind, retry) in [
        (400, "Throttling", OrderSource, Retry::Later),
        (400, "Throttling.User", OrderSource, Retry::Later),
        (400, "Throttling.Api", OrderSource, Retry::Later),
        (400, "Rejected.Throttling", OrderSource, Retry::Later),
        (503, "ServiceUnavailable", OrderSource, Retry::Later),
        (500, "InternalError", OrderSource, Retry::Later),
        (500, "Error", OrderSource, Retry::Later),
        (400, "SignatureNonceUsed", OrderSource, Retry::Later),
        (429, "Other", OrderSource, Retry::Later),
        (408, "Other", OrderSource, Retry::Later),
        (400, "InvalidTimeStamp.Expired", Config, Retry::Never),
        (400, "SignatureDoesNotMatch", Credentials, Retry::Never),
        (400, "IncompleteSignature", Credentials, Retry::Never),
        (404, "InvalidAccessKeyId.NotFound", Credentials, Retry::Never),
        (400, "InvalidAccessKeyId.Inactive", Credentials, Retry::Never),
        (400, "InvalidSecurityToken.Expired", Credentials, Retry::Never),
        (403, "Forbidden", Rights, Retry::Never),
        (403, "Forbidden.RAM", Rights, Retry::Never),
        (403, "NoPermission", Rights, Retry::Never),
        (400, "AccessDenied.NoAuth", Rights, Retry::Never),
        (404, "NotFoundOrder", UnknownOrder, Retry::Never),
        (400, "NotFound", UnknownOrder, Retry::Never),
        (404, "InvalidAction.NotFound", OrderSource, Retry::Never),
        (400, "InvalidVersion", OrderSource, Retry::Never),
        (400, "MissingParameter", OrderSource, Retry::Never),
        (400, "SomethingNew", OrderSource, Retry::Never),
    ] {
        let error = error(status, code);
        assert_eq!(error.kind(), kind, "{code}");
        assert_eq!(error.retry(), retry, "{code}");
        assert_eq!((error.code(), error.request_id(), error.http_status()), (Some(code), Some("R"), Some(status)));
    }
    for code in ["InvalidAction.NotFound", "InvalidVersion", "NoSuchVersion", "InvalidApi.NotFound"] {
        assert!(is_not_served(&error(404, code)) && error(404, code).hint().unwrap().contains("--api"), "{code}");
    }
    assert!(!is_not_served(&error(404, "NotFound")));
    // Where no order is named, none can be unknown.
    let listing = Call::new("ListInstances", "2020-04-07");
    let reply = reply(404, "application/json", r#"{"Code":"NotFound"}"#);
    assert_eq!(error_of(&listing, &reply).kind(), OrderSource);
}

#[test]
fn an_unknown_order_names_endpoint_and_region_and_the_other_site() {
    let error = error(404, "NotFoundOrder");
    assert_eq!(
        error.to_string(),
        "GetInstanceDetail: order `cas-cn-1` is unknown at cas.aliyuncs.com (region cn-hangzhou): m (code NotFoundOrder, HTTP 404, request id R)"
    );
    assert!(error.hint().unwrap().contains("--region ap-southeast-1"));
}

#[test]
fn missing_rights_name_the_action() {
    assert!(error(403, "Forbidden.RAM").hint().unwrap().contains("`yundun-cert:GetInstanceDetail`"));
    let reply =
        reply(403, "application/json", r#"{"Code":"NoPermission","AccessDeniedDetail":{"AuthAction":"yundun-cert:Other"}}"#);
    assert!(error_of(&call(), &reply).hint().unwrap().contains("`yundun-cert:Other`"));
}

#[test]
fn the_wait_that_the_server_asks_for_is_kept() {
    let with = |status: u16, header: &'static str, value: &'static str| {
        let mut reply = reply(status, "application/json", r#"{"Code":"Odd"}"#);
        reply.headers.insert(header, value.parse().unwrap());
        error_of(&call(), &reply).retry()
    };
    assert_eq!(with(400, "x-acs-retry-after", "1500"), Retry::After(Duration::from_millis(1500)));
    assert_eq!(with(400, "x-acs-retry-after", "0"), Retry::Never);
    assert_eq!(with(400, "x-acs-retry-after", "soon"), Retry::Never);
    assert_eq!(with(503, "retry-after", "7"), Retry::After(Duration::from_secs(7)));
    assert_eq!(with(400, "retry-after", "7"), Retry::Never);
}

#[test]
fn a_wrong_clock_is_measured_by_the_servers() {
    let hint = |date: &'static str| {
        let mut reply = reply(400, "application/json", r#"{"Code":"InvalidTimeStamp.Expired","Message":"m"}"#);
        if !date.is_empty() {
            reply.headers.insert("date", date.parse().unwrap());
        }
        error_of(&call(), &reply).hint().unwrap().to_owned()
    };
    assert!(hint("Fri, 02 Jan 2026 03:04:04 GMT").contains("1 h 1 s ahead of the server's"));
    assert!(hint("Fri, 02 Jan 2026 05:05:05 GMT").contains("1 h 1 min behind the server's"));
    assert!(hint("Fri, 02 Jan 2026 04:04:07 GMT").contains("agrees"));
    assert!(hint("").contains("check this machine's clock"));
}

#[test]
fn a_refused_signature_says_where_to_look_and_keeps_the_text_out_of_the_line() {
    let with = |theirs: &str| {
        let body = format!(r#"{{"Code":"SignatureDoesNotMatch","Message":"No match. server string to sign is:{theirs}"}}"#);
        error_of(&call(), &reply(400, "application/json", &body))
    };
    let wrong_secret = with("POST&x");
    assert!(wrong_secret.hint().unwrap().contains("AccessKeySecret is not that of the AccessKeyId"));
    let other_text = with("POST&y");
    assert!(other_text.hint().unwrap().contains("run with -v"));
    assert!(!other_text.to_string().contains("POST&"), "{other_text}");
}

#[test]
fn xml_and_lower_case_errors_are_understood_and_secrets_redacted() {
    let xml = "<?xml version='1.0'?><Error><RequestId>R1</RequestId><HostId>h</HostId><Code>Forbidden</Code>\
        <Message>not with planted-secret</Message></Error>";
    let error = error_of(&call(), &reply(403, "text/xml", xml));
    assert_eq!((error.kind(), error.request_id()), (ErrorKind::Rights, Some("R1")));
    assert!(error.message().contains("not with [redacted]"));

    let error = error_of(&call(), &reply(400, "application/json", r#"{"code":"Throttling","message":"slow","requestId":"R2"}"#));
    assert_eq!((error.retry(), error.code(), error.request_id()), (Retry::Later, Some("Throttling"), Some("R2")));
}

#[test]
fn a_web_page_instead_of_a_reply_is_named() {
    let page = reply(503, "text/html; charset=utf-8", "<html>busy</html>");
    let why = parse(&page).err().unwrap();
    let error = of_unreadable(&call(), &site(), &page, &why);
    assert_eq!(error.to_string(), "GetInstanceDetail: cas.aliyuncs.com answered with text/html instead of JSON (HTTP 503)");
    assert_eq!(error.retry(), Retry::Later);
    let page = reply(200, "text/html", "<html>log in</html>");
    assert_eq!(of_unreadable(&call(), &site(), &page, "x").retry(), Retry::Never);
}
