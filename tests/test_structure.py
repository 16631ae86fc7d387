"""How the package is put together: imports go one way, and the interface is the one that is promised."""

import ast
import functools
import graphlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv import kernels

PACKAGE = Path(fc.__file__).parent
README = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
MODULES = {
    ".".join(("fastconv", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


# Imports


def imports(tree, module, inside_functions):
    """The modules, with their whole names, that a file imports as it is loaded, or also later."""
    package = module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield whole if whole in MODULES else base
        elif isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue  # for editors and type checkers only
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


@functools.cache
def all_imports(inside_functions=False):
    trees = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
    return {
        module: {name for name in imports(tree, module, inside_functions) if name != module}
        for module, tree in trees.items()
    }


def own(names):
    return {name for name in names if name.split(".")[0] == "fastconv"}


# Each package may import from those before it, and from its own files.
PACKAGES = [
    "simd", "checks", "kernels", "nn", "engine", "formats", "models", "datasets", "training",
    "inspection", "plots", "estimators", "benchmarks", "cli",
]  # fmt: skip


def package_of(module):
    """The package that a file belongs to; "" for fastconv's own, which gathers everything."""
    return module.split(".")[1] if module.count(".") else ""


@functools.cache
def package_imports(inside_functions):
    """(file, file that it imports), where the two lie in different packages."""
    graph = all_imports(inside_functions)
    return [
        (module, name)
        for module in sorted(graph)
        for name in sorted(own(graph[module]))
        if package_of(module) in PACKAGES and package_of(name) not in ("", package_of(module))
    ]


def test_the_top_level_holds_the_packages_and_nothing_else():
    entries = {path.name for path in PACKAGE.iterdir()} - {"__pycache__", "py.typed"}
    assert entries == {*PACKAGES, "__init__.py", "__main__.py"}
    assert len(entries) <= 16


def test_every_package_says_what_it_is_for():
    for name in PACKAGES:
        assert ast.get_docstring(ast.parse((PACKAGE / name / "__init__.py").read_text(encoding="utf-8")))


def test_the_list_of_packages_in_the_readme_is_theirs():
    listing = re.search(r"## How it is built\s+```\nfastconv/\n(.*?)```", README, re.DOTALL).group(1)
    assert re.findall(r"^  (\w+)/", listing, re.MULTILINE) == PACKAGES


def test_files_import_from_earlier_packages_only():
    found = package_imports(inside_functions=False)
    assert len(found) > 50
    assert [f"{a} imports {b}" for a, b in found if rank(b) > rank(a)] == []


def test_what_is_imported_inside_functions_is_of_earlier_packages_too():
    found = package_imports(inside_functions=True)
    assert [f"{a} imports {b}" for a, b in found if rank(b) > rank(a)] == []


def rank(module):
    return PACKAGES.index(package_of(module))


def test_only_the_last_packages_ask_the_whole_for_what_it_has_and_only_inside_functions():
    """`import fastconv` is right where the interface itself is measured, described or named in a file."""
    for module, names in all_imports().items():
        assert "fastconv" not in names or module == "fastconv.__main__", module
    asking = {package_of(m) for m, names in all_imports(inside_functions=True).items() if "fastconv" in names}
    assert asking <= {"benchmarks", "cli"}


@pytest.mark.parametrize("inside_functions", [False, True])
def test_imports_have_no_cycle(inside_functions):
    graph = {module: own(names) for module, names in all_imports(inside_functions).items()}
    assert sum(map(len, graph.values())) > 150
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the cycle
    assert order.index("fastconv.simd") < order.index("fastconv.kernels") < order.index("fastconv")


def test_no_chain_of_imports_is_longer_than_eleven_packages():
    lengths = {}
    for name in PACKAGES:  # all that it imports from come before it
        below = {package_of(b) for a, b in package_imports(True) if package_of(a) == name}
        lengths[name] = 1 + max((lengths[other] for other in below), default=0)
    assert max(lengths.values()) <= 11, lengths


# Files that are loaded when they are asked for, and that import an optional extra, or PyTorch, at their top.
LATER = {
    "fastconv.benchmarks.jax_nets",
    "fastconv.benchmarks.onnx_nets",
    "fastconv.benchmarks.torch_kernels",
    "fastconv.benchmarks.torch_nets",
    "fastconv.estimators",
    "fastconv.estimators.base",
    "fastconv.estimators.classifier",
    "fastconv.estimators.regressor",
}
REQUIRED = {"fastconv", "numpy", "numba", "llvmlite", *sys.stdlib_module_names}


def test_only_numpy_and_numba_are_imported_as_the_package_is_loaded():
    found = all_imports()
    foreign = {
        f"{module} imports {name}"
        for module, names in found.items()
        for name in names
        if module not in LATER and (name.split(".")[0] not in REQUIRED or name in LATER)
    }
    assert foreign == set()
    needless = {module for module in LATER if {name.split(".")[0] for name in found[module]} <= REQUIRED}
    assert needless == set(), "these may be loaded at any time"


def extras():
    """The modules that the extras of pyproject.toml bring."""
    project = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
    table = re.search(r"^\[project\.optional-dependencies\]\n(.*?)^\[", project, re.DOTALL | re.MULTILINE)
    names = set(re.findall(r'"([\w-]+)[>=]=', table.group(1)))
    return {{"scikit-learn": "sklearn", "pillow": "PIL"}.get(name, name.replace("-", "_")) for name in names}


def test_what_is_imported_later_is_an_optional_extra():
    allowed = {*REQUIRED, *extras(), "torch"}  # PyTorch is compared with where it is, and no extra brings it
    assert "onnxruntime" in allowed
    found = {name.split(".")[0] for names in all_imports(inside_functions=True).values() for name in names}
    assert found - allowed == set()


def loaded_by(statement):
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_loading_the_package_loads_nothing_beyond_what_numba_does():
    needed = loaded_by("import numba, numba.extending, numpy")
    ours = loaded_by("import fastconv, fastconv.kernels, fastconv.cli")
    assert ours - needed - set(sys.stdlib_module_names) - {"fastconv"} == set()


# The interface

KERNELS = """
conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)
conv2d_grad_input(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1)
conv2d_grad_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1)
conv2d_grad_bias(dy)
conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
conv_transpose2d_grad_input(dy, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
conv_transpose2d_grad_weight(x, dy, kernel_size, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
conv_transpose1d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
conv_transpose1d_grad_input(dy, weight, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
conv_transpose1d_grad_weight(x, dy, kernel_size, stride=1, padding=0, output_padding=0, groups=1, dilation=1)
upsample(x, scale_factor=2, mode='nearest', align_corners=False)
upsample_grad(dy, scale_factor=2, mode='nearest', align_corners=False)
upsample1d(x, scale_factor=2, mode='nearest', align_corners=False)
upsample1d_grad(dy, scale_factor=2, mode='nearest', align_corners=False)
max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)
max_pool2d_grad(dy, argmax, input_size)
avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True)
avg_pool2d_grad(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True)
dense(x, weight, bias=None)
dense_grad_input(dy, weight)
dense_grad_weight(x, dy)
dense_grad_bias(dy)
relu(x)
relu_grad(dy, x)
leaky_relu(x, negative_slope=0.01)
leaky_relu_grad(dy, x, negative_slope=0.01)
sigmoid(x)
sigmoid_grad(dy, y)
tanh(x)
tanh_grad(dy, y)
softmax(x)
bce(p, target, reduction='mean')
bce_grad(p, target, reduction='mean')
bce_with_logits(z, target, reduction='mean')
bce_with_logits_grad(z, target, reduction='mean')
cross_entropy(logits, labels, reduction='mean')
cross_entropy_grad(logits, labels, reduction='mean')
soft_cross_entropy(logits, target, reduction='mean')
soft_cross_entropy_grad(logits, target, reduction='mean')
huber(y, target, delta=1.0, reduction='mean')
huber_grad(y, target, delta=1.0, reduction='mean')
smooth_l1(y, target, beta=1.0, reduction='mean')
smooth_l1_grad(y, target, beta=1.0, reduction='mean')
focal(logits, labels, gamma=2.0, reduction='mean')
focal_grad(logits, labels, gamma=2.0, reduction='mean')
binary_focal(z, target, alpha=0.25, gamma=2.0, reduction='mean')
binary_focal_grad(z, target, alpha=0.25, gamma=2.0, reduction='mean')
hinge(scores, labels, margin=1.0, reduction='mean')
hinge_grad(scores, labels, margin=1.0, reduction='mean')
binary_hinge(z, target, reduction='mean')
binary_hinge_grad(z, target, reduction='mean')
mse
mse_grad
batch_norm2d(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-05)
batch_norm2d_grad(dy, x, gamma, saved)
group_norm(x, num_groups, gamma, beta, eps=1e-05)
group_norm_grad(dy, x, gamma, saved)
adaptive_avg_pool1d(x, output_size)
adaptive_avg_pool1d_grad(dy, input_size)
adaptive_avg_pool2d(x, output_size)
adaptive_avg_pool2d_grad(dy, input_size)
elu(x, alpha=1.0)
elu_grad(dy, y, alpha=1.0)
gelu(x, approximate=False)
gelu_grad(dy, x, approximate=False)
hardsigmoid(x)
hardsigmoid_grad(dy, y)
hardswish(x)
hardswish_grad(dy, x)
relu6(x)
relu6_grad(dy, y)
silu(x)
silu_grad(dy, x)
softplus(x)
softplus_grad(dy, y)
layer_norm(x, gamma, beta, eps=1e-05)
layer_norm_grad(dy, x, gamma, saved)
prelu(x, weight)
prelu_grad(dy, x, weight)
avg_pool1d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True)
avg_pool1d_grad(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True)
batch_norm1d(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-05)
batch_norm1d_grad(dy, x, gamma, saved)
conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1)
conv1d_grad_bias(dy)
conv1d_grad_input(dy, weight, input_size, stride=1, padding=0, dilation=1, groups=1)
conv1d_grad_weight(x, dy, kernel_size, stride=1, padding=0, dilation=1, groups=1)
max_pool1d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False)
max_pool1d_grad(dy, argmax, input_size)
"""


def bare_signature(function):
    """The signature without types."""
    signature = inspect.signature(function)
    parameters = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("line", KERNELS.split("\n")[1:-1])
def test_a_kernel_has_the_promised_signature(line):
    name, bracket, _ = line.partition("(")
    function = getattr(kernels, name)
    assert name in kernels.__all__
    if bracket:
        assert name + bare_signature(function) == line
    else:
        *arguments, reduction = inspect.signature(function).parameters.values()
        assert len(arguments) == 2
        assert (reduction.name, reduction.default) == ("reduction", "mean")


def test_there_are_no_other_kernels():
    assert sorted(kernels.__all__) == sorted(line.partition("(")[0] for line in KERNELS.split("\n")[1:-1])


# fmt: off
NAMES = [
    "Conv2d", "MaxPool2d", "AvgPool2d", "GlobalAvgPool2d", "BatchNorm2d", "Dropout", "Flatten", "Dense",
    "ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Softmax",
    "Sequential", "Sequential.summary", "Sequential.num_parameters", "Sequential.parameters",
    "Sequential.predict", "Sequential.save", "Sequential.loss_and_gradients", "load",
    "Sequential.load_weights", "Sequential.to_torch", "Sequential.to_onnx", "from_torch", "from_onnx",
    "Trainer", "Trainer.fit", "Trainer.evaluate",
    "SGD", "Adam", "AdamW", "StepDecay", "CosineDecay", "OneCycle",
    "EarlyStopping", "ModelCheckpoint", "CSVLogger",
    "models.reference_cnn", "models.lenet5", "models.vgg_small",
    "datasets.load_digits", "datasets.load_mnist_subset", "datasets.load_mnist",
    "set_num_threads", "get_num_threads", "check_gradients", "explain", "Sequential.source",
]
# fmt: on


def find(path):
    found = fc
    for name in path.split("."):
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("path", NAMES)
def test_a_promised_name_exists(path):
    assert find(path) is not None
    assert path.split(".")[0] in fc.__all__


def test_the_scikit_learn_classifier_exists():
    pytest.importorskip("sklearn")
    assert callable(fc.estimators.ConvClassifier().fit)


STARTS = {  # what a signature begins with, names and defaults
    "Sequential": "(layers, input_shape, dtype='float32', seed=0",
    "Sequential.predict": "(self, X, batch_size=256",
    "Sequential.save": "(self, path",
    "Sequential.loss_and_gradients": "(self, X, y, loss=",
    "load": "(path",
    "Trainer": "(model, loss=",
    "Trainer.fit": "(self, X, y=None, *, epochs=5, batch_size=32, validation_data=None, "
    "validation_split=0.0, shuffle=True, callbacks=(), progress=None, checkpoint=None, resume=False",
    "Trainer.evaluate": "(self, X, y",
    "models.lenet5": "(num_classes=10",
    "models.vgg_small": "(num_classes=10",
    "datasets.load_mnist": "(folder",
    "check_gradients": "(model, X, y, loss",
    "set_num_threads": "(n)",
    "get_num_threads": "()",
}


@pytest.mark.parametrize("path", STARTS)
def test_a_promised_signature_begins_as_promised(path):
    assert bare_signature(find(path)).startswith(STARTS[path])


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("Trainer", {"model", "loss", "optimizer", "metrics"}),
        ("SGD", {"lr", "momentum", "nesterov", "weight_decay"}),
        ("Adam", {"lr"}),
        ("AdamW", {"lr", "weight_decay"}),
        ("Conv2d", {"padding", "stride", "dilation", "groups", "kernel_size"}),
    ],
)
def test_a_promised_parameter_exists(path, names):
    assert names <= set(inspect.signature(find(path)).parameters)
