"""torch's yardstick: opened but quiet it is the function, noisy it is as large as rounding."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from parity.frameworks import torch_noise, torch_side
from parity.frameworks.torch_noise import yardstick
from parity.judge import noise
from parity.judge.noise import BOUND, sigma
from tests.shared.sampled import few

torch.manual_seed(0)
LSTM = nn.LSTM(4, 3, num_layers=2, bidirectional=True, dtype=torch.float64)
ENCODER = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, dtype=torch.float64)
CONVOLUTIONS = nn.Sequential(
    nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)
).double()


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x / 3

    @staticmethod
    def backward(ctx, dout):
        return ctx.saved_tensors[0] * dout * (2 / 3)


def call(module, *inputs):
    """Call a module whose parameters follow the inputs' dtype."""
    names = [name for name, _ in module.named_parameters()]
    parameters = {name: module.get_parameter(name).detach().to(inputs[0].dtype) for name in names}
    buffers = {
        name: b.clone().to(inputs[0].dtype) if b.is_floating_point() else b.clone()
        for name, b in module.named_buffers()
    }
    return functional_call(module, parameters | buffers, inputs)


def in_place(x):
    y = x * 0.3
    y[1:] *= 0.7
    y.view(-1)[::2].add_(x.reshape(-1)[::2] / 7)
    y.T.sin_()
    z = torch.zeros_like(y)
    z.index_add_(0, torch.tensor([1, 1, 0, 2, 5, 1]), y)
    z.index_put_((torch.tensor([0, 0]),), y[:2], accumulate=True)
    return z.scatter_add(1, torch.zeros(6, 6, dtype=torch.long), y).unsqueeze_(0)


@pytest.fixture(autouse=True)
def _one_thread():
    with torch_side.exactly(np.dtype(np.float64)):
        yield


def spd(x):
    return x @ x.T + 10 * torch.eye(len(x), dtype=x.dtype)


def flash(x):
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        q = x.reshape(1, 2, 3, 6)
        return F.scaled_dot_product_attention(q, q, q)


FUNCTIONS = {
    "matmul": lambda x: x @ x.T,
    "in place, views": in_place,
    "custom Function": lambda x: Doubled.apply(x).sum(0),
    "checkpoint": lambda x: checkpoint(lambda y: torch.sin(y) ** 3, x, use_reentrant=False),
    "vmap": lambda x: vmap(lambda row: row / row.norm())(x),
    "functional gradient": lambda x: vmap(grad(lambda row: torch.tanh(row).prod()))(x),
    "hessian": lambda x: jacrev(grad(lambda y: torch.logsumexp(y, 0)))(x[0]),
    "twice differentiated": lambda x: torch.autograd.grad(torch.sin(x).sum(), x, create_graph=True)[
        0
    ],
    "LSTM": lambda x: call(LSTM, x[:, None, :4])[0],
    "transformer": lambda x: call(ENCODER, torch.cat([x, x / 3], 1)[:, None, :8]),
    "convolutions": lambda x: call(CONVOLUTIONS, torch.stack([x, x.T])[None]),
    "attention": lambda x: F.scaled_dot_product_attention(
        *[x.reshape(1, 2, 3, 6)] * 3, is_causal=True
    ),
    "flash attention": flash,
    "layer norm": lambda x: F.layer_norm(x, (6,)),
    "group norm": lambda x: F.group_norm(x, 3),
    "batch norm": lambda x: F.batch_norm(x, None, None, training=True),
    "cross entropy": lambda x: F.cross_entropy(x, torch.arange(6), label_smoothing=0.1),
    "ctc": lambda x: F.ctc_loss(
        x.log_softmax(1)[:, None], torch.tensor([[1, 2]]), torch.tensor([6]), torch.tensor([2])
    ),
    "embedding bag": lambda x: F.embedding_bag(torch.tensor([[0, 1, 1], [5, 2, 0]]), x),
    "upsampling": lambda x: F.interpolate(x[None, None], scale_factor=2.5, mode="bilinear"),
    "mean pool": lambda x: F.avg_pool2d(x[None], 3, 2, 1),
    "conv transpose": lambda x: F.conv_transpose1d(x[None], x[:, :2, None] + 1),
    "gelu": F.gelu,
    "softplus": F.softplus,
    "cumsum": lambda x: x.cumsum(0) * x.cumprod(1),
    "sort": lambda x: x.sort(1).values * 0.3,
    "var": lambda x: x.var(1) / x.std(0),
    "norm": lambda x: x.norm(dim=1) + x.norm(p=3, dim=0),
    "cdist": lambda x: torch.cdist(x[:3], x[3:]),
    "einsum": lambda x: torch.einsum("ij,kj,k->i", x, x, x[:, 0]),
    "cholesky": lambda x: torch.linalg.cholesky(spd(x)),
    "solve": lambda x: torch.linalg.solve(spd(x), x[:, :2]),
    "det": lambda x: torch.linalg.det(spd(x)) / 1e6,
    "eigh": lambda x: torch.linalg.eigvalsh(spd(x)),
    "qr": lambda x: torch.linalg.qr(spd(x))[1].abs(),
    "svd": lambda x: torch.linalg.svdvals(x),
    "fft": lambda x: torch.fft.rfft(x).abs(),
    "complex": lambda x: (torch.complex(x, x.T) ** 2 / (2 + 1j)).angle(),
    "lgamma": lambda x: torch.lgamma(x.abs() + 0.5),
    "constants": lambda x: torch.where(x > 0, x, 0.1).clamp(-0.3, 0.7),
    "integers": lambda x: (x.argmax(1), x.long(), x * 0.3),
}


def differentiated(function):
    """(outputs, gradient) under a fixed cotangent; outputs without a gradient stand alone."""

    def run(x):
        x = x.detach().requires_grad_()
        out = function(x)
        floats = [y for y in tree_leaves(out) if y.requires_grad]
        douts = [0.5 + torch.arange(y.numel(), dtype=y.dtype).view(y.shape) / 64 for y in floats]
        return out, torch.autograd.grad(floats, x, douts)

    return run


@pytest.fixture(scope="module")
def x():
    return torch.tensor(np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)).double()


def arrays(value):
    return [leaf.detach().resolve_conj().numpy() for leaf in tree_leaves(value)]


@pytest.mark.parametrize("name", few(FUNCTIONS, every=3))
def test_quiet_it_is_the_function_and_noisy_it_is_near(name, x):
    function = differentiated(FUNCTIONS[name])
    plain, single = arrays(function(x)), arrays(function(x.float()))
    with torch_noise._Noise(None):
        opened = arrays(function(x))
    value, measured = yardstick(function)(x)
    for p, o, v, n, s in zip(plain, opened, arrays(value), arrays(measured), single, strict=True):
        np.testing.assert_allclose(o, p, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(v, p, rtol=1e-12, atol=1e-13)
        assert n.shape == p.shape
        assert n.dtype == np.float64
        far = np.abs(s.astype(p.dtype) - p) / sigma(n, np.float32)
        assert far.max() < BOUND / 2
        assert np.all(np.isfinite(n))
        error, size = (np.sqrt(np.mean(np.abs(e) ** 2)) for e in (s - p, n * noise.U0))
        assert error == 0 or error > 0.03 * size  # not blind either


def noise_of(function, *args):
    return yardstick(function)(*(torch.as_tensor(a) for a in args))[1].numpy()


def rms(a):
    return float(np.sqrt(np.mean(a**2)))


def test_one_rounding_has_noise_of_the_value():
    big = np.random.default_rng(0).normal(size=4000)
    assert rms(noise_of(lambda a, b: a * b, big, big[::-1].copy()) / (big * big[::-1])) == (
        pytest.approx(1.0, rel=0.02)
    )


def out_of_place(a, b):
    return torch.mul(a, b, out=torch.empty_like(a))


def in_a_view(a, b):
    out = torch.ones(2, len(a), dtype=a.dtype)
    out[1].copy_(a).mul_(b)
    return out[1]


@pytest.mark.parametrize("function", [out_of_place, in_a_view, lambda a, b: a.clone().mul_(b)])
def test_in_place_and_out_are_disturbed_once(function):
    big = np.random.default_rng(0).normal(size=4000)
    assert rms(noise_of(function, big, big[::-1].copy()) / (big * big[::-1])) == (
        pytest.approx(1.0, rel=0.02)
    )


@pytest.mark.parametrize(
    "function",
    [
        torch.t,
        torch.neg,
        torch.amax,
        lambda x: x + 0,
        lambda x: x * 2,
        lambda x: x / -4,
        lambda x: x * (x > 0),
        lambda x: torch.where(x > 0, x, -1e9),
        lambda x: torch.zeros_like(x).index_add(0, torch.arange(6), x),
        lambda x: F.embedding(torch.tensor([1, 4]), x),
        lambda x: F.max_pool2d(x[None], 2),
    ],
)
def test_what_is_exact_has_no_noise(function, x):
    assert np.all(noise_of(function, x) == 0)


def test_noise_sees_cancellation():
    noisy = noise_of(lambda x: (1e6 + x) - 1e6, np.linspace(1, 2, 500))
    assert 5e5 < rms(noisy) < 2e6


def test_a_long_sum_has_the_noise_of_its_terms_not_of_its_value():
    terms = np.random.default_rng(0).normal(size=(200, 1024))
    assert np.median(noise_of(lambda x: x.sum(1), terms - terms.mean(1, keepdims=True))) > 16


def test_a_fused_kernel_is_opened():
    """Layer norm at mean 1000 loses three digits that its kernel's own result does not show."""
    shifted = 1000 + np.random.default_rng(0).normal(size=(7, 33))
    assert rms(noise_of(lambda x: F.layer_norm(x, (33,)), shifted)) > 200


def test_attention_is_as_noisy_as_its_mathematics():
    q = torch.tensor(np.random.default_rng(0).normal(size=(2, 3, 10, 8)))

    def by_hand(q):
        return (q @ q.mT / 8**0.5).softmax(-1) @ q

    fused = rms(noise_of(lambda q: F.scaled_dot_product_attention(q, q, q), q))
    assert 0.5 < fused / rms(noise_of(by_hand, q)) < 2


def test_float32_inside_a_float64_run_is_refused(x):
    with pytest.raises(TypeError, match=r"float32 value of shape \(6, 6\) at aten._to_copy"):
        yardstick(lambda x: x.float().sum())(x)
    with pytest.raises(TypeError, match=r"float32 value of shape \(6,\) at aten.div"):
        yardstick(lambda x: x + torch.arange(6) / 7)(x)
    with pytest.raises(TypeError, match=r"float32 value of shape \(\)"):
        yardstick(lambda x: x * torch.tensor(0.1))(x)
    with pytest.raises(TypeError, match=r"complex64 value"):
        yardstick(lambda x: x.to(torch.complex64).abs())(x)


def test_masks_and_counts_may_be_narrow(x):
    assert yardstick(lambda x: x * (x > 0).float() / (x > 0).float().sum())(x)[0].shape == (6, 6)


def test_what_it_changes_it_puts_back(x):
    module, buffer, x = nn.BatchNorm1d(6).double(), torch.zeros(6, dtype=torch.float64), x.clone()

    def function(x):
        buffer.add_(x[0])
        x.mul_(0.3)
        return module(x) + buffer

    before, state, given = module.running_mean.clone(), torch.get_rng_state(), x.clone()
    yardstick(function)(x)
    assert torch.equal(module.running_mean, before)
    assert module.num_batches_tracked == 0
    assert torch.equal(buffer, torch.zeros_like(buffer))
    assert torch.equal(x, given)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_function_that_raises_leaves_nothing_changed(x):
    x, state, given = x.clone(), torch.get_rng_state(), x.clone()
    with pytest.raises(TypeError):
        yardstick(lambda x: torch.rand(3).sum() + x.mul_(3).float())(x)
    assert torch.equal(x, given)
    assert torch.equal(torch.get_rng_state(), state)


def test_random_masks_are_the_same_in_every_run(x):
    noisy = noise_of(lambda x: F.dropout(x, 0.5), x)
    assert rms(noisy) < 3


def test_two_measurements_are_one(x):
    first, second = (yardstick(lambda x: torch.tanh(x @ x))(x)[1] for _ in range(2))
    assert torch.equal(first, second)


def test_any_structure_comes_back(x):
    value, noisy = yardstick(lambda x: {"a": (x * 3, [x.argmax()]), "b": None})(x)
    assert value["b"] is None
    assert noisy["a"][0].shape == x.shape
    assert noisy["a"][1][0] == 0


def test_more_seeds_and_fewer(x):
    few, many = (yardstick(lambda x: x * 0.3, seeds)(x)[1].numpy() for seeds in (2, 64))
    ratios = [n / np.abs(x.numpy() * 0.3) for n in (few, many)]
    assert ratios[0].std() > 2 * ratios[1].std()


def test_infinity_stays_where_it_is(x):
    def masked(x):
        return x.masked_fill(x > 0, -float("inf")).add(x).softmax(1)

    assert np.all(np.isfinite(noise_of(masked, x - 0.5)))


def test_the_cost_counts_what_runs(x):
    small = torch_noise.cost(lambda x: x * 3, x)
    large = torch_noise.cost(lambda x: torch.stack([x * i for i in range(50)]), x)
    assert (small.operations, small.elements) == (1, 36)
    assert large.operations == 51
    assert large.run > small.run


def test_gradients_by_the_side_are_measured(x):
    def gradient(x, dout):
        return torch_side.vjp(lambda x: {"y": torch.tanh(x @ x)}, (x,), {"y": dout})

    value, noisy = yardstick(gradient)(x, x)
    assert value[0]["y"].shape == x.shape
    assert value[1][0].shape == noisy[1][0].shape == x.shape
    assert rms(noisy[1][0].numpy()) > 0.1
