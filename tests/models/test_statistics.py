"""Running statistics after a run in training mode: momentum is named, n - 1 is allowed for.

What each case should come to stood here before any was run.
"""

import equinox as eqx
import flax.linen as fnn
import jax
import jax.numpy as jnp
import pytest
import torch
from flax import nnx
from torch import nn

import parity
from parity.models.sides import whole
from parity.models.statistics import are_kept, left_behind
from tests.shared.sampled import few


class Module(nn.Module):
    def __init__(self, momentum, used=True):
        super().__init__()
        self.fc, self.bn = nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum)
        if used:  # else its averages are zeros and ones
            self(torch.randn(9, 3))

    def forward(self, x):
        return self.bn(self.fc(x))


class Own(nnx.Module):
    """A batch norm by hand, whose averages become what `law` makes of them."""

    def __init__(self, w, law):
        self.law, self.kernel = law, nnx.Param(w["fc.weight"].T)
        self.bias = nnx.Param(w["fc.bias"])
        self.scale, self.shift = nnx.Param(w["bn.weight"]), nnx.Param(w["bn.bias"])
        self.mean = nnx.BatchStat(w["bn.running_mean"])
        self.var = nnx.BatchStat(w["bn.running_var"])

    def __call__(self, x):
        x = x @ self.kernel[...] + self.bias[...]
        mean, var = x.mean(0), x.var(0)
        found = self.law((self.mean[...], self.var[...]), (mean, var), len(x))
        self.mean[...], self.var[...] = found
        x = (x - mean) / jnp.sqrt(var + 1e-5)
        return x * self.scale[...] + self.shift[...]


def law(kept, of_var=lambda var, n: var):
    def new(old, batch, n):
        (mean, var), (a, b) = old, batch
        return kept * mean + (1 - kept) * a, kept * var + (1 - kept) * of_var(b, n)

    return new


class Linen(fnn.Module):
    momentum: float

    @fnn.compact
    def __call__(self, x):
        norm = fnn.BatchNorm(False, momentum=self.momentum, use_fast_variance=False, name="bn")
        return norm(fnn.Dense(4, name="fc")(x))


def linen(w, momentum):
    params = {"fc": {"kernel": w["fc.weight"].T, "bias": w["fc.bias"]}}
    params["bn"] = {"scale": w["bn.weight"], "bias": w["bn.bias"]}
    statistics = {"bn": {"mean": w["bn.running_mean"], "var": w["bn.running_var"]}}
    return Linen(momentum), {"params": params, "batch_stats": statistics}


class Equinox(eqx.Module):
    fc: eqx.nn.Linear
    bn: eqx.nn.BatchNorm

    def __init__(self, momentum):
        self.fc = eqx.nn.Linear(3, 4, key=jax.random.key(0))
        self.bn = eqx.nn.BatchNorm(4, "batch", momentum=momentum, mode="batch")

    def __call__(self, x, state):
        return self.bn(self.fc(x), state)


def equinox(w, momentum):
    model, state = eqx.nn.make_with_state(Equinox)(momentum)
    new = jnp.asarray(w["fc.weight"]), jnp.asarray(w["fc.bias"])
    model = eqx.tree_at(lambda m: (m.fc.weight, m.fc.bias), model, new)
    averages = jnp.asarray(w["bn.running_mean"]), jnp.asarray(w["bn.running_var"])

    def apply(both, x):
        run = jax.vmap(both[0], axis_name="batch", in_axes=(0, None), out_axes=(0, None))
        return run(x, both[1])

    return parity.Model(apply, (model, state.set(model.bn.batch_state_index, averages)))


def haiku(w, kept):
    """A batch norm as haiku has it, whose averages are kept in a state beside the params."""
    hk = pytest.importorskip("haiku")

    def run(x):
        return hk.BatchNorm(True, True, kept, name="bn")(hk.Linear(4, name="fc")(x), True)

    params = {"fc": {"w": w["fc.weight"].T, "b": w["fc.bias"]}}
    params["bn"] = {"scale": w["bn.weight"][None], "offset": w["bn.bias"][None]}
    state = {}
    for part in ("mean", "var"):  # of many steps: what the first were divided by is 1
        average = w[f"bn.running_{part}"][None]
        held = {"average": average, "hidden": average, "counter": jnp.int32(10_000)}
        state[f"bn/~/{part}_ema"] = held
    return hk.transform_with_state(run), params, state


class Stateful:
    """What haiku.transform_with_state returns can do: a state goes in, and comes out."""

    def __init__(self, kept):
        self.kept = kept

    def init(self, key, x):
        raise AssertionError("nobody initialises a model that has its weights")

    def apply(self, params, state, rng, x):
        x = x @ params["fc"]["w"] + params["fc"]["b"]
        batch = {"mean": x.mean(0), "var": x.var(0)}
        left = {n: self.kept * state["bn"][n] + (1 - self.kept) * batch[n] for n in batch}
        x = (x - batch["mean"]) / jnp.sqrt(batch["var"] + 1e-5)
        return x * params["bn"]["scale"] + params["bn"]["offset"], {"bn": left}


def stateful(w, kept):
    params = {"fc": {"w": w["fc.weight"].T, "b": w["fc.bias"]}}
    params["bn"] = {"scale": w["bn.weight"], "offset": w["bn.bias"]}
    return Stateful(kept), params, {"bn": {n: w[f"bn.running_{n}"] for n in ("mean", "var")}}


EACH = ", ".join(f"bn.running_var in state/bn/~/var_ema/{x}" for x in ("average", "hidden"))
BOTH = ("bn.running_mean", "bn.running_var")
CASES = {
    "flax's own momentum": (lambda w: linen(w, 0.99), 0.1, BOTH, "jax keeps 0.99 and torch 0.9"),
    "torch's number": (lambda w: equinox(w, 0.1), 0.1, BOTH, "jax keeps 0.1 and torch 0.9"),
    "haiku's state": (lambda w: stateful(w, 0.99), 0.1, BOTH, "jax keeps 0.99 and torch 0.9"),
    "haiku's own": (lambda w: haiku(w, 0.99), 0.1, BOTH, "jax keeps 0.99 and torch 0.9"),
    "the same, in haiku": (lambda w: haiku(w, 0.9), 0.1, (), EACH),
    "torch's mean of all": (lambda w: linen(w, 0.9), None, BOTH, "jax keeps 0.9 and torch 0.5"),
    "zeros and ones": (lambda w: linen(w, 0.99), 0.1, BOTH, "jax keeps 0.99 and torch 0.9"),
    "nothing written": (lambda w: Own(w, law(1.0)), 0.1, BOTH, "jax keeps 1 and torch 0.9"),
    "the same": (lambda w: linen(w, 0.9), 0.1, (), "bn.running_var"),
    "the same, with a state": (lambda w: equinox(w, 0.7), 0.3, (), "bn.running_var"),
    "over n - 1, too": (lambda w: Own(w, law(0.9, lambda v, n: v * n / (n - 1))), 0.1, (), ""),
    "over n - 2": (lambda w: Own(w, law(0.9, lambda v, n: v * n / (n - 2))), 0.1, BOTH[1:], ""),
    "no variance": (lambda w: Own(w, law(0.9, lambda v, n: v**0.5)), 0.1, BOTH[1:], ""),
}
"""JAX's, torch's momentum, what differs, and what the cause says or, if none does, the note."""


@pytest.mark.parametrize("case", few(CASES, "flax's own momentum", "haiku's state"))
def test_what_differs_is_named_and_what_agrees_is_not(case):
    of, momentum, differ, said = CASES[case]
    torch.manual_seed(0)
    module = Module(momentum, case != "zeros and ones")
    model = of({name: x.numpy() for name, x in module.state_dict().items()})
    found = whole(parity.Pair(jax=model, torch=module, inputs={"x": (7, 3)}))
    assert are_kept(found)
    rows, notes = left_behind(found, 0, ["float64"])
    assert all(row.name.endswith(" after a run") for row in rows)
    assert tuple(dict.fromkeys(row.name.split()[0] for row in rows)) == BOTH  # haiku's, twice
    failed = [row for row in rows if not row.verdict.passes]
    assert tuple(dict.fromkeys(row.name.split()[0] for row in failed)) == differ
    sentences = {cause.sentence for row in failed for cause in row.causes}
    assert len(sentences) == bool(failed and said)
    assert all(said in sentence for sentence in sentences)
    assert [note.partition(":")[0] for note in notes] == ([] if failed or not said else [said])


class Many(nn.Module):
    def __init__(self):
        super().__init__()
        self.norms = nn.ModuleList(nn.BatchNorm1d(k) for k in range(1, 7))

    def forward(self, x):
        return torch.cat([norm(x[:, :k]) for k, norm in enumerate(self.norms, 1)], 1)


class ManyLinen(fnn.Module):
    @fnn.compact
    def __call__(self, x):
        norms = [fnn.BatchNorm(False, momentum=0.8 if k == 6 else 0.9) for k in range(1, 7)]
        return jnp.concatenate([norm(x[:, :k]) for k, norm in enumerate(norms, 1)], 1)


@pytest.mark.full
def test_each_of_many_is_compared_with_its_own():
    x = jnp.ones((7, 6))
    variables = ManyLinen().init(jax.random.key(0), x)
    pair = parity.Pair(jax=(ManyLinen(), variables), torch=Many(), inputs={"x": (7, 6)})
    rows, _ = left_behind(whole(pair), 0, ["float64"])
    assert len(rows) == 12
    failed = {row.name.split()[0]: [*row.causes] for row in rows if not row.verdict.passes}
    assert {*failed} == {"norms.5.running_mean", "norms.5.running_var"}
    assert all("jax keeps 0.8 and torch 0.9" in cause.sentence for [cause] in failed.values())


@pytest.mark.full
def test_a_check_says_it_and_marks_the_module():
    torch.manual_seed(0)
    module = Module(0.1)
    w = {name: x.numpy() for name, x in module.state_dict().items()}
    report = parity.check(
        parity.Pair(jax=linen(w, 0.99), torch=module, inputs={"x": (7, 3)}), dtypes=["float64"]
    )
    assert report.told().startswith("first in bn.running_mean after a run, and in 1 more: momentum")
    assert report.fault().startswith("fault: neither side")
    status = {part.name: part.status for part in report.sections[0].modules}
    assert status == {"": "introduced", "fc": "right", "bn": "introduced"}
    assert not are_kept(whole(parity.Pair(jax=linen(w, 0.9), torch=module.eval(), inputs=())))
