from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from vespa_colbert.app import ApplicationSpec, RemoteFile, render_app
from vespa_colbert.app.nodes import Cloud, Nodes, Resources
from vespa_colbert.errors import SpecError
from vespa_colbert.rank import parse_expression
from vespa_colbert.recipe import read_recipe
from vespa_colbert.vespa_java import VespaJava

FIVE = tuple(f"host{number}.example" for number in range(1, 6))
GROUPS = Nodes(containers=1, content=2, groups=2, redundancy=2, hosts=FIVE, gpu=True)
CLOUD = Cloud(
    regions=("aws-us-east-1c", "aws-eu-west-1a"),
    container=Resources(vcpu=4, memory="16Gb", disk="125Gb", gpu_memory="16Gb"),
    content=Resources(memory="8Gb"),
)
PLACES = {
    "one node": (Nodes(), None),
    "one node with a name": (Nodes(hosts=("a.example",)), None),
    "a container beside each content node": (Nodes(containers=2, content=2, hosts=FIVE[:2]), None),
    "a host each": (Nodes(containers=2, content=3, redundancy=2, hosts=FIVE), None),
    "groups": (GROUPS, None),
    "cloud": (Nodes(), Cloud()),
    "cloud with resources": (Nodes(containers=2, content=2, groups=2, redundancy=2), CLOUD),
}


def parsed(folder: Path, name: str) -> etree._Element:
    return etree.parse(folder / name).getroot()


def rendered(spec: ApplicationSpec, folder: Path) -> Path:
    return render_app(spec, folder / "app", parse=parse_expression).path


@pytest.mark.java
@pytest.mark.parametrize(("nodes", "cloud"), PLACES.values(), ids=PLACES)
def test_vespa_accepts_every_place(
    java: VespaJava, spec: ApplicationSpec, tmp_path: Path, nodes: Nodes, cloud: Cloud | None
) -> None:
    folder = rendered(replace(spec, nodes=nodes, cloud=cloud), tmp_path)
    report = java.validate_application(folder)
    assert report.errors == ()
    assert all("lookup IP address" in warning for warning in report.warnings)


def test_one_node_needs_no_list_of_hosts(spec: ApplicationSpec, tmp_path: Path) -> None:
    folder = rendered(spec, tmp_path)
    assert not (folder / "hosts.xml").exists()
    assert not (folder / "deployment.xml").exists()
    services = parsed(folder, "services.xml")
    assert services.find("admin") is None
    assert [node.get("hostalias") for node in services.iter("node")] == ["node1", "node1"]


def test_containers_take_the_first_hosts_and_content_nodes_the_last(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    folder = rendered(replace(spec, nodes=GROUPS), tmp_path)
    hosts = {
        host.findtext("alias"): host.get("name")
        for host in parsed(folder, "hosts.xml").iter("host")
    }
    assert hosts == {f"node{number}": name for number, name in enumerate(FIVE, 1)}
    services = parsed(folder, "services.xml")
    assert [node.get("hostalias") for node in services.find("container/nodes")] == ["node1"]
    groups = {
        group.get("distribution-key"): [
            (node.get("hostalias"), node.get("distribution-key")) for node in group
        ]
        for group in services.find("content/group").iterchildren("group")
    }
    assert groups == {"0": [("node2", "0"), ("node3", "1")], "1": [("node4", "2"), ("node5", "3")]}
    assert services.findtext("content/min-redundancy") == "2"
    assert services.find("content/group/distribution").get("partitions") == "1|*"
    assert services.findtext("container/component/onnx-gpu-device") == "0"


def test_where_hosts_are_few_a_content_node_stands_beside_a_container(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    nodes = Nodes(containers=2, content=3, hosts=FIVE[:4])
    services = parsed(rendered(replace(spec, nodes=nodes), tmp_path), "services.xml")
    containers = [node.get("hostalias") for node in services.find("container/nodes")]
    content = [node.get("hostalias") for node in services.find("content/nodes")]
    assert (containers, content) == (["node1", "node2"], ["node2", "node3", "node4"])


def test_vespa_cloud_is_told_counts_resources_and_regions(
    spec: ApplicationSpec, tmp_path: Path
) -> None:
    nodes = Nodes(containers=2, content=2, groups=2, redundancy=2)
    folder = rendered(replace(spec, nodes=nodes, cloud=CLOUD), tmp_path)
    services = parsed(folder, "services.xml")
    container, content = services.find("container/nodes"), services.find("content/nodes")
    assert dict(container.attrib) == {"count": "2"}
    assert dict(container.find("resources").attrib) == {
        "vcpu": "4",
        "memory": "16Gb",
        "disk": "125Gb",
    }
    assert dict(container.find("resources/gpu").attrib) == {"count": "1", "memory": "16Gb"}
    assert dict(content.attrib) == {"count": "4", "groups": "2"}
    assert dict(content.find("resources").attrib) == {"memory": "8Gb"}
    regions = [region.text for region in parsed(folder, "deployment.xml").iter("region")]
    assert regions == ["aws-us-east-1c", "aws-eu-west-1a"]


@pytest.mark.parametrize(
    ("nodes", "cloud", "why"),
    [
        (Nodes(content=2), None, "expected 2 to 3 names for 1 containers and 2 content nodes"),
        (Nodes(content=2, hosts=FIVE), None, "got 5"),
        (Nodes(hosts=("a b",)), None, "expected a host name, got 'a b'"),
        (Nodes(content=2, hosts=("a", "a")), None, "each once"),
        (Nodes(redundancy=2), None, "expected at most 1, got 2"),
        (Nodes(containers=0), None, "expected a number from 1 to 1000, got 0"),
        (Nodes(hosts=("a",)), Cloud(), "Vespa Cloud finds its own"),
        (Nodes(), Cloud(regions=("../x",)), "expected one such as aws-us-east-1c"),
        (Nodes(), Cloud(regions=("a", "a")), "each once"),
        (Nodes(), Cloud(container=Resources(memory="16")), "expected a size such as 16Gb"),
        (Nodes(), Cloud(container=Resources(vcpu=0)), "expected 1 or more"),
        (Nodes(), Cloud(content=Resources(gpu_memory="16Gb")), "only containers run models"),
    ],
)
def test_places_that_cannot_be_are_refused(
    spec: ApplicationSpec, nodes: Nodes, cloud: Cloud | None, why: str
) -> None:
    with pytest.raises(SpecError) as caught:
        replace(spec, nodes=nodes, cloud=cloud)
    assert any(why in fault for fault in caught.value.faults), caught.value.faults


def test_a_model_of_vespa_cloud_is_named_by_its_id(spec: ApplicationSpec, tmp_path: Path) -> None:
    url = "https://example.org/model.onnx"
    file = RemoteFile(url=url, model_id="a-model", secret_ref="key")  # noqa: S106 - a name
    alone = RemoteFile(model_id="its-tokenizer")
    embedder = replace(spec.embedders[0], transformer=file, tokenizer=alone)
    made = replace(spec, components=(embedder,), cloud=Cloud())
    services = parsed(rendered(made, tmp_path), "services.xml")
    component = services.find("container/component")
    assert dict(component.find("transformer-model").attrib) == {
        "model-id": "a-model",
        "url": url,
        "secret-ref": "key",
    }
    assert dict(component.find("tokenizer-model").attrib) == {"model-id": "its-tokenizer"}


def test_a_model_that_only_vespa_cloud_has_is_refused_elsewhere(spec: ApplicationSpec) -> None:
    alone = RemoteFile(model_id="its-tokenizer")
    embedder = replace(spec.embedders[0], tokenizer=alone)
    with pytest.raises(SpecError, match="only Vespa Cloud has 'its-tokenizer'; state a URL"):
        replace(spec, components=(embedder,))


def test_an_id_that_closes_its_attribute_is_refused(spec: ApplicationSpec) -> None:
    embedder = replace(spec.embedders[0], transformer=RemoteFile(model_id='a" path="b'))
    with pytest.raises(SpecError, match="model_id: expected letters"):
        replace(spec, components=(embedder,))


def test_a_recipe_says_where_the_application_runs(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        [nodes]
        target = "cloud"
        containers = 2
        gpu = true
        [cloud]
        regions = ["aws-us-east-1c"]
        container-vcpu = 4
        gpu-memory = "16Gb"
        content-memory = "8Gb"
        [model]
        transformer-id = "a-model"
        tokenizer-id = "its-tokenizer"
        embedder = "facts.json"
        """
    )
    said = read_recipe(recipe)
    assert said.app_options.nodes == Nodes(containers=2, gpu=True)
    assert said.app_options.cloud == Cloud(
        regions=("aws-us-east-1c",),
        container=Resources(vcpu=4, gpu_memory="16Gb"),
        content=Resources(memory="8Gb"),
    )
    assert said.model.transformer == RemoteFile(model_id="a-model")
