"""Convolutions from and to ONNX."""

from ...nn.conv import Conv2d
from ...nn.layer import Shape
from .chain import Chain, Node
from .functions import DOMAIN, conv_inputs
from .graph import Graph
from .tables import reads, writes
from .windows import add_pads, pads_of


@reads("Conv")
def read_conv(chain: Chain, node: Node) -> None:
    weight = node.weights(1)
    if weight.ndim != 4 or len(chain.shape) != 3:
        raise ValueError(f"only convolutions over images are supported, got weights of shape {weight.shape}")
    kernel = node.pair("kernel_shape", weight.shape[2:])
    stride, dilation = node.pair("strides", (1, 1)), node.pair("dilations", (1, 1))
    around = chain.take_pad(lambda value: value == 0)
    size = tuple(n + sum(pads) for n, pads in zip(chain.shape[1:], around, strict=True))
    pads = add_pads(around, pads_of(node, size, kernel, stride, dilation))
    groups = node.get("group", 1)
    bias = node.weights(2) if node.has(2) and node.domain != DOMAIN else None
    settings = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    layer = Conv2d(weight.shape[0], kernel, **settings, bias=bias is not None)
    chain.append(layer, weight=weight, bias=bias)


@writes(Conv2d)
def write_conv(graph: Graph, layer: Conv2d, below: Shape, above: Shape) -> None:
    (top, bottom), (left, right) = layer.pads(below)
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
        name = f"{graph.layer}.bias"
        graph.constants[name] = graph.constants[name].reshape(-1, 1, 1)
        graph.add("Add", name)
