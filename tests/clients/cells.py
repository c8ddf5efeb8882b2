"""The cells of the table: what one phone does with its edges up, and what it
and the other side of its call can still do when its edge has been killed.

The phone under test registers through e1 (and e3); the other side is a baresip
that registers through e2 over the same transport. A phone that goes where the DNS
leads it (linphonec) may be on any edge: the one it is on dies, and the other side
registers through another."""

import time
from concurrent.futures import ThreadPoolExecutor

from phones import Account, Baresip
from world import STEP, Lost, until

# How long a request may wait for its answer when an edge has just died: beyond
# that people hang up. What must hold is far shorter and printed (p99).
ANSWER = 12.0
# What a phone that keeps its connections is given to see that one has ended, before it has
# something to say: a request written into a dead connection is lost with it, and no edge
# can change that. UDP phones are asked at once.
NOTICES = 0.2
# How long the ACK of a phone that does not look for a living sibling is waited for.
ACK = 2.0
# Silence after which a phone has said all that it says on its own after an answer.
QUIET = 0.3


class Column:
    """What a cell is about, in the table at the end."""

    BASICS = "registers, calls, hold, CANCEL"
    FAR = "edge killed: the far side goes on"
    OWN = "its own side goes on"
    AGAIN = "reachable again"
    TABLE = (BASICS, FAR, OWN, AGAIN)
    # Not in the table, but said below it.
    EDGES = "by the edges alone"


class Cell:
    """One line: how many of how many went well, and what went wrong first."""

    def __init__(self, phone, transport, what, column=Column.BASICS):
        self.phone, self.transport, self.what, self.column = phone, transport, what, column
        self.good = self.all = 0
        self.waits = []
        self.wrong = None
        # Answered re-INVITEs whose ACK did not arrive, of a phone known for that.
        self.unacknowledged = 0

    def passed(self, wait=None):
        self.all += 1
        self.good += 1
        if wait is not None:
            self.waits.append(wait)

    def failed(self, why):
        self.all += 1
        # One line, however much the phone had to say.
        self.wrong = self.wrong or " ".join(str(why).split())[:300]

    def is_yes(self):
        return self.all > 0 and self.good == self.all

    def p99(self):
        waits = sorted(self.waits)
        return waits[min(len(waits) - 1, int(len(waits) * 0.99))] if waits else None

    def line(self):
        text = f"{self.phone:<12}{self.transport:<5}{self.what:<40}{'yes' if self.is_yes() else 'NO ':<4}{self.good:>3} of {self.all:<3}"
        if self.waits:
            text += f"  p99 {self.p99() * 1000:5.0f} ms"
        if self.unacknowledged:
            text += f"  {self.unacknowledged} without ACK"
        if self.wrong:
            text += f"  {self.wrong}"
        return text.rstrip()

    def facts(self):
        """The same for machines."""
        p99 = self.p99()
        return {
            "phone": self.phone,
            "transport": self.transport,
            "what": self.what,
            "column": self.column,
            "good": self.good,
            "all": self.all,
            "p99_ms": None if p99 is None else round(p99 * 1000),
            "unacknowledged": self.unacknowledged,
            "wrong": self.wrong,
        }


def table(cells):
    """A row for each phone and transport, a column for each kind of cell."""
    columns = Column.TABLE
    cells = [cell for cell in cells if cell.column in columns]
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for phone, transport in dict.fromkeys((cell.phone, cell.transport) for cell in cells):
        row = [f"{phone}, {transport.upper()}"]
        for column in columns:
            row.append(entry([c for c in cells if (c.phone, c.transport, c.column) == (phone, transport, column)]))
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def entry(cells):
    """What a row says in one column: yes, or how many of how many, and the longest wait."""
    if not cells:
        return ""
    good, every = sum(cell.good for cell in cells), sum(cell.all for cell in cells)
    text = "yes" if all(cell.is_yes() for cell in cells) else "**no**" if not good else f"**{good} of {every}**"
    waits = [cell.p99() for cell in cells if cell.waits]
    text = f"{text}, {max(waits):.2f} s" if waits else text
    lost = sum(cell.unacknowledged for cell in cells)
    return f"{text}; {lost} re-INVITEs without ACK" if lost else text


def by_edges_alone(title, transport, phones):
    """Whether all that these phones sent and were sent of SIP went by the edges."""
    cell = Cell(title, transport, "nothing goes past the edges", Column.EDGES)
    for phone in phones:
        astray = phone.astray()
        if astray:
            cell.failed(f"{phone.user}: {astray[0]}, and {len(astray) - 1} more")
        else:
            cell.passed()
    return cell


def past_the_edges(cells):
    """What all cells say about that, in one line."""
    cells = [cell for cell in cells if cell.column == Column.EDGES]
    every, good = sum(cell.all for cell in cells), sum(cell.good for cell in cells)
    return f"{every} phones, {every - good} of which sent or were sent SIP past the edges"


class Pair:
    """A phone under test and, once they have met, the other side."""

    def __init__(self, kind, transport, edges, world):
        self.world, self.transport = world, transport
        self.own = kind(self._account(edges), world)
        self.far = None

    def _account(self, edges):
        return Account(self.world.new_user(), self.transport, edges, self.world.ca(self.transport))

    def meet(self):
        """Starts the other side, which registers where the first is not."""
        self.own.until_registered()
        edge = "e2" if self.own.edge() != "e2" else "e1"
        self.far = Baresip(self._account([edge]), self.world)
        self.far.until_registered()

    def stop(self):
        self.own.stop()
        if self.far:
            self.far.stop()

    def sides(self, whose):
        return (self.own, self.far) if whose == "own" else (self.far, self.own)


def ring(caller, called, seconds=STEP):
    """One calls the other, who rings."""
    since = caller.dial(called)
    if not called.trace.request("INVITE", since, seconds):
        raise Lost(f"no call arrives{caller.trouble()}: {caller.trace.last_words()}")
    if not caller.trace.answer("INVITE", since, STEP, codes=range(180, 700)):
        raise Lost(f"no ringing: {caller.trace.last_words()}")
    return since


def call(caller, called):
    since = ring(caller, called)
    called.answer()
    final = caller.trace.answer("INVITE", since, STEP)
    if not final or final.code != 200:
        raise Lost(f"the call is not answered{called.trouble()}: {caller.trace.last_words()}")
    if not called.trace.request("ACK", since, STEP):
        raise Lost(f"no ACK{caller.trouble()}: {called.trace.last_words()}")
    for side in (caller, called):
        side.trace.until_quiet(QUIET, STEP)


def renew(side, order, seconds=STEP):
    """A re-INVITE by one side; how long its answer took."""
    wait = answered(side, getattr(side, order)(), "INVITE", seconds)
    side.trace.until_quiet(QUIET, STEP)
    return wait


def end(side, seconds=STEP):
    return answered(side, side.hangup(), "BYE", seconds)


def answered(side, since, method, seconds):
    final = side.trace.answer(method, since, seconds)
    if not final:
        sent = side.trace.request(method, since, 0)
        raise Lost(f"{method} {'not answered' if sent else 'not sent'} in {seconds:.0f} s{side.trouble()}")
    if final.code >= 300:
        raise Lost(f"{method}: {final.start}")
    return final.at - since


def cancel(caller, called):
    since = ring(caller, called)
    caller.hangup()
    final = caller.trace.answer("INVITE", since, STEP)
    if not final or final.code != 487:
        raise Lost(f"CANCEL: {final.start if final else 'the INVITE has no answer'}")
    if not called.trace.request("CANCEL", since, STEP):
        raise Lost(f"the other side has seen no CANCEL{caller.trouble()}")


def edges_of(kind):
    """Through which edges the phone under test registers."""
    return ["e1", "e3"][: kind.flows]


def basics(kind, transport, world):
    """Everything that must work while all edges live."""
    cell = lambda what: Cell(kind.title, transport, what)
    cells = [cell("registers")]
    pair = None
    try:
        pair = Pair(kind, transport, edges_of(kind), world)
        pair.meet()
        cells[0].passed()
    except Lost as lost:
        cells[0].failed(lost)
        if pair:
            pair.stop()
        return cells
    own, far = pair.own, pair.far
    steps = [
        ("calls", lambda: call(own, far)),
        ("holds and resumes", lambda: (renew(own, "hold"), renew(own, "resume"))),
        ("is held and resumed", lambda: (renew(far, "hold"), renew(far, "resume"))),
        ("hangs up", lambda: end(own)),
        ("is called", lambda: call(far, own)),
        ("is hung up on", lambda: end(far)),
        ("CANCEL by it", lambda: cancel(own, far)),
        ("CANCEL to it", lambda: cancel(far, own)),
    ]
    for what, step in steps:
        row = cell(what)
        cells.append(row)
        try:
            step()
            row.passed()
        except Lost as lost:
            row.failed(lost)
            break
    pair.stop()
    return cells


# Phones of each kind whose only edge dies.
REACHED = 3

KILL = [("own", "BYE"), ("far", "BYE"), ("own", "re-INVITE"), ("far", "re-INVITE")]


def by_edge(pairs, failed):
    """The pairs by the edge that serves the phone under test."""
    edges = {}
    for pair in pairs:
        try:
            pair.own.until_registered()
            edges.setdefault(pair.own.edge(), []).append(pair)
        except Lost as lost:
            failed(pair, lost)
    return sorted(edges.items())


def killed(kind, transport, world):
    """So many calls for each request and side: the edge dies, and that request is the first in its call."""
    title = {"own": "its own side", "far": "the far side"}
    column = {"own": Column.OWN, "far": Column.FAR}
    cells = {
        (side, what): Cell(kind.title, transport, f"its edge dies: {what}, {title[side]}", column[side])
        for side, what in KILL
    }
    for side, what in KILL:
        cell = cells[side, what]
        while cell.all < world.calls:
            killed_once(kind, transport, min(world.calls - cell.all, world.pairs), world, cell, side, what)
    return list(cells.values())


def killed_once(kind, transport, size, world, cell, side, what):
    pairs = []
    try:
        for _ in range(size):
            pairs.append(Pair(kind, transport, edges_of(kind), world))
        for edge, those in by_edge(pairs, lambda _, lost: cell.failed(lost)):
            with ThreadPoolExecutor(len(those)) as pool:
                killed_under(edge, those, pool, world, cell, side, what)
    finally:
        for pair in pairs:
            pair.stop()
        world.lab.restart_all()


def killed_under(edge, pairs, pool, world, cell, side, what):
    """Kills the edge that these phones are on, in their calls."""

    def set_up(number):
        pair = pairs[number]
        pair.meet()
        # Both directions: the way back is written otherwise for who called.
        call(*pair.sides("own" if number % 2 else "far"))

    ready = []
    for pair, done in zip(pairs, [pool.submit(set_up, number) for number in range(len(pairs))]):
        try:
            done.result()
            ready.append(pair)
        except Lost as lost:
            cell.failed(f"no call to begin with: {lost}")
    since = world.lab.kill(edge)
    is_udp = pairs[0].transport == "udp"
    if side == "own" and not is_udp:
        time.sleep(NOTICES)
    firsts = [(pair, pool.submit(first, pair, side, what, since, cell, world)) for pair in ready]
    # Over UDP a phone sends again and again to where it did; an edge is back
    # within seconds (tuning/steadfast.service).
    if is_udp and side == "own":
        world.lab.restart(edge)
    for pair, done in firsts:
        try:
            cell.passed(done.result())
        except Lost as lost:
            cell.failed(f"{pair.own.user}: {lost}")
    for pair in pairs:
        pair.stop()
    world.lab.restart(edge)


def first(pair, side, what, since, cell, world):
    """The first request in a call whose edge died at `since`; how long its answer took."""
    asking, other = pair.sides(side)
    # A phone of one flow is nowhere until it has registered elsewhere, and what
    # it says before it has noticed is lost with its connection.
    if pair.own.flows == 1 and not pair.own.trace.registered(1, world.patience(pair.transport), since):
        raise Lost(f"it does not register again{pair.own.trouble()}")
    if what == "BYE":
        return end(asking, ANSWER)
    asked = time.monotonic()
    wait = renew(asking, "hold", ANSWER)
    if not other.trace.request("ACK", asked, ANSWER if asking.retries_ack else ACK):
        if asking.retries_ack:
            raise Lost(f"the re-INVITE is answered after {wait:.2f} s and never acknowledged{asking.trouble()}")
        cell.unacknowledged += 1
    return wait


def reachable(kinds, transport, world):
    """Phones of one edge: seconds until a call arrives again after that edge has died."""
    rows = {kind: Cell(kind.title, transport, "its only edge dies: reachable", Column.AGAIN) for kind in kinds}
    failed = lambda pair, lost: rows[type(pair.own)].failed(f"{pair.own.user}: {lost}")
    pairs = []
    try:
        for kind in kinds:
            pairs += [Pair(kind, transport, ["e1"], world) for _ in range(REACHED)]
        for edge, those in by_edge(pairs, failed):
            for pair in those:
                pair.meet()
            since = world.lab.kill(edge)
            with ThreadPoolExecutor(len(those)) as pool:
                for pair, done in [(pair, pool.submit(again, pair, since, world)) for pair in those]:
                    try:
                        rows[type(pair.own)].passed(done.result())
                    except Lost as lost:
                        failed(pair, lost)
            for pair in those:
                pair.stop()
            world.lab.restart(edge)
    finally:
        for pair in pairs:
            pair.stop()
        world.lab.restart_all()
    return list(rows.values())


def again(pair, since, world):
    """Calls until a call arrives; how long after `since` that was."""
    patience = world.patience(pair.transport)
    while time.monotonic() < since + patience:
        dialled = pair.far.dial(pair.own)
        if pair.own.trace.request("INVITE", dialled, 2.0):
            return time.monotonic() - since
        pair.far.hangup()
        pair.far.trace.answer("INVITE", dialled, 2.0)
    raise Lost(f"not within {patience:.0f} s")
