//! The chain beside the official one: the Python package `alibabacloud_credentials`, over a table of environments and files. Both get the same
//! credentials, from the same link, by the same calls to STS and to the metadata service; where they are to differ, the table says why.

use std::{collections::BTreeMap, sync::atomic::AtomicI64};

use serde::Deserialize;

use super::{
    server::{Asked, Server},
    *,
};
use crate::test_official;

/// One environment. In all texts `{home}` is the home folder and `{server}` the URL of the server.
struct Case {
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    /// The AccessKeyId that this program finds; `None`: it finds none.
    expected: Option<&'static str>,
    /// How the official chain is different, where it is: the AccessKeyId that it finds, and why.
    official: Option<(Option<&'static str>, &'static str)>,
}

const NO_METADATA: (&str, &str) = ("ALIBABA_CLOUD_ECS_METADATA_DISABLED", "true");
const PROFILE: &str = "ALIBABA_CLOUD_PROFILE";
const TOOL: &str = ".aliyun/config.json";
const INI: &str = ".alibabacloud/credentials.ini";
const TOKEN_FILE: (&str, &str) = ("token", "oidc-token");

const TOOL_CONFIG: (&str, &str) = (
    TOOL,
    r#"{"current":"work","profiles":[
{"name":"default","mode":"AK","access_key_id":"default-id","access_key_secret":"default-secret"},
{"name":"work","mode":"AK","access_key_id":"work-id","access_key_secret":"work-secret"},
{"name":"sts","mode":"StsToken","access_key_id":"STS.sts-id","access_key_secret":"sts-secret","sts_token":"sts-token"},
{"name":"role","mode":"RamRoleArn","access_key_id":"base-id","access_key_secret":"base-secret","ram_role_arn":"acs:ram::1:role/one","ram_session_name":"mine","policy":"{\"Version\":\"1\"}","external_id":"e/t*","expired_seconds":1800,"sts_region":"cn-beijing","enable_vpc":true},
{"name":"short","mode":"RamRoleArn","access_key_id":"base-id","access_key_secret":"base-secret","ram_role_arn":"acs:ram::1:role/one","expired_seconds":600},
{"name":"bare","mode":"RamRoleArn","access_key_id":"base-id","access_key_secret":"base-secret"},
{"name":"ecs","mode":"EcsRamRole","ram_role_name":"web"},
{"name":"ecs-bare","mode":"EcsRamRole"},
{"name":"chain","mode":"ChainableRamRoleArn","source_profile":"work","ram_role_arn":"acs:ram::1:role/two"},
{"name":"long-chain","mode":"ChainableRamRoleArn","source_profile":"role","ram_role_arn":"acs:ram::1:role/three"},
{"name":"lost-chain","mode":"ChainableRamRoleArn","source_profile":"nobody","ram_role_arn":"acs:ram::1:role/three"},
{"name":"oidc","mode":"OIDC","ram_role_arn":"acs:ram::1:role/four","oidc_provider_arn":"acs:ram::1:oidc-provider/p","oidc_token_file":"{home}/token","expired_seconds":900},
{"name":"program","mode":"External","process_command":"sh -c 'echo {\\\"mode\\\":\\\"AK\\\",\\\"access_key_id\\\":\\\"program-id\\\",\\\"access_key_secret\\\":\\\"program-secret\\\"}'"},
{"name":"program-sts","mode":"External","process_command":"cat {home}/answer"},
{"name":"program-no-token","mode":"External","process_command":"cat {home}/no-token"},
{"name":"program-fails","mode":"External","process_command":"false"},
{"name":"odd","mode":"Telepathy"},
{"name":"browser","mode":"OAuth","oauth_site_type":"CN","oauth_refresh_token":"r","oauth_access_token":"a","oauth_access_token_expire":1,"access_key_id":"STS.oauth-id","access_key_secret":"oauth-secret","sts_token":"oauth-token","sts_expiration":4000000000},
{"name":"no-mode","access_key_id":"no-mode-id","access_key_secret":"no-mode-secret"},
{"name":"url","mode":"CredentialsURI","credentials_uri":"{server}/uri"}
]}"#,
);
const ANSWER: (&str, &str) = (
    "answer",
    r#"{"mode":"StsToken","access_key_id":"STS.program-id","access_key_secret":"s","sts_token":"t","expiration":"2099-01-01T00:00:00Z"}"#,
);
const NO_TOKEN: (&str, &str) = ("no-token", r#"{"mode":"StsToken","access_key_id":"STS.program-id","access_key_secret":"s"}"#);

const INI_FILE: (&str, &str) = (
    INI,
    "# comment\n[default]\ntype = access_key\naccess_key_id = ini-id   # mine\nAccess_Key_Secret : ini-secret\n\n\
     [role]\ntype=ram_role_arn\naccess_key_id=base-id\naccess_key_secret=base-secret\nrole_arn=acs:ram::1:role/ini\nrole_session_name=s\npolicy={}\n\
     [oidc]\ntype=oidc_role_arn\nrole_arn=acs:ram::1:role/ini-oidc\noidc_provider_arn=acs:ram::1:oidc-provider/p\noidc_token_file_path={home}/token\n\
     [ecs]\ntype=ecs_ram_role\nrole_name=ini-web\n\
     [half]\ntype=access_key\naccess_key_id=half-id\n\
     [typeless]\naccess_key_id=x-id\naccess_key_secret=x-secret\n\
     [quoted]\ntype = access_key\naccess_key_id = \"quoted-id\"\naccess_key_secret = \"quoted-secret\"\n",
);

const OIDC: [(&str, &str); 3] = [
    ("ALIBABA_CLOUD_OIDC_TOKEN_FILE", "{home}/token"),
    ("ALIBABA_CLOUD_OIDC_PROVIDER_ARN", "acs:ram::1:oidc-provider/p"),
    ("ALIBABA_CLOUD_ROLE_ARN", "acs:ram::1:role/pod"),
];
const KEYS: [(&str, &str); 2] = [("ALIBABA_CLOUD_ACCESS_KEY_ID", "env-id"), ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "env-secret")];

/// A case in which both find the same.
const fn same(
    name: &'static str,
    variables: &'static [(&'static str, &'static str)],
    files: &'static [(&'static str, &'static str)],
    expected: Option<&'static str>,
) -> Case {
    Case { name, variables, files, expected, official: None }
}

const CASES: &[Case] = &[
    same("keys in variables", &KEYS, &[TOOL_CONFIG, INI_FILE], Some("env-id")),
    same("keys and a token", &[KEYS[0], KEYS[1], ("ALIBABA_CLOUD_SECURITY_TOKEN", "env-token")], &[], Some("env-id")),
    same("an id without its secret", &[KEYS[0], NO_METADATA], &[TOOL_CONFIG], Some("work-id")),
    same("an empty secret", &[KEYS[0], ("ALIBABA_CLOUD_ACCESS_KEY_SECRET", "")], &[INI_FILE], Some("ini-id")),
    same("variables before a token of a pod", &[KEYS[0], KEYS[1], OIDC[0], OIDC[1], OIDC[2]], &[TOKEN_FILE], Some("env-id")),
    same("a pod", &OIDC, &[TOKEN_FILE, TOOL_CONFIG], Some("STS.oidc-pod-id")),
    same(
        "a pod with everything",
        &[
            OIDC[0],
            OIDC[1],
            OIDC[2],
            ("ALIBABA_CLOUD_ROLE_SESSION_NAME", "named"),
            ("ALIBABA_CLOUD_STS_REGION", "ap-southeast-1"),
            ("ALIBABA_CLOUD_VPC_ENDPOINT_ENABLED", "true"),
        ],
        &[TOKEN_FILE],
        Some("STS.oidc-pod-id"),
    ),
    same("a pod without its provider", &[OIDC[0], OIDC[2]], &[TOKEN_FILE, TOOL_CONFIG], Some("work-id")),
    same("a pod without its token", &OIDC, &[TOOL_CONFIG], Some("work-id")),
    same("a pod whose token is refused", &OIDC, &[("token", "old"), TOOL_CONFIG], Some("work-id")),
    same("the tool's current profile", &[], &[TOOL_CONFIG, INI_FILE], Some("work-id")),
    same("a profile by name", &[(PROFILE, "default")], &[TOOL_CONFIG, INI_FILE], Some("default-id")),
    same("StsToken", &[(PROFILE, "sts")], &[TOOL_CONFIG], Some("STS.sts-id")),
    same("RamRoleArn", &[(PROFILE, "role")], &[TOOL_CONFIG], Some("STS.assumed-one-id")),
    same("RamRoleArn, too short", &[(PROFILE, "short"), NO_METADATA], &[TOOL_CONFIG], None),
    same("RamRoleArn without its role", &[(PROFILE, "bare"), NO_METADATA], &[TOOL_CONFIG], None),
    same("RamRoleArn, the role in a variable", &[(PROFILE, "bare"), OIDC[2]], &[TOOL_CONFIG], Some("STS.assumed-pod-id")),
    same("EcsRamRole", &[(PROFILE, "ecs")], &[TOOL_CONFIG], Some("STS.ecs-web-id")),
    same("EcsRamRole, the role unnamed", &[(PROFILE, "ecs-bare")], &[TOOL_CONFIG], Some("STS.ecs-found-id")),
    same("EcsRamRole, switched off", &[(PROFILE, "ecs"), NO_METADATA], &[TOOL_CONFIG], None),
    same("ChainableRamRoleArn", &[(PROFILE, "chain")], &[TOOL_CONFIG], Some("STS.assumed-two-id")),
    same("ChainableRamRoleArn over a role", &[(PROFILE, "long-chain")], &[TOOL_CONFIG], Some("STS.assumed-three-id")),
    same("ChainableRamRoleArn over nothing", &[(PROFILE, "lost-chain"), NO_METADATA], &[TOOL_CONFIG], None),
    same("OIDC", &[(PROFILE, "oidc")], &[TOOL_CONFIG, TOKEN_FILE], Some("STS.oidc-four-id")),
    same("External", &[(PROFILE, "program")], &[TOOL_CONFIG], Some("program-id")),
    same("External with a token", &[(PROFILE, "program-sts")], &[TOOL_CONFIG, ANSWER], Some("STS.program-id")),
    same("External, the token left out", &[(PROFILE, "program-no-token"), NO_METADATA], &[TOOL_CONFIG, NO_TOKEN], None),
    same("External that fails", &[(PROFILE, "program-fails"), NO_METADATA], &[TOOL_CONFIG], None),
    same("a log-in that lasts", &[(PROFILE, "browser")], &[TOOL_CONFIG], Some("STS.oauth-id")),
    same("an unknown mode", &[(PROFILE, "odd"), NO_METADATA], &[TOOL_CONFIG], None),
    same("an unknown profile", &[(PROFILE, "nobody"), NO_METADATA], &[TOOL_CONFIG, INI_FILE], None),
    same("the tool switched off", &[("ALIBABA_CLOUD_CLI_PROFILE_DISABLED", "true")], &[TOOL_CONFIG, INI_FILE], Some("ini-id")),
    same("a broken configuration of the tool", &[], &[(TOOL, "{"), INI_FILE], Some("ini-id")),
    same("the credentials file", &[], &[INI_FILE], Some("ini-id")),
    same(
        "the credentials file elsewhere",
        &[("ALIBABA_CLOUD_CREDENTIALS_FILE", "{home}/x")],
        &[("x", INI_FILE.1)],
        Some("ini-id"),
    ),
    same("ram_role_arn", &[(PROFILE, "role")], &[INI_FILE], Some("STS.assumed-ini-id")),
    same("oidc_role_arn", &[(PROFILE, "oidc")], &[INI_FILE, TOKEN_FILE], Some("STS.oidc-ini-oidc-id")),
    same("ecs_ram_role", &[(PROFILE, "ecs")], &[INI_FILE], Some("STS.ecs-ini-web-id")),
    same("a section without a secret", &[(PROFILE, "half"), NO_METADATA], &[INI_FILE], None),
    same("a section without a type", &[(PROFILE, "typeless"), NO_METADATA], &[INI_FILE], None),
    same("this instance", &[("ALIBABA_CLOUD_ECS_METADATA", "web")], &[], Some("STS.ecs-web-id")),
    same(
        "this instance, v2 only",
        &[("ALIBABA_CLOUD_ECS_METADATA", "web"), ("ALIBABA_CLOUD_IMDSV1_DISABLED", "true")],
        &[],
        Some("STS.ecs-web-id"),
    ),
    same("files before this instance", &[("ALIBABA_CLOUD_ECS_METADATA", "web")], &[INI_FILE], Some("ini-id")),
    same("a URL", &[("ALIBABA_CLOUD_CREDENTIALS_URI", "{server}/uri"), NO_METADATA], &[], Some("STS.uri-id")),
    same("a URL of nothing", &[("ALIBABA_CLOUD_CREDENTIALS_URI", "{server}/nothing"), NO_METADATA], &[], None),
    same(
        "this instance before a URL",
        &[("ALIBABA_CLOUD_CREDENTIALS_URI", "{server}/uri"), ("ALIBABA_CLOUD_ECS_METADATA", "web")],
        &[],
        Some("STS.ecs-web-id"),
    ),
    Case {
        name: "nothing at all",
        variables: &[],
        files: &[],
        expected: None,
        official: Some((
            Some("STS.ecs-found-id"),
            "it asks the address of the metadata service on every machine, also where this is none",
        )),
    },
    Case {
        name: "a profile without a mode",
        variables: &[(PROFILE, "no-mode"), NO_METADATA],
        files: &[TOOL_CONFIG],
        expected: Some("no-mode-id"),
        official: Some((None, "the tool itself takes such a profile for one of keys")),
    },
    Case {
        name: "no current profile",
        variables: &[NO_METADATA],
        files: &[(TOOL, r#"{"profiles":[{"name":"default","mode":"AK","access_key_id":"default-id","access_key_secret":"s"}]}"#)],
        expected: Some("default-id"),
        official: Some((None, "the tool itself takes `default`")),
    },
    Case {
        name: "CredentialsURI",
        variables: &[(PROFILE, "url"), NO_METADATA],
        files: &[TOOL_CONFIG],
        expected: Some("STS.uri-id"),
        official: Some((None, "a mode of the tool that the package does not know")),
    },
    Case {
        name: "the tool's configuration elsewhere",
        variables: &[("ALIBABA_CLOUD_CONFIG_FILE", "{home}/c.json"), NO_METADATA],
        files: &[("c.json", TOOL_CONFIG.1)],
        expected: Some("work-id"),
        official: Some((None, "a variable of the SDK for Go")),
    },
    Case {
        name: "the file's name in the SDK for Go",
        variables: &[NO_METADATA],
        files: &[(".alibabacloud/credentials", INI_FILE.1)],
        expected: Some("ini-id"),
        official: Some((None, "the package knows only `credentials.ini`")),
    },
    Case {
        name: "quotes in the credentials file",
        variables: &[(PROFILE, "quoted"), NO_METADATA],
        files: &[INI_FILE],
        expected: Some("quoted-id"),
        official: Some((Some("\"quoted-id\""), "it takes the quotes for a part of the value")),
    },
    Case {
        name: "variables of other tools",
        variables: &[("ALICLOUD_ACCESS_KEY", "familiar-id"), ("ALICLOUD_SECRET_KEY", "s"), NO_METADATA],
        files: &[],
        expected: Some("familiar-id"),
        official: Some((None, "lego made them familiar")),
    },
];

/// What one chain found.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Found {
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
    sts_host: Option<String>,
    error: Option<String>,
}

/// A folder for each case, and its environment.
fn prepare(server: &Server) -> Vec<(tempfile::TempDir, BTreeMap<String, String>)> {
    let fill =
        |text: &str, home: &str| text.replace("{home}", home).replace("{server}", server.url.as_str().trim_end_matches('/'));
    CASES.iter().map(|case| test_official::prepare(case.variables, case.files, fill)).collect()
}

fn ours_of(variables: &BTreeMap<String, String>, server: &Server) -> CredentialChain {
    let environment = variables.iter().fold(Environment::default(), |all, (name, value)| all.with(name, value));
    fetched::chain(environment, server, &Arc::new(AtomicI64::new(1_767_225_600)), &Redactor::default())
}

async fn ours(variables: &BTreeMap<String, String>, server: &Server) -> Found {
    let chain = ours_of(variables, server);
    match chain.resolve().await {
        Ok(found) => {
            let link = chain.memory.lock().await.link.unwrap();
            let (source, _) = chain.link(link).unwrap();
            let sts_host = match source {
                Source::Role { role, .. } | Source::Oidc { role, .. } => Some(role.sts_host),
                _ => None,
            };
            Found {
                id: Some(found.access_key_id),
                secret: Some(found.access_key_secret.expose().to_owned()),
                token: found.security_token.map(|token| token.expose().to_owned()),
                sts_host,
                ..Found::default()
            }
        }
        Err(error) => Found { error: Some(error.to_string()), ..Found::default() },
    }
}

/// What was asked, without what differs from call to call, and without the method: the package sends STS its calls with GET.
fn essence(asked: &[Asked]) -> Vec<(String, BTreeMap<String, String>, Option<String>)> {
    // The package asks for a new token of the metadata service before each of its calls.
    let tokens = |asked: &Asked| asked.path == "/latest/api/token";
    let first_token = asked.iter().position(tokens);
    let told = asked.iter().enumerate().filter(|(index, asked)| !tokens(asked) || Some(*index) == first_token);
    let essence = told.map(|(_, asked)| {
        let mut parameters = asked.parameters.clone();
        for varying in ["Signature", "SignatureNonce", "Timestamp"] {
            parameters.remove(varying);
        }
        if let Some(name) = parameters.get_mut("RoleSessionName")
            && let Some(time) = ["credentials-python-", "dv-verify-"].iter().find_map(|prefix| name.strip_prefix(prefix))
        {
            assert!(time.bytes().all(|byte| byte.is_ascii_digit()), "{time}");
            *name = "a default".to_owned();
        }
        (asked.path.clone(), parameters, asked.metadata_token.clone())
    });
    essence.collect()
}

#[tokio::test]
async fn each_environment_leads_where_the_table_says() {
    let server = Server::start().await;
    for (case, (_folder, variables)) in CASES.iter().zip(prepare(&server)) {
        let found = ours(&variables, &server).await;
        assert_eq!(found.id.as_deref(), case.expected, "{}: {found:?}", case.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_chain_finds_the_same() {
    let server = Server::start().await;
    let prepared = prepare(&server);
    let cases: Vec<_> = prepared.iter().map(|(_, variables)| serde_json::json!({"variables": variables})).collect();
    let Some(answers) = test_official::answers::<Found>("credentials_sdk.py", server.url.as_str(), &cases).await else { return };
    let asked_by_them = test_official::by_case(server.take(), |asked| &asked.path);
    for (((case, (_folder, variables)), theirs), asked) in CASES.iter().zip(&prepared).zip(&answers).zip(&asked_by_them) {
        let name = case.name;
        if let Some((id, why)) = case.official {
            assert_eq!(theirs.id.as_deref(), id, "{name}: it differs because {why}: {theirs:?}");
            continue;
        }
        let found = ours(variables, &server).await;
        assert_eq!(
            (&found.id, &found.secret, &found.token),
            (&theirs.id, &theirs.secret, &theirs.token),
            "{name}: {found:?} beside {theirs:?}"
        );
        // Ours is known of what was found, theirs of all that was asked.
        if found.sts_host.is_some() {
            assert_eq!(found.sts_host, theirs.sts_host, "{name}");
        }
        assert_eq!(essence(&server.take()), essence(asked), "{name}");
    }
}
