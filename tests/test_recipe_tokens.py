from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.app import AppOptions
from vespa_colbert.app.options import TokenRetrieval
from vespa_colbert.errors import SpecError
from vespa_colbert.recipe import read_recipe


def options(folder: Path, text: str) -> AppOptions:
    path = folder / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return read_recipe(path).app_options


def test_every_way_of_holding_documents_can_be_asked_for(tmp_path: Path) -> None:
    text = """
    [app]
    layout = "chunks"
    mode = "streaming"
    [tokens]
    dims = [64, 128]
    embeddings = "client"
    storage = "paged"
    chunker = "sentence"
    chunk-length = 200
    retrieval = true
    max-links = 16
    neighbors-to-explore = 200
    target-hits = 7
    """
    retrieval = TokenRetrieval(max_links=16, neighbors_to_explore=200, target_hits=7)
    assert options(tmp_path, text) == AppOptions(
        layout="chunks",
        mode="streaming",
        dims=(64, 128),
        embeddings="client",
        storage="paged",
        chunker="sentence",
        chunk_length=200,
        token_retrieval=retrieval,
    )


def test_numbers_of_a_graph_alone_make_no_graph(tmp_path: Path) -> None:
    assert options(tmp_path, "[tokens]\nmax-links = 16\n").token_retrieval is None


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('storage = "disk"', "[tokens] storage: expected 'memory', 'paged' or 'fast-rank'"),
        ('embeddings = "us"', "[tokens] embeddings: expected 'vespa' or 'client'"),
        ("chunk-length = 0", "[tokens] chunk-length: expected 1 or more, got 0"),
        ("dims = [1.5]", "[tokens] dims, entry 1: expected a whole number, got 1.5"),
        ("target-hit = 3", "[tokens] target-hit: unknown key; did you mean 'target-hits'?"),
    ],
)
def test_a_wrong_value_is_named_with_its_line(tmp_path: Path, line: str, fault: str) -> None:
    with pytest.raises(SpecError) as caught:
        options(tmp_path, f"[tokens]\n{line}\n")

    assert f"line 2: {fault}" in str(caught.value)
