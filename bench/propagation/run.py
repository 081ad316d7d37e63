#!/usr/bin/env python3
"""Measures how late a record is noticed, and how many questions that takes, beside other tools; writes RESULTS.md beside this file.

    cargo build --release --example notice && python3 bench/propagation/run.py [--quick]

Needs root, BIND, Unbound and Pebble; lego and certbot (with its rfc2136 plugin) are measured where they are installed:

    apt-get install --no-install-recommends bind9 bind9-dnsutils unbound pebble openssl iproute2 lego certbot python3-certbot-dns-rfc2136

It goes into network and mount namespaces of its own, so that every server can have port 53 and nothing outside is touched. Every run
has a zone of its own: a BIND primary, a BIND secondary that gets no notices. The lag is chosen: so long after the primary logged the
new record, the secondary is told to transfer the zone. "Served" is the moment the secondary logs the transfer; "noticed" is the moment
dv-verify says so, and for the others the moment the CA (Pebble) logs that it was told to validate. Pebble takes any answer for valid, so
that a tool which comes too early goes on like one that is right: what is too early, the clock says.
"""

import argparse
import collections
import concurrent.futures
import datetime
import json
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
NOTICE = ROOT / "target" / "release" / "examples" / "notice"
PRIMARY, SECONDARY, RESOLVER = "127.53.1.1", "127.53.1.2", "127.53.1.9"
SECRET = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
KEY = f'key "bench" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
VALUE = "the-value-of-the-challenge"
LAGS = [0, 1.3, 3.2, 6.8, 31, 121]
# Noticed this much before the secondary's log line was read is early; less is the reading of two logs.
TOLERANCE = 0.05
AT_A_TIME = 36
# Runs with many names come after all others, and few at a time: each is busier than all others together.
MANY, MANY_AT_A_TIME, MANY_LAGS = 300, 2, [3.2, 6.8, 31, 121]
INSIDE = "DV_BENCH_INSIDE"


class Server:
    """A process whose log is read line by line, each with the time of its reading."""

    def __init__(self, command, ready, on_line, environment=None):
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, **(environment or {})},
        )
        self.lines, self.ready = [], threading.Event()
        threading.Thread(target=self.read, args=(ready, on_line), daemon=True).start()
        if not self.ready.wait(60):
            self.stop()
            sys.exit(f"{command[0]} does not start:\n" + "\n".join(self.lines[-30:]))

    def read(self, ready, on_line):
        for line in self.process.stdout:
            now = time.time()
            if len(self.lines) < 500:
                self.lines.append(line.rstrip())
            if ready in line:
                self.ready.set()
            on_line(now, line)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Laboratory:
    """The servers, and what their logs told about each zone."""

    def __init__(self, folder, zones):
        self.folder = folder
        self.lag = {}
        self.added = {}
        self.served = {}
        self.told = {}
        self.questions = collections.defaultdict(lambda: collections.Counter())
        self.event = threading.Condition()
        self.servers = []
        try:
            self.start(zones)
        except BaseException:
            self.stop()
            raise

    def start(self, zones):
        primary, secondary = self.folder / "primary", self.folder / "secondary"
        options = (
            'options {{ directory "{0}"; pid-file none; lock-file none; session-keyfile none; listen-on {{ {1}; }}; '
            "listen-on-v6 {{ none; }}; recursion no; dnssec-validation no; notify no; allow-transfer {{ any; }}; querylog yes; "
            "empty-zones-enable no; transfers-in 200; transfers-per-ns 200; max-records-per-type 0; }};\n"
        )
        for place, address in ((primary, PRIMARY), (secondary, SECONDARY)):
            place.mkdir()
            text = options.format(place, address) + KEY
            text += f"controls {{ inet {address} port 953 allow {{ any; }} keys {{ bench; }}; }};\n"
            if place == primary:
                text += 'zone "test" { type primary; file "test"; };\n'
            for zone in zones:
                if place == primary:
                    (place / zone).write_text(head(zone))
                    text += f'zone "{zone}" {{ type primary; file "{zone}"; allow-update {{ key bench; }}; }};\n'
                else:
                    text += f'zone "{zone}" {{ type secondary; primaries {{ {PRIMARY}; }}; }};\n'
            (place / "named.conf").write_text(text)
        delegations = "".join(f"{zone}. NS ns1.test.\n{zone}. NS ns2.test.\n" for zone in zones)
        (primary / "test").write_text(head("test") + f"ns1 A {PRIMARY}\nns2 A {SECONDARY}\n" + delegations)
        (self.folder / "rndc.conf").write_text(KEY + "options { default-key bench; };\n")
        named = [shutil.which("named"), "-g", "-n", "1", "-c"]
        self.servers.append(Server([*named, primary / "named.conf"], "running", lambda *line: self.hear(PRIMARY, *line)))
        self.servers.append(Server([*named, secondary / "named.conf"], "running", lambda *line: self.hear(SECONDARY, *line)))
        if not self.until(lambda: all(zone in self.served for zone in zones), 60):
            sys.exit("the secondary did not get its zones")
        self.served.clear()
        (self.folder / "unbound.conf").write_text(
            f'server:\n interface: {RESOLVER}\n outgoing-interface: {RESOLVER}\n username: ""\n chroot: ""\n directory: "{self.folder}"\n pidfile: ""\n use-syslog: no\n'
            ' logfile: ""\n do-not-query-localhost: no\n do-ip6: no\n num-threads: 1\n access-control: 127.0.0.0/8 allow\n'
            ' local-zone: "test." transparent\n module-config: "iterator"\nremote-control:\n control-enable: no\n'
            f"stub-zone:\n name: test\n stub-addr: {PRIMARY}\n"
        )
        unbound = [shutil.which("unbound"), "-d", "-c", self.folder / "unbound.conf"]
        self.servers.append(Server(unbound, "start of service", lambda *line: None))
        self.start_ca()

    def start_ca(self):
        certificate, key = self.folder / "ca.pem", self.folder / "ca.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key]
            + ["-out", certificate, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
            check=True,
            capture_output=True,
        )
        pebble = {
            "listenAddress": "127.0.0.1:14000", "managementListenAddress": "127.0.0.1:15000", "certificate": str(certificate),
            "privateKey": str(key), "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "", "externalAccountBindingRequired": False,
        }  # fmt: skip
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": pebble}))
        variables = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_VA_ALWAYS_VALID": "1", "PEBBLE_WFE_NONCEREJECT": "0"}
        command = ["pebble", "-config", self.folder / "pebble.json", "-dnsserver", f"{RESOLVER}:53"]
        self.servers.append(Server(command, "Listening on", self.hear_ca, variables))

    def hear(self, address, now, line):
        if match := re.search(r"query: (\S+) IN (\S+) ", line):
            if zone := re.search(r"(?:^|\.)(z\d+\.test)$", match[1].lower()):
                if match[2] not in ("AXFR", "IXFR") and f" {RESOLVER}#" not in line:
                    self.questions[zone[1]][address] += 1
        elif address == PRIMARY and (match := re.search(r"updating zone '(z\d+\.test)/IN': adding an RR at '_", line)):
            zone = match[1]
            if zone not in self.added:
                self.added[zone] = now
                threading.Timer(max(0, self.lag[zone] - (time.time() - now)), self.transfer, [zone]).start()
        elif address == SECONDARY and (match := re.search(r"zone (z\d+\.test)/IN: transferred serial", line)):
            with self.event:
                self.served.setdefault(match[1], now)
                self.event.notify_all()

    def hear_ca(self, now, line):
        if "Pulled a task" in line and (match := re.search(r"(z\d+\.test)", line)):
            with self.event:
                self.told.setdefault(match[1], now)
                self.event.notify_all()

    def transfer(self, zone):
        command = ["rndc", "-c", self.folder / "rndc.conf", "-s", SECONDARY, "-p", "953", "retransfer", zone]
        subprocess.run(command, check=True, capture_output=True)

    def until(self, true, seconds):
        deadline = time.time() + seconds
        with self.event:
            while not true():
                if time.time() >= deadline:
                    return False
                self.event.wait(1)
        return True

    def stop(self):
        for server in reversed(self.servers):
            server.stop()


def head(zone):
    return f"$ORIGIN {zone}.\n$TTL 60\n@ SOA ns1.test. admin 1 86400 3600 604800 60\n@ NS ns1.test.\n@ NS ns2.test.\n"


def publish(zone, names):
    changes = "".join(f'update add {name}. 60 TXT "{VALUE}"\n' for name in names)
    text = f"server {PRIMARY} 53\nzone {zone}\n{changes}send\n"
    subprocess.run(["nsupdate", "-v", "-y", f"hmac-sha256:bench:{SECRET}"], input=text, text=True, check=True, capture_output=True)


def dv_verify_knowing(laboratory, zone, count):
    """The same for a zone whose delay was measured before, within a tenth."""
    return dv_verify(laboratory, zone, count, ["--measured", str(laboratory.lag[zone] * random.uniform(0.9, 1.1))])


def dv_verify(laboratory, zone, count, more=()):
    """Publishes, then waits; returns when the last name was noticed, and how long the program says that it waited."""
    names = [f"_acme-challenge.{zone}"] if count == 1 else [f"_acme-challenge.h{number}.{zone}" for number in range(count)]
    publish(zone, names)
    if laboratory.lag[zone] < 0:
        laboratory.transfer(zone)
        laboratory.until(lambda: zone in laboratory.served, 30)
    command = [NOTICE, "--resolver", f"{RESOLVER}:53", "--value", VALUE, *more, *names]
    result = subprocess.run(command, text=True, capture_output=True)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if result.returncode != 0 or len(lines) != count:
        sys.exit(f"notice: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return max(line["noticed"] for line in lines), max(line["waited"] for line in lines)


def lego(laboratory, zone, _):
    variables = {
        "LEGO_CA_CERTIFICATES": laboratory.folder / "ca.pem", "RFC2136_NAMESERVER": f"{PRIMARY}:53", "RFC2136_TSIG_KEY": "bench",
        "RFC2136_TSIG_SECRET": SECRET, "RFC2136_TSIG_ALGORITHM": "hmac-sha256.", "RFC2136_PROPAGATION_TIMEOUT": "300",
    }  # fmt: skip
    command = ["lego", "--server", "https://127.0.0.1:14000/dir", "--accept-tos", "--email", "a@bench.test", "--path"]
    command += [laboratory.folder / f"lego-{zone}", "--dns", "rfc2136", "--dns.resolvers", f"{RESOLVER}:53", "-d", zone, "run"]
    return by_acme(laboratory, zone, command, variables)


def certbot(laboratory, zone, _):
    place = laboratory.folder / f"certbot-{zone}"
    place.mkdir()
    credentials = place / "credentials.ini"
    credentials.write_text(
        f"dns_rfc2136_server = {PRIMARY}\ndns_rfc2136_port = 53\ndns_rfc2136_name = bench\ndns_rfc2136_secret = {SECRET}\n"
        "dns_rfc2136_algorithm = HMAC-SHA256\n"
    )
    credentials.chmod(0o600)
    command = ["certbot", "certonly", "--non-interactive", "--agree-tos", "-m", "a@bench.test", "--server"]
    command += ["https://127.0.0.1:14000/dir", "--dns-rfc2136", "--dns-rfc2136-credentials", credentials, "-d", zone]
    for option in ("config", "work", "logs"):
        command += [f"--{option}-dir", place / option]
    return by_acme(laboratory, zone, command, {"REQUESTS_CA_BUNDLE": laboratory.folder / "ca.pem"})


def by_acme(laboratory, zone, command, variables):
    environment = {**os.environ, **{name: str(value) for name, value in variables.items()}}
    result = subprocess.run(command, text=True, capture_output=True, env=environment, stdin=subprocess.DEVNULL)
    if not laboratory.until(lambda: zone in laboratory.told, 2):
        sys.exit(f"{command[0]} never told the CA, exit code {result.returncode}\n{result.stdout}{result.stderr}")
    laboratory.until(lambda: zone in laboratory.served, 200)
    return laboratory.told[zone], None


KNOWING = "dv-verify, delay known"
TOOLS = {"dv-verify": dv_verify, KNOWING: dv_verify_knowing, "lego": lego, "certbot": certbot}


class Run:
    """One measurement: a tool, a lag, so many names, and what came of it."""

    def __init__(self, number, tool, lag, names=1):
        self.zone, self.tool, self.lag, self.names = f"z{number}.test", tool, lag, names

    def perform(self, laboratory):
        # Not all at once, and at no fixed phase.
        time.sleep(random.uniform(0, 6))
        self.began = time.time()
        noticed, self.waited = TOOLS[self.tool](laboratory, self.zone, self.names)
        self.late = noticed - laboratory.served[self.zone]
        self.after = noticed - laboratory.added[self.zone]
        self.questions = dict(laboratory.questions[self.zone])
        print(f"{self.tool} lag {self.lag} names {self.names}: {self.late:+.3f} s, {self.questions}", flush=True)
        return self


def plan(quick):
    counts = {"dv-verify": [40, 40, 40, 40, 60, 25], KNOWING: [0, 0, 0, 0, 20, 20], "lego": [4, 4, 4, 4, 3, 2], "certbot": [2, 2, 2, 2, 2, 2]}
    wanted = []
    for tool, each in counts.items():
        if tool in ("dv-verify", KNOWING) or shutil.which(tool):
            wanted += [(tool, lag, 1) for lag, count in zip(LAGS, each) for _ in range(min(count, 1) if quick else count)]
    wanted += [("dv-verify", -1, 1)] * (2 if quick else 10)
    if quick:
        wanted = [run for run in wanted if run[1] < 10] + [("dv-verify", 3.2, MANY)]
    else:
        wanted += [("dv-verify", lag, MANY) for lag in MANY_LAGS for _ in range(3)]
    wanted.sort(key=lambda run: -run[1] if run[0] != "certbot" else -max(run[1], 70))
    return [Run(number, *run) for number, run in enumerate(wanted)]


def missed(of):
    """Sentences about the aims that these runs miss."""
    found = []
    for tool in ("dv-verify", KNOWING):
        for lag in LAGS:
            late = [run.late for run in of(tool, lag)]
            aims = (0.25, 0.5) if lag < 10 else (lag * 0.05, lag * 0.1)
            for word, value, aim in zip(("median", "worst"), (statistics.median(late), max(late)) if late else (), aims):
                if value > aim:
                    found.append(f"{tool} at {lag} s: {word} {seconds(value)} instead of {seconds(aim)}")
            if most := max((count for run in of(tool, lag) for count in run.questions.values()), default=0):
                if most > 60:
                    found.append(f"{tool} at {lag} s: {most} questions to one server, instead of 60 in two minutes")
    for lag in MANY_LAGS:
        if runs := of("dv-verify", lag, MANY):
            times, per_name = beside_one(runs, of("dv-verify", lag))
            if times > 1.2 or per_name >= 10:
                found.append(f"{MANY} names at {lag} s: {times:.2f} times, {per_name:.1f} questions per name")
    return ["", "Missed in these runs: " + ("; ".join(found) if found else "none") + "."]


def beside_one(runs, singles):
    """How much longer many names take than one (medians), and the most questions per name."""
    one = statistics.median(single.after for single in singles)
    return statistics.median(run.after for run in runs) / one, max(sum(run.questions.values()) / run.names for run in runs)


def seconds(value):
    return f"{value * 1000:.0f} ms" if abs(value) < 0.9995 else f"{value:.2f} s"


def report(runs, took):
    of = lambda tool, lag, names=1: [run for run in runs if (run.tool, run.lag, run.names) == (tool, lag, names)]
    lines = [
        "# How late a record is noticed", "",
        "Made by `bench/propagation/run.py`, which says what is measured and how. Everything on loopback, one primary and one secondary that",
        "lags; each run has a zone of its own. `late` is the time from the moment the last authority serves the value to the moment the tool is",
        "satisfied. A run is *too early* when the tool was satisfied before that: a false green.", "",
        "| lag | tool | runs | late, median | late, worst | too early | questions to the primary, most | to the secondary, most |",
        "|---:|---|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for lag in LAGS:
        for tool in TOOLS:
            if these := of(tool, lag):
                early = [run for run in these if run.late < -TOLERANCE]
                late = [run.late for run in these if run not in early]
                shown = [seconds(max(0, statistics.median(late))), seconds(max(0, *late, 0))] if late else ["–", "–"]
                most = [str(max(run.questions.get(address, 0) for run in these)) for address in (PRIMARY, SECONDARY)]
                lines.append(f"| {lag} s | " + " | ".join([tool, str(len(these)), *shown, str(len(early)), *most]) + " |")
    lines += [
        "", "Aims of the project: median 250 ms and worst 500 ms for lags below ten seconds; above, median 5 % and worst 10 % of the lag",
        "(31 s: 1.6 s and 3.1 s; 121 s: 6.1 s and 12.1 s); at most 60 questions per authority in a wait of two minutes; no false green.",
        *missed(of), "",
        "Questions are all that the tool itself sent to the server about names in the zone, those for SOA and NS included; what it had its",
        "resolver ask is not counted. The secondary's own questions to the primary (its transfers) are in the first number of all tools.", "",
        "## Green at once", "",
    ]  # fmt: skip
    at_once = of("dv-verify", -1)
    if at_once:
        most = {address: max(run.questions.get(address, 0) for run in at_once) for address in (PRIMARY, SECONDARY)}
        lines.append(
            f"Both servers show the value before dv-verify begins: {len(at_once)} runs, median {seconds(statistics.median(run.waited for run in at_once))} "
            f"from an empty memory to green, discovery through the resolver included; at most {most[PRIMARY]} and {most[SECONDARY]} questions in the zone."
        )
    lines += ["", "## Many names of one zone", ""]
    lines += ["| lag | names | runs | from the update to the last name, median | beside one name | questions per name, both servers, most |", "|---:|---:|---:|---:|---:|---:|"]
    for lag in MANY_LAGS:
        if these := of("dv-verify", lag, MANY):
            times, per_name = beside_one(these, of("dv-verify", lag))
            after = statistics.median(run.after for run in these)
            lines.append(f"| {lag} s | {MANY} | {len(these)} | {after:.1f} s | {times:.2f} times | {per_name:.1f} |")
    lines += [
        "", "The aims are 1.2 times, and fewer than ten questions per name. Each name is confirmed by an answer of its own at each server. In any",
        "second a server gets at most 400 questions (`src/propagation/peer.rs`), so the last of 300 names follows the",
        "first by 0.75 s: 1.2 times can be had from a lag of about three seconds on.",
    ]  # fmt: skip
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = int(re.search(r"MemTotal:\s+(\d+)", open("/proc/meminfo").read())[1]) / 1048576
    packages = ["bind9", "unbound", "pebble", "lego", "certbot", "python3-certbot-dns-rfc2136"]
    known = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages], text=True, capture_output=True)
    versions = known.stdout.splitlines()
    absent = [tool for tool in ("lego", "certbot") if not shutil.which(tool)]
    lines += [
        "", "## How this came about", "",
        f"- {datetime.date.today()}, {took / 60:.1f} minutes for {len(runs)} runs, up to {AT_A_TIME} at a time.",
        f"- {os.cpu_count()} CPUs ({model}), {memory:.1f} GiB, Linux {platform.release()}. Load at the end {os.getloadavg()[0]:.1f}: other builds may run on",
        f"  the same machine, which makes worst cases worse, not better. All ran at niceness {os.nice(0)}. dv-verify is a release build.",
        "- Debian packages: " + "; ".join(versions) + ".",
        "- dv-verify knows nothing of the delay, except in the rows that say so: there one earlier delay is known, within a tenth.",
        "- lego with its defaults (every 2 s, first after 2 s), but a time-out of 300 s instead of 60 s, without which it gives up on 121 s.",
        "- Above ten seconds lego notices sooner: it goes on every 2 s for as long as it waits. dv-verify thins out, so that an hour costs few questions.",
        "- certbot with its default for rfc2136: it sleeps 60 s and looks at nothing, so a lag of 121 s makes it tell the CA too early.",
        "- Left out: acme.sh, which neither Debian 12 nor PyPI nor npm has as a package of its own" + "".join(f"; {tool}, not installed" for tool in absent) + ". By its",
        "  documentation it sleeps 20 s and then asks one public DoH resolver, which a closed network does not have.",
        "- The others are measured to the moment the CA hears of it, dv-verify to the moment it says so; between these lie a few milliseconds.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one run of each short lag, no report")
    quick = parser.parse_args().quick
    if INSIDE not in os.environ:
        if os.geteuid() != 0:
            sys.exit("must be root, for namespaces of its own")
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    if not NOTICE.exists():
        sys.exit(f"{NOTICE} is missing: cargo build --release --example notice")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (PRIMARY, SECONDARY, RESOLVER):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    runs, began = plan(quick), time.time()
    with tempfile.TemporaryDirectory(prefix="dv-bench-") as folder:
        folder = pathlib.Path(folder)
        # lego looks up the servers' addresses through the system's resolver. Seen in this mount namespace only.
        (folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
        subprocess.run(["mount", "--bind", folder / "resolv.conf", os.path.realpath("/etc/resolv.conf")], check=True)
        laboratory = Laboratory(folder, [run.zone for run in runs])
        try:
            laboratory.lag = {run.zone: run.lag if run.lag >= 0 else -1 for run in runs}
            done = []
            for at_a_time, chosen in ((AT_A_TIME, lambda run: run.names == 1), (MANY_AT_A_TIME, lambda run: run.names > 1)):
                with concurrent.futures.ThreadPoolExecutor(at_a_time) as pool:
                    done += pool.map(lambda run: run.perform(laboratory), filter(chosen, runs))
        finally:
            laboratory.stop()
            subprocess.run(["umount", os.path.realpath("/etc/resolv.conf")], check=False)
    if not quick:
        (HERE / "RESULTS.md").write_text(report(done, time.time() - began))


if __name__ == "__main__":
    main()
