"""What the public applications of Vespa rank by, and the recipes that make the same.

Stated are facts of their rank profiles: phases with all functions put in their places, counts and
rank properties, under the names that they have there. ``VESPA_COLBERT_SCHEMA_CORPUS`` may name a
folder with Vespa's sample applications, against which the facts are checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["APPLICATIONS", "Alike", "PublicRecipe"]

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """A rank profile of a public application and ours that is to rank as it does.

    Attributes:
        theirs: Name of its profile.
        ours: Name of ours.
        phases: Phase → its expression, in its own words.
        counts: Phase → hits that it ranks, where it is stated.
        properties: Rank properties that it states.
        other: Part of its expression, in our words → what ours has in that place.
        left: Why ours has that, and what ours has not.
    """

    theirs: str
    ours: str
    phases: Mapping[str, str]
    counts: Mapping[str, int] = field(default_factory=dict)
    properties: Pairs = ()
    other: Pairs = ()
    left: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicRecipe:
    """A recipe for what a public application ranks by.

    Attributes:
        title: Of the application.
        schema: Its schema's path below the sample applications; empty for a notebook.
        recipe: TOML.
        names: Name in the application → our name.
        profiles: Its rank profiles.
    """

    title: str
    recipe: str
    names: Mapping[str, str]
    profiles: tuple[Alike, ...]
    schema: str = ""


def _max_sim(query: str, field_name: str, x: str, inner: str, outer: str) -> str:
    return f"sum(reduce(sum({query} * {field_name}, {x}), max, {inner}), {outer})"


PUBLISHED = """[model]
transformer-url = "https://models.example/colbert.onnx"
tokenizer-url = "https://models.example/colbert-tokenizer.json"
embedder = "colbert.json"
"""
E5 = '[dense]\nmodel = "e5"\ncell-type = "bfloat16"\n'
INT8 = '[app]\ncell-types = ["int8"]\n'

UNPACKED = "unpack_bits(attribute(colbert))"
COLBERT = _max_sim("query(qt)", UNPACKED, "x", "dt", "qt")
BY_CONTEXT = _max_sim("query(qt)", UNPACKED, "v", "token", "querytoken")
COS = "cos(distance(field, embedding))"
SAME_ORDER: Pairs = (("cos(distance(field,dense))", "closeness(field,dense)"),)
ORDER = (
    "The cosine of the angle and closeness, 1 / (1 + angle), put documents in the same order; "
    "a phase or a rank asks for no more."
)
EACH_RANKS_AGAIN = "Its second phase is `firstPhase`, which changes nothing; ours has none."

COLBERT_NAMES = {"colbert": "colbert_int8", "embedding": "dense", "chunk": "text"}
TOKEN_NAMES = {"colbert": "colbert_int8", "v": "x", "querytoken": "qt"}
LONG_NAMES = TOKEN_NAMES | {"passages": "contexts", "embedding": "dense"}
PATCHES = {"embedding": "colbert_int8", "patch": "dt", "v": "x", "querytoken": "qt"}
E5_NAMES = {
    "e5_embedding": "dense",
    "colbert_embeddings": "colbert_int8",
    "ranker": "cross_encoder",
}
MSMARCO_SIM = _max_sim("query(qt)", "unpack_bits(attribute(colbert_embeddings))", "x", "dt", "qt")
MSMARCO_COS = "cos(distance(field, e5_embedding))"
NO_TITLE: Pairs = (("bm25(text)", "bm25(text) + bm25(title)"),)
NO_TITLE_LEFT = "Its documents have no title; of one without, bm25(title) is 0."
PATCH_SIM = _max_sim("query(qt)", "unpack_bits(attribute(embedding))", "v", "patch", "querytoken")
HAMMING = (
    "sum(reduce(1 / (1 + sum(hamming(query(qtb), attribute(embedding)), v)), max, patch), "
    "querytoken)"
)

APPLICATIONS: tuple[PublicRecipe, ...] = (
    PublicRecipe(
        title="colbert",
        schema="colbert/app/schemas/doc.sd",
        recipe=PUBLISHED + INT8 + E5 + '[fusion]\nfusing = "max-sim"\n',
        names=COLBERT_NAMES,
        profiles=(
            Alike(
                theirs="default",
                ours="hybrid_int8",
                phases={"first-phase": COS, "second-phase": COLBERT},
                other=SAME_ORDER,
                left=ORDER,
            ),
            Alike(
                theirs="bm25",
                ours="bm25",
                phases={"first-phase": "bm25(title) + bm25(chunk)"},
                left=EACH_RANKS_AGAIN,
            ),
            Alike(
                theirs="e5",
                ours="dense",
                phases={"first-phase": COS},
                other=SAME_ORDER,
                left=f"{ORDER} {EACH_RANKS_AGAIN}",
            ),
        ),
    ),
    PublicRecipe(
        title="colbert, its profile hybrid",
        schema="colbert/app/schemas/doc.sd",
        recipe=PUBLISHED + INT8 + E5 + '[fusion]\nfusing = "reciprocal-rank"\nwords = "apart"\n',
        names=COLBERT_NAMES,
        profiles=(
            Alike(
                theirs="hybrid",
                ours="hybrid_int8",
                phases={
                    "first-phase": COS,
                    "second-phase": COLBERT,
                    "global-phase": f"reciprocal_rank({COLBERT})"
                    f" + reciprocal_rank({COS}) + reciprocal_rank(bm25(chunk))"
                    " + reciprocal_rank(bm25(title))",
                },
                other=SAME_ORDER,
                left=ORDER,
            ),
        ),
    ),
    PublicRecipe(
        title="colbert-long",
        schema="colbert-long/app/schemas/doc.sd",
        recipe=PUBLISHED
        + INT8
        + 'layout = "contexts"\nembed-title = false\nrerank-count = 400\n'
        + "bm25-k1 = 0.9\nbm25-b = 0.4\n"
        + '[tokens]\nstorage = "paged"\n',
        names={**LONG_NAMES, "text": "contexts"},
        profiles=(
            Alike(
                theirs="bm25",
                ours="bm25",
                phases={"first-phase": "bm25(text)"},
                properties=(("bm25(text).k1", "0.9"), ("bm25(text).b", "0.4")),
                other=(("bm25(contexts)", "bm25(contexts) + bm25(title)"),),
                left=NO_TITLE_LEFT,
            ),
            Alike(
                theirs="colbert-max-sim-context-level",
                ours="rerank_int8",
                phases={
                    "first-phase": "bm25(text)",
                    "second-phase": f"reduce({BY_CONTEXT}, max, context)",
                },
                counts={"second-phase": 400},
                properties=(("bm25(text).k1", "0.9"), ("bm25(text).b", "0.4")),
                other=(("bm25(contexts)", "bm25(contexts) + bm25(title)"),),
                left=NO_TITLE_LEFT,
            ),
            Alike(
                theirs="colbert-max-sim-cross-context",
                ours="rerank_cross_int8",
                phases={
                    "first-phase": "bm25(text)",
                    "second-phase": _max_sim(
                        "query(qt)", UNPACKED, "v", "token, context", "querytoken"
                    ),
                },
                counts={"second-phase": 400},
                properties=(("bm25(text).k1", "0.9"), ("bm25(text).b", "0.4")),
                other=(("bm25(contexts)", "bm25(contexts) + bm25(title)"),),
                left=NO_TITLE_LEFT,
            ),
        ),
    ),
    PublicRecipe(
        title="visual-retrieval-colpali",
        schema="visual-retrieval-colpali/application/schemas/pdf_page.sd",
        recipe=INT8
        + "rerank-count = 10\n"
        + '[tokens]\nembeddings = "client"\nretrieval = true\n'
        + "max-links = 32\nneighbors-to-explore = 400\n",
        names=PATCHES,
        profiles=(
            Alike(
                theirs="colpali",
                ours="token_retrieval_int8",
                phases={"first-phase": HAMMING, "second-phase": PATCH_SIM},
                counts={"second-phase": 10},
                left=(
                    "Vectors of patches are fed as those of tokens are. The heat maps of its "
                    "`_sim` profiles, a summary feature for a picture, are not made; nor is the "
                    "second phase of its profile `hybrid`, MaxSim and twice bm25: a fusion that "
                    "is a sum starts from words or dense vectors here."
                ),
            ),
            Alike(
                theirs="bm25",
                ours="bm25",
                phases={"first-phase": "bm25(title) + bm25(text)"},
            ),
        ),
    ),
    PublicRecipe(
        title="msmarco-ranking",
        schema="msmarco-ranking/schemas/passage.sd",
        recipe=PUBLISHED
        + INT8
        + '[tokens]\nstorage = "paged"\n'
        + E5
        + "max-links = 32\nneighbors-to-explore = 400\n"
        + '[fusion]\nfusing = "max-sim"\n',
        names=E5_NAMES,
        profiles=(
            Alike(
                theirs="bm25",
                ours="bm25",
                phases={"first-phase": "bm25(text)"},
                other=NO_TITLE,
                left=NO_TITLE_LEFT,
            ),
            Alike(
                theirs="e5-similarity",
                ours="dense",
                phases={"first-phase": "closeness(field, e5_embedding)"},
            ),
            Alike(
                theirs="e5-colbert",
                ours="hybrid_int8",
                phases={
                    "first-phase": "closeness(field, e5_embedding)",
                    "second-phase": MSMARCO_SIM,
                },
                counts={"second-phase": 100},
            ),
            Alike(
                theirs="bm25-colbert",
                ours="rerank_int8",
                phases={"first-phase": "bm25(text)", "second-phase": MSMARCO_SIM},
                counts={"second-phase": 100},
                other=NO_TITLE,
                left=NO_TITLE_LEFT,
            ),
        ),
    ),
    PublicRecipe(
        title="msmarco-ranking, its fused profile",
        schema="msmarco-ranking/schemas/passage.sd",
        recipe=PUBLISHED
        + INT8
        + E5
        + '[fusion]\nfusing = "reciprocal-rank"\nwords = "none"\nrerank-count = 200\n',
        names=E5_NAMES,
        profiles=(
            Alike(
                theirs="e5-colbert-rrf",
                ours="hybrid_int8",
                phases={
                    "first-phase": "closeness(field, e5_embedding)",
                    "second-phase": MSMARCO_SIM,
                    "global-phase": f"reciprocal_rank({MSMARCO_COS})"
                    f" + reciprocal_rank({MSMARCO_SIM})",
                },
                counts={"second-phase": 100, "global-phase": 200},
                other=SAME_ORDER,
                left=ORDER,
            ),
        ),
    ),
    PublicRecipe(
        title="msmarco-ranking, its profile with a cross-encoder",
        schema="msmarco-ranking/schemas/passage.sd",
        recipe=PUBLISHED
        + INT8
        + "rerank-count = 1000\n"
        + E5
        + '[fusion]\nfusing = "reciprocal-rank"\nwords = "none"\n'
        + '[cross-encoder]\nmodel = "cross-encoder"\nquery-tokens = 32\nrerank-count = 12\n'
        + "fused = true\n[nodes]\ngpu = true\n",
        names=E5_NAMES,
        profiles=(
            Alike(
                theirs="e5-colbert-cross-encoder-rrf",
                ours="cross_encode_hybrid_int8",
                phases={
                    "first-phase": MSMARCO_COS,
                    "second-phase": MSMARCO_SIM,
                    "global-phase": f"reciprocal_rank({MSMARCO_COS})"
                    f" + reciprocal_rank({MSMARCO_SIM})"
                    " + reciprocal_rank(onnx(ranker){d0:0,d1:0})",
                },
                counts={"second-phase": 1000, "global-phase": 12},
                other=(
                    *SAME_ORDER,
                    ("onnx(cross_encoder){d0:0, d1:0}", "onnx(cross_encoder).logits{d0:0, d1:0}"),
                ),
                left=(
                    f"{ORDER} The output is named. Its sequence is `tokenInputIds(96, …)`, which "
                    "cuts the last separator off with a long document; ours cuts the document "
                    "to the room that the query leaves and states the tokenizer's own ids."
                ),
            ),
        ),
    ),
    PublicRecipe(
        title="pyvespa: colbert_standalone",
        recipe=INT8 + 'rerank-count = 3200\n[tokens]\nembeddings = "client"\nretrieval = true\n',
        names={**TOKEN_NAMES, "token": "dt"},
        profiles=(
            Alike(
                theirs="default",
                ours="max_sim_int8",
                phases={"first-phase": BY_CONTEXT},
                left=(
                    "It finds documents by the hamming distance of each of 32 tokens and ranks "
                    "them all by MaxSim. `token_retrieval_int8` finds them so, ranks by hamming "
                    "distance, and all that 32 tokens find at 100 each, the 3 200 best, by MaxSim."
                ),
            ),
        ),
    ),
    PublicRecipe(
        title="pyvespa: colbert_standalone_long_context",
        recipe=INT8 + 'layout = "contexts"\n[tokens]\nembeddings = "client"\n',
        names=LONG_NAMES,
        profiles=(
            Alike(
                theirs="default",
                ours="max_sim_int8",
                phases={"first-phase": f"reduce({BY_CONTEXT}, max, context)"},
            ),
        ),
    ),
    PublicRecipe(
        title="pyvespa: chat_with_your_pdfs_using_colbert",
        recipe=PUBLISHED
        + INT8
        + 'layout = "contexts"\nmode = "streaming"\n'
        + E5
        + '[fusion]\nfusing = "max-sim"\n',
        names=LONG_NAMES,
        profiles=(
            Alike(
                theirs="colbert",
                ours="hybrid_int8",
                phases={
                    "first-phase": "closeness(field, embedding)",
                    "second-phase": f"reduce({BY_CONTEXT}, max, context)",
                },
                left=(
                    "It puts the title before each context for dense vectors alone; here for both "
                    "kinds or for neither."
                ),
            ),
        ),
    ),
    PublicRecipe(
        title="pyvespa: mother-of-all-embedding-models (BGE-M3)",
        recipe='[app]\ncell-types = ["bfloat16"]\n[tokens]\nembeddings = "client"\n',
        names={"colbert_rep": "colbert_bfloat16", "q_colbert": "qt", "t": "dt"},
        profiles=(
            Alike(
                theirs="m3hybrid",
                ours="max_sim_bfloat16",
                phases={
                    "first-phase": "sum(reduce(sum(query(q_colbert) * attribute(colbert_rep), x),"
                    " max, t), qt)"
                },
                left=(
                    "This is its MaxSim. It divides by the number of query tokens, the same for "
                    "all documents of a query, and adds 0.4, 0.2 and 0.4 of a cosine, of lexical "
                    'weights of the model, and of MaxSim. `[fusion] fusing = "weighted"` adds '
                    "MaxSim, closeness and bm25 by weights that a query may change; lexical "
                    "weights and dense vectors that a client sends are not made."
                ),
            ),
        ),
    ),
)
