"""The cluster launcher's file is one that Ray accepts."""

from __future__ import annotations

from pathlib import Path

import yaml


def test_cluster_yaml_fits_rays_schema() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    path = Path(__file__).parent.parent / "cluster.yaml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    filled = prepare_config(config)
    validate_config(filled)
    assert filled["head_node_type"] in filled["available_node_types"]
    assert {"head", "gpu", "cpu"} == set(filled["available_node_types"])
