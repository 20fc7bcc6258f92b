"""The table of known documents against a dict."""

from __future__ import annotations

import numpy as np

from vespa_colbert.index import key_table
from vespa_colbert.index.key_table import KeyTable, keys_of


def test_a_table_finds_what_a_dict_finds() -> None:
    draw, table, known = np.random.default_rng(0), KeyTable(), dict[str, int]()
    for _ in range(60):
        names = [f"n{each}" for each in np.unique(draw.integers(500, size=draw.integers(1, 40)))]
        numbers = draw.integers(-1, 1000, size=len(names))
        table.add(keys_of(names), numbers)
        known |= dict(zip(names, numbers.tolist(), strict=True))
    every = [f"n{each}" for each in range(520)]

    assert table.find(keys_of(every)).tolist() == [known.get(name, -1) for name in every]
    assert KeyTable().find(keys_of(every)).tolist() == [-1] * 520


def test_the_first_use_of_a_name_is_remembered() -> None:
    table, count = KeyTable(), 3 * key_table.BUFFERED
    assert all(table.first(f"n{each}", each) == -1 for each in range(count))
    assert [table.first(f"n{each}", 9) for each in range(0, count, 997)] == [*range(0, count, 997)]


def test_keys_with_one_first_half_are_told_apart() -> None:
    keys = np.array([[7, place] for place in (5, 1, 3, 9, 7)], np.uint64)
    table = KeyTable()
    table.add(keys, np.arange(5))

    asked = np.array([[7, place] for place in range(11)], np.uint64)
    assert table.find(asked).tolist() == [-1, 1, -1, 2, -1, 0, -1, 4, -1, 3, -1]
