"""What a vector unit is; and vectors and tiles on narrower units."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding

from fastconv import simd
from fastconv.simd import tiles, transpose, vector_math, vectors
from tests.simd.lane_tools import arithmetic, run

TRIED = [
    Path(__file__).with_name(f"test_{name}.py") for name in ("tiles", "transpose", "vector_math", "vectors")
]
UNITS = {  # name -> registers, bytes of one, processor features that it needs
    "avx512": (32, 64, ("avx512f", "avx512vl", "avx512dq")),
    "avx2": (16, 32, ("avx2", "fma")),
    "sse2": (16, 16, ("sse2",)),
    "neon": (32, 16, ("neon",)),
}


# What a vector unit is


def test_the_host_is_one_of_the_known_units_and_the_processor_has_it():
    registers, vector_bytes, features = UNITS[simd.HOST.name]
    assert (simd.HOST.registers, simd.HOST.vector_bytes) == (registers, vector_bytes)
    assert simd.HOST.registers_per_vector == 64 // vector_bytes
    host = binding.get_host_cpu_features()
    assert simd.HOST.name == "neon" or all(host.get(feature) for feature in features)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6, 8, 16])
def test_a_register_tile_with_its_operands_fits_the_registers(rows):
    columns = tiles.tile_columns(rows)
    available = simd.HOST.registers // simd.HOST.registers_per_vector
    assert 1 <= columns <= 12
    assert columns == 1 or rows * columns + columns + rows <= available
    assert columns == 12 or rows * (columns + 1) + columns + 1 + rows > available, "no column is left out"


def test_the_machine_code_uses_the_registers_of_the_host_and_no_wider_ones():
    x = np.ones((3, 16), np.float32)
    run(arithmetic, np.float32, 11, x)
    code = "".join(arithmetic.inspect_asm().values())
    widths = {"zmm": 64, "ymm": 32, "xmm": 16}
    if simd.HOST.name == "neon":
        assert re.search(r"\bv\d+\.4s", code)
    else:
        used = {widths[name] for name in re.findall(r"%?([xyz]mm)\d", code)}
        assert max(used) == simd.HOST.vector_bytes
        assert ("vfmadd" in code) == (simd.HOST.name != "sse2")


@pytest.mark.parametrize(
    "module", [vectors, tiles, transpose, vector_math], ids=lambda module: module.__name__
)
def test_every_function_of_these_modules_is_tried_here(module):
    own = Path(module.__file__).read_text()
    public = {name for name, value in vars(module).items() if type(value) is type(vectors.load)}
    public = {name for name in public if re.search(rf"^(def {name}\b|.*\b{name}\b.* = _)", own, re.MULTILINE)}
    name = "simd" if module is vectors else module.__name__.split(".")[-1]
    here = "".join(path.read_text() for path in Path(__file__).parent.glob("*.py"))
    tried = set(re.findall(rf"\b{name}\.(\w+)", here))
    assert len(public) > 4
    assert sorted(public - tried) == []


# Narrower vector units, each in its own process: FASTCONV_SIMD is read once

RESULTS = """
import sys
import numpy as np
import fastconv as fc
from fastconv import kernels

rng = np.random.default_rng(0)
x, weight = rng.random((3, 4, 9, 9), dtype=np.float32), rng.random((6, 2, 3, 3), dtype=np.float32)
y = kernels.conv2d(x, weight, padding=1, groups=2)
results = {
    "conv2d": y,
    "conv2d_grad_weight": kernels.conv2d_grad_weight(x, y, 3, padding=1, groups=2),
    "conv_transpose2d": kernels.conv_transpose2d(x, weight[:4], stride=2, padding=1),
    "upsample": kernels.upsample(x, 2, "bilinear"),
    "dense": kernels.dense(x[0].reshape(4, 81), x[1].reshape(4, 81)),
}
model = fc.Sequential(
    [fc.Conv2d(6, 3), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dense(7), fc.Tanh(), fc.Dense(3)],
    input_shape=(1, 8, 8),
)
X, labels = rng.random((50, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 50)
history = fc.Trainer(model, optimizer=fc.SGD(lr=0.1, momentum=0.9)).fit(X, labels, epochs=3)
results.update(model.parameters(), loss=history["loss"], predictions=model.predict(X))
other = fc.Sequential(
    [fc.Conv2d(5, 3), fc.LayerNorm(), fc.GELU(), fc.PReLU(True), fc.AdaptiveAvgPool2d(4), fc.Softplus(),
     fc.Flatten(), fc.Dense(3)],
    input_shape=(1, 8, 8),
)
_, gradients = other.loss_and_gradients(X, labels)
results.update({f"norm {name}": gradient for name, gradient in gradients.items()})
decoder = fc.Sequential(
    [fc.Conv2d(5, 3, stride=2), fc.ReLU(), fc.ConvTranspose2d(4, 3, stride=2), fc.ReLU(),
     fc.Upsample(2, "bilinear"), fc.ConvTranspose2d(1, 2), fc.Upsample((1, 2))],
    input_shape=(1, 8, 8),
)
_, gradients = decoder.loss_and_gradients(X, decoder.predict(X) + 1, "mse")
results.update({f"decoder {name}": gradient for name, gradient in gradients.items()})
for k, (kernel, settings) in enumerate([
    ((3, 3), {"padding": 1}), ((1, 8), {"padding": (0, 4)}), ((4, 5), {"padding": 2}),
    ((3, 3), {"stride": 2, "padding": 1}), ((3, 3), {"dilation": (2, 1)}),
]):
    layers = [fc.Conv2d(3, 1), fc.Conv2d(6, kernel, groups=3, **settings), fc.Flatten(), fc.Dense(3)]
    depthwise = fc.Sequential(layers, input_shape=(1, 11, 14), dtype="float64", seed=k)
    images = rng.random((18, 1, 11, 14))
    _, gradients = depthwise.loss_and_gradients(images, rng.integers(0, 3, 18))
    results.update({f"depthwise {k} {name}": gradient for name, gradient in gradients.items()})
np.savez(sys.argv[1], **results)
"""


def other_units():
    """The units that this run does not use."""
    host = binding.get_host_cpu_features()
    missing = pytest.mark.skip("this processor has no such unit")
    return [
        pytest.param(name, marks=() if all(map(host.get, needed)) else missing)
        for name, (*_, needed) in UNITS.items()
        if name != simd.HOST.name
    ]


def start(*arguments, unit):
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "FASTCONV_SIMD": unit},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """What a process printed, and its errors."""
    try:
        return process.communicate(timeout=300)
    finally:
        process.kill()


@pytest.fixture(scope="module")
def on_other_units():
    """Unit -> the process that runs these files there; they run beside each other."""
    arguments = "-m", "pytest", *map(str, TRIED), __file__, "-k", "not width", "-p", "no:cacheprovider"
    processes = {
        param.values[0]: start(*arguments, unit=param.values[0]) for param in other_units() if not param.marks
    }
    yield processes
    for process in processes.values():
        process.kill()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Unit, or "" for this run's own, -> the results there."""
    units = ["", *(param.values[0] for param in other_units() if not param.marks)]
    folder = tmp_path_factory.mktemp("width")
    processes = {unit: start("-c", RESULTS, str(folder / f"{unit}.npz"), unit=unit) for unit in units}
    found = {}
    for unit, process in processes.items():
        errors = finish(process)[1]
        assert process.returncode == 0, errors
        with np.load(folder / f"{unit}.npz") as file:
            found[unit] = dict(file)
    return found


@pytest.mark.parametrize("unit", other_units())
def test_of_width_every_function_holds_on_a_narrower_unit(unit, on_other_units):
    output = finish(on_other_units[unit])[0]
    assert on_other_units[unit].returncode == 0, output[-3000:]
    assert " passed" in output


@pytest.mark.parametrize("unit", other_units())
def test_of_width_kernels_and_training_agree_to_rounding_on_a_narrower_unit(unit, results):
    assert results[unit].keys() == results[""].keys()
    for name, array in results[unit].items():
        close = (
            {"rtol": 1e-11, "atol": 1e-12} if name.startswith("depthwise") else {"rtol": 2e-4, "atol": 2e-5}
        )
        np.testing.assert_allclose(array, results[""][name], **close, err_msg=name)


@pytest.mark.parametrize("name", ["avx", "AVX2x"])
def test_of_width_an_unknown_unit_is_refused_by_name(name):
    process = start("-c", "import fastconv", unit=name)
    message = finish(process)[1].strip().splitlines()[-1]
    assert process.returncode != 0
    assert (
        message
        == f"ValueError: `FASTCONV_SIMD` must be one of avx512, avx2, sse2, neon, got {name.lower()!r}"
    )


def test_of_width_the_name_of_a_unit_may_be_written_in_capitals():
    process = start("-c", "from fastconv import simd; print(simd.HOST.name)", unit=" SSE2 ")
    assert finish(process)[0].strip() == "sse2"
