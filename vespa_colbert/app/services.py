"""XML files of a package as trees that can be edited and keep what nobody here knows of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vespa_colbert.errors import SpecError

__all__ = ["CONTAINERS", "SERVICES_FILE", "components", "read_services", "read_xml", "xml_bytes"]

SERVICES_FILE = "services.xml"
CONTAINERS = ("container", "jdisc")
HEADER = b'<?xml version="1.0" encoding="utf-8"?>\n'


def read_services(folder: Path) -> Any | None:
    """Return the root element of a package's services.xml; ``None`` without one.

    Raises:
        SpecError: If it is not XML.
    """
    path = folder / SERVICES_FILE
    return read_xml(path) if path.is_file() else None


def read_xml(path: Path, *, comments: bool = True) -> Any:
    """Return the root element of an XML file; nothing that it points at is fetched.

    Args:
        path: The file.
        comments: Whether comments stay in the tree.

    Raises:
        SpecError: If it is not XML, or cannot be read.
    """
    from lxml import etree

    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, remove_comments=not comments
    )
    try:
        return etree.fromstring(path.read_bytes(), parser)
    except (OSError, etree.XMLSyntaxError) as error:
        raise SpecError(f"{path}: expected XML ({error})") from None


def components(root: Any) -> list[Any]:
    """Return the ``component`` elements of all containers, in the order written."""
    clusters = [root] if root.tag in CONTAINERS else [each for each in root if each.tag]
    return [
        found
        for cluster in clusters
        if cluster.tag in CONTAINERS
        for found in cluster.iter("component")
    ]


def xml_bytes(root: Any) -> bytes:
    """Return a tree as the text of a file, UTF-8, ended by LF."""
    from lxml import etree

    text: bytes = etree.tostring(root.getroottree(), encoding="utf-8", with_tail=False)
    return HEADER + text.strip() + b"\n"
