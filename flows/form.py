"""The values of a form, written into the `params.yaml` of a run's own worktree with its comments kept."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

from flows.worktrees import in_own_worktree
from tasks.params import Params, load
from tasks.stage import UserError


def apply(params: Params, path: Path = Path("params.yaml")) -> Params:
    """Write what was given explicitly and differs; the settings that then hold.

    Raises UserError if that would change a person's checkout: there the file is what counts.
    """
    given = params.model_dump(mode="json", exclude_unset=True)
    text = path.read_text(encoding="utf-8")
    new = merged(text, given)
    if new != text:
        if not in_own_worktree():
            raise UserError(
                f"{path}: says other than the values given; edit the file, or start the run as a deployment (`make ui`)"
            )
        path.write_text(new, encoding="utf-8")
    return load(path)


def merged(text: str, given: dict[str, Any]) -> str:
    """`text` with the leaves of `given` that differ from it; byte-equal if none does."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    tree = yaml.load(text)
    if not _update(tree, given):
        return text
    out = StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _update(node: Any, given: dict[str, Any], sections: bool = True) -> bool:
    """`sections`: the dictionaries in `given` are sections of the settings; inside of one they are values."""
    changed = False
    for key, value in given.items():
        if sections and isinstance(value, dict):
            changed |= _update(node.setdefault(key, type(node)()), value, sections=False)
        elif key not in node or node[key] != value:
            node[key] = _leaf(value)
            changed = True
    return changed


def _leaf(value: Any) -> Any:
    """As people write it: lists and tables in one line, 77 rather than 77.0."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    if isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, list | dict):
        return value
    line: Any = CommentedSeq(value) if isinstance(value, list) else CommentedMap({k: _leaf(v) for k, v in value.items()})
    line.fa.set_flow_style()
    return line
