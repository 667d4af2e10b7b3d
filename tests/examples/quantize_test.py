"""quantize: a directory that is smaller and computes what quantizing at load computes."""

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
