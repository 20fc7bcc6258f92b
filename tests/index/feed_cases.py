"""Documents whose ids and texts are hard on a feed, and a package that takes them."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from vespa_colbert.app import Schema, read_schema
from vespa_colbert.index import Document
from vespa_colbert.tensor import Tensor, TensorType

SCHEMA = """
schema passage {
    document passage {
        field id type string { indexing: attribute | summary }
        field title type string { indexing: index | summary }
        field text type string { indexing: index | summary }
        field contexts type array<string> { indexing: index | summary }
        field rows type tensor<float>(dt{},x[4]) { indexing: attribute }
        field bits type tensor<int8>(dt{},x[1]) { indexing: attribute }
        field cut type tensor<bfloat16>(dt{},x[4]) { indexing: attribute }
        field deep type tensor<int8>(context{},token{},x[1]) { indexing: attribute }
    }
}
"""
SERVICES = """<?xml version="1.0" encoding="utf-8"?>
<services version="1.0">
  <container id="default" version="1.0">
    <search/>
    <document-api/>
    <nodes><node hostalias="node"/></nodes>
  </container>
  <content id="passages" version="1.0">
    <redundancy>1</redundancy>
    <documents><document type="passage" mode="index"/></documents>
    <nodes><node hostalias="node" distribution-key="0"/></nodes>
  </content>
</services>
"""
HOSTS = '<hosts><host name="localhost"><alias>node</alias></host></hosts>'

KEYS = (
    "plain",
    "a/b",
    "a?b=c&d",
    "a#b",
    "100%",
    "a%20b",
    "a%2Bb",
    "a+b",
    "a b",
    "a%252Bb",
    "..",
    ".",
    "...",
    "%2E",
    "größe/日本語",
    "\U0001f600",
    "a:b::c",
    "g=1,n=2",
    'quote"back\\slash',
    "a;b,c",
    "tab\tline\nend",
    "http://x.org/a?b#c",
)
TYPES = {
    name: TensorType.parse(kind)
    for name, kind in (
        ("rows", "tensor<float>(dt{},x[4])"),
        ("bits", "tensor<int8>(dt{},x[1])"),
        ("cut", "tensor<bfloat16>(dt{},x[4])"),
        ("deep", "tensor<int8>(context{},token{},x[1])"),
    )
}


@functools.cache
def schema() -> Schema:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "passage.sd"
        path.write_text(SCHEMA)
        return read_schema(path)


def write_package(folder: Path) -> Path:
    (folder / "schemas").mkdir(parents=True)
    (folder / "schemas" / "passage.sd").write_text(SCHEMA)
    (folder / "services.xml").write_text(SERVICES)
    (folder / "hosts.xml").write_text(HOSTS)
    return folder


def documents() -> list[Document]:
    return [
        Document(
            id=key,
            fields={
                "title": f"title {place}",
                "text": f'text of "{key}" \\ 日本\u2028\t',
                "contexts": (f"one {place}", "two"),
            },
        )
        for place, key in enumerate(KEYS)
    ]


def tensors(position: int, _document: Document) -> dict[str, Tensor]:
    """Return tensors of ``position`` rows, the first document's without a row."""
    random = np.random.default_rng(position)
    floats = random.standard_normal((position, 4)).astype(np.float32)
    cut = (floats.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    bits = random.integers(-128, 128, (position, 1)).astype(np.int8)
    deep: dict[tuple[str, ...], object] = {
        (str(row % 2), str(row)): bits[row] for row in range(position)
    }
    return {
        "rows": Tensor.rows(TYPES["rows"], floats),
        "bits": Tensor.rows(TYPES["bits"], bits),
        "cut": Tensor.rows(TYPES["cut"], cut),
        "deep": Tensor.from_subspaces(TYPES["deep"], deep),
    }
