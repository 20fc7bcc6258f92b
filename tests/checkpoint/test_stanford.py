from __future__ import annotations

import json
import os
import pickle
import string
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from tests.checkpoint.layout_folders import METADATA, VALUES, WEIGHTS
from tests.required import import_or_skip
from tests.tiny_checkpoint import (
    DIM,
    HIDDEN,
    IDS,
    MODULES,
    POSITIONS,
    VOCABULARY,
    edit_json,
    edit_tensors,
    write_json,
)
from vespa_colbert.checkpoint import Checkpoint, Marker, ReadOptions, read_checkpoint
from vespa_colbert.checkpoint.first_ids import read_first_ids
from vespa_colbert.checkpoint.tokenizer_facts import TokenizerFacts, read_tokenizer
from vespa_colbert.errors import CheckpointError, UnknownLayoutError
from vespa_colbert.files import digest_file
from vespa_colbert.model import build_encoder

Copy = Callable[[], Path]

PICKLED = "pytorch_model.bin"
ALLOWED = ReadOptions(allow_pickle=True)
STATED = ReadOptions(
    query_marker="[unused0]",
    document_marker="[unused1]",
    max_query_tokens=10,
    max_document_tokens=20,
)
TEXTS = ("", "rose", "a rose is a rose", "x y z " * 30, "rose. is, (a) rose!", "the quick fox")


class HF_ColBERT(transformers.BertPreTrainedModel):  # type: ignore[misc]  # noqa: N801 - its name
    """Named and built as the library does it, so that transformers writes the library's files."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.bert = transformers.BertModel(config)
        self.linear = torch.nn.Linear(config.hidden_size, DIM, bias=False)
        self.post_init()


@pytest.fixture(name="stanford")
def stanford_fixture(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """The encoder and the projection of the tiny checkpoint as colbert-ai would save them."""
    folder = tmp_path / "stanford"
    model = HF_ColBERT(transformers.BertConfig.from_pretrained(tiny_checkpoint))
    model.bert.load_state_dict(load_file(tiny_checkpoint / WEIGHTS))
    model.linear.load_state_dict({
        "weight": load_file(tiny_checkpoint / "1_Dense" / WEIGHTS)["linear.weight"]
    })
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_checkpoint / name).read_bytes())
    write_json(folder / METADATA, VALUES)
    return folder


def rows(checkpoint: Checkpoint, ids: list[int], attended: int) -> Any:
    attention = (torch.arange(len(ids)) < attended).to(torch.int64)[None, :]
    with torch.no_grad():
        return build_encoder(checkpoint)(torch.tensor([ids]), attention)[0]


def content(checkpoint: Checkpoint, text: str) -> list[int]:
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer.text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


def query_ids(checkpoint: Checkpoint, text: str) -> tuple[list[int], int]:
    """Return start, marker, content, end, mask tokens to the length; and how many are attended."""
    assert checkpoint.query_marker is not None
    assert checkpoint.start_id is not None
    assert checkpoint.end_id is not None
    length = checkpoint.max_query_tokens
    words = content(checkpoint, text)[: length - 3]
    ids = [checkpoint.start_id, checkpoint.query_marker.id, *words, checkpoint.end_id]
    return ids + [checkpoint.mask_id] * (length - len(ids)), len(ids)


def document_ids(checkpoint: Checkpoint, text: str) -> list[int]:
    assert checkpoint.document_marker is not None
    assert checkpoint.start_id is not None
    assert checkpoint.end_id is not None
    words = content(checkpoint, text)[: checkpoint.max_document_tokens - 3]
    return [checkpoint.start_id, checkpoint.document_marker.id, *words, checkpoint.end_id]


def test_facts_are_those_of_the_metadata(stanford: Path) -> None:
    assert json.loads((stanford / "config.json").read_text())["architectures"] == ["HF_ColBERT"]
    checkpoint = read_checkpoint(stanford)
    assert checkpoint.layout == "stanford"
    assert checkpoint.dim == DIM
    assert checkpoint.query_marker == Marker(text="[unused0]", id=IDS["[unused0]"])
    assert checkpoint.document_marker == Marker(text="[unused1]", id=IDS["[unused1]"])
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (10, 20)
    ids = (checkpoint.start_id, checkpoint.end_id, checkpoint.mask_id, checkpoint.pad_id)
    assert ids == tuple(IDS[token] for token in ("[CLS]", "[SEP]", "[MASK]", "[PAD]"))
    assert checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert checkpoint.skip_ids == tuple(IDS[c] for c in string.punctuation)
    assert not checkpoint.skip_queries
    assert (checkpoint.lower_case, checkpoint.strip) == (False, False)
    assert (checkpoint.start_row_dropped, checkpoint.mean_score) == (False, False)
    assert checkpoint.provenance["max_document_tokens"] == "artifact.metadata: doc_maxlen"
    assert checkpoint.files[METADATA] == digest_file(stanford / METADATA)
    assert checkpoint.files[WEIGHTS] == digest_file(stanford / WEIGHTS)
    assert checkpoint.warnings == ()


def test_the_model_is_that_of_the_same_weights_in_another_layout(
    stanford: Path, tiny_checkpoint: Path
) -> None:
    checkpoint, pylate = read_checkpoint(stanford), read_checkpoint(tiny_checkpoint)
    assert "linear.weight" not in checkpoint.encoder.weights
    assert np.array_equal(checkpoint.projection[0].weight, pylate.projection[0].weight)
    assert checkpoint.projection[0].bias is None
    for text in TEXTS:
        ids, attended = query_ids(checkpoint, text)
        assert torch.equal(rows(checkpoint, ids, attended), rows(pylate, ids, attended))
    for fact in ("query_marker", "document_marker", "mask_id", "max_query_tokens", "skip_ids"):
        assert getattr(checkpoint, fact) == getattr(pylate, fact)


def test_lengths_count_what_the_tokenizers_of_colbert_count(stanford: Path) -> None:
    checkpoint = read_checkpoint(stanford)
    library = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(stanford / "tokenizer.json"),
        pad_token="[PAD]",  # noqa: S106 - a token of text
    )

    def insert(ids: list[int], marker: str) -> list[int]:
        return [ids[0], IDS[marker], *ids[1:]]

    for text in TEXTS:
        cut = library(
            text, padding="max_length", truncation=True, max_length=VALUES["query_maxlen"] - 1
        )
        wanted = [
            IDS["[MASK]"] if token == IDS["[PAD]"] else token
            for token in insert(cut["input_ids"], "[unused0]")
        ]
        ids, attended = query_ids(checkpoint, text)
        assert ids == wanted
        assert attended == sum(cut["attention_mask"]) + 1
        cut = library(
            text, padding="longest", truncation="longest_first", max_length=VALUES["doc_maxlen"] - 1
        )
        assert document_ids(checkpoint, text) == insert(cut["input_ids"], "[unused1]")


def test_metadata_may_be_nested(stanford: Path) -> None:
    write_json(stanford / METADATA, {"config": {**VALUES, "doc_maxlen": 30}, "doc_maxlen": 40})
    checkpoint = read_checkpoint(stanford)
    assert checkpoint.max_document_tokens == 30
    assert checkpoint.provenance["max_document_tokens"] == "artifact.metadata: config: doc_maxlen"


def test_what_the_metadata_leaves_out_is_as_the_library_has_it(stanford: Path) -> None:
    write_json(stanford / METADATA, {"doc_maxlen": 20, "query_maxlen": None})
    checkpoint = read_checkpoint(stanford)
    assert checkpoint.max_query_tokens == 32
    assert checkpoint.query_marker == Marker(text="[unused0]", id=IDS["[unused0]"])
    assert checkpoint.document_marker == Marker(text="[unused1]", id=IDS["[unused1]"])
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert not checkpoint.expansion_attended
    assert checkpoint.provenance["max_query_tokens"] == "default of colbert-ai 0.2.22"
    write_json(stanford / METADATA, {})
    with pytest.raises(CheckpointError, match=r"64 positions.*got 220"):
        read_checkpoint(stanford)


def test_flags_of_the_metadata_are_obeyed(stanford: Path) -> None:
    edit_json(stanford / METADATA, mask_punctuation=False, attend_to_mask_tokens=True)
    checkpoint = read_checkpoint(stanford)
    assert checkpoint.expansion_attended
    assert (checkpoint.skip_words, checkpoint.skip_ids) == ((), ())


def test_pooling_in_the_index_is_named(stanford: Path) -> None:
    edit_json(stanford / METADATA, pool_factor=2)
    (warning,) = read_checkpoint(stanford).warnings
    assert "pool_factor 2" in warning


def test_without_metadata_lengths_and_markers_are_to_be_stated(stanford: Path) -> None:
    (stanford / METADATA).unlink()
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(stanford, replace(STATED, document_marker=None, max_query_tokens=None))
    assert METADATA in str(caught.value)
    assert "got none for --document-marker, --max-query-tokens" in str(caught.value)
    checkpoint = read_checkpoint(stanford, replace(STATED, max_query_tokens=12))
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (12, 20)
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert checkpoint.query_expansion
    assert checkpoint.provenance["max_query_tokens"] == "stated by the user"
    assert checkpoint.provenance["skip_words"] == "default of colbert-ai 0.2.22"
    assert METADATA in checkpoint.warnings[0]


def test_stated_options_replace_the_defaults_of_the_library(stanford: Path) -> None:
    (stanford / METADATA).unlink()
    stated = replace(STATED, expansion_attended=True, skip_words=("rose", "."))
    checkpoint = read_checkpoint(stanford, stated)
    assert checkpoint.expansion_attended
    assert checkpoint.skip_ids == (IDS["rose"], IDS["."])
    assert checkpoint.provenance["skip_words"] == "stated by the user"


def test_what_is_stated_otherwise_than_the_metadata_says_is_refused(stanford: Path) -> None:
    with pytest.raises(CheckpointError, match="max_query_tokens: 12 stated, 10 in the checkpoint"):
        read_checkpoint(stanford, replace(STATED, max_query_tokens=12))


@pytest.mark.parametrize("stated", [{"query_marker": ""}, {"query_expansion": False}])
def test_what_the_library_never_does_cannot_be_stated(
    stanford: Path, stated: dict[str, Any]
) -> None:
    (stanford / METADATA).unlink()
    with pytest.raises(CheckpointError, match=r"query.marker|query_expansion: False stated"):
        read_checkpoint(stanford, replace(STATED, **stated))


@pytest.mark.parametrize(
    "architectures", [["HF_ColBERT"], ["MyHF_ColBERT"], None], ids=["class", "subclass", "weights"]
)
def test_a_folder_is_known_without_its_metadata(
    stanford: Path, architectures: list[str] | None
) -> None:
    (stanford / METADATA).unlink()
    edit_json(stanford / "config.json", architectures=architectures)
    assert read_checkpoint(stanford, STATED).layout == "stanford"


def test_a_folder_with_a_list_of_modules_is_not_known_by_its_weights(stanford: Path) -> None:
    (stanford / METADATA).unlink()
    edit_json(stanford / "config.json", architectures=None)
    write_json(stanford / "modules.json", MODULES[:1])
    with pytest.raises(UnknownLayoutError, match=f"stanford: no {METADATA}; config.json names no"):
        read_checkpoint(stanford, STATED)


def test_the_list_of_modules_comes_first(tiny_checkpoint: Path, copy: Copy) -> None:
    folder = copy()
    write_json(folder / METADATA, VALUES)
    assert read_checkpoint(folder).layout == "pylate"


def test_a_head_of_pre_training_is_no_obstacle(stanford: Path, tiny_checkpoint: Path) -> None:
    edit_tensors(stanford / WEIGHTS, cls__predictions__bias=torch.ones(len(VOCABULARY)))
    checkpoint, pylate = read_checkpoint(stanford), read_checkpoint(tiny_checkpoint)
    ids = [4, 1, 50, 60, 5]
    assert torch.equal(rows(checkpoint, ids, 5), rows(pylate, ids, 5))


def test_another_prefix_of_the_encoder_is_read(stanford: Path) -> None:
    torch.manual_seed(3)
    config = transformers.RobertaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=POSITIONS,
        type_vocab_size=1,
        pad_token_id=0,
        architectures=["HF_ColBERT"],
    )
    model = transformers.RobertaModel(config, add_pooling_layer=False).eval()
    tensors = {f"roberta.{name}": tensor for name, tensor in model.state_dict().items()}
    head = torch.randn(DIM, HIDDEN)
    save_file({**tensors, "linear.weight": head}, stanford / WEIGHTS)
    config.save_pretrained(stanford)
    checkpoint = read_checkpoint(stanford)
    assert checkpoint.encoder.model_type == "roberta"
    ids, attended = query_ids(checkpoint, "a rose")
    attention = (torch.arange(len(ids)) < attended).to(torch.int64)[None, :]
    with torch.no_grad():
        hidden = model(torch.tensor([ids]), attention_mask=attention)[0][0]
    wanted = torch.nn.functional.normalize(hidden @ head.T, dim=-1)
    torch.testing.assert_close(rows(checkpoint, ids, attended), wanted)


def test_a_torch_file_without_metadata_is_known_by_its_projection_where_it_may_be_opened(
    pickled: Path,
) -> None:
    (pickled / METADATA).unlink()
    edit_json(pickled / "config.json", architectures=None)
    stated = replace(STATED, allow_pickle=True)
    assert read_checkpoint(pickled, stated).layout == "stanford"
    with pytest.raises(
        UnknownLayoutError, match=r"stanford: no .*pytorch_model.bin.*--allow-pickle"
    ):
        read_checkpoint(pickled, STATED)


TORCH_INDEX = "pytorch_model.bin.index.json"


def in_torch_shards(folder: Path) -> dict[str, str]:
    """Put the tensors of a torch file into two, and return which is in which."""
    tensors = torch.load(folder / PICKLED, weights_only=True)
    (folder / PICKLED).unlink()
    names = sorted(tensors)
    places = {name: f"pytorch_model-{place % 2}.bin" for place, name in enumerate(names)}
    for shard in set(places.values()):
        torch.save({n: tensors[n] for n in names if places[n] == shard}, folder / shard)
    write_json(folder / TORCH_INDEX, {"weight_map": places})
    return places


def test_shards_of_torch_files_are_read_together(pickled: Path, tiny_checkpoint: Path) -> None:
    in_torch_shards(pickled)
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        read_checkpoint(pickled)
    checkpoint, pylate = read_checkpoint(pickled, ALLOWED), read_checkpoint(tiny_checkpoint)
    assert {TORCH_INDEX, "pytorch_model-0.bin", "pytorch_model-1.bin"} < set(checkpoint.files)
    ids, attended = query_ids(checkpoint, "a rose")
    assert torch.equal(rows(checkpoint, ids, attended), rows(pylate, ids, attended))
    (pickled / METADATA).unlink()
    edit_json(pickled / "config.json", architectures=None)
    assert read_checkpoint(pickled, replace(STATED, allow_pickle=True)).layout == "stanford"


@pytest.mark.parametrize(
    ("shard", "fragment"),
    [
        ("../pytorch_model-0.bin", "same folder"),
        ("pytorch_model-7.bin", "pytorch_model-7.bin: expected a torch file, got none"),
        ("pytorch_model-1.bin", "lie where weight_map says"),
        ("model.safetensors", "same folder"),
    ],
)
def test_shards_of_torch_files_must_be_as_their_index_says(
    pickled: Path, shard: str, fragment: str
) -> None:
    places = in_torch_shards(pickled)
    first = min(places)
    assert places[first] == "pytorch_model-0.bin"
    write_json(pickled / TORCH_INDEX, {"weight_map": places | {first: shard}})
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(pickled, ALLOWED)
    assert fragment in str(caught.value)
    assert str(pickled) in str(caught.value)


def test_of_two_legacy_files_neither_is_read(stanford: Path) -> None:
    (stanford / WEIGHTS).unlink()
    for name in ("a.dnn", "b.dnn"):
        (stanford / name).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"a\.dnn, b\.dnn"):
        read_checkpoint(stanford)


class Payload:
    def __init__(self, canary: Path) -> None:
        self._canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._canary),)


@pytest.fixture(name="pickled")
def pickled_fixture(stanford: Path) -> Path:
    """The checkpoint as older releases saved it, its weights in a torch file."""
    torch.save(load_file(stanford / WEIGHTS), stanford / PICKLED)
    (stanford / WEIGHTS).unlink()
    return stanford


def test_a_torch_file_is_read_where_that_is_allowed(pickled: Path, tiny_checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="--allow-pickle"):
        read_checkpoint(pickled)
    checkpoint, pylate = read_checkpoint(pickled, ALLOWED), read_checkpoint(tiny_checkpoint)
    assert checkpoint.files[PICKLED] == digest_file(pickled / PICKLED)
    ids, attended = query_ids(checkpoint, "a rose")
    assert torch.equal(rows(checkpoint, ids, attended), rows(pylate, ids, attended))


@pytest.mark.parametrize("options", [ReadOptions(), ALLOWED], ids=["refused", "allowed"])
@pytest.mark.parametrize("name", [PICKLED, "colbert.dnn"])
@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_pickle_is_not_run(
    pickled: Path, tmp_path: Path, options: ReadOptions, name: str, zipped: bool
) -> None:
    canary = tmp_path / "canary"
    (pickled / PICKLED).unlink()
    document = {"linear.weight": Payload(canary), "model_state_dict": Payload(canary)}
    if zipped:
        torch.save(document, pickled / name)
    else:
        (pickled / name).write_bytes(pickle.dumps(document))
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(pickled, options)
    assert not canary.exists()
    pickle.loads(pickle.dumps(Payload(canary)))  # noqa: S301 - the canary itself
    assert canary.exists(), "the payload would not have shown itself"


ARGUMENTS = {
    "dim": DIM,
    "query_maxlen": 10,
    "doc_maxlen": 20,
    "mask_punctuation": False,
    "similarity": "cosine",
    "lr": 3e-06,
    "resume": False,
    "checkpoint": None,
}


def write_legacy(folder: Path, arguments: object) -> Path:
    """Leave the weights of a folder in a file of the first releases."""
    tensors = load_file(folder / WEIGHTS)
    optimizer = {
        "state": {0: {"step": 3, "exp_avg": torch.ones(2)}},
        "param_groups": [{"betas": (0.9, 0.999), "params": [0]}],
    }
    torch.save(
        {
            "epoch": 0,
            "batch": 400,
            "model_state_dict": tensors,
            "optimizer_state_dict": optimizer,
            "arguments": arguments,
        },
        folder / "colbert-400.dnn",
    )
    (folder / WEIGHTS).unlink()
    (folder / METADATA).unlink()
    edit_json(folder / "config.json", architectures=["BertModel"])
    return folder


def test_a_legacy_file_is_read_where_that_is_allowed(stanford: Path, tiny_checkpoint: Path) -> None:
    folder = write_legacy(stanford, ARGUMENTS)
    with pytest.raises(CheckpointError, match=r"colbert-400\.dnn.*--allow-pickle"):
        read_checkpoint(folder)
    checkpoint, pylate = read_checkpoint(folder, ALLOWED), read_checkpoint(tiny_checkpoint)
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (10, 20)
    assert checkpoint.skip_ids == ()
    assert checkpoint.provenance["skip_words"] == "colbert-400.dnn: arguments: mask_punctuation"
    assert "colbert-400.dnn" in checkpoint.files
    assert "bert-base-uncased" in checkpoint.warnings[0]
    ids, attended = query_ids(checkpoint, "a rose")
    assert torch.equal(rows(checkpoint, ids, attended), rows(pylate, ids, attended))


def test_a_legacy_file_may_be_named_itself(stanford: Path) -> None:
    folder = write_legacy(stanford, ARGUMENTS)
    path = folder / "colbert-400.dnn"
    found, wanted = read_checkpoint(path, ALLOWED), read_checkpoint(folder, ALLOWED)
    assert (found.path, found.files) == (folder, wanted.files)
    with pytest.raises(CheckpointError, match=r"colbert-400\.dnn.*--allow-pickle"):
        read_checkpoint(path)


def test_a_legacy_file_beside_newer_weights_is_refused(stanford: Path) -> None:
    path = write_legacy(stanford, ARGUMENTS) / "colbert-400.dnn"
    save_file({"linear.weight": torch.ones(DIM, HIDDEN)}, stanford / WEIGHTS)
    with pytest.raises(CheckpointError, match=r"colbert-400\.dnn.*a folder of its own"):
        read_checkpoint(path, ALLOWED)


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ({**ARGUMENTS, "similarity": "l2"}, "'l2'"),
        ({**ARGUMENTS, "dim": 128}, "128 rows"),
        ({**ARGUMENTS, "doc_maxlen": 9999}, "got 9999"),
        (None, "--query-marker"),
    ],
)
def test_arguments_of_a_legacy_file_are_checked(
    stanford: Path, arguments: object, fragment: str
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(write_legacy(stanford, arguments), ALLOWED)
    assert fragment in str(caught.value)


@pytest.mark.parametrize(
    ("document", "fragment"),
    [
        ({"linear.weight": torch.ones(2, 2)}, "model_state_dict, got none"),
        ({"model_state_dict": {"linear.weight": 3}}, "another 'linear.weight'"),
    ],
)
def test_a_legacy_file_of_another_kind_is_refused(
    stanford: Path, document: dict[str, Any], fragment: str
) -> None:
    path = write_legacy(stanford, ARGUMENTS) / "colbert-400.dnn"
    torch.save(document, path)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(stanford, ALLOWED)
    assert fragment in str(caught.value)
    assert str(path) in str(caught.value)


PIECES = ("<s>", "</s>", "<unk>", "▁", ".", "▁!", "!")


@pytest.fixture(name="unigram")
def unigram_fixture(tmp_path: Path) -> TokenizerFacts:
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in PIECES], unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return read_tokenizer(tmp_path)


def test_a_skip_word_of_several_tokens_gives_its_first(unigram: TokenizerFacts) -> None:
    found = read_first_ids(unigram, (".", "!", "?"))
    # "." is the word boundary and ".", "!" is one piece with its boundary.
    assert found.ids == (PIECES.index("▁"), PIECES.index("▁!"))
    (warning,) = found.warnings
    assert warning.endswith("leaves only the first out of documents: . ?")


def test_a_skip_word_that_the_vocabulary_lacks_is_every_unknown_token(stanford: Path) -> None:
    facts = read_tokenizer(stanford)
    found = read_first_ids(facts, (".", "§", "°"))
    assert found.ids == (IDS["."], IDS["[UNK]"])
    assert found.warnings[0].startswith(
        "the vocabulary lacks § °: the library leaves every unknown"
    )


def test_a_warning_says_what_becomes_of_unknown_skip_words(stanford: Path) -> None:
    document = json.loads((stanford / "tokenizer.json").read_text())
    vocabulary = document["model"]["vocab"]
    vocabulary["~~"] = vocabulary.pop("~")
    write_json(stanford / "tokenizer.json", document)
    checkpoint = read_checkpoint(stanford)
    assert IDS["[UNK]"] in checkpoint.skip_ids
    (warning,) = checkpoint.warnings
    assert "lacks ~: the library leaves every unknown token out" in warning


def test_without_the_tokenizers_library_a_wordpiece_vocabulary_is_enough(
    stanford: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, words = read_tokenizer(stanford), (*string.punctuation, "§")
    wanted = read_first_ids(facts, words)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert read_first_ids(facts, words) == wanted


def test_without_the_tokenizers_library_no_id_is_guessed(
    unigram: TokenizerFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    found = read_first_ids(unigram, (".",))
    assert found.ids == ()
    assert "not known without the tokenizers library" in found.warnings[0]
    assert read_first_ids(unigram, ()).warnings == ()


ROUNDING = 2e-6
"""float32 rounding through two layers and a projection, in components of unit vectors."""


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("attended_expansion", [False, True])
@pytest.mark.parametrize("punctuation_skipped", [False, True])
def test_rows_are_those_of_the_multi_vector_encoder(
    stanford: Path, *, attended_expansion: bool, punctuation_skipped: bool
) -> None:
    library = import_or_skip("sentence_transformers.multi_vector_encoder")
    edit_json(
        stanford / METADATA,
        attend_to_mask_tokens=attended_expansion,
        mask_punctuation=punctuation_skipped,
    )
    model = library.MultiVectorEncoder(str(stanford), device="cpu")
    checkpoint = read_checkpoint(stanford)
    for text in TEXTS:
        ids, attended = query_ids(checkpoint, text)
        found = rows(checkpoint, ids, len(ids) if checkpoint.expansion_attended else attended)
        wanted = np.asarray(model.encode_query(text, convert_to_numpy=True))
        np.testing.assert_allclose(found.numpy(), wanted, atol=ROUNDING)
        ids = document_ids(checkpoint, text)
        kept = [place for place, token in enumerate(ids) if token not in checkpoint.skip_ids]
        wanted = np.asarray(model.encode_document(text, convert_to_numpy=True))
        found = rows(checkpoint, ids, len(ids))[kept]
        np.testing.assert_allclose(found.numpy(), wanted, atol=ROUNDING)
