//! Orders that are not found, that the CA refuses, and that people look at.

use std::time::Duration;

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::{OrderChange, OrderTraits},
};

use super::{
    super::context::{Context, until},
    Mistake, NOT_YET, OTHER_KEY, apply, apply_package, is_there, named, nothing_was_done, owned, owned_without_timeout, run,
    tell, tell_in, verify, waiting,
};

/// An order that is refused while its record is out.
fn rejected(context: &Context, generation: Generation) -> Vec<String> {
    let id = waiting(context, generation);
    context.change(&id, OrderChange::Reject);
    // It waits for nobody when it is applied for again.
    context.change(&id, OrderChange::Recover);
    verify(&id, &[])
}

#[test]
fn an_id_that_is_not_there() {
    tell(&[
        Mistake {
            what: "no such id, or one of another region",
            begin: |_| owned(&["--provider", "cloudflare", "--order", "cas-cn-nosuchorder"]),
            code: 2,
            english: &["order `cas-cn-nosuchorder` is unknown", "check the id with `dv-verify orders`", "--region"],
            chinese: &["没有订单 `cas-cn-nosuchorder`", "请用 `dv-verify orders` 核对 ID", "--region"],
            end: nothing_was_done,
        },
        Mistake {
            what: "an id of another account",
            begin: |context| {
                let traits = OrderTraits { account: Some(OTHER_KEY.into()), ..OrderTraits::default() };
                verify(&context.order_with(Generation::Instance, &["www.example.com"], traits), &[])
            },
            code: 2,
            english: &["order `{order}` is unknown", "orders of another account its credentials"],
            chinese: &["没有订单 `{order}`", "其他账号的订单需要该账号的凭证"],
            end: nothing_was_done,
        },
        Mistake {
            what: "an OrderId, and an API that has none",
            begin: |_| owned(&["--provider", "cloudflare", "--order", "12345", "--api", "instance"]),
            code: 2,
            english: &["`12345` is an OrderId, which `--api instance` does not know", "use `--api order`"],
            chinese: &["`12345` 是 OrderId，`--api instance` 不认识它", "请使用 `--api order`"],
            end: nothing_was_done,
        },
        Mistake {
            what: "an InstanceId of 2020, asked for as one of 2018",
            begin: |context| verify(&context.order(Generation::Instance, &["www.example.com"]), &["--api", "2018"]),
            code: 2,
            english: &["order `{order}` is unknown", "only `--api 2018` was asked: leave `--api` out"],
            chinese: &["没有订单 `{order}`", "只查询了 `--api 2018`：请不用 `--api`"],
            end: |context, arguments| {
                nothing_was_done(context, arguments);
                run(context, &arguments[..4]).expect(0);
                is_there(context);
            },
        },
        Mistake {
            what: "an InstanceId of 2018, asked for as one of 2020",
            begin: |context| verify(&context.order(Generation::Api2018, &["www.example.com"]), &["--api", "instance"]),
            code: 2,
            english: &["order `{order}` is unknown", "only `--api instance` was asked: leave `--api` out"],
            chinese: &["没有订单 `{order}`", "只查询了 `--api instance`：请不用 `--api`"],
            end: |context, arguments| {
                run(context, &arguments[..4]).expect(0);
                is_there(context);
            },
        },
    ]);
}

#[test]
fn an_order_that_the_ca_refuses() {
    tell(&[
        Mistake {
            what: "a refused instance",
            begin: |context| rejected(context, Generation::Instance),
            code: 6,
            english: &[
                "the CA refused the order",
                "the CA said: domain validation failed",
                "`dv-verify apply www.example.com --instance {order}`",
            ],
            chinese: &[
                "CA 拒绝了订单",
                "CA 的说明：domain validation failed",
                "`dv-verify apply www.example.com --instance {order}`",
            ],
            end: |context, arguments| {
                assert_eq!(context.records(), Vec::<String>::new(), "its record went along");
                run(context, &apply(&["www.example.com", "--instance", &named(context, arguments)])).expect(0);
                is_there(context);
                assert_eq!(context.calls("ApplyCertificate"), 1);
            },
        },
        Mistake {
            what: "a refused order of a package",
            begin: |context| rejected(context, Generation::Order),
            code: 6,
            english: &["the CA refused the order: its state is `verify_fail`", "`dv-verify delete {order}`", "--product CODE`"],
            chinese: &["CA 拒绝了订单：状态为 `verify_fail`", "`dv-verify delete {order}`", "--product CODE`"],
            end: |context, arguments| {
                assert_eq!(context.records(), Vec::<String>::new());
                run(context, &owned(&["delete", &named(context, arguments), "--yes"])).expect(0);
                run(context, &apply_package("www.example.com")).expect(0);
                is_there(context);
                assert_eq!(context.calls("CreateCertificateForPackageRequest"), 1);
            },
        },
        Mistake {
            what: "a refused order of 2018",
            begin: |context| rejected(context, Generation::Api2018),
            code: 6,
            english: &["the CA refused the order: its state is `checked_fail`", "an instance that is free: `dv-verify apply "],
            chinese: &["CA 拒绝了订单：状态为 `checked_fail`", "用待使用的实例重新申请：`dv-verify apply "],
            end: |context, _| {
                assert_eq!(context.records(), Vec::<String>::new());
                context.free_instance(OrderTraits::default());
                run(context, &apply(&["www.example.com"])).expect(0);
                is_there(context);
            },
        },
    ]);
}

#[test]
fn a_name_that_people_look_at() {
    tell(&[Mistake {
        what: "before it is applied for",
        begin: |context| {
            context.free_instance(OrderTraits::default());
            apply(&["my-bank.example.com", "--dry-run"])
        },
        code: 0,
        english: &["`my-bank.example.com` holds the word `bank`", "for a day or longer"],
        chinese: &["`my-bank.example.com` 含有字样 `bank`", "也可能审核一天或更久"],
        end: nothing_was_done,
    }]);
    let in_review = || {
        Context::with(|options| {
            options.challenge_delay = Duration::ZERO;
            options.issue_delay = NOT_YET;
        })
    };
    tell_in(
        in_review,
        &[Mistake {
            what: "while it is in review",
            begin: |context| {
                let id = context.order(Generation::Instance, &["my-bank.example.com"]);
                run(context, &verify(&id, &["--no-wait"])).expect(0);
                until(|| context.sandbox.order(&id).unwrap().stage == "reviewing");
                verify(&id, &["--timeout", "100ms"])
            },
            code: 7,
            english: &["still waiting", "`my-bank.example.com` holds the word `bank`", "a day or longer"],
            chinese: &["后仍在等待", "`my-bank.example.com` 含有 `bank` 一词", "人工审核"],
            end: |context, arguments| {
                assert_eq!(context.records().len(), 1, "the record stays");
                context.change(&OrderId::parse(&named(context, arguments)).unwrap(), OrderChange::Issue);
                run(context, &owned_without_timeout(arguments)).expect(0);
                assert_eq!(context.records(), Vec::<String>::new());
                assert!(context.out().join("my-bank.example.com/live/cert.pem").is_file());
            },
        }],
    );
}
