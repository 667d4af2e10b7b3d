"""Runs the example programs, and makes model directories to run them on."""

import json
import math
import os
import shutil
import struct
import subprocess
import tempfile
import time
import unittest

BINARY_DIR = os.environ["LLMCORE_BINARY_DIR"]
SOURCE_DIR = os.environ["LLMCORE_SOURCE_DIR"]
REFERENCE_DIR = os.environ.get("LLMCORE_REFERENCE_DIR", "")
SANITIZED = bool(os.environ.get("LLMCORE_SANITIZE"))
BUILTIN = os.path.join(SOURCE_DIR, "examples", "models", "abacus")
PROGRAMS = ["chat", "evaluate", "logits", "plan", "quantize", "render_chat", "tokenize"]


def path_of(program):
    folder = "benchmarks" if program.endswith("_bench") else "examples"
    return os.path.join(BINARY_DIR, folder, program)


class Result:
    def __init__(self, status, stdout, stderr, seconds):
        self.status = status
        self.stdout = stdout
        self.stderr = stderr
        self.seconds = seconds


def run(program, *arguments, stdin=b"", environment=None, timeout=120):
    """Runs a program; its output as bytes of stdout and text of stderr."""
    started = time.monotonic()
    done = subprocess.run([path_of(program), *arguments], input=stdin, capture_output=True,
                          env={**os.environ, **(environment or {})}, timeout=timeout)
    seconds = time.monotonic() - started
    return Result(done.returncode, done.stdout, done.stderr.decode(), seconds)


class ProgramTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="llmcore-test-")
        self.addCleanup(shutil.rmtree, self.folder)

    def succeed(self, program, *arguments, **options):
        result = run(program, *arguments, **options)
        self.assertEqual((result.status, result.stderr), (0, ""), f"{program} {arguments}")
        return result.stdout

    def fail_with(self, program, *arguments, says, within=2, **options):
        """Exit status 1, one sentence that says it on stderr, nothing on stdout, soon."""
        result = run(program, *arguments, **options)
        self.assertEqual(result.status, 1, f"{program} {arguments}: {result.stderr}")
        self.assertEqual(result.stdout, b"")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith(program + ": "), result.stderr)
        for part in [says] if isinstance(says, str) else says:
            self.assertIn(part, result.stderr)
        self.assertLess(result.seconds, within * (10 if SANITIZED else 1), result.stderr)
        return result.stderr

    def reference(self, *parts):
        path = os.path.join(REFERENCE_DIR, *parts)
        if not REFERENCE_DIR or not os.path.exists(path):
            self.skipTest(f"no reference data at {path}")
        return path

    def copy_of_builtin(self, name="model"):
        target = os.path.join(self.folder, name)
        shutil.copytree(BUILTIN, target)
        return target


def edit_json(path, change):
    with open(path, encoding="utf-8") as file:
        value = json.load(file)
    change(value)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


def shard(model):
    """Cuts model.safetensors in two, with an index, as large models are published."""
    path = os.path.join(model, "model.safetensors")
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = file.read()
    header.pop("__metadata__", None)
    names = sorted(header)
    weight_map = {}
    for number, part in enumerate([names[:len(names) // 2], names[len(names) // 2:]], 1):
        shard_name = f"model-{number:05}-of-00002.safetensors"
        entries, body = {}, b""
        for name in part:
            begin, end = header[name]["data_offsets"]
            entries[name] = {**header[name], "data_offsets": [len(body), len(body) + end - begin]}
            body += data[begin:end]
            weight_map[name] = shard_name
        text = json.dumps(entries).encode()
        with open(os.path.join(model, shard_name), "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text + body)
    os.remove(path)
    with open(path + ".index.json", "w", encoding="utf-8") as file:
        json.dump({"metadata": {"total_size": len(data)}, "weight_map": weight_map}, file)


def make_slow_model(folder):
    """A model of 35 million zeros, which greedily says its first token until it is stopped."""
    shutil.copytree(BUILTIN, folder)
    hidden, ffn, layers, kv = 512, 2048, 8, 256
    edit_json(os.path.join(folder, "config.json"), lambda config: config.update(
        hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=8,
        num_key_value_heads=4, head_dim=64, max_position_embeddings=8192))
    shapes = {"model.embed_tokens.weight": [512, hidden], "model.norm.weight": [hidden]}
    for layer in range(layers):
        for name, shape in {
                "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [kv, hidden],
                "self_attn.v_proj": [kv, hidden], "self_attn.o_proj": [hidden, hidden],
                "mlp.gate_proj": [ffn, hidden], "mlp.up_proj": [ffn, hidden],
                "mlp.down_proj": [hidden, ffn], "input_layernorm": [hidden],
                "post_attention_layernorm": [hidden]}.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)  # a hole reads as zeros and takes no disk
    return folder
