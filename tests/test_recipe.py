from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.bare_model_folders import FACTS
from vespa_colbert.app import AppOptions, RemoteFile
from vespa_colbert.checkpoint import ReadOptions
from vespa_colbert.errors import ExportError, SpecError
from vespa_colbert.recipe import (
    Recipe,
    default_recipe,
    read_recipe,
    recipe_application,
    search_profile,
)
from vespa_colbert.recipe.head_table import HeadTable
from vespa_colbert.recipe.train_table import TrainTable
from vespa_colbert.tensor import CellType


def read(tmp_path: Path, text: str) -> Recipe:
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path)


def faults(tmp_path: Path, text: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'recipe.toml'}: the recipe is not valid")
    return caught.value.faults


def test_an_empty_recipe_is_all_defaults(tmp_path: Path) -> None:
    recipe = read(tmp_path, "")
    assert recipe.app.options == AppOptions()
    assert recipe.checkpoint.path is None
    assert recipe.corpus.path is None
    assert recipe.export.output == tmp_path / "output" / "model"
    assert recipe.index.feed == tmp_path / "output" / "feed.jsonl"
    assert recipe.index.threads == 0
    assert (recipe.search.profile, recipe.search.hits) == ("max_sim_int8", 10)
    assert recipe.evaluate.measures == ("R@10", "RR@10", "nDCG@10")
    verify = recipe.verify
    assert (verify.documents, verify.queries, verify.pairs, verify.seed) == (50, 10, 100, 0)


def test_the_default_recipe_states_every_key_and_changes_nothing(tmp_path: Path) -> None:
    text = default_recipe()
    assert read(tmp_path, text) == read(tmp_path, "")
    stated = tomllib.loads(text.replace("# path", "path"))
    assert list(stated["checkpoint"]) == ["path", "allow-pickle"]
    assert list(stated["corpus"]) == ["path"]
    lines = text.split("\n")
    for place, line in enumerate(lines):
        if " = " in line:
            assert lines[place - 1].startswith("# "), line


def test_every_key_that_may_stay_open_is_shown_as_a_comment(tmp_path: Path) -> None:
    shown = [
        line for line in default_recipe().split("\n") if line.startswith("# ") and " = " in line
    ]
    said = [line.split(" = ")[0] for line in shown]
    # Heads and training have open keys of their own.
    trained = [
        f"# {each.alias}"
        for table in (HeadTable, TrainTable)
        for each in table.model_fields.values()
        if each.default is None
    ]
    place = said.index(trained[0])
    assert said[place : place + len(trained)] == trained
    assert said[:place] + said[place + len(trained) :] == [
        "# path",
        "# revision",
        "# head",
        "# query-marker",
        "# document-marker",
        "# max-query-tokens",
        "# max-document-tokens",
        "# query-expansion",
        "# expansion-attended",
        "# skip-words",
        "# dims",
        "# embedder",
        "# bm25-k1",
        "# bm25-b",
        "# residual",
        "# model",
        "# model",
        "# container-vcpu",
        "# content-vcpu",
        "# path",
        "# queries",
        "# qrels",
    ]


def test_what_a_recipe_states_is_used(tmp_path: Path) -> None:
    recipe = read(
        tmp_path,
        """
        [checkpoint]
        path = "/data/checkpoint"
        [app]
        name = "my-app"
        schema = "doc"
        cell-types = ["bfloat16"]
        rerank-count = 7
        embed-title = false
        minimum-vespa-version = "8.600.1"
        [corpus]
        path = "../corpus.jsonl"
        [search]
        profile = "bm25"
        """,
    )
    assert recipe.checkpoint.path == Path("/data/checkpoint")
    assert recipe.corpus.path == tmp_path / "../corpus.jsonl"
    assert recipe.search.profile == "bm25"
    assert recipe.app.options == AppOptions(
        name="my-app",
        schema="doc",
        cell_types=(CellType.BFLOAT16,),
        rerank_count=7,
        embed_title=False,
        minimum_vespa_version="8.600.1",
    )


def test_what_is_stated_of_a_checkpoint_is_handed_to_its_reader(tmp_path: Path) -> None:
    recipe = read(
        tmp_path,
        """
        [checkpoint]
        allow-pickle = true
        head = "heads/head.pt"
        query-marker = "[Q]"
        document-marker = ""
        max-query-tokens = 16
        max-document-tokens = 99
        query-expansion = false
        expansion-attended = true
        skip-words = ["."]
        """,
    )
    assert recipe.checkpoint.options == ReadOptions(
        allow_pickle=True,
        head=tmp_path / "heads" / "head.pt",
        query_marker="[Q]",
        document_marker="",
        max_query_tokens=16,
        max_document_tokens=99,
        query_expansion=False,
        expansion_attended=True,
        skip_words=(".",),
    )


def test_nothing_is_stated_of_a_checkpoint_by_default(tmp_path: Path) -> None:
    assert read(tmp_path, default_recipe()).checkpoint.options == ReadOptions()


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("allow-pickle = 1", "allow-pickle: expected true or false, got 1"),
        ("head = 3", "head: expected a text in quotes, got 3"),
        ("max-query-tokens = 3", "max-query-tokens: "),
        ('max-document-tokens = "180"', "max-document-tokens: expected a whole number"),
        ("skip-words = [1]", "skip-words"),
        ("query-expension = true", "did you mean 'query-expansion'?"),
    ],
)
def test_what_cannot_be_stated_of_a_checkpoint_is_a_fault(
    tmp_path: Path, line: str, fault: str
) -> None:
    (found,) = faults(tmp_path, f"[checkpoint]\n{line}\n")
    assert found.startswith("line 2: [checkpoint] ")
    assert fault in found


def test_the_profile_that_is_searched_follows_the_cell_types(tmp_path: Path) -> None:
    recipe = read(tmp_path, '[app]\ncell-types = ["int8", "float"]')
    assert recipe.search.profile == "max_sim_float"


def test_all_faults_of_a_recipe_are_reported_together_with_their_lines(tmp_path: Path) -> None:
    text = """[app]
nam = "x"
name = "a b"
name = "c"
schema = "a }\\nschema x {"
cell-types = ["flaot"]
rerank-count = "ten"
embed-title = 1
nonsense
[idnex]
[export]
opset = 99
output = 2020-01-01
[evaluate]
measures = []
measures = [
  "RR@10",
]
[app]
schema = "y"
[search]
hits = 0
[model]
transformer-url = "file:///etc/passwd"
"""
    found = faults(tmp_path, text)
    expected = [
        "line 2: [app] nam: unknown key; did you mean 'name'?",
        "line 3: [app] name: expected a name of letters, digits, _ and -, ",
        "line 4: name is there twice, got 'name = \"c\"'",
        "line 5: [app] schema: expected a name of letters, digits and _, ",
        "line 6: [app] cell-types, entry 1: expected 'float', 'bfloat16' or 'int8', got 'flaot'",
        "line 7: [app] rerank-count: expected a whole number, got 'ten'",
        "line 8: [app] embed-title: expected true or false, got 1",
        "line 9: Expected '=' after a key in a key/value pair, got 'nonsense'",
        "line 10: [idnex]: unknown table; did you mean 'index'?",
        "line 12: [export] opset: expected 23 or less, got 99",
        "line 13: [export] output: expected a text in quotes",
        "line 15: [evaluate] measures: expected at least one, and each once, got []",
        "line 16: measures is there twice",
        "line 19: [app] is there twice",
        "line 22: [search] hits: expected 1 or more, got 0",
        "line 24: [model] transformer-url: expected an http or https URL",
    ]
    assert len(found) == len(expected)
    for got, wanted in zip(found, expected, strict=True):
        assert got.startswith(wanted)


NO_CELLS = "expected at least one, and each once, or [tokens] residual"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("app = 3", "line 1: [app]: expected a table, got 3"),
        ("[index]\nthreads = -1", "line 2: [index] threads: expected 0 or more, got -1"),
        ("[index]\nthreads = true", "line 2: [index] threads: expected a whole number, got True"),
        ("[index]\nthreads = 2.0", "line 2: [index] threads: expected a whole number, got 2.0"),
        ('[export]\noutput = ""', "line 2: [export] output: expected a path, got ''"),
        ('[export]\noutput = "a\\u0000"', "line 2: [export] output: expected a path, got 'a\\x00'"),
        ("[corpus]\npath = 3", "line 2: [corpus] path: expected a text in quotes, got 3"),
        (
            '[app]\ncell-types = ["int8", "int8"]',
            "line 2: [app] cell-types: expected at least one, and each once, got ['int8', 'int8']",
        ),
        (
            "[app]\ncell-types = []",
            f"line 2: [app] cell-types: {NO_CELLS}, got []",
        ),
        (
            '[app]\ncell-types = "int8"',
            "line 2: [app] cell-types: expected a list, got 'int8'",
        ),
        (
            '[evaluate]\nmeasures = ["R@ten"]',
            "line 2: [evaluate] measures, entry 1: expected a measure such as nDCG@10, got 'R@ten'",
        ),
        (
            '[app]\nminimum-vespa-version = "8"',
            "line 2: [app] minimum-vespa-version: expected a version such as 8.338.38, got '8'",
        ),
        (
            '[model]\nembedder = "facts.json"',
            "line 1: [model]: expected transformer-url, tokenizer-url and embedder, or none",
        ),
        ('search.hits = "x"', "line 1: [search] hits: expected a whole number, got 'x'"),
        ("[app", "line 1: Expected ']' at the end of a table declaration, got '[app'"),
        ('[app]\nname = "x', "line 2: Unterminated string, got 'name = \"x'"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, text: str, fault: str) -> None:
    assert fault in faults(tmp_path, text)


@pytest.mark.parametrize(
    "header", ["[app", "[[app]", "[app]]", "app]", '["app]', "[ app # it", '[app] name = "x"']
)
def test_keys_below_a_broken_header_are_those_of_its_table(tmp_path: Path, header: str) -> None:
    text = f'[index]\nthreads = 1\n{header}\nschema = "page"\nrerank-count = "ten"\n'
    broken, value = faults(tmp_path, text)
    assert broken.startswith("line 3: ")
    assert broken.endswith(f", got {header!r}")
    assert value == "line 5: [app] rerank-count: expected a whole number, got 'ten'"


def test_a_broken_header_of_a_table_that_is_there_already_is_the_one_that_is_named(
    tmp_path: Path,
) -> None:
    text = '[app]\nschema = "page"\n[index]\nthreads = -1\n[app\nname = "x"\n'
    value, twice = faults(tmp_path, text)
    assert value == "line 4: [index] threads: expected 0 or more, got -1"
    assert twice == "line 5: [app is there twice, got '[app'"


@pytest.mark.parametrize(
    ("key", "below"), [("rerank-count", "[app]"), ("wholly-unknown", "a table")]
)
def test_a_key_above_all_tables_is_told_where_it_belongs(
    tmp_path: Path, key: str, below: str
) -> None:
    (found,) = faults(tmp_path, f"{key} = 3\n[app]\n")
    assert found == f"line 1: {key}: expected a key below {below}, got one above all tables"


def test_outputs_that_would_overwrite_each_other_are_refused(tmp_path: Path) -> None:
    found = faults(tmp_path, '[app]\noutput = "out"\n[index]\noutput = "x/../out/index"')
    places = f"{tmp_path / 'out'} and {tmp_path / 'out' / 'index'}"
    assert found == (f"[app] output and [index] output: expected places apart, got {places}",)


def test_a_recipe_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"none\.toml: cannot be read \(No such file.*init"):
        read_recipe(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(SpecError, match="expected UTF-8, byte 2 is not"):
        read_recipe(tmp_path / "latin.toml")


def test_a_recipe_cannot_be_changed_afterwards(tmp_path: Path) -> None:
    recipe = read(tmp_path, "")
    with pytest.raises(ValueError, match="frozen"):
        recipe.search.hits = 3


def test_the_application_of_a_published_model_needs_no_model_folder(tmp_path: Path) -> None:
    facts = {"embedder": asdict(replace(FACTS, dim=32))}
    (tmp_path / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    recipe = read(
        tmp_path,
        '[model]\ntransformer-url = "https://example.org/m"\n'
        'tokenizer-url = "https://example.org/t"\nembedder = "facts.json"\n',
    )
    spec = recipe_application(recipe)
    assert spec.embedders[0].transformer == RemoteFile(url="https://example.org/m")
    assert spec.embedders[0].facts.dim == 32
    assert spec.files == ()


def test_the_application_of_a_model_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="expected a model folder"):
        recipe_application(read(tmp_path, ""))


def test_no_cell_types_are_refused_together_with_other_faults(tmp_path: Path) -> None:
    text = '[app]\ncell-types = []\nlayout = "book"\n'

    assert [each[:24] for each in faults(tmp_path, text)] == [
        "line 2: [app] cell-types",
        "line 3: [app] layout: ex",
    ]


def test_a_checkpoint_may_be_named_as_on_the_hub(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('[checkpoint]\npath = "org/model"\nrevision = "v1"\n')

    named = read_recipe(recipe).checkpoint
    (tmp_path / "org" / "model").mkdir(parents=True)
    local = read_recipe(recipe).checkpoint

    assert (named.path, named.options.revision) == (Path("org/model"), "v1")
    assert local.path == tmp_path / "org" / "model"


def test_a_search_ranks_by_the_widest_vectors_where_none_are_whole(tmp_path: Path) -> None:
    recipe = read(tmp_path, '[app]\ncell-types = ["int8", "float"]')
    stated = read(tmp_path, '[search]\nprofile = "max_sim_float"')
    cut = ["bm25", "max_sim_float_8", "max_sim_float_32", "max_sim_float_x", "max_sim_int8_64"]

    assert search_profile(recipe, [*cut, "max_sim_float"]) == "max_sim_float"
    assert search_profile(recipe, cut) == "max_sim_float_32"
    assert search_profile(recipe, ["bm25"]) == "max_sim_float"
    assert search_profile(stated, cut) == "max_sim_float"


def test_a_search_of_an_index_of_residuals_alone_rebuilds_vectors(tmp_path: Path) -> None:
    recipe, names = read(tmp_path, ""), ["max_sim_int8", "max_sim_residual"]
    stated = read(tmp_path, '[search]\nprofile = "bm25"')

    assert search_profile(recipe, names) == "max_sim_int8"
    assert search_profile(recipe, names, residuals_alone=True) == "max_sim_residual"
    assert search_profile(stated, names, residuals_alone=True) == "bm25"
    alone = read(tmp_path, '[app]\ncell-types = []\n[tokens]\nresidual = "codec"')
    for each in (alone, recipe):
        assert search_profile(each, ["bm25", "max_sim_residual"]) == "max_sim_residual"
