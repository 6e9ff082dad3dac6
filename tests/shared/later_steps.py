"""Later mistakes of ports: samplers, optimizers, states, experts and graphs.

As further_ports.py, whose tables they are put into; written before any check was run on them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from tests.shared.further_ports import mistake, right

# --- samplers ---

NOISED = {"x": (2, 4), "w": (4, 4)}
BARS = (0.9, 0.7, 0.4)


def ddim_torch(x, w):
    bars = torch.tensor((1.0, *BARS), dtype=x.dtype)
    for i in (3, 2, 1):
        eps = torch.tanh(x @ w)
        start = (x - (1 - bars[i]).sqrt() * eps) / bars[i].sqrt()
        x = bars[i - 1].sqrt() * start + (1 - bars[i - 1]).sqrt() * eps  # <- ddim_of_this_step
    return x


def ddim_jax(wrong):
    def run(x, w):
        def step(x, both):
            bar, before = both
            eps = jnp.tanh(x @ w)
            start = (x - jnp.sqrt(1 - bar) * eps) / jnp.sqrt(bar)
            rest = bar if wrong else before
            return jnp.sqrt(before) * start + jnp.sqrt(1 - rest) * eps, None  # <- ddim_of_this_step

        bars = jnp.array(BARS)[::-1]
        return lax.scan(step, x, (bars, jnp.append(bars[1:], 1.0)))[0]

    return run


mistake("ddim_of_this_step", ddim_jax(True), ddim_torch, NOISED, r"reads|turn")
right("ddim", ddim_jax(False), ddim_torch, NOISED)


def drawn(rng):
    return {"x": rng.normal(size=(3, 4)), "eps": rng.normal(size=(3, 4)),
            "noise": rng.normal(size=(3, 4)), "t": np.array([1, 2, 3])}  # fmt: skip


BETAS = np.array([0.05, 0.1, 0.2, 0.3])


def posterior_jax(x, eps, noise, t):
    alphas = 1 - BETAS
    bars = jnp.cumprod(alphas)
    before = jnp.append(1.0, bars[:-1])
    a, bar, beta = (jnp.asarray(v)[t][:, None] for v in (alphas, bars, BETAS))
    mean = (x - beta / jnp.sqrt(1 - bar) * eps) / jnp.sqrt(a)
    var = beta * (1 - before[t][:, None]) / (1 - bar)  # <- posterior_turned_round
    return mean + jnp.sqrt(var) * noise


def posterior_torch(wrong):
    def run(x, eps, noise, t):
        beta = torch.tensor(BETAS, dtype=x.dtype)
        bar = torch.cumprod(1 - beta, 0)
        before = F.pad(bar[:-1], (1, 0), value=1.0)
        beta, bar, before = beta[t, None], bar[t, None], before[t, None]
        ratio = (1 - bar) / (1 - before) if wrong else (1 - before) / (1 - bar)
        mean = (x - beta * eps * (1 - bar).rsqrt()) * (1 - beta).rsqrt()
        return mean + (beta * ratio).sqrt() * noise  # <- posterior_turned_round

    return run


mistake("posterior_turned_round", posterior_jax, posterior_torch(True), drawn,
        r"exchanged|reads|multiplies.*divides|divides.*multiplies|another table|\[0")  # fmt: skip
right("posterior", posterior_jax, posterior_torch(False), drawn)


def kutta_jax(x, w):
    def f(x):
        return jnp.tanh(x @ w) - x

    for _ in range(2):
        a = f(x)
        b = f(x + 0.1 * a)
        c = f(x + 0.1 * a)  # <- kutta_third_of_the_first
        d = f(x + 0.2 * c)
        x = x + 0.2 / 6 * (a + 2 * b + 2 * c + d)
    return x


def kutta_torch(x, w):
    h = 0.2
    for _ in range(2):
        slopes = [torch.tanh(x @ w) - x]
        for part in (0.5, 0.5, 1.0):
            y = x + part * h * slopes[-1]  # <- kutta_third_of_the_first
            slopes.append(torch.tanh(y @ w) - y)
        x = x + h * sum(k * s for k, s in zip((1, 2, 2, 1), slopes, strict=True)) / 6
    return x


mistake("kutta_third_of_the_first", kutta_jax, kutta_torch, NOISED, r"reads")

# --- optimizers ---

STEP = {"p": (4, 3), "g": (4, 3), "m": (4, 3)}


def lion_jax(p, g, m):
    update = jnp.sign(0.5 * m + 0.5 * g)  # <- lion_of_the_new_moment
    return p - 0.01 * (update + 0.1 * p), 0.6 * m + 0.4 * g


def lion_torch(wrong):
    def run(p, g, m):
        new = torch.lerp(g, m, 0.6)
        update = torch.lerp(new if wrong else m, g, 0.5).sign()  # <- lion_of_the_new_moment
        return p * (1 - 0.01 * 0.1) - 0.01 * update, new

    return run


mistake("lion_of_the_new_moment", lion_jax, lion_torch(True), STEP, r"reads")
right("lion", lion_jax, lion_torch(False), STEP)


def squares(rng):
    positive = {name: rng.uniform(0.5, 1.5, (4, 3)) for name in "vu"}
    return {**{name: rng.normal(size=(4, 3)) for name in "pgm"}, **positive}


def lamb_torch(p, g, m, v, u):
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g.square()
    step = m / (v.sqrt() + 1e-6) + 0.1 * p
    trust = p.norm() / step.norm()  # <- lamb_trust_before_the_decay
    return p - 0.05 * trust * step


def lamb_jax(wrong):
    def run(p, g, m, v, u):
        m, v = m + 0.1 * (g - m), v + 0.01 * (g * g - v)
        bare = m / (jnp.sqrt(v) + 1e-6)
        step = bare + 0.1 * p
        size = jnp.linalg.norm(bare if wrong else step)  # <- lamb_trust_before_the_decay
        return p - 0.05 * jnp.linalg.norm(p) / size * step

    return run


mistake("lamb_trust_before_the_decay", lamb_jax(True), lamb_torch, squares, r"reads|before|after")
right("lamb", lamb_jax(False), lamb_torch, squares)


def centred_torch(p, g, m, v, u):
    m, v = 0.9 * m + 0.1 * g, 3 + 0.9 * v + 0.1 * g * g
    return p - 0.01 * g / ((v - m * m).sqrt() + 1e-4), m  # <- centred_not


def centred_jax(p, g, m, v, u):
    m, v = 0.9 * m + 0.1 * g, 3 + 0.9 * v + 0.1 * g**2
    return p - 0.01 * g / (jnp.sqrt(v) + 1e-4), m  # <- centred_not


mistake("centred_not", centred_jax, centred_torch, squares, r"only torch subtracts")


def ams_torch(p, g, m, v, u):
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    most = torch.maximum(u, v)  # <- ams_maximum_of_the_corrected
    return p - 0.01 * (m / 0.19) / ((most / 0.0199).sqrt() + 1e-4), most


def ams_jax(p, g, m, v, u):
    m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g
    most = jnp.maximum(u, v / (1 - 0.99**2))  # <- ams_maximum_of_the_corrected
    return p - 0.01 * (m / (1 - 0.9**2)) / (jnp.sqrt(most) + 1e-4), jnp.maximum(u, v)


mistake("ams_maximum_of_the_corrected", ams_jax, ams_torch, squares, r"before|after")


def factored(rng):
    return {"p": rng.normal(size=(4, 3)), "g": rng.normal(size=(4, 3)),
            "r": rng.uniform(0.5, 1.5, 4), "c": rng.uniform(0.5, 1.5, 3)}  # fmt: skip


def factored_torch(p, g, r, c):
    r = 0.9 * r + 0.1 * g.square().mean(-1)
    c = 0.9 * c + 0.1 * g.square().mean(-2)
    scale = torch.outer(r / r.mean(), c).rsqrt()  # <- factored_by_the_columns
    return p - 0.01 * g * scale, r, c


def factored_jax(p, g, r, c):
    square = g * g
    r, c = 0.9 * r + 0.1 * square.mean(1), 0.9 * c + 0.1 * square.mean(0)
    scale = r[:, None] * c / c.mean()  # <- factored_by_the_columns
    return p - 0.01 * g / jnp.sqrt(scale), r, c


mistake("factored_by_the_columns", factored_jax, factored_torch, factored, r"reads|divides")

# --- states, experts and graphs ---

STATES = {"x": (5, 2, 3), "wa": (3, 3), "wi": (3, 3), "decay": (3,)}


def gated_state_torch(x, wa, wi, decay):
    h, out = x.new_zeros(2, 3), []
    for xt in x:
        a = torch.exp(-8 * F.softplus(decay) * torch.sigmoid(xt @ wa))
        h = (
            a * h + torch.sqrt(1 - a * a) * torch.sigmoid(xt @ wi) * xt
        )  # <- gated_state_not_squared
        out.append(h)
    return torch.stack(out)


def gated_state_jax(wrong):
    def run(x, wa, wi, decay):
        log_a = -8 * jax.nn.softplus(decay) * jax.nn.sigmoid(x @ wa)
        rest = 1 - jnp.exp(log_a if wrong else 2 * log_a)  # <- gated_state_not_squared
        taken = jnp.sqrt(rest) * x * jax.nn.sigmoid(x @ wi)

        def step(h, both):
            h = both[0] * h + both[1]
            return h, h

        return lax.scan(step, jnp.zeros((2, 3)), (jnp.exp(log_a), taken))[1]

    return run


mistake("gated_state_not_squared", gated_state_jax(True), gated_state_torch, STATES,
        r"only torch (squares|multiplies|takes)|square|2 x")  # fmt: skip
right("gated_state", gated_state_jax(False), gated_state_torch, STATES)
DELTA = {"k": (4, 3), "v": (4, 3), "q": (4, 3), "b": (4, 1)}


def delta_jax(k, v, q, b):
    def step(s, now):
        k, v, q, b = now
        kept = 0.9 * s
        s = kept + jnp.outer(jax.nn.sigmoid(b) * (v - kept @ k), k)  # <- delta_of_the_undecayed
        return s, s @ q

    return lax.scan(step, jnp.zeros((3, 3)), (k, v, q, b))[1]


def delta_torch(wrong):
    def run(k, v, q, b):
        s, out = k.new_zeros(3, 3), []
        for t in range(4):
            seen = (s if wrong else 0.9 * s) @ k[t]
            s = (
                0.9 * s + b[t].sigmoid() * (v[t] - seen)[:, None] * k[t]
            )  # <- delta_of_the_undecayed
            out.append(s @ q[t])
        return torch.stack(out)

    return run


mistake("delta_of_the_undecayed", delta_jax, delta_torch(True), DELTA,
        r"reads|only jax multiplies|before|after")  # fmt: skip
right("delta", delta_jax, delta_torch(False), DELTA)
EXPERTS = {"x": (5, 3), "gate": (3, 4), "w": (4, 3, 3)}


def experts_torch(x, gate, w):
    top, which = (x @ gate).topk(2, -1)
    share = top.softmax(-1)  # <- experts_share_of_all
    made = torch.einsum("nd,nkde->nke", x, w[which]).relu()
    return (share[..., None] * made).sum(1)


def experts_jax(wrong):
    def run(x, gate, w):
        scores = x @ gate
        share, which = lax.top_k(jax.nn.softmax(scores) if wrong else scores, 2)
        share = share if wrong else jax.nn.softmax(share)
        made = jax.nn.relu(jax.vmap(lambda row, k: row @ w[k])(x, which))
        return jnp.einsum("nk,nke->ne", share, made)  # <- experts_share_of_all

    return run


mistake("experts_share_of_all", experts_jax(True), experts_torch, EXPERTS,
        r"(softmax|top).*(before|after)|only torch divides|divides by the sum")  # fmt: skip
right("experts", experts_jax(False), experts_torch, EXPERTS)


def graph(rng):
    edges = np.array([[0, 1, 2, 3, 3, 4, 0], [1, 2, 0, 0, 1, 2, 4]])
    return {"x": rng.normal(size=(5, 3)), "w": rng.normal(size=(3, 2)),
            "a": rng.normal(size=(4,)), "edges": edges}  # fmt: skip


def normalised_torch(x, w, a, edges):
    loops = torch.arange(5)
    source, target = torch.cat([edges, torch.stack([loops, loops])], 1)
    degree = torch.zeros(5, dtype=x.dtype).index_add_(0, target, torch.ones(12, dtype=x.dtype))
    scale = degree.rsqrt()
    h = (x @ w)[source] * (scale[source] * scale[target])[:, None]  # <- graph_by_one_degree
    return torch.zeros(5, 2, dtype=x.dtype).index_add(0, target, h).relu()


def normalised_jax(wrong):
    def run(x, w, a, edges):
        source, target = jnp.concatenate([edges, jnp.tile(jnp.arange(5), (2, 1))], 1)
        scale = jax.ops.segment_sum(jnp.ones(12), target, 5) ** -0.5
        left = scale[target if wrong else source]
        h = (x @ w)[source] * (left * scale[target])[:, None]  # <- graph_by_one_degree
        return jax.nn.relu(jax.ops.segment_sum(h, target, 5))

    return run


mistake("graph_by_one_degree", normalised_jax(True), normalised_torch, graph, r"reads|takes|\[")
right("graph_normalised", normalised_jax(False), normalised_torch, graph)


def attended_jax(x, w, a, edges):
    source, target = edges
    h = x @ w
    scores = jax.nn.leaky_relu(h[source] @ a[:2] + h[target] @ a[2:], 0.2)
    weights = jnp.exp(scores)
    total = jax.ops.segment_sum(weights, target, 5)[target]  # <- graph_softmax_over_senders
    return jax.ops.segment_sum((weights / total)[:, None] * h[source], target, 5)


def attended_torch(wrong):
    def run(x, w, a, edges):
        source, target = edges
        h = x @ w
        both = torch.cat([h[source], h[target]], 1)
        weights = F.leaky_relu(both @ a, 0.2).exp()
        to = source if wrong else target
        total = weights.new_zeros(5).scatter_add(0, to, weights)  # <- graph_softmax_over_senders
        weights = weights / total[to]  # <- graph_softmax_over_senders
        return h.new_zeros(5, 2).index_add(0, target, weights[:, None] * h[source])

    return run


mistake("graph_softmax_over_senders", attended_jax, attended_torch(True), graph, r"reads|takes|\[")
right("graph_attention", attended_jax, attended_torch(False), graph)
