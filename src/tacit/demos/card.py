# SPDX-License-Identifier: Apache-2.0
"""The result card of a demo on the terminal."""

from __future__ import annotations

from typing import Final

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tacit.demos.outcome import Comparison, Outcome, Question, cell, number, size

ROWS_SHOWN: Final = 5
"""Of a query's result; the report has all."""


def show(outcome: Outcome, console: Console) -> None:
    """Write the card. Colour and width are the console's."""
    verdict = "[green]agrees with the pooled data[/]" if outcome.agrees else "[bold red]DOES NOT AGREE[/]"
    parts: list[RenderableType] = [
        Text(outcome.summary),
        *_compared(outcome),
        *(part for k, question in enumerate(outcome.questions, start=1) for part in _asked(k, question)),
        Rule("who learned what", style="dim"),
        *_bullets(outcome.facts.learned),
        Text(f"{outcome.facts.protection} The report has the plan's own list.", style="dim"),
        *_assumed(outcome),
        Rule("how it ran", style="dim"),
        _facts(outcome),
    ]
    if outcome.notes:
        parts += [Rule("notes", style="dim"), *_bullets(outcome.notes)]
    console.print(Panel(Group(*parts), title=f"[bold]{escape(outcome.title)}[/]: {verdict}", padding=(1, 2)))


def _compared(outcome: Outcome) -> list[RenderableType]:
    if not outcome.comparisons:
        return []
    rule = Rule("joint result · pooled result · difference", style="dim")
    return [rule, *(part for comparison in outcome.comparisons for part in _results(comparison))]


def _asked(number: int, question: Question) -> tuple[RenderableType, ...]:
    shown = question.joint[:ROWS_SHOWN]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for k, name in enumerate(question.columns):
        text = any(isinstance(row[k], str) for row in question.joint)
        table.add_column(escape(name), justify="left" if text else "right")
    for row in shown:
        table.add_row(*(escape(cell(value)) for value in row))
    more = f"; above the first {len(shown)}" if len(shown) < len(question.joint) else ""
    verdict = "[green]as in the pooled tables[/]" if question.agrees else "[bold red]NOT as in the pooled tables[/]"
    return (
        Rule(f"query {number}", style="dim"),
        Text.from_markup(f"[bold]{escape(question.title)}[/]\n[dim]{escape(question.why)}[/]"),
        Padding(Text(question.sql, style="cyan"), (1, 2)),
        Padding(table, (0, 2)),
        Padding(Text.from_markup(f"{question.found}{more}: {verdict}"), (1, 2, 0, 2)),
    )


def _results(comparison: Comparison) -> tuple[RenderableType, ...]:
    unit = f", differences {comparison.unit}" if comparison.unit else ""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(width=38, no_wrap=True)
    for width in (11, 11, 8):
        table.add_column(justify="right", width=width, no_wrap=True)
    for row in comparison.rows[: comparison.headline]:
        table.add_row(f"  {escape(row.label)}", number(row.joint), number(row.pooled), f"{row.difference:.1e}")
    colour = "green" if comparison.agrees else "bold red"
    limit = f"{comparison.limit:g} allowed" if comparison.limit else "none allowed"
    table.add_row(
        f"  [{colour}]largest of {len(comparison.rows)}, {limit}[/]", "", "", f"[{colour}]{comparison.largest:.1e}[/]"
    )
    return Text.from_markup(
        f"[bold]{escape(comparison.title)}[/] [dim]{escape(f'beside {comparison.against}{unit}')}[/]"
    ), table


def _facts(outcome: Outcome) -> Table:
    facts = outcome.facts
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", style="dim", no_wrap=True)
    table.add_column("", overflow="fold")
    for owner, holding in outcome.owners:
        table.add_row(escape(owner), escape(holding))
    rows = {
        "plan": facts.digest,
        "protocol": facts.protocol,
        "network": facts.network,
        "on the wire": facts.tls,
        "processes": ", ".join(f"{party} {pid}" for party, pid in facts.processes),
        "rounds": f"{facts.rounds:,}",
        "sent in all": size(facts.bytes_total),
        "time": f"{facts.seconds:.2f} s",
    }
    for name, value in rows.items():
        table.add_row(name, escape(value))
    return table


def _assumed(outcome: Outcome) -> list[RenderableType]:
    if not outcome.facts.assumptions:
        return []
    return [Text("Taken on trust:", style="dim"), *_bullets(outcome.facts.assumptions)]


def _bullets(lines: tuple[str, ...]) -> list[RenderableType]:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    for line in lines:
        table.add_row("·", escape(line))
    return [table]
