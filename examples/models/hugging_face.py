"""Hugging Face's torch and Flax twins in tiny configurations; its own converter moves the weights.

Needs a `transformers` that still has Flax: `pip install -c constraints.txt -e ".[hugging-face]"`.
"""

import numpy as np
import torch
import transformers as hf
from transformers.modeling_flax_pytorch_utils import convert_pytorch_state_dict_to_flax

import parity

IDS = np.random.default_rng(0).integers(3, 50, (2, 7))
MASK = np.array([[1] * 7, [1] * 5 + [0] * 2])
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"intermediate_size": 64}
WORDS = {"vocab_size": 50, "max_position_embeddings": 16}


def twins(torch_class, flax_class, config, **inputs):
    """Return a pair of the two classes, with the same weights."""
    torch.manual_seed(0)
    module, flax = torch_class(config).eval(), flax_class(config)
    params = convert_pytorch_state_dict_to_flax(module.state_dict(), flax)
    model = parity.Model(lambda params, *given: flax(*given, params=params), params)
    return parity.Pair(jax=model, torch=module, inputs=inputs, pick="last_hidden_state")


bert = twins(
    hf.BertModel,
    hf.FlaxBertModel,
    hf.BertConfig(**SIZES, **WORDS),
    input_ids=IDS,
    attention_mask=MASK,
)
gpt2 = twins(
    hf.GPT2Model,
    hf.FlaxGPT2Model,
    hf.GPT2Config(vocab_size=50, n_positions=16, n_embd=32, n_layer=2, n_head=4),
    input_ids=IDS,
)
llama = twins(hf.LlamaModel, hf.FlaxLlamaModel, hf.LlamaConfig(**SIZES, **WORDS), input_ids=IDS)
vit = twins(
    hf.ViTModel,
    hf.FlaxViTModel,
    hf.ViTConfig(**SIZES, image_size=16, patch_size=4),
    pixel_values=(2, 3, 16, 16),
)
