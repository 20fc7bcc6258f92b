"""An application package as somebody else writes it: comments, tuning, a default query profile."""

from __future__ import annotations

from pathlib import Path

__all__ = ["SCHEMA", "write_foreign_package"]

SCHEMA = """# Long documents.
schema page {
    document page {
        field title type string {
            indexing: summary | index
            index: enable-bm25
        }
        field contexts type array<string> {
            indexing: summary | index
        }
    }
    # One bit a component; the graph is tuned.
    field rows type tensor<int8>(context{}, token{}, v[16]) {
        indexing: input contexts | embed colbert context | attribute | index
        attribute {
            distance-metric: hamming
        }
        index {
            hnsw {
                max-links-per-node: 24   # measured
                neighbors-to-explore-at-insert: 300
            }
        }
    }
    field dense type tensor<float>(v[128]) {
        indexing: input title | embed other | attribute
    }
    rank-profile base {
        inputs {
            query(qt) tensor<float>(qt{}, v[128])
            query(qb) tensor<int8>(qt{}, v[16])
        }
        # nothing of the field here
        function score() {
            expression: bm25(title)
        }
    }
    rank-profile plain inherits base {
        first-phase {
            expression: score + 1
        }
    }
    rank-profile best inherits base {
        inputs {
            query(e) tensor<float>(v[128])
        }
        function of_context() {
            expression {
                sum(reduce(sum(query(qt) * unpack_bits( attribute(rows) ), v), max, token), qt)
            }
        }
        first-phase {
            expression: score + closeness(field, rows) + closeness(field, dense)
        }
        second-phase {
            expression: reduce(of_context, max, context)
        }
    }
    rank-profile better inherits best {
        first-phase {
            expression: score
        }
    }
}
"""
SERVICES = """<?xml version="1.0" encoding="utf-8"?>
<!-- ours -->
<services version="1.0">
    <container id="default" version="1.0">
        <search/>
        <document-api/>
        <component id="colbert" type="colbert-embedder">
            <transformer-model url="https://example.com/model.onnx"/>
            <tokenizer-model url="https://example.com/tokenizer.json"/>
            <onnx-intraop-threads>2</onnx-intraop-threads>
        </component>
        <component id="other" type="hugging-face-embedder">
            <transformer-model url="https://example.com/dense.onnx"/>
            <tokenizer-model url="https://example.com/dense.json"/>
        </component>
        <!-- kept -->
        <nodes>
            <node hostalias="node1"/>
        </nodes>
    </container>
    <content id="pages" version="1.0">
        <min-redundancy>1</min-redundancy>
        <documents>
            <document type="page" mode="index"/>
        </documents>
        <nodes>
            <node hostalias="node1" distribution-key="0"/>
        </nodes>
    </content>
</services>
"""
DEFAULT_QUERY = """<query-profile id="default">
    <field name="ranking">best</field>
    <field name="ranking.features.query(qt)">embed(colbert, @text)</field>
</query-profile>
"""


def write_foreign_package(folder: Path) -> Path:
    """Return a folder with a package."""
    for place, text in (
        ("schemas/page.sd", SCHEMA),
        ("services.xml", SERVICES),
        ("search/query-profiles/default.xml", DEFAULT_QUERY),
    ):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    return folder
