"""tlslite-ng on the other side of the record layer, once for each thing that a peer may do.

tlslite_peer.py ROLE PORT VERSION CIPHER CERT KEY PLAN

A client connects to PORT, a server listens on one and prints `PORT n`. What it has seen of us is
printed line by line; `closed` and the names of alerts come last.
"""

import socket
import sys

from tlslite.api import (
    HandshakeSettings,
    TLSConnection,
    TLSRemoteAlert,
    X509CertChain,
    parsePEMKey,
)
from tlslite.constants import AlertDescription, ContentType, KeyUpdateMessageType
from tlslite.errors import TLSAbruptCloseError, TLSError
from tlslite.messages import Message


class Wire:
    """The socket, whose bytes can be held back, changed and repeated."""

    def __init__(self, sock):
        self.sock = sock
        self.change = lambda data: data
        self.last = b""

    def send(self, data):
        self.sendall(data)
        return len(data)

    def sendall(self, data):
        self.last = bytes(data)
        self.sock.sendall(self.change(self.last))

    def __getattr__(self, name):
        return getattr(self.sock, name)


def run(generator):
    for _ in generator:
        pass


class Peer:
    def __init__(self, connection, wire):
        self.tls = connection
        self.wire = wire

    @property
    def is_new(self):
        return self.tls.version > (3, 3)

    def say(self, data):
        self.tls.write(bytearray(data))

    def hear(self, length):
        data = bytes(self.tls.read(min=length, max=length))
        print("heard", len(data), flush=True)
        return data

    def record(self, kind, content):
        """One record of any type, sealed as the keys are, in no pieces."""
        run(self.tls._recordLayer.sendRecord(Message(kind, bytearray(content))))

    def update(self, kind):
        run(self.tls.send_keyupdate_request(kind))

    def echo(self, data):
        self.say(data)
        assert self.hear(len(data)) == data

    # What decent peers do.

    def lengths(self):
        for length in (1, 2, 500, 1 << 14, (1 << 14) + 1):
            self.echo(bytes(i * 7 & 255 for i in range(length)))
        self.record(ContentType.application_data, b"")
        self.echo(b"behind nothing")

    def padding(self):
        for length, room in ((1, 1), (100, 1), (1, 255), (100, 255), (1, 16384), (100, 16384), (16000, 16384)):
            self.tls._recordLayer.padding_cb = lambda _len, _kind, most: b"\0" * min(room, most)
            self.echo(b"p" * length)

    def updates(self):
        for kind in (KeyUpdateMessageType.update_requested, KeyUpdateMessageType.update_not_requested):
            for count in (1, 3):
                for _ in range(count):
                    self.update(kind)
                self.echo(b"with the next key")
                self.echo(b"and again")

    # What ends a session.

    def heartbeat(self):
        self.record(ContentType.heartbeat, b"\1\0\20" + b"h" * 32)

    def change_cipher_spec(self):
        self.record(ContentType.change_cipher_spec, b"\1")

    def forged(self):
        self.wire.change = lambda data: data[:-1] + bytes([data[-1] ^ 1])
        self.say(b"forged")

    def repeated(self):
        self.echo(b"once")
        self.wire.sock.sendall(self.wire.last)

    def left_out(self):
        self.wire.change = lambda data: b""
        self.say(b"lost")
        self.wire.change = lambda data: data
        self.say(b"found")

    def too_long(self):
        self.record(ContentType.application_data, b"l" * ((1 << 14) + 1))

    def much_too_long(self):
        self.record(ContentType.application_data, b"l" * ((1 << 14) + 1000))

    def empty_alert(self):
        self.record(ContentType.alert, b"")

    def long_alert(self):
        self.record(ContentType.alert, b"\1\0\1\0")

    def finished_again(self):
        self.record(ContentType.handshake, b"\x14\0\0\x0c" + b"f" * 12)

    def no_update(self):
        self.record(ContentType.handshake, b"\x18\0\0\1\2")

    def long_update(self):
        self.record(ContentType.handshake, b"\x18\0\0\2\0\0")

    def update_and_more(self):
        self.record(ContentType.handshake, b"\x18\0\0\1\0\x18")

    def split_by_data(self):
        self.record(ContentType.handshake, b"\x18\0")
        self.record(ContentType.application_data, b"between")

    def update_flood(self):
        for _ in range(33):
            self.update(KeyUpdateMessageType.update_requested)

    def empty_flood(self):
        for _ in range(33):
            self.record(ContentType.application_data, b"")

    def hello(self):
        for _ in range(1 if self.is_new else 2):
            if self.tls._client:
                self.record(ContentType.handshake, b"\1\0\0\x20" + b"c" * 32)
            else:
                self.record(ContentType.handshake, b"\0\0\0\0")

    def fatal(self):
        self.record(ContentType.alert, bytes([2, AlertDescription.handshake_failure]))

    def warnings(self):
        self.record(ContentType.alert, bytes([1, AlertDescription.user_canceled]))
        self.echo(b"never mind")

    def goodbye(self):
        self.echo(b"last words")


def settings(version, cipher):
    made = HandshakeSettings()
    made.minVersion = made.maxVersion = {"1.2": (3, 3), "1.3": (3, 4)}[version]
    made.versions = [made.maxVersion]
    made.cipherNames = [cipher]
    made.use_heartbeat_extension = False
    made.eccCurves = ["secp256r1", "x25519"]
    return made


def main():
    role, port, version, cipher, cert, key, plan = sys.argv[1:]
    if role == "server":
        listener = socket.create_server(("127.0.0.1", 0))
        print("PORT", listener.getsockname()[1], flush=True)
        sock, _ = listener.accept()
    else:
        sock = socket.create_connection(("127.0.0.1", int(port)))
    sock.settimeout(60)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wire = Wire(sock)
    tls = TLSConnection(wire)
    if role == "server":
        with open(cert) as pem, open(key) as secret:
            chain = X509CertChain()
            chain.parsePemList(pem.read())
            private = parsePEMKey(secret.read(), private=True)
        tls.handshakeServer(certChain=chain, privateKey=private, settings=settings(version, cipher))
    else:
        tls.handshakeClientCert(serverName="h.example", settings=settings(version, cipher))
    try:
        getattr(Peer(tls, wire), plan)()
        if plan == "goodbye":
            tls.close()
        else:
            # Until it is told why.
            while tls.read(max=1 << 14):
                pass
        print("closed", flush=True)
    except TLSRemoteAlert as alert:
        print("alert", AlertDescription.toStr(alert.description), flush=True)
    except TLSAbruptCloseError:
        print("cut off", flush=True)
    except TLSError as error:
        print("error", repr(error), flush=True)


main()
