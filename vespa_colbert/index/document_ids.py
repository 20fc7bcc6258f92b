"""Document ids as Vespa and its clients take them: ``id:namespace:type:g=group:key``."""

from __future__ import annotations

import re

from vespa_colbert.errors import CollectionError

__all__ = ["document_id", "refused_character"]

PLANE_ENDS = "".join(chr(plane << 16 | end) for plane in range(17) for end in (0xFFFE, 0xFFFF))
REFUSED = re.compile(f"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufdd0-\ufddf{PLANE_ENDS}]")
"""Code points that Vespa refuses in an id and in a text field.

Source: com.yahoo.text.Text.isTextCharacter, Vespa 8.700.24.
"""

LONGEST, LONGEST_BEFORE_KEY = 0x10000, 0xFF00
"""UTF-16 units of an id, and of all of it before the key. Source: IdString, Vespa 8.700.24."""

LOST = re.compile(r"\+|%(?=2B|2E|25)")
"""What a key cannot hold as it stands. The vespa CLI puts a plus sign into the path of a request
as it is, and Vespa reads it there as a space: two keys would become one document. The percent sign
is escaped only where the key would otherwise read as an escaped one.

Source: Go's url.PathEscape in document.Client.writeDocumentPath; java.net.URLDecoder in
ai.vespa.http.HttpURL.Path.parse, Vespa 8.700.24.
"""


def document_id(key: str, *, namespace: str, document_type: str, group: str = "") -> str:
    """Return the id of a document; different keys have different ids.

    A plus sign in the key is written ``%2B``, and a key that is ``.`` or ``..``, which no path can
    end in, with ``%2E``.

    Args:
        key: The user's own id.
        namespace: Without a colon.
        document_type: Name of the document type.
        group: Whose the document is, in personal search; empty for nobody's.

    Raises:
        CollectionError: If Vespa would refuse the id, or its clients would change it.

    Source: IdString and IdIdString, Vespa 8.700.24.
    """
    where = f"document {key!r:.80}"
    _check_part(namespace, "namespace", where, without=":+")
    if group:
        _check_part(group, "group", where, without=":,+")
    if not key:
        raise CollectionError("a document has an empty id")
    before = f"id:{namespace}:{document_type}:{f'g={group}' if group else ''}"
    whole = f"{before}:{_escaped(key)}"
    if (found := refused_character(whole)) is not None:
        raise CollectionError(f"{where}: its id has {found}, which Vespa refuses; choose another")
    # No character has more than two units.
    is_long = 2 * len(whole) >= LONGEST_BEFORE_KEY
    if is_long and (_length(whole) > LONGEST or _length(before) >= LONGEST_BEFORE_KEY):
        raise CollectionError(
            f"{where}: expected an id of at most {LONGEST} characters, got {_length(whole)}"
        )
    return whole


def refused_character(text: str) -> str | None:
    """Return which character of a text Vespa refuses and where it stands, or nothing."""
    # No such character is printable, and asking for that takes a tenth of the time.
    found = None if text.isprintable() else REFUSED.search(text)
    return None if found is None else f"U+{ord(found[0]):04X} at character {found.start()}"


def _check_part(value: str, what: str, where: str, *, without: str) -> None:
    """Return nothing if a part of an id other than its key can be written as it is.

    A search names these, so that they cannot be escaped in silence.

    Raises:
        CollectionError: If it cannot.
    """
    if not value or value in {".", ".."} or any(each in value for each in without):
        signs = " ".join(without)
        raise CollectionError(
            f"{where}: expected a {what} without any of {signs}, and not . or .., got {value!r:.80}"
        )


def _escaped(key: str) -> str:
    if key in {".", ".."}:
        return key.replace(".", "%2E")
    return LOST.sub(lambda found: f"%{ord(found[0]):02X}", key)


def _length(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
