"""plan: what a model takes, whether it fits, and what would."""

import fcntl
import json
import os
import pty
import struct
import termios
import unittest

from programs import BUILTIN, ProgramTest, path_of, run

MIB = 1 << 20
GIB = 1 << 30


class PlanTest(ProgramTest):
    def plan(self, *arguments):
        return json.loads(self.succeed("plan", *arguments, "--json"))

    def test_total_is_the_sum(self):
        plan = self.plan("--model", BUILTIN)
        self.assertEqual(plan["total_bytes"], sum(plan["bytes"].values()))
        self.assertTrue(plan["fits"])
        table = self.succeed("plan", "--model", BUILTIN).decode()
        self.assertIn(f"{plan['total_bytes']}", table)
        self.assertIn("fits in", table)

    def test_json_has_its_keys(self):
        plan = self.plan()
        for key in ["total_bytes", "mapped_bytes", "bytes", "device", "weight_format", "kv_format",
                    "activation_format", "max_context", "max_batch_tokens", "max_batch_sequences",
                    "kv_cache_tokens", "kv_block_tokens", "longest_context", "session_bytes",
                    "limit_bytes", "fits", "largest_context", "largest_batch"]:
            self.assertIn(key, plan)

    def test_memory_to_swap_to_is_part_of_it(self):
        model = ["--model", "llama-3.2-1b"]
        plan = self.plan(*model, "--swap", "1G")
        self.assertEqual(plan["swap_blocks"], 1023)  # of 1 MiB and 64 bytes
        self.assertEqual(plan["bytes"]["swap"], 1023 * (MIB + 64))
        self.assertEqual(plan["total_bytes"], sum(plan["bytes"].values()))
        self.assertIn("\nswap ", self.succeed("plan", *model, "--swap", "1G").decode())
        self.assertNotIn("\nswap ", self.succeed("plan", *model).decode())
        self.fail_with("plan", *model, "--swap", "1", says=["swap_bytes = 1 hold no block"])

    def test_says_what_does_not_fit(self):
        self.assertIn("does not fit in 1.0 MiB of budget",
                      self.succeed("plan", "--memory-budget", "1M").decode())
        plan = self.plan("--memory-budget", "1M")
        self.assertFalse(plan["fits"])
        self.assertEqual((plan["largest_context"], plan["largest_batch"]), (0, 0))

    def test_options_change_it(self):
        totals = [self.plan("--weights", weights)["bytes"]["weights"]
                  for weights in ["int4", "int8", "bf16", "f32"]]
        self.assertEqual(totals, sorted(set(totals)))

    def test_the_largest_context_fits_and_a_longer_one_does_not(self):
        # A budget that leaves less than the model's own context.
        model, budget = "llama-3.2-1b", 3 * GIB
        most = self.plan("--model", model, "--memory-budget", str(budget))["largest_context"]
        self.assertGreater(most, 1000)
        self.assertLess(most, 131072)
        options = ["--model", model, "--memory-budget", str(budget), "--max-context"]
        self.assertTrue(self.plan(*options, str(most))["fits"])
        self.assertFalse(self.plan(*options, str(most + 1))["fits"])

    def test_the_largest_batch_is_what_the_cache_holds(self):
        plan = self.plan("--model", "llama-3.2-1b", "--weights", "int4", "--max-context", "1024",
                         "--memory-budget", "2G")
        # 32 KiB a token in bf16; the rest of the plan grows with the logits of each session.
        room = 2 * GIB - plan["bytes"]["weights"] - plan["bytes"]["activations"]
        self.assertLessEqual(plan["largest_batch"] * 1024 * 32768, room)
        self.assertGreater(plan["largest_batch"] * (1024 * 32768 + 4 * MIB), 0.9 * room)

    def test_a_context_that_is_all_of_the_model_is_said_so(self):
        self.assertIn("all that the model has",
                      self.succeed("plan", "--memory-budget", "64M").decode())

    def test_shapes_have_plans_that_no_machine_has_to_hold(self):
        plan = self.plan("--model", "qwen2.5-32b", "--weights", "f32")
        self.assertAlmostEqual(plan["bytes"]["weights"] / (4 * 32.76e9), 1, places=2)
        self.fail_with("plan", "--model", "gpt-9", says=["gpt-9", "qwen2.5-32b"])

    def test_lines_fit_the_terminal_and_have_no_colour_elsewhere(self):
        text = self.succeed("plan").decode()
        self.assertNotIn("\x1b", text)
        self.assertLessEqual(max(len(line) for line in text.splitlines()), 80)
        self.assertIn("###", text)
        for columns, has_bars in [(45, False), (60, True)]:
            shown = self.on_terminal(columns, "plan", "--memory-budget", "64M")
            self.assertEqual("##" in shown, has_bars, shown)
            self.assertIn("\x1b[1mtotal", shown)

    def on_terminal(self, columns, program, *arguments):
        """What the program prints on a terminal of so many columns."""
        pid, descriptor = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.environ.pop("NO_COLOR", None)
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
            os.execv(path_of(program), [program, *arguments])
        shown = b""
        try:
            while chunk := os.read(descriptor, 4096):
                shown += chunk
        except OSError:  # the other end was closed
            pass
        os.close(descriptor)
        self.assertEqual(os.waitpid(pid, 0)[1], 0)
        return shown.decode()


class FitTest(ProgramTest):
    def choices(self, *arguments):
        answer = json.loads(self.succeed("plan", *arguments, "--json"))
        return answer, answer["choices"]

    def test_the_least_rounded_formats_that_fit_come_first(self):
        answer, choices = self.choices("--fit", "24G", "--model", "llama-3-8b")
        self.assertEqual((answer["limit_bytes"], answer["context"]), (24 * GIB, 8192))
        first = choices[0]
        self.assertEqual((first["weight_format"], first["kv_format"]), ("bf16", "bf16"))
        self.assertEqual(len(choices), 9)
        self.assertTrue(all(choice["fits"] for choice in choices))
        # The formats that fit into less: none with weights in bf16, which take 16 GB.
        _, choices = self.choices("--fit", "12G", "--model", "llama-3-8b")
        self.assertEqual(choices[0]["weight_format"], "int8")
        self.assertEqual([choice["fits"] for choice in choices], [True] * 6 + [False] * 3)
        self.assertTrue(all(choice["weight_format"] == "bf16" for choice in choices[6:]))

    def test_what_it_says_to_fit_is_what_a_budget_allows(self):
        _, choices = self.choices("--fit", "6G", "--model", "llama-3-8b", "--max-context", "2048")
        for choice in choices:
            if not choice["fits"]:
                continue
            for context, fits in [(choice["largest_context"], True),
                                  (choice["largest_context"] + 1, False)]:
                if context > 8192:  # all that the model has
                    continue
                plan = json.loads(self.succeed(
                    "plan", "--model", "llama-3-8b", "--memory-budget", "6G", "--json",
                    "--weights", choice["weight_format"], "--kv", choice["kv_format"],
                    "--max-context", str(context)))
                self.assertEqual(plan["fits"], fits, choice)

    def test_formats_that_are_asked_for_are_the_only_ones(self):
        _, choices = self.choices("--fit", "1G", "--weights", "int4", "--kv", "int8")
        self.assertEqual([(c["weight_format"], c["kv_format"]) for c in choices],
                         [("int4", "int8")])
        _, choices = self.choices("--fit", "1G", "--activations", "int8")
        self.assertEqual({c["weight_format"] for c in choices}, {"int4", "int8"})

    def test_a_quantized_checkpoint_has_its_own_format_only(self):
        target = os.path.join(self.folder, "int4")
        self.assertEqual(run("quantize", BUILTIN, target, "--weights", "int4").status, 0)
        _, choices = self.choices("--fit", "1G", "--model", target)
        self.assertEqual({c["weight_format"] for c in choices}, {"int4"})

    def test_the_table_has_a_line_a_choice(self):
        text = self.succeed("plan", "--fit", "12G", "--model", "llama-3-8b").decode()
        self.assertEqual(len(text.splitlines()), 10)
        self.assertEqual(text.count("does not fit"), 3)
        self.assertNotIn("\x1b", text)
        self.assertIn("nothing fits in 1.0 MiB",
                      self.succeed("plan", "--fit", "1M", "--model", "llama-3-8b").decode())

    def test_wrong_usage(self):
        for arguments in [["--fit", "0"], ["--fit", "many"], ["--fit"],
                          ["--fit", "1G", "--memory-budget", "1G"]]:
            result = run("plan", *arguments)
            self.assertEqual(result.status, 2, arguments)
            self.assertEqual(result.stderr.count("\n"), 1, result.stderr)
        self.assertIn("--fit SIZE", self.succeed("plan", "--help").decode())


if __name__ == "__main__":
    unittest.main()
