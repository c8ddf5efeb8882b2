"""Homes that are no steadfast, behind our edges: set up with the very files of
`tuning/homes`, whose addresses alone are replaced."""

import re
import secrets
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cells import ANSWER, Cell, Column, call, end, renew
from phones import Account, Baresip
from world import DOMAIN, EDGES, HOME, PASSWORD, STEP, USERS, Lost, Process, options, until, until_dead, until_listed, user

TUNING = Path(__file__).resolve().parents[2] / "tuning/homes"


class Edges:
    """Three edges as `tuning/homes/edge.toml` has them, which can be killed and started again."""

    def __init__(self, binary, folder, transport):
        self.binary, self.folder = binary, Path(folder)
        (self.folder / "cluster.key").write_text(secrets.token_hex(64) + "\n")
        (self.folder / "cluster.key").chmod(0o600)
        self.nodes = {}
        text = here((TUNING / "edge.toml").read_text())
        if transport == "udp":
            # As its comment says.
            text = text.replace("transport=tcp", "transport=udp")
            text = re.sub(r"^core_listen.*\n", "", text, flags=re.M)
        for name in EDGES:
            # Each has its own name and address; `members` names them all.
            head, members = text.split("[edge]")
            members, tail = members.split("[dns]")
            head, tail = (part.replace('"e1"', f'"{name}"').replace(EDGES["e1"], EDGES[name]) for part in (head, tail))
            (self.folder / f"{name}.toml").write_text(f"{head}shards = 1\n\n[edge]{members}[dns]{tail}")
            self.restart(name)

    def restart(self, name):
        words = [self.binary, "run", "--config", self.folder / f"{name}.toml"]
        node = Process(words, self.folder / f"{name}.log", cwd=self.folder)
        self.nodes[name] = node
        until(lambda: "listening for SIP" in node.said() or node.ended(), STEP, f"{name} did not start")
        if node.ended():
            raise Lost(f"{name} did not start: {node.last_words()}")
        until_listed(name, self.nodes.keys())

    def kill(self, name):
        self.nodes[name].kill()
        until_dead(name)

    def stop(self):
        for node in self.nodes.values():
            node.stop()


def here(text):
    """A file of the document with the addresses of this namespace."""
    return text.replace("192.0.2.1", "127.0.0.1").replace("192.0.2.8/29", "127.0.0.8/29")


class Kamailio:
    title = "Kamailio"

    @staticmethod
    def version():
        said = subprocess.run(["kamailio", "-v"], capture_output=True, text=True).stdout.split()
        return f"Kamailio {said[2]} (Debian)"

    def __init__(self, folder):
        folder = Path(folder)
        tables = folder / "dbtext"
        tables.mkdir()
        (tables / "version").write_text("table_name(string) table_version(int)\nsubscriber:7\nlocation:9\n")
        rows = [f"{n}:{user(n)}:{DOMAIN}:{PASSWORD}" for n in range(1, USERS + 1)]
        head = "id(int,auto) username(string) domain(string) password(string)"
        (tables / "subscriber").write_text("\n".join([head, *rows]) + "\n")
        conf = folder / "kamailio.cfg"
        conf.write_text(here((TUNING / "kamailio.cfg").read_text()).replace("/etc/kamailio/dbtext", str(tables)))
        run = folder / "run"
        run.mkdir()
        words = ["kamailio", "-DD", "-E", "-f", conf, "-Y", run, "-m", "64", "-M", "8"]
        self.process = Process(words, folder / "kamailio.log")
        until(
            lambda: options(HOME, user(1)).startswith("SIP/2.0 ") or self.process.ended(),
            STEP,
            "Kamailio does not answer",
        )
        if self.process.ended():
            raise Lost(f"Kamailio ended: {self.process.last_words()}")

    def stop(self):
        self.process.stop()


KINDS = {"kamailio": Kamailio}


def behind(home, transport, world):
    """Phones of two flows and whoever they talk to, with all edges and then without e1."""
    columns = {what: column for what, (column, _) in (*FAR.items(), *OWN.items())}
    columns = {"registers": Column.BASICS, "calls, is called": Column.BASICS} | columns
    rows = {what: Cell(home.title, transport, what, column) for what, column in columns.items()}
    for calls, after in ((world.home_calls, FAR), (world.calls, OWN)):
        while calls > 0:
            size = min(calls, world.pairs)
            calls -= size
            batch(size, rows, after, world)
    return list(rows.values())


def batch(size, rows, after, world):
    phones = []
    with ThreadPoolExecutor(size) as pool:

        def each(what, do, those):
            """Does it for all of them at once; returns those for whom it went well."""
            good = []
            for pair, done in [(pair, pool.submit(do, *pair)) for pair in those]:
                try:
                    rows[what].passed(done.result())
                    good.append(pair)
                except Lost as lost:
                    rows[what].failed(f"{pair[0].user}: {lost}")
            return good

        try:
            for _ in range(size):
                phones.append(Baresip(Account(world.new_user(), "tcp", ["e1", "e3"]), world))
                phones.append(Baresip(Account(world.new_user(), "tcp", ["e2"]), world))
            pairs = each("registers", register, list(zip(phones[::2], phones[1::2])))
            pairs = each("calls, is called", call_both_ways, pairs)
            world.lab.kill("e1")
            # All at once, so that none profits from what the one before it found out.
            for what, (_, do) in after.items():
                pairs = each(what, do, pairs)
        finally:
            for phone in phones:
                phone.stop()
            world.lab.restart("e1")


def register(own, far):
    own.until_registered()
    far.until_registered()
    if EDGES["e1"] not in own.network.reached(own.place.address):
        raise Lost("it is not on e1")


def call_both_ways(own, far):
    """The second call is up afterwards."""
    call(own, far)
    end(far)
    call(far, own)


def be_held(_own, far):
    return renew(far, "hold", ANSWER)


def be_hung_up_on(_own, far):
    return end(far, ANSWER)


def hang_up(own, _far):
    return end(own, ANSWER)


def be_called(own, far):
    """How long until the phone hears of the call."""
    since = far.dial(own)
    arrived = own.trace.request("INVITE", since, ANSWER)
    if not arrived:
        raise Lost("no call arrives")
    own.answer()
    final = far.trace.answer("INVITE", since, ANSWER)
    if not final or final.code != 200:
        raise Lost(f"the call: {final.start if final else 'no answer'}")
    end(far, ANSWER)
    return arrived.at - since


# What is asked of a home after an edge has died, in this order, of as many phones.
FAR = {
    "e1 dies: re-INVITE to it": (Column.FAR, be_held),
    "e1 dies: BYE to it": (Column.FAR, be_hung_up_on),
    "e1 dies: incoming call": (Column.FAR, be_called),
}
OWN = {"e1 dies: BYE by it": (Column.OWN, hang_up)}
