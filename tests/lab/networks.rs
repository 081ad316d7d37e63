//! The binary in networks as they are: with one family of addresses, behind filters, interceptors and slow links. Each network is a
//! namespace of its own, where the kernel lets the tests make one; what is expected stands in `docs/propagation.md`.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::table::{differences, rows};
use crate::{
    interop::servers::{Process, installed, left_out, program},
    tls::certify,
};

/// What a network needs.
const PROGRAMS: [&str; 7] = ["ip", "unshare", "nsenter", "nft", "named", "unbound", "python3"];

/// Asks through a proxy that answers late.
const SLOW: &str = r#"
import asyncio

class Late(asyncio.DatagramProtocol):
    def __init__(self, behind):
        self.behind = behind
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, address):
        asyncio.get_running_loop().create_task(self.ask(data, address))
    async def ask(self, data, address):
        loop = asyncio.get_running_loop()
        answered = loop.create_future()
        class Behind(asyncio.DatagramProtocol):
            def datagram_received(self, data, _):
                answered.done() or answered.set_result(data)
        transport, _ = await loop.create_datagram_endpoint(Behind, remote_addr=(self.behind, 53))
        transport.sendto(data)
        answer = await answered
        await asyncio.sleep(0.8)
        self.transport.sendto(answer, address)
        transport.close()

async def main():
    loop = asyncio.get_running_loop()
    for front, behind in (("10.53.0.1", "10.53.0.11"), ("10.53.0.2", "10.53.0.12")):
        await loop.create_datagram_endpoint(lambda behind=behind: Late(behind), local_addr=(front, 53))
    print("late is ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"#;

/// The words of the page for a network, and the kind that `network.sh` makes.
const NETWORKS: [(&str, &str); 9] = [
    ("IPv4 and IPv6", "both"),
    ("IPv4 only", "four"),
    ("IPv6 only", "six"),
    ("UDP port 53 blocked", "no-udp"),
    ("port 53 blocked", "no-53"),
    ("port 53 and HTTPS blocked", "nothing"),
    ("split horizon", "split"),
    ("slow link, 800 ms", "slow"),
    ("interceptor that answers for every address", "interceptor"),
];

/// A network, as long as it lives.
pub(crate) struct Network {
    process: Process,
    inside: String,
}

impl Network {
    pub(crate) fn start(kind: &str) -> Result<Self, String> {
        let unshare = program("unshare").expect("installed");
        let (process, ()) = Process::start("a network", |folder| {
            prepare(folder, kind);
            let late: &[(&str, usize)] = if kind == "slow" { &[("late is ready", 1)] } else { &[] };
            let command = ["--net", "--mount", "/bin/sh"].map(str::to_owned);
            let folder = folder.to_str().expect("text").to_owned();
            let script = format!("{folder}/network.sh");
            let command =
                [vec![unshare.to_str().expect("text").to_owned()], command.to_vec(), vec![script, folder, kind.to_owned()]]
                    .concat();
            (command, [vec![("inside as ", 1), ("all zones loaded", 1), ("start of service", 1)], late.to_vec()].concat(), ())
        })?;
        let log = process.log();
        let inside = log.lines().find_map(|line| line.strip_prefix("inside as ")).ok_or(log.clone())?.to_owned();
        Ok(Self { process, inside })
    }

    /// What nsenter needs to know before the program that is to run inside.
    pub(crate) fn entrance(&self) -> Vec<String> {
        ["--target", &self.inside, "--net", "--mount", "--"].map(str::to_owned).into()
    }

    /// A program that will run inside, with nothing in its environment.
    fn inside(&self, program_inside: &str) -> Command {
        let mut command = Command::new(program("nsenter").expect("installed"));
        command.args(self.entrance()).arg(program_inside).env_clear().stdin(Stdio::null());
        command
    }

    /// The binary, inside.
    pub(crate) fn command(&self) -> Command {
        let folder = self.process.folder();
        let mut command = self.inside(env!("CARGO_BIN_EXE_dv-verify"));
        command.env("HOME", folder).env("SSL_CERT_FILE", folder.join("ca.pem"));
        command
    }

    /// What another program says on its standard output.
    pub(crate) fn run_program(&self, name: &str, arguments: &[&str]) -> String {
        let place = program(name).expect("installed");
        let output = self.inside(place.to_str().expect("text")).args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Runs the binary inside. Exit code, and everything that it said on one line.
    fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command().args(arguments).output().expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).split_whitespace().collect::<Vec<_>>().join(" ");
        (output.status.code().unwrap_or(-1), text)
    }
}

/// The files of a network.
fn prepare(folder: &Path, kind: &str) {
    let write = |file: &str, content: &str| std::fs::write(folder.join(file), content).expect("the file is written");
    let (six, slow) = (kind == "six", kind == "slow");
    let place = folder.display();
    write("network.sh", include_str!("network.sh"));
    write("resolv.conf", if six { "nameserver fd53::9\n" } else { "nameserver 10.53.0.9\n" });
    if slow {
        write("slow.py", SLOW);
    }
    let head = |zone: &str, servers: &[&str]| {
        let mut text = format!("$ORIGIN {zone}.\n$TTL 60\n@ SOA ns1.example.test. admin 7 86400 3600 604800 60\n");
        for server in servers {
            let _ = writeln!(text, "@ NS {server}.");
        }
        text
    };
    let hosts = |text: &mut String, below: &str| {
        for host in [1, 2] {
            if !six {
                let _ = writeln!(text, "ns{host}{below} A 10.53.0.{host}");
            }
            if matches!(kind, "six" | "both" | "four") {
                let _ = writeln!(text, "ns{host}{below} AAAA fd53::{host}");
            }
        }
    };
    let both = ["ns1.example.test", "ns2.example.test"];
    let mut parent = head("test", &["ns.test"]) + &format!("ns {}\n", if six { "AAAA fd53::4" } else { "A 10.53.0.4" });
    parent.push_str("example NS ns1.example\nexample NS ns2.example\n");
    parent.push_str("differs NS ns1.example\ndiffers NS old.differs\nold.differs A 10.53.0.2\n");
    hosts(&mut parent, ".example");
    let mut example = head("example.test", &both) + "_dv TXT \"ours\"\n_dv.xn--bcher-kva TXT \"ours\"\n";
    hosts(&mut example, "");
    write("test", &parent);
    write("example.test", &example);
    write(
        "differs.test",
        &(head("differs.test", &["ns1.example.test", "new.differs.test"])
            + "new A 10.53.0.2\nold A 10.53.0.3\n_dv TXT \"ours\"\n"),
    );
    write("inside", &(head("example.test", &["ns.example.test"]) + "ns A 10.53.0.3\n_dv TXT \"what the company sees\"\n"));
    let listen = match kind {
        "six" => "listen-on { none; }; listen-on-v6 { fd53::1; fd53::2; fd53::4; };",
        "both" => "listen-on { 10.53.0.1; 10.53.0.2; 10.53.0.4; }; listen-on-v6 { fd53::1; fd53::2; };",
        "slow" => "listen-on { 10.53.0.4; 10.53.0.11; 10.53.0.12; }; listen-on-v6 { none; };",
        _ => "listen-on { 10.53.0.1; 10.53.0.2; 10.53.0.3; 10.53.0.4; }; listen-on-v6 { none; };",
    };
    let zones = ["example.test", "differs.test"].map(|zone| format!("zone \"{zone}\" {{ type primary; file \"{zone}\"; }};"));
    write(
        "named.conf",
        &format!(
            "options {{ directory \"{place}\"; pid-file none; lock-file none; session-keyfile none; {listen} recursion no; \
             dnssec-validation no; notify no; empty-zones-enable no; }};\ncontrols {{}};\n\
             view inside {{ match-destinations {{ 10.53.0.3; }}; zone \"example.test\" {{ type primary; file \"inside\"; }}; }};\n\
             view parent {{ match-destinations {{ 10.53.0.4; fd53::4; }}; zone \"test\" {{ type primary; file \"test\"; }}; }};\n\
             view outside {{ {} }};\n",
            zones.join(" ")
        ),
    );
    let (own, parent) = if six { ("fd53::9", "fd53::4") } else { ("10.53.0.9", "10.53.0.4") };
    let mut unbound = format!(
        "server:\n interface: {own}@53\n outgoing-interface: {own}\n username: \"\"\n chroot: \"\"\n directory: \"{place}\"\n pidfile: \"\"\n \
         use-syslog: no\n logfile: \"\"\n num-threads: 1\n access-control: 0.0.0.0/0 allow\n access-control: ::/0 allow\n \
         local-zone: \"test.\" transparent\n module-config: \"iterator\"\n"
    );
    if !six {
        let _ = write!(
            unbound,
            " interface: 1.1.1.1@443\n interface: 10.53.0.9@443\n interface: 1.1.1.1@53\n https-port: 443\n tls-service-key: \"{place}/server.key\"\n tls-service-pem: \"{place}/server.pem\"\n"
        );
    }
    certify(folder, &["1.1.1.1"], |_| ());
    let _ = write!(unbound, "remote-control:\n control-enable: no\nstub-zone:\n name: test\n stub-addr: {parent}\n");
    if kind == "split" {
        unbound.push_str("stub-zone:\n name: example.test\n stub-addr: 10.53.0.3\n");
    }
    write("unbound.conf", &unbound);
    // The resolver is part of the world outside: what it asks is let through.
    let filter = |what: &str| {
        format!(
            "table ip t {{ chain c {{ type filter hook input priority 0; ip saddr 10.53.0.9 ip daddr != 10.53.0.9 accept; {what} }}\n}}\n"
        )
    };
    match kind {
        "no-udp" => write("rules.nft", &filter("udp dport 53 drop;")),
        "no-53" => write("rules.nft", &filter("udp dport 53 drop; tcp dport 53 drop;")),
        "nothing" => write("rules.nft", &filter("udp dport 53 drop; tcp dport { 53, 443 } drop;")),
        "interceptor" => write(
            "rules.nft",
            "table ip t { chain c { type nat hook output priority -100; ip saddr 10.53.0.9 ip daddr != 10.53.0.9 accept; \
             udp dport 53 dnat to 10.53.0.1; tcp dport 53 dnat to 10.53.0.1; }\n}\n",
        ),
        _ => {}
    }
}

/// Whether this process may make networks; says so where it may not.
pub(crate) fn is_allowed() -> bool {
    if !installed(&PROGRAMS) {
        return false;
    }
    let unshare: PathBuf = program("unshare").expect("installed");
    let script = "ip link set lo up && nft add table ip t";
    let tried = Command::new(unshare)
        .args(["--net", "--mount", "/bin/sh", "-c", script])
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .stderr(Stdio::null())
        .status();
    let is_allowed = tried.is_ok_and(|status| status.success());
    if !is_allowed {
        left_out("network namespaces are not allowed here");
    }
    is_allowed
}

#[test]
fn each_network_has_the_sentence_and_the_exit_code_of_the_page() {
    if !is_allowed() {
        return;
    }
    let said = rows(include_str!("../../docs/propagation.md"), "<!-- cases: networks -->");
    let runs = std::thread::scope(|scope| {
        let each: Vec<_> = NETWORKS
            .iter()
            .map(|(words, kind)| {
                let commands: Vec<String> = said.iter().filter(|row| row[0] == *words).map(|row| row[1].clone()).collect();
                scope.spawn(move || {
                    let network = Network::start(kind).unwrap_or_else(|why| panic!("{words}: {why}"));
                    commands
                        .into_iter()
                        .map(|command| {
                            let (code, text) = network.run(&command.split(' ').collect::<Vec<_>>());
                            // Whatever the page says: these networks never show the servers of the zone.
                            let is_blind = matches!(*kind, "no-53" | "nothing" | "interceptor") && command.starts_with("check ");
                            assert!(!is_blind || code == 5, "{words}: {command} is green: {text}");
                            vec![(*words).to_owned(), command, code.to_string(), text]
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        each.into_iter().flat_map(|run| run.join().expect("the network's commands run")).collect::<Vec<_>>()
    });
    let differences = differences(&said, &runs, &[1, 3]);
    assert!(differences.is_empty(), "docs/propagation.md (-) and what is so (+) differ:\n{differences}");
    assert_eq!(said.len(), runs.len());
    assert!(NETWORKS.iter().all(|(words, _)| said.iter().any(|row| row[0] == *words)));
}
