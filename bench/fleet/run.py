#!/usr/bin/env python3
"""Measures watches against the sandbox: many orders, several machines, the store, and doing nothing; writes RESULTS.md beside this file.

    cargo build --release --example store_speed --bin dv-verify && python3 bench/fleet/run.py [--only NAME]…

Needs Debian's postgresql; standard library only. Everything runs on loopback, sandbox and watches on the same cores. Each part is kept in
results.json beside this file when it is done, so that the parts can be measured at different times; RESULTS.md shows all that there are.
"""

import argparse
import datetime
import importlib.util
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SPEED = ROOT / "target" / "release" / "examples" / "store_speed"
LIFTED = 100_000
PROGRAMS = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)

_spec = importlib.util.spec_from_file_location("single", ROOT / "bench" / "run.py")
single = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(single)


class Postgres:
    """A server of its own with the settings that Debian ships, so with fsync."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="dv-bench-pg-"))
        self.user = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            self.user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
        data = self.folder / "data"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        subprocess.run([*self.user, PROGRAMS / "initdb", "-D", data, "-U", "postgres", "-A", "trust"], check=True, **quiet)
        server = [PROGRAMS / "postgres", "-D", data, "-k", self.folder, "-p", "5433", "-c", "listen_addresses="]
        self.process = subprocess.Popen([*self.user, *server], **quiet)
        while subprocess.run([PROGRAMS / "pg_isready", "-q", "-h", self.folder, "-p", "5433"], check=False).returncode:
            time.sleep(0.1)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.wait()
        shutil.rmtree(self.folder)

    def database(self, name):
        command = [PROGRAMS / "createdb", "-h", self.folder, "-p", "5433", "-U", "postgres", name]
        subprocess.run(command, check=True, cwd="/")
        return f"postgres://postgres@localhost:5433/{name}?host={self.folder}"


class Watch:
    """`dv-verify watch` in the background."""

    def __init__(self, sandbox, home, rate, store):
        home.mkdir()
        self.log = home / "log"
        variables = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1", **sandbox.variables}
        variables |= {"DV_STORE": store or str(home / "store.db"), "DV_OUT": str(home / "out")}
        command = [single.BINARY, "watch", "--provider", "cloudflare", "--api", "2018", "--rate", str(rate)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.seen, self.read = 0, 0

    def done(self):
        """How many orders it has done so far."""
        with self.log.open() as log:
            log.seek(self.read)
            text = log.read()
        whole = text.rfind("\n") + 1
        self.read += len(text[:whole].encode())
        self.seen += sum(line.endswith("  done") for line in text[:whole].splitlines())
        return self.seen

    def memory(self, field):
        """MiB, of /proc/PID/status."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(field))

    def cpu(self):
        """Seconds on a core so far, in nanoseconds' precision."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9

    def end(self):
        self.process.terminate()
        if self.process.wait() != 0:
            sys.exit(self.log.read_text()[-3000:])


def orders(count, rate, machines=1, database=None):
    """So many orders carried through by so many machines."""
    with single.Sandbox("--lag", "0s") as sandbox, tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            sandbox.order("2018", f"w{number}.example.com")
        before = sum(sandbox.call("/state")["calls"].values())
        began = time.monotonic()
        watches = [Watch(sandbox, pathlib.Path(folder) / f"m{number}", rate, database) for number in range(machines)]
        while sum(watch.done() for watch in watches) < count:
            time.sleep(0.05)
            if any(watch.process.poll() is not None for watch in watches):
                sys.exit(watches[0].log.read_text()[-3000:])
        seconds = time.monotonic() - began
        result = {
            "orders": count,
            "rate": rate,
            "machines": machines,
            "store": "PostgreSQL" if database else "SQLite",
            "seconds": seconds,
            "cpu": sum(watch.cpu() for watch in watches),
            "memory": max(watch.memory("VmHWM") for watch in watches),
            "shares": sorted(watch.seen for watch in watches),
        }
        for watch in watches:
            watch.end()
        state = sandbox.call("/state")
        result |= {"calls": sum(state["calls"].values()) - before, "left": len(state["records"])}
        print(json.dumps(result), flush=True)
        return result


def idle(database=None, seconds=60):
    """A watch that has nothing to do."""
    with single.Sandbox("--lag", "0s") as sandbox, tempfile.TemporaryDirectory() as folder:
        watch = Watch(sandbox, pathlib.Path(folder) / "m", 10, database)
        time.sleep(10)
        before = watch.cpu()
        time.sleep(seconds)
        result = {
            "store": "PostgreSQL" if database else "SQLite",
            "percent": (watch.cpu() - before) / seconds * 100,
            "memory": watch.memory("VmRSS"),
            "anonymous": watch.memory("RssAnon"),
        }
        watch.end()
        print(json.dumps(result), flush=True)
        return result


def store(server):
    with tempfile.TemporaryDirectory(dir=ROOT / "target") as folder:
        output = subprocess.run([SPEED, folder, server.database("speed")], check=True, capture_output=True, text=True)
    print(output.stdout, flush=True)
    return json.loads(output.stdout)


def parts(server):
    """Every part by name; each is measured when it is called."""
    number = iter(range(1000))
    fresh = lambda: server.database(f"bench{next(number)}")
    lifted = {f"lifted-{count}": (lambda count=count: orders(count, LIFTED)) for count in (100, 1000, 10_000)}
    paced = {f"paced-{count}": (lambda count=count: orders(count, 10)) for count in (100, 1000, 10_000)}
    fleet = {f"fleet-{n}": (lambda n=n: orders(1000, LIFTED, n, fresh())) for n in (1, 2, 4)}
    budget = {f"budget-{n}": (lambda n=n: orders(300, 10, n, fresh())) for n in (1, 2, 4)}
    rest = {"store": lambda: store(server), "idle-sqlite": idle, "idle-postgresql": lambda: idle(fresh())}
    return {**rest, **lifted, **fleet, **budget, **paced}


def show(results):
    """RESULTS.md."""
    lines = [
        "# Watches and fleets",
        "",
        f"Made by `bench/fleet/run.py`: {os.cpu_count()} cores shared by sandbox, PostgreSQL and watches, Linux {platform.release()}, loopback only, one run",
        "of each. The machine is shared with other work: compare ratios, not single figures. The days: "
        + ", ".join(sorted({entry["day"] for entry in results.values()}))
        + ".",
        "",
    ]
    many = [entry["result"] for name, entry in results.items() if "orders" in entry["result"]]
    if many:
        lines += [
            "| orders | calls/s | machines | store | seconds | orders/s | CPU s | peak MiB of the largest | calls per order | shares | records left |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
        for r in many:
            rate = "no limit" if r["rate"] == LIFTED else r["rate"]
            shares = "–" if r["machines"] == 1 else ", ".join(map(str, r["shares"]))
            lines.append(
                f"| {r['orders']} | {rate} | {r['machines']} | {r['store']} | {r['seconds']:.1f} | {r['orders'] / r['seconds']:.1f} | {r['cpu']:.1f} "
                f"| {r['memory']:.1f} | {r['calls'] / r['orders']:.2f} | {shares} | {r['left']} |"
            )
        lines.append("")
    idles = [entry["result"] for name, entry in results.items() if name.startswith("idle")]
    if idles:
        lines += ["| a watch with nothing to do | of a core (aim: under 0.1 %) | memory (aim: under 25 MB) | of it its own, not the program file |", "|---|---|---|---|"]
        lines += [f"| {r['store']} | {r['percent']:.3f} % | {r['memory']:.1f} MiB | {r['anonymous']:.1f} MiB |" for r in idles]
        lines.append("")
    if "store" in results:
        r = results["store"]["result"]
        lines += [
            f"One block and fsync on the same disk: {r['fsync']:.2f} ms.",
            "",
            "| median of the store, ms | open (aim on SQLite: under 5) | intent (aim: under 2, or the disk's fsync) | write confirmed |",
            "|---|---|---|---|",
        ]
        lines += [f"| {title} | {r[key]['open']:.2f} | {r[key]['intent']:.2f} | {r[key]['confirmed']:.2f} |" for key, title in (("sqlite", "SQLite"), ("postgres", "PostgreSQL")) if r[key]]
        lines.append("")
    (HERE / "RESULTS.md").write_text("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="one part; repeatable (`--list` names them)")
    parser.add_argument("--list", action="store_true")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(parts(None)))
        return
    kept = HERE / "results.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    with Postgres() as server:
        available = parts(server)
        for name in chosen.only or available:
            print(f"{name}:", flush=True)
            results[name] = {"day": datetime.date.today().isoformat(), "result": available[name]()}
            results = {name: results[name] for name in available if name in results}
            kept.write_text(json.dumps(results, indent=1) + "\n")
            show(results)


if __name__ == "__main__":
    main()
