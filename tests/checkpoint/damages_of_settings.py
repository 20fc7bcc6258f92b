"""Damages of what a layout says of itself: lengths, markers, modules, switches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.checkpoint.damage_cases import Case, case
from tests.checkpoint.damages import (
    CONFIG,
    Damage,
    as_folder,
    as_link,
    bytes_changed,
    content,
    document,
    in_order,
    members,
    removed,
    tensor,
)
from tests.checkpoint.damages_of_values import ones
from tests.checkpoint.layout_folders import (
    BGE_M3,
    MASK_FILE,
    METADATA,
    MODEL_FILE,
    MODULAR,
    MODULES_FILE,
    MULTI,
    NORMALIZE_FILE,
    PROMPTS,
    PYLATE,
    SENTENCE_FILE,
    STANFORD,
    WEIGHTS,
    LayoutFiles,
)
from tests.tiny_checkpoint import DIM, HIDDEN, POSITIONS, edit_tensors

HEAD_CONFIG = "1_Dense/config.json"


def module(place: int, **changes: Any) -> Damage:
    return document(MODULES_FILE, lambda parsed: parsed[place].update(changes))


def renumber(modules: list[dict[str, Any]]) -> None:
    for place, each in enumerate(modules):
        each.update(idx=place, name=str(place))


def projection_unlisted(folder: Path, files: LayoutFiles) -> None:
    in_order(
        document(MODULES_FILE, lambda modules: modules.pop(1)), document(MODULES_FILE, renumber)
    )(folder, files)


LENGTHS: tuple[tuple[str, object, str], ...] = (
    ("negative", -1, "got -1"),
    ("zero", 0, "got 0"),
    ("too short", 3, "got 3"),
    ("beyond the positions", POSITIONS + 1, f"{POSITIONS} positions"),
    ("endless", 10**40, f"{POSITIONS} positions"),
    ("a text", "20", "an integer, got '20'"),
    ("a flag", True, "an integer, got True"),
    ("a float", 20.0, "an integer, got 20.0"),
    ("a list", [20], "an integer, got [20]"),
)


LENGTH_KEYS = (
    (PYLATE, MODEL_FILE, "document_length"),
    (PYLATE, MODEL_FILE, "query_length"),
    (STANFORD, METADATA, "doc_maxlen"),
    (STANFORD, METADATA, "query_maxlen"),
    (MULTI, SENTENCE_FILE, "document_length"),
)


LENGTH_DAMAGES = tuple(
    case(f"{key} {name}", members(file, **{key: value}), file, key, words, layouts=(layout,))
    for layout, file, key in LENGTH_KEYS
    for name, value, words in LENGTHS
)


MARKER_KEYS = (
    (PYLATE, MODEL_FILE, "query_prefix"),
    (PYLATE, MODEL_FILE, "document_prefix"),
    (STANFORD, METADATA, "query_token_id"),
    (STANFORD, METADATA, "doc_token_id"),
)


MARKERS: tuple[tuple[str, object, str], ...] = (
    ("not in the vocabulary", "[Q] ", "'[Q] ' to be one token"),
    ("unknown token", "[UNK]", "'[UNK]' to be one token"),
    ("a number", 1, "expected a string, got 1"),
    ("a list", ["[unused0]"], "expected a string, got ['[unused0]']"),
)


MARKER_DAMAGES = tuple(
    case(f"{key} {name}", members(file, **{key: value}), words, layouts=(layout,))
    for layout, file, key in MARKER_KEYS
    for name, value, words in MARKERS
) + tuple(
    case(
        f"prompt {name}",
        members(MODEL_FILE, prompts=PROMPTS | {"query": value}),
        *words,
        layouts=(MULTI,),
    )
    for name, value, words in (
        ("of several tokens", "search: ", ("query prompt 'search: '", "one token")),
        ("unknown token", "§", ("query prompt '§'", "one token")),
        ("a number", 3, ("prompts", "3")),
        ("a list", ["[unused0]"], ("prompts", "['[unused0]']")),
    )
)


MODULES_DAMAGED = (
    case("modules empty", content(MODULES_FILE, b"[]"), MODULES_FILE, "list of modules"),
    case("modules an object", content(MODULES_FILE, b"{}"), MODULES_FILE, "list of modules"),
    case("module a text", content(MODULES_FILE, b'["a"]'), MODULES_FILE, "'a'"),
    case(
        "modules in another order",
        in_order(document(MODULES_FILE, lambda m: m.reverse()), document(MODULES_FILE, renumber)),
        *(MODULES_FILE, "Transformer", "Dense"),
    ),
    case(
        "modules numbered otherwise",
        in_order(module(0, idx=1), module(1, idx=0)),
        *(MODULES_FILE, "idx"),
    ),
    case("two modules of one name", module(1, name="0"), MODULES_FILE, "name", "'0'"),
    case("projection not listed", projection_unlisted, MODULES_FILE, "projection is missing"),
    case("module without a type", document(MODULES_FILE, lambda m: m[1].pop("type")), "type and"),
    case("module path a number", module(1, path=3), MODULES_FILE, "type and path"),
    case("module type unknown", module(1, type="torch.nn.Linear"), "'torch.nn.Linear'"),
    case("module not there", module(1, path="7_Dense"), "'7_Dense'", "does not exist"),
    case("module path a file", module(1, path=WEIGHTS), f"'{WEIGHTS}'"),
    case("module path with a zero byte", module(1, path="1_Dense\0"), MODULES_FILE, "1_Dense"),
    case("module path too long", module(1, path="a" * 5000), MODULES_FILE, "aaa"),
    case("module without config", removed(HEAD_CONFIG), HEAD_CONFIG, "got none"),
    case("module without weights", removed("1_Dense/model.safetensors"), "1_Dense", "no weights"),
    case(
        "activation unknown",
        members(HEAD_CONFIG, activation_function="torch.nn.SiLU"),
        "activation_function",
        "'torch.nn.SiLU'",
    ),
    case(
        "activation a number",
        members(HEAD_CONFIG, activation_function=1),
        HEAD_CONFIG,
        "activation_function",
    ),
    case("no activation", members(HEAD_CONFIG, activation_function=None), "activation_function"),
    case("in_features lies", members(HEAD_CONFIG, in_features=32), "(8, 32)", "(8, 16)"),
    case("out_features lies", members(HEAD_CONFIG, out_features=4), "(4, 16)", "(8, 16)"),
    case("out_features negative", members(HEAD_CONFIG, out_features=-8), "(-8, 16)"),
    case("bias promised", members(HEAD_CONFIG, bias=True), "1_Dense", "linear.bias"),
    case("bias a text", members(HEAD_CONFIG, bias="no"), HEAD_CONFIG, "bias", "true or false"),
    case("residual promised", members(HEAD_CONFIG, use_residual=True), "residual.weight"),
    case("key not understood", members(HEAD_CONFIG, scale=2.0), HEAD_CONFIG, "scale"),
    case(
        "layers do not chain",
        in_order(
            lambda f, _n: shutil.copytree(f / "1_Dense", f / "2_Dense"),
            document(MODULES_FILE, lambda m: m.insert(2, m[1] | {"path": "2_Dense"})),
            document(MODULES_FILE, renumber),
        ),
        *("projection layer 2", f"in_features {DIM}", f"got {HIDDEN}"),
    ),
    case(
        "dense on the pooled vector",
        members(HEAD_CONFIG, module_input_name="sentence_embedding"),
        "module_input_name",
        "'sentence_embedding'",
    ),
)


MODULE_DAMAGES = tuple(
    Case(name=each.name, damage=each.damage, words=each.words, layouts=MODULAR)
    for each in MODULES_DAMAGED
)


OWN_DAMAGES = (
    # PyLate.
    case(
        "flag a text",
        members(MODEL_FILE, do_query_expansion="no"),
        "do_query_expansion",
        "true or false",
        layouts=(PYLATE,),
    ),
    case(
        "flag a number",
        members(MODEL_FILE, attend_to_expansion_tokens=1),
        "attend_to_expansion_tokens",
        layouts=(PYLATE,),
    ),
    case(
        "skip words a text",
        members(MODEL_FILE, skiplist_words="."),
        "skiplist_words",
        "list of strings",
        layouts=(PYLATE,),
    ),
    case(
        "skip words numbers",
        members(MODEL_FILE, skiplist_words=[1]),
        "skiplist_words",
        "list of strings",
        layouts=(PYLATE,),
    ),
    case(
        "a prompt before every text",
        members(MODEL_FILE, prompts={"s": "search: "}, default_prompt_name="s"),
        "default_prompt_name",
        "'search: '",
        layouts=(PYLATE,),
    ),
    case(
        "prompts a list",
        members(MODEL_FILE, prompts=["a"], default_prompt_name="a"),
        "prompts",
        layouts=(PYLATE,),
    ),
    case(
        "lower-casing of the text a number",
        members(SENTENCE_FILE, do_lower_case=1),
        SENTENCE_FILE,
        "do_lower_case",
        layouts=(PYLATE,),
    ),
    # Stanford.
    case("metadata a list", content(METADATA, b"[]"), METADATA, "list", layouts=(STANFORD,)),
    case(
        "metadata cut",
        bytes_changed(METADATA, lambda b: b[:20]),
        METADATA,
        "JSON",
        layouts=(STANFORD,),
    ),
    case("metadata a folder", as_folder(METADATA), METADATA, "a folder", layouts=(STANFORD,)),
    case(
        "metadata a link to nothing",
        as_link(METADATA, "gone"),
        METADATA,
        "link to nothing",
        layouts=(STANFORD,),
    ),
    case("metadata missing", removed(METADATA), METADATA, "--query-marker", layouts=(STANFORD,)),
    case(
        "metadata nests a list",
        members(METADATA, config=[1]),
        METADATA,
        "config",
        layouts=(STANFORD,),
    ),
    case(
        "dim of another model",
        members(METADATA, dim=128),
        "128 rows",
        f"got {DIM}",
        layouts=(STANFORD,),
    ),
    case("dim a text", members(METADATA, dim="8"), METADATA, "dim", layouts=(STANFORD,)),
    case(
        "another similarity",
        members(METADATA, similarity="l2"),
        "similarity",
        "'l2'",
        layouts=(STANFORD,),
    ),
    case(
        "another interaction",
        members(METADATA, interaction="flipr"),
        "'flipr'",
        layouts=(STANFORD,),
    ),
    case(
        "punctuation a number",
        members(METADATA, mask_punctuation=1),
        "mask_punctuation",
        layouts=(STANFORD,),
    ),
    case(
        "attention a text",
        members(METADATA, attend_to_mask_tokens="no"),
        "attend_to_mask_tokens",
        layouts=(STANFORD,),
    ),
    case(
        "head with a bias",
        lambda f, _n: edit_tensors(f / WEIGHTS, linear__bias=ones(DIM)),
        *(WEIGHTS, "linear.bias", "without a bias"),
        layouts=(STANFORD,),
    ),
    case(
        "marker empty",
        members(METADATA, query_token_id=""),
        "query marker ''",
        layouts=(STANFORD,),
    ),
    case(
        "architectures no list",
        in_order(members(CONFIG, architectures=7), removed(METADATA)),
        *(METADATA, "--query-marker"),
        layouts=(STANFORD,),
    ),
    # sentence-transformers 6.
    case(
        "no model type of the library",
        members(MODEL_FILE, model_type=None),
        "model_type",
        layouts=(MULTI,),
    ),
    case(
        "settings of PyLate beside",
        members(MODEL_FILE, query_length=32),
        "PyLate",
        "query_length",
        layouts=(MULTI,),
    ),
    case(
        "similarity of the library unknown",
        members(MODEL_FILE, similarity_fn_name="cosine"),
        "'cosine'",
        layouts=(MULTI,),
    ),
    case(
        "similarity a list",
        members(MODEL_FILE, similarity_fn_name=["maxsim"]),
        "similarity_fn_name",
        layouts=(MULTI,),
    ),
    case("mask config missing", removed(MASK_FILE), MASK_FILE, "got none", layouts=(MULTI,)),
    case(
        "skip words of the mask a text",
        members(MASK_FILE, skiplist_words="."),
        MASK_FILE,
        "list of strings",
        layouts=(MULTI,),
    ),
    case(
        "chosen ids",
        members(MASK_FILE, keep_only_token_ids=[7]),
        "keep_only_token_ids",
        layouts=(MULTI,),
    ),
    case(
        "normalised elsewhere",
        members(NORMALIZE_FILE, module_output_name="other"),
        "'other'",
        layouts=(MULTI,),
    ),
    case(
        "expansion a flag",
        members(SENTENCE_FILE, query_expansion=True),
        "query_expansion",
        layouts=(MULTI,),
    ),
    case(
        "output of another kind",
        members(SENTENCE_FILE, module_output_name="scores"),
        "'scores'",
        layouts=(MULTI,),
    ),
    # BGE-M3.
    case(
        "bias missing",
        tensor("bias", lambda _t: None, file="colbert_linear.safetensors"),
        "colbert_linear.safetensors",
        "weight and bias",
        layouts=(BGE_M3,),
    ),
    case(
        "bias of another width",
        tensor("bias", lambda t: t[:3].clone(), file="colbert_linear.safetensors"),
        "bias",
        "(3,)",
        layouts=(BGE_M3,),
    ),
    case(
        "bias infinite",
        tensor("bias", lambda t: t / 0, file="colbert_linear.safetensors"),
        "bias",
        "infinite",
        layouts=(BGE_M3,),
    ),
)
