"""From a BERT encoder exported to ONNX back to the Hugging Face layout.

The exporter keeps the names of biases, norms and embeddings, and renames and transposes the matrix of each linear layer;
the bias that the layer's product is added to tells which layer it was.

`python -m tasks.onnx_bert FILE.onnx FOLDER` prints how far the hidden states of the file and of its conversion are apart.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks import stage

Weights = dict[str, NDArray[np.float32]]


def weights(graph: Any) -> Weights:
    """The encoder's weights by their names in `transformers.BertModel`, from an ONNX GraphProto."""
    from onnx import numpy_helper

    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    product = {node.output[0]: node.input[1] for node in graph.node if node.op_type == "MatMul" and node.input[1] in tensors}
    found = {_name(name): np.array(tensor) for name, tensor in tensors.items() if name not in product.values()}
    for node in graph.node:
        matrix = [product[name] for name in node.input if name in product]
        bias = [name for name in node.input if name in tensors]
        if node.op_type == "Add" and matrix and bias:
            found[_name(bias[0]).removesuffix("bias") + "weight"] = np.ascontiguousarray(tensors[matrix[0]].T)
    return found


def convert(onnx_file: Path, folder: Path) -> None:
    """Write `folder`/model.safetensors from `onnx_file`: equal files give equal bytes."""
    import onnx
    from safetensors.numpy import save_file

    save_file(weights(onnx.load(str(onnx_file)).graph), folder / "model.safetensors", metadata={"format": "pt"})


def largest_difference(onnx_file: Path, folder: Path) -> float:
    """Between the last hidden states by ONNX's reference evaluator and by the model in `folder`, on two made-up inputs."""
    import onnx
    import torch
    from onnx.reference import ReferenceEvaluator
    from transformers import BertModel

    ids = np.arange(2 * 7).reshape(2, 7) * 137 + 1000
    mask = np.array([[1] * 7, [1] * 4 + [0] * 3])
    evaluator = ReferenceEvaluator(onnx.load(str(onnx_file)))
    bert: torch.nn.Module = BertModel.from_pretrained(folder, add_pooling_layer=False)
    bert.eval()
    with torch.inference_mode():
        ours = bert(torch.tensor(ids), torch.tensor(mask)).last_hidden_state.numpy()
    outputs: Any = evaluator.run(None, {"input_ids": ids, "attention_mask": mask})
    difference = [np.abs(value - ours)[mask.astype(bool)].max() for value in outputs if value.shape == ours.shape]
    return float(min(difference))


def _name(exported: str) -> str:
    return re.sub(r"^.*?(?=embeddings\.|encoder\.)", "", exported)


def main(onnx_file: Path, folder: Path) -> None:
    print(f"largest difference of a hidden state: {largest_difference(onnx_file, folder):.1e}")


if __name__ == "__main__":
    stage.run(main)
