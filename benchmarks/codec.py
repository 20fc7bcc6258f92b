"""How fast the residual codec is: encoding, decoding and MaxSim of compressed vectors, in one run.

Usage: python benchmarks/codec.py [--documents 10000] [--bits 2] [--dim 128] [--rounds 7]

All contenders score the same candidates by exact MaxSim of the rebuilt vectors, in random order in
each round; scores are compared first. Timings are shown as ratios to ours. PLAID's formula in torch
takes part where torch is there, as its own code rebuilds and scores on a processor (index tables,
normalize, matmul, maxima of padded documents); fast-plaid where it can be imported, on vectors that
it codes itself, all of them as candidates: its codes are others, so its scores are not compared.
"""

from __future__ import annotations

import argparse
import importlib.util
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vespa_colbert.codec import CodecOptions, ResidualCodec, ResidualCodes, train_codec
from vespa_colbert.rank.kernels import Residuals, blocked, max_sim, max_sim_residuals

TOKENS = 32
SHORTEST, LONGEST = 20, 300
"""Token vectors of a document."""

PLAID_SAMPLE = 300
"""Documents that fast-plaid's k-means looks at."""

PLAID_PROBES = 64
"""Centroids a query token that fast-plaid takes candidates from: enough for all documents."""

SCORE_ERROR = 1e-4
"""Of a sum of 32 cosines: every contender computes in float32 at least."""

Contender = Callable[[], NDArray[np.float64]]


def vectors(count: int, dim: int, seed: int) -> NDArray[np.float32]:
    """Return vectors of length 1 about 500 topics, as token vectors are: not all alike."""
    generator = np.random.default_rng(seed)
    topics = np.random.default_rng(1).normal(size=(500, dim)).astype(np.float32)
    made = topics[generator.integers(0, 500, count)]
    made += 0.5 * generator.standard_normal(size=(count, dim), dtype=np.float32)
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    return made


def by_torch(
    codec: ResidualCodec, codes: ResidualCodes, query: NDArray[np.float32], lengths: NDArray[Any]
) -> Contender:
    """Return PLAID's scoring of all candidates, as its definition has it on a processor."""
    import torch

    table = torch.tensor(codec.weights_of_byte)
    centroids, asked = torch.tensor(codec.centroids), torch.tensor(query)
    numbers, residuals = torch.tensor(codes.centroids), torch.tensor(codes.residuals)
    counts = torch.tensor(lengths)

    def score() -> NDArray[np.float64]:
        parts = []
        for some, left in zip(numbers.split(1 << 15), residuals.split(1 << 15), strict=True):
            sums = centroids[some.long()] + table[left.long()].reshape(len(some), -1)
            parts.append(torch.nn.functional.normalize(sums, p=2, dim=-1))
        products = torch.cat(parts) @ asked.T
        padded = torch.nn.utils.rnn.pad_sequence(
            list(products.split(counts.tolist())), batch_first=True, padding_value=-9999.0
        )
        found: NDArray[np.float64] = padded.max(1).values.sum(-1).double().numpy()
        return found

    return score


def by_fast_plaid(
    made: NDArray[np.float32], query: NDArray[np.float32], offsets: NDArray[Any], bits: int
) -> Contender:
    """Return fast-plaid's search in which every document is a candidate and fully scored.

    It scores a quarter of ``n_full_scores`` in full, after approximate scores of all candidates,
    which it cannot be told to leave out. Its centroids are those of some documents only: how well
    they fit costs nothing here, and k-means over all takes minutes.
    """
    import torch
    from fast_plaid import search  # type: ignore[import-not-found,unused-ignore]

    documents = [torch.tensor(each) for each in np.split(made, offsets[1:-1])]
    count, asked = len(documents), torch.tensor(query)[None]
    index = search.FastPlaid(index=tempfile.mkdtemp(), device="cpu")
    sampled = min(count, PLAID_SAMPLE)
    index.create(documents, nbits=bits, kmeans_niters=1, n_samples_kmeans=sampled)

    def score() -> NDArray[np.float64]:
        (found,) = index.search(
            asked,
            top_k=count,
            n_full_scores=4 * count,
            n_ivf_probe=PLAID_PROBES,
            show_progress=False,
        )
        assert len(found) == count, f"fast-plaid scored {len(found)} of {count} documents"
        return np.array([each for _number, each in found], np.float64)

    return score


def seconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def measure(contenders: dict[str, Contender], rounds: int) -> None:
    """Print the median and best timing of each contender, and its ratio to the first."""
    timings: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name in random.sample(list(contenders), len(contenders)):
            timings[name].append(seconds(contenders[name]))
    first = statistics.median(next(iter(timings.values())))
    for name, each in timings.items():
        median = statistics.median(each)
        print(
            f"{name:32} {median * 1e3:9.1f} ms  best {min(each) * 1e3:9.1f}  {median / first:6.2f}"
        )


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--bits", type=int, default=2)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--centroids", type=int, default=4096)
    return parser.parse_args()


def coded(
    made: NDArray[np.float32], options: CodecOptions
) -> tuple[ResidualCodec, ResidualCodes, NDArray[np.float32]]:
    """Return codec, codes and rebuilt vectors; print how fast they were made, and how good."""
    sample = made[: 32 * options.centroids]
    started = time.perf_counter()
    codec = train_codec(sample, options)
    print(f"train on {len(sample)}: {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    codes = codec.encode(made)
    print(f"encode: {len(made) / (time.perf_counter() - started):.0f} tokens/s")
    started = time.perf_counter()
    decoded = codec.decode(codes)
    print(f"decode: {len(made) / (time.perf_counter() - started):.0f} tokens/s")
    print(f"mean cosine: {float(np.einsum('ij,ij->i', made, decoded).mean()):.4f}")
    print(f"bytes a token: {codec.width} and 4 of its centroid; float32 {4 * made.shape[1]}")
    return codec, codes, decoded


def residual_rows(codec: ResidualCodec, codes: ResidualCodes) -> Residuals:
    """Return the codes as the kernels take them."""
    return Residuals(
        packed=codes.residuals,
        centroids=codes.centroids.astype(np.int64),
        cells_of_byte=np.repeat(codec.weights_of_byte[np.newaxis], codec.width, axis=0),
        vectors=codec.centroids,
        is_normalized=True,
    )


def main() -> None:
    """Check the scores of all contenders, then print their times."""
    said = arguments()
    lengths = np.random.default_rng(0).integers(SHORTEST, LONGEST, said.documents)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    made, query = vectors(int(offsets[-1]), said.dim, 2), vectors(TOKENS, said.dim, 3)
    print(f"{len(made)} token vectors, {said.bits} bits, {said.dim} components")
    options = CodecOptions(bits=said.bits, centroids=said.centroids)
    codec, codes, decoded = coded(made, options)
    rows = residual_rows(codec, codes)
    contenders: dict[str, Contender] = {
        "residuals": lambda: max_sim_residuals(query, rows, offsets),
        "residuals, numpy alone": lambda: blocked.max_sim_of(
            query, offsets, rows.rebuilt, query.dtype
        ),
        "decoded float32": lambda: max_sim(query, decoded, offsets),
    }
    if importlib.util.find_spec("torch"):
        contenders["PLAID's formula in torch"] = by_torch(codec, codes, query, lengths)
    wanted = contenders["decoded float32"]()
    for name, call in contenders.items():
        assert np.abs(call() - wanted).max() < SCORE_ERROR, name
    if importlib.util.find_spec("fast_plaid"):
        contenders["fast-plaid, its own codes"] = by_fast_plaid(made, query, offsets, said.bits)
    measure(contenders, said.rounds)


if __name__ == "__main__":
    main()
