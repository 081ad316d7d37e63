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
    check(include_str!("../../../../tests/data/signers/aws-sigv4.json"), 6, sigv4::aws);
}

#[test]
fn aliyun_acs3_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/aliyun-acs3.json"), 5, aliyun_acs3::sign);
}

#[test]
fn tencent_tc3_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/tencent-tc3.json"), 4, tencent_tc3::sign);
}

#[test]
fn volcengine_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/volcengine.json"), 8, sigv4::volcengine);
}

#[test]
fn jdcloud_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/jdcloud.json"), 10, sigv4::jdcloud);
}

#[test]
fn huawei_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/huawei.json"), 10, huawei::sign);
}

#[test]
fn baidu_bce_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/baidu-bce.json"), 20, baidu_bce::sign);
}

#[test]
fn edgegrid_agrees_with_the_sdk() {
    check(include_str!("../../../../tests/data/signers/edgegrid.json"), 10, edgegrid::sign);
}

#[test]
fn oracle_agrees_with_the_sdk() {
    let sign = |request: &mut Outgoing, keys: &Keys, moment: &Moment| oracle::sign(request, keys, moment).unwrap();
    check(include_str!("../../../../tests/data/signers/oracle.json"), 20, sign);
}

/// Tokens and plain signatures. PSS is random, so there the token's text is compared and its signature verified.
#[test]
fn tokens_and_rsa_signatures_agree_with_the_sdks() {
    #[derive(Deserialize)]
    struct File {
        public: String,
        vectors: Vec<Vector>,
    }
    #[derive(Deserialize)]
    struct Vector {
        name: String,
        kind: String,
        key: String,
        key_id: String,
        text: String,
        want: String,
    }
    let decode = |part: &str| data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).unwrap();
    let json = |part: &str| serde_json::from_slice::<serde_json::Value>(&decode(part)).unwrap();

    let file: File = serde_json::from_str(include_str!("../../../../tests/data/signers/rsa.json")).unwrap();
    let public = HEXLOWER.decode(file.public.as_bytes()).unwrap();
    assert!(file.vectors.len() >= 8);
    for vector in file.vectors {
        if vector.kind == "rsa_sha512" {
            let signature = rsa::sign(&vector.key, rsa::Scheme::Pkcs1Sha512, vector.text.as_bytes()).unwrap();
            assert_eq!(data_encoding::BASE64.encode(&signature), vector.want, "{}", vector.name);
            continue;
        }
        let wanted: Vec<&str> = vector.want.split('.').collect();
        let token = jwt(&json(wanted[1]), &vector.kind, &vector.key, Some(&vector.key_id)).unwrap();
        let made: Vec<&str> = token.split('.').collect();
        assert_eq!((json(made[0]), json(made[1])), (json(wanted[0]), json(wanted[1])), "{}", vector.name);
        let algorithm: &dyn ring::signature::VerificationAlgorithm = match vector.kind.as_str() {
            "PS256" => &ring::signature::RSA_PSS_2048_8192_SHA256,
            _ => &ring::signature::RSA_PKCS1_2048_8192_SHA256,
        };
        for [head, claims, signature] in [[made[0], made[1], made[2]], [wanted[0], wanted[1], wanted[2]]] {
            ring::signature::UnparsedPublicKey::new(algorithm, &public)
                .verify(format!("{head}.{claims}").as_bytes(), &decode(signature))
                .unwrap();
        }
    }
}

#[test]
fn a_key_that_is_none_is_not_quoted() {
    for key in ["", "secret", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"] {
        let error = rsa::sign(key, rsa::Scheme::Pkcs1Sha256, b"text").unwrap_err();
        assert!(error.contains("PEM") && !error.contains("secret") && !error.contains("c2Vj"), "{error}");
    }
    let locked = rsa::sign("-----BEGIN ENCRYPTED PRIVATE KEY-----", rsa::Scheme::Pkcs1Sha256, b"").unwrap_err();
    assert!(locked.contains("passphrase"));
}
