"""How the package is put together: imports go one way, and the interface is the one that is promised."""

import ast
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
        elif inside_functions or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting.extend(ast.iter_child_nodes(node))


def all_imports(inside_functions=False):
    trees = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
    return {
        module: {name for name in imports(tree, module, inside_functions) if name != module}
        for module, tree in trees.items()
    }


def own(names):
    return {name for name in names if name.split(".")[0] == "fastconv"}


def readme_order():
    """Module -> its line in "How it is built"; modules of one line stand beside each other."""
    listing = re.search(r"## How it is built\s+```\nfastconv/\n(.*?)```", README, re.DOTALL).group(1)
    ranks = {}
    for number, line in enumerate(listing.splitlines()):
        for name in re.findall(r"([a-z_0-9]+)(?:\.py|/)", line):
            ranks[f"fastconv.{name}"] = number
    return ranks


def rank_of(module, ranks):
    return ranks.get(module, ranks.get(".".join(module.split(".")[:2])))


def test_the_list_of_files_in_the_readme_names_only_files_that_exist():
    ranks = readme_order()
    assert len(ranks) > 15
    assert set(ranks) <= set(MODULES)


def test_imports_have_no_cycle():
    graph = {module: own(names) for module, names in all_imports().items()}
    assert sum(map(len, graph.values())) > 50
    order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the cycle
    assert order.index("fastconv.simd") < order.index("fastconv.kernels") < order.index("fastconv")


def test_imports_go_from_the_top_of_the_readmes_list_to_its_end_also_through_files_not_in_it():
    ranks, graph = readme_order(), {module: own(names) for module, names in all_imports().items()}
    graph["fastconv"] = set()  # the package's own file gathers everything

    def reached(module, seen):
        for name in graph.get(module, ()):
            if name not in seen:
                seen.add(name)
                if rank_of(name, ranks) is None:
                    reached(name, seen)
        return seen

    backward = [
        f"{module} reaches {name}"
        for module in sorted(graph)
        if rank_of(module, ranks) is not None
        for name in reached(module, set())
        if rank_of(name, ranks) is not None and rank_of(name, ranks) > rank_of(module, ranks)
    ]
    assert sorted(backward) == []


# Files that are loaded when they are asked for, and that import an optional extra, or PyTorch, at their top.
LATER = {
    "fastconv.benchmarks.onnx_nets",
    "fastconv.benchmarks.torch_kernels",
    "fastconv.benchmarks.torch_nets",
    "fastconv.estimators",
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
huber(y, target, delta=1.0, reduction='mean')
huber_grad(y, target, delta=1.0, reduction='mean')
mse
mse_grad
batch_norm2d(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-05)
batch_norm2d_grad(dy, x, gamma, saved)
group_norm(x, num_groups, gamma, beta, eps=1e-05)
group_norm_grad(dy, x, gamma, saved)
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
    "Trainer.fit": "(self, X, y=None, epochs=5, batch_size=32, validation_data=None, validation_split=0.0, "
    "shuffle=True, callbacks=(), progress=None, checkpoint=None, resume=False",
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
