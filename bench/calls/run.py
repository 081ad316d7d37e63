#!/usr/bin/env python3
"""Counts the calls to CAS for each issued order, against the least that is possible, and writes bench/calls/RESULTS.md.

    cargo build --release && python3 bench/calls/run.py [--orders 1,100,5000] [--rate 10] [--only apply] [--dry]

Standard library only, everything on loopback: the sandbox plays CAS, name servers, DNS provider and CA, and counts by itself. Each row is one run of the program in a
sandbox of its own, for orders that wait for validation (`verify`) or for instances that are free (`apply --list`). Each row is kept in results.json beside this file, so
that rows can be measured at different times; RESULTS.md shows all that there are.

The least. Finding the orders takes the pages of their lists. Each order is read once for its challenge and once when it is issued; of an instance the certificate is a
call of its own (GetUserCertificateDetail); of an application come UpdateInstance and ApplyCertificate. Nobody who is not told by other means knows the moment of issue, so
at least one page of the list of those that wait is read in between for each hundred (fifty) of them; where a generation has no such list, each order is read.
"""

import argparse
import concurrent.futures
import datetime
import json
import math
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import run as bench

# The rows: what is run, the generation, the calls that each order costs at least, and the lists: (action, rows of a page).
ROWS = [
    ("verify, instances", "instance", 3, 100),
    ("verify, orders of packages", "order", 2, 50),
    ("verify, 2018", "2018", 2, 50),
    ("apply --list, instances", "apply", 5, 100),
]


def least(generation, each, page, orders):
    """Calls for so many orders, and how they are made up."""
    pages = math.ceil(orders / page)
    # Of packages two kinds of orders are listed. The list of 2018 cannot be trusted for states.
    lists = {"instance": pages, "order": pages + 1, "2018": pages, "apply": pages}[generation]
    looks = {"instance": pages, "order": pages + 1, "2018": 0, "apply": pages}[generation] if orders >= 5 else 0
    return each * orders + lists + looks


def names(number):
    return f"n{number}.example.com"


def measure(generation, orders, rate, issue_delay):
    """One run; returns calls by action, seconds, and how many orders were issued."""
    with bench.Sandbox("--lag", "0s", "--issue-delay", f"{issue_delay}s") as sandbox:
        kind = "instance" if generation == "apply" else generation
        traits = {"submitted": False} if generation == "apply" else {}
        every = [{"generation": kind, "domains": [names(number)], "traits": traits} for number in range(orders)]
        for first in range(0, orders, 500):
            sandbox.call("/orders", every[first : first + 500])
        with tempfile.TemporaryDirectory() as home:
            arguments = ["--provider", "cloudflare", "--rate", str(rate), "--timeout", "6h", "--propagation-timeout", "4h"]
            if generation == "apply":
                path = pathlib.Path(home) / "list.txt"
                path.write_text("".join(names(number) + "\n" for number in range(orders)))
                arguments = ["apply", "--list", str(path), *arguments]
            else:
                arguments = [*arguments, "--api", generation]
            wall = bench.must(bench.run(arguments, sandbox.variables, home))[0]
        state = sandbox.call("/state")
        issued = sum(1 for order in state["orders"] if order["stage"] == "issued")
        if issued != orders or state["records"]:
            sys.exit(f"{issued} of {orders} orders are issued, {len(state['records'])} records are left")
        return state["calls"], wall


def entry(row, orders, calls, wall, rate, issue_delay):
    """What is kept of a row."""
    what, _, each, page = row
    return {
        "day": datetime.date.today().isoformat(),
        "what": what,
        "orders": orders,
        "rate": rate,
        "issue_delay": issue_delay,
        "calls": dict(sorted(calls.items())),
        "least": least(row[1], each, page, orders),
        "wall": wall,
    }


def line(kept):
    """A row of the table."""
    total, orders, minimum = sum(kept["calls"].values()), kept["orders"], kept["least"]
    return (
        f"| {kept['what']} | {orders} | {kept['rate']} | {kept['issue_delay']} s | {total} | {total / orders:.2f} | {minimum} ({minimum / orders:.2f}) "
        f"| {total / minimum:.2f} | {kept['wall']:.0f} s | {kept['day']} |"
    )


def show(results):
    """RESULTS.md."""
    details = [
        f"- {kept['what']}, {kept['orders']}: " + ", ".join(f"`{action}` {count}" for action, count in kept["calls"].items())
        for kept in results
    ]
    return "\n".join(
        [
            "# Calls for each issued order",
            "",
            "Made by `cargo build --release && python3 bench/calls/run.py`, against the sandbox, one run for each row, those of the same number beside one another.",
            "What counts as the least stands in the script.",
            "",
            "| what | orders | calls a second | from record to certificate | calls | for each order | least | times the least | wall | day |",
            "|---|---|---|---|---|---|---|---|---|---|",
            *map(line, results),
            "",
            "By action:",
            "",
            *details,
            "",
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--orders", default="1,100,5000")
    parser.add_argument("--rate", type=int, default=10, help="calls per second; the documented limit of an account is 10")
    parser.add_argument("--issue-delay", type=int, default=20, help="seconds that the CA takes from the record to the certificate")
    parser.add_argument("--only", action="append", choices=[row[1] for row in ROWS], help="this row; repeatable")
    parser.add_argument("--binary", type=pathlib.Path, default=bench.BINARY)
    parser.add_argument("--dry", action="store_true", help="write no results")
    chosen = parser.parse_args()
    bench.BINARY = chosen.binary.resolve()
    file = pathlib.Path(__file__).parent / "results.json"
    kept = json.loads(file.read_text()) if file.exists() else []
    rows = [row for row in ROWS if not chosen.only or row[1] in chosen.only]
    for orders in map(int, chosen.orders.split(",")):
        # Beside one another: each has a sandbox of its own, and waits for its turn to call nearly all the time.
        with concurrent.futures.ThreadPoolExecutor(len(rows)) as pool:
            measured = list(pool.map(lambda row: measure(row[1], orders, chosen.rate, chosen.issue_delay), rows))
        for row, (calls, wall) in zip(rows, measured):
            new = entry(row, orders, calls, wall, chosen.rate, chosen.issue_delay)
            print(line(new), new["calls"], flush=True)
            kept = [old for old in kept if (old["what"], old["orders"]) != (row[0], orders)] + [new]
        if not chosen.dry:
            order = [row[0] for row in ROWS]
            kept.sort(key=lambda one: (one["orders"], order.index(one["what"])))
            file.write_text(json.dumps(kept, indent=1) + "\n")
            (file.parent / "RESULTS.md").write_text(show(kept))


if __name__ == "__main__":
    main()
