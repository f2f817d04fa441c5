# SPDX-License-Identifier: Apache-2.0
"""The demos: their data, their plaintext side, the card and the report, and whole runs."""

from __future__ import annotations

import dataclasses
import io
import os
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from tacit.demos import card, hospitals, pooled, report, salary
from tacit.demos.catalogue import DEMOS, find
from tacit.demos.outcome import Comparison, Curve, Facts, Outcome, Row, number, size
from tacit.demos.settings import Settings
from tacit.demos.stages import Stages
from tacit.errors import InputError

QUIET = Console(file=io.StringIO())


def tables():
    return [pq.read_table(hospitals.DATA / name / hospitals.FILE) for name in hospitals.HOSPITALS]


def pooled_table():
    x = np.concatenate([np.stack([t[c].to_numpy() for c in hospitals.UNITS], axis=1) for t in tables()])
    y = np.concatenate([t["diagnosis"].to_numpy() for t in tables()]).astype(float)
    return x, y


def exact_results():
    """What the joint computation would disclose if it were exact."""
    x, y = pooled_table()
    unit = 2.0 ** np.array(list(hospitals.UNITS.values()))
    groups = [x[y == d] for d in range(2)]
    counts = np.array([len(g) for g in groups])
    sums = np.array([g.sum(axis=0) for g in groups])
    squares = np.array([(((g - x.mean(axis=0)) * unit) ** 2).sum(axis=0) for g in groups])
    w = pooled.logistic_regression(pooled.standardised(x, x.mean(axis=0), x.std(axis=0)), y)
    return counts, sums, squares, w


def an_outcome(**changes):
    outcome = Outcome(
        "sample",
        "A <sample> & more",
        "What was computed.",
        (("ann", "2 rows"),),
        (Comparison("Coefficients", "float64", (Row("a", 1.0, 1.001), Row("b", -2.0, -2.0)), 0.01),),
        Facts(
            "rep3, 3 parties",
            "loopback",
            "ab" * 32,
            ("the sum, to everyone",),
            ("`result0`: an array",),
            (),
            12,
            3_400,
            1.25,
            (("ann", 41), ("bob", 42)),
            "TLS 1.3, X25519MLKEM768",
            "Nothing else.",
        ),
        ("a note",),
        (Curve("joint", (0.0, 0.5, 1.0), (0.0, 0.9, 1.0)),),
    )
    return dataclasses.replace(outcome, **changes)


def test_the_three_files_together_are_the_data_of_scikit_learn():
    x, y = pooled_table()
    known = load_breast_cancer()
    assert [len(t) for t in tables()] == [200, 150, 219]
    assert np.array_equal(x, known.data)
    assert np.array_equal(y, 1 - known.target)
    assert [n.replace(" ", "_") for n in known.feature_names] == list(hospitals.UNITS)


def test_each_hospital_directory_holds_its_own_file_only():
    for name in hospitals.HOSPITALS:
        assert [p.name for p in (hospitals.DATA / name).iterdir()] == [hospitals.FILE]
    assert "CC BY 4.0" in (hospitals.DATA / "SOURCES.md").read_text()


def test_units_bring_every_feature_to_the_order_of_one_within_the_declared_range():
    x, _ = pooled_table()
    scaled = x * 2.0 ** np.array(list(hospitals.UNITS.values()))
    assert x.max() <= hospitals.VALUE_MAX
    assert scaled.max() <= hospitals.SCALED_MAX
    assert np.all((scaled.std(axis=0) > 0.25) & (scaled.std(axis=0) <= 1))


def test_the_area_under_the_curve_is_that_of_scikit_learn_with_ties():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 200).astype(float)
    score = np.round(rng.normal(size=200) + y, 1)
    assert pooled.auc(y, score) == pytest.approx(roc_auc_score(y, score), abs=1e-12)


def test_exact_joint_results_agree_with_the_pooled_table():
    comparisons, curves, notes = hospitals.compare(tables(), *exact_results())
    assert all(c.agrees for c in comparisons)
    assert max(c.largest for c in comparisons) < 1e-9
    assert len(curves) == 2 and "plays all three owners" in notes[0]


@pytest.mark.parametrize("which", range(4))
def test_a_wrong_joint_result_does_not_agree(which):
    results = [np.array(r, dtype=float) for r in exact_results()]
    results[which].reshape(-1)[0] *= 1.1
    comparisons, _, _ = hospitals.compare(tables(), *results)
    assert not all(c.agrees for c in comparisons)


def test_a_missing_scikit_learn_is_told_in_the_notes(monkeypatch):
    monkeypatch.setattr(hospitals, "_scikit_learn", lambda z, y: None)
    comparisons, curves, notes = hospitals.compare(tables(), *exact_results())
    assert any("scikit-learn is not installed" in n for n in notes)
    assert len(curves) == 1 and len(comparisons[-1].rows) == 1


def test_not_a_number_agrees_with_nothing():
    assert not Comparison("x", "y", (Row("a", float("nan"), 1.0),), 1e9).agrees


def test_the_card_shows_digest_disclosures_differences_and_processes():
    console = Console(file=io.StringIO(), width=110)
    card.show(an_outcome(), console)
    text = console.file.getvalue()
    for piece in (
        "ab" * 32,
        "the sum, to everyone",
        "1.0e-03",
        "ann 41, bob 42",
        "X25519MLKEM768",
        "12",
        "3.4 kB",
        "1.25 s",
    ):
        assert piece in text
    assert "agrees with the pooled data" in text


def test_the_card_says_when_results_do_not_agree():
    wrong = Comparison("Mean", "float64", (Row("a", 1.0, 2.0),), 0.01)
    console = Console(file=io.StringIO(), width=110)
    card.show(an_outcome(comparisons=(wrong,)), console)
    assert "DOES NOT AGREE" in console.file.getvalue()


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.attributes = []
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]


def test_the_report_is_one_file_that_fetches_and_runs_nothing():
    text = report.html(an_outcome())
    page = _Page()
    page.feed(text)
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [a for a in page.attributes if a[1] in ("src", "href") or a[1].startswith("on")]
    assert "url(" not in text and "@import" not in text and "http" not in text
    assert "A &lt;sample&gt; &amp; more" in text and "<sample>" not in text
    assert "prefers-color-scheme: dark" in text and "tabular-nums" in text


def test_the_plots_of_the_report_are_well_formed_and_stay_inside_their_frames():
    text = report.html(an_outcome())
    drawings = [ET.fromstring("<svg" + part.split("</svg>")[0] + "</svg>") for part in text.split("<svg")[1:]]
    assert len(drawings) == 2
    for drawing in drawings:
        _, _, width, height = map(float, drawing.attrib["viewBox"].split())
        for shape in drawing.iter():
            for point in shape.attrib.get("points", "").split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= width and 0 <= y <= height
            for name, limit in (("cx", width), ("x", width), ("cy", height), ("y", height)):
                assert 0 <= float(shape.attrib.get(name, 0)) <= limit


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path):
    for target in (tmp_path / "missing" / "report.html", tmp_path):
        with pytest.raises(InputError, match="INPUT-201"):
            report.check_target(target)


def test_a_report_is_written_whole_and_leaves_nothing_else(tmp_path):
    report.write(an_outcome(), tmp_path / "report.html")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(InputError, match="INPUT-201"):
        report.write(an_outcome(), tmp_path / "missing" / "report.html")


def test_an_unknown_demo_is_refused_with_the_names_there_are():
    with pytest.raises(InputError, match="hospitals, salary"):
        find("nothing")
    assert [find(d.name) for d in DEMOS] == list(DEMOS)


@pytest.mark.parametrize(
    ("value", "text"), [(357.0, "357"), (1234567.0, "1,234,567"), (17.46283, "17.4628"), (2e-7, "2e-07"), (0.0, "0")]
)
def test_numbers_are_written_for_people(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("count", "text"), [(12, "12 bytes"), (3_400, "3.4 kB"), (28_300_000, "28.3 MB")])
def test_sizes_are_written_for_people(count, text):
    assert size(count) == text


@pytest.mark.parametrize("protocol", ["rep3", "plain"])
def test_salary_in_memory_gives_the_average(protocol):
    outcome = salary.run(Settings(protocol, transport="memory"), Stages(QUIET))
    assert outcome.agrees
    assert outcome.comparisons[0].rows[0].joint == pytest.approx(60_283.3333, abs=1e-3)


def test_a_demo_that_protects_nothing_says_so():
    plain = salary.run(Settings("plain", transport="memory"), Stages(QUIET))
    assert "keeps nothing secret" in plain.facts.protection
    memory = salary.run(Settings("rep3", transport="memory"), Stages(QUIET))
    assert "nothing was protected" in memory.facts.protection


def test_salary_runs_in_three_processes_over_tls():
    outcome = salary.run(Settings(), Stages(QUIET))
    pids = {pid for _, pid in outcome.facts.processes}
    assert outcome.agrees
    assert len(pids) == 3 and os.getpid() not in pids
    assert "TLS 1.3" in outcome.facts.tls and "X25519MLKEM768" in outcome.facts.tls


def test_hospitals_agree_with_the_pooled_table_and_disclose_four_results(tmp_path):
    outcome = hospitals.run(Settings(), Stages(QUIET))
    coefficients, aucs = outcome.comparisons[3:]
    assert outcome.agrees
    assert coefficients.largest <= 1e-2 and aucs.largest <= 5e-3
    assert len([d for d in outcome.facts.disclosures if "result" in d]) == 4
    assert len({pid for _, pid in outcome.facts.processes}) == 3
    report.write(outcome, tmp_path / "report.html")
    assert Path(tmp_path / "report.html").stat().st_size < 100_000
