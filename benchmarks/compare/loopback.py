"""What loopback carries: one plain TCP connection between two processes."""

from __future__ import annotations

import multiprocessing
import socket
import time

BYTES = 2 << 30
PIECE = 1 << 20


def _send(port: int) -> None:
    piece = bytes(PIECE)
    with socket.create_connection(("127.0.0.1", port)) as s:
        for _ in range(BYTES // PIECE):
            s.sendall(piece)


def throughput(repeat: int = 3) -> float:
    """Bytes per second in one direction, the best of several times."""
    piece, best = bytearray(PIECE), 0.0
    for _ in range(repeat):
        with socket.create_server(("127.0.0.1", 0)) as server:
            sender = multiprocessing.Process(target=_send, args=(server.getsockname()[1],), daemon=True)
            sender.start()
            with server.accept()[0] as s:
                start, received = time.perf_counter(), 0
                while got := s.recv_into(piece):
                    received += got
                best = max(best, received / (time.perf_counter() - start))
            sender.join()
    return best
