//! The vendors' own packages for Python, for tests that hold a chain of credentials against them over a table of environments and files.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde::de::DeserializeOwned;

/// The Python interpreter that has the packages.
const INTERPRETER: &str = "DV_TEST_PYTHON";

/// Set to `1` where a test must not leave anything out.
const REQUIRE: &str = "DV_TEST_REQUIRE_SERVERS";

/// A home folder with these files.
pub(crate) fn home(files: &[(&str, &str)]) -> tempfile::TempDir {
    prepare(&[], files, |text, _| text.to_owned()).0
}

/// A home folder for one row of a table, and its environment. `fill` completes a text, given the folder.
pub(crate) fn prepare(
    variables: &[(&str, &str)],
    files: &[(&str, &str)],
    fill: impl Fn(&str, &str) -> String,
) -> (tempfile::TempDir, BTreeMap<String, String>) {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().to_str().unwrap().to_owned();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, fill(text, &at)).unwrap();
    }
    let mut all: BTreeMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), fill(value, &at))).collect();
    all.insert("HOME".to_owned(), at.clone());
    all.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    (folder, all)
}

/// What a script of `tests/sdk` says to each case; `None`, and a word about it, where there is no interpreter.
pub(crate) async fn answers<T: DeserializeOwned>(script: &str, server: &str, cases: &[serde_json::Value]) -> Option<Vec<T>> {
    let Ok(interpreter) = std::env::var(INTERPRETER) else {
        assert_ne!(std::env::var(REQUIRE).as_deref(), Ok("1"), "{INTERPRETER} is not set");
        println!("left out: {script} ({INTERPRETER} is not set)");
        return None;
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_string(cases).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(script);
    let mut command = Command::new(interpreter);
    command.arg(script).arg(server).arg(file.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<T> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), cases.len());
    Some(answers)
}

/// What was asked in each case: `GET /case/<number>` begins one.
pub(crate) fn by_case<A>(asked: Vec<A>, path: impl Fn(&A) -> &str) -> Vec<Vec<A>> {
    let mut all: Vec<Vec<A>> = Vec::new();
    for asked in asked {
        if path(&asked).starts_with("/case/") {
            all.push(Vec::new());
        } else {
            all.last_mut().unwrap().push(asked);
        }
    }
    all
}
