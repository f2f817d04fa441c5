"""What the pages show works: programs run, commands parse, links lead somewhere, and costs are the declared ones.

Which blocks of Python in README.md and docs/ run, and how, follows from what they contain:

* `tc.local(` or `import tacit` without `tc.connect(`: a complete program, run as it is in a process of its own;
* `tc.connect(`: needs parties on other hosts, so it is only compiled (examples/remote_room.py runs the same);
* anything else: an excerpt, run with `np`, `tc` and an open session `s`, whose parties are in memory; of a page in
  docs/sql it is the session that the first program of docs/sql/index.md leaves open.

Blocks that must not run at all are no Python blocks: `text`. Blocks of one page are independent of each other, but find
the files that the page shows: blocks of csv, sql or toml after a paragraph that names a file last.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from harness import bits, dry_cost
from tacit.cli.main import commands
from tacit.protocols.blackbox import MATMUL, MUL
from tacit.room import Client, Party, Room, write
from tacit.session.identity import create_identity

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SHOWN = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
EXAMPLES = sorted(ROOT.glob("examples/*.py"))
LINES_MAX = 60
RUN_S = 60

FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w./-]+\.(?:csv|sql|toml))`[^`]*\n\n```(?:csv|sql|toml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
EXCERPT = "import numpy as np, tacit as tc\ns = tc.local(transport='memory')\n"


def blocks(page: Path, *languages: str) -> list[str]:
    """The blocks of these languages on a page, without their indentation."""
    return [
        re.sub(f"^{indent}", "", text, flags=re.MULTILINE)
        for indent, language, text in FENCE.findall(page.read_text())
        if language in languages
    ]


def write_files(page: Path, directory: Path) -> None:
    """The files that a page shows, with their directories."""
    for name, text in FILE.findall(page.read_text()):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(text)


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def title(page: Path) -> str:
    return str(page.relative_to(ROOT))


PROGRAMS = [
    pytest.param(page, block, id=f"{title(page)}-{k}")
    for page in SHOWN
    for k, block in enumerate(blocks(page, "python"), start=1)
]


def run(arguments: list[str], cwd: Path) -> None:
    """Run Python there, with temporary files there as well; it must end well, silently on stderr if it has no log."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=cwd,
        env={**os.environ, "TMPDIR": str(cwd)},
        capture_output=True,
        text=True,
        timeout=RUN_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr


@pytest.mark.parametrize(("page", "block"), PROGRAMS)
def test_python_on_the_pages_runs(page: Path, block: str, tmp_path: Path) -> None:
    compile(block, title(page), "exec")
    if "tc.connect(" in block:
        return
    write_files(page, tmp_path)
    complete = "tc.local(" in block or "import tacit" in block
    before = blocks(page.parent / "index.md", "python")[0] if page.parent.name == "sql" else EXCERPT
    run(["-c", block if complete else before + block], tmp_path)


def test_the_readme_has_a_program() -> None:
    assert any("tc.local(" in block for block in blocks(ROOT / "README.md", "python"))


@pytest.mark.parametrize("example", EXAMPLES, ids=title)
def test_an_example_runs_and_leaves_nothing_behind(example: Path, tmp_path: Path) -> None:
    run([str(example)], tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("example", EXAMPLES, ids=title)
def test_an_example_is_short_checks_its_answer_and_says_who_learns_what(example: Path) -> None:
    text = example.read_text()
    docstring = text.split('"""')[1]
    assert len(text.splitlines()) < LINES_MAX
    assert "\n    assert " in text
    assert "Protected: " in docstring
    assert " learn" in docstring
    assert f"](../examples/{example.name})" in (ROOT / "docs" / "index.md").read_text()


# --- links ---------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of the headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_can_be_reached_from_the_index_of_its_folder() -> None:
    for index in ROOT.glob("docs/**/index.md"):
        linked = {link.partition("#")[0] for link in LINK.findall(index.read_text())}
        assert {page.name for page in index.parent.glob("*.md")} - linked == {"index.md"}
        assert index.parent.name == "docs" or f"{index.parent.name}/index.md" in linked_from_above(index)
    assert "docs/index.md" in LINK.findall((ROOT / "README.md").read_text())


def linked_from_above(index: Path) -> set[str]:
    """What the index of the folder above links to."""
    return set(LINK.findall((index.parent.parent / "index.md").read_text()))


def test_files_named_in_the_text_exist() -> None:
    named = {
        (page, path)
        for page in SHOWN
        for path in re.findall(r"`((?:src|tests|docs|crates|benchmarks|examples)/[\w/.-]+)`", page.read_text())
    }
    assert [f"{title(page)}: {path}" for page, path in sorted(named) if not (ROOT / path).exists()] == []


# --- commands --------------------------------------------------------------------------------------------------------


def shown_commands() -> list[Any]:
    """Every `tacit …` line of a shell block."""
    found = []
    for page in PAGES:
        for block in blocks(page, "sh", "bash"):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line.partition(">")[0], comments=True)
                if words[:1] == ["tacit"]:
                    found.append(pytest.param(words[1:], id=f"{title(page)}: {' '.join(words)}"))
    return found


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and what is left of them. Raises KeyError for one that does not exist."""
    command = typer.main.get_command(commands)
    while words and hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("words", shown_commands())
def test_commands_on_the_pages_parse(words: list[str]) -> None:
    command, rest = resolve(words)
    assert not hasattr(command, "commands")
    command.make_context("tacit", rest).close()


def test_a_command_that_does_not_exist_does_not_parse() -> None:
    with pytest.raises(KeyError):
        resolve(["party", "ruin"])
    command, rest = resolve(["party", "check", "--rom", "room.toml"])
    with pytest.raises(Exception, match="--rom"):
        command.make_context("tacit", rest)


def test_commands_in_the_text_exist_with_their_options() -> None:
    for page in PAGES:
        for code in re.findall(r"`tacit ([^`]+)`", prose(page)):
            words = [w for w in code.split() if re.fullmatch(r"-*[a-z][a-z-]*", w)]
            command, rest = resolve(words)
            known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
            assert {w for w in rest if w.startswith("-")} <= known, f"{title(page)}: tacit {code}"


def test_make_targets_on_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        shown = re.findall(r"^make ([a-z-]+)", "\n".join(blocks(page, "sh")), re.MULTILINE)
        shown += re.findall(r"`make ([a-z-]+)`", prose(page))
        assert set(shown) <= targets, title(page)


def test_the_files_of_the_sql_tutorial_are_a_query_that_a_room_answers(tmp_path: Path) -> None:
    write_files(ROOT / "docs" / "sql-tutorial.md", tmp_path)
    names = ("shop", "bank", "notary")
    pins = {name: create_identity(name, tmp_path / f"{name}-key").pin for name in names}
    analyst = Client("analyst", create_identity("analyst", tmp_path / "identity").pin)
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in names]
        ports = [probe.getsockname()[1] for probe in probes]
    parties = tuple(Party(name, "127.0.0.1", port, pins[name]) for name, port in zip(names, ports, strict=True))
    write(Room("spending", "rep3", parties, (analyst,)).check(), tmp_path / "room.toml")
    tacit = [sys.executable, "-m", "tacit.cli.main"]
    with ExitStack() as stack:
        for name in names:
            (tmp_path / name).mkdir(exist_ok=True)
            own = ["--party", name, "--identity", f"{name}-key", "--data", name]
            party = subprocess.Popen([*tacit, "party", "run", "--room", "room.toml", *own], cwd=tmp_path)
            stack.enter_context(party)
            stack.callback(party.terminate)
        (command,) = [words.values[0] for words in shown_commands() if "spending.csv" in words.values[0]]
        done = subprocess.run([*tacit, *command], cwd=tmp_path, capture_output=True, text=True, timeout=RUN_S)
    assert done.returncode == 0, done.stderr
    assert "2 rows, 2 groups hidden" in done.stdout
    lines = (tmp_path / "spending.csv").read_text().replace('"', "").splitlines()
    assert lines == ["segment,category,people,spent", "family,travel,2,234.00", "student,books,3,54.70"]


# --- docs/protocols.md ---------------------------------------------------------------------------------------------

N = 192_000
X = np.zeros(N, dtype=np.int64)
BYTES = np.zeros((N, 8), dtype=np.int64)
TABLE = np.zeros(32, dtype=np.uint64)
COSTS: dict[str, tuple[Any, list[Any]]] = {
    "`mul`; `matmul`, per element of the result": (lambda b, x, y: b.bilinear(MATMUL, x, y), [X[:, None], X[None, :1]]),
    "`and_`": (lambda b, x, y: b.and_(x, y), [bits(X, 1), bits(X, 1)]),
    "`gf256_mul`, a product of bytes": (lambda b, x, y: b.gf256_mul(x, y), [bits(BYTES, 1), bits(BYTES, 1)]),
    "`all_bits`": (lambda b, x: b.all_bits(x), [bits(X, 64)]),
    "`truncate`": (lambda b, x: b.truncate(x, 18), [X]),
    "`truncate`, exact": (lambda b, x: b.truncate(x, 18, True), [X]),
    "`bilinear_truncate`": (lambda b, x, y: b.bilinear_truncate(MUL, x, y, 18), [X, X]),
    "`msb`": (lambda b, x: b.msb(x), [X]),
    "`is_zero`": (lambda b, x: b.is_zero(x), [X]),
    "`a2b` of 64 bits": (lambda b, x: b.a2b(x), [X]),
    "`b2a`": (lambda b, x: b.b2a(x), [bits(X, 1)]),
    "`inject` (bit times number)": (lambda b, c, x: b.inject(c, x), [bits(X, 1), X]),
    "`lut` (public table)": (lambda b, x: b.lut(x, TABLE, 17), [bits(X, 5)]),
    "`lut_numbers` (the same, fields as numbers)": (lambda b, x: b.lut_numbers(x, TABLE, (9, 8)), [bits(X, 5)]),
    "`lut_near` (at about a number)": (lambda b, x: b.lut_near(x, 12, np.tile(TABLE, 4), (9, 8)), [X]),
    "`shuffle` (secret order)": (lambda b, x: b.shuffle(x), [X]),
    "`announce` (what one party found out, to all)": (lambda b, x: b.announce(0, None, x.shape), [X]),
}


def costs_shown() -> dict[str, tuple[int, int]]:
    """Rounds and bits of each primitive: those of its example where a row has one, else those of the row."""
    text = (ROOT / "docs" / "protocols.md").read_text().partition("## Primitives")[2].partition("\n## ")[0]
    found = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            name, rounds, size, example, _ = (cell.strip() for cell in line.strip("|").split("|"))
            numbers = re.findall(r"(\d+), (\d+)$", example) or re.findall(r"^(\d+) (\d+)$", f"{rounds} {size}")
            found[name] = (int(numbers[0][0]), int(numbers[0][1])) if numbers else (0, 0)
    return found


def test_the_costs_on_the_page_are_those_that_the_protocol_declares() -> None:
    declared = {}
    for name, (program, inputs) in COSTS.items():
        cost = dry_cost(program, *inputs)
        declared[name] = (cost.rounds, cost.bytes_total * 8 // N)
    shown = costs_shown()
    assert {name: shown.get(name) for name in COSTS} == declared
