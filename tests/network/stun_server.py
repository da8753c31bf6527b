# SPDX-License-Identifier: Apache-2.0
"""A STUN server for the laboratory: answers binding requests over UDP and IPv4 (RFC 5389), and nothing else.

python -m tests.network.stun_server ADDRESS PORT
"""

from __future__ import annotations

import socket
import sys

from aioice.stun import Class, Message, Method, parse_message


def main() -> None:
    """Serve until killed."""
    address, port = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, int(port)))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            data, source = server.recvfrom(2048)
            answer = respond(data, source)
            if answer is not None:
                server.sendto(answer, source)


def respond(data: bytes, source: tuple[str, int]) -> bytes | None:
    """The answer to a datagram from an address; None when it is no binding request."""
    try:
        request = parse_message(data)
    except ValueError:
        return None
    if (request.message_method, request.message_class) != (Method.BINDING, Class.REQUEST):
        return None
    answer = Message(Method.BINDING, Class.RESPONSE, transaction_id=request.transaction_id)
    answer.attributes["XOR-MAPPED-ADDRESS"] = source
    return bytes(answer)


if __name__ == "__main__":
    main()
