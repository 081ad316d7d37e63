//! `--listen` of the program itself: the address, the token, and what Prometheus's own checker says about the metrics.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use dv_verify::{
    order::{Generation, OrderId},
    sandbox::OrderChange,
};

use super::is_installed;
use crate::outside::context::Context;

const TOKEN: &str = "planted-listen-token-5b1c";

/// A run that waits for the CA, and shows itself.
struct Watched {
    context: Context,
    order: OrderId,
    child: Child,
    /// `127.0.0.1:PORT`.
    address: String,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Watched {
    fn start(arguments: &[&str]) -> Self {
        let context = Context::new();
        let order = context.order(Generation::Instance, &["www.example.com"]);
        context.change(&order, OrderChange::Hold);
        let all = [
            &["--provider", "cloudflare", "--order", order.as_str(), "--listen", "127.0.0.1:0", "--poll-interval", "100ms"],
            arguments,
        ];
        let mut command = context.command(&all.concat());
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "the run ended: {said}");
            if let Some(url) = line.strip_prefix("status page: http://") {
                break url.trim().trim_end_matches('/').to_owned();
            }
            said.push_str(&line);
        };
        Self { context, order, child, address, stderr }
    }

    /// Head and body of a reply.
    fn get(&self, path: &str, headers: &str) -> (String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").expect("a reply");
        (head.to_owned(), body.to_owned())
    }

    /// Lets the CA issue, and the run end; what it said.
    fn end(mut self) -> String {
        self.context.change(&self.order, OrderChange::Recover);
        let mut said = String::new();
        self.stderr.read_to_string(&mut said).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{said}");
        said
    }
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_run_shows_itself_while_it_waits_and_ends_as_always() {
    let watched = Watched::start(&[]);
    watched.context.until_records(1);
    assert!(watched.get("/healthz", "").0.starts_with("HTTP/1.1 200"));
    assert!(watched.get("/readyz", "").0.starts_with("HTTP/1.1 200"));
    let (head, page) = watched.get("/", "");
    assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
    assert!(page.contains("www.example.com") && page.contains(watched.order.as_str()) && page.contains("under way"), "{page}");
    let (_, metrics) = watched.get("/metrics", "");
    assert!(metrics.contains("dv_verify_orders_waiting 1\n"), "{metrics}");
    assert!(metrics.contains("dv_verify_calls_total{operation=\"GetInstanceDetail\"} "), "{metrics}");
    watched.end();
}

#[test]
fn prometheus_takes_the_metrics() {
    if !is_installed("promtool") {
        return;
    }
    let watched = Watched::start(&[]);
    watched.context.until_records(1);
    let (head, metrics) = watched.get("/metrics", "");
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    let check = |text: &str| {
        let mut tool = Command::new("promtool");
        let mut child =
            tool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    assert_eq!(check(&metrics), (true, String::new()), "{metrics}");
    assert!(!check(&metrics.replace("# TYPE dv_verify_calls_total counter", "# TYPE dv_verify_calls_total nonsense")).0);
    watched.end();
}

#[test]
fn a_token_is_asked_for_and_shown_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token.secret");
    private(&file, &format!("{TOKEN}\n"));
    let watched = Watched::start(&["--listen-token-file", file.to_str().unwrap(), "-vv"]);
    assert!(watched.get("/", "").0.starts_with("HTTP/1.1 401"));
    let (head, page) = watched.get("/", &format!("Authorization: Bearer {TOKEN}\r\n"));
    assert!(head.starts_with("HTTP/1.1 200") && !page.contains(TOKEN));
    assert!(watched.get("/healthz", "").0.starts_with("HTTP/1.1 200"));
    let said = watched.end();
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn what_cannot_be_listened_on_is_said_before_anything_is_written() {
    let context = Context::new();
    let order = context.order(Generation::Instance, &["www.example.com"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let (short, open) = (context.home().join("short.secret"), context.home().join("open.secret"));
    private(&short, "short\n");
    fs::write(&open, TOKEN).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).unwrap();
    let cases: [(&[&str], &str); 7] = [
        (&["--listen", "0.0.0.0:0"], "can be reached from other machines, and asks for no token"),
        (&["--listen", "9123"], "`9123` is not an address with a port"),
        (&["--listen", "localhost:9123"], "write `127.0.0.1:9123`"),
        (&["--listen", &taken], "another program may listen there"),
        (&["--listen", "0.0.0.0:0", "--listen-token-file", short.to_str().unwrap()], "shorter than 16 characters"),
        (&["--listen", "0.0.0.0:0", "--listen-token-file", open.to_str().unwrap()], "can be read by others"),
        (&["--listen", "0.0.0.0:0", "--listen-token-file", "/nonexistent"], "cannot be read"),
    ];
    for (arguments, said) in cases {
        let all = [&["--provider", "cloudflare", "--order", order.as_str()], arguments].concat();
        context.run(&all).expect(2).says(said);
    }
    context.run(&["--listen-token", TOKEN]).expect(2).says("not taken from the command line");
    assert_eq!(context.writes(), 0);
}
