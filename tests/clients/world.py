"""What everything else stands on: deadlines, processes that end with us, the
lab, and the DNS that the phones ask.

All of it runs in a network namespace of its own (`tests/clients/run` makes it), each
phone in one beside it (`network.py`), so addresses and ports are ours alone; and in a process namespace, so nothing
outlives it."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HOME = "127.0.0.10"
EDGES = {"e1": "127.0.0.11", "e2": "127.0.0.12", "e3": "127.0.0.13"}
DOMAIN = "example.com"
CLUSTER = "edge.example.com"
PASSWORD = "secret"
# Where phones ask for names, and where homes do.
DNS = "127.0.0.53"
HOME_DNS = "127.0.0.54"
EDGE_DNS_PORT = 5300
# What an answer of the DNS takes at the least. Linphone's resolver forgets to go on,
# one time in twelve, when all answers are there at once.
DNS_TAKES = 0.01
# How long the phones' DNS remembers an answer, in seconds.
DNS_REMEMBERS = 1.0
# How long an edge that was started again has to be listed: its siblings ask each second
# whether it is there, and may find it silent once more before they have its answer.
DNS_SETTLES = 2.5
# Longest wait for what a person would call immediate.
STEP = 10.0
# How long a process may take to end after it was asked to; the lab drains.
STOP = 12.0
# Users beside those of the lab: u0001 to this one.
USERS = 400


class Lost(Exception):
    """Something that had to happen did not; the sentence says what."""


def until(ask, seconds, what=None):
    """The first true answer of `ask`; after `seconds` None, or Lost if `what` is named."""
    end = time.monotonic() + seconds
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() >= end:
            if what:
                raise Lost(f"{what} (waited {seconds:.0f} s)")
            return None
        time.sleep(0.01)


class Process:
    """A child with its output in a file, or handed line by line to `reader`."""

    def __init__(self, words, log, reader=None, cwd=None, env=None):
        self.name = Path(words[0]).name
        self.log = Path(log)
        self._file = open(self.log, "wb")
        self._child = subprocess.Popen(
            [str(word) for word in words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if reader else self._file,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        self.pid = self._child.pid
        if reader:
            threading.Thread(target=self._read, args=(reader,), daemon=True).start()

    def _read(self, reader):
        for line in self._child.stdout:
            now = time.monotonic()
            self._file.write(line)
            reader(line.decode("utf-8", "replace").rstrip("\r\n"), now)
        self._file.flush()

    def say(self, line):
        """One line to its standard input."""
        try:
            self._child.stdin.write(line.encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError:
            raise Lost(f"{self.name} is gone: {self.last_words()}") from None

    def status(self):
        """None while it runs; the number of a signal is negative."""
        return self._child.poll()

    def ended(self):
        return self.status() is not None

    def last_words(self):
        self._file.flush()
        return self.log.read_text(errors="replace")[-1500:]

    def said(self):
        return self.log.read_text(errors="replace")

    def kill(self):
        """As a power cut would."""
        if not self.ended():
            os.killpg(self.pid, signal.SIGKILL)
            self._child.wait(STOP)

    def stop(self):
        """Politely, then not."""
        if self.ended():
            return
        os.killpg(self.pid, signal.SIGTERM)
        try:
            self._child.wait(STOP)
        except subprocess.TimeoutExpired:
            self.kill()


class Lab:
    """`steadfast lab` with more users, whose edges can be killed and started again."""

    def __init__(self, binary, folder, tls=False):
        self.binary = binary
        self.folder = Path(folder) / "lab"
        self.tls = tls
        self.again = {}
        self.dead = set()
        words = [binary, "lab", "--dir", self.folder]
        if tls:
            words.append("--tls")
        self.process = Process(words, Path(folder) / "lab.log")
        try:
            self._until_ready()
        except Lost:
            self.stop()
            raise

    def _until_ready(self):
        until(lambda: "The lab is up" in self.process.said() or self._gone(), 30, "the lab is not up")
        self.pids = dict(re.findall(r"^  (\w+) +127\.\S+ +process (\d+)$", self.process.said(), re.M))
        self._add_users()

    def _gone(self):
        if self.process.ended():
            raise Lost(f"the lab ended: {self.process.last_words()}")

    def _add_users(self):
        with open(self.folder / "users.txt", "a") as users:
            for number in range(1, USERS + 1):
                users.write(f"{user(number)} {DOMAIN} password={PASSWORD}\n")
        until(lambda: options(HOME, user(USERS)).startswith("SIP/2.0 480 "), STEP, "the home did not read the users")

    def kill(self, edge):
        """SIGKILL; returns when that was, once it is dead."""
        since = time.monotonic()
        self.dead.add(edge)
        if edge in self.again:
            self.again.pop(edge).kill()
        else:
            os.kill(int(self.pids[edge]), signal.SIGKILL)
        until_dead(edge)
        return since

    def configure(self, line):
        """One line more in the section [edge] of every edge, each started again."""
        for edge in EDGES:
            file = self.folder / f"{edge}.toml"
            file.write_text(file.read_text().replace("[edge]\n", f"[edge]\n{line}\n", 1))
            self.kill(edge)
            self.restart(edge)

    def restart_all(self):
        for edge in sorted(self.dead):
            self.restart(edge)

    def restart(self, edge):
        """Starts an edge that was killed; nothing if it runs."""
        if edge not in self.dead:
            return
        self.dead.remove(edge)
        words = [self.binary, "run", "--config", self.folder / f"{edge}.toml"]
        node = Process(words, self.folder / f"{edge}.again.log")
        self.again[edge] = node
        until(lambda: "listening for SIP" in node.said() or node.ended(), STEP, f"{edge} did not start again")
        if node.ended():
            raise Lost(f"{edge} did not start again: {node.last_words()}")
        until_listed(edge, EDGES.keys() - self.dead)

    def stop(self):
        for node in self.again.values():
            node.stop()
        self.process.stop()


def until_dead(edge):
    """Waits until nobody listens for an edge any more: its connections ended with that, and
    what its phones send from then on is sent to a dead edge."""

    def is_dead():
        try:
            socket.create_connection((EDGES[edge], 5060)).close()
        except OSError:
            return True
        return False

    until(is_dead, STEP, f"{edge} outlives SIGKILL")


def until_listed(edge, living):
    """Waits until every living edge takes this one for alive: as long as one does not, its DNS
    leads phones from this edge's name to a sibling, and they are not on the edge that dies."""
    since = None

    def is_listed():
        nonlocal since
        answers = [ask(EDGES[one], EDGE_DNS_PORT, CLUSTER) for one in living]
        if not all(socket.inet_aton(EDGES[edge]) in answer for answer in answers):
            since = None
            return False
        since = since or time.monotonic()
        # An edge answers so many questions a second.
        time.sleep(0.2)
        return time.monotonic() - since >= DNS_SETTLES

    until(is_listed, STEP, f"the DNS does not list {edge} again")


def ask(address, port, name):
    """The answer of a name server for the addresses of a name; empty without one."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = os.urandom(2) + bytes.fromhex("0100 0001 0000 0000 0000") + labels + bytes.fromhex("00 0001 0001")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours:
        ours.settimeout(0.25)
        try:
            ours.sendto(query, (address, port))
            return ours.recv(4_096)
        except OSError:
            return b""


class Dns:
    """The DNS that phones are pointed at, which passes their questions on to the edges and
    remembers for a while; and the one of homes, dnsmasq."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self._dnsmasq = None
        self._upstream = []
        self._known = {}
        threading.Thread(target=self._serve, daemon=True).start()
        self._resolv = self.folder / "resolv.conf"
        self._resolv.touch()
        # In a mount namespace of its own: nobody else sees it.
        subprocess.run(["mount", "--bind", self._resolv, "/etc/resolv.conf"], check=True)

    def _serve(self):
        ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ours.bind((DNS, 53))

        def answer(query, asker):
            reply = self._reply(query)
            if reply:
                time.sleep(DNS_TAKES)
                ours.sendto(query[:2] + reply[2:], asker)

        with ThreadPoolExecutor(32) as pool:
            while True:
                pool.submit(answer, *ours.recvfrom(4_096))

    def _reply(self, query):
        until_then, reply = self._known.get(query[2:], (0, None))
        if time.monotonic() < until_then:
            return reply
        for place in self._upstream:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
                theirs.settimeout(1.0)
                theirs.connect(place)
                try:
                    theirs.send(query)
                    reply = theirs.recv(4_096)
                except OSError:
                    # A dead edge; the next one knows the same.
                    continue
            self._known[query[2:]] = (time.monotonic() + DNS_REMEMBERS, reply)
            return reply
        return None

    def ask_edges(self):
        """Phones ask the edges, who say how they are found; the one that is killed is asked last."""
        self._upstream = [(EDGES[name], EDGE_DNS_PORT) for name in ("e2", "e3", "e1")]
        self._known = {}
        self._resolv.write_text(f"nameserver {DNS}\n")
        until(lambda: resolves(f"e1.{CLUSTER}"), STEP, "the edges do not answer for their names")

    def serve_home(self, core):
        """What a home of this transport asks, while phones ask the edges: the cluster
        leads to the core side of all edges, each as likely as another."""
        lines = ["no-resolv", "no-hosts", "bind-interfaces", f"listen-address={HOME_DNS}", "user=root"]
        port = {"udp": 5060, "tcp": 5080}[core]
        for name, address in EDGES.items():
            lines.append(f"address=/{name}.{CLUSTER}/{address}")
            lines.append(f"srv-host=_sip._{core}.{CLUSTER},{name}.{CLUSTER},{port},1,10")
        lines.append(f"naptr-record={CLUSTER},10,10,s,SIP+D2{core[0].upper()},,_sip._{core}.{CLUSTER}")
        conf = self.folder / "dnsmasq.conf"
        conf.write_text("\n".join(lines) + "\n")
        self.stop()
        self._dnsmasq = Process(["dnsmasq", "--no-daemon", f"--conf-file={conf}"], self.folder / "dnsmasq.log")
        self._resolv.write_text(f"nameserver {HOME_DNS}\n")
        until(lambda: resolves(f"e1.{CLUSTER}"), STEP, "dnsmasq does not answer")

    def stop(self):
        if self._dnsmasq:
            self._dnsmasq.stop()


def resolves(name):
    try:
        return socket.getaddrinfo(name, 5060)
    except OSError:
        return None


def user(number):
    return f"u{number:04}"


def options(address, name, ours="127.0.0.1"):
    """The first answer to OPTIONS for a user, over UDP from this address; empty when there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.settimeout(0.25)
        probe.bind((ours, 0))
        local = f"{ours}:{probe.getsockname()[1]}"
        tag = os.urandom(6).hex()
        text = (
            f"OPTIONS sip:{name}@{DOMAIN} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {local};branch=z9hG4bK{tag};rport\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:probe@{ours}>;tag={tag}\r\n"
            f"To: <sip:{name}@{DOMAIN}>\r\nCall-ID: {tag}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )
        try:
            probe.sendto(text.encode(), (address, 5060))
            return probe.recv(65_535).decode(errors="replace")
        except OSError:
            return ""
