"""The Vespa feed file: one put operation a line, as ``vespa feed`` takes it.

The text fields alone are fed: in a package of ours Vespa's embedder fills the tensor fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from vespa_colbert.errors import CollectionError
from vespa_colbert.files import atomic_file
from vespa_colbert.index.collection import Document

__all__ = ["write_feed"]

PLANE_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
REFUSED = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufdd0-\ufddf{PLANE_ENDS}]")
"""Code points that Vespa refuses in a text field.

Source: com.yahoo.text.Text.isTextCharacter, Vespa 8.700.24.
"""


def write_feed(
    documents: Iterable[Document], path: Path, *, namespace: str, document_type: str
) -> int:
    """Return the number of put operations written to a file, whole or not at all.

    Args:
        documents: The corpus.
        path: The file.
        namespace: First part of the document ids, as in ``id:namespace:type::key``.
        document_type: The schema's document type.

    Raises:
        CollectionError: If a text has a character that Vespa refuses.
        OutputError: If the file cannot be written.
    """
    count = 0
    with atomic_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as stream:
        for document in documents:
            fields = {"id": document.id, **document.fields}
            for name, text in fields.items():
                if (found := REFUSED.search(text)) is not None:
                    raise CollectionError(
                        f"document {document.id!r}: field {name} has U+{ord(found[0]):04X} at "
                        f"character {found.start()}, which Vespa refuses; remove it"
                    )
            operation = {
                "put": f"id:{namespace}:{document_type}::{document.id}",
                "fields": fields,
            }
            stream.write(json.dumps(operation, ensure_ascii=False) + "\n")
            count += 1
    return count
