//! Certificates of the account on cloud resources, and pairs from elsewhere in the account.

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, OrderChange, Service},
};

use super::context::{Context, Ran};

/// Resources of the sandbox get these ids, in their order.
const FIRST: &str = "501";

fn resource(context: &Context, domain: &str, fails: bool) {
    context.sandbox.fault(Fault::CloudResource { product: "CDN".into(), domain: domain.into(), fails }).unwrap();
}

fn next_call(context: &Context, action: &str, answer: Answer) {
    context.sandbox.fault(Fault::Calls { service: Service::Cas, action: Some(action.into()), times: Some(1), answer }).unwrap();
}

/// An order whose certificate is delivered.
fn delivered(context: &Context, generation: Generation, domain: &str) -> OrderId {
    let id = context.order(generation, &[domain]);
    context.change(&id, OrderChange::Issue);
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    id
}

/// What `deploy --resources` shows of a resource's certificate.
fn certificate_at(context: &Context, domain: &str) -> serde_json::Value {
    let rows = context.run(&["deploy", "--resources", "--output", "json"]).expect(0).events();
    rows.iter().find(|row| row["domain"] == domain).unwrap()["certificate"].clone()
}

/// A pair that nobody delivered, in `pair.pem` and `pair.secret`.
fn pair(context: &Context, domain: &str) {
    let made = rcgen::generate_simple_self_signed(vec![domain.to_owned()]).unwrap();
    std::fs::write(context.home().join("pair.pem"), made.cert.pem()).unwrap();
    std::fs::write(context.home().join("pair.secret"), made.signing_key.serialize_pem()).unwrap();
}

const UPLOAD: [&str; 5] = ["upload", "--cert", "pair.pem", "--key", "pair.secret"];

#[test]
fn a_certificate_of_each_generation_is_deployed_once() {
    let context = Context::new();
    for (generation, domain) in
        [(Generation::Instance, "a.example.com"), (Generation::Order, "b.example.com"), (Generation::Api2018, "c.example.com")]
    {
        let id = delivered(&context, generation, domain);
        resource(&context, domain, false);
        assert!(certificate_at(&context, domain).is_null());
        let ran = context.run(&["deploy", domain, "--to", domain]).expect(0).says("is deployed to 1 resources");
        assert!(ran.stdout.contains("success") && ran.stdout.contains(domain), "{ran:?}");
        let certificate = certificate_at(&context, domain);
        assert!(certificate.is_number(), "{generation}");
        // By its order it is the same certificate, and what was done is not done again.
        let jobs = context.calls("CreateDeploymentJob");
        context.run(&["deploy", id.as_str(), "--to", domain]).expect(0).says("did this already");
        context.run(&["deploy", "--certificate-id", &certificate.to_string(), "--to", domain]).expect(0).says("did this already");
        assert_eq!(context.calls("CreateDeploymentJob"), jobs, "{generation}");
        context.run(&["deploy", domain, "--to", domain, "--force"]).expect(0);
        assert_eq!(context.calls("CreateDeploymentJob"), jobs + 1, "{generation}");
    }
}

#[test]
fn a_lost_reply_does_not_make_a_second_job() {
    let context = Context::new();
    delivered(&context, Generation::Instance, "www.example.com");
    resource(&context, "www.example.com", false);
    next_call(&context, "CreateDeploymentJob", Answer::LostReply);
    next_call(&context, "UpdateDeploymentJobStatus", Answer::LostReply);
    context.run(&["deploy", "www.example.com", "--to", FIRST]).expect(0);
    assert_eq!(context.calls("CreateDeploymentJob"), 1);
    assert!(certificate_at(&context, "www.example.com").is_number());
}

#[test]
fn nobody_waits_with_no_wait_and_the_same_command_again_sees_the_end() {
    let context = Context::with(|options| options.issue_delay = std::time::Duration::from_millis(800));
    delivered(&context, Generation::Instance, "www.example.com");
    resource(&context, "www.example.com", false);
    let arguments = ["deploy", "www.example.com", "--to", "www.example.com"];
    let mut hurried = arguments.to_vec();
    hurried.push("--no-wait");
    context.run(&hurried).expect(7).says("the same command again waits for its end");
    context.run(&arguments).expect(0);
    assert_eq!((context.calls("CreateDeploymentJob"), context.calls("UpdateDeploymentJobStatus")), (1, 1));
}

#[cfg(feature = "failpoints")]
#[test]
fn a_killed_deployment_is_carried_on() {
    for point in ["deploy.before", "deploy.created", "deploy.begun"] {
        let context = Context::new();
        delivered(&context, Generation::Instance, "www.example.com");
        resource(&context, "www.example.com", false);
        let arguments = ["deploy", "www.example.com", "--to", FIRST];
        let ran = Ran::of(context.command(&arguments).env("DV_FAILPOINT", point).output().unwrap());
        assert_ne!(ran.code, 0, "{point}: {ran:?}");
        context.run(&arguments).expect(0);
        assert_eq!(context.calls("CreateDeploymentJob"), 1, "{point}");
        assert!(certificate_at(&context, "www.example.com").is_number(), "{point}");
    }
}

#[test]
fn what_failed_is_told_for_each_resource_and_tried_anew() {
    let context = Context::new();
    delivered(&context, Generation::Instance, "www.example.com");
    resource(&context, "www.example.com", false);
    resource(&context, "www.example.com", true);
    let ran = context.run(&["deploy", "www.example.com", "--to", "www.example.com"]).expect(6).says("not deployed everywhere");
    let row = |id: &str| ran.stdout.lines().find(|line| line.trim_start().starts_with(id)).unwrap().to_owned();
    assert!(row(FIRST).contains("success") && !row(FIRST).contains("why"), "{ran:?}");
    assert!(row("502").contains("error") && row("502").contains("HTTPS is off there"), "{ran:?}");
    assert!(ran.stdout.contains("the service does not say why"), "{ran:?}");
    context.run(&["deploy", "www.example.com", "--to", "www.example.com"]).expect(6);
    assert_eq!(context.calls("CreateDeploymentJob"), 2);
}

#[test]
fn what_cannot_be_deployed_is_said_before_anything_is_done() {
    let context = Context::new();
    let id = delivered(&context, Generation::Instance, "www.example.com");
    let waiting = context.order(Generation::Instance, &["later.example.com"]);
    context.change(&waiting, OrderChange::Hold);
    resource(&context, "other.example.com", false);
    let deploy = |what: &str, to: &str| context.run(&["deploy", what, "--to", to]);
    deploy("www.example.com", "no-such.example.com").expect(2).says("has no resource `no-such.example.com`").says("--resources");
    deploy(id.as_str(), FIRST).expect(2).says("does not serve `other.example.com`").says("it names www.example.com");
    deploy("unknown.example.com", FIRST).expect(2).says("no certificate for `unknown.example.com` was delivered");
    deploy(waiting.as_str(), FIRST).expect(2).says("has no certificate yet");
    deploy("cas-unknown", FIRST).expect(2).says("check the id");
    context.run(&["deploy", "--certificate-id", "7", "--to", FIRST]).expect(2).says("has no certificate 7").says("CertId");
    context.run(&["deploy", "www.example.com"]).expect(2).says("--to");
    let denied = Answer::Error { status: 403, code: "NoPermission".into(), message: "no".into() };
    next_call(&context, "ListCloudResources", denied);
    deploy("www.example.com", FIRST)
        .expect(3)
        .says("yundun-cert:ListCloudResources")
        .says("\"yundun-cert:CreateDeploymentJob\"")
        .says("\"yundun-cert:UpdateDeploymentJobStatus\"");
    assert_eq!(context.calls("CreateDeploymentJob"), 0);
}

#[test]
fn a_pair_from_elsewhere_is_uploaded_once_and_deployed() {
    let context = Context::new();
    pair(&context, "own.example.com");
    resource(&context, "own.example.com", false);
    let first = context.run(&UPLOAD).expect(0).stdout;
    let id = first.trim();
    assert!(id.parse::<u64>().is_ok(), "{first}");
    let again = context.run(&UPLOAD).expect(0).says("nothing was uploaded");
    assert_eq!(again.stdout, first);
    assert_eq!(context.calls("UploadUserCertificate"), 1);
    context.run(&["deploy", "--certificate-id", id, "--to", "own.example.com"]).expect(0);
    assert_eq!(certificate_at(&context, "own.example.com").to_string(), id);
    // Another certificate of that name in the account.
    pair(&context, "own.example.com");
    let mut named = UPLOAD.to_vec();
    named.extend(["--as", "mine"]);
    context.run(&named).expect(0);
    pair(&context, "own.example.com");
    context.run(&named).expect(2).says("is called `mine`").says("--as NAME");
}

#[test]
fn a_lost_reply_to_an_upload_does_not_upload_twice_and_no_key_is_shown() {
    let context = Context::new();
    pair(&context, "own.example.com");
    next_call(&context, "UploadUserCertificate", Answer::LostReply);
    let json = ["--output", "json", "-vv"];
    let ran = context.run(&[UPLOAD.as_slice(), &json].concat()).expect(0);
    let key = std::fs::read_to_string(context.home().join("pair.secret")).unwrap();
    let line = key.lines().nth(1).unwrap();
    assert!(!ran.stderr.contains(line) && !ran.stdout.contains(line), "the key is in the output");
    assert_eq!(ran.events()[0]["names"][0], "own.example.com");
    // Where the signature is refused the service repeats what was signed.
    pair(&context, "two.example.com");
    let key = std::fs::read_to_string(context.home().join("pair.secret")).unwrap();
    let mut command = context.command(&[UPLOAD.as_slice(), &["--signature", "v1", "-vv"]].concat());
    let ran = Ran::of(command.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "wrong").output().unwrap()).expect(3);
    for line in key.lines().filter(|line| !line.starts_with("-----")) {
        // Enough of it that it cannot be there by chance.
        let letters: Vec<&str> = line.split(['+', '/', '=']).filter(|part| part.len() > 11).collect();
        assert!(letters.iter().all(|part| !ran.stderr.contains(part)), "a part of the key is in the output: {}", ran.stderr);
    }
}

#[test]
fn a_pair_that_does_not_fit_goes_nowhere() {
    let context = Context::new();
    pair(&context, "own.example.com");
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    std::fs::write(context.home().join("pair.secret"), other).unwrap();
    context.run(&UPLOAD).expect(2).says("nothing was uploaded").says("does not belong to the certificate");
    std::fs::write(context.home().join("pair.pem"), "no certificate").unwrap();
    context.run(&UPLOAD).expect(2).says("nothing was uploaded");
    context.run(&["upload", "--cert", "not-there.pem", "--key", "pair.secret"]).expect(2).says("`not-there.pem` cannot be read");
    context.run(&["upload", "--cert", "pair.pem"]).expect(2).says("--key");
    assert_eq!(context.calls("UploadUserCertificate"), 0);
}

#[test]
fn a_certificate_that_the_account_does_not_have_is_uploaded_on_request() {
    let context = Context::new();
    let other = Context::new();
    // Delivered by another account, as by an ACME CA.
    let id = other.order(Generation::Instance, &["www.example.com"]);
    other.change(&id, OrderChange::Issue);
    let out = context.out();
    let arguments = ["--provider", "cloudflare", "--order", id.as_str(), "--out", out.to_str().unwrap()];
    other.run(&arguments).expect(0);
    resource(&context, "www.example.com", false);
    let arguments = ["deploy", "www.example.com", "--to", "www.example.com"];
    context.run(&arguments).expect(2).says("the account does not have the certificate").says("--upload");
    context.run(&[arguments.as_slice(), &["--upload"]].concat()).expect(0).says("uploaded, certificate");
    assert!(certificate_at(&context, "www.example.com").is_number());
}
