"""CrypTen: additive shares of three processes over loopback, products by triples that the first party makes.

Timed is the operation on encrypted tensors, all parties starting together. Run in CrypTen's environment:
python crypten_runner.py CASES REPEAT OUT
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import crypten
import crypten.communicator
import numpy as np
import torch
from cases import Case, enough, load, row, write

PARTIES = 3
RATE = 0.125


def logreg_step(x: Any, y: Any, w: Any) -> Any:
    return w - x.t().matmul(x.matmul(w).sigmoid() - y) * (RATE / x.shape[0])


def mlp_step(x: Any, y: Any, *weights: Any) -> Any:
    layers, gates = [x], []
    for w in weights[:-1]:
        z = layers[-1].matmul(w)
        gates.append(z > 0)
        layers.append(z * gates[-1])
    error = layers[-1].matmul(weights[-1]).softmax(dim=-1) - y
    steps: list[Any] = []
    for k in reversed(range(len(weights))):
        steps.insert(0, (weights[k] - layers[k].t().matmul(error) * (RATE / x.shape[0])).view(-1))
        if k:
            error = error.matmul(weights[k].t()) * gates[k - 1]
    return crypten.cat(steps)


def chain(x: Any, y: Any) -> Any:
    for _ in range(1000):
        x = 1 - x * y
    return x


TASKS: dict[str, Callable[..., Any]] = {
    "mul": lambda x, y: x * y,
    "fixed_mul": lambda x, y: x * y,
    "dot": lambda x, y: x.dot(y),
    "matmul": lambda x, y: x.matmul(y),
    "lt": lambda x, y: x < y,
    "eq": lambda x, y: x == y,
    "lt_wide": lambda x, y: x < y,
    "relu": lambda x: x.relu(),
    "select": lambda c, x, y: crypten.where(c, x, y),
    "a2b": lambda x: x.to(crypten.mpc.binary),
    "div": lambda x, y: x / y,
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "sigmoid": lambda x: x.sigmoid(),
    "softmax": lambda x: x.softmax(dim=-1),
    "gelu": lambda x: 0.5 * x * (1 + (0.7978845608 * (x + 0.044715 * (x * x * x))).tanh()),
    "logreg_step": logreg_step,
    "mlp_step": mlp_step,
    "chain": chain,
}


def encrypt(x: np.ndarray) -> Any:
    """Integers as they are, all else with CrypTen's own fraction."""
    if x.dtype == np.float64:
        return crypten.cryptensor(torch.from_numpy(x), src=0)
    return crypten.cryptensor(torch.from_numpy(x.astype(np.int64)), src=0, precision=0)


def run(case: Case, link: Any) -> tuple[float, float, Any]:
    inputs = [encrypt(x) for x in case.inputs]
    link.barrier()
    wall, busy = time.perf_counter(), time.process_time()
    result = TASKS[case.task](*inputs)
    return time.perf_counter() - wall, time.process_time() - busy, result


def party(rank: int, port: int, folder: Path, repeat: int, pipe: Connection) -> None:
    """Run every case and send what it took."""
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(PARTIES), RENDEZVOUS=f"tcp://127.0.0.1:{port}")
    crypten.init()
    link = crypten.communicator.get()
    for case in load(folder):
        if case.task in TASKS:
            runs: list[tuple[float, float]] = []
            shared: list[float] = []
            while not enough(shared, repeat):
                runs.append(run(case, link)[:2])
                # The same at every party, so that all go on or none.
                shared.append(float(link.all_reduce(torch.tensor(runs[-1][0]))) / PARTIES)
            with crypten.cfg.temp_override({"communicator.verbose": True}):
                link.reset_communication_stats()
                *_, result = run(case, link)
                sent = link.get_communication_stats()
            plain = result.get_plain_text().numpy()
            pipe.send((runs, sent["bytes"], sent["rounds"], plain if rank == 0 else None))


def main(folder: str, repeat: str, out: str) -> None:
    context = multiprocessing.get_context("spawn")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pipes = []
    for rank in range(PARTIES):
        here, there = context.Pipe()
        context.Process(target=party, args=(rank, port, Path(folder), int(repeat), there), daemon=True).start()
        pipes.append(here)
    rows = []
    for case in load(Path(folder)):
        if case.task in TASKS:
            runs, sent, rounds, results = zip(*(pipe.recv() for pipe in pipes), strict=True)
            walls = [max(wall for wall, _ in same) for same in zip(*runs, strict=True)]
            busy = [sum(cpu for _, cpu in same) for same in zip(*runs, strict=True)]
            name = f"CrypTen {version('crypten')}, three parties, triples by the first"
            rows.append(row(case, name, walls, busy, sum(sent), max(rounds), results[0]))
            print(
                case.task,
                round(min(walls), 4),
                rows[-1]["wrong"],
                rows[-1]["max_abs_error"],
                sum(sent),
                max(rounds),
                flush=True,
            )
    write(rows, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:4])
