"""A phone of pjsua2 that takes orders on its standard input and prints its
messages. One account for each edge: that is how pjsua2 keeps two flows of one
instance (RFC 5626)."""

import os
import select
import sys
import uuid

import pjsua2 as pj

USER, FOLDER, TRANSPORT, CA, ADDRESS, PORT, RTP, *PROXIES = sys.argv[1:]
# What it believes its address to be, behind an address translation that it does nothing about.
INSIDE = os.environ.get("INSIDE")
DOMAIN, PASSWORD, DNS = "example.com", "secret", "127.0.0.53"
TYPES = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}


class Printer(pj.LogWriter):
    def write(self, entry):
        sys.stdout.write(entry.msg.rstrip("\n") + "\n")


class Line(pj.Account):
    def onIncomingCall(self, info):
        calls.append(pj.Call(self, info.callId))
        calls[-1].answer(prm(180))


def prm(code=0):
    it = pj.CallOpParam(True)
    it.statusCode = code
    it.opt.audioCount, it.opt.videoCount = 1, 0
    return it


def obey(word, rest):
    if word == "dial":
        # Through the first registration that is there.
        line = next((one for one in lines if one.getInfo().regIsActive), lines[0])
        calls.append(pj.Call(line))
        calls[-1].makeCall(rest, prm())
    elif word == "answer":
        calls[-1].answer(prm(200))
    elif word == "hangup":
        calls[-1].hangup(pj.CallOpParam())
    elif word == "hold":
        calls[-1].setHold(pj.CallOpParam())
    elif word == "resume":
        it = prm()
        it.opt.flag = pj.PJSUA_CALL_UNHOLD
        calls[-1].reinvite(it)


endpoint = pj.Endpoint()
endpoint.libCreate()
settings = pj.EpConfig()
settings.uaConfig.threadCnt = 0
settings.uaConfig.mainThreadOnly = True
settings.uaConfig.nameserver.append(DNS)
settings.logConfig.level = settings.logConfig.consoleLevel = 5
settings.logConfig.decor = 0
printer = Printer()
settings.logConfig.writer = printer
settings.medConfig.noVad = True
endpoint.libInit(settings)
transport = pj.TransportConfig()
transport.port = int(PORT)
transport.boundAddress = ADDRESS
transport.publicAddress = INSIDE or transport.boundAddress
if TRANSPORT == "tls":
    transport.tlsConfig.verifyServer = CA != "-"
    if CA != "-":
        transport.tlsConfig.CaListFile = CA
endpoint.transportCreate(TYPES[TRANSPORT], transport)
endpoint.libStart()
endpoint.audDevManager().setNullDev()

calls, lines = [], []
instance = f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_DNS, USER)}>"
for number, proxy in enumerate(PROXIES, 1):
    account = pj.AccountConfig()
    account.idUri = f"sip:{USER}@{DOMAIN}"
    account.regConfig.registrarUri = f"sip:{DOMAIN}"
    account.regConfig.timeoutSec = 300
    account.regConfig.retryIntervalSec = account.regConfig.firstRetryIntervalSec = 2
    account.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", USER, 0, PASSWORD))
    account.sipConfig.proxies.append(f"{proxy};lr")
    account.natConfig.sipOutboundUse = 0 if INSIDE else 1
    if INSIDE:
        account.natConfig.contactRewriteUse = account.natConfig.viaRewriteUse = 0
        account.natConfig.udpKaIntervalSec = 0
    account.natConfig.sipOutboundInstanceId = instance
    account.natConfig.sipOutboundRegId = str(number)
    # No re-INVITE of its own right after the answer, to agree on one codec.
    account.mediaConfig.lockCodecEnabled = False
    account.mediaConfig.transportConfig.port = int(RTP)
    lines.append(Line())
    lines[-1].create(account)

heard = b""
while True:
    endpoint.libHandleEvents(10)
    sys.stdout.flush()
    if not select.select([0], [], [], 0)[0]:
        continue
    got = os.read(0, 4_096)
    if not got:
        os._exit(0)
    heard += got
    while b"\n" in heard:
        line, heard = heard.split(b"\n", 1)
        word, _, rest = line.decode().partition(" ")
        try:
            obey(word, rest)
        except pj.Error as error:
            print("refused:", word, error.reason)
