"""Checkpoints of sentence-transformers 6: what its files say, and what is refused."""

from __future__ import annotations

import json
import math
import shutil
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from tests.checkpoint.layout_folders import (
    BASE,
    EXPANSION,
    HEAD,
    MASK_FILE,
    MODEL,
    MODEL_FILE,
    MULTI_VECTOR,
    NORMALIZE_FILE,
    PROMPTS,
    SENTENCE_FILE,
    TEXT,
    TOKENIZER_FILE,
    TYPES,
    as_multi_vector,
    module_entries,
)
from tests.required import import_or_skip
from tests.tiny_checkpoint import DIM, HIDDEN, IDS, POSITIONS, edit_json, write_json
from vespa_colbert.checkpoint import Checkpoint, Marker, ReadOptions, read_checkpoint
from vespa_colbert.errors import CheckpointError
from vespa_colbert.export.describe import native_differences
from vespa_colbert.files import digest_file
from vespa_colbert.model import build_encoder

Copy = Callable[[], Path]
Damage = Callable[[Path], object]

POOLING = f"{MULTI_VECTOR}.token_pooling.HierarchicalTokenPooling"
PADDING, GONE = {"token": "[PAD]"}, {"token": "[GONE]"}
DEFAULT = "default of sentence-transformers 6.2.0"

ROUNDING = 2e-6
"""float32 rounding through two layers and two projections, in components of unit vectors."""
SCORE_ROUNDING = 2e-5
"""The same, summed over the rows of a query."""


@pytest.fixture(scope="module", name="multi_vector")
def multi_vector_fixture(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint with the files that the library itself saves; not to be changed."""
    folder = tmp_path_factory.mktemp("multi_vector") / "checkpoint"
    return as_multi_vector(Path(shutil.copytree(tiny_checkpoint, folder)))


@pytest.fixture(name="copy")
def copy_of_multi_vector(multi_vector: Path, tmp_path: Path) -> Copy:
    return lambda: Path(shutil.copytree(multi_vector, tmp_path / "copy"))


def changed(name: str, **changes: Any) -> Damage:
    return lambda folder: edit_json(folder / name, **changes)


def expansion(**changes: Any) -> Damage:
    return changed(SENTENCE_FILE, query_expansion=EXPANSION | changes)


def prompts(**changes: Any) -> Damage:
    return changed(MODEL_FILE, prompts=PROMPTS | changes)


def modules(*paths: str, **kinds: str) -> Damage:
    types = TYPES | {"2_Dense": TYPES["1_Dense"]} | kinds
    return lambda folder: write_json(
        folder / "modules.json", module_entries({path: types[path] for path in paths})
    )


def retyped(path: str, kind: str) -> Damage:
    return lambda folder: write_json(folder / "modules.json", module_entries(TYPES | {path: kind}))


def moved(path: str, to: str) -> Damage:
    types = {to if key == path else key: kind for key, kind in TYPES.items()}
    return lambda folder: write_json(folder / "modules.json", module_entries(types))


def added_token(folder: Path, content: str, **flags: Any) -> None:
    """Turn the unused token of queries into another token."""
    document = json.loads((folder / "tokenizer.json").read_text())
    document["added_tokens"][IDS["[unused0]"]] |= {"content": content} | flags
    vocabulary = document["model"]["vocab"]
    vocabulary[content] = vocabulary.pop("[unused0]")
    write_json(folder / "tokenizer.json", document)


def read_changed(copy: Copy, *changes: Damage) -> Checkpoint:
    folder = copy()
    for change in changes:
        change(folder)
    return read_checkpoint(folder)


def test_facts_are_those_of_the_files(multi_vector: Path) -> None:
    checkpoint = read_checkpoint(multi_vector)
    assert checkpoint.layout == "multi-vector"
    assert checkpoint.dim == DIM
    assert checkpoint.query_marker == Marker(text="[unused0]", id=IDS["[unused0]"])
    assert checkpoint.document_marker == Marker(text="[unused1]", id=IDS["[unused1]"])
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (10, 20)
    assert (checkpoint.start_id, checkpoint.end_id) == (IDS["[CLS]"], IDS["[SEP]"])
    assert (checkpoint.mask_id, checkpoint.pad_id) == (IDS["[MASK]"], IDS["[PAD]"])
    assert checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert checkpoint.skip_words == tuple(string.punctuation)
    assert checkpoint.skip_ids == tuple(IDS[c] for c in string.punctuation)
    flags = ("skip_queries", "lower_case", "strip", "start_row_dropped", "mean_score")
    assert [getattr(checkpoint, flag) for flag in flags] == [False] * len(flags)
    assert checkpoint.warnings == ()


def test_every_fact_says_where_it_comes_from(multi_vector: Path) -> None:
    provenance = read_checkpoint(multi_vector).provenance
    assert provenance["query_marker"] == f"{MODEL_FILE}: prompts.query"
    assert provenance["max_query_tokens"] == f"{SENTENCE_FILE}: query_expansion.length"
    assert provenance["max_document_tokens"] == f"{SENTENCE_FILE}: document_length"
    assert provenance["mask_id"] == f"{TOKENIZER_FILE}: mask_token"
    assert provenance["skip_words"] == f"{MASK_FILE}: skiplist_words"
    assert provenance["skip_queries"] == f"{MASK_FILE}: skiplist_tasks"
    assert provenance["mean_score"] == DEFAULT


def test_checksums_of_all_modules_are_kept(multi_vector: Path) -> None:
    files = read_checkpoint(multi_vector).files
    assert {MASK_FILE, NORMALIZE_FILE, SENTENCE_FILE, "1_Dense/model.safetensors"} <= set(files)
    assert files[MASK_FILE] == digest_file(multi_vector / MASK_FILE)


def test_the_same_model_in_pylates_files_is_read_as_pylates(tiny_checkpoint: Path) -> None:
    assert read_checkpoint(tiny_checkpoint).layout == "pylate"


def test_a_pylate_model_with_modules_of_the_library_stays_pylates(copy: Copy) -> None:
    folder = copy()
    settings = {"query_prefix": "[unused0]", "document_prefix": "[unused1]"}
    edit_json(folder / MODEL_FILE, model_type="ColBERT", document_length=20, **settings)
    modules("", "1_Dense")(folder)
    assert read_checkpoint(folder).layout == "pylate"


def test_what_is_stated_otherwise_than_the_checkpoint_says_is_refused(multi_vector: Path) -> None:
    assert read_checkpoint(multi_vector, ReadOptions(max_query_tokens=10)).max_query_tokens == 10
    with pytest.raises(CheckpointError, match="max_query_tokens: 11 stated"):
        read_checkpoint(multi_vector, ReadOptions(max_query_tokens=11))


# Prompts.


def test_no_prompt_means_no_marker(copy: Copy) -> None:
    checkpoint = read_changed(copy, prompts(query="", document=None))
    assert (checkpoint.query_marker, checkpoint.document_marker) == (None, None)
    assert checkpoint.provenance["query_marker"] == DEFAULT


def test_a_default_prompt_is_for_neither_queries_nor_documents(copy: Copy) -> None:
    change = prompts(query="", other="a ")
    checkpoint = read_changed(copy, change, changed(MODEL_FILE, default_prompt_name="other"))
    assert checkpoint.query_marker is None


def test_a_space_behind_the_prompt_is_no_token_of_a_word_tokenizer(copy: Copy) -> None:
    checkpoint = read_changed(copy, prompts(query="[unused0] "))
    assert checkpoint.query_marker == Marker(text="[unused0] ", id=IDS["[unused0]"])
    assert checkpoint.warnings == ()


@pytest.mark.parametrize(
    ("prompt", "fragments"),
    [
        ("rose", ("'rose'", "keep its tokens")),
        ("rose is ", ("got 2 (rose is)", "one special token")),
        ("query: ", ("got 6 (q ##u ##e ##r ##y :)",)),
        (" ", ("got 0 (none)",)),
        ("\u96e8", ("got 1 ([UNK])",)),
        ("[UNK]", ("got 1 ([UNK])",)),
    ],
)
def test_a_prompt_must_be_one_token_that_leaves_the_text_its_tokens(
    copy: Copy, prompt: str, fragments: tuple[str, ...]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_changed(copy, prompts(document=prompt))
    for fragment in (f"document prompt {prompt!r}", *fragments):
        assert fragment in str(caught.value)


def test_a_marker_that_only_stands_alone_is_refused(copy: Copy) -> None:
    folder = copy()
    added_token(folder, "[unused0]", single_word=True)
    with pytest.raises(CheckpointError, match="keep its tokens"):
        read_checkpoint(folder)


def test_a_marker_that_eats_white_space_is_reported(copy: Copy) -> None:
    folder = copy()
    # Without a pre-tokenizer that splits at white space, the space is part of the next token.
    document = json.loads((folder / "tokenizer.json").read_text())
    document["pre_tokenizer"] = {"type": "Punctuation", "behavior": "Isolated"}
    write_json(folder / "tokenizer.json", document)
    added_token(folder, "[unused0]", rstrip=True)
    (warning,) = read_checkpoint(folder).warnings
    assert "begins with white space" in warning
    assert "'[unused0]'" in warning


# Lengths and expansion.


def test_without_expansion_queries_have_their_own_length(copy: Copy) -> None:
    checkpoint = read_changed(copy, changed(SENTENCE_FILE, query_expansion=None, query_length=12))
    assert not checkpoint.query_expansion
    assert not checkpoint.expansion_attended
    assert checkpoint.max_query_tokens == 12
    assert checkpoint.mask_id == IDS["[MASK]"]


@pytest.mark.parametrize(
    ("change", "length", "origin"),
    [
        (changed(TOKENIZER_FILE, model_max_length=48), 48, "tokenizer_config.json: model_max"),
        (changed(TOKENIZER_FILE, model_max_length=10**30), POSITIONS, "config.json: positions"),
        (changed(TOKENIZER_FILE, model_max_length=None), POSITIONS, "config.json: positions"),
        (changed(SENTENCE_FILE, max_seq_length=31), 31, f"{SENTENCE_FILE}: max_seq_length"),
    ],
)
def test_lengths_that_are_not_stated_are_the_longest_text(
    copy: Copy, change: Damage, length: int, origin: str
) -> None:
    nothing = changed(SENTENCE_FILE, query_expansion=None, document_length=None)
    checkpoint = read_changed(copy, nothing, change)
    assert (checkpoint.max_query_tokens, checkpoint.max_document_tokens) == (length, length)
    assert checkpoint.provenance["max_document_tokens"].startswith(origin)
    assert checkpoint.provenance["max_query_tokens"].startswith(origin)


def test_expansion_overrides_the_length_of_queries(copy: Copy) -> None:
    checkpoint = read_changed(copy, changed(SENTENCE_FILE, query_length=15))
    assert checkpoint.max_query_tokens == 10


def test_expansion_may_be_attended_and_of_another_token(copy: Copy) -> None:
    checkpoint = read_changed(copy, expansion(attend=True, **PADDING))
    assert checkpoint.expansion_attended
    assert checkpoint.mask_id == IDS["[PAD]"]
    assert checkpoint.provenance["mask_id"] == f"{SENTENCE_FILE}: query_expansion.token"


def test_a_least_length_that_is_also_the_greatest_is_a_fixed_length(copy: Copy) -> None:
    change = changed(SENTENCE_FILE, query_expansion=EXPANSION | {"strategy": "min"})
    checkpoint = read_changed(copy, change, changed(SENTENCE_FILE, query_length=10))
    assert checkpoint.query_expansion
    assert checkpoint.max_query_tokens == 10


def test_lower_casing_by_both_is_lower_casing(copy: Copy) -> None:
    assert read_changed(copy, changed(SENTENCE_FILE, do_lower_case=True)).lower_case


# Rows that score.


def test_the_librarys_default_skips_nothing_which_vespa_cannot_do_natively(copy: Copy) -> None:
    default: dict[str, Any] = {"skiplist_words": [], "skiplist_tasks": ["document"]}
    checkpoint = read_changed(copy, lambda folder: write_json(folder / MASK_FILE, default))
    assert (checkpoint.skip_words, checkpoint.skip_ids) == ((), ())
    unfaithful = [each.point for each in native_differences(checkpoint) if not each.faithful]
    assert unfaithful == ["punctuation"]


def test_a_mask_without_settings_skips_nothing(copy: Copy) -> None:
    checkpoint = read_changed(copy, lambda folder: write_json(folder / MASK_FILE, {}))
    assert checkpoint.skip_words == ()
    assert checkpoint.provenance["skip_words"] == DEFAULT


@pytest.mark.parametrize(
    ("tasks", "words", "queries"),
    [
        ("document", (".",), False),
        (["query", "document"], (".",), True),
        (["document", "other"], (".",), False),
        (["other"], (), False),
        ([], (), False),
    ],
)
def test_skip_words_are_for_the_tasks_named(
    copy: Copy, tasks: object, words: tuple[str, ...], queries: bool
) -> None:
    change = changed(MASK_FILE, skiplist_words=["."], skiplist_tasks=tasks)
    checkpoint = read_changed(copy, change)
    assert (checkpoint.skip_words, checkpoint.skip_queries) == (words, queries)


def test_a_skip_word_that_is_no_token_is_dropped_and_reported(copy: Copy) -> None:
    checkpoint = read_changed(copy, changed(MASK_FILE, skiplist_words=[".", "\u00a7", "[UNK]"]))
    assert checkpoint.skip_words == (".", "[UNK]")
    assert checkpoint.skip_ids == (IDS["."], IDS["[UNK]"])
    (warning,) = checkpoint.warnings
    assert "\u00a7" in warning


def test_the_score_may_be_the_mean(copy: Copy) -> None:
    checkpoint = read_changed(copy, changed(MODEL_FILE, similarity_fn_name="meanmaxsim"))
    assert checkpoint.mean_score
    assert checkpoint.provenance["mean_score"] == f"{MODEL_FILE}: similarity_fn_name"


# Modules.


def add_second_layer(folder: Path) -> None:
    """Make the projection two layers: a bias and GELU, then a residual."""
    layers = {
        "1_Dense": ({"out_features": 12, "bias": True}, "GELU"),
        "2_Dense": ({"in_features": 12, "use_residual": True}, "Tanh"),
    }
    generator = torch.Generator().manual_seed(5)
    for name, (changes, activation) in layers.items():
        config: dict[str, Any] = HEAD | changes
        config["activation_function"] = f"torch.nn.modules.activation.{activation}"
        width, dim = config["in_features"], config["out_features"]
        tensors = {"linear.weight": torch.randn(dim, width, generator=generator)}
        if config["bias"]:
            tensors["linear.bias"] = torch.randn(dim, generator=generator)
        if config.get("use_residual"):
            tensors["residual.weight"] = torch.randn(dim, width, generator=generator)
        (folder / name).mkdir(exist_ok=True)
        write_json(folder / name / "config.json", config)
        save_file(tensors, folder / name / "model.safetensors")
    modules("", "1_Dense", "2_Dense", "2_MultiVectorMask", "3_Normalize")(folder)


def test_layers_keep_bias_activation_and_residual(copy: Copy) -> None:
    first, second = read_changed(copy, add_second_layer).projection
    assert (first.activation, first.residual, first.out_features) == ("gelu", False, 12)
    assert first.bias is not None
    assert (second.activation, second.residual, second.bias) == ("tanh", True, None)
    assert second.residual_weight is not None
    assert second.residual_weight.shape == (DIM, 12)


@pytest.mark.parametrize(
    "paths",
    [
        ("", "2_MultiVectorMask", "1_Dense", "3_Normalize"),
        ("", "1_Dense", "3_Normalize", "2_MultiVectorMask"),
    ],
)
def test_the_mask_may_stand_anywhere_behind_the_encoder(copy: Copy, paths: tuple[str, ...]) -> None:
    assert read_changed(copy, modules(*paths)).skip_words == tuple(string.punctuation)


def with_pooling(**config: Any) -> Damage:
    def damage(folder: Path) -> None:
        (folder / "4_Pooling").mkdir()
        write_json(folder / "4_Pooling" / "config.json", config)
        modules(*TYPES, "4_Pooling", **{"4_Pooling": POOLING})(folder)

    return damage


def test_pooling_that_is_off_changes_nothing(copy: Copy) -> None:
    assert read_changed(copy, with_pooling(pool_factor=1.0)).dim == DIM


def cased(folder: Path) -> None:
    document = json.loads((folder / "tokenizer.json").read_text())
    document["normalizer"]["lowercase"] = False
    write_json(folder / "tokenizer.json", document)
    edit_json(folder / TOKENIZER_FILE, do_lower_case=False)


def both(first: Damage, second: Damage) -> Damage:
    def damage(folder: Path) -> None:
        first(folder)
        second(folder)

    return damage


REFUSALS: list[tuple[str, Damage, tuple[str, ...]]] = [
    # Modules.
    ("pooling", with_pooling(pool_factor=1.5), ("4_Pooling/config.json", "pool_factor", "1.5")),
    ("pooling no number", with_pooling(pool_factor=True), ("pool_factor", "True")),
    ("no projection", modules("", "2_MultiVectorMask", "3_Normalize"), ("projection is missing",)),
    ("no mask", modules("", "1_Dense", "3_Normalize"), ("MultiVectorMask", "which rows score")),
    ("no normalize", modules("", "1_Dense", "2_MultiVectorMask"), ("Normalize", "unit length")),
    (
        "normalize before the projection",
        modules("", "3_Normalize", "1_Dense", "2_MultiVectorMask"),
        ("in this order", "Transformer, Normalize, Dense"),
    ),
    (
        "transformer not first",
        modules("1_Dense", "", "2_MultiVectorMask", "3_Normalize"),
        ("in this order", "got Dense, Transformer"),
    ),
    (
        "two masks",
        both(
            add_second_layer,
            modules(*TYPES, "2_Dense", **{"2_Dense": f"{MULTI_VECTOR}.MultiVectorMask"}),
        ),
        ("one MultiVectorMask",),
    ),
    (
        "two transformers",
        both(add_second_layer, modules(*TYPES, "2_Dense", **{"2_Dense": TYPES[""]})),
        ("in this order",),
    ),
    ("unknown module", retyped("3_Normalize", "os.getcwd"), ("module 3", "'os.getcwd'")),
    ("router", retyped("", f"{BASE}.router.Router"), ("module 0", "Router")),
    ("path up", moved("3_Normalize", "../outside"), ("modules.json", "'../outside'")),
    ("path absolute", moved("2_MultiVectorMask", "/etc"), ("modules.json", "'/etc'")),
    ("path to nothing", moved("1_Dense", "7_Dense"), ("'7_Dense'", "not exist")),
    (
        "pooled vector normalized",
        lambda f: write_json(f / NORMALIZE_FILE, {}),
        (NORMALIZE_FILE, "'sentence_embedding'"),
    ),
    (
        "normalized elsewhere",
        changed(NORMALIZE_FILE, module_output_name="other"),
        (NORMALIZE_FILE, "'other'"),
    ),
    ("no mask config", lambda f: (f / MASK_FILE).unlink(), (MASK_FILE, "got none")),
    # The mask.
    ("chosen ids", changed(MASK_FILE, keep_only_token_ids=[7]), ("keep_only_token_ids", "[7]")),
    ("skip words of queries alone", changed(MASK_FILE, skiplist_tasks=["query"]), ("query alone",)),
    ("skip words no list", changed(MASK_FILE, skiplist_words="."), (MASK_FILE, "list of strings")),
    ("skip tasks no list", changed(MASK_FILE, skiplist_tasks=3), ("skiplist_tasks", "got 3")),
    ("unknown key of the mask", changed(MASK_FILE, other=1), (MASK_FILE, "got other")),
    # The model.
    ("another model", changed(MODEL_FILE, model_type="SparseEncoder"), ("'SparseEncoder'",)),
    ("no model type", changed(MODEL_FILE, model_type=None), ("model_type", "None")),
    ("pylate's settings", changed(MODEL_FILE, query_length=32), ("PyLate", "got query_length")),
    ("similarity", changed(MODEL_FILE, similarity_fn_name="cosine"), ("maxsim", "'cosine'")),
    ("prompts no object", changed(MODEL_FILE, prompts=["a"]), ("prompts", "['a']")),
    ("prompts a text", changed(MODEL_FILE, prompts="a"), ("prompts", "'a'")),
    ("prompt no text", prompts(query=3), ("prompts", "3")),
    # The Transformer.
    (
        "chat template",
        changed(SENTENCE_FILE, modality_config=TEXT | {"message": TEXT["text"]}),
        ("modality_config", "message"),
    ),
    ("task", changed(SENTENCE_FILE, transformer_task="fill-mask"), ("'fill-mask'",)),
    ("output", changed(SENTENCE_FILE, module_output_name="scores"), ("'scores'",)),
    (
        "call arguments",
        changed(SENTENCE_FILE, processing_kwargs={"text": {"max_length": 5}}),
        ("processing_kwargs", "max_length"),
    ),
    (
        "load arguments",
        changed(SENTENCE_FILE, model_args={"torch_dtype": "float16"}),
        ("model_args", "float16"),
    ),
    ("unknown key", changed(SENTENCE_FILE, other=1), (SENTENCE_FILE, "got other")),
    ("adapter", lambda f: write_json(f / "adapter_config.json", {}), ("adapter_config.json",)),
    (
        "lower-casing that the tokenizer lacks",
        both(changed(SENTENCE_FILE, do_lower_case=True), cased),
        ("do_lower_case", "save it again"),
    ),
    ("cut at the beginning", changed(TOKENIZER_FILE, truncation_side="left"), ("truncation_side",)),
    ("filled at the beginning", changed(TOKENIZER_FILE, padding_side="left"), ("padding_side",)),
    # Lengths and expansion.
    ("length no number", changed(SENTENCE_FILE, document_length="20"), ("document_length",)),
    (
        "length beyond the positions",
        changed(SENTENCE_FILE, document_length=POSITIONS + 1),
        (f"{SENTENCE_FILE}: document_length", f"got {POSITIONS + 1}"),
    ),
    ("no room", expansion(length=3), ("query_expansion.length", "got 3")),
    (
        "query shorter than its expansion",
        changed(SENTENCE_FILE, query_length=9),
        ("at most query_length 9", "got 10"),
    ),
    ("least length", expansion(strategy="min"), ("'fixed'", "'min'", "10 tokens", "up to 64")),
    (
        "least length below query_length",
        changed(SENTENCE_FILE, query_length=12, query_expansion=EXPANSION | {"strategy": "min"}),
        ("'min'", "up to 12", "query_length"),
    ),
    ("strategy", expansion(strategy="other"), ("strategy", "'other'")),
    ("no expansion length", expansion(length=None), ("query_expansion", "length")),
    ("expansion length no number", expansion(length=True), ("length", "an integer")),
    ("attention no flag", expansion(attend="no"), ("attend", "true or false")),
    ("expansion token", expansion(**GONE), ("query_expansion.token", "'[GONE]'")),
    ("expansion key", expansion(other=1), ("query_expansion", "other")),
    ("expansion no object", changed(SENTENCE_FILE, query_expansion=True), ("query_expansion",)),
]


@pytest.mark.parametrize(
    ("damage", "fragments"),
    [entry[1:] for entry in REFUSALS],
    ids=[entry[0] for entry in REFUSALS],
)
def test_what_cannot_be_reproduced_is_refused_by_name(
    copy: Copy, damage: Damage, fragments: tuple[str, ...]
) -> None:
    folder = copy()
    damage(folder)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(folder)
    for fragment in (str(folder), *fragments):
        assert fragment in str(caught.value)


# The library itself.

TEXTS = ("rose", "a rose is a rose", "x y z " * 30, "rose. is, (a) rose!", " Rose? ", "", "...")
VARIANTS: dict[str, tuple[Damage, ...]] = {
    "classic": (),
    "attended": (expansion(attend=True), prompts(query="[unused0] ")),
    "plain": (changed(SENTENCE_FILE, query_expansion=None), prompts(query="", document="")),
    "layers": (
        add_second_layer,
        changed(MASK_FILE, skiplist_tasks=["query", "document"]),
        changed(MODEL_FILE, similarity_fn_name="meanmaxsim"),
        expansion(**PADDING, length=16),
    ),
}


@pytest.fixture(scope="module", name="library")
def library_fixture() -> Any:
    return import_or_skip("sentence_transformers.multi_vector_encoder")


def token_vectors(checkpoint: Checkpoint, text: str, *, query: bool) -> Any:
    """Return the rows that score, (row, dim) float32, as the facts of a checkpoint have them."""
    tokenizer = Tokenizer.from_str(checkpoint.tokenizer.text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    marker = checkpoint.query_marker if query else checkpoint.document_marker
    limit = checkpoint.max_query_tokens if query else checkpoint.max_document_tokens
    begin = [checkpoint.start_id, *([marker.id] if marker else [])]
    words = tokenizer.encode(text, add_special_tokens=False).ids[: limit - len(begin) - 1]
    ids = [*begin, *words, checkpoint.end_id]
    attention = [1] * len(ids)
    if query and checkpoint.query_expansion:
        attention += [int(checkpoint.expansion_attended)] * (limit - len(ids))
        ids += [checkpoint.mask_id] * (limit - len(ids))
    rows = build_encoder(checkpoint)(torch.tensor([ids]), torch.tensor([attention]))[0].numpy()
    skipped = set(checkpoint.skip_ids) if checkpoint.skip_queries or not query else set()
    return rows[[place for place, token in enumerate(ids) if token not in skipped]]


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("variant", VARIANTS)
def test_rows_and_scores_are_those_of_the_library(copy: Copy, library: Any, variant: str) -> None:
    folder = copy()
    for change in VARIANTS[variant]:
        change(folder)
    model = library.MultiVectorEncoder(str(folder), device="cpu")
    checkpoint = read_checkpoint(folder)
    queries = [token_vectors(checkpoint, text, query=True) for text in TEXTS]
    documents = [token_vectors(checkpoint, text, query=False) for text in TEXTS]
    wanted_queries = model.encode_query(list(TEXTS), convert_to_numpy=True)
    wanted_documents = model.encode_document(list(TEXTS), convert_to_numpy=True)
    for got, wanted in zip(
        [*queries, *documents], [*wanted_queries, *wanted_documents], strict=True
    ):
        np.testing.assert_allclose(got, wanted, atol=ROUNDING, rtol=0)
    scores = model.similarity(wanted_queries, wanted_documents).numpy()
    for place, query in enumerate(queries):
        divisor = len(query) if checkpoint.mean_score else 1
        got = [(query @ rows.T).max(axis=1).sum() / divisor for rows in documents]
        np.testing.assert_allclose(got, scores[place], atol=SCORE_ROUNDING, rtol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_the_files_are_those_that_the_library_saves(
    multi_vector: Path, tmp_path: Path, library: Any
) -> None:
    base = import_or_skip("sentence_transformers.base.modules")
    parts = import_or_skip("sentence_transformers.multi_vector_encoder.modules")
    encoder = base.Transformer(
        str(multi_vector), document_length=20, query_expansion={"strategy": "fixed", "length": 10}
    )
    head = base.Dense.load(str(multi_vector), subfolder="1_Dense")
    mask = parts.MultiVectorMask(list(string.punctuation))
    model = library.MultiVectorEncoder(
        modules=[encoder, head, mask, base.Normalize(module_input_name="token_embeddings")],
        prompts=PROMPTS,
        device="cpu",
    )
    saved = tmp_path / "saved"
    model.save_pretrained(str(saved))
    for name in ("modules.json", "1_Dense/config.json", MASK_FILE, NORMALIZE_FILE, SENTENCE_FILE):
        assert json.loads((saved / name).read_text()) == json.loads(
            (multi_vector / name).read_text()
        )
    config = json.loads((saved / MODEL_FILE).read_text())
    assert config.pop("__version__")["sentence_transformers"].startswith("6.")
    assert config == MODEL
    ours, theirs = read_checkpoint(multi_vector), read_checkpoint(saved)
    assert theirs.skip_ids == ours.skip_ids
    assert theirs.provenance == ours.provenance
    assert np.array_equal(theirs.projection[0].weight, ours.projection[0].weight)
    assert math.prod(theirs.projection[0].weight.shape) == DIM * HIDDEN
