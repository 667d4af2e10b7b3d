"""benchmarks/gpu_report with programs that only pretend: what it runs, and what its report says."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

GPU_REPORT = os.path.join(os.environ["LLMCORE_SOURCE_DIR"], "benchmarks", "gpu_report")

CEILINGS = {"device": "fake", "read_bytes_per_second": 4e12, "copy_bytes_per_second": 4e12,
            "gemm": [{"tokens": 4096, "inputs": 8192, "outputs": 8192, "seconds": 1e-3},
                     {"tokens": 1, "inputs": 4096, "outputs": 28672, "seconds": 7e-5}]}
OPERATIONS = [{"name": "linear/int4/gate_up/tokens:1", "seconds": 2e-5, "bytes": 7.2e7, "ops": 1e8},
              {"name": "linear/int4/qkv/tokens:1", "seconds": 2e-5, "bytes": 1.3e7, "ops": 1e8}]
FAKE_TORCH = """
import types

uint8, bfloat16 = "uint8", "bfloat16"
calls = 0


def randint(low, high, shape, dtype, device):
    return shape


def rand(*shape, dtype, device):
    return shape


def convert(codes, inner_tiles):
    return codes


def multiply(activations, packed, group, parameters):
    global calls
    calls += 1
    (tokens, inputs), (outputs, half) = activations, packed
    assert inputs == 2 * half and parameters == (inputs // group, outputs, 2)


class Event:
    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = calls

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return 0.1 * (end.at - self.at)


aten = types.SimpleNamespace(_convert_weight_to_int4pack=convert, _weight_int4pack_mm=multiply)
ops = types.SimpleNamespace(aten=aten)
cuda = types.SimpleNamespace(Event=Event, is_available=lambda: True)
"""
RUN = {"prompt_tokens_per_second": 40000.0, "generation_tokens_per_second": 650.0}


class GpuReportTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = self.folder.name
        self.out = os.path.join(self.path, "report.json")
        self.program("nvidia-smi", "echo 'NVIDIA Fake, 580.1, 100 MiB, 9.0'")
        self.program("compute-sanitizer", "echo '========= ERROR SUMMARY: 0 errors'")
        self.program("benchmarks/cuda/cuda_ceilings", f"echo '{json.dumps(CEILINGS)}'")
        self.program("benchmarks/kernels/operations",
                     "\n".join(f"echo '{json.dumps(line)}'" for line in OPERATIONS))
        self.program("benchmarks/llmcore_bench", f"echo '{json.dumps(RUN)}'")
        self.program("tests/conformance/conformance_test", "echo '[  PASSED  ] 60 tests.'")

    def program(self, name, body):
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{body}\n")
        os.chmod(path, 0o755)

    def start(self, *arguments):
        environment = {**os.environ, "PATH": f"{self.path}:/usr/bin:/bin"}
        return subprocess.Popen([sys.executable, GPU_REPORT, "--build", self.path, "--no-build",
                                 "--out", self.out, *arguments], env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run_report(self, *arguments):
        process = self.start(*arguments)
        output, error = process.communicate(timeout=60)
        return process.returncode, output, error

    def report(self):
        with open(self.out, encoding="utf-8") as file:
            return json.load(file)

    def test_everything_is_run_and_compared_with_the_ceilings_of_the_run(self):
        status, output, error = self.run_report()
        self.assertEqual((status, error), (0, ""), output)
        report = self.report()
        self.assertEqual({part["status"] for part in report["parts"].values()}, {"done"})
        self.assertEqual(report["machine"]["gpu"]["name"], "NVIDIA Fake")
        table = {row["name"]: row for row in report["table"] if "beside" not in row}
        self.assertAlmostEqual(table["linear/int4/gate_up/tokens:1"]["value"], 0.9)
        self.assertTrue(table["linear/int4/gate_up/tokens:1"]["met"])
        self.assertAlmostEqual(table["linear/int4/qkv/tokens:1"]["value"], 0.1625)
        self.assertFalse(table["linear/int4/qkv/tokens:1"]["met"])
        self.assertEqual(table["model/llama-3-8b/int4/int8/batch:1/generation"]["value"], 650)
        self.assertIn("missed", output)

    def test_linears_are_compared_with_other_libraries(self):
        self.assertEqual(self.run_report("--only", "ceilings|kernels")[0], 0)
        beside = [row for row in self.report()["table"] if "beside" in row]
        self.assertEqual([(row["name"], row["beside"]) for row in beside],
                         [("linear/int4/gate_up/tokens:1", "cuBLAS bf16")])
        self.assertAlmostEqual(beside[0]["value"], 3.5)

    def test_pytorch_is_run_where_it_is_and_missing_it_is_no_failure(self):
        status, output, _ = self.run_report("--only", "torch")
        self.assertEqual(status, 0, output)
        found = self.report()["parts"]["torch"]["found"]
        self.assertTrue("absent" in found[0] or len(found) == 20, found)
        program = os.path.join(os.path.dirname(GPU_REPORT), "cuda", "torch_int4.py")
        for words in ([], ["1x2"], ["1x128x64", "x"]):
            done = subprocess.run([sys.executable, program, *words], capture_output=True, text=True)
            self.assertEqual(done.returncode, 2, words)

    def test_results_of_pytorch_are_read(self):
        """A module of this name in the way of the real one, with all that the program calls."""
        modules = os.path.join(self.path, "modules")
        os.makedirs(modules)
        with open(os.path.join(modules, "torch.py"), "w", encoding="utf-8") as file:
            file.write(FAKE_TORCH)
        program = os.path.join(os.path.dirname(GPU_REPORT), "cuda", "torch_int4.py")
        done = subprocess.run([sys.executable, program, "1x4096x28672", "8x14336x4096"],
                              env={**os.environ, "PYTHONPATH": modules}, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([(line["tokens"], line["inputs"], line["outputs"]) for line in lines],
                         [(1, 4096, 28672), (8, 14336, 4096)])
        for line in lines:
            self.assertAlmostEqual(line["seconds"], 1e-4)

    def test_a_part_that_fails_leaves_the_others(self):
        self.program("tests/conformance/conformance_test", "echo '[  FAILED  ] 1 test'; exit 1")
        status, _, _ = self.run_report()
        parts = self.report()["parts"]
        self.assertEqual(status, 1)
        self.assertEqual(parts["conformance"]["status"], "failed")
        self.assertIn("conformance_test ended with 1", parts["conformance"]["error"])
        self.assertEqual(parts["kernels"]["status"], "done")

    def test_no_test_on_cuda_is_no_success(self):
        self.program("tests/conformance/conformance_test", "echo '[  PASSED  ] 0 tests.'")
        self.assertEqual(self.run_report("--only", "conformance")[0], 1)
        self.assertEqual(self.report()["parts"]["conformance"]["status"], "failed")

    def test_a_model_that_fails_leaves_those_before_it(self):
        self.program("benchmarks/llmcore_bench",
                     f"case \"$*\" in *bf16*) exit 3;; esac; echo '{json.dumps(RUN)}'")
        self.assertEqual(self.run_report("--only", "models")[0], 1)
        part = self.report()["parts"]["models"]
        self.assertEqual((part["status"], len(part["found"])), ("failed", 4))  # of two models

    def test_time_that_is_up_ends_a_part(self):
        self.program("benchmarks/kernels/operations", "sleep 60")
        began = time.monotonic()
        self.assertEqual(self.run_report("--only", "ceilings|kernels", "--limit", "2")[0], 1)
        self.assertLess(time.monotonic() - began, 30)
        parts = self.report()["parts"]
        self.assertEqual(parts["ceilings"]["status"], "done")
        self.assertEqual(parts["kernels"]["status"], "out of time")

    def test_stopping_keeps_what_was_done(self):
        waiting = os.path.join(self.path, "waiting")
        self.program("benchmarks/kernels/operations", f"touch {waiting}; sleep 60")
        process = self.start("--only", "ceilings|kernels")
        deadline = time.monotonic() + 30
        while not os.path.exists(waiting) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        output, error = process.communicate(timeout=30)
        self.assertEqual((process.returncode, error), (1, ""), output)
        parts = self.report()["parts"]
        self.assertEqual(parts["ceilings"]["status"], "done")
        self.assertEqual(parts["kernels"]["status"], "stopped")

    def test_without_a_gpu_it_says_so_and_can_still_tell_what_it_would_do(self):
        os.remove(os.path.join(self.path, "nvidia-smi"))
        status, output, error = self.run_report()
        self.assertEqual((status, output), (2, ""))
        self.assertIn("no GPU: nvidia-smi is not there", error)
        self.assertFalse(os.path.exists(self.out))
        status, output, _ = self.run_report("--dry-run", "--only", "racecheck")
        self.assertEqual(status, 0)
        self.assertIn("--tool racecheck", output)


if __name__ == "__main__":
    unittest.main()
