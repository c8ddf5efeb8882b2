"""The SIP messages that a phone prints, with the time at which it did.

Phones print them in dialects of their own; what they share is the message
itself, from its start line to the empty line. Everything that the cells say is
read from there: not what a phone claims, but what it sent and got."""

import re
import threading
import time
from dataclasses import dataclass

_REQUEST = re.compile(r"([A-Z]{3,12}) (sips?:\S+|tel:\S+|urn:\S+) SIP/2\.0$")
_ANSWER = re.compile(r"SIP/2\.0 (\d{3}) ?(.*)$")
_CALL_ID = re.compile(r"(?:call-id|i)\s*:\s*(\S+)", re.I)
_SERVICE_ROUTE = re.compile(r"service-route\s*:\s*<sips?:[^>]*@(e\d)\.", re.I)
_CSEQ = re.compile(r"cseq\s*:\s*(\d+)\s+([A-Z]+)", re.I)


@dataclass(frozen=True)
class Message:
    at: float
    # None for a request.
    code: int | None
    method: str
    call_id: str
    cseq: int
    start: str


class Trace:
    """All messages of one phone; `feed` it lines, `wait` for what they say."""

    def __init__(self):
        self.messages = []
        # The edge that named itself in the last Service-Route.
        self.served_by = None
        # All that did.
        self.served = set()
        self._news = threading.Condition()
        self._open = None

    def feed(self, line, at):
        if served := _SERVICE_ROUTE.match(line):
            self.served_by = served[1]
            self.served.add(served[1])
        started = _REQUEST.search(line) or _ANSWER.search(line)
        if started:
            code = int(started[1]) if started.re is _ANSWER else None
            self._open = [at, code, started[0], None, None]
        elif self._open:
            if match := _CALL_ID.match(line):
                self._open[3] = match[1]
            elif match := _CSEQ.match(line):
                self._open[4] = (int(match[1]), match[2])
            if self._open[3] and self._open[4]:
                at, code, start, call_id, (cseq, method) = self._open
                self._open = None
                with self._news:
                    self.messages.append(Message(at, code, method, call_id, cseq, start))
                    self._news.notify_all()

    def wait(self, ask, seconds):
        """The first true answer of `ask(messages)`; None after `seconds`."""
        end = time.monotonic() + seconds
        with self._news:
            while True:
                answer = ask(self.messages)
                if answer:
                    return answer
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._news.wait(left)

    def registered(self, flows, seconds, since=0.0):
        """True once so many registrations (by Call-ID) have had a 2xx after `since`."""

        def ask(messages):
            ids = {m.call_id for m in messages if m.method == "REGISTER" and m.code and m.code < 300 and m.at > since}
            return len(ids) >= flows

        return self.wait(ask, seconds)

    def request(self, method, since, seconds):
        """The first request of this method after `since`."""
        return self.wait(lambda all: _first(all, lambda m: m.code is None and m.method == method and m.at >= since), seconds)

    def answer(self, method, since, seconds, codes=range(200, 700)):
        """The last word on a request made after `since`, challenges left aside."""

        def ask(messages):
            asked = {(m.call_id, m.cseq) for m in messages if m.code is None and m.method == method and m.at >= since}
            return _first(
                messages,
                lambda m: m.code in codes and m.code not in (401, 407) and m.method == method and (m.call_id, m.cseq) in asked,
            )

        return self.wait(ask, seconds)

    def until_quiet(self, quiet, seconds):
        """Waits until nothing has been said for `quiet` seconds: what phones do on
        their own after an answer (another offer, an address that changed) is over."""
        end = time.monotonic() + seconds
        with self._news:
            while (now := time.monotonic()) < end:
                last = self.messages[-1].at if self.messages else 0
                if now - last >= quiet:
                    return True
                self._news.wait(quiet - (now - last))
        return False

    def last_words(self, count=6):
        return "; ".join(f"{m.start} ({m.cseq} {m.method})" for m in self.messages[-count:])


def _first(messages, test):
    return next((m for m in messages if test(m)), None)
