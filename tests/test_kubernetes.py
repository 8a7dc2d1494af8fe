"""The Kubernetes manifests fit the schemas of what reads them: the Dask operator's own, from its package."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

FOLDER = Path(__file__).parents[1] / "workflows" / "kubernetes"
MANIFESTS = [part for path in sorted(FOLDER.glob("*.yaml")) for part in yaml.safe_load_all(path.read_text())]
OURS = [manifest for manifest in MANIFESTS if manifest["apiVersion"].startswith("kubernetes.dask.org/")]


def parts(value: Any, key: str) -> Iterator[Any]:
    """All values of a key, however deep."""
    if isinstance(value, list):
        for inner in value:
            yield from parts(inner, key)
    elif isinstance(value, dict):
        for name, inner in value.items():
            if name == key:
                yield inner
            yield from parts(inner, key)


def unknown(value: Any, schema: dict[str, Any], where: str = "") -> Iterator[str]:
    """Fields that a schema does not name. Kubernetes drops them without a word, so that a typing error does nothing."""
    if isinstance(value, list):
        for item in value:
            yield from unknown(item, schema.get("items", {}), f"{where}[]")
    elif isinstance(value, dict) and "properties" in schema:
        for name, inner in value.items():
            if name not in schema["properties"]:
                yield f"{where}.{name}"
            yield from unknown(inner, schema["properties"].get(name, {}), f"{where}.{name}")


@functools.cache
def schema_of(kind: str) -> dict[str, Any]:
    """The operator's schema, without importing the operator, which needs a Kubernetes client."""
    package = importlib.util.find_spec("dask_kubernetes")
    if package is None or not package.submodule_search_locations:
        pytest.skip("dask-kubernetes is not installed: pip install --no-deps dask-kubernetes")
    folder = Path(package.submodule_search_locations[0]) / "operator" / "deployment" / "helm"
    for path in folder.glob("*/crds/*.yaml"):
        if f"kind: {kind}\n" in path.read_text():
            definition = yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            schema: dict[str, Any] = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
            return schema
    raise AssertionError(f"the operator has no {kind}")


@pytest.mark.parametrize("manifest", OURS, ids=lambda manifest: manifest["kind"])
def test_they_fit_the_operators_schemas(manifest: dict[str, Any]) -> None:
    schema = schema_of(manifest["kind"])
    jsonschema.Draft202012Validator(schema).validate(manifest)
    assert list(unknown(manifest["spec"], schema["properties"]["spec"])) == []


def test_a_spelling_error_is_found() -> None:
    (job,) = (m for m in OURS if m["kind"] == "DaskJob")
    text = json.dumps(job).replace('"claimName"', '"claim"').replace('"runAsUser": 1000', '"runAsUser": "me"')
    wrong = json.loads(text)
    schema = schema_of("DaskJob")
    assert not jsonschema.Draft202012Validator(schema).is_valid(wrong)
    assert {path.split(".")[-1] for path in unknown(wrong["spec"], schema["properties"]["spec"])} == {"claim"}


def test_every_kind_is_there() -> None:
    assert {m["kind"] for m in MANIFESTS} == {"DaskJob", "DaskCluster", "DaskAutoscaler", "CronJob"}


def test_pods_may_do_little_and_use_bounded_memory() -> None:
    containers = [c for m in MANIFESTS for group in parts(m, "containers") for c in group]
    assert len(containers) == 6
    assert all("memory" in c["resources"]["limits"] for c in containers)
    assert len({c["image"] for c in containers}) == 1
    pods = [p for m in MANIFESTS for p in parts(m, "spec") if "containers" in p]
    assert len(pods) == 6
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["automountServiceAccountToken"] is False


def test_what_names_a_cluster_names_one_that_is_there() -> None:
    names = {m["metadata"]["name"] for m in MANIFESTS if m["kind"] in ("DaskJob", "DaskCluster")}
    assert {n for m in MANIFESTS for n in parts(m, "dask.org/cluster-name")} == names
    (scaler,) = (m for m in MANIFESTS if m["kind"] == "DaskAutoscaler")
    (cron,) = (m for m in MANIFESTS if m["kind"] == "CronJob")
    assert scaler["spec"]["cluster"] in names
    assert scaler["spec"]["minimum"] >= 1
    (arguments,) = parts(cron, "args")
    assert arguments[-1] == f"tcp://{scaler['spec']['cluster']}-scheduler:8786"
