"""Arrows point one way only: which part of the package may import which."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest
from sources import ROOT, Source, imports, sources, third_party

# What each part may import, besides itself. A name with a dot stands for that module alone.
LOW = {"errors", "kernels"}
RUNTIME = {*LOW, "protocols", "library", "engine", "plan", "transport", "room", "frontends"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "kernels": {"_native"},
    "transport": {"errors", "_native"},
    "plan": {"errors"},
    "protocols": {*LOW, "plan.types"},
    "frontends": {"errors", "plan"},
    "room": {"errors", "plan"},
    "library": {*LOW, "protocols"},
    "engine": {*LOW, "protocols", "library", "plan", "transport"},
    "session": RUNTIME,
    "node": {*RUNTIME, "session"},
    "": {*RUNTIME, "session"},
    "demos": {*RUNTIME, "session", ""},
    "ibis": {*RUNTIME, "session", ""},
    "bench": {*RUNTIME, "session", "node", "demos", ""},
    "cli": {*RUNTIME, "session", "node", "demos", "bench", ""},
}

# What a coroutine of a protocol or of the library must not touch: it only computes and awaits rounds.
SANS_IO = ("protocols", "library")
NO_WORLD = {
    "asyncio", "datetime", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "select", "socket",
    "subprocess", "sys", "threading", "time",
}  # fmt: skip


def layering_faults(modules: Iterable[Source]) -> list[str]:
    modules = tuple(modules)
    names = frozenset({m.name for m in modules} | {"tacit._native"})
    faults = []
    for module in modules:
        if module.area not in MAY_IMPORT:
            faults.append(f"{module.path} is in no floor of the house: add `{module.area}` to MAY_IMPORT.")
            continue
        allowed = MAY_IMPORT[module.area]
        for found in imports(module, names):
            below = found.module.removeprefix("tacit").removeprefix(".")
            area = below.split(".")[0]
            if area != module.area and area not in allowed and below not in allowed:
                faults.append(
                    f"{module.path}:{found.line} imports {found.module}, but {module.area or 'tacit'} may import only "
                    f"{', '.join(sorted(a or 'tacit' for a in allowed)) or 'nothing'}."
                )
    return faults


def cycles(modules: Iterable[Source]) -> list[str]:
    """The import cycles between modules, each as a path. Imports inside functions or for types only do not count."""
    modules = tuple(modules)
    names = frozenset(m.name for m in modules)
    graph = {
        m.name: sorted({i.module for i in imports(m, names) if not i.lazy and i.module != m.name} & names)
        for m in modules
    }
    found: list[str] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append(" -> ".join([*path[path.index(name) :], name]))
        elif name not in done:
            for target in graph[name]:
                visit(target, [*path, name])
            done.add(name)

    for name in graph:
        visit(name, [])
    return found


def test_imports_only_point_down() -> None:
    faults = layering_faults(sources())
    assert not faults, "\n".join(faults)


def test_no_module_imports_itself_through_others() -> None:
    # A package and its own modules are one room: `from tacit.plan import text` inside plan/ is no cycle of the house.
    found = [c for c in cycles(sources()) if not _inside_one_package(c)]
    assert not found, "\n".join(found)


def _inside_one_package(cycle: str) -> bool:
    names = cycle.split(" -> ")
    packages = {s.name for s in sources() if s.package}
    return any(name in packages and all(n == name or n.startswith(name + ".") for n in names) for name in names)


@pytest.mark.parametrize("area", SANS_IO)
def test_protocols_and_library_have_no_clock_socket_thread_or_logger(area: str) -> None:
    faults = [
        f"{s.path}:{line} imports {name}: randomness, time and transport come in as arguments."
        for s in sources()
        if s.area == area
        for name, line in third_party(s)
        if name in NO_WORLD
    ]
    faults += [
        f"{s.path}:{node.lineno} uses numpy.random: masks come from the keys of the run."
        for s in sources()
        if s.area == area
        for node in ast.walk(s.tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "np.random"
    ]
    assert not faults, "\n".join(faults)


def test_only_the_kernels_and_the_transport_touch_the_native_module() -> None:
    names = frozenset({s.name for s in sources()} | {"tacit._native"})
    users = {s.area for s in sources() for i in imports(s, names) if i.module == "tacit._native"}
    assert users <= {"kernels", "transport"}


# --- reveal is the only way out ---------------------------------------------------------------------------------

WAYS_OUT = {"reveal", "for_client", "combine"}
"""The methods of a black box that give values out of shares. `combine` is run by a client, on what it was sent."""

OPENINGS = {"open_outcomes", "open_less", "open_positions", "open_tags", "announce"}
"""The methods of a black box that open facts about rows in an order nobody knows: random, whatever the data, but for
tags, which tell which rows are equal."""


COMMON = {"bits_without"}
"""The methods of a black box that give out random bits of no value at all."""


def test_no_other_public_method_of_a_protocol_gives_out_an_array() -> None:
    faults = [
        f"{s.path}:{method.lineno} {kind.name}.{method.name} returns {ast.unparse(method.returns)}."
        for s in sources()
        if s.area == "protocols" and s.name.rpartition(".")[2] not in ("shares", "exchange")
        for kind in s.tree.body
        if isinstance(kind, ast.ClassDef) and not kind.name.startswith("_")
        for method in kind.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        if not method.name.startswith("_") and method.returns is not None
        if method.name not in WAYS_OUT | OPENINGS | COMMON
        if "Array" in ast.unparse(method.returns)
    ]
    assert not faults, "\n".join(faults)


OPENERS = {
    # Only the engine opens, with one exception, which a plan lists: a sort by the strategy "shuffle" needs to know how
    # shuffled rows compare, in the midst of its work, and secret permutations are applied through a shuffled one.
    "tacit.protocols.blackbox": {"reveal"},
    "tacit.library.shuffled": {"open_outcomes", "open_less", "open_positions"},
    "tacit.library.matching": {"open_tags", "announce"},
}


@pytest.mark.parametrize("area", SANS_IO)
def test_protocols_and_library_never_open_anything_on_their_own(area: str) -> None:
    """An opening is a node of the plan: only the engine calls for one."""
    faults = [
        f"{s.path}:{node.lineno} calls {node.func.attr}."
        for s in sources()
        if s.area == area
        for node in ast.walk(s.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if node.func.attr in (WAYS_OUT | OPENINGS) - OPENERS.get(s.name, set())
    ]
    assert not faults, "\n".join(faults)


def test_a_black_box_reveals_on_its_own_only_where_the_library_says_what_is_random() -> None:
    (box,) = (s for s in sources() if s.name == "tacit.protocols.blackbox")
    callers = {
        method.name
        for method in ast.walk(box.tree)
        if isinstance(method, ast.AsyncFunctionDef)
        for node in ast.walk(method)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reveal"
    }
    assert callers <= OPENINGS


def test_the_library_never_looks_at_the_parts_of_a_share() -> None:
    faults = [
        f"{s.path}:{node.lineno} reads .parts: the library knows shares only through the black box."
        for s in sources()
        if s.area == "library"
        for node in ast.walk(s.tree)
        if isinstance(node, ast.Attribute) and node.attr == "parts"
    ]
    assert not faults, "\n".join(faults)


# --- small rules ------------------------------------------------------------------------------------------------


def test_nothing_is_printed_outside_the_command_line() -> None:
    faults = [
        f"{s.path}:{node.lineno} prints."
        for s in sources()
        if s.area != "cli"
        for node in ast.walk(s.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not faults, "\n".join(faults)


def test_every_source_file_names_its_licence() -> None:
    paths = [ROOT / s.path for s in sources()]
    paths += [p for p in (ROOT / "crates").rglob("*.rs") if "target" not in p.parts]
    faults = [str(p.relative_to(ROOT)) for p in paths if "SPDX-License-Identifier: Apache-2.0" not in first_line(p)]
    assert not faults, "The first line has no SPDX identifier: " + ", ".join(faults)


def first_line(path: object) -> str:
    with open(str(path)) as file:
        return file.readline()


# --- the tests can fail -----------------------------------------------------------------------------------------


def test_an_import_against_the_arrows_is_found() -> None:
    modules = [
        Source("tacit", "tacit/__init__.py", "", True),
        Source("tacit.plan", "plan/__init__.py", "", True),
        Source("tacit.plan.text", "plan/text.py", "def f():\n    from tacit.engine import drive\n"),
        Source("tacit.engine", "engine/__init__.py", "from ..plan import text\n", True),
        Source("tacit.engine.drive", "engine/drive.py", "import numpy\n"),
        Source("tacit.protocols", "protocols/__init__.py", "from tacit.plan import text", True),
    ]
    faults = layering_faults(modules)
    assert [f.split(" ")[0] for f in faults] == ["plan/text.py:2", "protocols/__init__.py:1"]
    assert "imports tacit.engine.drive, but plan may import only errors." in faults[0]


def test_an_import_cycle_is_found() -> None:
    modules = [
        Source("tacit.a", "a.py", "from tacit import b"),
        Source("tacit.b", "b.py", "import tacit.c"),
        Source("tacit.c", "c.py", "from . import a"),
        Source("tacit.d", "d.py", "def f():\n    import tacit.d2"),
        Source("tacit.d2", "d2.py", "from tacit.d import f"),
    ]
    assert cycles(modules) == ["tacit.a -> tacit.b -> tacit.c -> tacit.a"]
