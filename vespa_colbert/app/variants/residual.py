"""Token vectors as ColBERTv2 compresses them: rebuilt while documents are ranked, then MaxSim.

A token of the field has two labels, its place and its centroid, and holds its packed residual. The
expressions take the bits apart, put the weight of its bucket in the place of each component, and
add the centroid, which a constant in a file has.

The bits are unpacked first and the rest is done on whole vectors, because that is what the content
nodes have fast paths for; one function of single cells around ``bit`` they would interpret.

Source: UnpackBitsFunction and DenseLambdaPeekFunction, Vespa 8.700.24; ResidualCodec, colbert-ai.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vespa_colbert.app.component import PackagedFile
from vespa_colbert.app.field import Field
from vespa_colbert.app.options import ResidualVectors
from vespa_colbert.app.profile import Constant, Function, Input, RankProfile, Rerank
from vespa_colbert.app.texts import decimal
from vespa_colbert.app.variants.max_sim import MAX_SIM
from vespa_colbert.app.variants.part import SENT, Design, Part
from vespa_colbert.app.variants.texts import bm25, bm25_features, bm25_settings
from vespa_colbert.app.variants.tokens import TokenField
from vespa_colbert.codec.store import CENTROID, centroids_type
from vespa_colbert.tensor import CellType, Dimension, TensorType

__all__ = [
    "FIELD",
    "FILE",
    "PROFILE",
    "centroids_constant",
    "rebuilding_profile",
    "residual",
    "residual_faults",
    "residual_type",
    "residuals_expression",
]

FIELD = "colbert_residual"
CONSTANT = "centroids"
FILE = "files/centroids.tbf"
RESIDUALS = "token_residuals"
VECTORS = "token_vectors"
PRODUCTS = "centroid_products"
UNSCALED = f"{MAX_SIM}_unscaled"
CENTROIDS = f"{MAX_SIM}_centroids"
PROFILE = f"{MAX_SIM}_residual"
LABEL = "dt"


def residual(design: Design) -> Part:
    """Return the field of residuals, the centroids and four rank profiles, if there is a codec.

    ``max_sim_residual`` rebuilds the vectors exactly; ``rerank_residual`` does so for the best by
    bm25. ``max_sim_residual_unscaled`` does not make them of length 1 again: a token counts as much
    as its rebuilt vector is long. ``coarse_to_fine_residual`` takes centroids alone for all matches
    and exact vectors for the best.

    Where no other field says which text is embedded, the statement of this one does.
    """
    if (vectors := design.options.residual) is None:
        return Part()
    profiles = _profiles(vectors, design)
    tokens = _tokens(vectors, design)
    storage = design.options.storage
    field = Field(
        name=FIELD,
        type=str(residual_type(vectors.width)),
        indexing=("attribute",),
        attribute=() if storage == "memory" else (storage,),
    )
    return Part(
        fields=(field,),
        constants=(centroids_constant(vectors.dim),),
        profiles=profiles,
        files=(PackagedFile(path=FILE, source=vectors.file),),
        queries=tuple(
            design.query(profile=each.name, inputs=((tokens.query_name, design.asked),))
            for each in profiles
        ),
        fed=((FIELD, SENT if design.tokens else f"{design.source} | attribute"),),
    )


def _tokens(vectors: ResidualVectors, design: Design) -> TokenField:
    """Return the whole vectors that the query's are compared with."""
    return TokenField(
        cell_type=CellType.FLOAT,
        dim=vectors.dim,
        is_cut=vectors.dim < design.facts.dim,
        labels=(LABEL, CENTROID),
    )


def _profiles(vectors: ResidualVectors, design: Design) -> tuple[RankProfile, ...]:
    tokens = _tokens(vectors, design)
    query = Input(name=tokens.query_name, type=tokens.query_type)
    asked, inputs = f"query({query.name})", (query,)
    every = rebuilding_profile(query, vectors.weights, vectors.dim)
    exact = every.functions
    rebuilt = exact[0]
    products = Function(name=PRODUCTS, expression=f"sum({asked} * constant({CONSTANT}), x)")
    rerank = Rerank(expression=MAX_SIM, rerank_count=design.options.rerank_count)
    return (
        every,
        _reranked(every, rerank, design),
        _unscaled(asked, inputs, (rebuilt, products)),
        _coarse_to_fine(inputs, (*exact, products), rerank),
    )


def centroids_constant(dim: int) -> Constant:
    """Return the constant that holds the centroids."""
    return Constant(name=CONSTANT, type=centroids_type(dim), file=FILE)


def rebuilding_profile(query: Input, weights: Sequence[float], dim: int) -> RankProfile:
    """Return the profile that rebuilds the vectors of all matches exactly.

    Args:
        query: The query's token vectors.
        weights: Of the buckets.
        dim: Components of a vector.
    """
    compared = f"sum(query({query.name}) * {VECTORS}, x)"
    return RankProfile(
        name=PROFILE,
        inputs=(query,),
        functions=(
            Function(name=RESIDUALS, expression=residuals_expression(weights, dim)),
            Function(
                name=VECTORS, expression=f"l2_normalize({RESIDUALS} + constant({CONSTANT}), x)"
            ),
            Function(name=MAX_SIM, expression=_best(compared)),
        ),
        first_phase=MAX_SIM,
        match_features=(MAX_SIM,),
    )


def _reranked(every: RankProfile, rerank: Rerank, design: Design) -> RankProfile:
    """Return the profile that rebuilds vectors for the best by bm25 alone."""
    layout = design.options.layout
    return RankProfile(
        name="rerank_residual",
        inherits=(every.name,),
        first_phase=bm25(layout),
        second_phase=rerank,
        match_features=(*bm25_features(layout), MAX_SIM),
        properties=bm25_settings(design),
    )


def _unscaled(
    asked: str, inputs: tuple[Input, ...], functions: tuple[Function, ...]
) -> RankProfile:
    """Return the profile that leaves rebuilt vectors at the length that they have."""
    expression = _best(f"sum({asked} * {RESIDUALS}, x) + {PRODUCTS}")
    return RankProfile(
        name=f"{MAX_SIM}_residual_unscaled",
        inputs=inputs,
        functions=(*functions, Function(name=UNSCALED, expression=expression)),
        first_phase=UNSCALED,
        match_features=(UNSCALED,),
    )


def _coarse_to_fine(
    inputs: tuple[Input, ...], functions: tuple[Function, ...], rerank: Rerank
) -> RankProfile:
    """Return the profile that ranks all by their centroids, and the best by whole vectors."""
    present = f"reduce(attribute({FIELD}), max, x)"
    expression = _best(f"join({PRODUCTS}, {present}, f(product,cell)(product))")
    return RankProfile(
        name="coarse_to_fine_residual",
        inputs=inputs,
        functions=(*functions, Function(name=CENTROIDS, expression=expression)),
        first_phase=CENTROIDS,
        second_phase=rerank,
        match_features=(CENTROIDS, MAX_SIM),
    )


def _best(products: str) -> str:
    """Return the sum over query tokens of the best over document tokens."""
    return f"sum(reduce({products}, max, {LABEL}, {CENTROID}), qt)"


def residual_type(width: int) -> TensorType:
    """Return the type of the field: a byte of residuals in each of so many cells of a token."""
    labels = Dimension(CENTROID), Dimension(LABEL)
    return TensorType(CellType.INT8, (*labels, Dimension("x", width)))


def residuals_expression(weights: Sequence[float], dim: int) -> str:
    """Return the expression of the weights of all components: float, one vector a token.

    Args:
        weights: Of the buckets.
        dim: Components of a vector.
    """
    count = len(weights).bit_length() - 1
    bits = f"unpack_bits(attribute({FIELD}))"
    if count == 1:
        numbers = bits
    else:
        places = (
            f"{1 << bit} * tensor<float>(x[{dim}])(b{{x:(x * {count} + {bit})}})"
            for bit in range(count)
        )
        numbers = f"map_subspaces({bits}, f(b)({' + '.join(places)}))"
    return f"map({numbers}, f(bucket)({_weight(weights, 0)}))"


def _weight(weights: Sequence[float], first: int) -> str:
    """Return the weight of a bucket among some, the number of the first being ``first``."""
    if len(weights) == 1:
        return decimal(weights[0])
    half = len(weights) // 2
    low, high = _weight(weights[:half], first), _weight(weights[half:], first + half)
    return f"if(bucket < {first + half}, {low}, {high})"


def residual_faults(design: Design) -> Iterator[str]:
    """Yield why a package could not have the residuals."""
    if (vectors := design.options.residual) is None:
        return
    if vectors.dim > design.facts.dim:
        yield (
            f"residual: expected a codec of at most the model's {design.facts.dim} components, got "
            f"{vectors.dim}"
        )
    if design.options.layout != "passage":
        yield f"residual: expected one text a document, got the layout {design.options.layout}"
    if not vectors.file.is_file():
        yield f"residual: expected a codec's file, there is none at {vectors.file}"
