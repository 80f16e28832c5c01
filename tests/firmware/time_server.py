#!/usr/bin/python3
"""A time server (SNTP, RFC 4330) on 127.0.0.1:123, where the guest finds it as 10.0.2.2: time_server.py

Needs root for that port. Before each true answer it sends a forged one: with another number and a date in 2031.
"""

import socket
import struct
import time

FROM_1900_TO_1970 = 2_208_988_800
FORGED_SECONDS = 1_924_992_000


def answer(number, seconds):
    return struct.pack(">BBbb11I", 4 << 3 | 4, 2, 6, -20, 0, 0, 0, 0, 0, *struct.unpack(">II", number), 0, 0,
                       int(seconds) + FROM_1900_TO_1970, 0)


def main():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 123))
        print("ready", flush=True)
        while True:
            request, client = server.recvfrom(512)
            if len(request) >= 48 and request[0] & 7 == 3:
                number = request[40:48]
                server.sendto(answer(bytes(octet ^ 0x55 for octet in number), FORGED_SECONDS), client)
                server.sendto(answer(number, time.time()), client)


if __name__ == "__main__":
    main()
