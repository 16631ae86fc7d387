"""A network as an ONNX model, layer by layer.

The graph is written in operators of opset 17, in their plainest form: paddings are given as numbers, and
windows that hang over the edge (`ceil_mode`) are padded, because runtimes differ in how they round.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.dropout import Dropout
from ...nn.layer import Layer, Shape
from ...nn.network import Network
from ...nn.norm import BatchNorm2d
from ...nn.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from ...nn.shape import Flatten
from .functions import DOMAIN, average_pool_inputs, conv_inputs, functions

OPSET, IR_VERSION = 17, 8  # known to every ONNX Runtime since 1.12 (2022)
PURPOSE = "an ONNX file"


class Graph:
    """The nodes and constants written so far, and the layer whose turn it is.

    Attributes
    ----------
    number : int
        The layer's; its parameters are the constants "0.weight", ...
    value : str
        The name of the array that the next node takes.
    """

    def __init__(self, network: Network, onnx: Any) -> None:
        self.onnx = onnx
        self.double = network.dtype == "float64"
        self.dtype = np.dtype(network.dtype)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = network.state()
        self.used: list[str] = []
        self.number = 0
        self.value = "input"

    def constant(self, part: str, array: Any) -> str:
        """Add a constant of the layer."""
        name = f"{self.number}.{part}"
        self.constants[name] = np.asarray(array)
        return name

    def parameters(self, *parts: str) -> list[str]:
        """The names of the layer's own arrays; those that it does not have are left out."""
        return [name for part in parts if (name := f"{self.number}.{part}") in self.constants]

    def add(self, kind: str, *constants: str, domain: str = "", **attributes: Any) -> None:
        """Add a node that takes the value so far and these constants, and makes the next value."""
        output = f"{self.number}.{kind}.output"
        self.nodes.append(
            self.onnx.helper.make_node(
                kind,
                [self.value, *constants],
                [output],
                name=f"{self.number}.{kind}",
                domain=domain,
                **attributes,
            )
        )
        self.used += constants
        self.value = output

    def pad(self, begin: Shape, end: Shape, value: float) -> None:
        """Add a node that puts `value` around the images."""
        sizes = self.constant("pads", np.array([0, 0, *begin, 0, 0, *end]))
        self.add("Pad", sizes, self.constant("padding", np.array(value, self.dtype)), mode="constant")


def onnx_model(network: Network) -> Any:
    """The network, as it predicts, as an onnx.ModelProto that has passed onnx's checker.

    Raises
    ------
    ImportError
        If the onnx package is not installed.
    """
    onnx = require("onnx", "onnx", PURPOSE)
    graph = Graph(network, onnx)
    for number, layer in enumerate(network.layers):
        graph.number = number
        WRITERS[type(layer)](graph, layer, network.shapes[number], network.shapes[number + 1])
    graph.nodes[-1].output[0] = "output"
    helper = onnx.helper
    kind = helper.np_dtype_to_tensor_dtype(graph.dtype)
    used_functions = functions(onnx, {node.op_type for node in graph.nodes if node.domain == DOMAIN}, OPSET)
    opsets = [helper.make_opsetid("", OPSET)] + [helper.make_opsetid(DOMAIN, 1)] * bool(used_functions)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "fastconv",
            [helper.make_tensor_value_info("input", kind, ["N", *network.input_shape])],
            [helper.make_tensor_value_info("output", kind, ["N", *network.output_shape])],
            [onnx.numpy_helper.from_array(graph.constants[name], name) for name in graph.used],
        ),
        producer_name="fastconv",
        opset_imports=opsets,
        functions=used_functions,
        ir_version=IR_VERSION,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _conv(graph: Graph, layer: Conv2d, below: Shape, above: Shape) -> None:
    (top, bottom), (left, right) = layer.pads()
    settings = {
        "kernel_shape": layer.kernel_size,
        "strides": layer.stride,
        "pads": (top, left, bottom, right),
        "dilations": layer.dilation,
        "group": layer.groups,
    }
    if not graph.double:
        graph.add("Conv", *graph.parameters("weight", "bias"), **settings)
        return
    inputs = [graph.constant(*entry) for entry in conv_inputs(layer, below, above).items()]
    graph.add("Conv", *graph.parameters("weight"), *inputs, domain=DOMAIN, **settings)
    if layer.bias:
        name = f"{graph.number}.bias"
        graph.constants[name] = graph.constants[name].reshape(-1, 1, 1)
        graph.add("Add", name)


def _hangs_over(layer: MaxPool2d | AvgPool2d, below: Shape, above: Shape) -> Shape:
    """By how much the last windows pass the padding at the end, which `ceil_mode` lets them; else 0."""
    dilation = getattr(layer, "dilation", (1, 1))
    sizes = zip(below[1:], above[1:], layer.kernel_size, layer.stride, layer.padding, dilation, strict=True)
    return tuple(max(0, (o - 1) * s + d * (k - 1) + 1 - i - 2 * p) for i, o, k, s, p, d in sizes)


def _max_pool(graph: Graph, layer: MaxPool2d, below: Shape, above: Shape) -> None:
    over = _hangs_over(layer, below, above)
    begin, end = layer.padding, tuple(p + o for p, o in zip(layer.padding, over, strict=True))
    if any(e >= k for e, k in zip(end, layer.kernel_size, strict=True)):  # more than a MaxPool may be given
        graph.pad(begin, end, -math.inf)
        begin = end = (0, 0)
    graph.add(
        "MaxPool",
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=(*begin, *end),
        dilations=layer.dilation,
    )


def _avg_pool(graph: Graph, layer: AvgPool2d, below: Shape, above: Shape) -> None:
    settings = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    if graph.double:
        inputs = [graph.constant(*entry) for entry in average_pool_inputs(layer, below, above).items()]
        settings |= {
            "pads": layer.padding * 2,
            "ceil_mode": layer.ceil_mode,
            "count_include_pad": layer.count_include_pad,
        }
        graph.add("AveragePool", *inputs, domain=DOMAIN, **settings)
        return
    begin, over = layer.padding, _hangs_over(layer, below, above)
    counted = layer.count_include_pad and any(begin)
    if counted and any(over):  # padding counts in the mean, what hangs over does not
        graph.pad(begin, begin, 0.0)
        begin, counted = (0, 0), False
    end = tuple(b + o for b, o in zip(begin, over, strict=True))
    graph.add("AveragePool", **settings, pads=(*begin, *end), count_include_pad=int(counted))


def _global_avg_pool(graph: Graph, layer: GlobalAvgPool2d, below: Shape, above: Shape) -> None:
    if graph.double:
        graph.add("ReduceMean", axes=[2, 3], keepdims=1)
    else:
        graph.add("GlobalAveragePool")


def _batch_norm(graph: Graph, layer: BatchNorm2d, below: Shape, above: Shape) -> None:
    arrays = graph.parameters("weight", "bias", "running_mean", "running_var")
    graph.add("BatchNormalization", *arrays, epsilon=layer.eps, momentum=1.0 - layer.momentum)


def _leaky_relu(graph: Graph, layer: LeakyReLU, below: Shape, above: Shape) -> None:
    if graph.double:  # also because an attribute holds a slope in float32 only
        graph.add("PRelu", graph.constant("slope", np.array([layer.negative_slope])))
    else:
        graph.add("LeakyRelu", alpha=layer.negative_slope)


def _dropout(graph: Graph, layer: Dropout, below: Shape, above: Shape) -> None:
    graph.add("Dropout", graph.constant("ratio", np.array(layer.p, graph.dtype)))


def _named(kind: str, **attributes: Any) -> Callable[[Graph, Any, Shape, Shape], None]:
    """The writer of a layer that is one operator without constants."""
    return lambda graph, layer, below, above: graph.add(kind, **attributes)


# Our layer -> what writes it, given the shapes of its input and output.
WRITERS: dict[type[Layer], Callable[[Graph, Any, Shape, Shape], None]] = {
    Conv2d: _conv,
    MaxPool2d: _max_pool,
    AvgPool2d: _avg_pool,
    GlobalAvgPool2d: _global_avg_pool,
    BatchNorm2d: _batch_norm,
    Dropout: _dropout,
    Flatten: _named("Flatten", axis=1),
    Dense: lambda graph, layer, below, above: graph.add(
        "Gemm", *graph.parameters("weight", "bias"), transB=1
    ),
    ReLU: _named("Relu"),
    LeakyReLU: _leaky_relu,
    Sigmoid: _named("Sigmoid"),
    Tanh: _named("Tanh"),
    Softmax: _named("Softmax", axis=1),
}
