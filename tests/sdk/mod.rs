//! The official SDKs of Alibaba Cloud against the sandbox: the proof that it speaks what the service speaks.

use std::{path::Path, process::Command};

use dv_verify::sandbox::{Sandbox, SandboxOptions};

/// The Python interpreter that has `alibabacloud_cas20180713` and `alibabacloud_cas20200407`.
const INTERPRETER: &str = "DV_TEST_PYTHON";

/// Set to `1` where a test must not leave anything out.
const REQUIRE: &str = "DV_TEST_REQUIRE_SERVERS";

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdks_understand_the_sandbox() {
    let Ok(interpreter) = std::env::var(INTERPRETER) else {
        assert_ne!(std::env::var(REQUIRE).as_deref(), Ok("1"), "{INTERPRETER} is not set");
        println!("left out: official SDKs ({INTERPRETER} is not set)");
        return;
    };
    let sandbox = Sandbox::start(SandboxOptions::default()).await.unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/cas_sdk.py");
    let options = sandbox.options();
    let mut command = Command::new(interpreter);
    command.arg(script).arg(sandbox.addresses().control.as_str());
    command.args([&options.access_key_id, &options.access_key_secret, &options.api_token]);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
        command.env_remove(proxy);
    }
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().expect("the interpreter runs");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    println!("{out}");
    assert_eq!(out.lines().count(), 20, "ten checks in each of two signatures");
    let calls = sandbox.calls();
    let operations = [
        "ApplyCertificate",
        "CancelCertificateForPackageRequest",
        "CancelOrderRequest",
        "CancelPendingCertificate",
        "CreateCertificateForPackageRequest",
        "CreateCertificateRequest",
        "CreateCertificateWithCsrRequest",
        "CreateDVOrderAudit",
        "DeleteCertificateRequest",
        "DeleteInstance",
        "DescribeCertificateState",
        "DescribeDVOrderResult",
        "DescribeOrderInstanceList",
        "DescribePackageState",
        "GetInstanceDetail",
        "GetTaskAttribute",
        "GetUserCertificateDetail",
        "ListContact",
        "ListInstances",
        "ListUserCertificateOrder",
        "RefundInstance",
        "RenewCertificateOrderForPackageRequest",
        "RevokeCertificate",
        "UpdateInstance",
    ];
    assert!(calls.keys().map(String::as_str).eq(operations), "each operation was called: {calls:?}");
}
