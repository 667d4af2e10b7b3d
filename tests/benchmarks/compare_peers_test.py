"""compare_peers.py with fake programs, and its GGUF files read back by a reader of the test's own."""

import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import unittest

SOURCE = os.environ.get("LLMCORE_SOURCE_DIR", os.path.join(os.path.dirname(__file__), "..", ".."))
SCRIPT = os.path.join(SOURCE, "benchmarks", "compare_peers.py")
sys.path.insert(0, os.path.join(SOURCE, "benchmarks"))

from peers import gguf, plan, programs, report  # noqa: E402
from peers.shapes import SHAPES  # noqa: E402


class Reader:
    """A GGUF file as its specification reads."""

    def __init__(self, data):
        self.data, self.at = data, 0
        magic, version, tensors, keys = self.take("<4sIQQ")
        assert (magic, version) == (b"GGUF", 3)
        self.metadata = {}
        for _ in range(keys):
            key, (kind,) = self.string(), self.take("<I")
            self.metadata[key] = self.string() if kind == 8 else self.take({4: "<I", 6: "<f"}[kind])[0]
        self.tensors = {}
        for _ in range(tensors):
            name, (count,) = self.string(), self.take("<I")
            dimensions = self.take(f"<{count}Q")
            self.tensors[name] = (dimensions, *self.take("<IQ"))
        self.start = self.at + -self.at % self.metadata["general.alignment"]

    def take(self, form):
        values = struct.unpack_from(form, self.data, self.at)
        self.at += struct.calcsize(form)
        return values

    def string(self):
        (size,) = self.take("<Q")
        self.at += size
        return self.data[self.at - size:self.at].decode()

    def bytes_of(self, name, size):
        offset = self.start + self.tensors[name][2]
        return self.data[offset:offset + size]


# Code, weights and bytes of a block, bytes of a row, as ggml defines them.
LAYOUTS = {"q4_0": (2, 32, 18, 0), "q8_0": (8, 32, 34, 0), "bf16": (30, 1, 2, 0), "iq4_ks": (144, 256, 136, 4)}


class GgufTest(unittest.TestCase):
    def write(self, shape, format):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "model.gguf")
            gguf.write(path, shape, format)
            self.assertEqual(os.listdir(directory), ["model.gguf"])
            with open(path, "rb") as file:
                return Reader(file.read())

    def test_headers_say_what_the_shape_is_and_tensors_fill_the_file(self):
        shape = SHAPES["tiny"]
        for format, (code, block, block_bytes, row_bytes) in LAYOUTS.items():
            with self.subTest(format):
                read = self.write(shape, format)
                self.assertEqual(read.metadata["general.architecture"], "llama")
                self.assertEqual(read.metadata["llama.vocab_size"], 512)
                self.assertEqual(read.metadata["llama.attention.head_count_kv"], 2)
                self.assertEqual(read.metadata["tokenizer.ggml.model"], "no_vocab")
                end = 0
                for name, (dimensions, kind, offset) in read.tensors.items():
                    self.assertEqual(offset, end + -end % 32, name)  # in order, without holes
                    if len(dimensions) == 1:
                        self.assertEqual(kind, 0, name)
                        size = 4 * dimensions[0]
                    else:
                        self.assertEqual(kind, code, name)
                        size = dimensions[1] * (row_bytes + dimensions[0] // block * block_bytes)
                    end = offset + size
                self.assertEqual(len(read.data), read.start + end + -end % 32)
                self.assertEqual(read.tensors["blk.1.ffn_down.weight"][0], (512, 256))
                self.assertEqual(read.tensors["blk.0.attn_k.weight"][0], (256, 128))
                self.assertEqual(len(read.tensors), 3 + 2 * 9)

    def test_every_weight_is_finite_and_of_the_size_of_a_weight(self):
        shape = SHAPES["tiny"]
        read = self.write(shape, "q4_0")
        data = read.bytes_of("token_embd.weight", 512 * 8 * 18)
        scales = [s for s, in struct.iter_unpack("<e16x", data)]
        self.assertTrue(all(0.001 < s < 0.01 for s in scales))
        read = self.write(shape, "q8_0")
        data = read.bytes_of("token_embd.weight", 512 * 8 * 34)
        self.assertTrue(all(0.0001 < s < 0.001 for s, in struct.iter_unpack("<e32x", data)))
        read = self.write(shape, "bf16")
        data = read.bytes_of("token_embd.weight", 512 * 256 * 2)
        values = [struct.unpack("<f", bytes(2) + data[i:i + 2])[0] for i in range(0, 20000, 2)]
        deviation = math.sqrt(sum(v * v for v in values) / len(values))
        self.assertTrue(0.015 < deviation < 0.025, deviation)
        read = self.write(shape, "iq4_ks")
        data = read.bytes_of("token_embd.weight", 512 * 140)
        self.assertTrue(all(1e-7 < s < 1e-4 for s, in struct.iter_unpack("<f136x", data)))
        self.assertEqual(read.bytes_of("output_norm.weight", 1024), struct.pack("<f", 1) * 256)

    def test_biases_come_with_the_shapes_that_have_them(self):
        names = [name for name, *_ in gguf.tensors(SHAPES["qwen2.5-0.5b"], gguf.FORMATS["q4_0"])]
        self.assertIn("blk.23.attn_v.bias", names)
        self.assertNotIn("output.weight", names)  # tied

    def test_rows_that_do_not_divide_into_blocks_are_refused(self):
        with self.assertRaisesRegex(ValueError, "multiple of 256"):
            gguf.FORMATS["iq4_ks"].bytes_of(896)

    def test_a_file_that_was_not_finished_is_not_there(self):
        with tempfile.TemporaryDirectory() as directory:
            def stop(done, total):
                raise KeyboardInterrupt

            with self.assertRaises(KeyboardInterrupt):
                gguf.write(os.path.join(directory, "a.gguf"), SHAPES["tiny"], "q4_0", stop)
            self.assertEqual(os.listdir(directory), [])


class ReadersTest(unittest.TestCase):
    def test_what_programs_print_is_understood(self):
        self.assertEqual(programs.llama_bench_values(
            'load: ok\n[{"n_prompt": 512, "n_gen": 0, "avg_ts": 400.5}, {"n_prompt": 0, "n_gen": 128, "avg_ts": 60}]'),
            {"prompt": 400.5, "generation": 60.0})
        table = ("|    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s |      T s |    S t/s |\n"
                 "|-------|--------|------|--------|----------|----------|----------|----------|----------|----------|\n"
                 "|    64 |     32 |   16 |   1536 |    4.100 |   249.76 |    2.700 |   189.63 |    6.800 |   225.88 |\n")
        self.assertEqual(programs.batched_bench_values(table, 16), {"generation": 189.63})
        for read in (lambda: programs.batched_bench_values(table, 32),
                     lambda: programs.llama_bench_values("no JSON"),
                     lambda: programs.llama_bench_values('[{"n_prompt": 512, "n_gen": 0, "avg_ts": 0}]')):
            with self.assertRaises(programs.ProgramError):
                read()

    def test_programs_that_fail_or_hang_are_errors(self):
        cores = sorted(os.sched_getaffinity(0))
        with self.assertRaisesRegex(programs.ProgramError, "ended with 3: too bad"):
            programs.run([sys.executable, "-c", "import sys; sys.stderr.write('too bad'); sys.exit(3)"], cores, {}, 60)
        with self.assertRaisesRegex(programs.ProgramError, "took more than 0.2 s"):
            programs.run([sys.executable, "-c", "import time; time.sleep(60)"], cores, {}, 0.2)

    def test_programs_run_on_their_cores_and_say_what_they_held(self):
        core = sorted(os.sched_getaffinity(0))[0]
        done = programs.run(
            [sys.executable, "-c", "import os; a = bytearray(200 << 20); print(os.sched_getaffinity(0))"],
            [core], {}, 60)
        self.assertEqual(done.stdout.strip(), f"{{{core}}}")
        self.assertTrue(200 << 20 < done.peak_rss_bytes < 300 << 20, done.peak_rss_bytes)

    def test_what_rivals_take_of_the_cores_is_seen(self):
        core = sorted(os.sched_getaffinity(0))[0]
        spin = "import time; end = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
        rival = subprocess.Popen([sys.executable, "-c", spin.replace("+ 1", "+ 60")],
                                 preexec_fn=lambda: os.sched_setaffinity(0, [core]))
        try:
            done = programs.run([sys.executable, "-c", spin], [core], {}, 60)
        finally:
            rival.kill()
            rival.wait()
        self.assertGreater(done.rivals, 0.2)


class ReportTest(unittest.TestCase):
    def turn(self, ours, theirs):
        def run(speed, memory):
            return {"values": {"prompt": speed, "generation": speed}, "peak_rss_bytes": memory}
        return {"runs": {"llmcore": run(ours, 600e6), "slow": run(1, 500e6), "fast": run(theirs, 900e6)},
                "ceilings": [{"threads": 2, "read_bytes_per_second": 1e11,
                              "read_bytes_per_second_one_thread": 5e10,
                              "int8_dot": {"instruction": "dot", "ops_per_second": 1e12},
                              "bf16_dot": {"instruction": "", "ops_per_second": 0},
                              "f32_fma": {"instruction": "fma", "ops_per_second": 1e11}}] * 2}

    def test_ratios_are_of_the_same_turn_and_against_the_best_peer(self):
        job = plan.Job("llama-3.2-1b", "int4", "single", 2)
        turns = [self.turn(150, 100), self.turn(300, 150), self.turn(160, 100)]
        prompt = report.Cell(job, "prompt", turns)
        self.assertEqual(prompt.best_peer(), "fast")
        self.assertEqual(prompt.ratios(), [1.5, 2.0, 1.6])
        self.assertEqual(prompt.verdict(), (">= 1.4", True))
        # 973 million weights of a layer's linears, two operations each.
        self.assertAlmostEqual(prompt.of_ceiling()[0], 150 * 2 * 973078528 / 1e12)
        generation = report.Cell(job, "generation", turns)
        self.assertAlmostEqual(generation.of_ceiling()[1], 300 * (973078528 + 262668288) * 0.515625 / 1e11)
        memory = report.Cell(job, "memory", turns)
        self.assertEqual(memory.best_peer(), "slow")
        self.assertEqual(memory.verdict(), ("<= 720 MB", True))

    def test_disturbed_runs_are_named(self):
        turn = self.turn(150, 100)
        turn["runs"]["fast"]["rivals"] = 0.25
        turn["runs"]["slow"]["rivals"] = 0.02
        self.assertEqual(report.disturbed({"turns": {"job": {"4": turn}}}), "- job, turn 4, fast: 25%")

    def test_a_missed_target_says_so(self):
        job = plan.Job("llama-3.2-1b", "int4", "batch", 2, 16)
        turn = self.turn(200, 100)
        turn["runs"]["slow"] = {"error": "it crashed"}
        cell = report.Cell(job, "generation", [turn])
        self.assertEqual(cell.verdict(), (">= 2.5", False))
        self.assertIn("| 16 sequences | 200.0 | fast 100.0 | 2.00 | >= 2.5, missed |", report.table([cell]))


FAKE = """#!{python}
import json, os, sys
with open({log!r}, "a") as log:
    log.write(json.dumps(sys.argv) + "\\n")
name = os.path.basename(sys.argv[0])
if name == "ceilings":
    dot = {{"instruction": "dot", "ops_per_second": 1e12}}
    print(json.dumps({{"threads": int(sys.argv[2]), "read_bytes_per_second_one_thread": 4e10,
                      "read_bytes_per_second": 8e10, "int8_dot": dot, "bf16_dot": dot, "f32_fma": dot}}))
elif name == "llmcore_bench":
    print(json.dumps({{"load_seconds": 1, "plan_bytes": 7e8, "prompt_tokens_per_second": 600,
                      "prompt_tokens_per_second_samples": [600], "generation_tokens_per_second": 66,
                      "generation_tokens_per_second_samples": [66]}}))
elif name == "llama-bench":
    with open(sys.argv[sys.argv.index("-m") + 1], "rb") as model:
        assert model.read(4) == b"GGUF"
    if "-broken" in sys.argv:
        sys.exit("it is broken")
    print(json.dumps([{{"n_prompt": 512, "n_gen": 0, "avg_ts": 400}}, {{"n_prompt": 0, "n_gen": 128, "avg_ts": 60}}]))
else:
    n = sys.argv[sys.argv.index("-npl") + 1]
    print("|    64 |     32 | %4s |   1536 |    4.1 |   249.7 |    2.7 |   180.00 |    6.8 |   225.8 |" % n, file=sys.stderr)
"""


class CompareTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.log = self.path("log")
        for program in ("build/benchmarks/llmcore_bench", "build/benchmarks/kernels/ceilings",
                        "peer/llama-bench", "peer/llama-batched-bench"):
            os.makedirs(os.path.dirname(self.path(program)), exist_ok=True)
            with open(self.path(program), "w", encoding="utf-8") as file:
                file.write(FAKE.format(python=sys.executable, log=self.log))
            os.chmod(self.path(program), 0o755)
        # Real shapes take gigabytes; a file that is there is not written again.
        os.makedirs(self.path("models"))
        for name in ("llama-3.2-1b-q4_0", "llama-3.2-1b-iq4_ks", "qwen2.5-0.5b-q4_0", "llama-3.2-1b-q8_0"):
            with open(self.path(f"models/{name}.gguf"), "wb") as file:
                file.write(b"GGUF")

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def compare(self, *options):
        core = str(sorted(os.sched_getaffinity(0))[0])
        return subprocess.run(
            [sys.executable, SCRIPT, "--build", self.path("build"), "--models", self.path("models"), "--out",
             self.path("out.json"), "--cores", f"{core},{core}", "--peer", f"a={self.path('peer')}", "--peer",
             f"b={self.path('peer')}", "--bench-args", "b=-rtr 1", "--peer", f"c={self.path('peer')}", "--int4",
             "c=iq4_ks", "--version-of", "a=v1.2", "--retries", "0", *options],
            capture_output=True, text=True, timeout=60)

    def commands(self):
        with open(self.log, encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    def test_everyone_runs_in_turns_between_two_probes(self):
        result = self.compare("--turns", "2", "--only", "^llama-3.2-1b/int4/(single|batch16)/t2")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertRegex(result.stdout, r"\| prompt 512 \| 600.0 \[600.0-600.0\] \| [abc] 400.0 .* 1.50 \[1.50-1.50\] "
                                        r"\| >= 1.4, met \|")
        self.assertRegex(result.stdout, r"\| 16 sequences \| 66.0 .* \| 0.37 .* \| >= 2.5, missed \|")
        self.assertIn("a v1.2", result.stdout)
        names = [os.path.basename(command[0]) for command in self.commands()]
        single = ["ceilings", "llmcore_bench", "llama-bench", "llama-bench", "llama-bench", "ceilings"]
        self.assertEqual(names[:6], single)
        self.assertEqual(names[6:12], [n.replace("llama-bench", "llama-batched-bench") for n in single])
        self.assertEqual(names[12:15], ["ceilings", "llama-bench", "llama-bench"])  # another begins
        self.assertEqual(len(names), 24)
        self.assertEqual(self.commands()[3][-2:], ["-rtr", "1"])
        self.assertTrue(self.commands()[4][2].endswith("llama-3.2-1b-iq4_ks.gguf"))

    def test_what_was_measured_is_not_measured_again_unless_it_changed(self):
        only = ["--only", "^llama-3.2-1b/int4/single/t2"]
        self.assertEqual(self.compare("--turns", "1", *only).returncode, 0)
        before = len(self.commands())
        self.assertEqual(self.compare("--turns", "1", *only).returncode, 0)
        self.assertEqual(len(self.commands()), before)
        self.assertEqual(self.compare("--turns", "1", *only, "--bench-args", "a=-fa 1").returncode, 0)
        self.assertEqual([os.path.basename(c[0]) for c in self.commands()[before:]],
                         ["ceilings", "llama-bench", "ceilings"])
        before = len(self.commands())
        os.utime(self.path("build/benchmarks/llmcore_bench"), (2e9, 2e9))  # built anew
        self.assertEqual(self.compare("--turns", "1", *only, "--bench-args", "a=-fa 1").returncode, 0)
        self.assertEqual([os.path.basename(c[0]) for c in self.commands()[before:]],
                         ["ceilings", "llmcore_bench", "ceilings"])
        before = len(self.commands())
        self.assertIn("600.0", self.compare("--report", *only).stdout)
        self.assertEqual(len(self.commands()), before)

    def test_a_peer_that_fails_is_reported_and_tried_again(self):
        only = ["--turns", "1", "--only", "^llama-3.2-1b/int4/single/t2"]
        result = self.compare(*only, "--bench-args", "b=-broken")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("turn 1, b: ended with 1: it is broken", result.stdout)
        result = self.compare(*only)
        self.assertNotIn("broken", result.stdout)

    def test_formats_that_a_shape_or_peer_has_not_are_left_out(self):
        for only, labels in (("^qwen2.5-0.5b/int4/single/t2", {"llmcore", "a", "b"}),
                             ("^llama-3.2-1b/int8/single/t2", {"llmcore", "a", "b"}),
                             ("^llama-3.2-1b/int4/context/t2", {"llmcore", "llmcore at 128"})):
            self.assertEqual(self.compare("--turns", "1", "--only", only).returncode, 0)
            with open(self.path("out.json"), encoding="utf-8") as file:
                turns = json.load(file)["turns"]
            self.assertEqual(set(turns[only[1:]]["1"]["runs"]), labels, only)

    def test_wrong_usage_is_said(self):
        for options, words in ((["--only", "no such job"], "no job has such a name"),
                               (["--only", "("], "--only"),
                               (["--int4", "a=q2_k"], "q4_0 and iq4_ks are known"),
                               (["--bench-args", "x=-rtr 1"], "LABEL=VALUE of a --peer"),
                               (["--peer", "a=elsewhere"], "a label of its own"),
                               (["--cores", "one"], "numbers and commas"),
                               (["--turns", "0"], "at least 1"), (["--retries", "-1"], "at least 0")):
            result = self.compare(*options)
            self.assertEqual(result.returncode, 2, options)
            self.assertIn(words, result.stderr)
        result = self.compare("--help")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("more than 6% of its cores", " ".join(result.stdout.split()))
        result = self.compare("--peer", "d=/nowhere")
        self.assertEqual(result.returncode, 1)
        self.assertIn("there is no llama-bench in /nowhere", result.stderr)


BUILT = os.path.join(os.environ.get("LLMCORE_BINARY_DIR", os.path.join(SOURCE, "build")), "benchmarks")


def built(program):
    path = os.path.join(BUILT, program)
    return unittest.skipUnless(os.access(path, os.X_OK), f"{path} is not built")


class ProgramsTest(unittest.TestCase):
    """The real programs print what compare_peers.py reads."""

    def run_program(self, program, *options):
        return subprocess.run([os.path.join(BUILT, program), *options], capture_output=True, text=True, timeout=100)

    @built("kernels/ceilings")
    def test_ceilings_are_measured(self):
        result = self.run_program("kernels/ceilings", "--threads", "1")
        self.assertEqual(result.returncode, 0, result.stderr)
        probe = json.loads(result.stdout)
        self.assertEqual(probe["threads"], 1)
        self.assertGreater(probe["read_bytes_per_second"], 1e8)
        self.assertGreater(probe["read_bytes_per_second_one_thread"], 1e8)
        self.assertGreater(probe["f32_fma"]["ops_per_second"], 1e8)
        for peak in (probe["int8_dot"], probe["bf16_dot"]):
            self.assertEqual(peak["instruction"] != "", peak["ops_per_second"] > 0)
        for options in (["--threads"], ["--threads", "x"], ["--threads", "-1"], ["--thread", "1"]):
            result = self.run_program("kernels/ceilings", *options)
            self.assertEqual(result.returncode, 2, options)
            self.assertIn("Usage", result.stderr)

    @built("llmcore_bench")
    def test_llmcore_bench_measures_a_context_apart_and_traces_both_phases(self):
        for context in (1, 20):
            result = self.run_program("llmcore_bench", "-p", "9", "-n", "3", "-c", str(context), "-t", "1",
                                      "--repetitions", "1", "--json", "--stats")
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertEqual(set(programs.llmcore_values(result.stdout)),
                             {"load_seconds", "plan_bytes", "prompt", "generation"})
            printed = json.loads(result.stdout)
            self.assertEqual(printed["context"], context)
            self.assertEqual(printed["trace"]["prompt"]["rows"], 9)
            self.assertEqual(printed["trace"]["generation"]["rows"], 3)
            for phase in printed["trace"].values():
                inside = sum(operation["seconds"] for operation in phase["operations"])
                self.assertAlmostEqual(inside + phase["other_seconds"], phase["seconds"],
                                       delta=1e-4 * phase["seconds"] + 1e-7)
            self.assertRegex(result.stderr, r"linear_gated 128 -> 768 +4\.0")


if __name__ == "__main__":
    unittest.main()
