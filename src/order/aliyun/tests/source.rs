//! Which operations are asked for which order, and what becomes of their answers.

use super::{
    scripted::{Answer, Asked, Server, action},
    *,
};
use crate::order::challenge_name;

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
    assert!(error.hint().unwrap().contains("need `--region ap-southeast-1` and no `--endpoint`"));
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
