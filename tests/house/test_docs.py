"""Every public name is documented and exported on purpose; every error code has one meaning."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from sources import Source, sources

CODE = re.compile(r"(INPUT|SECRET|PLAN|ROOM|TRANSPORT|RUN|SQL)-\d{3}")
STANDARDS = {"AES", "ISO", "RFC", "SHA", "TLS", "UTF"}
LOOKS_LIKE_A_CODE = re.compile(r"[A-Z]{3,}-\d+")
ONE_PLACE = {"session": "runtime", "node": "runtime", "room": "runtime", "transport": "runtime"}
"""The parts between which one meaning travels: a client and a party raise the same error for the same thing."""


def public(name: str) -> bool:
    return not name.startswith("_")


def undocumented(source: Source) -> Iterator[str]:
    """Public definitions of a module without a docstring."""
    if not ast.get_docstring(source.tree):
        yield f"{source.path} has no docstring."

    def visit(body: list[ast.stmt], prefix: str) -> Iterator[str]:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or not public(node.name):
                continue
            marks = {ast.unparse(d) for d in node.decorator_list}
            told = "overload" in marks or any(m.endswith(".setter") for m in marks)
            if not told and not ast.get_docstring(node):
                yield f"{source.path}:{node.lineno} {prefix}{node.name} has no docstring."
            if isinstance(node, ast.ClassDef):
                yield from visit(node.body, f"{prefix}{node.name}.")

    yield from visit(source.tree.body, "")


def test_every_public_name_has_a_docstring() -> None:
    faults = [fault for s in sources() if public(s.name.rpartition(".")[2]) for fault in undocumented(s)]
    assert not faults, "\n".join(faults)


def test_a_missing_docstring_is_found() -> None:
    text = '"""M."""\nclass A:\n    """A."""\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...\n'
    assert list(undocumented(Source("tacit.m", "m.py", text))) == [
        "m.py:4 A.f has no docstring.",
        "m.py:6 h has no docstring.",
    ]


# --- __all__ ----------------------------------------------------------------------------------------------------


def exported(source: Source) -> list[str] | None:
    for node in source.tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["__all__"]:
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def bound(source: Source) -> tuple[set[str], set[str]]:
    """(all public names at top level, those that must be exported: defined here or imported from this package)."""
    names, own = set(), set()
    for node in source.tree.body:
        new: set[str] = set()
        if isinstance(node, ast.Import | ast.ImportFrom):
            new = {a.asname or a.name.split(".")[0] for a in node.names}
            inside = isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("tacit"))
            if inside:
                modules = {s.name.rpartition(".")[2] for s in sources() if s.name.startswith(source.name + ".")}
                own |= new - modules
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own |= (new := {node.name})
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            own |= (new := {t.id for t in targets if isinstance(t, ast.Name)})
        names |= new
    return {n for n in names if public(n)}, {n for n in own if public(n)}


def isort_order(name: str) -> tuple[int, list[tuple[int, int, str]]]:
    """Constants, classes, functions; each in natural order: the order that ruff keeps (RUF022)."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    pieces = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in re.split(r"(\d+)", name) if p]
    return kind, pieces


PACKAGES = [s for s in sources() if s.package]


@pytest.mark.parametrize("source", PACKAGES, ids=lambda s: s.name)
def test_all_of_a_package_is_exactly_what_it_exports(source: Source) -> None:
    names, own = bound(source)
    listed = exported(source)
    if not own and listed is None:
        return

    assert listed is not None, f"{source.path} binds {sorted(own)} and has no __all__"
    assert sorted(set(listed)) == sorted(listed), "a name is listed twice"
    plain = {n for n in listed if public(n)}
    assert plain <= names | ({"__version__"}), f"not bound: {sorted(plain - names)}"
    assert own <= plain, f"bound and not listed: {sorted(own - plain)}"


@pytest.mark.parametrize("source", [s for s in PACKAGES if s.name != "tacit"], ids=lambda s: s.name)
def test_all_of_a_package_is_sorted(source: Source) -> None:
    listed = exported(source) or []
    assert listed == sorted(listed, key=isort_order)


# --- error codes ------------------------------------------------------------------------------------------------


def skeleton(node: ast.expr) -> str:
    """A message without what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "{}"


def codes(source: Source) -> Iterator[tuple[str, str, str, int]]:
    """(error class, message, code, line) of every code given as a literal; the first two are empty in a table."""
    calls = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Error") and node.args:
            message = skeleton(node.args[1]) if len(node.args) > 1 else ""
            calls[id(node.args[0])] = ast.unparse(node.func).rpartition(".")[2], message
    for node in ast.walk(source.tree):
        value = node.value if isinstance(node, ast.Constant) else None
        if isinstance(value, str) and LOOKS_LIKE_A_CODE.fullmatch(value) and value.split("-")[0] not in STANDARDS:
            yield *calls.get(id(node), ("", "")), value, node.lineno


def test_every_error_code_has_its_form_and_its_class() -> None:
    faults = []
    for s in sources():
        for kind, _, code, line in codes(s):
            if not CODE.fullmatch(code):
                faults.append(f"{s.path}:{line} {code} is not of the form KIND-NNN.")
            elif kind and kind.removesuffix("Error").upper() != code.split("-")[0]:
                faults.append(f"{s.path}:{line} {kind} is raised with {code}.")
    assert not faults, "\n".join(faults)


def test_every_error_code_has_one_meaning() -> None:
    """A code belongs to one part of the package; another part may raise it only with the same message."""
    users: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for s in sources():
        # errors.py defines, it raises nothing; the command line and the demos only show codes.
        if s.area not in ("errors", "cli", "demos"):
            for _, message, code, _ in codes(s):
                users[code][ONE_PLACE.get(s.area, s.area)].add(message)
    faults = [
        f"{code} means different things in {' and '.join(sorted(areas))}."
        for code, areas in sorted(users.items())
        if not set.intersection(*areas.values()) and len(areas) > 1
    ]
    assert not faults, "\n".join(faults)


def test_every_error_code_that_is_mentioned_exists() -> None:
    given = {code for s in sources() for _, _, code, _ in codes(s)}
    # The transport computes its codes from an enum that its docstring tabulates; an unreadable record becomes RUN-000.
    tables = [s.text for s in sources() if s.name == "tacit.transport.faults"]
    given |= {match.group() for table in tables for match in CODE.finditer(table)} | {"RUN-000"}
    faults = [
        f"{s.path} mentions {match.group()}, which nothing raises."
        for s in sources()
        for match in CODE.finditer(s.text)
        if match.group() not in given
    ]
    assert not faults, "\n".join(sorted(set(faults)))
