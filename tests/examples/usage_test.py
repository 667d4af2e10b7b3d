"""Command lines: help, version, and what is wrong usage."""

import unittest

from programs import PROGRAMS, ProgramTest, run

ALL = PROGRAMS + ["llmcore_bench", "llmcore_serve_bench"]


class UsageTest(ProgramTest):
    def assert_wrong_usage(self, program, *arguments):
        result = run(program, *arguments)
        self.assertEqual(result.status, 2, f"{program} {arguments}: {result.stderr}")
        self.assertEqual(result.stdout, b"")
        self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertTrue(result.stderr.startswith(program + ": "), result.stderr)

    def test_help_is_on_stdout(self):
        for program in ALL:
            text = self.succeed(program, "--help").decode()
            self.assertIn("Usage: " + program, text)
            self.assertLessEqual(max(map(len, text.splitlines())), 200, program)

    def test_version_is_the_library_s(self):
        for program in ALL:
            self.assertRegex(self.succeed(program, "--version").decode(), r"^llmcore \d+\.\d+\.\d+\n$")

    def test_unknown_options_are_wrong_usage(self):
        for program in ALL:
            self.assert_wrong_usage(program, "--no-such-option")

    def test_missing_options_are_wrong_usage(self):
        for program in ["tokenize", "render_chat", "logits", "quantize", "evaluate"]:
            self.assert_wrong_usage(program)
        self.assert_wrong_usage("evaluate", "lambada", "--model", "m")

    def test_values_that_cannot_be_are_wrong_usage(self):
        for arguments in [["--weights", "int3"], ["--kv", ""], ["--temperature", "-1"],
                          ["--top-p", "0"], ["--top-k", "-1"], ["--max-tokens", "0"],
                          ["--memory-budget", "12Q"], ["--memory-budget", "-1"],
                          ["--memory-budget", "99999999999G"], ["--device", "tpu"],
                          ["--device", "cuda:"], ["--threads", "x"], ["--seed", "1.5"],
                          ["--seed", "-1"], ["--temperature", "nan"], ["--top-p", "nan"],
                          ["--max-context", "99999999999"], ["--model", ""], ["stray"],
                          ["--raw", "--system", "s"], ["--samples", "2"], ["--beams", "2"],
                          ["--prompt", "p", "--samples", "0"], ["--prompt", "p", "--beams", "257"],
                          ["--prompt", "p", "--samples", "2", "--beams", "2"]]:
            self.assert_wrong_usage("chat", *arguments)
        self.assert_wrong_usage("logits", "--model", "m", "--tokens", "1,x")
        self.assert_wrong_usage("logits", "--model", "m", "--tokens", "")
        self.assert_wrong_usage("tokenize", "--model", "m", "--text", "t", "--decode", "1")
        self.assert_wrong_usage("quantize", "a", "b", "--weights", "bf16")

    def test_sizes_are_read_as_people_write_them(self):
        for size, limit in [("1048576", 1 << 20), ("1024K", 1 << 20), ("512M", 512 << 20),
                            ("6G", 6 << 30), ("6gb", 6 << 30), ("6GiB", 6 << 30)]:
            text = self.succeed("plan", "--memory-budget", size, "--json").decode()
            self.assertIn(f'"limit_bytes": {limit}', text)


if __name__ == "__main__":
    unittest.main()
