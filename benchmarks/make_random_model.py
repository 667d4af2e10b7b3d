"""Writes a model directory of a published shape with random bf16 weights, to time quantizing and loading
where the weights themselves are not at hand. Standard library only.

    make_random_model.py llama-3-8b DIRECTORY [--tokenizer DIRECTORY_WITH_TOKENIZER_JSON]
"""
import argparse
import array
import json
import pathlib
import random
import shutil
import struct

SHAPES = {
    # name: architecture, hidden, intermediate, layers, heads, kv heads, head size, vocabulary, rope theta, tied
    "qwen2.5-0.5b": ("Qwen2", 896, 4864, 24, 14, 2, 64, 151936, 1e6, True),
    "llama-3.2-1b": ("Llama", 2048, 8192, 16, 32, 8, 64, 128256, 5e5, True),
    "llama-3-8b": ("Llama", 4096, 14336, 32, 32, 8, 128, 128256, 5e5, False),
}
# An odd number of values of about the spread of trained weights; every row begins elsewhere in them.
BLOCK_VALUES = (4 << 20) - 3
SPREAD = 0.02


def tensors(architecture, hidden, inner, layers, heads, kv_heads, head_dim, vocabulary, tied):
    """Names and shapes in the order of the file."""
    yield "model.embed_tokens.weight", [vocabulary, hidden]
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        yield prefix + "input_layernorm.weight", [hidden]
        for name, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            yield f"{prefix}self_attn.{name}_proj.weight", [rows * head_dim, hidden]
            if architecture == "Qwen2":
                yield f"{prefix}self_attn.{name}_proj.bias", [rows * head_dim]
        yield prefix + "self_attn.o_proj.weight", [hidden, heads * head_dim]
        yield prefix + "post_attention_layernorm.weight", [hidden]
        yield prefix + "mlp.gate_proj.weight", [inner, hidden]
        yield prefix + "mlp.up_proj.weight", [inner, hidden]
        yield prefix + "mlp.down_proj.weight", [hidden, inner]
    yield "model.norm.weight", [hidden]
    if not tied:
        yield "lm_head.weight", [vocabulary, hidden]


def random_block():
    source = random.Random(1)
    # The upper half of an f32 is the bf16 value cut short; a table of 64K values is drawn from.
    table = [struct.unpack("<I", struct.pack("<f", source.gauss(0, SPREAD)))[0] >> 16 for _ in range(1 << 16)]
    picks = array.array("H")
    picks.frombytes(source.randbytes(2 * BLOCK_VALUES))
    return array.array("H", map(table.__getitem__, picks)).tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=sorted(SHAPES))
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="copy tokenizer files from there")
    arguments = parser.parse_args()
    architecture, hidden, inner, layers, heads, kv_heads, head_dim, vocabulary, theta, tied = SHAPES[arguments.shape]
    arguments.directory.mkdir(parents=True)
    config = {
        "architectures": [architecture + "ForCausalLM"], "model_type": architecture.lower(), "hidden_act": "silu",
        "hidden_size": hidden, "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
        "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": vocabulary, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 8192, "rope_theta": theta, "tie_word_embeddings": tied, "torch_dtype": "bfloat16",
    }
    (arguments.directory / "config.json").write_text(json.dumps(config, indent=2))
    if arguments.tokenizer:
        for path in arguments.tokenizer.glob("tokenizer*"):
            shutil.copy(path, arguments.directory)

    header, end = {}, 0
    for name, shape in tensors(architecture, hidden, inner, layers, heads, kv_heads, head_dim, vocabulary, tied):
        begin, count = end, 1
        for dimension in shape:
            count *= dimension
        end += 2 * count
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    block = random_block()
    with open(arguments.directory / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        left = end
        while left > 0:
            left -= file.write(block[:left])
    print(f"{arguments.directory}: {end / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
