//! Every vector was made by the vendor's own SDK (`tests/oracles/`); each is computed anew here.

use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::*;

#[derive(Deserialize)]
struct File {
    sdk: String,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: String,
    access_key: String,
    secret_key: String,
    token: Option<String>,
    #[serde(default)]
    service: String,
    #[serde(default)]
    region: String,
    time: String,
    #[serde(default)]
    nonce: String,
    authorization: String,
}

fn check(text: &str, at_least: usize, sign: fn(&mut Outgoing, &Keys, &Moment)) {
    let file: File = serde_json::from_str(text).unwrap();
    assert!(file.vectors.len() >= at_least, "{}", file.sdk);
    for vector in file.vectors {
        let mut request = Outgoing {
            method: Method::from_bytes(vector.method.as_bytes()).unwrap(),
            url: Url::parse(&vector.url).unwrap(),
            headers: vector.headers,
            body: vector.body.into_bytes(),
            what: String::new(),
        };
        let keys = Keys {
            access_key: vector.access_key,
            secret_key: vector.secret_key,
            token: vector.token,
            service: vector.service,
            region: vector.region,
        };
        let moment = Moment { time: vector.time.parse().unwrap(), nonce: vector.nonce };
        sign(&mut request, &keys, &moment);
        assert_eq!(request.header("authorization"), Some(vector.authorization.as_str()), "{}: {}", file.sdk, vector.name);
    }
}

#[test]
fn aws_sigv4_agrees_with_botocore() {
    check(include_str!("../../../../tests/data/signers/aws-sigv4.json"), 6, aws_sigv4::sign);
}

#[test]
fn aliyun_acs3_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/aliyun-acs3.json"), 5, aliyun_acs3::sign);
}

#[test]
fn tencent_tc3_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/tencent-tc3.json"), 4, tencent_tc3::sign);
}
