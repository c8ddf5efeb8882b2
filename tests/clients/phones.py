"""The phones, each steered the way it offers, all with the same few orders.

A phone is told who it is, what it speaks and through which edges it registers.
What it then does is read from the messages that it prints (`ladder.py`)."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

from ladder import Trace
from network import MEDIA, SIP_PORT
from world import CLUSTER, DNS, DOMAIN, PASSWORD, STEP, Lost, Process, until

HERE = Path(__file__).resolve().parent
# Where baresip takes orders, at its own loopback address.
CONTROL_PORT = 4444


class Account:
    """Who a phone is and how it reaches the edges."""

    def __init__(self, user, transport, edges, ca=None):
        self.user = user
        self.transport = transport
        # The names of the edges, in the order of reg-id.
        self.edges = edges
        # The authority whose signature on an edge's certificate counts.
        self.ca = ca

    def proxies(self):
        """The URIs of the edges: names, whose DNS lists the siblings behind each."""
        return [f"sip:{edge}.{CLUSTER};transport={self.transport}" for edge in self.edges]


class Phone:
    """What all of them have in common; `order` is each one's own."""

    flows = 2
    # Whether its ACK finds the sibling that took its re-INVITE.
    retries_ack = True

    def __init__(self, account, world):
        self.account = account
        self.user = account.user
        self.folder = world.folder / account.user
        self.folder.mkdir(parents=True, exist_ok=True)
        self.trace = Trace()
        self.network = world.network
        self.place = world.network.place()
        world.played.append(self)
        self.process = self.place.within(self.start)

    def log(self):
        return self.folder / "phone.log"

    def uri(self):
        return f"sip:{self.user}@{DOMAIN}"

    def until_registered(self, seconds=STEP):
        if not self.trace.registered(len(self.account.edges), seconds):
            raise Lost(f"{self.user} is not registered: {self.trace.last_words() or self.process.last_words()}")

    def edge(self):
        """The edge that serves it, whose death is the one that counts: the first of its two,
        or the one that has named itself in the Service-Route."""
        if len(self.account.edges) > 1:
            first = self.account.edges[0]
            until(lambda: first in self.trace.served, STEP, f"{self.user} is not on {first}")
            return first
        return until(lambda: self.trace.served_by, STEP, f"no edge names itself to {self.user}")

    def trouble(self):
        """How the phone itself ended, if it did, and what of it went past the edges; or nothing."""
        status = self.process.status()
        ended = [] if status is None else [f"{self.title} itself ended with status {status}"]
        return "".join(f"; {what}" for what in (*ended, *self.astray()[:1]))

    def astray(self):
        """What it sent, or was sent, past the edges: a sentence each."""
        return self.network.astray(self.place.address)

    def dial(self, other):
        """Calls another phone; returns when it was told to."""
        return self._at("dial", other.uri())

    def answer(self):
        return self._at("answer")

    def hangup(self):
        return self._at("hangup")

    def hold(self):
        return self._at("hold")

    def resume(self):
        return self._at("resume")

    def _at(self, word, *rest):
        now = time.monotonic()
        self.order(word, *rest)
        return now

    def stop(self):
        self.process.kill()
        self.place.leave()


class Baresip(Phone):
    """baresip as Debian has it, over its control socket."""

    title = "baresip 1.0"
    # It goes to the first address of the DNS alone, which is the dead edge until that is
    # listed last, and again there when the 2xx is repeated.
    retries_ack = False
    words = {"answer": "accept"}

    @staticmethod
    def version():
        said = subprocess.run(["baresip", "-h"], capture_output=True, text=True).stdout
        return "baresip " + re.search(r"baresip v(\S+)", said)[1] + " (Debian)"

    def start(self):
        modules = next(
            path
            for path in ("/usr/lib/baresip/modules", "/usr/lib/x86_64-linux-gnu/baresip/modules")
            if os.path.isdir(path)
        )
        text = (HERE.parent / "live/baresip/config").read_text()
        for word, value in {
            "@user@": self.user,
            "@address@": self.place.address,
            "@sip@": SIP_PORT,
            "@control@": CONTROL_PORT,
            "@rtp_first@": MEDIA.start,
            "@rtp_last@": MEDIA.stop - 2,
            "@modules@": modules,
        }.items():
            text = text.replace(word, str(value))
        # One DNS, as all phones here have, instead of the edges themselves.
        text = re.sub(r"^(# The edges of the lab\.|dns_server .*)\n", "", text, flags=re.M)
        text += f"dns_server {DNS}:53\n"
        if self.account.ca:
            text += f"sip_cafile {self.account.ca}\n"
        (self.folder / "config").write_text(text)
        (self.folder / "contacts").write_text("")
        (self.folder / "accounts").write_text(f"{baresip_account(self.account)};answermode=manual\n")
        process = Process(
            ["stdbuf", "-oL", "baresip", "-4", "-s", "-f", self.folder], self.log(), reader=self.trace.feed
        )

        def connect():
            if process.ended():
                raise Lost(f"baresip ended: {process.last_words()}")
            try:
                return socket.create_connection(("127.0.0.1", CONTROL_PORT))
            except OSError:
                return None

        self.control = until(connect, STEP, f"{self.user}'s baresip has no control port")
        self.control.setblocking(False)
        return process

    def order(self, word, *rest):
        # What it says there is not needed; its buffer must not fill up.
        try:
            while self.control.recv(65_536):
                pass
        except BlockingIOError:
            pass
        json = '{"command":"%s","params":"%s"}' % (self.words.get(word, word), " ".join(rest))
        self.control.send(f"{len(json)}:{json},".encode())


def baresip_account(account):
    """An account's line; one without edges calls and does not register."""
    line = f'<sip:{account.user}@{DOMAIN};transport={account.transport}>;auth_user={account.user};auth_pass={PASSWORD}'
    if not account.edges:
        return line + ";regint=0"
    for number, proxy in enumerate(account.proxies(), 1):
        line += f';outbound{"" if number == 1 else number}="{proxy}"'
    return line + ";sipnat=outbound;regint=60"


class Scripted(Phone):
    """A library from PyPI in a process of its own, which takes orders line by line."""

    env = {}

    def start(self):
        log = self.log()
        words = [sys.executable, "-B", "-u", HERE / self.script, self.account.user, self.folder, self.account.transport]
        words += [self.account.ca or "-", self.place.address, SIP_PORT, MEDIA.start, *self.account.proxies()]
        return Process(words, log, reader=self.trace.feed, env=dict(os.environ, **self.env))

    def order(self, word, *rest):
        self.process.say(" ".join([word, *rest]))


class Pjsua2(Scripted):
    title = "pjsua2"
    script = "pjsua2_phone.py"

    @staticmethod
    def version():
        return "pjsua2 " + installed("pjsua2-python") + " (PyPI pjsua2-python)"


class Pjsua2Inside(Pjsua2):
    """One that takes itself to be elsewhere, as behind an address translation, speaks no
    RFC 5626 and sends no keep-alives."""

    title = "pjsua2 in NAT"
    flows = 1
    env = {"INSIDE": "10.9.9.9"}


class Baresip4(Scripted):
    title = "baresip 4"
    retries_ack = False
    script = "baresip4_phone.py"

    @staticmethod
    def version():
        return "baresip-python " + installed("baresip-python") + " (PyPI)"


class Linphone(Phone):
    """linphonec over its standard input. It keeps one flow, and goes where the DNS leads it:
    with the address of the name it was given in hand, it often goes to another target of
    the SRV records."""

    title = "linphonec"
    flows = 1
    words = {"dial": "call", "hangup": "terminate", "hold": "pause"}

    @staticmethod
    def version():
        # It is not installed for the core of the plan.
        if not shutil.which("linphonec"):
            return None
        said = subprocess.run(["linphonec", "-v"], capture_output=True, text=True).stdout
        return "linphonec " + re.search(r"\d+\.\d+[.\d]*", said)[0] + " (Debian)"

    def start(self):
        account = self.account
        home = self.folder
        (home / ".local/share/linphone").mkdir(parents=True, exist_ok=True)
        # A transport of its own; -1 has the kernel choose the port, 0 turns it off.
        ports = {name: -1 if name == {"udp": "sip_port"}.get(account.transport, f"sip_{account.transport}_port") else 0 for name in ("sip_port", "sip_tcp_port", "sip_tls_port")}
        text = "[sip]\n" + "".join(f"{name}={number}\n" for name, number in ports.items())
        text += "default_proxy=0\nuse_ipv6=0\nverify_server_certs=%d\nverify_server_cn=1\n" % bool(account.ca)
        if account.ca:
            text += f"root_ca={account.ca}\n"
            # An edge may be shown a certificate; asked for one, linphonec without any asks its user.
            for name, file in (("client_cert_chain", "phone.pem"), ("client_cert_key", "phone.key")):
                text += f"{name}={account.ca.with_name(file)}\n"
        text += f"[rtp]\naudio_rtp_port={MEDIA.start}\n"
        text += f"[auth_info_0]\nusername={account.user}\npasswd={PASSWORD}\nrealm={DOMAIN}\n"
        text += f"[proxy_0]\nreg_proxy=<{account.proxies()[0]}>\nreg_identity=sip:{account.user}@{DOMAIN}\n"
        text += "reg_expires=60\nreg_sendregister=1\npublish=0\n"
        (home / "linphonerc").write_text(text)
        env = dict(os.environ, HOME=str(home))
        words = ["stdbuf", "-oL", "linphonec", "-d", "6", "-c", home / "linphonerc"]
        process = Process(words, self.log(), reader=self.trace.feed, env=env)
        process.say("soundcard use files")
        return process

    def order(self, word, *rest):
        self.process.say(" ".join([self.words.get(word, word), *rest]))


def installed(package):
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


KINDS = {"baresip": Baresip, "baresip4": Baresip4, "pjsua2": Pjsua2, "linphone": Linphone}
