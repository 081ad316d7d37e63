//! Libraries of others, from PyPI, against what is ours: the official SDKs of Alibaba Cloud against the sandbox, the JSON schemas against every manifest.

use std::{
    collections::BTreeSet,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use dv_verify::sandbox::{Sandbox, SandboxOptions};

/// The Python interpreter that has the libraries which `tests/run` installs.
const INTERPRETER: &str = "DV_TEST_PYTHON";

/// Set to `1` where a test must not leave anything out.
const REQUIRE: &str = "DV_TEST_REQUIRE_SERVERS";

/// The interpreter, or `None` where the test may be left out.
fn interpreter(what: &str) -> Option<String> {
    let interpreter = std::env::var(INTERPRETER).ok();
    if interpreter.is_none() {
        assert_ne!(std::env::var(REQUIRE).as_deref(), Ok("1"), "{INTERPRETER} is not set");
        let _ = writeln!(std::io::stderr(), "left out: {what} ({INTERPRETER} is not set)");
    }
    interpreter
}

#[test]
fn every_manifest_and_every_example_fits_its_schema() {
    let Some(interpreter) = interpreter("JSON schemas") else { return };
    let project = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(interpreter).arg("tests/sdk/schema.py").arg(project).current_dir(project).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.lines().count(), 2, "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_sdks_understand_the_sandbox() {
    let Some(interpreter) = interpreter("official SDKs") else { return };
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
    assert_eq!(out.lines().count(), 22, "eleven checks in each of two signatures");
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
        "CreateDeploymentJob",
        "DeleteCertificateRequest",
        "DeleteInstance",
        "DescribeCertificateState",
        "DescribeDVOrderResult",
        "DescribeDeploymentJob",
        "DescribeDeploymentJobStatus",
        "DescribeOrderInstanceList",
        "DescribePackageState",
        "GetInstanceDetail",
        "GetTaskAttribute",
        "GetUserCertificateDetail",
        "ListCloudResources",
        "ListContact",
        "ListDeploymentJob",
        "ListInstances",
        "ListUserCertificateOrder",
        "ListWorkerResource",
        "RefundInstance",
        "RenewCertificateOrderForPackageRequest",
        "RevokeCertificate",
        "UpdateDeploymentJobStatus",
        "UpdateInstance",
        "UploadUserCertificate",
    ];
    assert!(calls.keys().map(String::as_str).eq(operations), "each operation was called: {calls:?}");
    // So was each that the program calls; it does without these two.
    let mut expected = BTreeSet::from(operations.map(str::to_owned));
    expected.retain(|operation| !["DescribeDeploymentJobStatus", "DescribePackageState"].contains(&operation.as_str()));
    assert_eq!(used_by_the_program(), expected);
}

/// The operations of CAS that the sources of the program name.
fn used_by_the_program() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/order/aliyun");
    let mut files: Vec<PathBuf> = Vec::new();
    for place in [folder.clone(), folder.join("applying")] {
        files.extend(std::fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    let verbs =
        ["Apply", "Cancel", "Create", "Delete", "Describe", "Get", "List", "Refund", "Renew", "Revoke", "Update", "Upload"];
    let is_operation = |word: &&str| {
        let rest = verbs.iter().find_map(|verb| word.strip_prefix(verb)).unwrap_or_default();
        rest.starts_with(|first: char| first.is_ascii_uppercase()) && rest.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    let mut used = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // What a program calls stands before its tests.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        used.extend(text.split('"').skip(1).step_by(2).filter(is_operation).map(str::to_owned));
    }
    used
}
