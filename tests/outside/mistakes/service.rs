//! What the service turns away: missing rights, a wrong clock, too many calls, operations and versions that are gone.

use dv_verify::{
    order::Generation,
    sandbox::{Answer, Fault, OrderTraits},
};

use super::{
    super::context::APPLICANT, Mistake, answer, apply, apply_package, error, is_there, it_goes_on, nothing_was_done, owned, run,
    tell, the_same_command_again, verify, waiting,
};

fn denied() -> Answer {
    error(403, "Forbidden.RAM", "User not authorized to operate on the specified resource.")
}

fn gone() -> Answer {
    error(404, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
}

/// Not before five minutes are over.
fn for_minutes() -> Answer {
    Answer::Throttle { retry_after_ms: Some(300_000) }
}

#[test]
fn rights_that_are_missing() {
    tell(&[
        Mistake {
            what: "the lists",
            begin: |context| {
                answer(context, None, denied());
                owned(&["orders", "--api", "instance"])
            },
            code: 3,
            english: &["allow the RAM user or role the action `yundun-cert:ListInstances`", "\"Effect\":\"Allow\""],
            chinese: &["请允许该 RAM 用户或角色执行操作 `yundun-cert:ListInstances`", "\"Effect\":\"Allow\""],
            end: nothing_was_done,
        },
        Mistake {
            what: "an application",
            begin: |context| {
                context.free_instance(OrderTraits::default());
                answer(context, Some("ApplyCertificate"), denied());
                apply(&["www.example.com"])
            },
            code: 3,
            english: &["the action `yundun-cert:ApplyCertificate`", "\"yundun-cert:UpdateInstance\""],
            chinese: &["执行操作 `yundun-cert:ApplyCertificate`", "\"yundun-cert:UpdateInstance\""],
            end: |context, arguments| {
                assert_eq!(context.writes(), 0);
                context.sandbox.clear_faults();
                run(context, arguments).expect(0);
                is_there(context);
                assert_eq!(context.calls("ApplyCertificate"), 2, "the one that was denied, and one more");
            },
        },
        Mistake {
            what: "the certificate of an order that is issued",
            begin: |context| {
                answer(context, Some("GetUserCertificateDetail"), denied());
                verify(&context.order(Generation::Instance, &["www.example.com"]), &[])
            },
            code: 3,
            english: &["the action `yundun-cert:GetUserCertificateDetail`", "\"yundun-cert:GetInstanceDetail\""],
            chinese: &["执行操作 `yundun-cert:GetUserCertificateDetail`", "\"yundun-cert:GetInstanceDetail\""],
            end: |context, arguments| {
                assert!(!context.out().join("www.example.com").exists());
                the_same_command_again(context, arguments);
            },
        },
    ]);
}

#[test]
fn a_clock_that_is_wrong() {
    let english = &["InvalidTimeStamp.Expired", "set this machine's clock: it is", "behind the server's"];
    let chinese = &["InvalidTimeStamp.Expired", "请校准本机时钟：它比服务器慢"];
    tell(&[
        Mistake {
            what: "in a wait",
            begin: |context| {
                let id = waiting(context, Generation::Instance);
                context.sandbox.fault(Fault::ClockSkew { seconds: 3600 }).unwrap();
                verify(&id, &[])
            },
            code: 2,
            english,
            chinese,
            end: it_goes_on,
        },
        Mistake {
            what: "before an application",
            begin: |context| {
                context.free_instance(OrderTraits::default());
                context.sandbox.fault(Fault::ClockSkew { seconds: 3600 }).unwrap();
                apply(&["www.example.com"])
            },
            code: 2,
            english,
            chinese,
            end: the_same_command_again,
        },
    ]);
}

/// The service asks for more patience than there is; that it is kept where there is enough is shown in virtual time, by the tests of the state machine.
#[test]
fn throttling_for_minutes() {
    let english = &["Throttling.User", "the account's calls are limited over all programs that use it"];
    let chinese = &["Throttling.User", "账号的调用次数由所有使用它的程序共享"];
    tell(&[
        Mistake {
            what: "in a wait",
            begin: |context| {
                let id = waiting(context, Generation::Instance);
                answer(context, None, for_minutes());
                verify(&id, &["--timeout", "60s"])
            },
            code: 1,
            english,
            chinese,
            end: it_goes_on,
        },
        Mistake {
            what: "at an application with an instance",
            begin: |context| {
                context.free_instance(OrderTraits::default());
                answer(context, Some("ApplyCertificate"), for_minutes());
                apply(&["www.example.com"])
            },
            code: 1,
            english,
            chinese,
            end: |context, arguments| {
                assert_eq!(context.writes(), 0);
                context.sandbox.clear_faults();
                run(context, arguments).expect(0);
                is_there(context);
                assert_eq!(context.sandbox.state().orders.len(), 1);
            },
        },
        Mistake {
            what: "at an application out of a package",
            begin: |context| {
                answer(context, Some("CreateCertificateForPackageRequest"), for_minutes());
                apply_package("www.example.com")
            },
            code: 1,
            english,
            chinese,
            end: |context, arguments| {
                assert_eq!(context.sandbox.state().orders.len(), 0, "what is turned away makes no order");
                context.sandbox.clear_faults();
                run(context, arguments).expect(0);
                is_there(context);
                assert_eq!(context.sandbox.state().orders.len(), 1);
            },
        },
    ]);
}

#[test]
fn what_the_service_no_longer_knows() {
    tell(&[
        Mistake {
            what: "the reading operation of 2018",
            begin: |context| {
                answer(context, Some("DescribeDVOrderResult"), gone());
                verify(&context.order(Generation::Api2018, &["www.example.com"]), &["--api", "2018"])
            },
            code: 1,
            english: &["InvalidAction.NotFound", "the API of 2018 is not served there", "`--api instance`"],
            chinese: &["InvalidAction.NotFound", "那里不再提供 2018 版 API", "`--api instance`"],
            end: nothing_was_done,
        },
        Mistake {
            what: "the version of 2018, among others that are served",
            begin: |context| {
                context.order(Generation::Instance, &["www.example.com"]);
                let wrong = error(404, "InvalidVersion", "Specified parameter Version is not valid.");
                answer(context, Some("DescribeOrderInstanceList"), wrong);
                owned(&["orders"])
            },
            code: 0,
            english: &["orders of `--api 2018` could not be listed", "`--api instance`"],
            chinese: &["无法列出 `--api 2018` 的订单", "`--api instance`"],
            end: nothing_was_done,
        },
        Mistake {
            what: "packages",
            begin: |context| {
                answer(context, Some("CreateCertificateForPackageRequest"), gone());
                apply_package("www.example.com")
            },
            code: 1,
            english: &["certificates out of packages are not served there: apply with an instance, without `--product`"],
            chinese: &["那里不再提供资源包证书：请用实例申请，不用 `--product`"],
            end: |context, _| {
                assert_eq!(context.sandbox.state().orders.len(), 0);
                context.free_instance(OrderTraits::default());
                run(context, &apply(&["www.example.com"])).expect(0);
                is_there(context);
            },
        },
        Mistake {
            what: "an application by the API of 2018",
            begin: |context| {
                answer(context, Some("CreateDVOrderAudit"), gone());
                let traits = OrderTraits { submitted: false, ..OrderTraits::default() };
                let id = context.order_with(Generation::Api2018, &["www.example.com"], traits);
                let place = ["--applicant-province", "Beijing", "--applicant-city", "Beijing"];
                let what = ["www.example.com", "--instance", id.as_str(), "--api", "2018"];
                apply(&[what.as_slice(), &APPLICANT, &place].concat())
            },
            code: 1,
            english: &["apply with an instance of 2020-04-07, without `--api 2018`: `dv-verify apply NAME…`"],
            chinese: &["请用 2020-04-07 的实例申请，不用 `--api 2018`：`dv-verify apply NAME…`"],
            end: |context, _| assert_eq!(context.writes(), 0),
        },
        Mistake {
            what: "the version of instances",
            begin: |context| {
                answer(context, None, error(404, "InvalidVersion", "Specified parameter Version is not valid."));
                owned(&["orders", "--api", "instance"])
            },
            code: 1,
            english: &["instances are not served there", "`--api order` or `--api 2018`"],
            chinese: &["那里不提供实例", "`--api order` 或 `--api 2018`"],
            end: nothing_was_done,
        },
    ]);
}
