import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.plugins.components.helpers import data
from tests.plugins.components.models.helpers import model, parameters

X = torch.randn(9, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_logistic_is_one_linear_layer():
    net = model("logistic", (2, 3), 4).double()
    assert parameters(net) == {"head.weight": (4, 6), "head.bias": (4,)}
    w, b = (p.detach().numpy() for p in net.parameters())
    np.testing.assert_allclose(net(X).detach().numpy(), X.numpy().reshape(9, 6) @ w.T + b, rtol=1e-12, atol=1e-12)
    assert parameters(model("logistic", (2, 3), 4, {"bias": False})) == {"head.weight": (4, 6)}


def test_logistic_trained_to_convergence_is_scikit_learns_logistic_regression():
    iris = data("iris").train
    net = model("logistic", (4,)).double()
    x, y = iris.x.double(), iris.y
    optimizer = torch.optim.LBFGS(net.parameters(), max_iter=2000, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def penalized():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x), y, reduction="sum") + net.head.weight.square().sum() / 2
        loss.backward()
        return loss

    optimizer.step(penalized)
    theirs = LogisticRegression(C=1, tol=1e-9, max_iter=5000).fit(x.numpy(), y.numpy())
    probabilities = net(x).softmax(1).detach().numpy()
    np.testing.assert_allclose(probabilities, theirs.predict_proba(x.numpy()), atol=1e-5)


@pytest.mark.parametrize(("width", "depth"), [(5, 0), (5, 1), (7, 3)])
def test_deep_linear_is_the_product_of_its_matrices(width, depth):
    net = model("deep_linear", (2, 3), 4, {"width": width, "depth": depth}).double()
    sizes = [6, *[width] * depth, 4]
    assert list(parameters(net).values()) == [s for a, b in itertools.pairwise(sizes) for s in ((b, a), (b,))]
    w = [p.detach().numpy() for p in net.parameters()]
    product, shift = np.eye(6), np.zeros(6)
    for weight, bias in zip(w[::2], w[1::2], strict=True):
        product, shift = weight @ product, weight @ shift + bias
    np.testing.assert_allclose(
        net(X).detach().numpy(), X.numpy().reshape(9, 6) @ product.T + shift, rtol=1e-11, atol=1e-12
    )


def test_deep_linear_with_a_narrow_layer_has_its_rank():
    net = model("deep_linear", (6,), 5, {"width": 2, "depth": 3, "bias": False}).double()
    assert all(len(shape) == 2 for shape in parameters(net).values())
    assert np.linalg.matrix_rank(net(torch.eye(6, dtype=torch.float64)).detach().numpy()) == 2
