"""llmcore_serve_bench: its command line, its traces, and that its figures fit together."""

import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.environ["LLMCORE_SOURCE_DIR"], "tests", "examples"))
from programs import ProgramTest, run  # noqa: E402

BENCH = "llmcore_serve_bench"
SHORT = ["--requests", "6", "--prompt-tokens", "20", "--output-tokens", "5", "-t", "1"]
SUMMARY = {"mean", "p50", "p90", "p99", "max", "count"}


class ServeBenchTest(ProgramTest):
    def measure(self, *arguments, **options):
        return json.loads(self.succeed(BENCH, *arguments, "--json", **options))

    def trace(self, *lines):
        path = os.path.join(self.folder, "trace.jsonl")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(line + "\n" for line in lines)
        return path

    def assert_whole(self, report):
        """What holds for any report in which nothing failed."""
        self.assertEqual(report["failed"], 0)
        self.assertEqual(report["failures"], {})
        seconds = report["duration_seconds"]
        self.assertGreater(seconds, 0)
        for throughput, amount in [("request_throughput", report["completed"]),
                                   ("input_throughput", report["input_tokens"]),
                                   ("output_throughput", report["output_tokens"]),
                                   ("total_token_throughput",
                                    report["input_tokens"] + report["output_tokens"])]:
            self.assertAlmostEqual(report[throughput] * seconds, amount, places=3)
        for name in ["ttft_ms", "tpot_ms", "itl_ms", "e2el_ms", "waiting_requests",
                     "kv_cache_usage"]:
            summary = report[name]
            self.assertEqual(set(summary), SUMMARY)
            self.assertLessEqual(summary["p50"], summary["p90"])
            self.assertLessEqual(summary["p90"], summary["p99"])
            self.assertLessEqual(summary["p99"], summary["max"])
            self.assertLessEqual(summary["mean"], summary["max"] * (1 + 1e-9))
        self.assertEqual(report["ttft_ms"]["count"], report["completed"])
        self.assertEqual(report["itl_ms"]["count"], report["output_tokens"] - report["completed"])
        self.assertLessEqual(report["ttft_ms"]["max"], report["e2el_ms"]["max"])
        self.assertLessEqual(report["kv_cache_usage"]["max"], 1)

    def test_a_closed_loop_serves_every_request(self):
        report = self.measure(*SHORT, "--concurrency", "3")
        self.assert_whole(report)
        self.assertEqual((report["requests"], report["completed"]), (6, 6))
        self.assertEqual((report["input_tokens"], report["output_tokens"]), (120, 30))
        self.assertEqual((report["concurrency"], report["open_loop"]), (3, False))
        self.assertEqual(report["prefix_hit_tokens"], 0)
        self.assertEqual(report["weights"], "bf16")
        self.assertGreaterEqual(report["kv_cache_tokens"], 3 * 25)

    def test_sessions_that_do_not_fit_are_swapped(self):
        arguments = ["--requests", "4", "--prompt-tokens", "60", "--output-tokens", "60", "-t", "1",
                     "--concurrency", "4", "--kv-cache-tokens", "192"]
        blocks = ["swapped_out_blocks", "swapped_in_blocks", "dropped_blocks"]
        report = self.measure(*arguments, "--swap", "4M")
        self.assert_whole(report)
        self.assertGreater(report["swap_bytes"], 0)
        out, back, dropped = [report[key] for key in blocks]
        self.assertEqual((out, dropped), (back, 0))
        self.assertGreater(out, 0)
        report = self.measure(*arguments)
        self.assert_whole(report)
        out, back, dropped = [report[key] for key in blocks]
        self.assertEqual((report["swap_bytes"], out, back), (0, 0, 0))
        self.assertGreater(dropped, 0)

    def test_an_open_loop_waits_for_arrivals(self):
        report = self.measure(*SHORT, "--rate", "20", "--weights", "int4", "--seed", "3")
        self.assert_whole(report)
        self.assertTrue(report["open_loop"])
        self.assertEqual(report["rate"], 20)
        trace = self.trace('{"prompt_tokens": 4, "output_tokens": 2}',
                           "",
                           '{"arrival": 0.4, "prompt": [1, 2, 3], "output_tokens": 1}')
        report = self.measure("--trace", trace)
        self.assert_whole(report)
        self.assertEqual((report["input_tokens"], report["output_tokens"]), (7, 3))
        self.assertGreaterEqual(report["duration_seconds"], 0.4)
        self.assertLess(report["e2el_ms"]["max"], 1e3 * report["duration_seconds"],
                        "latencies count from the arrival")

    def test_lengths_are_drawn_alike_for_a_seed(self):
        def lengths(*arguments):
            report = self.measure("--requests", "40", "--prompt-mean", "30", "--output-mean", "6",
                                  "--output-sigma", "0.3", *arguments)
            self.assert_whole(report)
            return report["input_tokens"], report["output_tokens"]
        first = lengths()
        self.assertEqual(lengths("--concurrency", "2"), first)
        self.assertNotEqual(lengths("--seed", "1"), first)
        # 40 draws of means 30 and 6.
        self.assertTrue(400 < first[0] < 4000 and 160 < first[1] < 400, first)

    def test_prompts_share_a_prefix(self):
        trace = self.trace(*['{"prompt_tokens": 80, "output_tokens": 2, "prefix": "manual", '
                             '"prefix_tokens": 64}'] * 3)
        report = self.measure("--trace", trace, "--concurrency", "2")
        self.assert_whole(report)
        self.assertEqual(report["prefix_hit_tokens"], 2 * 64)
        self.assertFalse(report["open_loop"])
        report = self.measure(*SHORT, "--prefix-tokens", "30")
        self.assertEqual(report["input_tokens"], 6 * 50)

    def test_the_table_says_what_the_json_does(self):
        text = self.succeed(BENCH, *SHORT).decode()
        for part in [r"requests +6 in \d+\.\d+ s, 0 failed", r"tokens in, out +120 +30",
                     r"time to first token, ms( +\d+\.\d\d){5}", "inter-token latency, ms",
                     "end-to-end latency, ms", "KV cache in use"]:
            self.assertRegex(text, part)

    def test_failures_are_counted_by_code(self):
        trace = self.trace('{"prompt_tokens": 200, "output_tokens": 2}',
                           '{"prompt_tokens": 4, "output_tokens": 2}')
        arguments = ["--trace", trace, "--max-context", "64", "--concurrency", "1"]
        report = self.measure(*arguments)
        self.assertEqual((report["completed"], report["failed"]), (1, 1))
        (code, failure), = report["failures"].items()
        self.assertRegex(code, "^[A-Z_]+$")
        self.assertEqual(failure["count"], 1)
        self.assertIn("200 tokens", failure["message"])
        result = run(BENCH, "--trace", self.trace('{"prompt_tokens": 200, "output_tokens": 2}'),
                     "--max-context", "64")
        self.assertEqual(result.status, 1, "not one request was served")
        self.assertEqual(result.stderr.count("\n"), 1)

    def test_a_prompt_beside_replies(self):
        report = self.measure("--disturb-with", "300", "--rounds", "1", "--concurrency", "2",
                              "--prompt-tokens", "16", "--weights", "int4")
        self.assertEqual(report["sequences"], 2)
        self.assertEqual(len(report["prompt_seconds"]), 1)
        self.assertGreater(report["itl_undisturbed_ms"]["count"], 0)
        self.assertGreater(report["p99_ratio"], 0)

    def test_wrong_traces_name_their_line(self):
        for line, says in [("[]", "JSON object"), ("{", "JSON object"),
                           ('{"output_tokens": 1}', "prompt"),
                           ('{"prompt_tokens": 0, "output_tokens": 1}', "prompt_tokens"),
                           ('{"prompt_tokens": 1e9, "output_tokens": 1}', "prompt_tokens"),
                           ('{"prompt_tokens": 1, "output_tokens": -1}', "output_tokens"),
                           ('{"prompt_tokens": 1, "output_tokens": 99999999999}', "output_tokens"),
                           ('{"prompt_tokens": 1}', "output_tokens"),
                           ('{"prompt": [], "output_tokens": 1}', "prompt"),
                           ('{"prompt": ["a"], "output_tokens": 1}', "prompt"),
                           ('{"prompt": [1], "prompt_tokens": 1, "output_tokens": 1}', "either"),
                           ('{"arrival": -1, "prompt_tokens": 1, "output_tokens": 1}', "arrival"),
                           ('{"arrival": "x", "prompt_tokens": 1, "output_tokens": 1}', "arrival"),
                           ('{"prompt_tokens": 9, "output_tokens": 1, "prefix": "p"}',
                            "prefix_tokens"),
                           ('{"prompt_tokens": 9, "output_tokens": 1, "prefix": "p", '
                            '"prefix_tokens": 10}', "prefix"),
                           ('{"prompt_tokens": 9, "output_tokens": 1, "priority": 1}', "priority")]:
            trace = self.trace('{"prompt_tokens": 1, "output_tokens": 1}', line)
            self.fail_with(BENCH, "--trace", trace, says=["line 2", says])
        self.fail_with(BENCH, "--trace", self.trace(), says="no requests")
        self.fail_with(BENCH, "--trace", os.path.join(self.folder, "none"), says="none")

    def test_flags_that_do_not_go_together_are_wrong_usage(self):
        trace = ["--trace", "t"]
        for arguments in [[*trace, "--rate", "1"], [*trace, "--requests", "1"],
                          [*trace, "--prompt-tokens", "1"], [*trace, "--disturb-with", "9"],
                          ["--disturb-with", "9", "--rate", "1"],
                          ["--disturb-with", "9", "--output-tokens", "1"], ["--rounds", "2"],
                          ["--rate", "0"], ["--rate", "nan"], ["--requests", "0"],
                          ["--requests", "99999999999"], ["--concurrency", "0"],
                          ["--prompt-mean", "-1"], ["--output-sigma", "11"], ["--seed", "-1"],
                          ["--kv-cache-tokens", "0"]]:
            result = run(BENCH, *arguments)
            self.assertEqual(result.status, 2, f"{arguments}: {result.stderr}")
            self.assertEqual(result.stdout, b"")
            self.assertTrue(re.match(BENCH + ": [^\n]+\n$", result.stderr), result.stderr)


if __name__ == "__main__":
    unittest.main()
