"""What the README names is there."""

import importlib.util
import re
import tomllib
from pathlib import Path

README = Path("README.md").read_text()


def test_every_make_target_it_names_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", Path("Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z]+)", README)) <= targets


def test_every_module_it_runs_exists() -> None:
    for module in set(re.findall(r"python -m ([a-z_0-9.]+[a-z_0-9])", README)):
        assert importlib.util.find_spec(module), module


def test_every_file_it_links_or_shows_exists() -> None:
    for path in re.findall(r"\]\(([^)]+)\)", README):
        assert Path(path).exists(), path


def test_every_dependency_earns_its_line() -> None:
    names = {
        re.split(r"[^a-z0-9.-]", d)[0] for d in tomllib.loads(Path("pyproject.toml").read_text())["project"]["dependencies"]
    }
    table = README.partition("| dependency | why |")[2].partition("\n\n")[0]
    assert {name for name in names if name not in table} == set()
