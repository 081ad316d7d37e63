"""The laboratory of run.py: three name servers of which two lag, a resolver, a CA, and what is counted about a tool that works with them.

All have port 53, in network and mount namespaces of their own. The lag is exact: DNS UPDATEs go to a relay, which passes each on to the primary
at once and, as it was signed, to the two others so much later (all three are BIND with the same key).
"""

import asyncio
import json
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import sys
import threading
import time

PRIMARY, SECOND, THIRD, RELAY, RESOLVER = (f"127.53.1.{last}" for last in (1, 2, 3, 9, 8))
SECRET = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA="
ZONE = "lab.test"
CA_PORT = 14000
CA = f"https://localhost:{CA_PORT}/dir"
# The tools run as this user, so that the firewall can count what they send.
USER = 4242


class Relay:
    """Takes DNS UPDATEs over TCP and UDP, and queries."""

    def __init__(self):
        self.lag = 0.0
        self.stopped = False
        self.tasks = set()
        # When the last server had the value of a name: by its first label.
        self.served = {}
        threading.Thread(target=lambda: asyncio.run(self.run()), daemon=True).start()

    async def run(self):
        loop = asyncio.get_running_loop()
        await asyncio.start_server(self.stream, RELAY, 53, backlog=1024)
        relay = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, sender):
                async def answer():
                    self.transport.sendto(await relay.take(data), sender)

                relay.begin(answer())

        await loop.create_datagram_endpoint(Datagrams, local_addr=(RELAY, 53))
        await asyncio.Event().wait()

    async def stream(self, reader, writer):
        try:
            while True:
                length = struct.unpack("!H", await reader.readexactly(2))[0]
                answer = await self.take(await reader.readexactly(length))
                writer.write(struct.pack("!H", len(answer)) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def take(self, message):
        answer = await ask(PRIMARY, message)
        is_update = (message[2] >> 3) & 15 == 5
        if is_update and answer[3] & 15 == 0:
            self.begin(self.pass_on(message, time.time() + self.lag))
        return answer

    def begin(self, work):
        task = asyncio.get_running_loop().create_task(work)
        # The loop itself does not keep a task alive.
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def pass_on(self, message, when):
        await asyncio.sleep(max(0.0, when - time.time()))
        try:
            await asyncio.gather(*(ask(server, message) for server in (SECOND, THIRD)))
        except (OSError, asyncio.IncompleteReadError) as error:
            if not self.stopped:
                print(f"a server did not take an update: {error}", file=sys.stderr, flush=True)
            return
        if match := re.search(rb"\x0f_acme-challenge(.)", message):
            begin = match.end()
            label = message[begin : begin + match[1][0]].decode(errors="replace")
            self.served.setdefault(label, time.time())


# A server takes so many connections at once without a word, and drops what is more.
turns = asyncio.Semaphore(64)


async def ask(server, message):
    async with turns:
        reader, writer = await asyncio.open_connection(server, 53)
        writer.write(struct.pack("!H", len(message)) + message)
        length = struct.unpack("!H", await reader.readexactly(2))[0]
        answer = await reader.readexactly(length)
        writer.close()
        return answer


class Server:
    def __init__(self, command, ready, hear=None, environment=None):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env={**os.environ, **(environment or {})})
        self.lines, self.ready, self.hear = [], threading.Event(), hear
        threading.Thread(target=self.read, args=(ready,), daemon=True).start()
        if not self.ready.wait(60):
            sys.exit(f"{command[0]} does not start:\n" + "\n".join(self.lines[-30:]))

    def read(self, ready):
        for line in self.process.stdout:
            if len(self.lines) < 200:
                self.lines.append(line.rstrip())
            if ready in line:
                self.ready.set()
            if self.hear:
                self.hear(time.time(), line)

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Laboratory:
    def __init__(self, folder):
        self.folder = folder
        self.told, self.requests, self.servers = {}, 0, []
        self.relay = Relay()
        try:
            for address in (PRIMARY, SECOND, THIRD):
                self.start_name_server(address)
            self.start_resolver()
            self.start_ca()
            self.start_counters()
        except BaseException:
            self.stop()
            raise

    def start_name_server(self, address):
        place = self.folder / address
        place.mkdir()
        (place / ZONE).write_text(
            f"$ORIGIN {ZONE}.\n$TTL 60\n@ SOA update admin 1 86400 3600 604800 60\n@ NS ns1\n@ NS ns2\n@ NS ns3\n"
            f"ns1 A {PRIMARY}\nns2 A {SECOND}\nns3 A {THIRD}\nupdate A {RELAY}\n"
        )
        (place / "named.conf").write_text(
            f'options {{ directory "{place}"; pid-file none; lock-file none; session-keyfile none; listen-on {{ {address}; }}; listen-on-v6 {{ none; }}; '
            "recursion no; dnssec-validation no; notify no; empty-zones-enable no; max-records-per-type 0; tcp-clients 2000; tcp-listen-queue 1024; };\ncontrols { };\n"
            f'key "bench" {{ algorithm hmac-sha256; secret "{SECRET}"; }};\n'
            f'zone "{ZONE}" {{ type primary; file "{ZONE}"; allow-update {{ key bench; }}; }};\n'
        )
        self.servers.append(Server([shutil.which("named"), "-g", "-n", "1", "-c", place / "named.conf"], "running"))

    def start_resolver(self):
        (self.folder / "unbound.conf").write_text(
            f'server:\n interface: {RESOLVER}\n outgoing-interface: {RESOLVER}\n username: ""\n chroot: ""\n directory: "{self.folder}"\n pidfile: ""\n'
            ' use-syslog: no\n logfile: ""\n do-not-query-localhost: no\n do-ip6: no\n num-threads: 1\n access-control: 127.0.0.0/8 allow\n'
            ' local-zone: "test." transparent\n module-config: "iterator"\nremote-control:\n control-enable: no\n'
            f"stub-zone:\n name: {ZONE}\n stub-addr: {PRIMARY}\n"
        )
        self.servers.append(Server([shutil.which("unbound"), "-d", "-c", self.folder / "unbound.conf"], "start of service"))

    def start_ca(self):
        certificate, key = self.folder / "server.pem", self.folder / "server.key"
        ca, ca_key = self.folder / "ca.pem", self.folder / "ca.key"
        make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
        names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
        for line in (
            [*make, "-subj", "/CN=the laboratory", "-keyout", ca_key, "-out", ca],
            [*make, "-subj", "/CN=localhost", "-keyout", key, "-out", certificate, "-CA", ca, "-CAkey", ca_key, *names],
        ):
            subprocess.run(line, check=True, capture_output=True)
        pebble = {
            "listenAddress": f"127.0.0.1:{CA_PORT}", "managementListenAddress": "127.0.0.1:15000", "certificate": str(certificate),
            "privateKey": str(key), "httpPort": 5002, "tlsPort": 5001, "ocspResponderURL": "", "externalAccountBindingRequired": False,
        }  # fmt: skip
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": pebble}))
        # Pebble 2.4 can lock itself up where two orders are made at the very same moment (AddAuthorization against FindValidAuthorization);
        # on one processor they are made one after another.
        variables = {"GOMAXPROCS": "1", "PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
        self.servers.append(Server(["pebble", "-config", self.folder / "pebble.json", "-dnsserver", f"{RESOLVER}:53"], "Listening on", self.hear_ca, variables))

    def hear_ca(self, now, line):
        if "calling handler()" in line:
            self.requests += 1
        if "Pulled a task" in line and (match := re.search(rf"([a-z0-9-]+)\.{re.escape(ZONE)}", line)):
            self.told.setdefault(match[1], now)

    def start_counters(self):
        rules = (
            "table inet bench {\n counter dns_udp { }\n counter dns_tcp { }\n counter ca { }\n chain out {\n  type filter hook output priority 0;\n"
            f"  meta skuid {USER} udp dport 53 counter name dns_udp\n"
            f"  meta skuid {USER} tcp dport 53 tcp flags & (syn | ack) == syn counter name dns_tcp\n"
            f"  meta skuid {USER} tcp dport {CA_PORT} tcp flags & (syn | ack) == syn counter name ca\n }}\n}}\n"
        )
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def counters(self):
        text = subprocess.run(["nft", "-j", "reset", "counters"], text=True, capture_output=True, check=True).stdout
        found = {item["counter"]["name"]: item["counter"]["packets"] for item in json.loads(text)["nftables"] if "counter" in item}
        return {"dns": found["dns_udp"] + found["dns_tcp"], "connections": found["ca"]}

    def measure(self, command, environment, names, lag):
        """Runs a tool to its end; returns what it took. `names` are the first labels of what it applies for."""
        self.relay.lag = lag
        self.counters()
        self.requests = 0
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.time()
        out = open(self.folder / "tool.log", "ab")
        process = subprocess.Popen(command, env=environment, user=USER, group=USER, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=self.folder / "home")
        peak = Peak()
        code = process.wait()
        wall = time.time() - began
        rss = peak.stop()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        late = [self.told[name] - self.relay.served[name] for name in names if name in self.told and name in self.relay.served]
        early = len([value for value in late if value < -0.02])
        time.sleep(0.2)
        return {"code": code, "wall": wall, "cpu": cpu, "rss": rss, "late": sorted(late)[len(late) // 2] if late else None, "early": early,
                "requests": self.requests, **self.counters()}  # fmt: skip

    def stop(self):
        self.relay.stopped = True
        for server in reversed(self.servers):
            server.stop()


class Peak:
    """The highest sum of the resident memory of all processes of the user, in MiB, looked at 20 times a second."""

    def __init__(self):
        self.most, self.ended = 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        page = os.sysconf("SC_PAGE_SIZE") / 1048576
        while not self.ended.wait(0.05):
            total = 0
            for entry in os.scandir("/proc"):
                try:
                    if entry.name.isdigit() and entry.stat().st_uid == USER:
                        total += int(pathlib.Path(entry.path, "statm").read_text().split()[1])
                except (OSError, IndexError):
                    pass
            self.most = max(self.most, total * page)

    def stop(self):
        self.ended.set()
        self.thread.join()
        return self.most
