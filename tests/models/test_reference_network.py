"""The network of 15 parameters, worked by hand: every number below can be checked with a pencil.

    X 6x6 -> Z1 = conv(X, W1) + b1 -> A1 = relu(Z1) -> P1 = maxpool(A1) -> F = flatten(P1)
          -> Z2 = W2 F + b2 -> A2 = sigmoid(Z2) -> L = -y log A2 - (1 - y) log(1 - A2)

The bias b2 = 1 - log 3 makes Z2 = -log 3, so that A2 = 1/4 and, with y = 1, A2 - y = -3/4.
"""

import numpy as np
import pytest

import fastconv as fc
from fastconv import kernels

X = [
    [3, 1, 0, 3, 2, 3],
    [0, 2, 0, 1, 3, 2],
    [2, 1, 1, 0, 1, 3],
    [2, 2, 0, 1, 3, 1],
    [1, 0, 1, 1, 0, 0],
    [0, 3, 2, 0, 2, 2],
]
Y = 1
W1 = [[1, 0, -1], [1, 0, -1], [0, 1, 0]]
B1 = -1
W2 = [1, 3, -2, 2]
B2 = -0.09861228866810969

Z1 = [[3, -1, -6, -1], [2, 1, -3, -2], [2, 2, -3, -4], [4, 1, -3, 2]]
A1 = [[3, 0, 0, 0], [2, 1, 0, 0], [2, 2, 0, 0], [4, 1, 0, 2]]
P1 = [[3, 0], [4, 2]]
ARGMAX = [[0, 2], [12, 15]]
F = [3, 0, 4, 2]
Z2 = -1.0986122886681098
A2 = 0.25
LOSS = 1.3862943611198906

DA2 = -4.0
DZ2 = -0.75
DW2 = [-2.25, 0, -3, -1.5]
DB2 = -0.75
DF = [-0.75, -2.25, 1.5, -1.5]
DA1 = [[-0.75, 0, -2.25, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1.5, 0, 0, -1.5]]
DZ1 = [[-0.75, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0], [1.5, 0, 0, -1.5]]
DW1 = [[-0.75, -2.25, -1.5], [0, -1.5, 1.5], [-1.5, 0.75, -0.75]]
DB1 = -0.75
DX = [
    [-0.75, 0, 0.75, 0, 0, 0],
    [-0.75, 0, 0.75, 0, 0, 0],
    [0, -0.75, 0, 0, 0, 0],
    [1.5, 0, -1.5, -1.5, 0, 1.5],
    [1.5, 0, -1.5, -1.5, 0, 1.5],
    [0, 1.5, 0, 0, -1.5, 0],
]

RATE = 0.5
NEW_W1 = [[1.375, 1.125, -0.25], [1, 0.75, -1.75], [0.75, 0.625, 0.375]]
NEW_B1 = -0.625
NEW_W2 = [2.125, 3, -0.5, 2.75]
NEW_B2 = 0.2763877113318903

each_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def close(values, expected, dtype):
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(np.squeeze(values), np.squeeze(expected), rtol=tolerance, atol=tolerance)


def reference(dtype):
    model = fc.models.reference_cnn(dtype=dtype)
    for name, values in {"0.weight": W1, "0.bias": B1, "4.weight": W2, "4.bias": B2}.items():
        model.parameters()[name][...] = values
    return model


def image(dtype):
    return np.array(X, dtype)[None, None]


def check_parameters(arrays, w1, b1, w2, b2, dtype):
    for name, expected in {"0.weight": w1, "0.bias": b1, "4.weight": w2, "4.bias": b2}.items():
        close(arrays[name], expected, dtype)


def test_it_has_fifteen_parameters():
    shapes = {name: array.shape for name, array in reference("float32").parameters().items()}
    assert shapes == {"0.weight": (1, 1, 3, 3), "0.bias": (1,), "4.weight": (1, 4), "4.bias": (1,)}
    assert reference("float32").num_parameters == 15


@each_dtype
def test_the_kernels_one_after_the_other_give_every_number_forward(dtype):
    z1 = kernels.conv2d(image(dtype), np.array(W1, dtype)[None, None], np.array([B1], dtype))
    close(z1, Z1, dtype)
    a1 = kernels.relu(z1)
    close(a1, A1, dtype)
    p1, argmax = kernels.max_pool2d(a1, 2)
    close(p1, P1, dtype)
    np.testing.assert_array_equal(argmax[0, 0], ARGMAX)
    f = p1.reshape(1, 4)
    close(f, F, dtype)
    z2 = kernels.dense(f, np.array([W2], dtype), np.array([B2], dtype))
    close(z2, Z2, dtype)
    a2 = kernels.sigmoid(z2)
    close(a2, A2, dtype)
    close(kernels.bce(a2, np.array([[Y]], dtype)), LOSS, dtype)
    close(kernels.bce_with_logits(z2, np.array([[Y]], dtype)), LOSS, dtype)


@each_dtype
def test_the_kernels_one_after_the_other_give_every_number_backward(dtype):
    def array(values, *shape):
        return np.array(values, dtype).reshape(shape)

    da2 = kernels.bce_grad(array(A2, 1, 1), array(Y, 1, 1))
    close(da2, DA2, dtype)
    dz2 = kernels.sigmoid_grad(da2, array(A2, 1, 1))
    close(dz2, DZ2, dtype)
    close(kernels.bce_with_logits_grad(array(Z2, 1, 1), array(Y, 1, 1)), DZ2, dtype)
    close(kernels.dense_grad_weight(array(F, 1, 4), dz2), DW2, dtype)
    close(kernels.dense_grad_bias(dz2), DB2, dtype)
    df = kernels.dense_grad_input(dz2, array(W2, 1, 4))
    close(df, DF, dtype)
    da1 = kernels.max_pool2d_grad(df.reshape(1, 1, 2, 2), np.array(ARGMAX)[None, None], (4, 4))
    close(da1, DA1, dtype)
    dz1 = kernels.relu_grad(da1, array(Z1, 1, 1, 4, 4))
    close(dz1, DZ1, dtype)
    close(kernels.conv2d_grad_weight(image(dtype), dz1, (3, 3)), DW1, dtype)
    close(kernels.conv2d_grad_bias(dz1), DB1, dtype)
    close(kernels.conv2d_grad_input(dz1, array(W1, 1, 1, 3, 3), (6, 6)), DX, dtype)


@each_dtype
def test_predict_gives_the_probability_worked_out_by_hand(dtype):
    output = reference(dtype).predict(image(dtype))
    assert output.shape == (1, 1)
    close(output, A2, dtype)


@each_dtype
@pytest.mark.parametrize("layers", range(1, 7))
def test_the_first_layers_alone_predict_their_intermediate(dtype, layers):
    whole = reference(dtype)
    part = fc.Sequential(whole.layers[:layers], whole.input_shape, dtype=dtype)
    part.load_state({name: whole.state()[name] for name in part.parameters()})
    close(part.predict(image(dtype)), [Z1, A1, P1, F, Z2, A2][layers - 1], dtype)


@each_dtype
def test_loss_and_gradients_are_those_worked_out_by_hand(dtype):
    loss, gradients = reference(dtype).loss_and_gradients(image(dtype), [Y], loss="bce")
    close(loss, LOSS, dtype)
    check_parameters(gradients, DW1, DB1, DW2, DB2, dtype)


@each_dtype
def test_a_batch_has_the_mean_of_its_images(dtype):
    # The same image with labels 1, 1, 0: the mean of A2 - y is (-3/4 - 3/4 + 1/4) / 3 = -5/12.
    loss, gradients = reference(dtype).loss_and_gradients(
        np.repeat(image(dtype), 3, 0), [1, 1, 0], loss="bce"
    )
    close(loss, (2 * 1.3862943611198906 + 0.2876820724517809) / 3, dtype)
    check_parameters(gradients, *(np.multiply(g, 5 / 9) for g in (DW1, DB1, DW2, DB2)), dtype)


@each_dtype
def test_one_step_of_gradient_descent_is_the_one_worked_out_by_hand(dtype):
    model = reference(dtype)
    trainer = fc.Trainer(model, loss="bce", optimizer=fc.SGD(lr=RATE))
    history = trainer.fit(image(dtype), [Y], epochs=1, batch_size=1)
    check_parameters(model.parameters(), NEW_W1, NEW_B1, NEW_W2, NEW_B2, dtype)
    close(history["loss"], LOSS, dtype)
    assert history["accuracy"] == [0.0]


@each_dtype
@pytest.mark.parametrize(("label", "slope"), [(0, 0.0), (1, -1.0)])
def test_the_gradient_is_exact_where_the_sigmoid_is_almost_zero(dtype, label, slope):
    model = reference(dtype)
    model.parameters()["4.bias"][...] = -200.0
    loss, gradients = model.loss_and_gradients(image(dtype), [label], loss="bce")
    close(gradients["4.bias"], slope, dtype)
    close(loss, 100.0 * label, dtype)
