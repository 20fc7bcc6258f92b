"""A query's documents in the order in which a cross-encoder sees them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.checkpoint.cross_encoder import read_cross_encoder_checkpoint
from vespa_colbert.checkpoint.options import DEFAULT_OPTIONS, ReadOptions
from vespa_colbert.embedder.batches import (
    BATCH_TOKENS,
    encoded_batches,
    token_batches,
    worker_threads,
)
from vespa_colbert.errors import SpecError
from vespa_colbert.export.model_folder import EMBEDDER_FILE
from vespa_colbert.json_lines import valid_text
from vespa_colbert.reranker.cache import ScoreCache, pair_key
from vespa_colbert.reranker.pairs import PairTokens, Sequencing, open_pair_tokenizer
from vespa_colbert.reranker.records import RerankRecord
from vespa_colbert.reranker.scorers import OnnxScorer, PairScorer, TorchScorer

__all__ = ["Ranked", "Reranker", "Score", "open_scorer"]

Score: TypeAlias = Literal["logit", "sigmoid"]
Pair: TypeAlias = tuple[str, str]
"""A query and a document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A document in its new place.

    Attributes:
        position: Its place among those given, from 0.
        score: The logit, or its sigmoid.
    """

    position: int
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What was done for the last scores.

    Attributes:
        cached: Pairs whose logit was known.
        cut: Computed pairs that were too long.
        tokens: Tokens that the model read, padding not counted.
    """

    cached: int
    cut: int
    tokens: int


class Reranker:
    """A cross-encoder with the rules by which it reads pairs."""

    def __init__(
        self,
        scorer: PairScorer,
        *,
        sequencing: Sequencing | None = None,
        score: Score = "logit",
        cache: ScoreCache | None = None,
        budget: int = BATCH_TOKENS,
        batch_size: int | None = None,
    ) -> None:
        """Put the parts together.

        Args:
            scorer: Computes logits.
            sequencing: How pairs become sequences; as FlagEmbedding does it by itself.
            score: The logit, or its sigmoid, from 0 to 1.
            cache: Where logits are kept; None for nowhere.
            budget: Tokens of a batch at most.
            batch_size: Most pairs of a batch; None for no limit.

        Raises:
            SpecError: If a number is out of range, or the lengths leave a text no room.
            CheckpointError: If the tokenizers library refuses the tokenizer.
            MissingExtraError: If tokenizers is not installed.
        """
        if budget < 1 or (batch_size is not None and batch_size < 1):
            raise SpecError(
                f"batches: expected a budget and a size of 1 or more, got {budget} and {batch_size}"
            )
        rule = sequencing or Sequencing.of_library(scorer.max_tokens)
        if rule.max_tokens > scorer.max_tokens:
            raise SpecError(
                f"max tokens: expected at most {scorer.max_tokens}, as many as {scorer.name} "
                f"states, got {rule.max_tokens}"
            )
        self.scorer = scorer
        self.sequencing = rule
        self.score_kind = score
        self.last = Work(cached=0, cut=0, tokens=0)
        self._tokenizer = open_pair_tokenizer(scorer.tokenizer_text, scorer.pair, rule)
        self._cache = cache
        self._budget, self._batch_size = budget, batch_size

    @property
    def identity(self) -> str:
        """What makes a logit what it is: model, runtime, and how pairs become sequences."""
        rule = self.sequencing
        separators = self.scorer.pair.separators if rule.separators is None else rule.separators
        cut = f"{rule.max_tokens} {rule.query_tokens} {rule.cut} {separators}"
        return f"{self.scorer.identity} {cut}"

    def score(self, pairs: Sequence[Pair]) -> NDArray[np.float64]:
        """Return the score of each pair of query and document, (pair,) float64.

        Raises:
            ArrayError: If a score is not finite.
            CollectionError: If a text holds half of a surrogate pair.
            OutputError: If the cache cannot be used.
        """
        for text in {text for pair in pairs for text in pair}:
            valid_text(text, "text", "a pair")
        keys = [pair_key(*pair) for pair in pairs]
        texts = dict(zip(keys, pairs, strict=True))
        known = self._cache.get(self.identity, list(texts)) if self._cache is not None else {}
        wanted = [key for key in texts if key not in known]
        sequences = self._sequences([texts[key] for key in wanted])
        lengths = [len(each.ids) for each in sequences]
        batches = token_batches(
            lengths, self._budget, self._batch_size, padded=self.scorer.is_padded
        )
        with worker_threads(self.scorer.workers) as pool:
            for places, found in encoded_batches(
                lambda places: self.scorer.logits([sequences[each] for each in places]),
                batches,
                pool,
            ):
                made = {wanted[at]: float(logit) for at, logit in zip(places, found, strict=True)}
                if self._cache is not None:
                    self._cache.put(self.identity, made)
                known |= made
        computed = set(wanted)
        self.last = Work(
            cached=sum(key not in computed for key in keys),
            cut=sum(each.is_cut for each in sequences),
            tokens=sum(lengths),
        )
        return self._scores(np.array([known[key] for key in keys], np.float64))

    def rerank(
        self, query: str, documents: Sequence[str], *, top: int | None = None
    ) -> list[Ranked]:
        """Return the documents of a query, best first; equal ones in the order given.

        Args:
            query: Its text.
            documents: Their texts.
            top: How many to return; None for all.

        Raises:
            ArrayError: If a score is not finite.
            CollectionError: If a text holds half of a surrogate pair.
            OutputError: If the cache cannot be used.
        """
        return _ordered(self.score([(query, text) for text in documents]))[:top]

    def rerank_logged(
        self,
        name: str,
        query: str,
        documents: Sequence[str],
        log: Callable[[RerankRecord], None],
    ) -> list[Ranked]:
        """Return all documents in the order of their scores, and tell ``log`` how it went.

        Args:
            name: What the record calls the query.
            query: Its text.
            documents: Their texts.
            log: Hears the record.
        """
        started = time.perf_counter()
        ranked = self.rerank(query, documents)
        record = RerankRecord(
            query=name,
            model=self.scorer.name,
            scores=tuple(each.score for each in ranked),
            cached=self.last.cached,
            cut=self.last.cut,
            tokens=self.last.tokens,
            seconds=time.perf_counter() - started,
        )
        log(record)
        return ranked

    def sequences(self, pairs: Sequence[Pair]) -> list[PairTokens]:
        """Return what the model reads of each pair."""
        return self._sequences(pairs)

    def _sequences(self, pairs: Sequence[Pair]) -> list[PairTokens]:
        texts = list(dict.fromkeys(text for pair in pairs for text in pair))
        ids = dict(zip(texts, self._tokenizer.token_ids(texts), strict=True))
        return [self._tokenizer.join(ids[query], ids[document]) for query, document in pairs]

    def _scores(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.score_kind == "logit":
            return logits
        # The sign decides which exponential cannot overflow.
        small = np.exp(-np.abs(logits))
        return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small), np.float64)


def open_scorer(
    folder: Path,
    *,
    options: ReadOptions = DEFAULT_OPTIONS,
    device: str = "cpu",
    half: bool = False,
    threads: int = 0,
    max_tokens: int | None = None,
) -> PairScorer:
    """Return what computes the logits of a folder: of a model folder ONNX Runtime, else torch.

    Args:
        folder: A model folder, or the checkpoint of a cross-encoder. Never looked up in a network.
        options: Says whether a checkpoint's weights may be a torch file.
        device: Where torch computes.
        half: Whether in half precision: a checkpoint on a GPU only.
        threads: How many calls of ONNX Runtime run at a time; 0 for one a processor.
        max_tokens: Most tokens of a pair of a checkpoint, where the user states it.

    Raises:
        CheckpointError: If the checkpoint cannot be read.
        ExportError: If the model folder is damaged.
        SpecError: If a model folder is asked to compute elsewhere or in half precision.
        MissingExtraError: If a library is not installed.
    """
    if not (folder / EMBEDDER_FILE).is_file():
        read = read_cross_encoder_checkpoint(folder, options, max_tokens=max_tokens)
        return TorchScorer(read, device=device, half=half)
    if device != "cpu" or half:
        raise SpecError(
            f"{folder}: expected the checkpoint for a GPU or half precision, got a model folder, "
            "which ONNX Runtime runs on the CPU; name the checkpoint"
        )
    return OnnxScorer(folder, threads=threads)


def _ordered(scores: NDArray[np.float64]) -> list[Ranked]:
    order = np.argsort(-scores, kind="stable")
    return [Ranked(position=int(place), score=float(scores[place])) for place in order]
