//! What cannot be applied for, and certificates that are not what was applied for.

use std::fs;

use dv_verify::{
    order::OrderId,
    sandbox::{Fault, OrderTraits},
};

use super::{
    Mistake, PRODUCT, answer, apply, apply_package, error, is_there, named, nothing_was_done, run, tell, the_same_command_again,
    verify,
};

#[test]
fn what_cannot_be_applied_for() {
    tell(&[
        Mistake {
            what: "the quota of a package is used up",
            begin: |context| {
                context.sandbox.fault(Fault::Package { product: PRODUCT[1].into(), left: 0 }).unwrap();
                apply_package("www.example.com")
            },
            code: 6,
            english: &["NotRemainCount", "the package of this product is used up", "--product"],
            chinese: &["NotRemainCount", "此产品的资源包已用完", "--product"],
            end: |context, arguments| {
                assert_eq!(context.sandbox.state().orders.len(), 0);
                context.sandbox.fault(Fault::Package { product: PRODUCT[1].into(), left: 1 }).unwrap();
                run(context, arguments).expect(0);
                is_there(context);
                assert_eq!(context.sandbox.state().orders.len(), 1);
            },
        },
        Mistake {
            what: "no instance is free",
            begin: |_| apply(&["www.example.com"]),
            code: 2,
            english: &["no instance is free to apply with", "--product CODE"],
            chinese: &["没有可用于申请的空闲实例", "--product CODE"],
            end: |context, arguments| {
                nothing_was_done(context, arguments);
                context.free_instance(OrderTraits::default());
                the_same_command_again(context, arguments);
            },
        },
        Mistake {
            what: "a request for other names",
            begin: |context| {
                context.free_instance(OrderTraits::default());
                fs::write(context.home().join("rsa.csr"), include_str!("../../data/rsa.csr")).unwrap();
                apply(&["www.example.com", "--csr", "rsa.csr"])
            },
            code: 2,
            english: &["the certificate request `rsa.csr` is for other names: own.example.com", "leave the names out"],
            chinese: &["证书请求（CSR）`rsa.csr` 中的域名不同：own.example.com"],
            end: nothing_was_done,
        },
        Mistake {
            what: "a request that the service does not take",
            begin: |context| {
                context.free_instance(OrderTraits::default());
                fs::write(context.home().join("rsa.csr"), include_str!("../../data/rsa.csr")).unwrap();
                answer(context, Some("UpdateInstance"), error(400, "CreateCsrFailed", "The CSR cannot be parsed."));
                apply(&["--csr", "rsa.csr"])
            },
            code: 2,
            english: &["CreateCsrFailed", "check the certificate request: `openssl req -in FILE"],
            chinese: &["CreateCsrFailed", "请检查证书请求（CSR）：`openssl req -in FILE"],
            end: |context, arguments| {
                nothing_was_done(context, arguments);
                context.sandbox.clear_faults();
                run(context, arguments).expect(0);
                assert_eq!(context.calls("ApplyCertificate"), 1);
            },
        },
        Mistake {
            what: "a certificate for another key than that of the request",
            begin: |context| {
                let id = context.free_instance(OrderTraits { ignores_csr: true, ..OrderTraits::default() });
                apply(&["www.example.com", "--generate-key", "--instance", id.as_str()])
            },
            code: 1,
            english: &["the certificate of `{order}` is for another key", "nothing was written", "dv-verify revoke {order}"],
            chinese: &["`{order}` 的证书对应的不是申请时所用 CSR 的密钥", "dv-verify revoke {order}"],
            end: |context, arguments| {
                assert!(!context.out().join("www.example.com").exists(), "nothing is on the disk");
                assert_eq!(context.records(), Vec::<String>::new());
                // It is no certificate to carry on with: the same command applies anew.
                run(context, arguments).expect(1);
                assert_eq!(context.calls("ApplyCertificate"), 2);
                // Nor does a bare run deliver it.
                run(context, &verify(&OrderId::parse(&named(context, &[])).unwrap(), &[])).expect(1);
                assert!(!context.out().join("www.example.com").exists());
                // With a key of the service's own there is nothing to compare with.
                run(context, &apply(&["www.example.com", "--instance", &named(context, &[])])).expect(0);
                is_there(context);
                // Keys of certificates that never came.
                fs::remove_dir_all(context.home().join("state/keys")).unwrap();
            },
        },
        Mistake {
            what: "a task that failed",
            begin: |context| {
                let traits = OrderTraits {
                    task_failure: Some("CAA of example.com forbids it".into()),
                    challenge_delay_ms: Some(0),
                    ..OrderTraits::default()
                };
                context.free_instance(traits);
                apply(&["www.example.com"])
            },
            code: 6,
            english: &["the application with `{order}` failed: CAA of example.com forbids it", "it applies anew"],
            chinese: &["用 `{order}` 的申请失败：CAA of example.com forbids it", "它会重新申请"],
            end: |context, arguments| {
                assert_eq!(context.writes(), 0);
                let order = named(context, &[]);
                run(context, arguments).expect(6);
                assert_eq!(context.calls("ApplyCertificate"), 2, "it applied anew, with the same instance");
                assert_eq!(named(context, &[]), order);
            },
        },
    ]);
}
