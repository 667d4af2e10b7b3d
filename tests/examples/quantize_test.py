"""quantize: a directory that is smaller and computes what quantizing at load computes."""

import json
import os
import unittest

from programs import BUILTIN, ProgramTest, run

TOKENS = ["--tokens", "506,509,49,46,49", "--all"]


class QuantizeTest(ProgramTest):
    def test_loads_back_to_the_same_logits(self):
        for weights in ["int4", "int8"]:
            target = os.path.join(self.folder, weights)
            report = self.succeed("quantize", BUILTIN, target, "--weights", weights).decode()
            self.assertIn("MiB of weights, before" if "MiB of" in report else "KiB of weights, before",
                          report)
            self.assertGreater(report.count("\n"), 10, "a line a tensor")
            self.assertEqual(self.succeed("logits", "--model", target, *TOKENS),
                             self.succeed("logits", "--model", BUILTIN, "--weights", weights, *TOKENS))
            reply = self.succeed("chat", "--model", target, "--prompt", "1.1+2.3=?",
                                 "--temperature", "0")
            self.assertTrue(reply.endswith(b"3.4\n"))

    def test_the_layout_of_the_cpu_loads_to_the_same_logits(self):
        rows = os.path.join(self.folder, "rows")
        packed = os.path.join(self.folder, "packed")
        self.succeed("quantize", BUILTIN, rows, "--weights", "int4")
        report = self.succeed("quantize", BUILTIN, packed, "--weights", "int4", "--layout", "cpu").decode()
        self.assertIn("-> cpu-int4-v", report)
        self.assertEqual(self.succeed("logits", "--model", packed, *TOKENS),
                         self.succeed("logits", "--model", rows, *TOKENS))
        plan = json.loads(self.succeed("plan", "--model", packed, "--json"))
        self.assertGreater(plan["mapped_bytes"], 0.9 * plan["bytes"]["weights"])
        config = os.path.join(packed, "config.json")
        with open(config) as file:
            text = file.read()
        with open(config, "w") as file:
            file.write(text.replace("cpu-int4-v", "cpu-int4-w"))
        self.fail_with("chat", "--model", packed, "--prompt", "1+1=?", says="quantize the original again")

    def test_does_not_write_over_a_model(self):
        target = self.copy_of_builtin()
        before = sorted(os.listdir(target))
        self.fail_with("quantize", BUILTIN, target, "--weights", "int4", says="model")
        self.assertEqual(sorted(os.listdir(target)), before)

    def test_leaves_nothing_when_the_source_is_broken(self):
        source = self.copy_of_builtin()
        path = os.path.join(source, "model.safetensors")
        os.truncate(path, os.path.getsize(path) - 10)
        target = os.path.join(self.folder, "target")
        self.fail_with("quantize", source, target, "--weights", "int4", says="model.safetensors")
        self.assertNotEqual(run("plan", "--model", target).status, 0)


if __name__ == "__main__":
    unittest.main()
