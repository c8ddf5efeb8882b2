"""The network between phones and edges: a phone lives in a namespace of its own
and reaches the edges and the DNS, nothing else. Phones reach each other with
media alone, as through address translations that know no call: a message that
has lost its route does not arrive because all of it is one machine.

What a phone sends elsewhere, and what anybody but an edge or the DNS sends to a
phone, is led astray: into a cable that ends nowhere, where it is written down. So is
what an edge sends to a phone that has sent it nothing: that arrives here, and would
not through an address translation."""

import ctypes
import itertools
import os
import re
import socket
import struct
import subprocess
import threading

from world import DNS, EDGES

# Phones have addresses of the net for measurements (RFC 2544), and this is their gateway.
PHONES = "198.18.0.0/15"
GATEWAY = "198.18.0.1"
# Where each phone takes SIP, and its media; TLS is taken on the next port up.
SIP_PORT = 5060
MEDIA = range(20_000, 20_010)
# What a phone may reach, and what may reach it.
BY = (*EDGES.values(), DNS)
# What leads to this machine's own addresses, seen from a phone: edges, the home, the DNS.
THERE = ("127.0.0.8/29", DNS)

# What is said of a connection that begins.
CONNECTION = "a connection"

_CLONE_NEWNET = 0x4000_0000
_SO_ATTACH_FILTER = 26
_ALL, _IPV4 = 0x0003, 0x0800
_libc = ctypes.CDLL(None, use_errno=True)
# A datagram that begins so is SIP, whoever sent it.
_SIP = re.compile(rb"(?:SIP/2\.0 \d{3}|[A-Z]{3,12} (?:sips?|tel|urn):)[^\r\n]*")


def _check(result):
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _elsewhere(do):
    """What `do` returns in a thread of its own: a namespace that it enters is that thread's."""
    outcome = []

    def run():
        try:
            outcome.append((do(), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    result, error = outcome[0]
    if error:
        raise error
    return result


def _ip(lines):
    """Commands of ip(8), all or an error that has its words."""
    done = subprocess.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n", capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip: {done.stderr.strip()} in: {'; '.join(lines)}")


def _set(name, value):
    with open(f"/proc/sys/net/ipv4/{name}", "w") as file:
        file.write(str(value))


class Place:
    """Where one phone lives."""

    def __init__(self, number):
        self.address = socket.inet_ntoa((int.from_bytes(socket.inet_aton(GATEWAY)) + number).to_bytes(4))
        self._cable = f"phone{number}"
        self._namespace = _elsewhere(self._make)
        _ip([f"link set {self._cable} up", f"route add {self.address} dev {self._cable}"])

    def _make(self):
        _check(_libc.unshare(_CLONE_NEWNET))
        # Edges have addresses of the loopback net.
        _set("conf/all/route_localnet", 1)
        _ip(
            [
                "link set lo up",
                f"link add way type veth peer name {self._cable} netns {os.getpid()}",
                f"address add {self.address}/32 dev way",
                "link set way up",
                f"route add default via {GATEWAY} dev way onlink src {self.address}",
                *(f"route add {net} via {GATEWAY} dev way onlink src {self.address} table local" for net in THERE),
            ]
        )
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

    def within(self, do):
        """What `do` returns there: processes that it starts and sockets that it opens stay."""

        def run():
            _check(_libc.setns(self._namespace, _CLONE_NEWNET))
            return do()

        return _elsewhere(run)

    def leave(self):
        """The end of it, when every process there has ended."""
        if self._namespace is None:
            return
        os.close(self._namespace)
        self._namespace = None
        subprocess.run(["ip", "link", "delete", self._cable], stderr=subprocess.DEVNULL)


class Network:
    """All places, and what went astray between them."""

    def __init__(self):
        self._numbers = itertools.count(1)
        self._astray = []
        # Whom each phone has sent something from where, and so may hear from there.
        self._flows = set()
        _set("ip_forward", 1)
        for name in ("all", "default"):
            _set(f"conf/{name}/rp_filter", 0)
        _set("conf/all/route_localnet", 1)
        media = f"{MEDIA.start}-{MEDIA.stop - 1}"
        _ip(
            [
                "link set lo up",
                f"address add {GATEWAY}/32 dev lo",
                "link add astray type veth peer name seen",
                "link set astray arp off up",
                "link set seen up",
                "route add default dev astray table 99",
                # Before all other rules, that of our own addresses too, which takes another place.
                "rule add pref 100 lookup local",
                "rule del pref 0",
                f"rule add pref 1 from {PHONES} to {PHONES} ipproto udp sport {media} dport {media} goto 100",
                *(f"rule add pref 2 from {PHONES} to {by} goto 100" for by in (*BY, GATEWAY)),
                *(f"rule add pref 3 from {by} to {PHONES} goto 100" for by in (*BY, GATEWAY)),
                f"rule add pref 4 from {PHONES} lookup 99",
                f"rule add pref 5 to {PHONES} lookup 99",
            ]
        )
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        _wake_for_messages(wire)
        threading.Thread(target=self._watch, args=(wire,), daemon=True).start()

    def _watch(self, wire):
        while True:
            packet, (link, protocol, direction, *_) = wire.recvfrom(65_535)
            message = protocol == _IPV4 and message_of(packet)
            if not message:
                continue
            source, target, what = message
            said = f"{source[0]} to {target[0]}:{target[1]}"
            if link == "seen":
                self._astray.append(({source[0], target[0]}, f"{said}, not by an edge: {what}"))
            elif link.startswith("phone") and direction != socket.PACKET_OUTGOING:
                self._flows.add((source, target))
            elif link.startswith("phone") and (what == CONNECTION or (target, source) not in self._flows):
                self._astray.append(({target[0]}, f"{said}, which has sent nothing to {source[0]}: {what}"))

    def place(self):
        return Place(next(self._numbers))

    def reached(self, address):
        """The addresses that this phone has sent SIP or opened a connection to."""
        return {target[0] for source, target in list(self._flows) if source[0] == address}

    def astray(self, address):
        """What SIP of this phone, or for it, went by no edge or by one it has no flow to: a sentence each."""
        return [what for ends, what in list(self._astray) if address in ends]


def message_of(packet):
    """Source, target and start line of SIP over UDP; the same of what begins a connection; or None."""
    head = (packet[0] & 15) * 4
    body = packet[head:]
    if int.from_bytes(packet[6:8]) & 0x1FFF:
        # A later fragment.
        return None
    if packet[9] == socket.IPPROTO_TCP:
        what = CONNECTION
    else:
        said = _SIP.match(body, 8)
        if not said:
            return None
        what = said[0].decode(errors="replace")
    ends = (socket.inet_ntoa(packet[at : at + 4]) for at in (12, 16))
    ports = (int.from_bytes(body[at : at + 2]) for at in (0, 2))
    return (*zip(ends, ports), what)


def _wake_for_messages(wire):
    """Has the kernel hand over only UDP whose first byte is a capital letter, and TCP with SYN
    and without ACK (a classic socket filter). Media are neither."""
    program = [
        (0x30, 0, 0, 9),  # the protocol
        (0x15, 0, 4, socket.IPPROTO_UDP),
        (0xB1, 0, 0, 0),  # the length of the IP header
        (0x50, 0, 0, 8),  # the first byte beyond the UDP header
        (0x35, 0, 7, ord("A")),
        (0x25, 6, 5, ord("Z")),
        (0x15, 0, 5, socket.IPPROTO_TCP),
        (0xB1, 0, 0, 0),
        (0x50, 0, 0, 13),  # the flags
        (0x54, 0, 0, 0x12),
        (0x15, 0, 1, 0x02),
        (0x06, 0, 0, 0xFFFF),  # all of it
        (0x06, 0, 0, 0),  # nothing
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
    wire.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))
