#!/usr/bin/env python3
"""Measures the same ACME orders with dv-verify, lego, certbot and uacme, in turn; writes RESULTS.md and one-order.svg beside this file.

    cargo build --release && python3 bench/peers/run.py [--quick]

Needs root, and these packages of Debian; a tool that is not installed is left out:

    apt-get install --no-install-recommends bind9 bind9-dnsutils unbound pebble openssl iproute2 nftables lego certbot python3-certbot-dns-rfc2136 uacme

Every run is of new names, written by DNS UPDATE; accounts are registered before. See lab.py for what stands around the tools.
"""

import argparse
import datetime
import itertools
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import lab
import picture

HERE = pathlib.Path(__file__).resolve().parent
PROGRAM = HERE.parent.parent / "target" / "release" / "dv-verify"
INSIDE = "DV_BENCH_INSIDE"
SERVERS = " ".join((lab.PRIMARY, lab.SECOND, lab.THIRD))
numbers = itertools.count()


class Tool:
    def __init__(self, name, program, runs, lags):
        self.name, self.program, self.runs, self.lags = name, program, runs, lags


# certbot sleeps 60 s whatever the lag is: one lag says all.
TOOLS = [
    Tool("dv-verify", str(PROGRAM), 15, (0, 3)),
    Tool("lego", "lego", 5, (0, 3)),
    Tool("uacme, own hook", "uacme", 5, (0, 3)),
    Tool("uacme, shipped hook", "uacme", 3, (0, 3)),
    Tool("certbot", "certbot", 2, (3,)),
]


def environment(home):
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(home), "LANG": "C.UTF-8",
        "DV_CA": lab.CA, "DV_PROVIDER": "rfc2136", "DV_RFC2136_NAMESERVER": f"{lab.RELAY}:53", "DV_RFC2136_TSIG_KEY": "bench",
        "DV_RFC2136_TSIG_SECRET": lab.SECRET, "DV_RESOLVER": lab.RESOLVER,
        "LEGO_CA_CERTIFICATES": "/etc/ssl/certs/ca-certificates.crt", "RFC2136_NAMESERVER": f"{lab.RELAY}:53", "RFC2136_TSIG_KEY": "bench",
        "RFC2136_TSIG_SECRET": lab.SECRET, "RFC2136_TSIG_ALGORITHM": "hmac-sha256.",
        "REQUESTS_CA_BUNDLE": "/etc/ssl/certs/ca-certificates.crt",
        "BENCH_KEY": f"hmac-sha256:bench:{lab.SECRET}", "BENCH_PRIMARY": lab.RELAY, "BENCH_SERVERS": SERVERS,
    }  # fmt: skip


def command(tool, home, names):
    """The command line for one certificate of one name."""
    name = names[0]
    match tool.name:
        case "dv-verify":
            return [tool.program, "apply", "-q", name]
        case "lego":
            return ["lego", "--server", lab.CA, "--accept-tos", "--email", "a@bench.test", "--path", str(home / "lego"), "--dns", "rfc2136",
                    "--dns.resolvers", f"{lab.RESOLVER}:53", "-d", name, "run"]  # fmt: skip
        case "certbot":
            folders = [part for option in ("config", "work", "logs") for part in (f"--{option}-dir", str(home / "certbot" / option))]
            return ["certbot", "certonly", "--non-interactive", "--agree-tos", "-m", "a@bench.test", "--server", lab.CA, "--dns-rfc2136",
                    "--dns-rfc2136-credentials", str(home / "certbot.ini"), *folders, "-d", name]  # fmt: skip
        case _:
            hook = HERE / "uacme-hook.sh" if "own" in tool.name else home / "nsupdate.sh"
            return ["uacme", "-a", lab.CA, "-c", str(home / "uacme"), "-h", str(hook), "-t", "EC", "issue", name]


def prepare(tools, home):
    (home / "certbot.ini").write_text(
        f"dns_rfc2136_server = {lab.RELAY}\ndns_rfc2136_port = 53\ndns_rfc2136_name = bench\ndns_rfc2136_secret = {lab.SECRET}\ndns_rfc2136_algorithm = HMAC-SHA256\n"
    )
    (home / "certbot.ini").chmod(0o600)
    (home / "bench.key").write_text(f'key "bench" {{ algorithm hmac-sha256; secret "{lab.SECRET}"; }};\n')
    shipped = pathlib.Path("/usr/share/uacme/nsupdate.sh")
    if shipped.exists():
        (home / "nsupdate.sh").write_text(shipped.read_text().replace("RNDC_KEY_NSUPDATE=\n", f"RNDC_KEY_NSUPDATE={home}/bench.key\n"))
        (home / "nsupdate.sh").chmod(0o755)
    subprocess.run(["chown", "-R", str(lab.USER), home], check=True)
    if any(tool.program == "uacme" for tool in tools):
        subprocess.run(["uacme", "-a", lab.CA, "-c", str(home / "uacme"), "-y", "new"], env=environment(home), user=lab.USER, group=lab.USER, check=True)


def single(laboratory, tool, home, lag):
    label = f"s{next(numbers)}"
    return laboratory.measure(command(tool, home, [f"{label}.{lab.ZONE}"]), environment(home), [label], lag)


def many(laboratory, tool, home, count, lag):
    """So many separate certificates at once: dv-verify with a list, lego with 50 processes."""
    labels = [f"m{next(numbers)}" for _ in range(count)]
    names = [f"{label}.{lab.ZONE}" for label in labels]
    (home / "list").write_text("\n".join(names) + "\n")
    if tool.name == "dv-verify":
        line = [tool.program, "apply", "-q", "--list", str(home / "list")]
    else:
        line = ["xargs", "-a", str(home / "list"), "-P", "50", "-n", "1", *command(tool, home, ["NAME"])]
        line = [part if part != "NAME" else "{}" for part in line]
        line[line.index("-n") : line.index("-n") + 2] = ["-I", "{}"]
    return laboratory.measure(line, environment(home), labels, lag)


def seconds(value):
    return "–" if value is None else f"{value:.2f}"


def row(head, runs):
    of = lambda key: statistics.median(run[key] for run in runs)
    walls = [run["wall"] for run in runs]
    late = [run["late"] for run in runs if run["late"] is not None]
    good = sum(run["code"] == 0 for run in runs)
    return (
        f"| {head} | {good}/{len(runs)} | {of('wall'):.2f} | {min(walls):.2f}–{max(walls):.2f} | {seconds(statistics.median(late) if late else None)} | "
        f"{sum(run['early'] for run in runs)} | {of('cpu'):.2f} | {of('rss'):.0f} | {of('dns'):.0f} | {of('requests'):.0f} | {of('connections'):.0f} |"
    )


def report(singles, batches):
    columns = "| ok | wall s | least–most | late s | too early | CPU s | memory MiB | DNS messages | CA requests | CA connections |"
    lines = [
        "# The same orders with other tools", "",
        "Made by `bench/peers/run.py`, which says how. Three name servers on loopback, of which two show each change so much later (*lag*); medians. *late* is the",
        "time from the moment the last name server shows the value to the moment the CA is told to look; *too early*: the CA was told before. Memory is the",
        "highest sum over all processes of the tool. DNS messages are UDP datagrams and TCP connections to port 53.", "",
        "![Seconds for one certificate](one-order.svg)", "",
        "## One order", "", f"| tool | lag s {columns}", "|---|---:|" + "---:|" * 10,
    ]  # fmt: skip
    lines += [row(f"{tool} | {lag}", runs) for (tool, lag), runs in singles.items()]
    ours = {lag: statistics.median(run["wall"] for run in runs) for (tool, lag), runs in singles.items() if tool == "dv-verify"}
    ratios = [
        f"{tool} takes {statistics.median(run['wall'] for run in runs) / ours[lag]:.1f} times as long at {lag} s"
        for (tool, lag), runs in singles.items()
        if tool != "dv-verify" and lag in ours
    ]
    lines += ["", "Beside dv-verify: " + "; ".join(ratios) + ".", "", "## Many orders in one go", "", f"| tool | orders, lag s {columns}", "|---|---:|" + "---:|" * 10]
    lines += [row(f"{tool} | {count}, {lag}", [run]) for (tool, count, lag), run in batches.items()]
    packages = ["bind9", "unbound", "pebble", "lego", "certbot", "python3-certbot-dns-rfc2136", "uacme"]
    versions = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages], text=True, capture_output=True).stdout.splitlines()
    ours = subprocess.run([PROGRAM, "--version"], text=True, capture_output=True).stdout.strip()
    load = os.getloadavg()
    lines += [
        "", "## How this came about", "",
        f"- {datetime.date.today()}, {os.cpu_count()} CPUs, Linux {platform.release()}; load {load[2]:.1f} over the last quarter of an hour: the machine is shared, so compare ratios.",
        f"- {ours} (release build); Debian packages: " + "; ".join(versions) + ". lego's current line is 5; Debian 12 has 4.9.",
        "- Pebble without random pauses, without refused nonces and without reuse of authorizations: what is measured are the tools. It has one processor: Pebble 2.4 can lock itself up where two orders are made at the same moment.",
        "- lego, certbot with their defaults for rfc2136 (lego asks every 2 s, certbot sleeps 60 s and asks nobody); the many orders of lego by `xargs -P 50`.",
        "- uacme with the hook that Debian ships, and with `uacme-hook.sh` here, which asks once a second.",
        "- Left out: acme.sh, which is in no package archive that this can install from; dehydrated, which needs a hook as uacme does.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def drawn(singles):
    """The picture: medians of one order, by lag."""
    median = lambda runs: statistics.median(run["wall"] for run in runs)
    groups = [
        (f"One certificate, the name servers follow {'at once' if lag == 0 else f'after {lag} s'}", [(tool, median(runs)) for (tool, at), runs in singles.items() if at == lag])
        for lag in sorted({lag for _, lag in singles})
    ]
    return picture.draw(groups, f"Seconds from start to certificate, medians, {datetime.date.today()}, one machine; bench/peers/RESULTS.md")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="dv-verify alone, and no report")
    parser.add_argument("--program", type=pathlib.Path, help="another build of dv-verify")
    arguments = parser.parse_args()
    if INSIDE not in os.environ:
        if os.geteuid() != 0:
            sys.exit("must be root, for namespaces of its own")
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    if arguments.program:
        TOOLS[0].program = str(arguments.program)
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for address in (lab.PRIMARY, lab.SECOND, lab.THIRD, lab.RELAY, lab.RESOLVER):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    tools = [tool for tool in TOOLS if shutil.which(tool.program)]
    tools = tools[:1] if arguments.quick else tools
    with tempfile.TemporaryDirectory(prefix="dv-bench-") as folder:
        folder = pathlib.Path(folder)
        folder.chmod(0o755)
        home = folder / "home"
        home.mkdir()
        laboratory = lab.Laboratory(folder)
        # Seen in this mount namespace only: the resolver, and a CA that every tool trusts.
        trusted = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")
        (folder / "resolv.conf").write_text(f"nameserver {lab.RESOLVER}\n")
        (folder / "trusted.pem").write_text(trusted.read_text() + (folder / "ca.pem").read_text())
        mounts = {folder / "resolv.conf": os.path.realpath("/etc/resolv.conf"), folder / "trusted.pem": os.path.realpath(trusted)}
        for source, target in mounts.items():
            subprocess.run(["mount", "--bind", source, target], check=True)
        try:
            prepare(tools, home)
            for tool in tools:
                single(laboratory, tool, home, 0)
            singles = {}
            for tool in tools:
                for lag in tool.lags:
                    runs = [single(laboratory, tool, home, lag) for _ in range(tool.runs)]
                    singles[tool.name, lag] = runs
                    print(row(f"{tool.name} | {lag}", runs), flush=True)
            batches = {}
            # The thousand last: they leave the CA with more orders than the others have to do with.
            lego = [tool for tool in tools if tool.name == "lego"]
            for tool, count, lag in [(tools[0], 100, 3), *((tool, 100, 3) for tool in lego), (tools[0], 1000, 3)][: 1 if arguments.quick else None]:
                run = batches[tool.name, count, lag] = many(laboratory, tool, home, count, lag)
                print(row(f"{tool.name} | {count}, {lag}", [run]), flush=True)
                if run["code"]:
                    print((folder / "tool.log").read_text(errors="replace")[-3000:], flush=True)
            if not arguments.quick:
                (HERE / "RESULTS.md").write_text(report(singles, batches))
                (HERE / "one-order.svg").write_text(drawn(singles))
            elif any(run["code"] for runs in singles.values() for run in runs):
                sys.stdout.write((folder / "tool.log").read_text(errors="replace")[-5000:])
        finally:
            laboratory.stop()
            for target in mounts.values():
                subprocess.run(["umount", target], check=False)


if __name__ == "__main__":
    main()
