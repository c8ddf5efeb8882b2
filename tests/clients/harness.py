"""Whether the cells can fail: what goes past the edges must not arrive, and must be
told. Without that a call that has lost its whole route would pass over UDP, one phone
reaching the other's Contact on one machine."""

from cells import Cell, by_edges_alone, call, end, ring
from network import CONNECTION, SIP_PORT
from phones import Account, Baresip
from world import EDGES, HOME, STEP, Lost, options, until

# How long what must not arrive is waited for.
NEVER = 2.0


class Direct(Baresip):
    """One that knows no edge, and calls others where they are."""

    def dial(self, other):
        return self._at("dial", f"sip:{other.user}@{other.place.address}:{SIP_PORT}")


def astray(transport, world):
    """What must go well, and what must not; a cell each."""
    cells = []

    def step(what, do):
        cells.append(Cell("harness", transport, what, None))
        try:
            do()
            cells[-1].passed()
        except Lost as lost:
            cells[-1].failed(lost)

    phones = []

    def phone(kind, *edges):
        phones.append(kind(Account(world.new_user(), transport, edges), world))
        return phones[-1]

    try:
        own, far, direct = phone(Baresip, "e1", "e3"), phone(Baresip, "e2"), phone(Direct)
        step("a call by the edges is told yes", lambda: by_the_edges(own, far))
        step("a call past them is told no", lambda: past_the_edges(direct, far))
        step("a phone does not reach the home", lambda: to_the_home(own))
        step("nor the home a phone", lambda: from_the_home(own))
        step("an edge that it never asked is told no", lambda: from_another_edge(far))
        step("all of it is held against them", lambda: held_against(phones))
    finally:
        for one in phones:
            one.stop()
    return cells


def by_the_edges(own, far):
    for one in (own, far):
        one.until_registered()
    call(own, far)
    end(far)
    verdict = by_edges_alone("harness", own.account.transport, [own, far])
    if not verdict.is_yes():
        raise Lost(verdict.wrong)


def past_the_edges(direct, far):
    begins = {"udp": f"INVITE sip:{far.user}@{far.place.address}", "tcp": CONNECTION}[direct.account.transport]
    try:
        ring(direct, far, NEVER)
    except Lost as lost:
        if f"not by an edge: {begins}" not in str(lost):
            raise Lost(f"the reason is another one: {lost}") from None
        return
    raise Lost("the call arrives")


def to_the_home(own):
    answer = own.place.within(lambda: options(HOME, own.user, own.place.address))
    if answer:
        raise Lost(f"the home answers: {answer}")
    told(own, f"{own.place.address} to {HOME}:5060", "OPTIONS sip:")


def from_the_home(own):
    answer = options(own.place.address, own.user, HOME)
    if answer:
        raise Lost(f"the phone answers: {answer}")
    told(own, f"{HOME} to {own.place.address}:{SIP_PORT}", "OPTIONS sip:")


def from_another_edge(far):
    """Over UDP that arrives, on one machine, and is told."""
    options(far.place.address, far.user, EDGES["e3"])
    told(far, f"{EDGES['e3']} to {far.place.address}:{SIP_PORT}", "OPTIONS sip:", "nothing to")


def told(phone, *words):
    until(lambda: any(all(word in what for word in words) for what in phone.astray()), STEP, f"nobody tells of {words}")


def held_against(phones):
    verdict = by_edges_alone("harness", phones[0].account.transport, phones)
    if verdict.good:
        raise Lost(f"{verdict.good} of {verdict.all} went by the edges alone")
