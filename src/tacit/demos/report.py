# SPDX-License-Identifier: Apache-2.0
"""The HTML report of a demo: one file, no script, nothing fetched, readable in light and dark."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Final

from tacit.demos.outcome import Comparison, Curve, Outcome, Question, Rows, cell, number, size
from tacit.errors import InputError

ROWS_SHOWN: Final = 12
"""Of a query's result at first sight; the others unfold."""
_RIGHT: Final = " class=n"


def check_target(path: Path) -> None:
    """Refuse a path that cannot be written, before anything is computed. Raises `InputError` INPUT-201."""
    directory = path.absolute().parent
    if path.is_dir() or not (directory.is_dir() and os.access(directory, os.W_OK)):
        raise _unwritable(path)


def write(outcome: Outcome, path: Path) -> None:
    """Write the report, whole or not at all. Raises `InputError` INPUT-201 if the file cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(html(outcome), encoding="utf-8")
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise _unwritable(path) from None


def html(outcome: Outcome) -> str:
    """The report as text."""
    facts = outcome.facts
    verdict = "agrees with the pooled data" if outcome.agrees else "does not agree with the pooled data"
    figures = [
        ("plan", f"<code>{escape(facts.digest)}</code>"),
        ("protocol", escape(facts.protocol)),
        ("network", escape(facts.network)),
        ("on the wire", escape(facts.tls)),
        ("processes", escape(", ".join(f"{party} (pid {pid})" for party, pid in facts.processes))),
        ("rounds", f"{facts.rounds:,}"),
        ("sent in all", size(facts.bytes_total)),
        ("time", f"{facts.seconds:.2f} s"),
    ]
    owners = "".join(f"<tr><th>{escape(o)}</th><td>{escape(h)}</td></tr>" for o, h in outcome.owners)
    plots = "".join(
        [
            _roc(outcome.curves) if outcome.curves else "",
            *(_bars(c) for c in outcome.comparisons if c.title.lower().startswith("coefficients")),
        ]
    )
    assumed = (
        f"<p>Taken on trust:</p>{_list(facts.assumptions)}"
        if facts.assumptions
        else "<p>Nothing is taken on trust: every range is declared at an input or follows from one.</p>"
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(outcome.title)} · tacit</title>
<style>{_STYLE}</style>
</head>
<body>
<header>
<p class="kind">tacit · demo <code>{escape(outcome.name)}</code></p>
<h1>{escape(outcome.title)}</h1>
<p class="lead">{escape(outcome.summary)}</p>
<p class="verdict {"good" if outcome.agrees else "bad"}">{"✓" if outcome.agrees else "✗"} {verdict}</p>
</header>
<section><h2>Who brought what</h2><table class="facts">{owners}</table></section>
<section><h2>Who learned what</h2>{_list(facts.learned)}
<p>{escape(facts.protection)}</p>
{assumed}
{_stated(outcome)}
</section>
{"".join(_question(k, q) for k, q in enumerate(outcome.questions, start=1))}
{f'<section class="plots"><h2>The model</h2><div>{plots}</div></section>' if plots else ""}
{_compared(outcome) if outcome.comparisons else ""}
<section><h2>How it ran</h2><table class="facts">
{"".join(f"<tr><th>{name}</th><td>{value}</td></tr>" for name, value in figures)}
</table></section>
{f"<section><h2>Notes</h2>{_list(outcome.notes)}</section>" if outcome.notes else ""}
</body>
</html>
"""


def _unwritable(path: Path) -> InputError:
    return InputError(
        "INPUT-201",
        f"the report {path} cannot be written",
        expected="a file in a directory that exists and that you may write to",
        next="choose another path with --out",
    )


def _list(lines: tuple[str, ...]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def _stated(outcome: Outcome) -> str:
    if outcome.questions:
        return ""  # It stands with each query.
    return f"<details><summary>The list as the plan states it</summary>{_list(outcome.facts.disclosures)}</details>"


def _question(number: int, question: Question) -> str:
    numeric = [not any(isinstance(row[k], str) for row in question.joint) for k in range(len(question.columns))]
    heads = "".join(f"<th{_RIGHT * n}>{escape(c)}</th>" for c, n in zip(question.columns, numeric, strict=True))

    def rows(part: Rows) -> str:
        return "".join(
            f"<tr>{''.join(f'<td{_RIGHT * n}>{escape(cell(v))}</td>' for v, n in zip(row, numeric, strict=True))}</tr>"
            for row in part
        )

    def table(part: Rows) -> str:
        return f"<table class=wide><thead><tr>{heads}</tr></thead><tbody>{rows(part)}</tbody></table>"

    joint, rest = table(question.joint[:ROWS_SHOWN]), question.joint[ROWS_SHOWN:]
    more = f"<details><summary>{len(rest):,} more rows</summary>{table(rest)}</details>" if rest else ""
    if question.agrees:
        verdict = "<span class=good>✓ the same as in the pooled tables</span>"
    else:
        verdict = f"<span class=bad>✗ in the pooled tables it is another:</span>{table(question.pooled)}"
    facts = question.facts
    return f"""<section><h2>{number}. {escape(question.title)}</h2>
<p class="why">{escape(question.why)}</p>
<pre><code>{escape(question.sql)}</code></pre>
{joint}{more}
<p>{escape(question.found)}. {verdict}</p>
<p class="kind">{facts.rounds:,} rounds, {size(facts.bytes_total)}, {facts.seconds:.2f} s;
plan <code>{escape(facts.digest)}</code></p>
<details><summary>What it discloses, as the plan states it: {len(facts.disclosures)} lines</summary>
{_list(facts.disclosures)}</details>
</section>"""


def _compared(outcome: Outcome) -> str:
    tables = "".join(map(_table, outcome.comparisons))
    return f"<section><h2>Joint result beside the pooled one</h2>\n{_overview(outcome)}{tables}</section>"


def _overview(outcome: Outcome) -> str:
    rows = "".join(
        f"<tr><th>{escape(c.title)}</th><td>{escape(c.against)}</td><td class=n>{len(c.rows)}</td>"
        f"<td class=n>{c.largest:.1e}</td><td class=n>{c.limit:g}</td><td>{escape(c.unit)}</td>"
        f"<td class={'good' if c.agrees else 'bad'}>{'✓' if c.agrees else '✗'}</td></tr>"
        for c in outcome.comparisons
    )
    return (
        "<table><thead><tr><th>quantity</th><th>beside</th><th class=n>values</th><th class=n>largest difference</th>"
        f"<th class=n>allowed</th><th>measured</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _table(comparison: Comparison) -> str:
    rows = "".join(
        f"<tr><th>{escape(r.label)}</th><td class=n>{number(r.joint)}</td><td class=n>{number(r.pooled)}</td>"
        f"<td class=n>{r.difference:.1e}</td></tr>"
        for r in comparison.rows
    )
    title = f"{escape(comparison.title)} <small>beside {escape(comparison.against)}</small>"
    return (
        f"<details{' open' if len(comparison.rows) <= comparison.headline else ''}><summary>{title}</summary>"
        "<table><thead><tr><th></th><th class=n>joint</th><th class=n>pooled</th><th class=n>difference</th></tr>"
        "</thead>"
        f"<tbody>{rows}</tbody></table></details>"
    )


def _roc(curves: tuple[Curve, ...]) -> str:
    side, left, top = 300, 46, 12
    lines = []
    for k, curve in enumerate(curves):
        points = " ".join(
            f"{left + side * x:.1f},{top + side * (1 - y):.1f}" for x, y in zip(curve.x, curve.y, strict=True)
        )
        lines.append(f'<polyline class="line{k}" points="{points}"/>')
        height = top + side - 34 + 18 * k
        lines.append(f'<line class="line{k}" x1="{left + 84}" x2="{left + 108}" y1="{height}" y2="{height}"/>')
        lines.append(f'<text x="{left + 114}" y="{height + 4}">{escape(curve.name)}</text>')
    ticks = "".join(
        f'<line class="grid" x1="{left}" x2="{left + side}" y1="{top + side * t:.0f}" y2="{top + side * t:.0f}"/>'
        f'<text class="tick" text-anchor="end" x="{left - 6}" y="{top + side * t + 4:.0f}">{1 - t:g}</text>'
        f'<text class="tick" text-anchor="middle" x="{left + side * t:.0f}" y="{top + side + 16}">{t:g}</text>'
        for t in (0, 0.25, 0.5, 0.75, 1)
    )
    return f"""<figure><svg viewBox="0 0 {left + side + 14} {top + side + 40}" role="img" aria-label="ROC curves">
{ticks}<line class="chance" x1="{left}" y1="{top + side}" x2="{left + side}" y2="{top}"/>{"".join(lines)}
<text text-anchor="middle" x="{left + side / 2:.0f}" y="{top + side + 34}">false positive rate</text>
<text text-anchor="middle" transform="translate(12 {top + side / 2:.0f}) rotate(-90)">true positive rate</text>
</svg><figcaption>ROC curves on the pooled rows.</figcaption></figure>"""


def _bars(comparison: Comparison) -> str:
    step, left, width, top = 17, 176, 300, 8
    reach = max(max(abs(r.joint), abs(r.pooled)) for r in comparison.rows) * 1.05 or 1.0
    zero = left + width / 2
    bottom = top + step * len(comparison.rows)
    caption = f"{comparison.title}: bars are joint, dots are {comparison.against}."
    marks = []
    for k, row in enumerate(comparison.rows):
        y = top + step * k + step / 2
        x = zero + row.joint / reach * width / 2
        marks.append(
            f'<text class="tick" text-anchor="end" x="{left - 8}" y="{y + 4:.1f}">{escape(row.label)}</text>'
            f'<rect class="bar" x="{min(x, zero):.1f}" y="{y - 5:.1f}" width="{abs(x - zero):.1f}" height="10"/>'
            f'<circle class="dot" cx="{zero + row.pooled / reach * width / 2:.1f}" cy="{y:.1f}" r="3"/>'
        )
    return f"""<figure><svg viewBox="0 0 {left + width + 10} {bottom + 22}" role="img" aria-label="coefficients">
<line class="chance" x1="{zero}" x2="{zero}" y1="{top}" y2="{bottom}"/>{"".join(marks)}
<text class="tick" text-anchor="middle" x="{zero}" y="{bottom + 15}">0</text>
<text class="tick" text-anchor="start" x="{left}" y="{bottom + 15}">{-reach:.2f}</text>
<text class="tick" text-anchor="end" x="{left + width}" y="{bottom + 15}">{reach:.2f}</text>
</svg><figcaption>{escape(caption)}</figcaption></figure>"""


_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --line: #d9dee5; --paper: #fbfbf9; --card: #fff;
  --one: #1d5fa8; --two: #c2571a; --good: #18713c; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #9aa5b4; --line: #333c48; --paper: #14181e;
  --card: #1b2129; --one: #78b4f2; --two: #f0a26b; --good: #6fcf97; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: .1em 0 .4em; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 0 0 .7em; }
small, .kind, figcaption { color: var(--soft); font-weight: normal; font-size: .875rem; }
.kind { margin: 0; } .lead { max-width: 46rem; }
.verdict { display: inline-block; margin: .4em 0 0; padding: .3em .8em; border: 1px solid currentColor;
  border-radius: 2em; font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); }
section { margin-top: 1.4rem; padding: 1.25rem 1.4rem; background: var(--card); border: 1px solid var(--line);
  border-radius: 10px; overflow-x: auto; }
ul { margin: .3em 0; padding-left: 1.2em; } li { margin: .25em 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28em 1.3em .28em 0; text-align: left; vertical-align: top; font-weight: normal;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-size: .82rem; } .n { text-align: right; }
tbody tr:last-child > * , .facts tr:last-child > * { border-bottom: 0; }
.facts th { color: var(--soft); white-space: nowrap; }
code { font: .86em/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
details { margin-top: .9rem; } summary { cursor: pointer; font-weight: 600; } details table { margin: .6em 0 0 1.1em; }
.plots > div { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
pre { margin: .8em 0 1.1em; padding: .9em 1.1em; overflow-x: auto; background: var(--paper);
  border: 1px solid var(--line); border-radius: 7px; } pre code { overflow-wrap: normal; }
.why { margin-top: 0; max-width: 46rem; color: var(--soft); } details table.wide { margin-left: 0; }
details li { overflow-wrap: anywhere; font-size: .88rem; }
figure { margin: 0; flex: 1 1 22rem; } svg { width: 100%; height: auto; max-width: 34rem; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg .tick { font-size: 11px; fill: var(--soft); }
.grid { stroke: var(--line); } .chance { stroke: var(--soft); stroke-dasharray: 3 4; }
polyline { fill: none; } .line0 { stroke: var(--one); stroke-width: 2; }
.line1 { stroke: var(--two); stroke-width: 2; stroke-dasharray: 5 4; }
.bar { fill: var(--one); opacity: .55; } .dot { fill: var(--two); }
"""
