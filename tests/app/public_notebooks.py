"""What the notebooks of pyvespa rank by, and the recipes that make the same."""

from __future__ import annotations

from tests.app.canonical_form import canonical
from tests.app.public_facts import (
    BY_CONTEXT,
    E5,
    INT8,
    LONG_NAMES,
    PUBLISHED,
    TOKEN_NAMES,
    Alike,
    PublicRecipe,
    max_sim_of,
)

__all__ = ["NOTEBOOKS"]

M3_NAMES = {
    "colbert_rep": "colbert_bfloat16",
    "dense_rep": "dense",
    "lexical_rep": "lexical",
    "q_colbert": "qt",
    "t": "dt",
}
M3_MAX_SIM = max_sim_of("query(q_colbert)", "attribute(colbert_rep)", "x", "t", "qt")
COSINE = canonical("cosine_similarity(query(q_dense), attribute(dense), x)")
OUR_COSINE = f"(if (isNan({COSINE}), 0, {COSINE}))"

NOTEBOOKS: tuple[PublicRecipe, ...] = (
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
        recipe='[app]\ncell-types = ["bfloat16"]\n[tokens]\nembeddings = "client"\n'
        '[dense]\nembeddings = "client"\ndim = 1024\ncell-type = "bfloat16"\n'
        '[lexical]\nweights = "client"\n'
        '[fusion]\nfusing = "weighted"\nfirst-phase = "fused"\nwords = "none"\n'
        'max-sim = "mean"\ndense-score = "cosine"\n',
        names=M3_NAMES,
        profiles=(
            Alike(
                theirs="m3hybrid",
                ours="hybrid_bfloat16",
                phases={
                    "first-phase": "0.4 * cosine_similarity(query(q_dense), attribute(dense_rep), "
                    "x) + 0.2 * sum(query(q_lexical) * attribute(lexical_rep))"
                    f" + 0.4 * ({M3_MAX_SIM} / query(q_len_colbert))"
                },
                other=(
                    (f"0.4 * {COSINE}", f"query(dense_cosine_weight) * {OUR_COSINE}"),
                    ("0.2 *", "query(lexical_weight) *"),
                    ("0.4 *", "query(max_sim_weight) *"),
                    ("query(q_len_colbert)", "max(1, reduce(query(qt), count) / 128)"),
                ),
                left=(
                    "Weights are inputs with these defaults. The number of the query's tokens is "
                    "counted, not sent; a document without a dense vector has the cosine 0, not "
                    "NaN. Its token vectors of a query are bfloat16, here float, and it drops hits "
                    "of 0 or less. Vectors have as many components as the model here gives, 128; "
                    "those of BGE-M3 have 1024."
                ),
            ),
        ),
    ),
)
