//! Whole journeys through the running sandbox.

use std::time::Instant;

use serde_json::{Value, json};

use super::*;
use crate::record::RecordType;

/// How long anything may take here.
const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    http: reqwest::Client,
    sandbox: Sandbox,
}

impl Running {
    async fn new(options: SandboxOptions) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), sandbox: Sandbox::start(options).await.unwrap() }
    }

    fn order(&self, generation: Generation, domains: &[&str], traits: OrderTraits) -> OrderId {
        let domains = domains.iter().map(|domain| known_name(domain)).collect();
        self.sandbox.add_order_with(NewOrder { generation, domains }, traits)
    }

    /// Status and body of a call of the provider's API.
    async fn provider(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let url = format!("{}{path}", self.sandbox.addresses().cloudflare);
        let mut request = self.http.request(method, url).bearer_auth(&self.sandbox.options().api_token);
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    async fn zone_id(&self) -> String {
        let (_, zones) = self.provider(reqwest::Method::GET, "/zones?name=example.com", None).await;
        zones["result"][0]["id"].as_str().unwrap().to_owned()
    }

    fn publish(&self, id: &OrderId) {
        for challenge in self.sandbox.order(id).unwrap().challenges {
            self.sandbox
                .add_record(&Record { name: challenge.name, record_type: RecordType::Txt, value: challenge.value })
                .unwrap();
        }
    }

    /// Waits until the order is at this stage.
    async fn reaches(&self, id: &OrderId, stage: &str) {
        let reached = async {
            while self.sandbox.order(id).unwrap().stage != stage {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, reached).await.unwrap_or_else(|_| panic!("{id}: {:?}", self.sandbox.order(id)));
    }
}

fn quick() -> SandboxOptions {
    let short = Duration::from_millis(20);
    SandboxOptions { challenge_delay: short, issue_delay: short, validation_interval: 5 * short, ..SandboxOptions::default() }
}

#[tokio::test]
async fn an_order_is_issued_when_all_authorities_show_its_records() {
    let lag = Duration::from_millis(200);
    let running = Running::new(SandboxOptions { lag, ..quick() }).await;
    let id = running.order(Generation::Instance, &["example.com", "*.example.com", "www.example.com"], OrderTraits::default());
    running.reaches(&id, "checking").await;
    let published = Instant::now();
    running.publish(&id);
    running.reaches(&id, "issued").await;
    assert!(published.elapsed() >= lag, "the secondaries did not show it before");
    let certificates = running.http.get(running.sandbox.addresses().control.join("certificates").unwrap()).send().await.unwrap();
    let certificates: Value = certificates.json().await.unwrap();
    assert_eq!(certificates["issued"][0]["domains"], json!(["example.com", "*.example.com", "www.example.com"]));
    assert_eq!(certificates["root"], json!(running.sandbox.root_certificate()));
    assert!(!certificates.to_string().contains("PRIVATE KEY"));
    let state = running.sandbox.state();
    assert_eq!(state.records.len(), 3);
    assert!(state.authorities.iter().all(|server| server.questions.is_empty()), "the validator's questions do not count");
}

#[tokio::test]
async fn a_server_that_never_learns_stops_an_order_and_one_that_is_dead_does_not() {
    let running = Running::new(quick()).await;
    let fault = |behaviour| running.sandbox.fault(Fault::Authority { server: 2, behaviour }).unwrap();
    fault(Behaviour::LagForever);
    let id = running.order(Generation::Order, &["a.example.com"], OrderTraits::default());
    running.publish(&id);
    running.reaches(&id, "checking").await;
    assert!(tokio::time::timeout(Duration::from_millis(300), running.reaches(&id, "issued")).await.is_err());
    fault(Behaviour::Refuse);
    running.reaches(&id, "issued").await;
    fault(Behaviour::Truncate);
    let id = running.order(Generation::Order, &["b.example.com"], OrderTraits::default());
    running.publish(&id);
    running.reaches(&id, "issued").await;
}

#[tokio::test]
async fn records_that_lead_elsewhere_count() {
    let running = Running::new(quick()).await;
    let record = |name: &str, record_type, value: &str| Record { name: known_name(name), record_type, value: value.to_owned() };
    let id = running.order(Generation::Api2018, &["www.example.com"], OrderTraits::default());
    let value = running.sandbox.order(&id).unwrap().challenges[0].value.clone();
    let alias = record("_dnsauth.www.example.com", RecordType::Cname, "elsewhere.example.com");
    running.sandbox.add_record(&alias).unwrap();
    running.sandbox.add_record(&record("elsewhere.example.com", RecordType::Txt, &value)).unwrap();
    running.reaches(&id, "issued").await;
    let traits = OrderTraits { validation: Validation::Cname, label: "_x".to_owned(), ..OrderTraits::default() };
    let id = running.order(Generation::Instance, &["www.example.com"], traits);
    let value = running.sandbox.order(&id).unwrap().challenges[0].value.clone();
    running.sandbox.add_record(&record("_x.www.example.com", RecordType::Cname, &value)).unwrap();
    running.reaches(&id, "issued").await;
}

#[tokio::test]
async fn the_provider_writes_what_the_authorities_show() {
    use reqwest::Method;
    let running = Running::new(quick()).await;
    let zone = running.zone_id().await;
    let records = format!("/zones/{zone}/dns_records");
    let id = running.order(Generation::Api2018, &["www.example.com"], OrderTraits::default());
    let challenge = running.sandbox.order(&id).unwrap().challenges.remove(0);
    let quoted = format!("\"{}\"", challenge.value);
    let body = json!({"type": "TXT", "name": challenge.name, "content": quoted, "ttl": 120});
    let (status, made) = running.provider(Method::POST, &records, Some(body.clone())).await;
    assert_eq!((status, &made["result"]["content"]), (200, &json!(quoted)));
    running.reaches(&id, "issued").await;

    let code = |(status, reply): (u16, Value)| (status, reply["errors"][0]["code"].as_u64().unwrap());
    assert_eq!(code(running.provider(Method::POST, &records, Some(body)).await), (400, 81058));
    let bare = json!({"type": "TXT", "name": challenge.name, "content": challenge.value, "ttl": 1});
    assert_eq!(code(running.provider(Method::POST, &records, Some(bare)).await), (400, 81058));
    let relative = json!({"type": "TXT", "name": "_dnsauth.www", "content": "foreign", "ttl": 1});
    let (_, foreign) = running.provider(Method::POST, &records, Some(relative)).await;
    assert_eq!(foreign["result"]["name"], "_dnsauth.www.example.com");
    let alias = json!({"type": "CNAME", "name": challenge.name, "content": "example.net"});
    assert_eq!(code(running.provider(Method::POST, &records, Some(alias)).await), (400, 81053));
    let found = format!("{records}?type=TXT&name=_dnsauth.www.example.com&per_page=1&page=2");
    let (_, page) = running.provider(Method::GET, &found, None).await;
    assert_eq!((page["result"].as_array().unwrap().len(), &page["result_info"]["total_pages"]), (1, &json!(2)));

    let ours = format!("{records}/{}", made["result"]["id"].as_str().unwrap());
    assert_eq!(running.provider(Method::DELETE, &ours, None).await.0, 200);
    assert_eq!(code(running.provider(Method::DELETE, &ours, None).await), (404, 81044));
    assert_eq!(running.sandbox.records().iter().map(|record| record.value.as_str()).collect::<Vec<_>>(), ["foreign"]);

    assert_eq!(code(running.provider(Method::GET, &format!("/zones/{:032x}/dns_records", 5), None).await), (403, 10000));
    let all = format!("{}/zones", running.sandbox.addresses().cloudflare);
    let strange: Value = running.http.get(&all).bearer_auth("strange").send().await.unwrap().json().await.unwrap();
    assert_eq!(strange["errors"][0]["code"], 9109);

    let fault = |answer| {
        let fault = Fault::Calls { service: Service::Provider, action: Some("POST".to_owned()), times: Some(1), answer };
        running.sandbox.fault(fault).unwrap();
    };
    fault(Answer::Throttle { retry_after_ms: Some(1200) });
    let url = format!("{}{records}", running.sandbox.addresses().cloudflare);
    let token = &running.sandbox.options().api_token;
    let post =
        || running.http.post(&url).bearer_auth(token).body(json!({"type": "TXT", "name": "lost", "content": "x"}).to_string());
    let response = post().send().await.unwrap();
    assert_eq!((response.status().as_u16(), &response.headers()["retry-after"]), (429, &"2".parse().unwrap()));
    fault(Answer::LostReply);
    assert!(post().send().await.is_err());
    assert!(running.sandbox.records().iter().any(|record| record.name == known_name("lost.example.com")), "the write was done");
}

#[tokio::test]
async fn the_control_api_does_what_the_methods_do() {
    let running = Running::new(quick()).await;
    let control = running.sandbox.addresses().control.clone();
    let post = async |path: &str, body: &str| {
        let response = running.http.post(control.join(path).unwrap()).body(body.to_owned()).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let (_, made) = post(
        "orders",
        r#"[{"generation":"2018","domains":["a.example.com"]},
        {"generation":"instance","domains":["b.example.com"],"traits":{"renewal":true}}]"#,
    )
    .await;
    let id = OrderId::parse(made["ids"][1].as_str().unwrap()).unwrap();
    assert!(running.sandbox.order(&id).unwrap().certificate_id.is_some());
    let (status, _) = post("faults", &format!(r#"{{"fault":"order","order":"{id}","change":{{"kind":"reject"}}}}"#)).await;
    assert_eq!((status, running.sandbox.order(&id).unwrap().stage.as_str()), (200, "rejected"));
    let (status, _) = post("records", r#"{"name":"_a.example.com","type":"TXT","value":"foreign"}"#).await;
    assert_eq!((status, running.sandbox.records().len()), (200, 1));
    for (path, body) in [
        ("orders", r#"{"generation":"2018","domains":[]}"#),
        ("orders", r#"{"generation":"2018","domains":["a.example.com"],"colour":"red"}"#),
        ("faults", r#"{"fault":"order","order":"none","change":{"kind":"reject"}}"#),
        ("records", r#"{"name":"a.example.org","type":"TXT","value":"x"}"#),
        ("records", "x"),
    ] {
        assert_eq!(post(path, body).await.0, 400, "{path} {body}");
    }
    assert_eq!(post("nowhere", "").await.0, 404);
    let state: Value = running.http.get(control.join("state").unwrap()).send().await.unwrap().json().await.unwrap();
    assert_eq!(
        (state["orders"][0]["generation"].as_str(), state["records"][0]["value"].as_str()),
        (Some("2018"), Some("foreign"))
    );
}

#[tokio::test]
async fn many_orders_are_no_burden() {
    let running = Running::new(quick()).await;
    let ids: Vec<OrderId> = (0..500)
        .map(|number| running.order(Generation::Instance, &[&format!("host{number}.example.com")], OrderTraits::default()))
        .collect();
    for id in &ids {
        running.publish(id);
    }
    for id in &ids {
        running.reaches(id, "issued").await;
    }
}

#[tokio::test]
async fn nothing_runs_after_the_end() {
    let running = Running::new(quick()).await;
    let addresses = running.sandbox.addresses().clone();
    running.sandbox.fault(Fault::Calls { service: Service::Cas, action: None, times: None, answer: Answer::Endless }).unwrap();
    let endless = running.http.get(addresses.cas.clone()).send().await.unwrap();
    drop(running.sandbox);
    assert!(tokio::time::timeout(DEADLINE, endless.bytes()).await.is_ok(), "the endless reply ends");
    let tcp: Vec<SocketAddr> = [&addresses.cas, &addresses.cloudflare, &addresses.control]
        .map(|url| SocketAddr::from(([127, 0, 0, 1], url.port().unwrap())))
        .into_iter()
        .chain(addresses.authorities)
        .chain([addresses.resolver])
        .collect();
    let closed = async {
        for address in tcp {
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        }
    };
    tokio::time::timeout(DEADLINE, closed).await.expect("all listeners are closed");
}
