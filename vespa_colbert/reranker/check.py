"""What is wrong with a folder of custom weights: every step of reading one, then a few scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vespa_colbert.checkpoint.cross_encoder import (
    CONFIG_FILE,
    TOKENIZER_CONFIG_FILE,
    CrossEncoderCheckpoint,
    check_architecture,
    check_labels,
    check_modules,
    contradictions,
    given_pair,
    read_cross_encoder_checkpoint,
)
from vespa_colbert.checkpoint.encoder_config import check_config
from vespa_colbert.checkpoint.encoder_files import read_encoder
from vespa_colbert.checkpoint.facts import Encoder
from vespa_colbert.checkpoint.folder import JsonObject, read_object, require_folder
from vespa_colbert.checkpoint.options import DEFAULT_OPTIONS, ReadOptions
from vespa_colbert.checkpoint.pair_form import PairForm
from vespa_colbert.checkpoint.tokenizer_facts import TokenizerFacts, read_tokenizer
from vespa_colbert.checkpoint.tokenizer_library import load_tokenizer
from vespa_colbert.errors import (
    ArrayError,
    CheckpointError,
    ExportError,
    MissingExtraError,
    SpecError,
)
from vespa_colbert.export.model_folder import EMBEDDER_FILE
from vespa_colbert.export.samples import SAMPLE_PASSAGES, SAMPLE_QUERIES
from vespa_colbert.reranker.remedies import Diagnosis, diagnose
from vespa_colbert.reranker.reranker import Reranker
from vespa_colbert.reranker.scorers import OnnxScorer, PairScorer, TorchScorer

__all__ = ["Report", "check_cross_encoder"]

SAMPLES = 4
"""Queries and passages of which every pair is scored."""
CONSTANT = 1e-6
"""Scores whose spread, relative to the largest where that is over 1, is below this are equal but
for rounding."""
WRAPPED = re.compile(r"^(module|model|_orig_mod|encoder|cross_encoder)\.")
WRAPPED_SHARE = 0.9

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a check found.

    Attributes:
        path: The folder.
        diagnoses: Faults first; empty if nothing is wrong.
        scores: Logits of the sample pairs, a row for each query; empty if none were computed.
        facts: What the model is, as far as it could be read.
        not_checked: Steps that could not be taken, and why.
    """

    path: Path
    diagnoses: tuple[Diagnosis, ...]
    scores: tuple[tuple[float, ...], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    not_checked: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether the model can be used."""
        return not any(each.severity == "fault" for each in self.diagnoses)


class _Findings:
    """The diagnoses so far."""

    def __init__(self) -> None:
        self.diagnoses: list[Diagnosis] = []
        self.not_checked: list[str] = []

    def add(self, step: str, found: str) -> None:
        self.diagnoses.append(diagnose(step, found))

    def attempt(self, step: str, read: Callable[[], T]) -> T | None:
        """Return what a step of reading gives, None if it fails."""
        try:
            return read()
        except MissingExtraError as error:
            self.not_checked.append(f"{step}: {error}")
        except (CheckpointError, ExportError, SpecError, OSError) as error:
            self.add(step, str(error))
        return None


def check_cross_encoder(
    folder: Path, options: ReadOptions = DEFAULT_OPTIONS, *, max_tokens: int | None = None
) -> Report:
    """Return what is wrong with a folder of a cross-encoder; nothing is looked up in a network.

    Steps that do not need one another are all taken, so that several faults show at once.

    Args:
        folder: What ``save_pretrained`` wrote.
        options: Says whether the weights may be a torch file.
        max_tokens: Most tokens of a pair, where the user states it.
    """
    findings = _Findings()
    if not folder.is_dir():
        findings.attempt("folder", lambda: require_folder(folder))
        return _report(folder, findings)
    if (folder / EMBEDDER_FILE).is_file():
        return _checked_export(folder, findings)
    config = _config(folder, findings)
    encoder = _encoder(folder, options, config, findings)
    tokenizer = findings.attempt("tokenizer", lambda: _tokenizer(folder))
    settings = findings.attempt(
        "tokenizer", lambda: read_object(folder, TOKENIZER_CONFIG_FILE, optional=True)
    )
    if settings is not None and tokenizer is not None:
        pair = findings.attempt("tokenizer", lambda: given_pair(folder, settings))
        if pair is not None and encoder is not None:
            _agreement(encoder, tokenizer, pair, settings, max_tokens, findings)
    if findings.diagnoses:
        return _report(folder, findings)
    read = findings.attempt(
        "agreement", lambda: read_cross_encoder_checkpoint(folder, options, max_tokens=max_tokens)
    )
    if read is None:
        return _report(folder, findings)
    return _scored(read, findings)


def _checked_export(folder: Path, findings: _Findings) -> Report:
    """Return the report of a model folder, which ``export`` wrote."""
    scorer = findings.attempt("model-folder", lambda: OnnxScorer(folder))
    if scorer is None:
        return _report(folder, findings)
    facts = {"max_tokens": scorer.max_tokens, "separators": scorer.pair.separators}
    return _report(folder, findings, _scores(scorer, findings), facts)


def _config(folder: Path, findings: _Findings) -> JsonObject | None:
    """Return the config; None if it cannot be a cross-encoder's."""
    config = findings.attempt("config", lambda: read_object(folder, CONFIG_FILE))
    if config is None:
        return None
    for check in (check_config, check_architecture, check_labels):
        findings.attempt("config", lambda check=check: check(config))  # type: ignore[misc]
    findings.attempt("config", lambda: check_modules(folder))
    return config


def _encoder(
    folder: Path, options: ReadOptions, config: JsonObject | None, findings: _Findings
) -> Encoder | None:
    """Return the weights with the config; None if they cannot be read, or no config is there."""
    if config is None:
        from vespa_colbert.checkpoint.torch_file import read_any_weights

        findings.attempt("weights", lambda: read_any_weights(folder, options))
        return None
    if any(each.code in {"remote-code", "quantised"} for each in findings.diagnoses):
        return None
    read = findings.attempt("weights", lambda: read_encoder(folder, options))
    if read is None:
        return None
    encoder, _paths = read
    _keys(encoder, findings)
    return encoder


def _keys(encoder: Encoder, findings: _Findings) -> None:
    """Find tensors that are missing, too many, or of another shape."""
    from vespa_colbert.model.build_pairs import match_classifier

    found = findings.attempt("keys", lambda: match_classifier(encoder))
    if found is None:
        return
    wrapped = [name for name in encoder.weights if WRAPPED.match(name)]
    if found.missing and len(wrapped) >= WRAPPED_SHARE * len(encoder.weights):
        findings.add(
            "keys",
            f"expected names such as {found.missing[0]}, got wrapped ones such as {wrapped[0]}",
        )
        return
    for line in found.faults:
        findings.add("keys", line)


def _tokenizer(folder: Path) -> TokenizerFacts:
    """Return the tokenizer's facts, once the library has loaded it too."""
    facts = read_tokenizer(folder)
    load_tokenizer(facts)
    return facts


def _agreement(
    encoder: Encoder,
    tokenizer: TokenizerFacts,
    pair: PairForm,
    settings: JsonObject,
    max_tokens: int | None,
    findings: _Findings,
) -> None:
    """Find what parts say against one another."""
    for _name, text in contradictions(encoder, tokenizer, pair, settings, max_tokens=max_tokens):
        findings.add("agreement", text)


def _scored(read: CrossEncoderCheckpoint, findings: _Findings) -> Report:
    """Return the report of a model that could be read whole, with its scores."""
    for text in read.warnings:
        findings.add("warning", text)
    built = findings.attempt("scores", lambda: TorchScorer(read))
    rows = () if built is None else _scores(built, findings)
    encoder = read.encoder
    facts = {
        "architecture": encoder.config["architectures"][0],
        "model_type": encoder.model_type,
        "positions": encoder.positions,
        "max_tokens": read.max_tokens,
        "separators": read.pair.separators,
        "dtypes": list(encoder.dtypes),
        "tensors": len(encoder.weights),
    }
    return _report(read.path, findings, rows, facts)


def _scores(scorer: PairScorer, findings: _Findings) -> tuple[tuple[float, ...], ...]:
    """Return logits of every pair of a few queries and passages."""
    queries, passages = SAMPLE_QUERIES[:SAMPLES], SAMPLE_PASSAGES[:SAMPLES]
    try:
        reranker = Reranker(scorer)
        logits = reranker.score([(query, text) for query in queries for text in passages])
    except MissingExtraError as error:
        findings.not_checked.append(f"scores: {error}")
        return ()
    except (ArrayError, CheckpointError, RuntimeError, IndexError, ValueError) as error:
        findings.add("scores", str(error))
        return ()
    spread = float(np.ptp(logits))
    if spread <= CONSTANT * max(1.0, float(np.abs(logits).max())):
        findings.add(
            "scores",
            f"expected pairs to differ, got the same score {logits[0]:.6g} for all {len(logits)}",
        )
    rows = logits.reshape(len(queries), len(passages))
    return tuple(tuple(float(each) for each in row) for row in rows)


def _report(
    folder: Path,
    findings: _Findings,
    scores: tuple[tuple[float, ...], ...] = (),
    facts: Mapping[str, Any] | None = None,
) -> Report:
    return Report(
        path=folder,
        diagnoses=tuple(_unique(findings.diagnoses)),
        scores=scores,
        facts=facts or {},
        not_checked=tuple(findings.not_checked),
    )


def _unique(diagnoses: list[Diagnosis]) -> Iterator[Diagnosis]:
    """Yield each diagnosis once, faults first."""
    faults_first = sorted(diagnoses, key=lambda each: each.severity != "fault")
    yield from dict.fromkeys(faults_first)
