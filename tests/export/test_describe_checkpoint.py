from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from tests.tiny_checkpoint import (
    DIM,
    HIDDEN,
    IDS,
    POSITIONS,
    VOCABULARY,
    edit_json,
    write_json,
)
from vespa_colbert.checkpoint import read_checkpoint
from vespa_colbert.errors import ExportError
from vespa_colbert.export import (
    EmbedderSpec,
    describe_checkpoint,
    embedder_spec,
    native_differences,
)

Copy = Callable[[], Path]
SETTINGS = "config_sentence_transformers.json"


def test_the_spec_is_what_the_files_say(tiny_checkpoint: Path) -> None:
    assert embedder_spec(read_checkpoint(tiny_checkpoint)) == EmbedderSpec(
        dim=DIM,
        start_id=IDS["[CLS]"],
        end_id=IDS["[SEP]"],
        mask_id=IDS["[MASK]"],
        pad_id=IDS["[PAD]"],
        query_marker_id=IDS["[unused0]"],
        document_marker_id=IDS["[unused1]"],
        max_query_tokens=10,
        max_document_tokens=20,
        max_tokens=POSITIONS,
        expansion_emitted=True,
    )


def library_ids(folder: Path, text: str, length: int, marker: int) -> list[int]:
    """PyLate's ids: the tokenizer cuts at length - 1, then the marker is put in."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(length - 1)
    ids = tokenizer.encode(text).ids
    return [ids[0], marker, *ids[1:]]


def vespa_ids(folder: Path, text: str, spec: EmbedderSpec, *, query: bool) -> list[int]:
    """Ids of Vespa's embedder: content without special tokens, cut so that three fit around it."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    limit = spec.max_query_tokens if query else spec.max_document_tokens
    marker = spec.query_marker_id if query else spec.document_marker_id
    content = tokenizer.encode(text, add_special_tokens=False).ids[: limit - 3]
    return [spec.start_id, marker, *content, spec.end_id]


@pytest.mark.parametrize("words", [1, 6, 7, 8, 16, 17, 18, 60])
def test_lengths_give_the_windows_of_the_library(tiny_checkpoint: Path, words: int) -> None:
    spec = embedder_spec(read_checkpoint(tiny_checkpoint))
    text = "rose is " * words
    for query, length, marker in (
        (True, 10, IDS["[unused0]"]),
        (False, 20, IDS["[unused1]"]),
    ):
        wanted = library_ids(tiny_checkpoint, text, length, marker)
        assert vespa_ids(tiny_checkpoint, text, spec, query=query) == wanted


def test_emitted_expansion_is_the_librarys_expansion(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / SETTINGS, do_query_expansion=False)
    assert not embedder_spec(read_checkpoint(folder)).expansion_emitted


def test_a_model_without_markers_has_an_exact_spec_with_room_for_one(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / SETTINGS, query_prefix="", document_prefix="")
    checkpoint = read_checkpoint(folder)
    with pytest.raises(ExportError, match="always inserts"):
        embedder_spec(checkpoint)
    spec = embedder_spec(checkpoint, packaging="exact")
    assert describe_checkpoint(checkpoint).embedder == spec
    assert spec.query_marker_id != spec.document_marker_id
    assert (spec.max_query_tokens, spec.max_document_tokens) == (11, 21)
    assert spec.max_tokens == POSITIONS + 1


def test_a_model_with_one_marker_has_no_spec(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / SETTINGS, query_prefix="")
    assert describe_checkpoint(read_checkpoint(folder)).embedder is None


def test_exact_windows_of_a_marked_model_are_the_native_ones(tiny_checkpoint: Path) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    assert embedder_spec(checkpoint, packaging="exact") == embedder_spec(checkpoint)


def test_equal_markers_become_two_ids_that_an_exact_graph_can_tell_apart(copy: Copy) -> None:
    folder = copy()
    edit_json(folder / SETTINGS, query_prefix="[unused1]")
    checkpoint = read_checkpoint(folder)
    native, exact = embedder_spec(checkpoint), embedder_spec(checkpoint, packaging="exact")
    assert native.query_marker_id == native.document_marker_id
    assert exact.query_marker_id != exact.document_marker_id
    assert exact.max_tokens == POSITIONS


def test_a_description_is_plain_data(tiny_checkpoint: Path) -> None:
    described = describe_checkpoint(read_checkpoint(tiny_checkpoint))
    assert described.layout == "pylate"
    assert described.encoder == {
        "model_type": "bert",
        "hidden_size": HIDDEN,
        "vocabulary_size": len(VOCABULARY),
        "positions": POSITIONS,
        "dtypes": ["F32"],
        "tensors": 39,
    }
    assert described.projection == (
        {
            "in_features": HIDDEN,
            "out_features": DIM,
            "bias": False,
            "activation": "identity",
            "residual": False,
        },
    )
    assert described.facts["query_marker"] == {"text": "[unused0]", "id": 1}
    json.dumps([described.facts, described.encoder, described.provenance])


def without_lower_case(folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"]["lowercase"] = False
    write_json(folder / "tokenizer.json", document)
    edit_json(folder / "tokenizer_config.json", do_lower_case=False)
    edit_json(folder / "sentence_bert_config.json", do_lower_case=True)


def setting(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit_json(folder / SETTINGS, **changes)


def test_punctuation_alone_leaves_a_model_faithful(tiny_checkpoint: Path) -> None:
    differences = describe_checkpoint(read_checkpoint(tiny_checkpoint)).differences
    assert [each.point for each in differences] == ["punctuation", "end of long documents"]
    assert all(each.faithful for each in differences)


@pytest.mark.parametrize(
    ("change", "point"),
    [
        (setting(attend_to_expansion_tokens=True), "attention to expansion tokens"),
        (setting(skiplist_words=[]), "punctuation"),
        (setting(skiplist_words=["rose"]), "punctuation"),
        (setting(query_prefix=""), "marker"),
        (without_lower_case, "lower-casing"),
    ],
)
def test_what_vespa_cannot_do_is_named(
    copy: Copy, change: Callable[[Path], None], point: str
) -> None:
    folder = copy()
    change(folder)
    differences = describe_checkpoint(read_checkpoint(folder)).differences
    assert [d.point for d in differences if not d.faithful] == [point]


@pytest.mark.parametrize(
    ("fact", "point"),
    [
        ("skip_queries", "skip words in queries"),
        ("start_row_dropped", "row of the start token"),
        ("mean_score", "score"),
    ],
)
def test_what_vespas_embedder_cannot_do_is_never_called_faithful(
    tiny_checkpoint: Path, fact: str, point: str
) -> None:
    plain = read_checkpoint(tiny_checkpoint)
    changed = replace(plain, **{fact: True})  # type: ignore[arg-type]

    assert all(each.faithful for each in native_differences(plain))
    unfaithful = [each.point for each in native_differences(changed) if not each.faithful]
    assert unfaithful == [point]
    assert describe_checkpoint(changed).facts[fact] is True


@pytest.mark.parametrize(
    ("pre_tokenizer", "faithful"),
    [
        ({"type": "BertPreTokenizer"}, True),
        ({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}]}, True),
        ({"type": "ByteLevel", "add_prefix_space": False}, False),
        ({"type": "Metaspace"}, False),
        (None, False),
    ],
)
def test_stripping_matters_where_the_tokenizer_keeps_white_space(
    tiny_checkpoint: Path, pre_tokenizer: object, *, faithful: bool
) -> None:
    checkpoint = read_checkpoint(tiny_checkpoint)
    document = json.loads(checkpoint.tokenizer.text) | {"pre_tokenizer": pre_tokenizer}
    tokenizer = replace(checkpoint.tokenizer, text=json.dumps(document))

    found = native_differences(replace(checkpoint, tokenizer=tokenizer))

    assert all(each.faithful for each in found) is faithful
