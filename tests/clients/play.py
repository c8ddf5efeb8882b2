"""Plays the table: phones and homes that nobody here wrote, on edges that are
killed. `run` installs what it needs and starts it in namespaces of its own."""

import argparse
import json
import sys
import time
from pathlib import Path

import cells
import harness
import homes
import phones
from network import Network
from world import USERS, Dns, Lab, Lost, user

TRANSPORTS = ("udp", "tcp", "tls")
# What tests/run plays.
CORE = ("harness-udp", "harness-tcp", "baresip-tcp", "baresip-tls", "pjsua2-tcp", "kamailio-udp")


class World:
    """The lab, or the edges and the home, of the moment, and what every cell asks of it."""

    def __init__(self, options):
        self.binary = Path(options.binary).resolve()
        self.logs = Path(options.dir).resolve()
        self.calls = options.calls
        # Three requests each, after the kill.
        self.home_calls = options.home_calls
        self.pairs = options.pairs
        self.network = Network()
        self.dns = Dns(self.logs)
        # All phones of the item of the moment.
        self.played = []
        self.lab = self.home = None

    def patience(self, transport):
        """How long a phone may take to be reachable again before the cell says no. Over UDP
        nothing tells it that its edge is dead but its next refresh: pjsua2 asks for 300 s,
        and linphonec, which asks for 60, waits as long again after it has failed."""
        return 360.0 if transport == "udp" else 120.0

    def ca(self, transport):
        """Whose signature on an edge's certificate phones believe."""
        return self.lab.folder / "ca.pem" if transport == "tls" else None

    def new_user(self):
        """Somebody who has never registered here: no binding of an earlier cell is in the way."""
        return user(next(self._users))

    def _begin(self, name):
        """A folder and users of its own for each item of the plan."""
        self.folder = self.logs / name
        self.folder.mkdir(parents=True)
        self._users = iter(range(1, USERS))
        self.played.clear()
        return self.folder

    def start(self, transport, name):
        folder = self._begin(name)
        self.lab = Lab(self.binary, folder, tls=transport == "tls")
        self.dns.ask_edges()

    def start_behind(self, home, transport, name):
        folder = self._begin(name)
        self.lab = homes.Edges(self.binary, folder, transport)
        self.dns.ask_edges()
        self.dns.serve_home(transport)
        self.home = home(folder)

    def stop(self):
        for one in (self.lab, self.home):
            if one:
                one.stop()
        self.lab = self.home = None


def parts(item, world):
    """The parts of one item of the plan, in order; each returns its cells."""
    kind, transport = item.split("-")
    if kind in homes.KINDS:
        world.start_behind(homes.KINDS[kind], transport, item)
        return [lambda: homes.behind(homes.KINDS[kind], transport, world)]
    world.start(transport, item)
    if kind == "harness":
        return [lambda: harness.astray(transport, world)]
    if kind == "inside":
        world.lab.configure('nat_keepalive = "short"')
        return [lambda: cells.reachable([phones.Pjsua2Inside], transport, world)]
    if kind == "reachable":
        return [lambda: cells.reachable(phones.KINDS.values(), transport, world)]
    kind = phones.KINDS[kind]
    return [lambda: cells.basics(kind, transport, world), lambda: cells.killed(kind, transport, world)]


def play(plan, world):
    """All cells of the plan, each printed when it is done."""
    done = []
    for item in plan:
        try:
            for part in parts(item, world):
                for cell in part():
                    print(cell.line(), flush=True)
                    done.append(cell)
        except Lost as lost:
            cell = cells.Cell(*item.split("-"), "can be played")
            cell.failed(lost)
            print(cell.line(), flush=True)
            done.append(cell)
        finally:
            world.stop()
        # What is led astray on purpose is no phone's fault.
        if not item.startswith("harness-"):
            cell = cells.by_edges_alone(*item.split("-"), world.played)
            print(cell.line(), flush=True)
            done.append(cell)
    return done


def arguments():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--binary", required=True)
    parse.add_argument("--dir", required=True, help="an empty folder for logs")
    parse.add_argument("--json", required=True, help="where the cells go for machines")
    parse.add_argument("--core", action="store_true", help=f"only {', '.join(CORE)}, few calls")
    parse.add_argument("--only", help="items of the plan: baresip-tcp,reachable-tls,kamailio-udp")
    parse.add_argument("--calls", type=int, help="calls for each request and side after a kill")
    parse.add_argument("--pairs", type=int, default=10, help="pairs of phones at a time")
    options = parse.parse_args()
    options.home_calls = options.calls or (4 if options.core else 67)
    options.calls = options.calls or (3 if options.core else 20)
    return options


def whole_plan():
    yield from ("harness-udp", "harness-tcp")
    for transport in TRANSPORTS:
        yield from (f"{kind}-{transport}" for kind in phones.KINDS)
        yield f"reachable-{transport}"
    yield from ("inside-udp", "kamailio-udp", "kamailio-tcp")


def main():
    options = arguments()
    began = time.monotonic()
    world = World(options)
    plan = options.only.split(",") if options.only else CORE if options.core else whole_plan()
    done = play(plan, world)
    world.dns.stop()
    versions = [kind.version() for kind in (*phones.KINDS.values(), *homes.KINDS.values())]
    print("\n" + cells.table(done))
    print(cells.past_the_edges(done))
    print("; ".join(version for version in versions if version))
    Path(options.json).write_text(json.dumps({"versions": versions, "cells": [cell.facts() for cell in done]}, indent=1) + "\n")
    good = sum(cell.is_yes() for cell in done)
    bad = len(done) - good
    print(f"{time.monotonic() - began:.0f} s; logs in {options.dir}")
    print(f"test result: {'FAILED' if bad else 'ok'}. {good} passed; {bad} failed;")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
