//! The servers of the laboratory: a primary, two secondaries, a parent, a resolver. Each secondary lags until a test lets it follow.

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

use crate::interop::servers::{FOREIGN_KEY, Process, dig, free_port, installed, program, run};

/// Programs that the laboratory needs.
const PROGRAMS: [&str; 10] =
    ["named", "knotd", "knotc", "nsd", "nsd-control", "unbound", "dnssec-keygen", "dnssec-signzone", "nsupdate", "dig"];

/// Signed zones that are not maintained by BIND: signed once, then broken on purpose.
const BROKEN: [(&str, &[&str]); 2] = [("bogus.test", &[]), ("expired.test", &["-s", "20200101000000", "-e", "20200201000000"])];

/// What BIND is the primary of, below `test`.
const ZONES_OF_BIND: [&str; 7] = ["example", "other", "refused", "untransferred", "signed", "bogus", "expired"];

/// How long the resolver may go on denying a name: the minimum in every SOA here.
pub(crate) const NEGATIVE_TTL: u64 = 77;

/// All servers, each with its own address, all on one port.
pub(crate) struct Laboratory {
    pub(crate) port: u16,
    block: [u8; 2],
    _bind: Process,
    knot: Option<Process>,
    nsd: Process,
    _parent: Process,
    unbound: Process,
}

impl Laboratory {
    /// Starts all servers; `None`, and a word about it, where one is not installed.
    pub(crate) fn start() -> Option<Self> {
        if !installed(&PROGRAMS) {
            return None;
        }
        // A random block of 127/8, so that several laboratories live beside each other.
        let block = [rand::random_range(64..=127), rand::random_range(1..=250)];
        let (bind, port) = Process::start("named", |folder| {
            let port = free_port();
            let named = program("named").expect("installed");
            prepare_bind(folder, port, block);
            let configuration = folder.join("named.conf");
            (
                words(&[&named, &"-g", &"-n", &"1", &"-c", &configuration]),
                vec![("all zones loaded", 1), ("next key event", 1)],
                port,
            )
        })
        .unwrap();
        let parent = start_parent(block, port);
        let knot = start_knot(block, port);
        let nsd = start_nsd(block, port);
        let unbound = start_unbound(block, port, bind.folder());
        let laboratory = Self { port, block, _bind: bind, knot: Some(knot), nsd, _parent: parent, unbound };
        laboratory.let_nsd_follow("example.test");
        Some(laboratory)
    }

    pub(crate) fn bind(&self) -> SocketAddr {
        self.at(1)
    }

    pub(crate) fn knot(&self) -> SocketAddr {
        self.at(2)
    }

    pub(crate) fn nsd(&self) -> SocketAddr {
        self.at(3)
    }

    pub(crate) fn resolver(&self) -> SocketAddr {
        self.at(6)
    }

    fn at(&self, host: u8) -> SocketAddr {
        (ip(self.block, host), self.port).into()
    }

    /// A change at the primary, such as `add NAME 60 TXT VALUE`. Nobody follows by itself.
    pub(crate) fn update(&self, zone: &str, change: &str) {
        let primary = self.bind();
        let commands = format!("server {} {}\nzone {zone}\nupdate {change}\nsend\n", primary.ip(), primary.port());
        run("nsupdate", &["-v", "-y", &format!("hmac-sha256:{}:{}", FOREIGN_KEY.name, FOREIGN_KEY.secret)], &commands);
    }

    /// Knot takes the zone from the primary; it has it when this returns.
    pub(crate) fn let_knot_follow(&self, zone: &str) {
        let socket = self.knot.as_ref().expect("Knot runs").folder().join("knot.sock");
        run("knotc", &["-s", text(&socket), "-b", "zone-retransfer", zone], "");
    }

    /// NSD takes the zone from the primary; it has it when this returns.
    pub(crate) fn let_nsd_follow(&self, zone: &str) {
        let soa = dig(self.bind(), zone, "SOA");
        let serial = soa[0].split(' ').nth(2).expect("a serial").to_owned();
        let configuration = self.nsd.folder().join("nsd.conf");
        run("nsd-control", &["-c", text(&configuration), "force_transfer", zone], "");
        assert!(self.nsd.wait_for(&format!("is updated to {serial}"), 1), "{}", self.nsd.log());
    }

    /// Ends Knot. Its address answers no more.
    pub(crate) fn end_knot(&mut self) {
        self.knot = None;
    }

    /// Starts Knot again. It takes the zone from the primary as it is now, and has it when this returns.
    pub(crate) fn start_knot(&mut self) {
        self.knot = Some(start_knot(self.block, self.port));
    }

    /// The questions that the resolver was asked, in order, as `name TYPE`, up to the first that contains `last`.
    pub(crate) fn resolver_heard_until(&self, last: &str) -> Vec<String> {
        assert!(self.unbound.wait_for(last, 1), "the resolver was never asked for {last}");
        // [time] unbound[pid:thread] info: 127.0.0.1 name. TYPE IN
        let mut heard = Vec::new();
        for line in self.unbound.log().lines() {
            let Some((_, question)) = line.split_once(" info: 127.0.0.1 ") else { continue };
            heard.push(question.trim_end_matches(" IN").replace(". ", " "));
            if line.contains(last) {
                break;
            }
        }
        heard
    }
}

/// BIND listens only at addresses that an interface has, so it is at 127.0.0.1; the others are where no interface is needed.
fn ip(block: [u8; 2], host: u8) -> IpAddr {
    match host {
        1 => Ipv4Addr::LOCALHOST.into(),
        host => Ipv4Addr::new(127, block[0], block[1], host).into(),
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path that is text")
}

fn words(parts: &[&dyn AsRef<std::ffi::OsStr>]) -> Vec<String> {
    parts.iter().map(|part| part.as_ref().to_str().expect("text").to_owned()).collect()
}

fn write(folder: &Path, file: &str, content: &str) {
    std::fs::write(folder.join(file), content).expect("the file is written");
}

fn head(zone: &str, servers: &[&str]) -> String {
    let mut text =
        format!("$ORIGIN {zone}.\n$TTL 60\n@ SOA ns1.example.test. admin.{zone}. 1 86400 3600 604800 {NEGATIVE_TTL}\n");
    for server in servers {
        let _ = writeln!(text, "@ NS {server}.");
    }
    text
}

fn prepare_bind(folder: &Path, port: u16, block: [u8; 2]) {
    let three = ["ns1.example.test", "ns2.example.test", "ns3.example.test"];
    let mut example = head("example.test", &three);
    for host in 1..=3 {
        let _ = writeln!(example, "ns{host} A {}", ip(block, host));
    }
    // The child's own NS set is ns1 and ns3.
    let _ =
        write!(example, "child NS ns1.child\nchild NS ns2.child\nns1.child A {}\nns2.child A {}\n", ip(block, 4), ip(block, 5));
    example.push_str(
        "_dv.all TXT \"ours\"\n_dv.old TXT \"old\"\n_dv.withdrawn TXT \"ours\"\nbelow._dv.node TXT \"something\"\n\
         _dv.among TXT \"theirs\"\n_dv.quoted TXT \"\\\"ours\\\"\"\n_dv.case TXT \"OURS\"\n\
         _dv.alias CNAME _dv.end.other.test.\n_dv.loop CNAME _dv.pool\n_dv.pool CNAME _dv.loop\n\
         *.wild CNAME parking.other.test.\n_dv.written.wild TXT \"ours\"\n*.text TXT \"wild\"\n_dv.deep.down.below TXT \"ours\"\n",
    );
    let _ = writeln!(example, "_dv.long TXT \"{0}\" \"{0}\" \"{0}\"", "x".repeat(200));
    for number in 0..300 {
        let _ = writeln!(example, "_dv.many TXT \"value number {number}\"");
    }
    write(folder, "example.test", &example);
    write(folder, "other.test", &(head("other.test", &three[..1]) + "_dv.end TXT \"ours\"\n"));
    write(folder, "refused.test", &(head("refused.test", &three) + "_dv TXT \"ours\"\n"));
    write(folder, "untransferred.test", &(head("untransferred.test", &three) + "_dv TXT \"ours\"\n"));
    write(folder, "signed.test", &head("signed.test", &three[..1]));
    let mut text = format!(
        "options {{ directory \"{0}\"; key-directory \"{0}\"; pid-file none; lock-file none; session-keyfile none;\n\
         listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify no;\n\
         allow-transfer {{ any; }}; empty-zones-enable no; require-server-cookie yes;\n\
         max-records-per-type 0; }};\ncontrols {{ }};\n{1}",
        folder.display(),
        FOREIGN_KEY.statement()
    );
    let update = format!("update-policy {{ grant {} zonesub ANY; }};", FOREIGN_KEY.name);
    for (zone, more) in [
        ("example.test", update.clone()),
        ("other.test", String::new()),
        ("refused.test", String::new()),
        ("untransferred.test", "allow-transfer { none; };".to_owned()),
        ("signed.test", format!("dnssec-policy default; {update}")),
    ] {
        let _ = writeln!(text, "zone \"{zone}\" {{ type primary; file \"{zone}\"; {more} }};");
    }
    for (zone, when) in BROKEN {
        sign(folder, zone, when);
        let _ = writeln!(text, "zone \"{zone}\" {{ type primary; file \"{zone}.signed\"; }};");
    }
    write(folder, "named.conf", &text);
}

/// Signs a zone whose record has another value, then gives it ours, where the dates alone do not break it.
fn sign(folder: &Path, zone: &str, when: &[&str]) {
    let value = if when.is_empty() { "signed" } else { "ours" };
    write(folder, zone, &format!("{}_dv TXT \"{value}\"\n", head(zone, &["ns1.example.test"])));
    run("dnssec-keygen", &["-q", "-K", text(folder), "-a", "ECDSAP256SHA256", "-f", "KSK", zone], "");
    let (unsigned, signed) = (folder.join(zone), folder.join(format!("{zone}.signed")));
    // `-P`: it would refuse to write what has expired.
    let keys = ["-q", "-P", "-S", "-z", "-K", text(folder), "-d", text(folder), "-o", zone, "-f", text(&signed)];
    run("dnssec-signzone", &[&keys, when, &[text(&unsigned)]].concat(), "");
    let content = std::fs::read_to_string(&signed).expect("it was signed");
    std::fs::write(&signed, content.replace("\"signed\"", "\"ours\"")).expect("written");
}

/// Knot as a secondary that does not know `refused.test`, and cannot get `untransferred.test`.
fn start_knot(block: [u8; 2], port: u16) -> Process {
    let zones = format!(
        "remote:\n  - id: primary\n    address: 127.0.0.1@{port}\nzone:\n  - domain: example.test\n    master: primary\n  \
         - domain: untransferred.test\n    master: primary\n"
    );
    knot(&[ip(block, 2)], port, &zones, &[], ("AXFR, incoming, remote 127.0.0.1@", 2))
}

/// Knot as the parent `test`, and as the child zone below `example.test`.
fn start_parent(block: [u8; 2], port: u16) -> Process {
    let child = head("child.example.test", &["ns1.child.example.test", "ns3.child.example.test"])
        + &format!("ns1 A {}\nns3 A {}\n_dv TXT \"ours\"\n", ip(block, 4), ip(block, 5));
    let mut parent = head("test", &["ns.nic.test"]) + &format!("ns.nic A {}\n", ip(block, 4));
    for zone in ZONES_OF_BIND {
        let _ = writeln!(parent, "{zone} NS ns1.example");
    }
    for (host, server) in [(1, "ns1"), (2, "ns2"), (3, "ns3")] {
        let _ = writeln!(parent, "{server}.example A {}", ip(block, host));
    }
    parent.push_str("example NS ns2.example\nexample NS ns3.example\n");
    let files = [("test.zone", parent.as_str()), ("child.example.test.zone", child.as_str())];
    let zones = "zone:\n  - domain: test\n  - domain: child.example.test\n";
    knot(&[ip(block, 4), ip(block, 5)], port, zones, &files, ("loaded, serial none ->", 2))
}

fn knot(addresses: &[IpAddr], port: u16, zones: &str, files: &[(&str, &str)], ready: (&'static str, usize)) -> Process {
    let listen: Vec<String> = addresses.iter().map(|address| format!("{address}@{port}")).collect();
    let knotd = program("knotd").expect("installed");
    let started = Process::start("knotd", |folder| {
        for (file, content) in files {
            write(folder, file, content);
        }
        let place = folder.display();
        let configuration = format!(
            "server:\n    rundir: {place}\n    listen: [{}]\n    udp-workers: 1\n    tcp-workers: 1\n    background-workers: 1\n\
             control:\n    listen: {place}/knot.sock\nlog:\n  - target: stdout\n    any: info\n\
             database:\n    storage: {place}\n    journal-db-max-size: 16M\n\
             template:\n  - id: default\n    storage: {place}\n    file: \"%s.zone\"\n    zonefile-sync: -1\n{zones}",
            listen.join(", ")
        );
        write(folder, "knot.conf", &configuration);
        (words(&[&knotd, &"-c", &folder.join("knot.conf")]), vec![("server started", 1), ready], ())
    });
    started.unwrap().0
}

/// NSD as the other secondary, of the same zones.
fn start_nsd(block: [u8; 2], port: u16) -> Process {
    let nsd = program("nsd").expect("installed");
    let started = Process::start("nsd", |folder| {
        let place = folder.display();
        let mut configuration = format!(
            "server:\n server-count: 1\n ip-address: {}@{port}\n username: \"\"\n chroot: \"\"\n zonesdir: \"{place}\"\n \
             zonelistfile: \"{place}/zone.list\"\n pidfile: \"\"\n xfrdfile: \"{place}/xfrd.state\"\n xfrdir: \"{place}\"\n \
             database: \"\"\n verbosity: 3\n xfrd-reload-timeout: 0\nremote-control:\n control-enable: yes\n \
             control-interface: {place}/sock\n",
            ip(block, 3)
        );
        for zone in ["example.test", "untransferred.test"] {
            let _ = write!(configuration, "zone:\n name: {zone}\n request-xfr: AXFR 127.0.0.1@{port} NOKEY\n");
        }
        write(folder, "nsd.conf", &configuration);
        (words(&[&nsd, &"-d", &"-c", &folder.join("nsd.conf")]), vec![("nsd started", 1)], ())
    });
    started.unwrap().0
}

/// Unbound as a validating resolver that logs every question.
fn start_unbound(block: [u8; 2], port: u16, keys: &Path) -> Process {
    let unbound = program("unbound").expect("installed");
    let started = Process::start("unbound", |folder| {
        let place = folder.display();
        let mut configuration = format!(
            "server:\n interface: {}@{port}\n username: \"\"\n chroot: \"\"\n directory: \"{place}\"\n pidfile: \"\"\n \
             use-syslog: no\n logfile: \"\"\n verbosity: 1\n log-queries: yes\n do-not-query-localhost: no\n do-ip6: no\n \
             num-threads: 1\n ede: yes\n access-control: 127.0.0.0/8 allow\n local-zone: \"test.\" transparent\n \
             module-config: \"validator iterator\"\n",
            ip(block, 6)
        );
        for file in std::fs::read_dir(keys).expect("the folder of the keys").flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|extension| extension == "key") {
                let _ = writeln!(configuration, " trust-anchor-file: \"{}\"", file.display());
            }
        }
        configuration.push_str("remote-control:\n control-enable: no\n");
        let at_bind =
            ["example", "other", "refused", "untransferred", "signed", "bogus", "expired"].map(|zone| (zone, ip(block, 1)));
        for (zone, address) in at_bind
            .map(|(zone, address)| (format!("{zone}.test"), address))
            .into_iter()
            .chain([("test".to_owned(), ip(block, 4)), ("child.example.test".to_owned(), ip(block, 4))])
        {
            let _ = write!(configuration, "stub-zone:\n name: {zone}\n stub-addr: {address}@{port}\n");
        }
        write(folder, "unbound.conf", &configuration);
        (words(&[&unbound, &"-d", &"-c", &folder.join("unbound.conf")]), vec![("start of service", 1)], ())
    });
    started.unwrap().0
}
