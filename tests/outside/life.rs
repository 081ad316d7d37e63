//! The rest of an order's life at CAS: applying, withdrawing, revoking, renewing, and the account at a glance.

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{Answer, Fault, OrderChange, OrderTraits, Service},
};

use super::context::{ACCESS_KEY_SECRET, APPLICANT, Context, Ran};

fn apply(context: &Context, more: &[&str]) -> Ran {
    let mut arguments = vec!["apply", "--provider", "cloudflare"];
    arguments.extend(more);
    context.run(&arguments)
}

/// Applies out of a package.
fn apply_package(context: &Context, more: &[&str]) -> Ran {
    let mut arguments = vec!["--product", "symantec-dv-1-starter"];
    arguments.extend(APPLICANT);
    arguments.extend(more);
    apply(context, &arguments)
}

fn lose_reply(context: &Context, action: &str, answer: Answer) {
    context.sandbox.fault(Fault::Calls { service: Service::Cas, action: Some(action.into()), times: Some(1), answer }).unwrap();
}

fn serial(context: &Context, folder: &str) -> std::path::PathBuf {
    std::fs::read_link(context.out().join(folder).join("live")).unwrap()
}

#[test]
fn an_instance_is_applied_with_once() {
    let context = Context::new();
    let id = context.free_instance(OrderTraits::default());
    apply(&context, &["www.example.com"]).expect(0).says(&format!("www.example.com: applied for, order {id}"));
    assert!(context.out().join("www.example.com/live/privkey.pem").is_file());
    assert_eq!(context.records(), Vec::<String>::new());
    assert_eq!(context.calls("ApplyCertificate"), 1);
    // The same command again: the certificate is good for a while yet.
    apply(&context, &["www.example.com"]).expect(0).says("the certificate is good until").says("--force");
    assert_eq!(context.calls("ApplyCertificate"), 1);
    // Another name: there is no other instance.
    apply(&context, &["api.example.com"]).expect(2).says("no instance is free to apply with").says("--product CODE");
}

#[test]
fn an_instance_that_submits_itself_is_not_submitted_again() {
    let context = Context::new();
    context.free_instance(OrderTraits { auto_submit: true, ..OrderTraits::default() });
    apply(&context, &["www.example.com"]).expect(0);
    assert_eq!(context.calls("ApplyCertificate"), 0);
}

#[test]
fn a_key_that_is_made_here_never_leaves() {
    let context = Context::new();
    let id = context.free_instance(OrderTraits::default());
    apply(&context, &["www.example.com", "--instance", id.as_str(), "--generate-key"]).expect(0);
    assert!(context.out().join("www.example.com/live/privkey.pem").is_file(), "the key is beside its certificate");
    let kept = std::fs::read_dir(context.home().join("state/keys")).unwrap().count();
    assert_eq!(kept, 0, "and nowhere else");
}

#[test]
fn a_request_of_ones_own_keeps_its_key() {
    let context = Context::new();
    context.free_instance(OrderTraits::default());
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec!["own.example.com".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let request = params.serialize_request(&key).unwrap();
    let path = context.home().join("own.csr");
    std::fs::write(&path, request.pem().unwrap()).unwrap();
    let path = path.to_str().unwrap();
    apply(&context, &["other.example.com", "--csr", path]).expect(2).says("is for other names: own.example.com");
    apply(&context, &["--csr", path]).expect(0);
    let live = context.out().join("own.example.com/live");
    assert!(live.join("fullchain.pem").is_file() && !live.join("privkey.pem").exists());
}

#[test]
fn a_lost_reply_does_not_make_a_second_order() {
    for (answer, submits) in [(Answer::LostReply, 1), (Answer::Drop, 2)] {
        let context = Context::new();
        context.free_instance(OrderTraits::default());
        lose_reply(&context, "ApplyCertificate", answer.clone());
        apply(&context, &["www.example.com"]).expect(0);
        assert_eq!(context.calls("ApplyCertificate"), submits, "{answer:?}");
    }
    let context = Context::new();
    lose_reply(&context, "CreateCertificateForPackageRequest", Answer::LostReply);
    apply_package(&context, &["www.example.com"]).expect(0);
    assert_eq!(context.calls("CreateCertificateForPackageRequest"), 1);
    let state = context.sandbox.state();
    assert_eq!(state.orders.len(), 1, "{:?}", state.orders);
}

/// Runs the program and kills it at a point.
#[cfg(feature = "failpoints")]
fn kill_at(context: &Context, point: &str, arguments: &[&str]) {
    let mut command = context.command(arguments);
    let ran = Ran::of(command.env("DV_FAILPOINT", point).output().unwrap());
    assert_eq!(ran.code, -1, "it was to die at {point}: {}", ran.stderr);
}

#[cfg(feature = "failpoints")]
#[test]
fn a_killed_application_is_carried_on_and_not_made_again() {
    for point in dv_verify::failpoint::APPLY_POINTS {
        let context = Context::new();
        context.free_instance(OrderTraits::default());
        let arguments = ["apply", "--provider", "cloudflare", "www.example.com", "--generate-key"];
        kill_at(&context, point, &arguments);
        context.run(&arguments).expect(0);
        assert_eq!(context.calls("ApplyCertificate"), 1, "{point}");
        assert!(context.out().join("www.example.com/live/privkey.pem").is_file(), "{point}");
        // A key of an application that was never sent is of no use, and nobody knows it.
        std::fs::remove_dir_all(context.home().join("state/keys")).unwrap();
    }
    let context = Context::new();
    let mut arguments = vec!["apply", "--provider", "cloudflare", "www.example.com", "--product", "symantec-dv-1-starter"];
    arguments.extend(APPLICANT);
    kill_at(&context, "apply.after", &arguments);
    context.run(&arguments).expect(0);
    assert_eq!(context.calls("CreateCertificateForPackageRequest"), 1);
    // Whether this one arrived cannot be known, so it is not sent again at once.
    arguments[3] = "api.example.com";
    kill_at(&context, "apply.before", &arguments);
    context.run(&arguments).expect(7).says("it is not known whether the application reached the CA");
    assert_eq!(context.calls("CreateCertificateForPackageRequest"), 1);
}

#[test]
fn an_order_of_2018_is_applied_for() {
    let context = Context::new();
    let id = context.order_with(
        Generation::Api2018,
        &["unused.example.com"],
        OrderTraits { submitted: false, ..OrderTraits::default() },
    );
    let mut arguments = vec!["www.example.com", "--instance", id.as_str(), "--api", "2018"];
    apply(&context, &arguments).expect(2).says("--applicant-name").says("--applicant-city");
    arguments.extend(APPLICANT);
    arguments.extend(["--applicant-province", "Beijing", "--applicant-city", "Beijing"]);
    apply(&context, &arguments).expect(0);
    assert!(context.out().join("www.example.com/live/cert.pem").is_file());
}

#[test]
fn what_is_refused_says_why_and_leaves_nothing() {
    let context = Context::new();
    context.free_instance(OrderTraits {
        task_failure: Some("CAA forbids it".into()),
        challenge_delay_ms: Some(0),
        ..OrderTraits::default()
    });
    apply(&context, &["www.example.com"]).expect(6).says("CAA forbids it").says("it applies anew");
    // One that is applied with again goes on showing its certificate, which is not taken for the new one.
    let renewed = context.free_instance(OrderTraits {
        task_failure: Some("CAA forbids it still".into()),
        challenge_delay_ms: Some(0),
        renewal: true,
        ..OrderTraits::default()
    });
    let again = ["www.example.com", "--instance", renewed.as_str()];
    for _ in 0..2 {
        apply(&context, &again).expect(6).says("CAA forbids it still");
    }
    assert!(!context.out().join("www.example.com").exists());

    context.sandbox.fault(Fault::Package { product: "symantec-dv-1-starter".into(), left: 0 }).unwrap();
    apply_package(&context, &["www.example.com"]).expect(6).says("used up");
    apply_package(&context, &["www.example.com", "--generate-key"]).expect(6).says("used up");
    assert_eq!(std::fs::read_dir(context.home().join("state/keys")).unwrap().count(), 0, "nobody needs the key");
    apply_package(&context, &["*.example.com"]).expect(2).says("a product for plain names");
    apply(&context, &["www.example.com", "--product", "symantec-dv-1-starter"]).expect(2).says("--applicant-name");
    apply(
        &context,
        &[
            "my-bank.example.com",
            "--product",
            "no-such-product",
            "--applicant-name",
            "T",
            "--applicant-email",
            "t@example.com",
            "--applicant-phone",
            "1",
        ],
    )
    .expect(2)
    .says("holds the word `bank`")
    .says("the account has no package of this product");
    lose_reply(&context, "ListInstances", Answer::Error { status: 403, code: "NoPermission".into(), message: "no".into() });
    apply(&context, &["www.example.com"]).expect(3).says("yundun-cert:ListInstances").says("\"Statement\"");
    assert_eq!(context.writes(), 0, "nothing was written");
    assert_eq!(context.calls("CreateCertificateForPackageRequest"), 3);
}

#[test]
fn ending_an_order_wants_a_yes() {
    let context = Context::with(|options| options.challenge_delay = std::time::Duration::ZERO);
    let id = context.order(Generation::Instance, &["www.example.com"]);
    context.change(&id, OrderChange::Hold);
    context.run(&["--provider", "cloudflare", "--order", id.as_str(), "--no-wait"]).expect(0);
    assert_eq!(context.records().len(), 1);
    context.run(&["cancel", id.as_str()]).expect(2).says("was not confirmed").says("--yes");
    assert_eq!(context.calls("CancelPendingCertificate"), 0);
    context.run(&["cancel", id.as_str(), "--yes", "--provider", "cloudflare"]).expect(0);
    assert_eq!(context.sandbox.order(&id).unwrap().stage, "not-submitted");
    assert_eq!(context.records(), Vec::<String>::new(), "its record went along");
    context.run(&["cancel", id.as_str(), "--yes"]).expect(2).says("only an application that waits can be withdrawn");
    context.run(&["revoke", id.as_str(), "--yes"]).expect(2).says("only an issued certificate can be revoked");
    context.run(&["delete", id.as_str(), "--yes"]).expect(2).says("--refund");
    context.run(&["delete", id.as_str(), "--yes", "--refund"]).expect(0);
    assert!(context.sandbox.order(&id).is_none());

    apply_package(&context, &["own.example.com"]).expect(0);
    let order = context.sandbox.state().orders[0].id.clone();
    context.run(&["revoke", &order, "--yes"]).expect(0);
    context.run(&["revoke", &order, "--yes"]).expect(2);
}

#[test]
fn a_renewal_takes_the_place_of_the_certificate_before() {
    let context = Context::new();
    context.free_instance(OrderTraits::default());
    apply(&context, &["www.example.com"]).expect(0);
    apply_package(&context, &["own.example.com"]).expect(0);
    let (first, first_of_package) = (serial(&context, "www.example.com"), serial(&context, "own.example.com"));
    context.run(&["renew", "--provider", "cloudflare"]).expect(0).says("no certificate is due for renewal");
    context.run(&["renew", "--provider", "cloudflare", "--force"]).expect(0);
    let (second, second_of_package) = (serial(&context, "www.example.com"), serial(&context, "own.example.com"));
    assert!(first != second && first_of_package != second_of_package);
    assert!(context.out().join("www.example.com").join(&first).is_dir(), "the older pair stays");
    assert_eq!(context.calls("RenewCertificateOrderForPackageRequest"), 1);
    assert_eq!(context.calls("CreateCertificateForPackageRequest"), 1);
    context.run(&["renew", "--provider", "cloudflare", "--force", "--keep", "1", "www.example.com"]).expect(0);
    assert!(!context.out().join("www.example.com").join(&first).exists(), "`--keep 1` keeps one older pair");
    assert!(context.out().join("www.example.com").join(&second).is_dir());
    assert_eq!(serial(&context, "own.example.com"), second_of_package, "it was not named");
    assert_eq!(context.records(), Vec::<String>::new());
}

#[test]
fn the_older_pair_comes_back_by_one_link() {
    let context = Context::new();
    let id = context.free_instance(OrderTraits::default());
    apply(&context, &["www.example.com"]).expect(0);
    let first = serial(&context, "www.example.com");
    let renew = ["renew", "--provider", "cloudflare"];
    context.run(&[&renew[..], &["--force"]].concat()).expect(0);
    let second = serial(&context, "www.example.com");
    assert_ne!(first, second);

    // As docs/apply.md says it.
    let command = "ln -sfn SERIAL live";
    assert!(include_str!("../../docs/apply.md").contains(&format!("`{command}`")));
    let folder = context.out().join("www.example.com");
    let line = format!("cd {} && {}", folder.display(), command.replace("SERIAL", first.to_str().unwrap()));
    context.shell(&line).expect(0);
    assert_eq!(serial(&context, "www.example.com"), first);
    let upload = ["upload", "--cert", "fullchain.pem", "--key", "privkey.pem"].map(|part| match part {
        "fullchain.pem" | "privkey.pem" => folder.join("live").join(part).display().to_string(),
        part => part.to_owned(),
    });
    // Key and certificate of what is there now fit: a pair that does not is refused.
    context.run(&upload.each_ref().map(String::as_str)).expect(0);
    // Runs that have nothing to do with it leave it.
    context.run(&["--provider", "cloudflare"]).expect(0);
    context.run(&renew).expect(0).says("no certificate is due");
    assert_eq!(serial(&context, "www.example.com"), first);
    // One that names the order delivers what the account has, and a renewal goes on from there.
    context.run(&["--provider", "cloudflare", "--order", id.as_str()]).expect(0);
    assert_eq!(serial(&context, "www.example.com"), second);
    context.shell(&line).expect(0);
    context.run(&[&renew[..], &["--force"]].concat()).expect(0);
    let third = serial(&context, "www.example.com");
    assert!(third != first && third != second);
    assert!(folder.join(&first).is_dir() && folder.join(&second).is_dir(), "both older pairs are there");
}

#[test]
fn every_page_of_every_list_is_read() {
    let context = Context::new();
    for number in 0..110 {
        context.order(Generation::Instance, &[&format!("i{number}.example.com")]);
    }
    for number in 0..60 {
        context.order(Generation::Order, &[&format!("o{number}.example.com")]);
        context.order(Generation::Api2018, &[&format!("old{number}.example.com")]);
    }
    let rows = context.run(&["orders", "--output", "json"]).expect(0).events();
    assert_eq!(rows.len(), 230);
    let pages = ["ListInstances", "ListUserCertificateOrder", "DescribeOrderInstanceList"].map(|action| context.calls(action));
    assert_eq!(pages, [2, 3, 2], "a page of 100, of 50 and of 50; bought orders are listed apart");
    assert_eq!(context.calls("GetInstanceDetail"), 0, "challenges of so many are read on request");
}

#[test]
fn the_account_at_a_glance_never_asks_for_keys() {
    let context = Context::new();
    let waiting = context.order(Generation::Instance, &["www.example.com"]);
    context.change(&waiting, OrderChange::Hold);
    let of_package = context.order(Generation::Order, &["own.example.com"]);
    context.change(&of_package, OrderChange::Issue);
    context.order(Generation::Api2018, &["old.example.com"]);
    let ran = context.run(&["orders"]).expect(0);
    let head = ran.stdout.lines().next().unwrap();
    for heading in ["ORDER", "API", "STATE", "CHALLENGE", "AGE", "EXPIRES", "NAMES"] {
        assert!(head.contains(heading), "{heading} is not in {head}");
    }
    let rows = context.run(&["orders", "--output", "json"]).expect(0).events();
    assert_eq!(rows.len(), 3);
    let row = |id: &OrderId| rows.iter().find(|row| row["order"] == id.as_str()).unwrap();
    assert!(row(&of_package)["expires"].as_str().is_some_and(|expires| expires.ends_with('Z')), "{rows:?}");
    assert!(row(&of_package)["created"].is_string());
    for operation in ["DescribeCertificateState", "DescribeDVOrderResult", "GetUserCertificateDetail"] {
        assert_eq!(context.calls(operation), 0, "{operation}");
    }
    context.run(&["orders", "--regions", "cn-hangzhou,ap-southeast-1"]).expect(2).says("does not go with `--endpoint`");
}

#[test]
fn credentials_of_a_program_serve_and_verbose_says_so() {
    let context = Context::with(|options| options.security_token = Some("planted-sts-token-51c2".into()));
    let answer = serde_json::json!({
        "mode": "StsToken",
        "access_key_id": context.sandbox.options().access_key_id,
        "access_key_secret": ACCESS_KEY_SECRET,
        "sts_token": "planted-sts-token-51c2",
    });
    std::fs::write(context.home().join("answer.secret"), answer.to_string()).unwrap();
    let config = serde_json::json!({"current": "vault", "profiles": [{
        "name": "vault", "mode": "External", "process_command": format!("/bin/cat '{}/answer.secret'", context.home().display()),
    }]});
    std::fs::create_dir(context.home().join(".aliyun")).unwrap();
    std::fs::write(context.home().join(".aliyun/config.json"), config.to_string()).unwrap();
    let mut command = context.command(&["orders", "-v"]);
    command.env_remove("ALIBABA_CLOUD_ACCESS_KEY_ID").env_remove("ALIBABA_CLOUD_ACCESS_KEY_SECRET");
    let ran = Ran::of(command.output().unwrap()).expect(0).says("program `/bin/cat` (profile `vault` of");
    assert!(!ran.stderr.contains("planted"), "{}", ran.stderr);
}

#[test]
fn a_list_is_applied_for_once_with_one_list_of_instances() {
    let context = Context::new();
    for _ in 0..3 {
        context.free_instance(OrderTraits::default());
    }
    let list = context.home().join("list.txt");
    std::fs::write(&list, "a.example.com # one\nb.example.com, b2.example.com\n\nc.example.com\na.example.com\nd.example.com\n")
        .unwrap();
    let given = ["--list", list.to_str().unwrap()];
    apply(&context, &[given.as_slice(), &["--instance", "cas-1"]].concat()).expect(2).says("`--instance` is for one certificate");
    // Two names are more than any of these instances takes, and then one is left over.
    let ran = apply(&context, &given).expect(9);
    ran.says("b.example.com, b2.example.com").says("free instances takes 2 plain names");
    for domain in ["a.example.com", "c.example.com", "d.example.com"] {
        assert!(context.out().join(domain).join("live/cert.pem").is_file(), "{domain}");
    }
    assert_eq!(context.calls("ApplyCertificate"), 3);
    assert_eq!(context.calls("ListInstances"), 1);
    assert_eq!(context.records(), Vec::<String>::new());
    // Again: what is there is left alone, what is missing is applied for.
    let of_package = [given.as_slice(), &["--product", "symantec-dv-1-starter"], &APPLICANT].concat();
    apply(&context, &of_package).expect(0).says("a.example.com: the certificate is good until");
    assert_eq!(context.calls("CreateCertificateForPackageRequest"), 1);
    assert!(context.out().join("b.example.com/live/cert.pem").is_file());
    std::fs::write(&list, "a.example.com\nnot a/name\n").unwrap();
    apply(&context, &given).expect(2).says("line 2");
}

#[cfg(feature = "failpoints")]
#[test]
fn an_instance_that_was_taken_meanwhile_is_left_alone() {
    let context = Context::new();
    context.free_instance(OrderTraits::default());
    let www = ["apply", "--provider", "cloudflare", "www.example.com"];
    kill_at(&context, "apply.before", &www);
    // Somebody else, or another run, applies with it.
    apply(&context, &["api.example.com"]).expect(0);
    context.run(&www).expect(2).says("was taken meanwhile, for api.example.com").says("it takes another instance");
    assert_eq!(context.calls("ApplyCertificate"), 1);
    context.free_instance(OrderTraits::default());
    context.run(&www).expect(0);
    assert_eq!(context.calls("ApplyCertificate"), 2);
    assert!(context.out().join("www.example.com/live/cert.pem").is_file());
}

#[test]
fn a_request_with_an_rsa_key_is_applied_with() {
    let context = Context::new();
    context.free_instance(OrderTraits::default());
    // RSA-3072, made by `openssl req`; its key was thrown away.
    std::fs::write(context.home().join("rsa.csr"), include_str!("../data/rsa.csr")).unwrap();
    apply(&context, &["--csr", "rsa.csr"]).expect(0);
    let live = context.out().join("own.example.com/live");
    assert!(!live.join("privkey.pem").exists());
    let pem = std::fs::read(live.join("cert.pem")).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).unwrap();
    let leaf = pem.parse_x509().unwrap();
    assert!(
        matches!(leaf.public_key().parsed().unwrap(), x509_parser::public_key::PublicKey::RSA(key) if key.key_size() == 3072)
    );
    // What the service would make cannot be asked for together with it.
    apply(&context, &["--csr", "rsa.csr", "--key-algorithm", "RSA_2048"]).expect(2).says("cannot be used with");
}
