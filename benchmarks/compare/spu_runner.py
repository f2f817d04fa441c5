"""SPU: ABY3 over Z_2^64 between three processes, connected by its own transport over loopback.

Timed is the execution of the compiled program on shared inputs, all parties starting together; compiling, sharing and
putting results together are not. Run in SPU's environment: python spu_runner.py CASES REPEAT OUT
"""

from __future__ import annotations

import multiprocessing
import os
import re
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import spu
from cases import Case, enough, load, row, write
from spu import libspu
from spu.utils import frontend

PARTIES = 3
RATE = 0.125
FIXED = {"trunc_allow_msb_error": True}
"""Local truncation: faster, and wrong with a small probability."""

# The fast sort, and the accurate functions.
SETTINGS: dict[str, Any] = {
    "sort_method": spu.RuntimeConfig.SORT_QUICK,
    "fxp_exp_mode": spu.RuntimeConfig.EXP_PADE,
    "sigmoid_mode": spu.RuntimeConfig.SIGMOID_REAL,
}


def logreg_step(x: Any, y: Any, w: Any) -> Any:
    return w - (RATE / x.shape[0]) * (x.T @ (jax.nn.sigmoid(x @ w) - y))


def mlp_step(x: Any, y: Any, *weights: Any) -> Any:
    layers, gates = [x], []
    for w in weights[:-1]:
        z = layers[-1] @ w
        gates.append(z > 0)
        layers.append(jnp.where(gates[-1], z, 0.0))
    error = jax.nn.softmax(layers[-1] @ weights[-1]) - y
    steps: list[Any] = []
    for k in reversed(range(len(weights))):
        steps.insert(0, (weights[k] - (RATE / x.shape[0]) * (layers[k].T @ error)).reshape(-1))
        if k:
            error = jnp.where(gates[k - 1], error @ weights[k].T, 0.0)
    return jnp.concatenate(steps)


TASKS: dict[str, Callable[..., Any]] = {
    "mul": lambda x, y: x * y,
    "fixed_mul": lambda x, y: x * y,
    "dot": lambda x, y: jnp.dot(x, y),
    "matmul": lambda x, y: x @ y,
    "lt": lambda x, y: x < y,
    "eq": lambda x, y: x == y,
    "lt_wide": lambda x, y: x < y,
    "relu": lambda x: jnp.maximum(x, 0),
    "select": lambda c, x, y: jnp.where(c, x, y),
    # XOR with something public takes the bits, and is free on them.
    "a2b": lambda x: (x ^ 1) ^ 1,
    "sort": lambda x: jnp.sort(x),
    "argsort": lambda x: jnp.argsort(x),
    "div": lambda x, y: x / y,
    "exp": jnp.exp,
    "log": jnp.log,
    "sqrt": jnp.sqrt,
    "sigmoid": jax.nn.sigmoid,
    "softmax": lambda x: jax.nn.softmax(x),
    "gelu": lambda x: jax.nn.gelu(x, approximate=True),
    "logreg_step": logreg_step,
    "mlp_step": mlp_step,
    "chain": lambda x, y: jax.lax.fori_loop(0, 1000, lambda _, v: 1 - v * y, x),
}


def config(options: dict[str, Any]) -> Any:
    out = spu.RuntimeConfig(protocol=spu.ProtocolKind.ABY3, field=spu.FieldType.FM64)
    for name, value in {**SETTINGS, **options}.items():
        setattr(out, name, value)
    return out


def party(rank: int, ports: list[int], pipe: Connection) -> None:
    """Serve runs until None comes."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as this process writes
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    desc = libspu.link.Desc()
    desc.recv_timeout_ms = 600_000
    for k, port in enumerate(ports):
        desc.add_party(f"party{k}", f"127.0.0.1:{port}")
    link = libspu.link.create_brpc(desc, rank)
    while (job := pipe.recv()) is not None:
        code, shares, options = job
        program = spu.Executable()
        program.ParseFromString(code)
        seconds, cpu = [], []
        last = False
        while not last:
            # What was sent is learnt from one more run, with its protocol.
            last = pipe.recv()
            runtime = spu.Runtime(link, config({**options, "enable_pphlo_profile": last}))
            for name, share in shares:
                runtime.set_var(name, share)
            link.barrier()
            wall, busy = time.perf_counter(), time.process_time()
            runtime.run(program)
            seconds.append(time.perf_counter() - wall)
            cpu.append(time.process_time() - busy)
            pipe.send(seconds[-1])
        result = [runtime.get_var(name) for name in program.output_names]
        log.seek(0)
        found = re.findall(rb"Link details: total send bytes (\d+).*?send actions (\d+)", log.read())
        pipe.send((seconds[:-1], cpu[:-1], [int(x) for x in found[-1]], result))


def free_ports() -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(PARTIES)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def measure(case: Case, pipes: list[Connection], options: dict[str, Any], repeat: int) -> dict[str, Any]:
    function = TASKS[case.task]
    secret = libspu.Visibility.VIS_SECRET
    inputs = case.inputs
    names = [f"in{k}" for k in range(len(inputs))]
    program, _ = frontend.compile(
        frontend.Kind.JAX,
        function,
        inputs,
        {},
        names,
        [secret] * len(inputs),
        lambda out: [f"out{k}" for k in range(len(out))],
    )
    io = spu.Io(PARTIES, config(options))
    shares = [io.make_shares(x, secret) for x in inputs]
    for rank, pipe in enumerate(pipes):
        mine = [(name, s[rank]) for name, s in zip(program.input_names, shares, strict=True)]
        pipe.send((program.SerializeToString(), mine, options))
    seconds: list[float] = []
    while True:
        last = enough(seconds, repeat)
        for pipe in pipes:
            pipe.send(last)
        seconds.append(max(pipe.recv() for pipe in pipes))
        if last:
            break
    answers = [pipe.recv() for pipe in pipes]
    (result,) = [io.reconstruct(list(s)) for s in zip(*(a[3] for a in answers), strict=True)]
    told = "".join(f", {name}" for name in options)
    return row(
        case,
        f"SPU {spu.__version__}, ABY3, FM64{told}",
        [max(walls) for walls in zip(*(a[0] for a in answers), strict=True)],
        [sum(busy) for busy in zip(*(a[1] for a in answers), strict=True)],
        sum(a[2][0] for a in answers),
        max(a[2][1] for a in answers),
        result,
    )


def main(folder: str, repeat: str, out: str) -> None:
    jax.config.update("jax_enable_x64", True)
    context = multiprocessing.get_context("spawn")
    ports = free_ports()
    pipes, processes = [], []
    for rank in range(PARTIES):
        here, there = context.Pipe()
        process = context.Process(target=party, args=(rank, ports, there), daemon=True)
        process.start()
        pipes.append(here)
        processes.append(process)
    rows = []
    for case in load(Path(folder)):
        if case.task not in TASKS:
            continue
        ways = [{}, FIXED] if any(x.dtype == np.float64 for x in case.inputs) else [{}]
        found = [measure(case, pipes, options, int(repeat)) for options in ways]
        # The fastest way that is right, if any is.
        rows.append(min(found, key=lambda r: (r["wrong"] > 0, min(r["seconds_all"]))))
        print(case.task, [(round(min(r["seconds_all"]), 4), r["wrong"], r["max_abs_error"]) for r in found], flush=True)
    for pipe in pipes:
        pipe.send(None)
    for process in processes:
        process.join(10)
    write(rows, Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:4])
