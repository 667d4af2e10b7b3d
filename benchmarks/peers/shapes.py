"""The shapes that llmcore_bench makes random weights of, and what a token costs in them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    name: str
    architecture: str  # as GGUF names it
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    context: int
    rope_theta: float
    tied: bool  # the head is the embedding
    qkv_bias: bool

    @property
    def layer_weights(self):
        """Elements of the linears of all layers."""
        qkv = (self.heads + 2 * self.kv_heads) * self.head_dim * self.hidden
        out = self.heads * self.head_dim * self.hidden
        return self.layers * (qkv + out + 3 * self.hidden * self.intermediate)

    @property
    def head_weights(self):
        return self.vocabulary * self.hidden

    def prompt_ops(self):
        """Additions and multiplications of the linears for a token of a prompt; attention is left out."""
        return 2 * self.layer_weights

    def generation_bytes(self, format):
        """Bytes of weights that a token of one sequence has to read."""
        return (self.layer_weights + self.head_weights) * BYTES_A_WEIGHT[format]


# llmcore's: codes, and one bf16 scale for 128 of them.
BYTES_A_WEIGHT = {"int4": 0.5 + 2 / 128, "int8": 1 + 2 / 128, "bf16": 2.0}

SHAPES = {
    shape.name: shape
    for shape in (
        Shape("llama-3.2-1b", "llama", 2048, 8192, 16, 32, 8, 64, 128256, 131072, 5e5, True, False),
        Shape("qwen2.5-0.5b", "qwen2", 896, 4864, 24, 14, 2, 64, 151936, 32768, 1e6, True, True),
        Shape("llama-3-8b", "llama", 4096, 14336, 32, 32, 8, 128, 128256, 8192, 5e5, False, False),
        # For tests.
        Shape("tiny", "llama", 256, 512, 2, 4, 2, 64, 512, 2048, 1e4, False, False),
    )
}
