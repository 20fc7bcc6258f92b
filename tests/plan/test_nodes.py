"""Copies as Vespa's RedundancyBuilder counts them, worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from vespa_colbert.errors import SpecError
from vespa_colbert.plan.nodes import cluster_of, read_clusters

DOCUMENTS = '<documents><document type="doc" mode="{mode}"/></documents>'
TWO_GROUPS = (
    '<group name="all"><distribution partitions="1|*"/>'
    '<group name="a" distribution-key="0"><node distribution-key="0" hostalias="a"/>'
    '<node distribution-key="1" hostalias="b"/></group>'
    '<group name="b" distribution-key="1"><node distribution-key="2" hostalias="c"/>'
    '<node distribution-key="3" hostalias="d"/></group></group>'
)
LISTED = "<nodes>{}</nodes>".format('<node hostalias="a" distribution-key="0"/>' * 3)

ONE_SEARCHABLE = "<engine><proton><searchable-copies>1</searchable-copies></proton></engine>"


def write(folder: Path, inner: str, mode: str = "index") -> Path:
    text = f'<content id="c" version="1.0">{DOCUMENTS.format(mode=mode)}{inner}</content>'
    (folder / "services.xml").write_text(f'<services version="1.0">{text}</services>')
    return folder


@pytest.mark.parametrize(
    ("inner", "nodes", "groups", "copies", "searchable"),
    [
        (f"<min-redundancy>1</min-redundancy>{LISTED}", 3, 1, 1, 1),
        (f"<min-redundancy>2</min-redundancy>{LISTED}", 3, 1, 2, 2),
        (f"<redundancy>3</redundancy>{LISTED}", 3, 1, 3, 2),
        (f"<redundancy>5</redundancy>{LISTED}", 3, 1, 3, 2),
        (
            f"<redundancy>3</redundancy>{ONE_SEARCHABLE}{LISTED}",
            3,
            1,
            3,
            1,
        ),
        (f"<redundancy>2</redundancy>{TWO_GROUPS}", 4, 2, 2, 2),
        (f"<redundancy>4</redundancy>{TWO_GROUPS}", 4, 2, 4, 2),
        ('<redundancy>2</redundancy><nodes count="4"/>', 4, 1, 2, 2),
        ('<redundancy>1</redundancy><nodes count="6" groups="3"/>', 6, 3, 3, 3),
        ('<min-redundancy>2</min-redundancy><nodes count="6" groups="3"/>', 6, 3, 3, 3),
        ('<min-redundancy>4</min-redundancy><nodes count="6" groups="3"/>', 6, 3, 6, 3),
    ],
)
def test_nodes_groups_and_copies_are_those_of_vespa(
    tmp_path: Path, inner: str, nodes: int, groups: int, copies: int, searchable: int
) -> None:
    (cluster,) = read_clusters(write(tmp_path, inner))
    found = (cluster.nodes, cluster.groups, cluster.copies, cluster.searchable_copies)
    assert found == (nodes, groups, copies, searchable)
    assert cluster.modes == {"doc": "index"}


def test_a_range_of_nodes_counts_its_lower_end_and_says_so(tmp_path: Path) -> None:
    inner = '<min-redundancy>2</min-redundancy><nodes count="[4, 8]"/>'
    (cluster,) = read_clusters(write(tmp_path, inner))
    assert cluster.nodes == 4
    assert "the lower end of count [4, 8]" in cluster.assumed


def test_streaming_documents_are_searchable_in_all_copies(tmp_path: Path) -> None:
    inner = f"<redundancy>3</redundancy>{LISTED}"
    (cluster,) = read_clusters(write(tmp_path, inner, mode="streaming"))
    assert (cluster.copies, cluster.searchable_copies) == (3, 3)


def test_without_services_one_node_is_assumed_and_named(tmp_path: Path) -> None:
    assert read_clusters(tmp_path) == ()
    assert cluster_of((), "doc").assumed


@pytest.mark.parametrize(
    "text", ["<services>", "<services><content><nodes count='x'/></content></services>"]
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "services.xml").write_text(text)
    with pytest.raises(SpecError, match="services.xml"):
        read_clusters(tmp_path)
