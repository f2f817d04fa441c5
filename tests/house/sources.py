"""The package's sources, parsed once, for the tests of the house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "tacit"


@dataclass(frozen=True)
class Source:
    """One module: `name` as imported (`tacit.plan.types`), `area` its folder or file below tacit (`plan`)."""

    name: str
    path: str
    text: str
    package: bool = False

    @property
    def area(self) -> str:
        return self.name.split(".")[1] if "." in self.name else ""

    @property
    def tree(self) -> ast.Module:
        return parse(self.text)


@cache
def parse(text: str) -> ast.Module:
    return ast.parse(text)


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the package that git would keep."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = ("tacit", *path.relative_to(PACKAGE).with_suffix("").parts)
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        found.append(Source(name, str(path.relative_to(ROOT)), path.read_text(), package))
    return tuple(found)


@dataclass(frozen=True)
class Import:
    """`module` of this package is imported at `line`; `lazy` if only inside a function or for the type checker."""

    module: str
    line: int
    lazy: bool


def imports(source: Source, modules: frozenset[str]) -> Iterator[Import]:
    """What a module imports from this package, each as the deepest module that exists."""

    def resolve(name: str, from_root: bool = False) -> str:
        """The deepest known module of a dotted name; a part that is not there yet stands for itself."""
        parts = name.split(".")
        for size in range(len(parts), 1, -1):
            if ".".join(parts[:size]) in modules:
                return ".".join(parts[:size])
        return "tacit" if from_root else ".".join(parts[:2])

    def visit(node: ast.AST, lazy: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "tacit":
                    yield Import(resolve(alias.name), node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = source.name.split(".")[: None if source.package else -1]
                above = parents[: len(parents) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            if base.split(".")[0] == "tacit":
                for alias in node.names:
                    yield Import(resolve(f"{base}.{alias.name}", base == "tacit"), node.lineno, lazy)
        for child in ast.iter_child_nodes(node):
            inner = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or (
                isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            )
            yield from visit(child, lazy or inner)

    yield from visit(source.tree, False)


def third_party(source: Source) -> Iterator[tuple[str, int]]:
    """(top-level module, line) of every import that is not of this package."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield (node.module or "").split(".")[0], node.lineno
