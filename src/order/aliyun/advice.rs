//! What to do about errors of applications, by their codes, and the least RAM policy. The vendor's lists are incomplete: what is not here is shown as it
//! came.

use crate::{error::ErrorKind, language::t};

/// What a code comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Advice {
    /// The kind of the failure.
    pub(super) kind: ErrorKind,
    /// What to do.
    pub(super) hint: &'static str,
}

/// The advice for a code of this operation.
pub(super) fn of(code: &str, action: &str) -> Option<Advice> {
    let code = code.to_ascii_lowercase();
    let begins = |beginnings: &[&str]| beginnings.iter().any(|beginning| code.starts_with(beginning));
    let refused = |hint| Some(Advice { kind: ErrorKind::Refused, hint });
    let wrong = |hint| Some(Advice { kind: ErrorKind::Usage, hint });
    if begins(&["notremaincount", "deductquotafailed", "quotaexceeded"]) {
        refused(t!(
            "the package of this product is used up: buy another one, name another product with `--product`, or give quota back by \
             `dv-verify delete` (orders that were never issued)"
        ))
    } else if begins(&["notfoundpackage"]) {
        wrong(t!("the account has no package of this product: check the code given to `--product`, and the region"))
    } else if begins(&["domainandproductnotmatch"]) {
        wrong(t!("products with `-1-` are for plain names, those with `-w-` for wildcards; name another one with `--product`"))
    } else if begins(&["createcertificaterequestfailed", "createorderfailed"]) {
        refused(t!(
            "look at the order in the certificate console: names, contact and company must be what the product wants; then apply again"
        ))
    } else if begins(&["createcsrfailed", "invalidcsr", "keynotmatchcert"]) {
        wrong(t!("check the certificate request: `openssl req -in FILE -noout -text -verify` reads it"))
    } else if begins(&["certificateprivatekey.existed", "alreadyexists", "paramrepeat"]) {
        wrong(t!("the account has this already: `dv-verify orders` and the certificate console show what is there"))
    } else if begins(&["certificateformat", "certificatechainnotmatch"]) {
        wrong(t!("give the leaf first, then the certificates above it, as PEM"))
    } else if begins(&["certificateexpired"]) {
        wrong(t!("the certificate has expired: `dv-verify renew` gets another one"))
    } else if begins(&["deployfailed"]) {
        refused(t!(
            "look at the job in the certificate console (Deployment): the product may not take this certificate, or the deployments that were bought are used up"
        ))
    } else if begins(&["couldnotrefund"]) {
        wrong(t!("an instance can be given back within seven days of its purchase, as long as nothing was issued with it"))
    } else if begins(&["deletefail", "invalidstatus.deleteprotection"]) {
        wrong(t!(
            "only what is over can be deleted: `dv-verify cancel` withdraws an application, `delete --refund` gives an unused instance back"
        ))
    } else if begins(&["invalidstatus", "operationdenied", "orderstateerror", "orderexpired"]) {
        wrong(match action {
            "CancelPendingCertificate" | "CancelOrderRequest" => {
                t!("only an application that waits can be withdrawn; `dv-verify orders` shows the states")
            }
            "RevokeCertificate" | "CancelCertificateForPackageRequest" => {
                t!("only an issued certificate can be revoked; `dv-verify orders` shows the states")
            }
            _ => {
                t!(
                    "the order's state does not allow this now: `dv-verify orders` shows it, `dv-verify cancel` withdraws an application that waits"
                )
            }
        })
    } else if code.contains("throttling") {
        Some(Advice {
            kind: ErrorKind::OrderSource,
            hint: t!("the account's calls are limited over all programs that use it: try again later, or lower `--rate`"),
        })
    } else {
        None
    }
}

/// What to use in the place of an operation, or of a version, that the service does not know (any more).
pub(super) fn instead(action: &str) -> &'static str {
    match action {
        "DescribeDVOrderResult" | "DescribeOrderInstanceList" => {
            t!(
                "the API of 2018 is not served there: leave `--api` out, or use `--api instance`, and `--api order` with an OrderId; `dv-verify orders` lists what these know"
            )
        }
        "CreateDVOrderAudit" => {
            t!(
                "the API of 2018 is not served there: apply with an instance of 2020-04-07, without `--api 2018`: `dv-verify apply NAME…`"
            )
        }
        "CreateCertificateForPackageRequest"
        | "CreateCertificateRequest"
        | "CreateCertificateWithCsrRequest"
        | "RenewCertificateOrderForPackageRequest" => {
            t!(
                "certificates out of packages are not served there: apply with an instance, without `--product`: `dv-verify apply NAME…`"
            )
        }
        "DescribeCertificateState"
        | "ListUserCertificateOrder"
        | "CancelOrderRequest"
        | "DeleteCertificateRequest"
        | "CancelCertificateForPackageRequest" => {
            t!("orders by OrderId are not served there: use the certificate console for them, and `--api instance` for instances")
        }
        _ if DEPLOYMENTS.contains(&action) => {
            t!("use the certificate console for this; the files below `--out` can be installed by `--hook`")
        }
        _ => t!(
            "instances are not served there: check `--region` and `--endpoint`; orders from before them are read with `--api order` or `--api 2018`"
        ),
    }
}

/// What the program reads with.
const READS: [&str; 7] = [
    "DescribeCertificateState",
    "DescribeDVOrderResult",
    "DescribeOrderInstanceList",
    "GetInstanceDetail",
    "GetUserCertificateDetail",
    "ListInstances",
    "ListUserCertificateOrder",
];

/// What `apply` and `renew` need beside.
const APPLICATIONS: [&str; 8] = [
    "ApplyCertificate",
    "CreateCertificateForPackageRequest",
    "CreateCertificateRequest",
    "CreateCertificateWithCsrRequest",
    "GetTaskAttribute",
    "ListContact",
    "RenewCertificateOrderForPackageRequest",
    "UpdateInstance",
];

/// What `deploy` and `upload` need beside.
const DEPLOYMENTS: [&str; 8] = [
    "CreateDeploymentJob",
    "DescribeDeploymentJob",
    "ListCloudResources",
    "ListContact",
    "ListDeploymentJob",
    "ListWorkerResource",
    "UpdateDeploymentJobStatus",
    "UploadUserCertificate",
];

/// The least RAM policy for what the program was doing when it was refused `action` (`yundun-cert:GetInstanceDetail`).
pub(super) fn least_policy(action: &str) -> String {
    let operation = action.split_once(':').map_or(action, |(_, operation)| operation);
    let mut operations: Vec<&str> = READS.to_vec();
    if !READS.contains(&operation) {
        if APPLICATIONS.contains(&operation) {
            operations.extend(APPLICATIONS);
        } else if DEPLOYMENTS.contains(&operation) {
            operations.extend(DEPLOYMENTS);
        } else {
            operations.push(operation);
        }
    }
    let actions = operations.iter().map(|operation| format!("\"yundun-cert:{operation}\"")).collect::<Vec<_>>().join(",");
    format!(r#"{{"Version":"1","Statement":[{{"Effect":"Allow","Action":[{actions}],"Resource":"*"}}]}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_applications_say_what_to_do() {
        let hint = |code: &str, action: &str| of(code, action).map(|advice| (advice.kind, advice.hint));
        assert!(matches!(hint("NotRemainCount", "x"), Some((ErrorKind::Refused, hint)) if hint.contains("used up")));
        assert!(
            matches!(hint("OrderStateError", "CancelOrderRequest"), Some((ErrorKind::Usage, hint)) if hint.contains("withdrawn"))
        );
        assert!(matches!(hint("InvalidStatus.DeleteProtection", "DeleteInstance"), Some((_, hint)) if hint.contains("--refund")));
        assert!(matches!(hint("Throttling.User", "x"), Some((ErrorKind::OrderSource, _))));
        assert_eq!(hint("SomethingNew", "x"), None);
    }

    #[test]
    fn what_is_gone_has_something_in_its_place() {
        for (action, said) in [
            ("DescribeDVOrderResult", "`--api instance`"),
            ("CreateDVOrderAudit", "without `--api 2018`"),
            ("CreateCertificateForPackageRequest", "without `--product`"),
            ("DescribeCertificateState", "`--api instance`"),
            ("CreateDeploymentJob", "certificate console"),
            ("GetInstanceDetail", "`--api order`"),
        ] {
            assert!(instead(action).contains(said), "{action}");
        }
    }

    #[test]
    fn the_policy_is_valid_json_and_no_more_than_is_needed() {
        let actions = |action: &str| {
            let policy: serde_json::Value = serde_json::from_str(&least_policy(action)).unwrap();
            policy["Statement"][0]["Action"].as_array().unwrap().len()
        };
        assert_eq!(actions("yundun-cert:GetInstanceDetail"), READS.len());
        assert_eq!(actions("yundun-cert:UpdateInstance"), READS.len() + APPLICATIONS.len());
        assert_eq!(actions("yundun-cert:CreateDeploymentJob"), READS.len() + DEPLOYMENTS.len());
        assert_eq!(actions("yundun-cert:RevokeCertificate"), READS.len() + 1);
    }
}
