"""What is compared: jobs, the cells of the table that each fills, and the targets."""

from dataclasses import dataclass, field

from peers.shapes import SHAPES

PROMPT, GENERATION = 512, 128  # tokens, of one sequence
BATCH_PROMPT, BATCH_GENERATION = 64, 32  # of each of several
LONG, SHORT = 8192, 128  # contexts that llmcore is compared with itself at

# Ratios to the best peer, by weights and cell.
RATIOS = {
    ("int4", "prompt"): 1.4, ("int4", "generation"): 1.1, ("int4", "batch"): 2.5,
    ("int8", "prompt"): 1.3, ("int8", "generation"): 1.1,
    ("bf16", "prompt"): 1.2, ("bf16", "generation"): 1.0,
}
# Of llmcore at a context of LONG to llmcore at the start of one.
LONG_RATIOS = {"prompt": 0.6, "generation": 0.7}
MEMORY_SLACK = 60e6  # bytes over weights and KV cache


@dataclass(frozen=True)
class Job:
    """One measurement of every competitor in turn."""

    shape: str
    weights: str  # "int4", "int8", "bf16"
    kind: str  # "single", "batch", "context"
    threads: int
    sequences: int = 1

    @property
    def id(self):
        kind = f"batch{self.sequences}" if self.kind == "batch" else self.kind
        return f"{self.shape}/{self.weights}/{kind}/t{self.threads}"

    @property
    def cells(self):
        if self.kind == "single":
            return ("prompt", "generation", "memory")
        return ("generation",) if self.kind == "batch" else ("prompt", "generation")

    def target(self, cell):
        """The ratio to reach, or None."""
        if self.kind == "context":
            return LONG_RATIOS[cell]
        return RATIOS.get((self.weights, "batch" if self.kind == "batch" else cell))

    def memory_target(self):
        """Bytes that llmcore may have resident: weights, the KV cache it asked for, and a fixed slack."""
        shape = SHAPES[self.shape]
        weights = shape.generation_bytes(self.weights)
        if not shape.tied:
            weights *= (shape.layer_weights + 2 * shape.head_weights) / (
                shape.layer_weights + shape.head_weights)
        positions = PROMPT + GENERATION + 1 + 64
        cache = positions * shape.layers * 2 * shape.kv_heads * shape.head_dim * 2
        return weights + cache + MEMORY_SLACK


def jobs(threads):
    """In the order of the table."""
    every = []
    for shape, weights, one_thread in (
            ("llama-3.2-1b", ("int4", "int8", "bf16"), True),
            ("qwen2.5-0.5b", ("int4", "bf16"), True),
            ("llama-3-8b", ("int4",), False)):
        for format in weights:
            every.append(Job(shape, format, "single", threads))
            if format == "int4" and shape != "llama-3-8b":
                every += [Job(shape, format, "batch", threads, n) for n in (16, 32)]
            if format == "int4" and one_thread and threads > 1:
                every.append(Job(shape, format, "single", 1))
    every.append(Job("llama-3.2-1b", "int4", "context", threads))
    return every


@dataclass(frozen=True)
class Peer:
    """A built llama.cpp or a relative of it."""

    label: str
    directory: str  # of llama-bench and llama-batched-bench
    int4: str = "q4_0"  # the GGUF format that stands for int4
    bench_args: tuple = field(default=())
    batched_args: tuple = field(default=())

    def format(self, weights):
        """The GGUF format for these weights; None where another peer of the same program has them."""
        if weights == "int4":
            return self.int4
        return {"int8": "q8_0", "bf16": "bf16"}[weights] if self.int4 == "q4_0" else None

    def command(self, job, model):
        if job.kind == "single":
            return [f"{self.directory}/llama-bench", "-m", model, "-p", str(PROMPT), "-n",
                    str(GENERATION), "-r", "1", "-t", str(job.threads), "-o", "json",
                    *self.bench_args]
        positions = job.sequences * (BATCH_PROMPT + BATCH_GENERATION)
        return [f"{self.directory}/llama-batched-bench", "-m", model, "-c", str(positions),
                "-npp", str(BATCH_PROMPT), "-ntg", str(BATCH_GENERATION), "-npl",
                str(job.sequences), "-t", str(job.threads), *self.batched_args]


def llmcore_commands(job, program):
    """Label to command. Generation begins with an empty context, as the peers' does."""
    base = [program, "--model", job.shape, "--weights", job.weights, "-t", str(job.threads),
            "--repetitions", "1", "--json"]
    if job.weights == "bf16":
        base += ["--activations", "bf16"]  # the peers round them too
    single = base + ["-p", str(PROMPT), "-n", str(GENERATION)]
    if job.kind == "single":
        return {"llmcore": single + ["-c", "1"]}
    if job.kind == "batch":
        return {"llmcore": base + ["-b", str(job.sequences), "-p", str(BATCH_PROMPT), "-n",
                                   str(BATCH_GENERATION)]}
    return {"llmcore": base + ["-p", str(LONG), "-n", str(GENERATION)],
            f"llmcore at {SHORT}": single + ["-c", str(SHORT)]}
