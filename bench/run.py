#!/usr/bin/env python3
"""Measures start-up, size, memory, one journey and many orders against the sandbox, and writes bench/RESULTS.md.

    cargo build --release && python3 bench/run.py [--orders 500] [--quick]

Standard library only. Everything runs on loopback. Each figure is the median of several runs; the machine is named in the results.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BINARY = ROOT / "target" / "release" / "dv-verify"


class Sandbox:
    """`dv-verify sandbox` in the background, and the variables that lead to it."""

    def __init__(self, *options):
        self.process = subprocess.Popen(
            [BINARY, "sandbox", *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.variables = {}
        while "DV_SANDBOX_CONTROL" not in self.variables:
            line = self.process.stdout.readline()
            if not line:
                sys.exit("the sandbox ended at once")
            if line.startswith("export "):
                for pair in shlex.split(line)[1:]:
                    name, _, value = pair.partition("=")
                    self.variables[name] = value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()

    def call(self, path, body=None):
        url = self.variables["DV_SANDBOX_CONTROL"].rstrip("/") + path
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data=data, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request) as reply:
            return json.load(reply)

    def order(self, generation, *domains):
        return self.call("/orders", {"generation": generation, "domains": list(domains)})


def run(arguments, variables, home):
    """Runs the program; returns wall seconds, CPU seconds, peak memory in MiB, exit code and standard error."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1", **variables}
    # As root the state folder would be the machine's own.
    environment.setdefault("DV_STORE", f"{home}/state/store.db")
    environment.setdefault("DV_OUT", f"{home}/state/certificates")
    with tempfile.TemporaryFile("w+") as errors:
        began = time.perf_counter()
        process = subprocess.Popen(
            [BINARY, *arguments], env=environment, stdout=subprocess.DEVNULL, stderr=errors, stdin=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode, errors.read()


def must(result):
    if result[3] != 0:
        errors = "".join(line for line in result[4].splitlines(keepends=True) if "error" in line)
        sys.exit(f"exit code {result[3]}\n{result[4][-2000:]}\n{errors[:4000]}")
    return result


def milliseconds(command, times):
    """The median wall time of a command, with no home folder: nothing but the program counts."""
    walls = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, env={}, check=True)
        walls.append(time.perf_counter() - began)
    return statistics.median(walls) * 1000


def starts(times):
    """What is done before any work: rows of the table."""
    version, true = milliseconds([BINARY, "--version"], times), milliseconds(["/bin/true"], times)
    providers = milliseconds([BINARY, "providers", "list"], times)
    count = len(subprocess.run([BINARY, "providers", "list"], capture_output=True, env={}, check=True).stdout.splitlines()) - 1
    return [
        ("`dv-verify --version`, wall", f"{version:.1f} ms (`/bin/true`: {true:.1f} ms)", "under 10 ms"),
        (f"`dv-verify providers list`, {count} providers: wall", f"{providers:.1f} ms", "under 50 ms"),
    ]


def one_order(times):
    results = []
    with Sandbox("--lag", "0s") as sandbox:
        for number in range(times):
            sandbox.order("2018", f"one-{number}.example.com")
            with tempfile.TemporaryDirectory() as home:
                results.append(must(run(["--provider", "cloudflare"], sandbox.variables, home)))
    return [statistics.median(column) for column in zip(*(result[:3] for result in results))]


def many_orders(count, rate):
    with Sandbox("--lag", "0s") as sandbox:
        for number in range(count):
            sandbox.order("2018", f"many-{number}.example.com")
        before = sum(sandbox.call("/state")["calls"].values())
        with tempfile.TemporaryDirectory() as home:
            wall, cpu, memory, _, _ = must(
                run(["--provider", "cloudflare", "--api", "2018", "--rate", str(rate)], sandbox.variables, home)
            )
        state = sandbox.call("/state")
        return wall, cpu, memory, sum(state["calls"].values()) - before, state["calls"], len(state["records"])


def of_peers():
    """The tables of peers/RESULTS.md, without the columns that say more than who was faster."""
    lines = (ROOT / "bench" / "peers" / "RESULTS.md").read_text().splitlines()
    cells = [line.strip("| ").split("|") for line in lines if line.startswith("|") and not line.startswith("|---")]
    chosen = (0, 1, 2, 3, 5, 7, 8, 9)
    rows = [[row[column].strip() for column in chosen] for row in cells if row[0].strip() != "tool"]
    head = ["tool", "orders, lag s", "ok", "wall s", "late s", "CPU s", "memory MiB", "DNS messages"]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *([row[0], row[1] if "," in row[1] else f"1, {row[1]}", *row[2:]] for row in rows)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--start", action="store_true", help="only what is done before any work; nothing is written")
    parser.add_argument("--quick", action="store_true", help="few repetitions, nothing is written")
    chosen = parser.parse_args()
    times = 3 if chosen.quick else 11
    size = BINARY.stat().st_size / 1_000_000
    start = starts(times * 3)
    if chosen.start:
        print("\n".join(f"| {a} | {b} | {c} |" for a, b, c in start))
        return
    journey = one_order(times)
    many = many_orders(chosen.orders, 10)
    wall, cpu, memory, calls, by_action, left = many
    pages = sum(number for action, number in by_action.items() if "List" in action)
    least = 2 * chosen.orders + pages
    rows = [
        *start,
        ("release binary", f"{size:.1f} MB", "under 20 MB"),
        ("one order, no lag, defaults: wall", f"{journey[0]:.2f} s", "under 3 s"),
        ("one order: CPU", f"{journey[1]:.2f} s", "–"),
        ("one order: peak memory", f"{journey[2]:.1f} MiB", "under 30 MB"),
        (f"{chosen.orders} orders, 10 calls/s: wall", f"{wall:.1f} s", f"under {1.1 * least / 10:.1f} s (1.1 × (2 × {chosen.orders} + {pages} list pages) / 10)"),
        (f"{chosen.orders} orders: CPU", f"{cpu:.1f} s", "–"),
        (f"{chosen.orders} orders: peak memory", f"{memory:.1f} MiB", "under 100 MB"),
        (f"{chosen.orders} orders: calls to CAS", f"{calls} ({calls / chosen.orders:.2f} per order)", "–"),
        (f"{chosen.orders} orders: records left", str(left), "0"),
    ]
    table = "\n".join(["| what | measured | aim |", "|---|---|---|", *(f"| {a} | {b} | {c} |" for a, b, c in rows)])
    print(table)
    print(json.dumps(by_action))
    if chosen.quick:
        return
    cores = os.cpu_count()
    today = datetime.date.today().isoformat()
    (ROOT / "bench" / "RESULTS.md").write_text(
        f"""# Results

Made by `cargo build --release && python3 bench/run.py` on {today}: {cores} cores, Linux {platform.release()}, loopback only, medians of {times} runs
({times * 3} for `--version` and `providers list`; one for the many orders). The machine is shared: compare ratios, not single figures.

{table}

Calls of the many orders by action: {", ".join(f"`{action}` {number}" for action, number in sorted(by_action.items()))}.

## The same ACME orders with lego, uacme and certbot

![Seconds for one certificate](peers/one-order.svg)

{of_peers()}

All columns, versions, and how to make them again: [peers/RESULTS.md](peers/RESULTS.md).

## More

- How late a record is noticed, beside lego and certbot, and 300 names of one zone: [propagation/RESULTS.md](propagation/RESULTS.md).
- Watches, fleets on PostgreSQL, the store, and a watch with nothing to do: [fleet/RESULTS.md](fleet/RESULTS.md).
- Calls to CAS for each issued order: [calls/RESULTS.md](calls/RESULTS.md).
"""
    )


if __name__ == "__main__":
    main()
