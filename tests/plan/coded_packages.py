"""A package whose profiles rebuild token vectors from residuals, or look up centroids' products."""

from __future__ import annotations

import json
from pathlib import Path

RESIDUALS = (
    "map(map_subspaces(unpack_bits(attribute(r)), f(b)(tensor<float>(x[16])(b{x:(x * 2)}) + 2 * "
    "tensor<float>(x[16])(b{x:(x * 2 + 1)}))), f(k)(if(k < 2, if(k < 1, -0.5, -0.1), 0.3)))"
)
CODED = f"""schema doc {{
    document doc {{
        field r type tensor<int8>(c{{}},dt{{}},x[4]) {{
            indexing: attribute
        }}
    }}
    constant centroids {{
        file: files/centroids.json
        type: tensor<float>(c{{}},x[16])
    }}
    rank-profile rebuilt {{
        inputs {{
            query(qt) tensor<float>(qt{{}},x[16])
        }}
        function vectors() {{
            expression: l2_normalize({RESIDUALS} + constant(centroids), x)
        }}
        first-phase {{
            expression: sum(reduce(sum(query(qt) * vectors, x), max, dt, c), qt)
        }}
    }}
}}
"""

PRODUCTS = "sum(query(qt) * constant(centroids), x)"
CHEAP = f"""
    rank-profile coarse inherits rebuilt {{
        function products() {{
            expression: {PRODUCTS}
        }}
        function coarse() {{
            expression: sum(reduce(join(products, reduce(attribute(r), max, x), f(p,cell)(p)), max, dt, c), qt)
        }}
        first-phase {{
            expression: coarse
        }}
        second-phase {{
            expression: sum(reduce(sum(query(qt) * vectors, x), max, dt, c), qt)
            rerank-count: 7
        }}
        match-features: coarse
    }}
    rank-profile again inherits coarse {{
        function inline products() {{
            expression: {PRODUCTS}
        }}
    }}
    rank-profile unscaled inherits coarse {{
        first-phase {{
            expression: sum(reduce(sum(query(qt) * {RESIDUALS}, x) + products, max, dt, c), qt)
        }}
    }}
    rank-profile late inherits coarse {{
        match-features: firstPhase
        global-phase {{
            expression: coarse
        }}
    }}
    rank-profile odd inherits coarse {{
        function products() {{
            expression: map({PRODUCTS}, f(v)(v * v))
        }}
    }}
}}
"""  # noqa: E501
"""Token vectors that look up the products of their centroids: all that is compared, or a part."""


def write_coded_package(folder: Path) -> Path:
    """Return a package with three centroids of 16 components."""
    (folder / "schemas").mkdir()
    (folder / "schemas" / "doc.sd").write_text(CODED.rstrip().removesuffix("}") + CHEAP)
    (folder / "files").mkdir()
    blocks = {str(label): [0.5] * 16 for label in range(3)}
    (folder / "files" / "centroids.json").write_text(json.dumps({"blocks": blocks}))
    return folder
