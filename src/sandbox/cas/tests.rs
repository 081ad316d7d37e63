//! Calls over HTTP, signed by this test.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::signature::{
    canonical_query, sha256, v1_signature, v1_string_to_sign, v3_canonical_request, v3_signature, v3_string_to_sign,
};
use crate::{
    name::Name,
    order::Generation,
    sandbox::{Answer, Fault, NewOrder, OrderChange, OrderTraits, Sandbox, SandboxOptions, Service, Validation},
};

/// A client that makes one call at a time.
struct Client {
    http: reqwest::Client,
    sandbox: Sandbox,
    secret: String,
    /// Replaces common parameters.
    changed: BTreeMap<String, Option<String>>,
}

impl Client {
    async fn new(options: SandboxOptions) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let secret = options.access_key_secret.clone();
        Self { http, sandbox: Sandbox::start(options).await.unwrap(), secret, changed: BTreeMap::new() }
    }

    async fn instant() -> Self {
        let delay = std::time::Duration::ZERO;
        Self::new(SandboxOptions { challenge_delay: delay, issue_delay: delay, ..SandboxOptions::default() }).await
    }

    fn parameters(&self, method: &str, version: &str, action: &str, own: &[(&str, &str)]) -> BTreeMap<String, String> {
        let timestamp = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let common = [
            ("Action", action),
            ("Version", version),
            ("Format", "JSON"),
            ("AccessKeyId", &self.sandbox.options().access_key_id),
            ("SignatureMethod", "HMAC-SHA1"),
            ("SignatureVersion", "1.0"),
            ("SignatureNonce", &format!("{:032x}", rand::random::<u128>())),
            ("Timestamp", &timestamp),
        ];
        let mut parameters: BTreeMap<String, String> =
            common.iter().chain(own).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        for (name, value) in &self.changed {
            match value {
                Some(value) => parameters.insert(name.clone(), value.clone()),
                None => parameters.remove(name),
            };
        }
        let signature = v1_signature(&self.secret, &v1_string_to_sign(method, &parameters));
        parameters.insert("Signature".to_owned(), signature);
        parameters
    }

    async fn send(&self, version: &str, action: &str, own: &[(&str, &str)]) -> reqwest::Response {
        let parameters = self.parameters("POST", version, action, own);
        self.http.post(self.sandbox.addresses().cas.clone()).form(&parameters).send().await.unwrap()
    }

    /// The reply to a call that succeeds.
    async fn call(&self, version: &str, action: &str, own: &[(&str, &str)]) -> Value {
        let response = self.send(version, action, own).await;
        let status = response.status();
        let reply: Value = response.json().await.unwrap();
        assert_eq!(status, 200, "{reply}");
        assert_eq!(reply["RequestId"].as_str().unwrap().len(), 36);
        reply
    }

    /// HTTP status and code of a call that fails.
    async fn fails(&self, version: &str, action: &str, own: &[(&str, &str)]) -> (u16, String) {
        let response = self.send(version, action, own).await;
        let status = response.status().as_u16();
        let reply: Value = response.json().await.unwrap();
        for key in ["RequestId", "HostId", "Message", "Recommend"] {
            assert!(reply[key].is_string(), "{key} in {reply}");
        }
        (status, reply["Code"].as_str().unwrap().to_owned())
    }

    fn order(&self, generation: Generation, domains: &[&str], traits: OrderTraits) -> String {
        let domains = domains.iter().map(|domain| Name::parse(domain).unwrap()).collect();
        self.sandbox.add_order_with(NewOrder { generation, domains }, traits).to_string()
    }

    fn change(&self, id: &str, change: OrderChange) {
        self.sandbox.fault(Fault::Order { order: crate::order::OrderId::parse(id).unwrap(), change }).unwrap();
    }
}

const V2018: &str = "2018-07-13";
const V2020: &str = "2020-04-07";

#[tokio::test]
async fn calls_of_2018() {
    let client = Client::instant().await;
    let id = client.order(Generation::Api2018, &["www.example.com"], OrderTraits::default());
    let result = async |id: String| client.call(V2018, "DescribeDVOrderResult", &[("InstanceId", &id)]).await;
    let reply = result(id.clone()).await;
    let keys: Vec<&String> = reply.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["OrderStatus", "CheckType", "CheckName", "CheckValue", "RequestId"]);
    assert_eq!(reply["CheckName"], "_dnsauth.www.example.com");
    client.change(&id, OrderChange::LateChallenge { millis: 100_000 });
    let keys = result(id.clone()).await.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys, ["OrderStatus", "RequestId"]);
    client.change(&id, OrderChange::Issue);
    let reply = result(id.clone()).await;
    assert_eq!(reply["OrderStatus"], "issued");
    assert!(reply["PrivateKey"].as_str().unwrap().starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_eq!(reply["Certificate"].as_str().unwrap().matches("BEGIN CERTIFICATE").count(), 2);

    let file =
        client.order(Generation::Api2018, &["a.example.com"], OrderTraits { validation: Validation::File, ..Default::default() });
    let reply = result(file.clone()).await;
    assert_eq!(reply["CheckType"], "FILE");
    assert_eq!(reply["CheckName"], "a.example.com/.well-known/pki-validation/fileauth.txt");
    client.change(&file, OrderChange::Reject);
    assert_eq!(result(file).await["OrderStatus"], "checked_fail");

    for _ in 0..60 {
        client.order(Generation::Api2018, &["b.example.com"], OrderTraits::default());
    }
    let first = client.call(V2018, "DescribeOrderInstanceList", &[("StartIndex", "0")]).await;
    assert_eq!((&first["TotalCount"], first["OrderList"].as_array().unwrap().len()), (&json!(62), 50));
    assert_eq!(first["OrderList"][0]["Status"], "Issued");
    let rest = client.call(V2018, "DescribeOrderInstanceList", &[("StartIndex", "50")]).await;
    assert_eq!(rest["OrderList"].as_array().unwrap().len(), 12);
}

#[tokio::test]
async fn get_and_post_are_signed_apart() {
    let client = Client::instant().await;
    let own = [("StartIndex", "0"), ("Lang", "a b*c~d+e/f")];
    let status = async |signed_as: &str| {
        let parameters = client.parameters(signed_as, V2018, "DescribeOrderInstanceList", &own);
        client.http.get(client.sandbox.addresses().cas.clone()).query(&parameters).send().await.unwrap().status().as_u16()
    };
    assert_eq!((status("GET").await, status("POST").await), (200, 400));
    let mut parameters = client.parameters("POST", V2018, "DescribeOrderInstanceList", &own);
    let in_query: BTreeMap<String, String> =
        [parameters.remove_entry("Action").unwrap(), parameters.remove_entry("Lang").unwrap()].into();
    let request = client.http.post(client.sandbox.addresses().cas.clone()).query(&in_query).form(&parameters);
    assert_eq!(request.send().await.unwrap().status(), 200, "in part in the query, in part in a form");
}

#[tokio::test]
async fn replies_in_xml() {
    let client = Client::instant().await;
    let id = client.order(Generation::Api2018, &["www.example.com"], OrderTraits::default());
    let response = client.send(V2018, "DescribeDVOrderResult", &[("InstanceId", &id), ("Format", "XML")]).await;
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/xml"));
    let text = response.text().await.unwrap();
    let document = roxmltree::Document::parse(&text).unwrap();
    assert_eq!(document.root_element().tag_name().name(), "DescribeDVOrderResultResponse");
    assert!(text.contains("<CheckName>_dnsauth.www.example.com</CheckName>"));
    let text = client.send(V2018, "DescribeDVOrderResult", &[("InstanceId", "cas-cn-no"), ("Format", "xml")]).await.text().await;
    assert!(text.unwrap().contains("<Error><RequestId>"));
}

#[tokio::test]
async fn calls_of_2020() {
    let client = Client::instant().await;
    let id = client.order(Generation::Order, &["www.example.com"], OrderTraits::default());
    let state = client.call(V2020, "DescribeCertificateState", &[("OrderId", &id)]).await;
    let keys: Vec<&String> = state.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["Type", "ValidateType", "RecordDomain", "RecordType", "RecordValue", "RequestId"]);
    client.change(&id, OrderChange::Issue);
    let state = client.call(V2020, "DescribeCertificateState", &[("OrderId", &id)]).await;
    assert_eq!(state["Type"], "certificate");
    let certificate = state["CertId"].as_str().unwrap().to_owned();
    let detail = client.call(V2020, "GetUserCertificateDetail", &[("CertId", &certificate)]).await;
    assert_eq!((&detail["Cert"], &detail["Key"]), (&state["Certificate"], &state["PrivateKey"]));
    let hidden = client.call(V2020, "GetUserCertificateDetail", &[("CertId", &certificate), ("CertFilter", "true")]).await;
    assert!(hidden["Cert"].is_null() && hidden["Key"].is_null() && hidden["SerialNo"] == detail["SerialNo"]);

    let names = ["example.com", "*.example.com"];
    let renewal = client.order(Generation::Instance, &names, OrderTraits { renewal: true, ..Default::default() });
    let detail = client.call(V2020, "GetInstanceDetail", &[("InstanceId", &renewal)]).await;
    assert_eq!((&detail["Status"], &detail["CertificateStatus"]), (&json!("pending"), &json!("issued")));
    let list = detail["DomainValidationList"].as_array().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!((&list[1]["ValidationKey"], &list[1]["RootDomain"]), (&json!("_dnsauth"), &json!("example.com")));
    let old = detail["CertificateId"].clone();
    client.change(&renewal, OrderChange::Issue);
    let detail = client.call(V2020, "GetInstanceDetail", &[("InstanceId", &renewal)]).await;
    assert!(detail["DomainValidationList"].is_null() && detail["CertificateId"] != old && detail["Status"] == "normal");
    let task = client.call(V2020, "GetTaskAttribute", &[("TaskId", &renewal)]).await;
    assert_eq!(task["TaskStatus"], "success");

    client.order(Generation::Order, &["b.example.com"], OrderTraits { bought: true, ..Default::default() });
    let rows = async |own: Vec<(&str, &str)>| {
        let reply = client.call(V2020, "ListUserCertificateOrder", &own).await;
        (reply["TotalCount"].as_u64().unwrap(), reply["CertificateOrderList"].as_array().unwrap().len())
    };
    assert_eq!(rows(vec![]).await, (1, 1));
    assert_eq!(rows(vec![("OrderType", "BUY")]).await, (1, 1));
    assert_eq!(rows(vec![("OrderType", "CPACK"), ("Status", "CHECKING")]).await, (0, 0));
    assert_eq!(rows(vec![("OrderType", "CERT"), ("ShowSize", "2")]).await, (3, 2));
    assert_eq!(rows(vec![("OrderType", "CERT"), ("ShowSize", "2"), ("CurrentPage", "2")]).await, (3, 1));
    assert_eq!(rows(vec![("Keyword", "nothing")]).await, (0, 0));
    let list = client.call(V2020, "ListInstances", &[("ShowSize", "100"), ("Status", "normal")]).await;
    assert_eq!(list["InstanceList"][0]["InstanceId"], renewal);
    assert!(!list.to_string().contains("PRIVATE KEY"));
    assert_eq!(client.fails(V2020, "ListInstances", &[("ShowSize", "101")]).await, (400, "InvalidParameter".to_owned()));
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let mut client = Client::instant().await;
    let order = [("InstanceId", "cas-cn-no")];
    let action = "DescribeDVOrderResult";
    let code = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(client.fails(V2018, action, &order).await, code(404, "NotFoundOrder"));
    assert_eq!(client.fails(V2020, "DescribeCertificateState", &[("OrderId", "1")]).await, code(404, "NotFoundOrder"));
    assert_eq!(client.fails(V2020, "GetInstanceDetail", &order).await, code(404, "NotFound"));
    assert_eq!(client.fails(V2018, action, &[]).await, code(400, "MissingParameter"));
    assert_eq!(client.fails(V2018, "DescribeNothing", &[]).await, code(404, "InvalidAction.NotFound"));
    assert_eq!(client.fails("2019-01-01", action, &order).await, code(400, "InvalidVersion"));
    let wrong = [
        ("AccessKeyId", None, code(400, "MissingParameter")),
        ("AccessKeyId", Some("nobody"), code(404, "InvalidAccessKeyId.NotFound")),
        ("Timestamp", Some("2026-01-01"), code(400, "InvalidTimeStamp.Format")),
        ("Timestamp", Some("2020-01-01T00:00:00Z"), code(400, "InvalidTimeStamp.Expired")),
        ("SignatureMethod", Some("HMAC-SHA256"), code(400, "InvalidParameter")),
        ("SecurityToken", Some("token"), code(400, "InvalidSecurityToken.MismatchWithAccessKey")),
    ];
    for (name, value, expected) in wrong {
        client.changed = BTreeMap::from([(name.to_owned(), value.map(str::to_owned))]);
        assert_eq!(client.fails(V2018, action, &order).await, expected, "{name} {value:?}");
    }
    client.changed = BTreeMap::from([("SignatureNonce".to_owned(), Some("once".to_owned()))]);
    assert_eq!(client.fails(V2018, action, &order).await, code(404, "NotFoundOrder"));
    assert_eq!(client.fails(V2018, action, &order).await, code(400, "SignatureNonceUsed"));
    client.changed.clear();
    client.secret = "wrong".to_owned();
    let reply: Value = client.send(V2018, action, &order).await.json().await.unwrap();
    assert_eq!(reply["Code"], "SignatureDoesNotMatch");
    let (_, string_to_sign) = reply["Message"].as_str().unwrap().split_once("server string to sign is:").unwrap();
    assert!(string_to_sign.starts_with("POST&%2F&AccessKeyId%3DLTAI"), "{string_to_sign}");
    assert_eq!(client.sandbox.calls()[action], 12);
}

#[tokio::test]
async fn tokens_limits_and_the_clock() {
    let token = Some("sts-token".to_owned());
    let options = SandboxOptions { security_token: token.clone(), calls_per_second: Some(3), ..SandboxOptions::default() };
    let mut client = Client::new(options).await;
    let list = [("StartIndex", "0")];
    let action = "DescribeOrderInstanceList";
    assert_eq!(client.fails(V2018, action, &list).await.1, "MissingSecurityToken");
    client.changed = BTreeMap::from([("SecurityToken".to_owned(), token)]);
    client.sandbox.fault(Fault::ClockSkew { seconds: 3600 }).unwrap();
    assert_eq!(client.fails(V2018, action, &list).await.1, "InvalidTimeStamp.Expired");
    client.sandbox.clear_faults();
    let mut refused = None;
    for _ in 0..200 {
        let response = client.send(V2018, action, &list).await;
        if response.status() != 200 {
            refused = Some(response.json::<Value>().await.unwrap()["Code"].clone());
            break;
        }
    }
    assert_eq!(refused, Some(json!("Throttling.User")));
}

#[tokio::test]
async fn calls_signed_in_the_headers() {
    let client = Client::instant().await;
    let id = client.order(Generation::Order, &["www.example.com"], OrderTraits::default());
    let endpoint = client.sandbox.addresses().cas.clone();
    let host = format!("127.0.0.1:{}", endpoint.port().unwrap());
    let send = async |tampered: &str| {
        let date = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let (nonce, hash) = (format!("{:032x}", rand::random::<u128>()), sha256(b""));
        let headers = [
            ("host", host.as_str()),
            ("x-acs-action", "DescribeCertificateState"),
            ("x-acs-content-sha256", &hash),
            ("x-acs-date", &date),
            ("x-acs-signature-nonce", &nonce),
            ("x-acs-version", V2020),
        ];
        let canonical =
            v3_canonical_request("POST", "/", &canonical_query([("OrderId", id.as_str())].into_iter()), &headers, &hash);
        let signature = v3_signature(&client.secret, &v3_string_to_sign(&canonical));
        let names = headers.map(|(name, _)| name).join(";");
        let key = &client.sandbox.options().access_key_id;
        let authorization = format!("ACS3-HMAC-SHA256 Credential={key},SignedHeaders={names},Signature={signature}");
        let mut request =
            client.http.post(endpoint.clone()).query(&[("OrderId", id.as_str())]).header("authorization", authorization);
        for (name, value) in headers.into_iter().filter(|(name, _)| *name != "host") {
            request = request.header(name, if name == tampered { "tampered" } else { value });
        }
        if tampered == "extra" {
            request = request.header("x-acs-extra", "unsigned");
        }
        let reply: Value = request.send().await.unwrap().json().await.unwrap();
        reply["Code"].as_str().or(reply["Type"].as_str()).unwrap().to_owned()
    };
    assert_eq!(send("").await, "domain_verify");
    assert_eq!(send("x-acs-signature-nonce").await, "SignatureDoesNotMatch");
    assert_eq!(send("x-acs-content-sha256").await, "InvalidParameter");
    assert_eq!(send("x-acs-date").await, "InvalidTimeStamp.Format");
    assert_eq!(send("extra").await, "IncompleteSignature");
}

#[tokio::test]
async fn calls_fail_as_told() {
    let client = Client::instant().await;
    let list = [("StartIndex", "0")];
    let action = "DescribeOrderInstanceList";
    let fault = |answer| {
        let service = Service::Cas;
        client.sandbox.fault(Fault::Calls { service, action: Some(action.to_owned()), times: Some(1), answer }).unwrap();
    };
    fault(Answer::Throttle { retry_after_ms: Some(1500) });
    let response = client.send(V2018, action, &list).await;
    assert_eq!(response.headers()["x-acs-retry-after"], "1500");
    fault(Answer::InternalError);
    assert_eq!(client.fails(V2018, action, &list).await, (500, "InternalError".to_owned()));
    fault(Answer::Html503);
    let response = client.send(V2018, action, &list).await;
    assert_eq!(response.status(), 503);
    assert!(response.text().await.unwrap().starts_with("<html>"));
    fault(Answer::Redirect { to: "http://127.0.0.1:1/".to_owned() });
    assert_eq!(client.send(V2018, action, &list).await.status(), 307);
    for answer in [Answer::Drop, Answer::LostReply] {
        fault(answer);
        let parameters = client.parameters("POST", V2018, action, &list);
        let request = client.http.post(client.sandbox.addresses().cas.clone()).form(&parameters);
        assert!(request.send().await.is_err());
    }
    fault(Answer::Slow { millis: 20 });
    client.call(V2018, action, &list).await;
    client.call(V2018, action, &list).await;
}
