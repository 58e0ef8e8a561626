"""The examples' settings: valid, and with every section, because DVC takes none of its params from defaults."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tasks import params
from tasks.params import Params


@pytest.mark.parametrize("path", sorted(Path("examples").glob("*.yaml")), ids=str)
def test_an_example_has_every_section_that_the_graph_depends_on(path: Path) -> None:
    params.load(path)
    stages = YAML(typ="safe", pure=True).load(Path("dvc.yaml"))["stages"].values()
    needed = {
        name.partition(".")[0]
        for stage in stages
        for name in stage.get("do", stage).get("params", [])
        if isinstance(name, str)  # the others are of another file
    }
    assert needed <= set(YAML(typ="safe", pure=True).load(path))
    assert needed <= set(Params.model_fields)
