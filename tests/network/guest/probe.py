# What a story's guest can do. Each probe gives one word or one line: "open", "refused", "reset", "silent", or an answer.
import json, os, resource, select, socket, ssl, struct, sys, threading, time

PATIENCE = 20
socket.setdefaulttimeout(PATIENCE)


def say(*what):
    print(*what, flush=True)


def word(error):
    if isinstance(error, socket.gaierror):
        return "unresolved"
    if isinstance(error, (ConnectionRefusedError,)):
        return "refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return "reset"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return "silent"
    if isinstance(error, ssl.SSLEOFError):
        return "closed"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def probe(what):
    """Gives what `what` gives, or the word for how it failed."""
    try:
        return what()
    except OSError as error:
        return word(error)


def tcp(host, port):
    def knock():
        socket.create_connection((host, port)).close()
        return "open"
    return probe(knock)


def raw(host, port, *pieces):
    """Sends pieces, each in a segment of its own, and gives all that comes back until the end."""
    def talk():
        with socket.create_connection((host, port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, piece in enumerate(pieces):
                if number:
                    sent(s)
                s.sendall(piece)
            try:
                s.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # It has ended already; reading says how.
            got = b""
            while some := s.recv(65536):
                got += some
            return got.decode("latin-1") or "closed"
    return probe(talk)


def six():
    """Waits until the card has an IPv6 address that may be used, and a way out: they come by advertisement."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lines = [line.split() for line in open("/proc/net/if_inet6")]
        usable = any(line[5] == "eth0" and line[3] == "00" and not int(line[4], 16) & 0x40 for line in lines)
        routes = [line.split() for line in open("/proc/net/ipv6_route")]
        if usable and any(line[9] == "eth0" and line[1] == "00" for line in routes):
            return True
        select.select([], [], [], 0.05)
    return False


def sent(s):
    """Waits until the other side has acknowledged all, or has ended, so that two pieces are two segments."""
    import fcntl, termios
    end = time.monotonic() + PATIENCE
    while struct.unpack("i", fcntl.ioctl(s, termios.TIOCOUTQ, b"\0" * 4))[0] and time.monotonic() < end:
        if select.select([s], [], [], 0.001)[0]:
            return


def http(host, name=None, path="/", port=80, version="1.1"):
    """Where a request ended: the address that answered, or a word."""
    head = f"GET {path} HTTP/{version}\r\n" + (f"Host: {name}\r\n" if name else "") + "\r\n"
    return where(raw(host, port, head.encode()))


def where(answer):
    if "\r\n\r\n" not in answer:
        return answer
    return json.loads(answer.split("\r\n\r\n", 1)[1])["at"]


def https(host, name, port=443, verify=False, split=False, extra=None):
    """The same under TLS; `name` is the SNI, or None. `split`: the greeting comes in many segments."""
    context = ssl.create_default_context() if verify else ssl._create_unverified_context()
    said = f"GET / HTTP/1.1\r\nHost: {name or 'none'}\r\n\r\n".encode()

    def talk():
        inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = context.wrap_bio(inward, outward, server_hostname=name)
        with socket.create_connection((host, port)) as s:
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            greeted = False

            def flush():
                nonlocal greeted
                out = outward.read()
                if not out:
                    return
                if not greeted:
                    out = greeting(out, extra)
                    if split:
                        for at in range(0, len(out), 13):
                            s.sendall(out[at:at + 13])
                            sent(s)
                        out = b""
                greeted = True
                s.sendall(out)

            def step(what):
                while True:
                    try:
                        return what()
                    except ssl.SSLWantReadError:
                        flush()
                        some = s.recv(65536)
                        if not some:
                            raise ConnectionResetError()
                        inward.write(some)
                    finally:
                        flush()

            step(session.do_handshake)
            session.write(said)
            flush()
            return step(lambda: session.read(65536)).decode()
    return where(probe(talk))


def greeting(hello, extra):
    """A ClientHello, with one more extension if there is one to add."""
    if extra is None:
        return hello
    # Record 5, handshake 4, version 2, random 32, then three lists before the extensions.
    at = 5 + 4 + 2 + 32
    at += 1 + hello[at]
    at += 2 + struct.unpack_from("!H", hello, at)[0]
    at += 1 + hello[at]
    body = bytearray(hello + extra)
    grow = lambda at, form: struct.pack_into(form, body, at, struct.unpack_from(form, body, at)[0] + len(extra))
    grow(at, "!H")
    grow(3, "!H")
    grow(7, "!H")
    return bytes(body)


ECH = struct.pack("!HHB", 0xFE0D, 40, 0) + bytes(39)


def udp(host, port, data=b"hello", tries=3):
    """The answer to a datagram. Datagrams may be lost: it is sent a few times."""
    def talk():
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            s.connect((host, port))
            s.settimeout(2)
            for turn in range(tries):
                s.send(data)
                try:
                    return s.recv(65536).decode("latin-1")
                except TimeoutError:
                    pass
            return "silent"
    return probe(talk)


def question(name, kind=1, number=1234):
    body = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + body + b"\0" + struct.pack("!HH", kind, 1)


def answered(message):
    """`RCODE`, then the addresses, sorted; `cut` if it was cut off."""
    _, flags, questions, answers, _, _ = struct.unpack_from("!6H", message)
    at, found = 12, []

    def skip(at):
        while True:
            length = message[at]
            if length >= 192:
                return at + 2
            if length == 0:
                return at + 1
            at += 1 + length
    for _ in range(questions):
        at = skip(at) + 4
    for _ in range(answers):
        at = skip(at)
        kind, _, _, length = struct.unpack_from("!HHIH", message, at)
        data = message[at + 10:at + 10 + length]
        if kind in (1, 28):
            found.append(socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, data))
        elif kind == 16:
            found.append("text")
        at += 10 + length
    return " ".join([str(flags & 15)] + (["cut"] if flags & 0x200 else []) + sorted(found))


def ask(name, kind=1, server="10.0.2.3", over="udp", tries=3):
    message = name if isinstance(name, bytes) else question(name, kind)

    def talk():
        if over == "tcp":
            with socket.create_connection((server, 53)) as s:
                s.sendall(struct.pack("!H", len(message)) + message)
                file = s.makefile("rb")
                head = file.read(2)
                return answered(file.read(struct.unpack("!H", head)[0])) if len(head) == 2 else "closed"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.connect((server, 53))
            s.settimeout(PATIENCE / tries)
            for turn in range(tries):
                s.send(message)
                try:
                    return answered(s.recv(65536))
                except TimeoutError:
                    pass
            return "silent"
    return probe(talk)


def resolve(name):
    def look():
        return " ".join(sorted({found[4][0] for found in socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)}))
    return probe(look)


def echo(host):
    """An ICMP echo: `open` if it comes back."""
    def ping():
        six = ":" in host
        family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
        with socket.socket(family, socket.SOCK_RAW, protocol) as s:
            message = struct.pack("!BBHHH", 128 if six else 8, 0, 0, 77, 1) + b"machine!"
            if not six:
                total = sum(struct.unpack("!8H", message))
                total = (total & 0xFFFF) + (total >> 16)
                message = message[:2] + struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF) + message[4:]
            s.settimeout(2)
            for turn in range(3):
                s.sendto(message, (host, 0))
                try:
                    while True:
                        back, who = s.recvfrom(65536)
                        if who[0] == host and back.endswith(b"machine!"):
                            return "open"
                except TimeoutError:
                    pass
            return "silent"
    return probe(ping)


def wire():
    """The card itself: whole Ethernet frames, and who is on the other side."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.bind(("eth0", 0))
    mine = open("/sys/class/net/eth0/address").read().strip()
    probe(lambda: udp("10.0.2.2", 9, tries=1))
    other = next(line.split()[3] for line in open("/proc/net/arp") if line.startswith("10.0.2.2 "))
    read = lambda text: bytes.fromhex(text.replace(":", ""))
    return s, read(mine), read(other)


def total(data):
    data += b"\0" * (len(data) % 2)
    whole = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while whole >> 16:
        whole = (whole & 0xFFFF) + (whole >> 16)
    return ~whole & 0xFFFF


def packet(source, target, protocol, body, options=b"", flags=0, number=7, ttl=64):
    """An IPv4 packet."""
    size = 20 + len(options)
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | size // 4, 0, size + len(body), number, flags, ttl, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target)) + options
    return head[:10] + struct.pack("!H", total(head)) + head[12:] + body


def datagram(source, target, port, data):
    """A UDP datagram with its checksum left out, as IPv4 allows."""
    return packet(source, target, 17, struct.pack("!4H", 40000, port, 8 + len(data), 0) + data)
