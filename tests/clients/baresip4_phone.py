"""A phone of baresip-python that takes orders on its standard input and prints
its messages."""

import asyncio
import logging
import sys
import uuid

import baresip

USER, FOLDER, TRANSPORT, CA, ADDRESS, PORT, RTP, *PROXIES = sys.argv[1:]
DOMAIN, PASSWORD, DNS = "example.com", "secret", "127.0.0.53"


class Printer(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), flush=True)


class Calls:
    """Those that there have been. A message is printed before the library tells of its call."""

    def __init__(self):
        self._all = []
        self._here = asyncio.Event()

    def add(self, call):
        self._all.append(call)
        self._here.set()

    async def last(self):
        await asyncio.wait_for(self._here.wait(), 5)
        return self._all[-1]


async def obey(ua, calls, word, rest):
    if word == "dial":
        calls.add(await ua.dial(rest))
        return
    call = await calls.last()
    await {"answer": call.answer, "hangup": call.hangup, "hold": call.hold, "resume": call.resume}[word]()


async def main():
    log = logging.getLogger("baresip")
    log.setLevel(logging.DEBUG)
    log.addHandler(Printer())
    text = f"sip_listen {ADDRESS}:{PORT}\nrtp_ports {RTP}-{int(RTP) + 8}\ndns_server {DNS}:53\n"
    if CA != "-":
        text += f"sip_cafile {CA}\nsip_verify_server yes\n"
    settings = baresip.Config(
        net_interface=ADDRESS,
        sip_trace=True,
        native_log_level="debug",
        instance_id=str(uuid.uuid5(uuid.NAMESPACE_DNS, USER)),
        extra_config_text=text,
    )
    runtime = baresip.Runtime()
    await runtime.start(settings)
    extra = [f'outbound{number}="{proxy}"' for number, proxy in enumerate(PROXIES[1:], 2)]
    account = baresip.Account(
        user=USER,
        domain=DOMAIN,
        password=PASSWORD,
        registrar=PROXIES[0],
        reg_interval=60,
        transport=TRANSPORT,
        extra_params=("sipnat=outbound", *extra),
    )
    ua = await baresip.UserAgent.create(runtime, account)
    calls = Calls()
    ua.on_incoming(calls.add)
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    registering = asyncio.ensure_future(ua.register())
    registering.add_done_callback(lambda it: print("registered:", it.exception() or "yes", flush=True))
    while line := await orders.readline():
        word, _, rest = line.decode().strip().partition(" ")
        try:
            await obey(ua, calls, word, rest)
        except (baresip.BaresipError, TimeoutError) as error:
            print("refused:", word, error, flush=True)


asyncio.run(main())
