# SPDX-License-Identifier: Apache-2.0
"""Tables with the schemas that Ibis's own backend tests expect.

Ibis does not ship the rows. `functional_alltypes` follows Impala's well-known rule for each column and is what Ibis
has; the others are drawn from a fixed seed, with the columns, types, NULLs and key structure of the originals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from ibis.backends.conftest import TEST_TABLES
from ibis.backends.tests.data import topk, win

_DAYS = pd.date_range("2009-01-01", "2010-12-31", freq="D")
_PLAYERS = 150
_BATTED = ("G", "AB", "R", "H", "X2B", "X3B", "HR", "RBI", "SB", "CS", "BB", "SO", "IBB", "HBP", "SH", "SF", "GIDP")


def functional_alltypes() -> pd.DataFrame:
    """7300 rows, ten for each day of 2009 and 2010."""
    rows = []
    for day in _DAYS:
        for k in range(10):
            j = (day.day - 1) * 10 + k
            # The original's fraction of a second is this sum written after the point.
            fraction = sum(i % 10 for i in range(j))
            time = f"{day.date()} {j // 60:02}:{j % 60:02}:00.{fraction}"
            rows.append((f"{day:%m/%d/%y}", pd.Timestamp(time), day.year, day.month))
    frame = pd.DataFrame(rows, columns=["date_string_col", "timestamp_col", "year", "month"])
    frame["id"] = np.arange(len(frame))
    digit = frame["id"] % 10
    for name in ("tinyint_col", "smallint_col", "int_col"):
        frame[name] = digit
    return frame.assign(
        bool_col=frame["id"] % 2 == 0,
        bigint_col=digit * 10,
        float_col=(digit * 1.1).astype("float32"),
        double_col=digit * 10.1,
        string_col=digit.astype(str),
    )


def diamonds(rng: np.random.Generator, rows: int = 1000) -> pd.DataFrame:
    """Stones with weights, grades and prices."""
    x = rng.uniform(3, 9, rows).round(2)
    return pd.DataFrame(
        {
            "carat": (x**3 / 170).round(2),
            "cut": rng.choice(["Fair", "Good", "Very Good", "Premium", "Ideal"], rows),
            "color": rng.choice(list("DEFGHIJ"), rows),
            "clarity": rng.choice(["I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"], rows),
            "depth": rng.uniform(55, 68, rows).round(1),
            "table": rng.integers(53, 65, rows).astype(float),
            "price": rng.integers(326, 18824, rows),
            "x": x,
            "y": (x + rng.uniform(-0.1, 0.1, rows)).round(2),
            "z": (x * 0.62).round(2),
        }
    )


def batting(rng: np.random.Generator) -> pd.DataFrame:
    """Seasons of players: (playerID, yearID, stint) is a key, later columns have NULLs."""
    rows = []
    for player in range(_PLAYERS):
        first = int(rng.integers(1871, 2012))
        for year in range(first, min(2016, first + int(rng.integers(1, 9)))):
            for stint in range(1, 2 + int(rng.random() < 0.1)):
                rows.append((f"player{player:03}01", year, stint))
    frame = pd.DataFrame(rows, columns=["playerID", "yearID", "stint"])
    frame["teamID"] = rng.choice(["BOS", "CHA", "NYA", "SEA", "TEX"], len(frame))
    frame["lgID"] = rng.choice(["AL", "NL"], len(frame))
    for name in _BATTED:
        values = rng.integers(0, 160, len(frame))
        missing = rng.random(len(frame)) < (0.1 if name in ("CS", "IBB", "HBP", "SH", "SF", "GIDP") else 0)
        frame[name] = pd.array(np.where(missing, 0, values), dtype="Int64")
        frame.loc[missing, name] = pd.NA
    return frame


def awards_players(rng: np.random.Generator, rows: int = 2200) -> pd.DataFrame:
    """Awards to the same players, in seven years before 1900."""
    years = [1877, 1878, 1884, 1886, 1887, 1888, 1894, *range(1900, 2016)]
    awards = ["Gold Glove", "Lou Gehrig Memorial Award", "Most Valuable Player", "Silver Slugger", "Triple Crown"]
    frame = pd.DataFrame(
        {
            "playerID": [f"player{k:03}01" for k in rng.integers(0, _PLAYERS, rows)],
            "awardID": rng.choice(awards, rows),
            "yearID": rng.choice(years, rows),
            "lgID": rng.choice(["AL", "NL", "ML"], rows),
            "tie": rng.choice(["Y", ""], rows, p=[0.1, 0.9]),
            "notes": rng.choice(["1B", "2B", "OF", "P", ""], rows),
        }
    ).drop_duplicates(["playerID", "awardID", "yearID", "lgID"])
    return frame.replace({"tie": {"": None}, "notes": {"": None}})


def astronauts(rng: np.random.Generator, rows: int = 200) -> pd.DataFrame:
    """Missions of astronauts."""
    columns: dict[str, Any] = {}
    for name, kind in TEST_TABLES["astronauts"].items():
        if kind.is_string():
            columns[name] = rng.choice([f"{name} {k}" for k in range(12)], rows)
        elif kind.is_integer():
            columns[name] = rng.integers(1950, 2019, rows) if "year" in name else rng.integers(0, 100, rows)
        else:
            columns[name] = rng.uniform(0, 5000, rows).round(2)
    # The two with the most missions.
    columns["name"] = [*["Ross, Jerry L.", "Chang-Diaz, Franklin R."] * (rows // 4), *columns["name"][rows // 2 :]]
    return pd.DataFrame(columns).assign(id=np.arange(1, rows + 1), number=np.arange(1, rows + 1))


def tables() -> dict[str, pa.Table]:
    """All tables, by name."""
    rng = np.random.default_rng(2026)
    frames = {
        "functional_alltypes": functional_alltypes(),
        "diamonds": diamonds(rng),
        "batting": batting(rng),
        "awards_players": awards_players(rng),
        "astronauts": astronauts(rng),
    }
    made = {
        name: pa.Table.from_pandas(frame[list(TEST_TABLES[name])], TEST_TABLES[name].to_pyarrow(), preserve_index=False)
        for name, frame in frames.items()
    }
    return {**made, "win": pa.Table.from_pandas(win, preserve_index=False), "topk": topk}
