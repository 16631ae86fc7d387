"""`model.source()`: the text is that of the plan that runs."""

import inspect
import re

import pytest

import fastconv as fc
from fastconv.engine import engine, loop
from fastconv.engine.plan import Plan
from fastconv.engine.run import Run
from fastconv.kernels.lanes import conv, dense, losses, optimizers
from fastconv.nn.losses import MSE
from tests.engine.networks import NETWORKS


def calls(text):
    """The calls of the step, without their comments."""
    step = text[text.index("for step in") :].split("\n\n\n")[0]
    return re.findall(r"^ +((?!wait_)\w+\(.*\))$", step, re.MULTILINE)


def test_the_step_of_the_reference_network_is_listed_operation_by_operation():
    assert calls(fc.models.reference_cnn().source(kernels=False)) == [
        "gather(y=X)",
        'contract(x=X, w=parameters["0.weight"], bias=parameters["0.bias"], y=y1)',  # ReLU, too
        "max_pool(x=y1, y=y2, argmax=argmax2)",
        'dense(x=y3, w=parameters["4.weight"], bias=parameters["4.bias"], y=y4)',
        "gather(y=target)",
        "bce_with_logits(x=y4, target=target, dx=dy4, sums=sums)",
        "contract_grad_weight(x=y3, dy=dy4, dweight=shards4)",
        'dense(x=dy4, w=parameters["4.weight"], y=dy3)',
        "max_pool_grad(dy=dy2, argmax=argmax2, dx=dy0)",
        "contract_grad_weight(x=X, dy=dy0, dweight=shards0)",
        "record(sums=sums, log_=log)",
        'add_shards(shards=shards4, total_gradient=gradients["4.weight"])',
        'add_shards(shards=shards0, total_gradient=gradients["0.weight"])',
        "sgd(w=parameters, gradient=gradients, velocity=optimizer_state[0], options=[0.0, 0.0], rates=rates)",
    ]


def test_the_arrays_have_the_shapes_of_the_layers():
    text = fc.models.reference_cnn().source(kernels=False)
    table = dict(re.findall(r"^# (\S+) +(\(.*?\)) ", text, re.MULTILINE))
    shapes = {
        "X": (1, 6, 6),
        "y1": (1, 4, 4),
        "y2": (1, 2, 2),
        "y3": (4,),
        "dy0": (1, 4, 4),
        "gradients": (15,),
    }
    assert {name: table[name] for name in shapes} == {name: str(shape) for name, shape in shapes.items()}
    assert re.search(r"^# y3 .*\(the memory of y2\)$", text, re.MULTILINE)
    assert re.search(r"^# sums .* each block$", text, re.MULTILINE)
    assert re.search(r"^# X .* each thread$", text, re.MULTILINE)


def test_what_a_later_stage_reads_is_kept_for_each_block():
    model = fc.Sequential([fc.Conv2d(2, 3), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(2)], (1, 6, 6))
    text = model.source(kernels=False)  # the images are read again after the sums of the normalisation
    assert re.search(r"^# X .* each block$", text, re.MULTILINE)


@pytest.mark.parametrize("purpose", ["train", "gradients", "evaluate", "predict"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_listed_calls_are_those_of_the_plan_that_runs(name, purpose, monkeypatch):
    model = fc.Sequential(*NETWORKS[name][:2])
    plans, settle = [], Plan.settle
    monkeypatch.setattr(Plan, "settle", lambda plan: (plans.append(plan), settle(plan))[1])
    loss = None if purpose == "predict" else MSE()
    engine.Engine(model, Run(purpose, 32, 1, loss, fc.SGD()), [model.flat_parameters.copy()])
    wanted = [operation.name for _, operations in plans[0].stages for operation, _, _ in operations]
    text = model.source(purpose, loss="mse", optimizer="sgd", batch_size=32, kernels=False)
    assert [call.partition("(")[0] for call in calls(text)] == wanted
    assert text.count("wait_for_all_threads()") == len(plans[0].stages)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_array_has_a_name(name):
    model = fc.Sequential(*NETWORKS[name][:2])
    for purpose, batch_size in (("train", 20), ("evaluate", 5), ("predict", 1), ("predict", 64)):
        text = model.source(purpose, loss="mse", batch_size=batch_size, kernels=False)
        assert "=," not in text
        assert "=)" not in text


def test_the_source_of_every_kernel_and_of_the_loop_follows():
    text = fc.models.reference_cnn().source()
    for function in (
        loop.run_steps.py_func, conv.contract.kernel, conv._sweep.py_func,
        losses.bce_with_logits.kernel, losses.log1p, optimizers.sgd.kernel,
    ):  # fmt: skip
        assert inspect.getsource(function) in text
    assert "def adam(" not in text
    assert "def adam(" in fc.models.reference_cnn().source(optimizer=fc.Adam())
    assert "def " not in fc.models.reference_cnn().source(kernels=False)


def test_what_a_kernel_does_stands_above_its_first_call_only():
    text = fc.models.lenet5().source(kernels=False, batch_size=128)
    meaning = dense.rows_grad_weight.__doc__.splitlines()[0]
    assert len(re.findall(rf"# {re.escape(meaning)}\n +rows_grad_weight\(", text)) == 1
    assert text.count("rows_grad_weight(") == 3
    assert text.count(meaning) == 1


def test_it_says_what_it_was_made_for():
    text = fc.models.lenet5(dtype="float64").source(batch_size=100, optimizer="adam", kernels=False)
    assert "44,426 parameters, float64, batches of 100." in text
    assert "blocks of 8 samples" in text
    assert "samples: 100, blocks: 13" in text
    assert "Loss: cross_entropy." in text
    assert "Adam(lr=0.001" in text


def test_one_sample_is_predicted_by_a_program_of_its_own():
    text = fc.models.lenet5().source("predict", batch_size=1, kernels=False)
    assert calls(text)[0] == "load_samples(y=X)"
    assert "channels of a sample" in text
    before, _ = text.split("for step in")
    assert "again when a parameter has changed" in before
    assert "pack_weights(w=parameters" in before


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"purpose": "run"},
            ValueError,
            "`purpose` must be one of 'train', 'gradients', 'evaluate', 'predict'",
        ),
        ({"loss": "l1"}, ValueError, "`loss` must be one of"),
        (
            {"optimizer": 3},
            TypeError,
            "`optimizer` must be an optimizer such as SGD(lr=0.1), or one of sgd, adam, adamw, rmsprop, "
            "lion, got 3",
        ),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an int >= 1, got 0"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(arguments, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fc.models.reference_cnn().source(**arguments)
