//! moto from `PyPI`: an account at Amazon Web Services with Route 53, IAM and STS, whose signatures botocore's code computes.

use std::path::{Path, PathBuf};

use dv_verify::{error::ErrorKind, http::Http};
use tokio::sync::{Mutex, MutexGuard};

use super::{Process, Shared, free_port, left_out};

/// What our user needs at Route 53, as the manifest's help says.
pub(crate) const RIGHTS: [&str; 3] =
    ["route53:ListHostedZonesByName", "route53:ListResourceRecordSets", "route53:ChangeResourceRecordSets"];

/// moto's server, with one fault of it mended: it takes the query of a request without a body for its body when it computes the signature,
/// so that botocore's own requests for a list fail.
const SERVER: &str = "
import sys
from moto.iam.access_control import IAMRequest
from moto.server import main

as_moto_does = IAMRequest._create_aws_request

def without_the_query(self):
    self._data = self._data if self._body else b''
    return as_moto_does(self)

IAMRequest._create_aws_request = without_the_query
main(sys.argv[1:])
";

/// A running `moto_server`.
struct Moto {
    url: String,
    /// Its switch for signatures is one for all, so tests take turns.
    turn: Mutex<()>,
    _process: Process,
}

/// The keys of a user, or those of a role for a time.
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) session_token: Option<String>,
}

/// The account, for one test alone: whoever is not its administrator must sign.
pub(crate) struct Account {
    server: &'static Moto,
    http: Http,
    _turn: MutexGuard<'static, ()>,
}

/// The account in the moto that all tests of this process share; `None` where it is not installed.
pub(crate) async fn account() -> Option<Account> {
    static SHARED: Shared<Moto> = Shared::new();
    let interpreter = PathBuf::from(std::env::var_os("DV_TEST_PYTHON").unwrap_or_default());
    let start = || {
        if !interpreter.with_file_name("moto_server").is_file() {
            left_out("moto is not beside DV_TEST_PYTHON");
            return None;
        }
        Some(Moto::start(&interpreter))
    };
    let server = SHARED.get(start)?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let account = Account { server, http: Http::new().expect("a client"), _turn: server.turn.lock().await };
    account.check_signatures(true).await;
    Some(account)
}

impl Moto {
    fn start(interpreter: &Path) -> Result<Self, String> {
        let (process, port) = Process::start("moto", |_| {
            let port = free_port();
            let interpreter = interpreter.to_str().expect("text");
            let command = [interpreter, "-c", SERVER, "-H", "127.0.0.1", "-p", &port.to_string()].map(str::to_owned);
            (command.to_vec(), vec![("Running on", 1)], port)
        })?;
        Ok(Self { url: format!("http://127.0.0.1:{port}"), turn: Mutex::default(), _process: process })
    }
}

impl Account {
    /// What stands for `base_url` of the manifest.
    pub(crate) fn route53(&self) -> String {
        format!("{}/2013-04-01", self.server.url)
    }

    /// A new user who may do this.
    pub(crate) async fn user(&self, name: &str, rights: &[&str]) -> Keys {
        self.manage("iam", &[("Action", "CreateUser"), ("UserName", name)]).await;
        let policy = policy(rights);
        let grant = [("Action", "PutUserPolicy"), ("UserName", name), ("PolicyName", "dns"), ("PolicyDocument", &policy)];
        self.manage("iam", &grant).await;
        keys(&self.manage("iam", &[("Action", "CreateAccessKey"), ("UserName", name)]).await)
    }

    /// Temporary keys of a new role that may do this.
    pub(crate) async fn role(&self, name: &str, rights: &[&str]) -> Keys {
        let trust = r#"{"Version": "2012-10-17", "Statement": []}"#;
        let create = [("Action", "CreateRole"), ("RoleName", name), ("AssumeRolePolicyDocument", trust)];
        self.manage("iam", &create).await;
        let policy = policy(rights);
        let grant = [("Action", "PutRolePolicy"), ("RoleName", name), ("PolicyName", "dns"), ("PolicyDocument", &policy)];
        self.manage("iam", &grant).await;
        let role = format!("arn:aws:iam::123456789012:role/{name}");
        let assume = [("Action", "AssumeRole"), ("RoleArn", role.as_str()), ("RoleSessionName", "dv")];
        keys(&self.manage("sts", &assume).await)
    }

    /// A new hosted zone; its id.
    pub(crate) async fn zone(&self, name: &str, is_private: bool) -> String {
        let network = "<VPC><VPCRegion>us-east-1</VPCRegion><VPCId>vpc-1</VPCId></VPC>";
        let (network, private) = if is_private { (network, "true") } else { ("", "false") };
        let body = format!(
            "<CreateHostedZoneRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><Name>{name}</Name>{network}\
             <CallerReference>{name}{private}</CallerReference><HostedZoneConfig><PrivateZone>{private}</PrivateZone>\
             </HostedZoneConfig></CreateHostedZoneRequest>"
        );
        let reply = self.administer(reqwest::Method::POST, "/hostedzone", body).await;
        text(&reply, "Id").trim_start_matches("/hostedzone/").to_owned()
    }

    /// Puts whole sets of TXT values, each `(name, TTL, value)`, as an administrator would.
    pub(crate) async fn put(&self, zone: &str, sets: &[(String, u32, &str)]) {
        let changes: Vec<String> = sets
            .iter()
            .map(|(name, ttl, value)| {
                let value = value.replace('&', "&amp;").replace('<', "&lt;");
                format!(
                    "<Change><Action>UPSERT</Action><ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type><TTL>{ttl}</TTL>\
                     <ResourceRecords><ResourceRecord><Value>\"{value}\"</Value></ResourceRecord></ResourceRecords>\
                     </ResourceRecordSet></Change>"
                )
            })
            .collect();
        let changes = changes.concat();
        let body = format!(
            "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>\
             {changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
        );
        self.administer(reqwest::Method::POST, &format!("/hostedzone/{zone}/rrset/"), body).await;
    }

    /// TTL and values of a set, sorted; `None` where there is none.
    pub(crate) async fn set(&self, zone: &str, name: &str, record_type: &str) -> Option<(u32, Vec<String>)> {
        let path = format!("/hostedzone/{zone}/rrset?name={name}.&type={record_type}&maxitems=1");
        let reply = self.administer(reqwest::Method::GET, &path, String::new()).await;
        let document = roxmltree::Document::parse(&reply).expect("XML");
        let set = document.descendants().find(|node| node.has_tag_name_of("ResourceRecordSet"))?;
        let within = |tag: &str| -> Vec<String> {
            set.descendants().filter(|node| node.has_tag_name_of(tag)).filter_map(|node| node.text()).map(str::to_owned).collect()
        };
        if within("Name") != [format!("{name}.")] || within("Type") != [record_type] {
            return None;
        }
        let mut values = within("Value");
        values.sort();
        Some((within("TTL")[0].parse().expect("a number"), values))
    }

    /// What a list shows on its first page, and whether there are more.
    pub(crate) async fn first_page(&self, path: &str) -> (String, bool) {
        let reply = self.administer(reqwest::Method::GET, path, String::new()).await;
        let is_truncated = text(&reply, "IsTruncated") == "true";
        (reply, is_truncated)
    }

    /// A call of Route 53 as the administrator.
    async fn administer(&self, method: reqwest::Method, path: &str, body: String) -> String {
        let request = self.http.client().request(method, format!("{}{path}", self.route53()));
        self.send("route53", request.header("Content-Type", "text/xml").body(body)).await
    }

    /// A call of another service as the administrator.
    async fn manage(&self, service: &str, form: &[(&str, &str)]) -> String {
        let version = if service == "iam" { "2010-05-08" } else { "2011-06-15" };
        let form = [form, &[("Version", version)]].concat();
        self.send(service, self.http.client().post(format!("{}/", self.server.url)).form(&form)).await
    }

    /// Sends while nobody looks at signatures; the header only says which service is meant.
    async fn send(&self, service: &str, request: reqwest::RequestBuilder) -> String {
        let credential = format!("Credential=administrator/20260101/us-east-1/{service}/aws4_request");
        let header = format!("AWS4-HMAC-SHA256 {credential}, SignedHeaders=host, Signature=none");
        let request = request.header("Authorization", header).build().expect("a request");
        self.check_signatures(false).await;
        let reply = self.http.execute(request, ErrorKind::Provider, service).await.expect("moto answers");
        self.check_signatures(true).await;
        assert!(reply.status.is_success(), "{service}: {} {}", reply.status, reply.text());
        reply.text()
    }

    /// After how many requests moto looks at signatures and rights: never, or at once.
    async fn check_signatures(&self, at_once: bool) {
        let request = self.http.client().post(format!("{}/moto-api/reset-auth", self.server.url));
        let request = request.header("Content-Type", "application/octet-stream").body(if at_once { "0" } else { "inf" });
        let reply = self.http.execute(request.build().expect("a request"), ErrorKind::Provider, "reset-auth").await;
        assert!(reply.is_ok_and(|reply| reply.status.is_success()));
    }
}

/// A policy that allows these actions everywhere.
fn policy(rights: &[&str]) -> String {
    let statement = serde_json::json!([{"Effect": "Allow", "Action": rights, "Resource": "*"}]);
    serde_json::json!({"Version": "2012-10-17", "Statement": statement}).to_string()
}

fn keys(reply: &str) -> Keys {
    let document = roxmltree::Document::parse(reply).expect("XML");
    let has_token = document.descendants().any(|node| node.has_tag_name_of("SessionToken"));
    Keys {
        access_key: text(reply, "AccessKeyId"),
        secret_key: text(reply, "SecretAccessKey"),
        session_token: has_token.then(|| text(reply, "SessionToken")),
    }
}

/// The text of the first element with this tag.
fn text(reply: &str, tag: &str) -> String {
    let document = roxmltree::Document::parse(reply).expect("XML");
    let found = document.descendants().find(|node| node.has_tag_name_of(tag));
    found.and_then(|node| node.text()).unwrap_or_else(|| panic!("no {tag} in {reply}")).to_owned()
}

/// Elements by their tag, whatever the namespace.
trait Tagged {
    fn has_tag_name_of(&self, tag: &str) -> bool;
}

impl Tagged for roxmltree::Node<'_, '_> {
    fn has_tag_name_of(&self, tag: &str) -> bool {
        self.tag_name().name() == tag
    }
}
