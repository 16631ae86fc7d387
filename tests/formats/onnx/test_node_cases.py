"""ONNX's own cases of one node each, for the operators that are read: right, or refused with one line."""

import re
import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.onnx import reader  # noqa: F401 - with it, all operators are known
from fastconv.formats.onnx.tables import JOINTS, READERS
from tests.formats.onnx.onnx_tools import numpy_helper, onnx

loader = pytest.importorskip("onnx.backend.test.loader")

MERGED = "only shapes are changed, or nothing at all: a network of no layers"
REFUSED = {  # names of cases -> why, and what the message says
    r"averagepool_2d_dilations": ("average pools have no dilation", "`dilations` must be 1"),
    r"(average|max)pool_2d_pads.*": ("pools have padding up to half of their kernel", "`pads` must be"),
    r"(average|max)pool_3d.*": ("there are no volumes", "its input must be of shape"),
    r"conv(transpose)?_3d.*": ("there are no volumes", "its input must be of shape"),
    r".*training.*": ("networks are read as they predict", "training"),
    r"clip|clip_default_max|clip_(example|inbounds|outbounds|splitbounds|min_greater.*)": (
        "of clips there are ReLU and ReLU6", "only from 0 to 6",
    ),
    r"hardsigmoid.*": ("there is one slope, PyTorch's 1 / 6", "`alpha` 1 / 6"),
    r"concat_\dd_axis_(0|negative_3)|concat_2d_axis_negative_2": (
        "samples are not stacked", "only channels or features are stacked",
    ),
    r"concat_3d_axis_(2|negative_1)": ("signals are stacked by channels", "has the channels last"),
    r"constant_pad.*": ("pads are of zeros, or of what a pool pads with", "a Pad of 1.2"),
    r"flatten_(axis[023]|negative_axis[124])": ("samples are flattened, all of each", "`axis` must be 1"),
    r"gemm_(all_attributes|transposeA)": ("samples are rows", "`transA` must be 0"),
    r"gemm_default_matrix_bias": ("all samples have one bias", "adds an array of shape"),
    r"add_bcast|(sub|mul|div)(_bcast|_example)?": (
        "constants are of channels, or one number", "an array of shape|is supported only",
    ),
    r"(max|min)_(example|float32|float64|two_inputs)": (
        "there is no layer of it", "several are taken|supported|one number",
    ),
    r"prelu_example": ("slopes are of channels, or one number", "an array of shape"),
    r"reduce_(max|mean)_.*": ("the mean and the largest element are of positions", "over lines and columns"),
    r"log_?softmax.*|softmax_(axis_.|default_axis|negative_axis)": (
        "the softmax is of features, at the end", "features|no operators|`axis`",
    ),
    r"layer_norm.*(axis0|negative_4|4d_axis[23]|4d_axis_negative_[12]|3d_axis2|default).*": (
        "samples are normalised, all of each", "only whole samples",
    ),
    r"layer_norm.*(2d_axis_negative_2|3d_axis_negative_(1|3)).*": ("as those before", "only whole samples"),
    r"resize_.*(cubic|downsample|crop|not_larger|not_smaller|half_pixel_symmetric).*": (
        "images are made larger by whole factors, by repeating or along lines",
        "whole factors|keep_aspect_ratio_policy|`mode` must be|exclude_outside",
    ),
    r"resize_upsample_sizes_nearest(_axes_\d_\d)?": ("as those before", "whole factors"),
    r"resize_upsample_sizes_nearest_(ceil|floor|round).*": (
        "elements are repeated one after the other", "where its elements lie has no counterpart",
    ),
    r"matmul_(1d|3d|4d|bcast).*": ("weights are a matrix", "two axes"),
    r"maxpool_with_argmax_2d_precomputed_strides": ("only C's order of indices", "`storage_order` must be 0"),
    r"reshape_(allow|extended|negative|one|reordered).*": ("axes are merged, not cut", "Reshape|a size of 0"),
    r"(identity|reshape_zero|squeeze_neg|unsqueeze|transpose_all_permutations_0|(max|min|sum)_one).*": (
        MERGED, "no operators that compute|the first axis",
    ),
    r"clip_default_inbounds.*": (MERGED, "no operators that compute|only from 0"),
    r"squeeze|transpose_.*": ("samples stay first, channels second", "an axis|only|channels last"),
}  # fmt: skip


def _cases():
    """Name -> case, of one node that is read, of floats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of NumPy, about numbers in cases of other operators
        found = loader.load_model_tests(kind="node")
    known, cases = {*READERS, *JOINTS}, {}
    for case in sorted(found, key=lambda case: case.name):
        (node, *more), inputs = case.model.graph.node, case.model.graph.input
        kind = inputs[0].type.tensor_type.elem_type if inputs else 0
        if not more and node.op_type in known and kind in (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE):
            cases[case.name.removeprefix("test_")] = case
    return {name: case for name, case in cases.items() if "empty_set" not in name and "cast" not in name}


CASES = _cases()


def _network_of(case):
    """The case as a file would have it, its inputs and its first output: weights are constants."""
    inputs, outputs = case.data_sets[0]
    arrays, output = [np.asarray(array) for array in inputs], np.asarray(outputs[0])
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    graph, alone = model.graph, arrays[0].ndim == 1
    del graph.output[1:]
    joins = graph.node[0].op_type in JOINTS and len({a.shape for a in arrays}) == 1
    count = len(arrays) if joins else 1
    if alone:  # numbers one by one: a batch of one
        arrays = [a[None] if k < count else a for k, a in enumerate(arrays)]
        output = output[None]
        for value in graph.input[:count]:
            value.type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))
        for value in graph.output:
            value.type.tensor_type.ClearField("shape")
            value.type.tensor_type.shape.SetInParent()
    for value, array in zip(graph.input[count:], arrays[count:], strict=True):
        graph.initializer.append(numpy_helper.from_array(array, value.name))
    del graph.input[count:]
    return model, arrays[:count], output


@pytest.mark.parametrize("name", CASES)
def test_a_case_of_onnx_is_computed_right_or_refused(name):
    model, inputs, wanted = _network_of(CASES[name])
    reasons = [message for pattern, (_, message) in REFUSED.items() if re.fullmatch(pattern, name)]
    if reasons:
        with pytest.raises(ValueError, match="|".join(reasons)) as caught:
            fc.from_onnx(model)
        assert "\n" not in str(caught.value)
        return
    network = fc.from_onnx(model)
    found = network.predict(inputs[0] if len(inputs) == 1 else inputs)
    assert found.shape == wanted.shape
    rounded = "last_window_starts_on_pad" in name  # that case's answers have four digits
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-4 if rounded else 1e-5)


def test_most_cases_are_computed():
    computed = [name for name in CASES if not any(re.fullmatch(pattern, name) for pattern in REFUSED)]
    assert len(computed) >= 90
    assert {CASES[name].model.graph.node[0].op_type for name in computed} >= {
        "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "ConvTranspose", "Elu",
        "Flatten", "Gelu", "Gemm", "GlobalAveragePool", "GlobalMaxPool", "GroupNormalization", "HardSwish",
        "InstanceNormalization", "LayerNormalization", "LeakyRelu", "MatMul", "MaxPool", "Relu",
        "Resize", "Sigmoid", "Softmax", "Softplus", "Sum", "Tanh",
    }  # fmt: skip
