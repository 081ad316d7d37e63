//! The chains beside the vendors' own: botocore, google-auth and azure-identity, over a table of environments and files. Both ask the same and find
//! the same; where they are to differ, the table says why.

use std::{collections::BTreeMap, path::Path, process::Command};

use serde::Deserialize;

use super::{
    server::{Asked, Server},
    *,
};

/// The Python interpreter that has the packages.
const INTERPRETER: &str = "DV_TEST_PYTHON";

/// Set to `1` where a test must not leave anything out.
const REQUIRE: &str = "DV_TEST_REQUIRE_SERVERS";

type Pairs = &'static [(&'static str, &'static str)];

/// One environment. In all texts `{home}` is the home folder, `{server}` the URL of the server, `{host}` its host and port, `{key}` a private key
/// as JSON has it.
struct Case {
    name: &'static str,
    kind: Ambient,
    variables: Pairs,
    files: Pairs,
    /// The key id or the token that this program finds; `None`: none.
    expected: Option<&'static str>,
    /// How the official chain is different, where it is: what it finds, and why.
    official: Option<(Option<&'static str>, &'static str)>,
}

const fn same(name: &'static str, kind: Ambient, variables: Pairs, files: Pairs, expected: Option<&'static str>) -> Case {
    Case { name, kind, variables, files, expected, official: None }
}

const fn differs(
    name: &'static str,
    kind: Ambient,
    (variables, files): (Pairs, Pairs),
    expected: Option<&'static str>,
    official: (Option<&'static str>, &'static str),
) -> Case {
    Case { name, kind, variables, files, expected, official: Some(official) }
}

const STS: (&str, &str) = ("AWS_ENDPOINT_URL_STS", "{server}");
const REGION: (&str, &str) = ("AWS_DEFAULT_REGION", "eu-central-1");
const NO_IMDS: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");
const IMDS: (&str, &str) = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "{server}");
const WEB: (&str, &str) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "{home}/oidc");
const ROLE: (&str, &str) = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod");
const OIDC: (&str, &str) = ("oidc", "oidc-token");

const CONFIG: (&str, &str) = (
    ".aws/config",
    "[default]\nregion = eu-west-3\n\n\
     # comment\n[profile role]\nrole_arn = arn:aws:iam::1:role/one\nsource_profile = keys\nexternal_id = e/t*\nrole_session_name = mine\nduration_seconds = 1800\n\
     [profile keys]\naws_access_key_id = config-id\naws_secret_access_key = config-secret\n\
     [profile chain]\nrole_arn = arn:aws:iam::1:role/two\nsource_profile = role\n\
     [profile self]\nrole_arn = arn:aws:iam::1:role/self\nsource_profile = self\naws_access_key_id = self-id\naws_secret_access_key = self-secret\n\
     [profile round]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = round-2\n\
     [profile round-2]\nrole_arn = arn:aws:iam::1:role/y\nsource_profile = round\n\
     [profile lost]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = nobody\n\
     [profile bare]\nrole_arn = arn:aws:iam::1:role/x\n\
     [profile instance]\nrole_arn = arn:aws:iam::1:role/of-instance\ncredential_source = Ec2InstanceMetadata\n\
     [profile task]\nrole_arn = arn:aws:iam::1:role/of-task\ncredential_source = EcsContainer\n\
     [profile web]\nrole_arn = arn:aws:iam::1:role/web\nweb_identity_token_file = {home}/oidc\nregion = eu-central-1\n\
     [profile program]\ncredential_process = cat '{home}/an answer'\n\
     [profile lasting]\ncredential_process = cat {home}/lasting\n\
     [profile old-program]\ncredential_process = cat {home}/version-2\n\
     [profile failing]\ncredential_process = false\n\
     [profile both]\ncredential_process = cat {home}/lasting\naws_access_key_id = beside-id\naws_secret_access_key = beside-secret\n\
     [profile \"two words\"]\naws_access_key_id = words-id\naws_secret_access_key = words-secret\n\
     [profile half]\naws_access_key_id = half-id\n\
     [profile nested]\ns3 =\n  max_concurrent_requests = 20\naws_access_key_id = nested-id\naws_secret_access_key = nested-secret\n",
);
const CREDENTIALS: (&str, &str) = (
    ".aws/credentials",
    "[default]\naws_access_key_id = shared-id\naws_secret_access_key = shared=secret#1\n\
     [keys]\naws_access_key_id = other-id\naws_secret_access_key = other-secret\naws_session_token = other-token\n",
);
const ANSWER: (&str, &str) = (
    "an answer",
    r#"{"Version": 1, "AccessKeyId": "program-id", "SecretAccessKey": "program-secret", "SessionToken": "program-token", "Expiration": "2099-01-01T00:00:00Z"}"#,
);
const LASTING: (&str, &str) = ("lasting", r#"{"Version": 1, "AccessKeyId": "lasting-id", "SecretAccessKey": "lasting-secret"}"#);
const VERSION_2: (&str, &str) = ("version-2", r#"{"Version": 2, "AccessKeyId": "x-id", "SecretAccessKey": "x"}"#);

const SERVICE_ACCOUNT: (&str, &str) = (
    "account.json",
    r#"{"type": "service_account", "project_id": "file-project", "private_key_id": "k-1", "private_key": {key}, "client_email": "dv@file-project.iam.gserviceaccount.com", "client_id": "1", "token_uri": "{server}/token"}"#,
);
const USER: &str = r#"{"type": "authorized_user", "client_id": "c-1", "client_secret": "c-secret", "refresh_token": "r-1", "token_uri": "{server}/token"}"#;
const USER_FILE: (&str, &str) = (".config/gcloud/application_default_credentials.json", USER);
const NAMED: (&str, &str) = ("GOOGLE_APPLICATION_CREDENTIALS", "{home}/account.json");
const PROJECT: (&str, &str) = ("GOOGLE_CLOUD_PROJECT", "my-project");
const NO_GCE: (&str, &str) = ("NO_GCE_CHECK", "true");
const GCE: [(&str, &str); 2] = [("GCE_METADATA_HOST", "{host}"), ("GCE_METADATA_IP", "{host}")];

const FEDERATED: [(&str, &str); 4] = [
    ("AZURE_FEDERATED_TOKEN_FILE", "{home}/oidc"),
    ("AZURE_TENANT_ID", "tenant-1"),
    ("AZURE_CLIENT_ID", "client-1"),
    ("AZURE_AUTHORITY_HOST", "{server}"),
];
const AZURE_IMDS: (&str, &str) = ("AZURE_POD_IDENTITY_AUTHORITY_HOST", "{server}");
const IDENTITY: [(&str, &str); 2] = [("IDENTITY_ENDPOINT", "{server}/identity"), ("IDENTITY_HEADER", "identity-header")];

use Ambient::{Aws, Azure, Google};

const CASES: &[Case] = &[
    same("the default profile", Aws, &[IMDS], &[CONFIG, CREDENTIALS], Some("shared-id")),
    same("a profile by name", Aws, &[("AWS_PROFILE", "keys"), NO_IMDS], &[CONFIG, CREDENTIALS], Some("other-id")),
    same("a profile of the config", Aws, &[("AWS_PROFILE", "keys"), NO_IMDS], &[CONFIG], Some("config-id")),
    same("a profile in quotes", Aws, &[("AWS_PROFILE", "two words"), NO_IMDS], &[CONFIG], Some("words-id")),
    same("a profile with nested settings", Aws, &[("AWS_PROFILE", "nested"), NO_IMDS], &[CONFIG], Some("nested-id")),
    same("an unknown profile", Aws, &[("AWS_PROFILE", "nobody"), IMDS], &[CONFIG, CREDENTIALS], None),
    same("half a profile", Aws, &[("AWS_PROFILE", "half"), NO_IMDS], &[CONFIG], None),
    same(
        "files elsewhere",
        Aws,
        &[("AWS_CONFIG_FILE", "{home}/c"), ("AWS_SHARED_CREDENTIALS_FILE", "{home}/s"), ("AWS_PROFILE", "keys")],
        &[("c", CONFIG.1), ("s", CREDENTIALS.1)],
        Some("other-id"),
    ),
    same("a role", Aws, &[("AWS_PROFILE", "role"), STS, REGION], &[CONFIG, CREDENTIALS], Some("AssumeRole-one-id")),
    same("a role over a role", Aws, &[("AWS_PROFILE", "chain"), STS, REGION], &[CONFIG], Some("AssumeRole-two-id")),
    same("a role with keys beside it", Aws, &[("AWS_PROFILE", "self"), STS, REGION], &[CONFIG], Some("AssumeRole-self-id")),
    same("a chain of roles without end", Aws, &[("AWS_PROFILE", "round"), STS, REGION, NO_IMDS], &[CONFIG], None),
    same("a role over nothing", Aws, &[("AWS_PROFILE", "lost"), STS, REGION, NO_IMDS], &[CONFIG], None),
    same("a role without a source", Aws, &[("AWS_PROFILE", "bare"), STS, REGION, NO_IMDS], &[CONFIG], None),
    same(
        "a role over the instance",
        Aws,
        &[("AWS_PROFILE", "instance"), STS, REGION, IMDS],
        &[CONFIG],
        Some("AssumeRole-of-instance-id"),
    ),
    same(
        "a role over the container",
        Aws,
        &[("AWS_PROFILE", "task"), STS, REGION, ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{server}/container")],
        &[CONFIG],
        Some("AssumeRole-of-task-id"),
    ),
    same(
        "web identity in variables",
        Aws,
        &[WEB, ROLE, STS, REGION],
        &[OIDC, CREDENTIALS],
        Some("AssumeRoleWithWebIdentity-pod-id"),
    ),
    same(
        "web identity with a name",
        Aws,
        &[WEB, ROLE, STS, REGION, ("AWS_ROLE_SESSION_NAME", "named")],
        &[OIDC],
        Some("AssumeRoleWithWebIdentity-pod-id"),
    ),
    same(
        "web identity in a profile",
        Aws,
        &[("AWS_PROFILE", "web"), STS],
        &[CONFIG, OIDC],
        Some("AssumeRoleWithWebIdentity-web-id"),
    ),
    same(
        "a profile's role before web identity",
        Aws,
        &[("AWS_PROFILE", "role"), WEB, ROLE, STS, REGION],
        &[CONFIG, CREDENTIALS, OIDC],
        Some("AssumeRole-one-id"),
    ),
    same("web identity without its role", Aws, &[WEB, STS, REGION, NO_IMDS], &[OIDC], None),
    same("web identity without its token", Aws, &[WEB, ROLE, STS, REGION, NO_IMDS], &[], None),
    same("web identity that is refused", Aws, &[WEB, ROLE, STS, REGION, IMDS], &[("oidc", "old-token")], None),
    same("a program", Aws, &[("AWS_PROFILE", "program"), NO_IMDS], &[CONFIG, ANSWER], Some("program-id")),
    same("a program with lasting keys", Aws, &[("AWS_PROFILE", "lasting"), NO_IMDS], &[CONFIG, LASTING], Some("lasting-id")),
    same("a program of another version", Aws, &[("AWS_PROFILE", "old-program"), NO_IMDS], &[CONFIG, VERSION_2], None),
    same("a program that fails", Aws, &[("AWS_PROFILE", "failing"), IMDS], &[CONFIG], None),
    same("a program before keys of the config", Aws, &[("AWS_PROFILE", "both"), NO_IMDS], &[CONFIG, LASTING], Some("lasting-id")),
    same("a container", Aws, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{server}/container"), IMDS], &[], Some("container-id")),
    same(
        "a pod",
        Aws,
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{server}/pod"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "{home}/t")],
        &[("t", "pod-authorization")],
        Some("pod-id"),
    ),
    same(
        "a pod with its token in a variable",
        Aws,
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{server}/pod"), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-authorization")],
        &[],
        Some("pod-id"),
    ),
    same("a container far away", Aws, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/x"), NO_IMDS], &[], None),
    same(
        "a profile before a container",
        Aws,
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{server}/container")],
        &[CREDENTIALS],
        Some("shared-id"),
    ),
    same("an instance", Aws, &[IMDS], &[], Some("imds-id")),
    same("an instance, switched off", Aws, &[IMDS, NO_IMDS], &[], None),
    same("an instance, a config without keys", Aws, &[IMDS], &[CONFIG], Some("imds-id")),
    differs(
        "a region in the newer variable",
        Aws,
        (&[WEB, ROLE, STS, ("AWS_REGION", "eu-central-1"), NO_IMDS], &[OIDC]),
        Some("AssumeRoleWithWebIdentity-pod-id"),
        (Some("AssumeRoleWithWebIdentity-pod-id"), "it knows AWS_DEFAULT_REGION only, and goes to no region"),
    ),
    same("a service account", Google, &[NAMED, NO_GCE], &[SERVICE_ACCOUNT, USER_FILE], Some("assertion-token")),
    same("a user, in the usual place", Google, &[PROJECT, NO_GCE], &[USER_FILE], Some("refreshed-token")),
    same(
        "a user, in another place",
        Google,
        &[PROJECT, NO_GCE, ("CLOUDSDK_CONFIG", "{home}/g")],
        &[("g/application_default_credentials.json", USER)],
        Some("refreshed-token"),
    ),
    same("a file that is not there", Google, &[NAMED, GCE[0], GCE[1]], &[USER_FILE], None),
    same("a file of another type", Google, &[NAMED, NO_GCE], &[("account.json", r#"{"type": "telepathy"}"#)], None),
    same("a file that is no JSON", Google, &[NAMED, NO_GCE], &[("account.json", "{")], None),
    same(
        "a refresh token that is refused",
        Google,
        &[PROJECT, NO_GCE],
        &[(
            USER_FILE.0,
            r#"{"type": "authorized_user", "client_id": "c-1", "client_secret": "c-secret", "refresh_token": "old", "token_uri": "{server}/token"}"#,
        )],
        None,
    ),
    same("a machine at Google", Google, &GCE, &[], Some("machine-token")),
    same("a machine at Google, switched off", Google, &[GCE[0], GCE[1], NO_GCE], &[], None),
    same("a workload", Azure, &FEDERATED, &[OIDC], Some("workload-token")),
    same("a workload without its token", Azure, &FEDERATED, &[], None),
    same("a workload that is refused", Azure, &FEDERATED, &[("oidc", "old-token")], None),
    same(
        "a workload before the machine",
        Azure,
        &[FEDERATED[0], FEDERATED[1], FEDERATED[2], FEDERATED[3], AZURE_IMDS],
        &[OIDC],
        Some("workload-token"),
    ),
    same("an application", Azure, &IDENTITY, &[], Some("application-token")),
    same("an application before the machine", Azure, &[IDENTITY[0], IDENTITY[1], AZURE_IMDS], &[], Some("application-token")),
    same("a machine at Azure", Azure, &[AZURE_IMDS], &[], Some("managed-own-token")),
    same("a machine at Azure with several identities", Azure, &[AZURE_IMDS, FEDERATED[2]], &[], Some("managed-client-1-token")),
];

/// What one chain found.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    project: Option<String>,
    error: Option<String>,
}

impl Found {
    /// The key id, or the token where there is none.
    fn first(&self) -> Option<&str> {
        self.id.as_deref().or(self.token.as_deref())
    }
}

/// A folder for each case, and its environment.
fn prepare(server: &Server) -> Vec<(tempfile::TempDir, BTreeMap<String, String>)> {
    let key = serde_json::to_string(KEY).unwrap();
    let prepared = CASES.iter().map(|case| {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().to_str().unwrap().to_owned();
        let fill = |text: &str| {
            let host = server.url.strip_prefix("http://").unwrap();
            text.replace("{home}", &at).replace("{server}", &server.url).replace("{host}", host).replace("{key}", &key)
        };
        for (path, text) in case.files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, fill(text)).unwrap();
        }
        let mut variables: BTreeMap<String, String> =
            case.variables.iter().map(|(name, value)| ((*name).to_owned(), fill(value))).collect();
        variables.insert("HOME".to_owned(), at.clone());
        variables.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
        (folder, variables)
    });
    prepared.collect()
}

async fn ours(case: &Case, variables: &BTreeMap<String, String>) -> Found {
    let environment = variables.iter().fold(Environment::default(), |all, (name, value)| all.with(name, value));
    let found = match chain(case.kind, environment) {
        Ok(chain) => chain.current().await.map_err(|error| error.to_string()),
        Err(why) => Err(why),
    };
    match found {
        Ok(values) => {
            let value = |name: &str| values.get(name).map(|secret| secret.expose().to_owned());
            let token = value("session").or_else(|| value("session_token"));
            Found { id: value("access_key"), secret: value("secret_key"), token, project: value("project"), error: None }
        }
        Err(error) => Found { error: Some(error), ..Found::default() },
    }
}

/// What was asked, without what only the packages ask: google-auth looks first whether this is a machine at Google, for its universe and for the
/// account's scopes, and asks for the project even where it is known; azure-identity and botocore send what they are refused for more than once.
fn essence(asked: &[Asked]) -> Vec<Asked> {
    let of_packages = [
        "/",
        "/computeMetadata/v1/project/project-id",
        "/computeMetadata/v1/universe/universe-domain",
        "/computeMetadata/v1/instance/service-accounts/default/",
    ];
    let mut all: Vec<Asked> =
        asked.iter().filter(|asked| asked.method != "GET" || !of_packages.contains(&asked.path.as_str())).cloned().collect();
    for asked in &mut all {
        if let Some(name) = asked.parameters.get_mut("RoleSessionName")
            && (name == "dv-verify"
                || name.strip_prefix("botocore-session-").is_some_and(|time| time.bytes().all(|byte| byte.is_ascii_digit())))
        {
            *name = "a default".to_owned();
        }
        // The package asks MSAL for `client_info`, which says who the user is; there is none.
        asked.parameters.remove("client_info");
    }
    all.dedup();
    all
}

#[tokio::test]
async fn each_environment_leads_where_the_table_says() {
    let server = Server::start().await;
    for (case, (_folder, variables)) in CASES.iter().zip(prepare(&server)) {
        let found = ours(case, &variables).await;
        assert_eq!(found.first(), case.expected, "{}: {found:?}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_chains_find_the_same() {
    let Ok(interpreter) = std::env::var(INTERPRETER) else {
        assert_ne!(std::env::var(REQUIRE).as_deref(), Ok("1"), "{INTERPRETER} is not set");
        println!("left out: the official chains of credentials ({INTERPRETER} is not set)");
        return;
    };
    let server = Server::start().await;
    let prepared = prepare(&server);
    let cases: Vec<_> = CASES
        .iter()
        .zip(&prepared)
        .map(|(case, (_, variables))| serde_json::json!({"kind": format!("{:?}", case.kind).to_lowercase(), "variables": variables}))
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), serde_json::to_string(&cases).unwrap()).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk/ambient_sdk.py");
    let mut command = Command::new(interpreter);
    command.arg(script).arg(&server.url).arg(file.path());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers: Vec<Found> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), CASES.len());
    let mut asked_by_them: Vec<Vec<Asked>> = Vec::new();
    for asked in server.take() {
        if asked.path.starts_with("/case/") {
            asked_by_them.push(Vec::new());
        } else {
            asked_by_them.last_mut().unwrap().push(asked);
        }
    }
    let mut wrong = Vec::new();
    for (((case, (_folder, variables)), theirs), asked) in CASES.iter().zip(&prepared).zip(&answers).zip(&asked_by_them) {
        let name = case.name;
        if let Some((first, why)) = case.official {
            assert_eq!(theirs.first(), first, "{name}: it differs because {why}: {theirs:?}");
            continue;
        }
        let found = ours(case, variables).await;
        let all = |found: &Found| [&found.id, &found.secret, &found.token, &found.project].map(Clone::clone);
        if all(&found) != all(theirs) {
            wrong.push(format!("{name}: {found:?} beside {theirs:?}"));
        }
        let (ours, theirs) = (essence(&server.take()), essence(asked));
        if ours != theirs {
            wrong.push(format!("{name}: asked\n  {ours:?}\nbeside\n  {theirs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
