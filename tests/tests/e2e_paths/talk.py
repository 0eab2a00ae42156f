"""Both ends of a conversation of one request and one answer.

talk.py serve PORT                                  TCP and UDP, IPv4 and IPv6
talk.py ask tcp|udp|icmp ADDRESS PORT TEXT MARK     MARK: source port, or identifier of the echo
"""

import socket
import struct
import sys
import threading

PATIENCE = 10


def serve(port):
    listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    datagrams = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind(("::", port))

    def answer_datagrams():
        while True:
            _, client = datagrams.recvfrom(2048)
            datagrams.sendto(b"answer", client)

    threading.Thread(target=answer_datagrams, daemon=True).start()
    while True:
        client, _ = listener.accept()
        with client:
            client.recv(2048)
            client.sendall(b"answer")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF


def echo(address, family, text, mark):
    sixth = family == socket.AF_INET6
    protocol = socket.IPPROTO_ICMPV6 if sixth else socket.IPPROTO_ICMP
    request, reply = (128, 129) if sixth else (8, 0)
    text += b" " * (len(text) % 2)
    header = struct.pack("!BBHHH", request, 0, 0, mark, 1)
    # Of ICMPv6 the kernel makes the checksum.
    header = struct.pack("!BBHHH", request, 0, checksum(header + text), mark, 1)
    with socket.socket(family, socket.SOCK_RAW, protocol) as raw:
        raw.settimeout(PATIENCE)
        raw.sendto(header + text, (address, 0))
        while True:
            packet = raw.recv(2048)
            if not sixth:
                packet = packet[(packet[0] & 15) * 4 :]
            kind, _, _, identifier, _ = struct.unpack("!BBHHH", packet[:8])
            if (kind, identifier) == (reply, mark):
                return


def ask(protocol, address, port, text, mark):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    if protocol == "icmp":
        return echo(address, family, text, mark)
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as end:
        end.settimeout(PATIENCE)
        end.bind(("", mark))
        end.connect((address, port))
        end.sendall(text)
        answer = end.recv(2048)
        assert answer == b"answer", answer


if sys.argv[1] == "serve":
    serve(int(sys.argv[2]))
else:
    _, _, protocol, address, port, text, mark = sys.argv
    ask(protocol, address, int(port), text.encode(), int(mark))
