"""A network as an ONNX model, layer by layer.

The graph is written in operators of opset 17, in their plainest form: paddings are given as numbers, and
windows that hang over the edge (`ceil_mode`) are padded, because runtimes differ in how they round.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...checks.extras import require
from ...nn.graph import Node
from ...nn.layer import Shape
from ...nn.network import Network
from ..probabilities import final_layer
from . import (  # noqa: F401 - they register their layers
    activations,
    conv,
    conv_transpose,
    curves,
    dense,
    dropout,
    global_pool,
    merge,
    norm,
    pool,
    resize,
    shape,
)
from .functions import DOMAIN, functions
from .graph import Graph
from .metadata import write_metadata
from .tables import writer_of

OPSET, IR_VERSION = 17, 8  # known to every ONNX Runtime since 1.12 (2022)
PURPOSE = "an ONNX file"


def onnx_model(network: Network, softmax: bool = False) -> Any:
    """The network, as it predicts, as an onnx.ModelProto that has passed onnx's checker.

    With `softmax` its logits become probabilities.

    Raises
    ------
    ValueError
        If a layer has no counterpart, the network's outputs are no logits, or a name is that of two arrays.
    TypeError
        If JSON can't hold the network's metadata.
    ImportError
        If the onnx package is not installed.
    """
    onnx = require("onnx", "onnx", PURPOSE)
    graph = _written(onnx, network, softmax)
    helper = onnx.helper
    used = functions(onnx, {node.op_type for node in graph.nodes if node.domain == DOMAIN}, OPSET)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "fastconv",
            _values(helper, graph, network.input_names, network.input_shapes),
            _values(helper, graph, network.output_names, network.output_shapes),
            [onnx.numpy_helper.from_array(graph.constants[name], name) for name in graph.used],
        ),
        producer_name="fastconv",
        opset_imports=[helper.make_opsetid("", OPSET), *[helper.make_opsetid(DOMAIN, 1)] * bool(used)],
        functions=used,
        ir_version=IR_VERSION,
    )
    write_metadata(onnx, model, network)
    onnx.checker.check_model(model, full_check=True)
    return model


def _written(onnx: Any, network: Network, softmax: bool) -> Graph:
    """The network's layers, one after the other."""
    graph = Graph(network, onnx, network.input_names)
    nodes, outputs = list(network.nodes), list(network.outputs)
    if softmax and (last := final_layer(network)):
        classes, made = network.output_shape, nodes[-1].output + 1
        nodes.append(Node("probabilities", last, (outputs[0],), made, (classes,), classes))
        outputs = [made]
    for node in nodes:
        graph.begin(node)
        try:
            writer_of(node.layer)(graph, node.layer, node.input_shape, node.output_shape)
        except ValueError as error:
            raise ValueError(f"layer {node.name}: {error}") from None
        graph.end(node)
    graph.finish(outputs, network.output_names)
    outcomes = [name for node in graph.nodes for name in node.output]
    twice, count = Counter([*network.input_names, *outcomes, *graph.used]).most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"an ONNX file can't have two arrays {twice!r}: give the input or output another name"
        )
    return graph


def _values(helper: Any, graph: Graph, names: Sequence[str], shapes: Sequence[Shape]) -> list[Any]:
    """Inputs or outputs of any number of samples, as ONNX describes them."""
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    return [
        helper.make_tensor_value_info(name, kind, ["N", *sizes])
        for name, sizes in zip(names, shapes, strict=True)
    ]
