"""A notebook as a learner writes it, in torch and in JAX, and one mistake in each of its lines."""

TORCH = """
import torch
import torch.nn.functional as F

g = torch.Generator().manual_seed(3)
n, vocab, embd, block, hidden = 7, 11, 3, 2, 9
C = torch.randn((vocab, embd), generator=g)
W1 = torch.randn((embd * block, hidden), generator=g) * 0.4
b1 = torch.randn(hidden, generator=g) * 0.1
W2 = torch.randn((hidden, vocab), generator=g) * 0.2
b2 = torch.randn(vocab, generator=g) * 0.1
bngain = torch.randn((1, hidden), generator=g) * 0.1 + 1.0
bnbias = torch.randn((1, hidden), generator=g) * 0.1
Xb = torch.randint(0, vocab, (n, block), generator=g)
Yb = torch.randint(0, vocab, (n,), generator=g)
for p in [C, W1, b1, W2, b2, bngain, bnbias]:
    p.requires_grad = True

emb = C[Xb]
embcat = emb.view(n, -1)
hprebn = embcat @ W1 + b1
bnmeani = 1/n*hprebn.sum(0, keepdim=True)
bndiff = hprebn - bnmeani
bndiff2 = bndiff**2
bnvar = 1/(n-1)*bndiff2.sum(0, keepdim=True)
bnvar_inv = (bnvar + 1e-5)**-0.5
bnraw = bndiff * bnvar_inv
hpreact = bngain * bnraw + bnbias
h = torch.tanh(hpreact)
logits = h @ W2 + b2
logit_maxes = logits.max(1, keepdim=True).values
norm_logits = logits - logit_maxes
counts = norm_logits.exp()
counts_sum = counts.sum(1, keepdim=True)
counts_sum_inv = counts_sum**-1
probs = counts * counts_sum_inv
logprobs = probs.log()
loss = -logprobs[range(n), Yb].mean()
for t in [logprobs, probs, counts, counts_sum, counts_sum_inv, norm_logits, logit_maxes, logits, h,
          hpreact, bnraw, bnvar_inv, bnvar, bndiff2, bndiff, hprebn, bnmeani, embcat, emb]:
    t.retain_grad()
loss.backward()
"""

TORCH_BACKWARD = """
dlogprobs = torch.zeros_like(logprobs)
dlogprobs[range(n), Yb] = -1.0/n
dprobs = (1.0 / probs) * dlogprobs
dcounts_sum_inv = (counts * dprobs).sum(1, keepdim=True)
dcounts = counts_sum_inv * dprobs
dcounts_sum = (-counts_sum**-2) * dcounts_sum_inv
dcounts += torch.ones_like(counts) * dcounts_sum
dnorm_logits = counts * dcounts
dlogits = dnorm_logits.clone()
dlogit_maxes = (-dnorm_logits).sum(1, keepdim=True)
dlogits += F.one_hot(logits.max(1).indices, num_classes=vocab) * dlogit_maxes
dh = dlogits @ W2.T
dW2 = h.T @ dlogits
db2 = dlogits.sum(0)
dhpreact = (1.0 - h**2) * dh
dbngain = (bnraw * dhpreact).sum(0, keepdim=True)
dbnraw = bngain * dhpreact
dbnbias = dhpreact.sum(0, keepdim=True)
dbndiff = bnvar_inv * dbnraw
dbnvar_inv = (bndiff * dbnraw).sum(0, keepdim=True)
dbnvar = (-0.5*(bnvar + 1e-5)**-1.5) * dbnvar_inv
dbndiff2 = (1.0/(n-1))*torch.ones_like(bndiff2) * dbnvar
dbndiff += (2*bndiff) * dbndiff2
dhprebn = dbndiff.clone()
dbnmeani = (-dbndiff).sum(0)
dbnmeani = dbnmeani.view(1, -1)
dhprebn += 1.0/n * (torch.ones_like(hprebn) * dbnmeani)
dembcat = dhprebn @ W1.T
dW1 = embcat.T @ dhprebn
db1 = dhprebn.sum(0)
demb = dembcat.view(emb.shape)
dC = torch.zeros_like(C)
for k in range(n):
    for j in range(block):
        dC[Xb[k, j]] += demb[k, j]
"""

JAX = (
    TORCH[: TORCH.index("for p in [C")].replace("\nimport torch", "\nimport torch", 1)
    + """
import jax
import jax.numpy as jnp
C, W1, b1, W2, b2, bngain, bnbias, Xb, Yb = (
    jnp.asarray(x.numpy()) for x in (C, W1, b1, W2, b2, bngain, bnbias, Xb, Yb)
)
"""
    + TORCH[TORCH.index("emb = C[Xb]") : TORCH.index("for t in [")]
    .replace("keepdim=True).values", "keepdim=True)")
    .replace("keepdim", "keepdims")
    .replace("emb.view(", "emb.reshape(")
    .replace("torch.tanh(", "jnp.tanh(")
    .replace("norm_logits.exp()", "jnp.exp(norm_logits)")
    .replace("probs.log()", "jnp.log(probs)")
    .replace("range(n)", "jnp.arange(n)")
)

MISTAKES = {
    "logprobs": (
        "= -1.0/n",
        "= -1.0",
        "factor of n|times n|n times|n = 7",
    ),
    "probs": (
        "(1.0 / probs) * dlogprobs",
        "probs * dlogprobs",
        "probs",
    ),
    "counts_sum_inv": (
        "(counts * dprobs).sum(1, keepdim=True)",
        "(counts * dprobs).sum(1)",
        "shape",
    ),
    "counts_sum": (
        "(-counts_sum**-2)",
        "(counts_sum**-2)",
        "-1 times|minus",
    ),
    "counts": (
        "dcounts += torch.ones_like(counts) * dcounts_sum",
        "",
        "counts_sum",
    ),
    "norm_logits": (
        "counts * dcounts\n",
        "norm_logits * dcounts\n",
        "norm_logits",
    ),
    "logit_maxes": (
        "(-dnorm_logits).sum",
        "(-dcounts).sum",
        "counts",
    ),
    "logits": (
        "dlogits += F.one_hot(logits.max(1).indices",
        "dlogits = F.one_hot(logits.max(1).indices",
        "norm_logits|path",
    ),
    "h": (
        "dlogits @ W2.T",
        "dlogits @ W2.reshape(vocab, hidden)",
        "transpos|reshape|view|W2",
    ),
    "W2": (
        "h.T @ dlogits",
        "hpreact.T @ dlogits",
        "hpreact",
    ),
    "b2": (
        "db2 = dlogits.sum(0)",
        "db2 = dlogits.sum(1)",
        "axis|shape",
    ),
    "hpreact": (
        "(1.0 - h**2)",
        "(1.0 - h)**2",
        "1 [-+] h",
    ),
    "bngain": (
        "(bnraw * dhpreact).sum(0, keepdim=True)",
        "(bndiff * dhpreact).sum(0, keepdim=True)",
        "bndiff",
    ),
    "bnbias": (
        "dbnbias = dhpreact.sum(0, keepdim=True)",
        "dbnbias = dhpreact.mean(0, keepdim=True)",
        "1/n|mean",
    ),
    "bnraw": (
        "dbnraw = bngain * dhpreact",
        "dbnraw = dhpreact / bngain",
        "bngain",
    ),
    "bnvar_inv": (
        "(bndiff * dbnraw).sum(0, keepdim=True)",
        "bndiff * dbnraw",
        "sum",
    ),
    "bnvar": (
        "**-1.5",
        "**-0.5",
        "power|exponent|1.5|bnvar_inv",
    ),
    "bndiff2": (
        "(1.0/(n-1))",
        "(1.0/n)",
        "n-1|\\\\(n-1\\\\)/n",
    ),
    "bndiff": (
        "(2*bndiff) * dbndiff2",
        "bndiff * dbndiff2",
        "2|half|1/2",
    ),
    "bnmeani": (
        "(-dbndiff).sum(0)",
        "(-dbndiff).mean(0)",
        "1/n|mean",
    ),
    "hprebn": (
        "dhprebn += 1.0/n *",
        "dhprebn += 1.0 *",
        "mean|n",
    ),
    "embcat": (
        "dhprebn @ W1.T",
        "dhprebn @ W1.view(hidden, embd * block)",
        "transpos|reshape|view|W1",
    ),
    "W1": (
        "embcat.T @ dhprebn",
        "embcat.T @ dbndiff",
        "bndiff",
    ),
    "b1": (
        "db1 = dhprebn.sum(0)",
        "db1 = dbndiff.sum(0)",
        "gradient of bndiff summed",
    ),
    "emb": (
        "dembcat.view(emb.shape)",
        "dembcat.view(n, embd, block).transpose(1, 2)",
        "order|view|axes|transpos",
    ),
    "C": (
        "dC[Xb[k, j]] += demb[k, j]",
        "dC[Xb[k, j]] = demb[k, j]",
        "set|last",
    ),
}
"""{tensor: (line, with a mistake, words of which one must be said)}."""
