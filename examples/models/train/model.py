"""The Llama decoder in PyTorch, and llmcore's int4 and int8 arithmetic as it is done in training."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn


@dataclasses.dataclass
class Config:
    vocab_size: int = 512
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    rope_theta: float = 10000.0
    rms_norm_eps: float = 1e-5
    max_position_embeddings: int = 1024

    def to_json(self, tokenizer):
        return {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": tokenizer.special["<|bos|>"],
            "eos_token_id": tokenizer.special["<|end|>"],
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": False,
            "model_type": "llama",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pad_token_id": tokenizer.special["<|pad|>"],
            "pretraining_tp": 1,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": None,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": True,
            "torch_dtype": "bfloat16",
            "use_cache": True,
            "vocab_size": self.vocab_size,
        }

    @classmethod
    def from_json(cls, values):
        return cls(**{f.name: values[f.name] for f in dataclasses.fields(cls)})


def bf16(x):
    return x.to(torch.bfloat16).float()


def int4(weight):
    """Blocks of 128 along the input, scale bf16(absmax / 7); a value is q * scale, rounded to bf16."""
    blocks = bf16(weight).view(-1, 128)
    absmax = blocks.abs().amax(dim=1, keepdim=True)
    absmax = torch.where(absmax == 0, torch.ones_like(absmax), absmax)
    scale = bf16(absmax / 7)
    q = torch.round(bf16(blocks / scale)).clamp(-8, 7)
    return bf16(q * scale).view_as(weight)


def int8_rows(x):
    """Activations in blocks of 128, scale absmax / 127."""
    blocks = x.reshape(*x.shape[:-1], -1, 128)
    scale = blocks.abs().amax(dim=-1, keepdim=True).clamp_min(1e-12) / 127
    return (torch.round(blocks / scale).clamp(-127, 127) * scale).view_as(x)


@dataclasses.dataclass
class Arithmetic:
    """What the weights and activations are rounded to. f32 is the master copy."""

    weights: str = "f32"  # f32, bf16, int4
    embedding: str = "f32"
    activations: str = "f32"  # f32, int8


def rounded(weight, kind):
    """The rounded value forwards, the identity backwards."""
    if kind == "f32":
        return weight
    with torch.no_grad():
        value = int4(weight) if kind == "int4" else bf16(weight)
    return weight + (value - weight).detach() if weight.requires_grad else value


class Llama(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = self.config = config
        q, kv = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
        shapes = {
            "self_attn.q_proj": (q, c.hidden_size),
            "self_attn.k_proj": (kv, c.hidden_size),
            "self_attn.v_proj": (kv, c.hidden_size),
            "self_attn.o_proj": (c.hidden_size, q),
            "mlp.gate_proj": (c.intermediate_size, c.hidden_size),
            "mlp.up_proj": (c.intermediate_size, c.hidden_size),
            "mlp.down_proj": (c.hidden_size, c.intermediate_size),
        }
        # Named as in the checkpoint, with '/' for '.', which PyTorch does not take in a name.
        self.weights = nn.ParameterDict()
        self.add("model.embed_tokens", torch.randn(c.vocab_size, c.hidden_size) * c.hidden_size**-0.5)
        self.add("model.norm", torch.ones(c.hidden_size))
        for i in range(c.num_hidden_layers):
            for name, shape in shapes.items():
                std = shape[1] ** -0.5
                if name.endswith(("o_proj", "down_proj")):
                    std /= (2 * c.num_hidden_layers) ** 0.5
                self.add(f"model.layers.{i}.{name}", torch.randn(shape) * std)
            for name in ("input_layernorm", "post_attention_layernorm"):
                self.add(f"model.layers.{i}.{name}", torch.ones(c.hidden_size))
        angles = torch.outer(
            torch.arange(c.max_position_embeddings).float(),
            1.0 / c.rope_theta ** (torch.arange(0, c.head_dim, 2).float() / c.head_dim),
        )
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        self.arithmetic = Arithmetic()
        self.ready = {}

    def add(self, name, value):
        self.weights[(name + ".weight").replace(".", "/")] = nn.Parameter(value)

    def state(self):
        return {name.replace("/", "."): p.detach() for name, p in self.weights.items()}

    def load_state(self, tensors):
        for name, p in self.weights.items():
            p.data.copy_(tensors[name.replace("/", ".")])

    def prepare(self, arithmetic):
        """Rounds all weights once, for a training step or for many steps of decoding."""
        self.arithmetic = arithmetic
        self.ready = {}
        for name, p in self.weights.items():
            kind = arithmetic.weights
            if "embed_tokens" in name:
                kind = arithmetic.embedding
            elif p.dim() == 1 and kind == "int4":
                kind = "bf16"
            self.ready[name.replace("/", ".").removesuffix(".weight")] = rounded(p, kind)

    def linear(self, x, *names):
        """Several projections of one input are one product."""
        if self.arithmetic.activations == "int8":
            x = x + (int8_rows(x.detach()) - x.detach())
        if len(names) == 1:
            return F.linear(x, self.ready[names[0]])
        weights = [self.ready[n] for n in names]
        return F.linear(x, torch.cat(weights)).split([w.shape[0] for w in weights], dim=-1)

    def norm(self, x, name):
        return F.rms_norm(x, (x.shape[-1],), self.ready[name], self.config.rms_norm_eps)

    def rope(self, x, start):
        cos, sin = (t[start : start + x.shape[-2]] for t in (self.cos, self.sin))
        half = x.shape[-1] // 2
        return x * cos + torch.cat((-x[..., half:], x[..., :half]), dim=-1) * sin

    def forward(self, ids, cache=None, rows=None):
        """ids [batch, time] -> logits [batch, time, vocab], or of the chosen flat rows alone."""
        c = self.config
        batch, time = ids.shape
        start = cache[0][0].shape[2] if cache else 0
        x = F.embedding(ids, self.ready["model.embed_tokens"])
        for i in range(c.num_hidden_layers):
            layer = f"model.layers.{i}."
            h = self.norm(x, layer + "input_layernorm")
            q, k, v = (
                t.view(batch, time, -1, c.head_dim).transpose(1, 2)
                for t in self.linear(h, *(f"{layer}self_attn.{p}_proj" for p in "qkv"))
            )
            q, k = self.rope(q, start), self.rope(k, start)
            if cache is not None:
                if start:
                    k, v = torch.cat((cache[i][0], k), dim=2), torch.cat((cache[i][1], v), dim=2)
                    cache[i] = (k, v)
                else:
                    cache.append((k, v))
            groups = c.num_attention_heads // c.num_key_value_heads
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
            h = F.scaled_dot_product_attention(q, k, v, is_causal=time > 1)
            h = h.transpose(1, 2).reshape(batch, time, -1)
            x = x + self.linear(h, layer + "self_attn.o_proj")
            h = self.norm(x, layer + "post_attention_layernorm")
            gate, up = self.linear(h, layer + "mlp.gate_proj", layer + "mlp.up_proj")
            x = x + self.linear(F.silu(gate) * up, layer + "mlp.down_proj")
        x = x.flatten(0, 1)[rows] if rows is not None else x
        return self.linear(self.norm(x, "model.norm"), "model.embed_tokens")

    @torch.no_grad()
    def generate(self, prompts, end, limit=400):
        """Greedy replies to prompts of any lengths; prompts of one length are decoded together."""
        replies = [None] * len(prompts)
        by_length = {}
        for i, prompt in enumerate(prompts):
            by_length.setdefault(len(prompt), []).append(i)
        for length, members in by_length.items():
            cache, live = [], list(members)
            out = {i: [] for i in members}
            ids = torch.tensor([prompts[i] for i in members])
            for _ in range(min(limit, self.config.max_position_embeddings - length)):
                chosen = self.forward(ids, cache)[:, -1].argmax(-1)
                keep = []
                for row, token in enumerate(chosen.tolist()):
                    out[live[row]].append(token)
                    if token != end:
                        keep.append(row)
                if not keep:
                    break
                if len(keep) < len(live):
                    live = [live[r] for r in keep]
                    cache = [(k[keep], v[keep]) for k, v in cache]
                ids = chosen[keep, None]
            for i in members:
                replies[i] = out[i]
        return replies
