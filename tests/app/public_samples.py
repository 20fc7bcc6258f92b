"""What Vespa's sample applications for ColBERT rank by, and the recipes that make the same."""

from __future__ import annotations

from tests.app.canonical_form import canonical
from tests.app.public_facts import (
    BY_CONTEXT,
    COLBERT,
    E5,
    INT8,
    LONG_NAMES,
    PUBLISHED,
    UNPACKED,
    Alike,
    Pairs,
    PublicRecipe,
    max_sim_of,
)

__all__ = ["SAMPLE_APPLICATIONS"]

COS = "cos(distance(field, embedding))"
SAME_ORDER: Pairs = (("cos(distance(field,dense))", "closeness(field,dense)"),)
ORDER = (
    "The cosine of the angle and closeness, 1 / (1 + angle), put documents in the same order; "
    "a phase or a rank asks for no more."
)
EACH_RANKS_AGAIN = "Its second phase is `firstPhase`, which changes nothing; ours has none."

COLBERT_NAMES = {"colbert": "colbert_int8", "embedding": "dense", "chunk": "text"}
PATCHES = {"embedding": "colbert_int8", "patch": "dt", "v": "x", "querytoken": "qt"}
E5_NAMES = {
    "e5_embedding": "dense",
    "colbert_embeddings": "colbert_int8",
    "ranker": "cross_encoder",
}
MSMARCO_SIM = max_sim_of("query(qt)", "unpack_bits(attribute(colbert_embeddings))", "x", "dt", "qt")
MSMARCO_COS = "cos(distance(field, e5_embedding))"
NO_TITLE: Pairs = (("bm25(text)", "bm25(text) + bm25(title)"),)
NO_TITLE_LEFT = "Its documents have no title; of one without, bm25(title) is 0."
PATCH_SIM = max_sim_of("query(qt)", "unpack_bits(attribute(embedding))", "v", "patch", "querytoken")
HAMMING = (
    "sum(reduce(1 / (1 + sum(hamming(query(qtb), attribute(embedding)), v)), max, patch), "
    "querytoken)"
)
OUR_HAMMING = canonical(HAMMING, PATCHES)
OUR_PATCH_SIM = canonical(PATCH_SIM, PATCHES)
TWICE = "2 * (bm25(text) + bm25(title))"

SAMPLE_APPLICATIONS: tuple[PublicRecipe, ...] = (
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
                    "second-phase": max_sim_of(
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
                    "`_sim` profiles, a summary feature for a picture, are not made."
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
        title="visual-retrieval-colpali, its profile hybrid",
        schema="visual-retrieval-colpali/application/schemas/pdf_page.sd",
        recipe=INT8
        + "rerank-count = 10\n"
        + '[tokens]\nembeddings = "client"\n'
        + '[fusion]\nfusing = "weighted"\nmax-sim-weight = 1\nwords-weight = 2\n',
        names=PATCHES,
        profiles=(
            Alike(
                theirs="hybrid",
                ours="hybrid_int8",
                phases={
                    "first-phase": HAMMING,
                    "second-phase": f"{PATCH_SIM} + {TWICE}",
                },
                counts={"second-phase": 10},
                other=(
                    (OUR_HAMMING, "bm25(text) + bm25(title)"),
                    (TWICE, "query(words_weight) * (bm25(title) + bm25(text))"),
                    (OUR_PATCH_SIM, f"query(max_sim_weight) * {OUR_PATCH_SIM}"),
                ),
                left=(
                    "Its first phase is the hamming distance, and it finds documents by it or by "
                    "their words; here words find and rank them first. Weights are inputs whose "
                    "defaults the recipe states."
                ),
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
)
