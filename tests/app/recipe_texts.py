"""The recipes of the table: name → TOML."""

from __future__ import annotations

__all__ = ["BY_DEFAULT", "RECIPES"]

DENSE = '[dense]\nmodel = "dense"\n'
SENT = '[dense]\nembeddings = "client"\ndim = 8\n'
LEXICAL = '[lexical]\nweights = "client"\n'
CROSS = '[cross-encoder]\nmodel = "cross-encoder"\nquery-tokens = 24\n'
XLM_R = '[cross-encoder]\nmodel = "cross-encoder-xlm-r"\nquery-tokens = 24\nscore = "sigmoid"\n'
CLOUD = '[nodes]\ntarget = "cloud"\n'
HOSTS = ", ".join(f'"host{number}.example"' for number in range(1, 6))
PUBLISHED = """[model]
transformer-url = "https://models.example/model.onnx"
tokenizer-url = "https://models.example/tokenizer.json"
embedder = "output/model/embedder.json"
"""
GROUPS = f"""[nodes]
content = 2
groups = 2
redundancy = 2
hosts = [{HOSTS}]
"""


def app(**choices: str) -> str:
    """Return the table [app] with some keys in TOML."""
    return "[app]\n" + _keys(choices)


def tokens(**choices: str) -> str:
    """Return the table [tokens] with some keys in TOML."""
    return "[tokens]\n" + _keys(choices)


def fusion(fusing: str, **choices: str) -> str:
    """Return the table [fusion] with some keys in TOML."""
    return f'[fusion]\nfusing = "{fusing}"\n' + _keys(choices)


def _keys(choices: dict[str, str]) -> str:
    return "".join(f"{name.replace('_', '-')} = {value}\n" for name, value in choices.items())


INT8, ALL_CELLS = '["int8"]', '["float", "bfloat16", "int8"]'
CONTEXTS, CHUNKS, STREAMING = '"contexts"', '"chunks"', '"streaming"'
CLIENT, PAGED, FAST_RANK = '"client"', '"paged"', '"fast-rank"'
TRUE, FALSE = "true", "false"

RECIPES: dict[str, str] = {
    # Each by itself.
    "the default": "",
    "float": app(cell_types='["float"]'),
    "bfloat16": app(cell_types='["bfloat16"]'),
    "int8": app(cell_types=INT8),
    "all cell types": app(cell_types=ALL_CELLS),
    "short vectors": tokens(dims="[8]"),
    "two widths": tokens(dims="[8, 16]"),
    "contexts": app(layout=CONTEXTS),
    "chunks of fixed length": app(layout=CHUNKS) + tokens(chunk_length="40"),
    "chunks by sentence": app(layout=CHUNKS) + tokens(chunker='"sentence"'),
    "client": tokens(embeddings=CLIENT),
    "paged": tokens(storage=PAGED),
    "fast-rank": tokens(storage=FAST_RANK),
    "without title": app(embed_title=FALSE),
    "names": app(name='"my-texts"', schema='"doc"', rerank_count="3"),
    "without query profiles": app(query_profiles=FALSE),
    "streaming": app(mode=STREAMING),
    "token retrieval": tokens(retrieval=TRUE, target_hits="3"),
    "token retrieval, another graph": tokens(
        retrieval=TRUE, max_links="16", neighbors_to_explore="200"
    ),
    "residuals": tokens(residual='"codec"'),
    "residuals alone": app(cell_types="[]") + tokens(residual='"codec"'),
    "dense": DENSE,
    "dense, another graph": DENSE + "max-links = 8\nneighbors-to-explore = 100\ntarget-hits = 5\n",
    "dense, dot product": DENSE.replace('"dense"', '"dense-dot"'),
    "dense, short bits": DENSE + 'dim = 8\ncell-type = "int8"\n',
    "dense of a client": SENT,
    "dense of a client, dot product, bfloat16": SENT
    + 'similarity = "dot"\ncell-type = "bfloat16"\n',
    "lexical weights": LEXICAL,
    "lexical weights, float": LEXICAL + 'cell-type = "float"\n',
    "reciprocal rank": fusion("reciprocal-rank"),
    "normalised sum": fusion("normalized"),
    "weighted sum": fusion("weighted"),
    "weighted sum, other weights": DENSE
    + fusion("weighted", max_sim_weight="1", dense_weight="0.5", words_weight="0"),
    "words by field": fusion("reciprocal-rank", words='"apart"'),
    "settings of bm25": app(bm25_k1="0.9", bm25_b="0.4"),
    "cross-encoder of BERT": CROSS,
    "cross-encoder of XLM-R": XLM_R + "rerank-count = 3\n",
    "hosts in groups": GROUPS,
    "GPU": "[nodes]\ngpu = true\n",
    "cloud": CLOUD + '[cloud]\nregions = ["aws-us-east-1c"]\ncontent-memory = "16Gb"\n',
    "cloud with resources": CLOUD
    + 'containers = 2\n[cloud]\ncontainer-vcpu = 4\ncontainer-memory = "16Gb"\n'
    + 'container-disk = "125Gb"\ncontent-vcpu = 8\ncontent-disk = "300Gb"\n'
    + 'content-memory = "32Gb"\n',
    "published model": PUBLISHED,
    "published model with a secret": PUBLISHED + 'secret-ref = "download"\n',
    # Together.
    "int8, paged": app(cell_types=INT8) + tokens(storage=PAGED),
    "int8, two widths, fast-rank": app(cell_types=INT8) + tokens(dims="[8, 16]", storage=FAST_RANK),
    "contexts, client": app(layout=CONTEXTS) + tokens(embeddings=CLIENT),
    "contexts, two widths, all cell types": app(layout=CONTEXTS, cell_types=ALL_CELLS)
    + tokens(dims="[8, 16]"),
    "contexts, bfloat16, fast-rank": app(layout=CONTEXTS, cell_types='["bfloat16"]')
    + tokens(storage=FAST_RANK),
    "contexts, without title, paged": app(layout=CONTEXTS, embed_title=FALSE)
    + tokens(storage=PAGED),
    "contexts, int8, streaming": app(layout=CONTEXTS, cell_types=INT8, mode=STREAMING),
    "contexts, dense, normalised sum": app(layout=CONTEXTS) + DENSE + fusion("normalized"),
    "contexts, dense bits, reciprocal rank": app(layout=CONTEXTS)
    + DENSE
    + 'cell-type = "int8"\n'
    + fusion("reciprocal-rank"),
    "contexts, cross-encoder of XLM-R": app(layout=CONTEXTS) + XLM_R,
    "chunks, dense, reciprocal rank": app(layout=CHUNKS)
    + tokens(chunk_length="40")
    + DENSE
    + fusion("reciprocal-rank"),
    "chunks by sentence, int8, streaming": app(layout=CHUNKS, cell_types=INT8, mode=STREAMING)
    + tokens(chunker='"sentence"'),
    "chunks, cross-encoder of BERT": app(layout=CHUNKS) + tokens(chunk_length="40") + CROSS,
    "client, token retrieval, short vectors": tokens(embeddings=CLIENT, retrieval=TRUE, dims="[8]"),
    "client, residuals alone": app(cell_types="[]") + tokens(embeddings=CLIENT, residual='"codec"'),
    "residuals alone, without title, streaming": app(
        cell_types="[]", mode=STREAMING, embed_title=FALSE
    )
    + tokens(residual='"codec"'),
    "client, reciprocal rank": tokens(embeddings=CLIENT) + fusion("reciprocal-rank"),
    "client, streaming": app(mode=STREAMING) + tokens(embeddings=CLIENT),
    "token retrieval by hamming, rerank": app(cell_types=INT8, rerank_count="4")
    + tokens(retrieval=TRUE, target_hits="2"),
    "token retrieval, fast-rank, two widths": tokens(
        retrieval=TRUE, storage=FAST_RANK, dims="[8, 16]"
    ),
    "token retrieval, all cell types": app(cell_types=ALL_CELLS) + tokens(retrieval=TRUE),
    "token retrieval, cross-encoder": tokens(retrieval=TRUE) + CROSS,
    "dense, reciprocal rank": DENSE + fusion("reciprocal-rank"),
    "dense, reciprocal rank, words first": DENSE
    + fusion("reciprocal-rank", first_phase='"words"', k="7.5"),
    "dense, normalised sum, two widths": DENSE + fusion("normalized") + tokens(dims="[8, 16]"),
    "dense, weighted sum, cross-encoder": DENSE + fusion("weighted") + CROSS,
    "dense, MaxSim of what is found": DENSE + fusion("max-sim"),
    "dense, normalised sum, words by field": DENSE + fusion("normalized", words='"apart"'),
    "dense, reciprocal rank without words": DENSE + fusion("reciprocal-rank", words='"none"'),
    "dense, reciprocal rank of all and the cross-encoder": DENSE
    + fusion("reciprocal-rank")
    + CROSS
    + "fused = true\n",
    "dense, reciprocal rank, cross-encoder": DENSE + fusion("reciprocal-rank") + XLM_R,
    "dense, weighted sum of cosine and mean MaxSim": DENSE
    + fusion("weighted", first_phase='"words"', max_sim='"mean"', dense_score='"cosine"'),
    "dense and lexical weights of a client, weighted sum in one phase": app(
        cell_types='["bfloat16"]'
    )
    + tokens(embeddings=CLIENT)
    + SENT
    + LEXICAL
    + fusion(
        "weighted",
        first_phase='"fused"',
        words='"none"',
        max_sim='"mean"',
        dense_score='"cosine"',
        lexical_weight="0.2",
    ),
    "contexts, lexical weights, normalised sum": app(layout=CONTEXTS)
    + LEXICAL
    + fusion("normalized"),
    "client, token retrieval, weighted sum": app(cell_types=INT8, rerank_count="10")
    + tokens(embeddings=CLIENT, retrieval=TRUE)
    + fusion("weighted", max_sim_weight="1", words_weight="2"),
    "dense, streaming": DENSE + app(mode=STREAMING),
    "cross-encoder, streaming, int8": CROSS + app(mode=STREAMING, cell_types=INT8),
    "cloud, GPU, cross-encoder": CLOUD + 'gpu = true\n[cloud]\ngpu-memory = "16Gb"\n' + CROSS,
    "cloud, published model, int8": CLOUD
    + PUBLISHED
    + 'transformer-id = "my-colbert"\ntokenizer-id = "my-vocabulary"\n'
    + app(cell_types=INT8),
    "groups, dense, reciprocal rank in all": GROUPS
    + DENSE
    + fusion("reciprocal-rank", rerank_count="5"),
    "groups, GPU, cross-encoder": GROUPS + "gpu = true\n" + CROSS,
}

BY_DEFAULT = (
    "the default",
    "residuals alone",
    "int8, paged",
    "contexts, client",
    "chunks, dense, reciprocal rank",
    "int8, two widths, fast-rank",
    "contexts, int8, streaming",
    "token retrieval by hamming, rerank",
    "dense, weighted sum, cross-encoder",
    "dense and lexical weights of a client, weighted sum in one phase",
)
"""Judged in every run of the tests."""
