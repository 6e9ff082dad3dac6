"""A small ResNet of basic blocks in torch and in flax NNX, batch norm on its running statistics.

torch's images are (batch, channels, height, width), flax's have the channels last.
"""

import jax.numpy as jnp
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import parity

CHANNELS, CLASSES = (4, 8), 5


class BasicBlock(nn.Module):
    """Two convolutions, and what goes in added to what comes out."""

    def __init__(self, inner, outer, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.downsample = None
        if stride > 1:
            conv = nn.Conv2d(inner, outer, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(outer))

    def forward(self, x):
        short = x if self.downsample is None else self.downsample(x)
        x = F.silu(self.bn1(self.conv1(x)))
        return F.silu(self.bn2(self.conv2(x)) + short)


class ResNet(nn.Module):
    """Images to logits. Smooth activations: no kink is met by accident."""

    def __init__(self):
        super().__init__()
        first, second = CHANNELS
        self.conv1 = nn.Conv2d(3, first, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.layer1 = BasicBlock(first, first, 1)
        self.layer2 = BasicBlock(first, second, 2)
        self.fc = nn.Linear(second, CLASSES)

    def forward(self, x):
        x = F.silu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        return self.fc(x.mean((2, 3)))


def conv(inner, outer, size, stride, rngs):
    """Return a convolution padded as torch's is: SAME pads a stride of 2 otherwise."""
    pad = [(size // 2, size // 2)] * 2
    return nnx.Conv(inner, outer, (size, size), stride, padding=pad, use_bias=False, rngs=rngs)


class JaxBlock(nnx.Module):
    """The same block."""

    def __init__(self, inner, outer, stride, rngs):
        self.conv1 = conv(inner, outer, 3, stride, rngs)
        self.bn1 = nnx.BatchNorm(outer, momentum=0.9, rngs=rngs)
        self.conv2 = conv(outer, outer, 3, 1, rngs)
        self.bn2 = nnx.BatchNorm(outer, momentum=0.9, rngs=rngs)
        self.short = nnx.data(None)
        if stride > 1:
            norm = nnx.BatchNorm(outer, momentum=0.9, rngs=rngs)
            self.short = nnx.List([conv(inner, outer, 1, stride, rngs), norm])

    def __call__(self, x):
        short = x
        if self.short is not None:
            short = self.short[1](self.short[0](x))
        x = nnx.silu(self.bn1(self.conv1(x)))
        return nnx.silu(self.bn2(self.conv2(x)) + short)


class JaxResNet(nnx.Module):
    """The same model; images come as torch has them."""

    def __init__(self, rngs):
        first, second = CHANNELS
        self.conv1 = conv(3, first, 3, 1, rngs)
        self.bn1 = nnx.BatchNorm(first, momentum=0.9, rngs=rngs)
        self.layer1 = JaxBlock(first, first, 1, rngs)
        self.layer2 = JaxBlock(first, second, 2, rngs)
        self.fc = nnx.Linear(second, CLASSES, rngs=rngs)

    def __call__(self, x):
        x = jnp.moveaxis(x, 1, -1)
        x = nnx.silu(self.bn1(self.conv1(x)))
        x = self.layer2(self.layer1(x))
        return self.fc(x.mean((1, 2)))


def load(model, module):
    """Copy a torch module's weights into the NNX model, part by part."""
    if isinstance(model, nnx.Conv):
        model.kernel[...] = module.weight.detach().permute(2, 3, 1, 0).numpy()
    elif isinstance(model, nnx.BatchNorm):
        model.scale[...] = module.weight.detach().numpy()
        model.bias[...] = module.bias.detach().numpy()
        model.mean[...] = module.running_mean.numpy()
        model.var[...] = module.running_var.numpy()
    elif isinstance(model, nnx.Linear):
        model.kernel[...] = module.weight.detach().T.numpy()
        model.bias[...] = module.bias.detach().numpy()
    elif isinstance(model, JaxResNet):
        for name in ("conv1", "bn1", "layer1", "layer2", "fc"):
            load(getattr(model, name), getattr(module, name))
    else:
        for name in ("conv1", "bn1", "conv2", "bn2"):
            load(getattr(model, name), getattr(module, name))
        for ours, theirs in zip(model.short or (), module.downsample or (), strict=True):
            load(ours, theirs)


torch.manual_seed(0)
module = ResNet()
module(torch.randn(16, 3, 8, 8))  # running statistics that are not 0 and 1
module.eval()
model = JaxResNet(nnx.Rngs(0))
load(model, module)
model.eval()

resnet = parity.Pair(jax=model, torch=module, inputs={"x": (2, 3, 6, 6)})
