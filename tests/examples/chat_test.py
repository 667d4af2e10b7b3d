"""chat: replies on a pipe, a conversation on a terminal."""

import os
import pty
import re
import select
import signal
import subprocess
import time
import unittest

from programs import SANITIZED, ProgramTest, edit_json, make_slow_model, path_of, run

SUM = ["--prompt", "1.1+2.3=?", "--temperature", "0"]
PATIENCE = 60 if SANITIZED else 20


class Terminal:
    """chat at the other end of a pseudo-terminal."""

    def __init__(self, *arguments, **environment):
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8", **environment})
            os.environ.pop("NO_COLOR", None)
            os.environ.update(environment)
            os.execv(path_of("chat"), ["chat", *arguments])

    def read_until(self, pattern):
        """What came until the pattern, which is searched for in what was not returned before."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.seen)):
            if time.monotonic() > deadline:
                raise AssertionError(f"no {pattern} in {self.seen}")
            if not select.select([self.fd], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                raise AssertionError(f"ended without {pattern}: {self.seen}")
            self.seen += data
        text, self.seen = self.seen[:found.end()], self.seen[found.end():]
        return text

    def prompt(self):
        return self.read_until(rb">(\x1b\[0m)? ")

    def send(self, data):
        os.write(self.fd, data if isinstance(data, bytes) else data.encode())

    def status(self):
        """Of the end, for which it waits."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                if select.select([self.fd], [], [], 0.05)[0]:
                    self.seen += os.read(self.fd, 65536)
            except OSError:
                pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        raise AssertionError(f"does not end: {self.seen}")


class PipeTest(ProgramTest):
    def test_the_built_in_model_adds(self):
        self.assertTrue(self.succeed("chat", *SUM).endswith(b"3.4\n"))

    def test_several_answers_come_best_first(self):
        sampled = ["--prompt", "1.1+2.3=?", "--temperature", "1.2", "--seed", "7"]
        text = self.succeed("chat", *sampled, "--samples", "5").decode()
        scores = [float(score) for score in re.findall(r"^--- \d of 5, score (-?[\d.]+)$", text, re.M)]
        self.assertEqual(len(scores), 5)
        self.assertEqual(scores, sorted(scores, reverse=True))
        self.assertIn(self.succeed("chat", *sampled), text.encode())
        beams = self.succeed("chat", "--prompt", "1.1+2.3=?", "--beams", "3").decode()
        self.assertRegex(beams, r"^--- 1 of 3, score -0\.\d+\n[^-]*3\.4\n--- 2 of 3")
        short = self.succeed("chat", "--prompt", "Once", "--raw", "--beams", "2", "--max-tokens", "1")
        self.assertEqual(len(short.splitlines()), 4)

    def test_works_from_any_folder(self):
        done = subprocess.run([path_of("chat"), *SUM], cwd=self.folder, capture_output=True, check=True)
        self.assertTrue(done.stdout.endswith(b"3.4\n"))

    def test_nothing_stays_in_the_temporary_folder(self):
        self.succeed("chat", *SUM, environment={"TMPDIR": self.folder})
        self.assertEqual(os.listdir(self.folder), [])
        self.fail_with("chat", *SUM, "--memory-budget", "1", says="bytes",
                       environment={"TMPDIR": self.folder})
        self.assertEqual(os.listdir(self.folder), [])

    def test_a_temporary_folder_that_is_not_there(self):
        self.fail_with("chat", *SUM, says="nowhere", environment={"TMPDIR": "/nowhere"})

    def test_formats_and_threads(self):
        for weights in ["f32", "bf16", "f16", "int8", "int4"]:
            reply = self.succeed("chat", *SUM, "--weights", weights, "--threads", "1", "--kv", "f32")
            self.assertTrue(reply.endswith(b"3.4\n"), weights)

    def test_max_tokens(self):
        whole = self.succeed("chat", *SUM)
        short = self.succeed("chat", *SUM, "--max-tokens", "3")
        self.assertTrue(whole.startswith(short[:-1]))
        self.assertLess(len(short), len(whole))

    def test_a_seed_repeats_a_reply(self):
        arguments = ["--prompt", "hello", "--temperature", "2", "--seed", "7", "--max-tokens", "30"]
        self.assertEqual(self.succeed("chat", *arguments), self.succeed("chat", *arguments))

    def test_raw_completes_text(self):
        self.succeed("chat", "--raw", "--prompt", "1.1", "--max-tokens", "4", "--temperature", "0")

    def test_stats_are_on_stderr(self):
        result = run("chat", *SUM, "--stats")
        self.assertEqual(result.stdout, self.succeed("chat", *SUM))
        for line in [r"load +[\d.]+ s", r"memory .*weights .*kv cache", r"prompt +\d+ tokens, [\d.]+ tok",
                     r"generation +\d+ tokens, [\d.]+ tokens/s"]:
            self.assertRegex(result.stderr, line)

    def test_lines_from_a_pipe_are_messages(self):
        lines = b"1.1+2.3=?\n\n/reset\n1.1+2.3=?\n/quit\n1+1=?\n"
        result = run("chat", "--temperature", "0", stdin=lines)
        self.assertEqual(result.status, 0, result.stderr)
        self.assertEqual(result.stdout, 2 * self.succeed("chat", *SUM))
        self.assertNotIn(b"\x1b", result.stdout + result.stderr.encode())

    def test_save_and_load(self):
        path = os.path.join(self.folder, "saved")
        result = run("chat", "--temperature", "0", stdin=f"1.1+2.3=?\n/save {path}\n2+2=?\n".encode())
        self.assertEqual(result.status, 0, result.stderr)
        self.assertTrue(os.path.exists(path))
        again = run("chat", "--temperature", "0", stdin=f"/load {path}\n2+2=?\n".encode())
        self.assertEqual(again.status, 0, again.stderr)
        self.assertTrue(result.stdout.endswith(again.stdout))
        self.assertTrue(again.stdout)

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_a_reply_that_cannot_be_written_is_a_failure(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([path_of("chat"), *SUM], stdout=full, stderr=subprocess.PIPE,
                                  check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"the output cannot be written", done.stderr)

    def test_a_reader_that_leaves_ends_the_reply(self):
        model = make_slow_model(os.path.join(self.folder, "slow"))
        for signals_as_usual in [True, False]:  # else SIGPIPE is ignored, as under many servers
            process = subprocess.Popen([path_of("chat"), "--model", model, "--prompt", "hello"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       restore_signals=signals_as_usual)
            process.stdout.read(1)
            process.stdout.close()
            errors = process.stderr.read()
            process.stderr.close()
            status = process.wait(timeout=PATIENCE)
            self.assertEqual(status, -signal.SIGPIPE if signals_as_usual else 1, errors)

    def test_closed_standard_streams_are_not_taken_by_other_files(self):
        def run_shell(redirection):
            return subprocess.run(["sh", "-c", f'"$0" "$@" {redirection}', path_of("chat"), *SUM],
                                  capture_output=True, timeout=PATIENCE, check=False)

        self.assertTrue(run_shell("<&-").stdout.endswith(b"3.4\n"))
        closed = run_shell(">&-")
        self.assertEqual(closed.returncode, 1)
        self.assertIn(b"the output cannot be written", closed.stderr)
        self.assertTrue(run_shell("2>&-").stdout.endswith(b"3.4\n"))
        # Without an input there is nothing to say.
        done = subprocess.run(["sh", "-c", '"$0" <&-', path_of("chat")], capture_output=True,
                              timeout=PATIENCE, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", b""))

    def test_text_that_is_no_utf8_is_refused(self):
        self.fail_with("chat", "--prompt", b"a\xff", says="UTF-8")

    def test_without_a_chat_template_there_is_raw(self):
        model = self.copy_of_builtin("tokenizer_config.json")
        edit_json(os.path.join(model, "tokenizer_config.json"),
                  lambda config: config.pop("chat_template"))
        self.fail_with("chat", "--model", model, "--prompt", "hello", says=["chat template", "--raw"])
        self.succeed("chat", "--model", model, "--raw", "--prompt", "hello", "--max-tokens", "2")

    def test_a_failure_in_a_script_ends_it(self):
        result = run("chat", stdin=b"/load /nowhere/file\n1+1=?\n")
        self.assertEqual((result.status, result.stdout), (1, b""))
        self.assertIn("/nowhere/file", result.stderr)


class TerminalTest(ProgramTest):
    def test_a_conversation(self):
        chat = Terminal("--temperature", "0")
        self.assertIn(b"/help", chat.prompt())
        chat.send("1.1+2.3=?\r")
        self.assertIn(b"3.4", chat.read_until(rb"3\.4\r\n"))
        chat.prompt()
        chat.send("/help\r")
        chat.read_until(rb"/save FILE")
        chat.prompt()
        chat.send("/reset\r")
        chat.read_until(rb"a new conversation")
        chat.prompt()
        chat.send("/nonsense\r")
        chat.read_until(rb"/nonsense is no command")
        chat.prompt()
        chat.send("/load /nowhere/file\r")
        chat.read_until(rb"chat: .*/nowhere/file")
        chat.prompt()
        chat.send("/quit\r")
        self.assertEqual(chat.status(), 0)

    def test_history_comes_back_with_the_arrow_keys(self):
        chat = Terminal("--temperature", "0")
        chat.prompt()
        chat.send("1.1+2.3=?\r")
        chat.read_until(rb"3\.4\r\n")
        chat.prompt()
        chat.send(b"\x1b[A\r")
        try:
            chat.read_until(rb"3\.4\r\n")
        except AssertionError:
            self.skipTest("built without libedit")
        finally:
            os.kill(chat.pid, signal.SIGTERM)
            chat.status()

    def test_messages_of_several_lines(self):
        options = ["--raw", "--max-tokens", "1", "--temperature", "0", "--stats"]
        count = rb"prompt +(\d+) tokens"
        expected = run("chat", *options, "--prompt", "hello\nhello").stderr.encode()
        for typed in [b"hello\\\rhello\r", b"\x1b[200~hello\nhello\n\x1b[201~\r"]:  # \\ and a paste
            chat = Terminal(*options)
            chat.prompt()
            chat.send(typed)
            try:
                said = chat.read_until(count + rb".*\r\n")
            except AssertionError:
                if b"200~" in typed:
                    self.skipTest("built without libedit")
                raise
            self.assertEqual(re.findall(count, said), re.findall(count, expected), said)
            chat.prompt()
            chat.send(b"\x04")
            self.assertEqual(chat.status(), 0)

    def test_control_c_stops_a_reply_and_not_the_program(self):
        model = make_slow_model(os.path.join(self.folder, "slow"))
        chat = Terminal("--model", model, "--temperature", "0")
        for _ in range(2):
            chat.prompt()
            chat.send("hello\r")
            chat.read_until(rb"hello\r\n")
            chat.read_until(rb"[^\s>]{20}")
            stopped = time.monotonic()
            chat.send(b"\x03")
            chat.read_until(rb"\(stopped\)")
            self.assertLess(time.monotonic() - stopped, 10 if SANITIZED else 1)
        chat.prompt()
        chat.send("/reset\r")
        chat.read_until(rb"a new conversation")
        chat.prompt()
        chat.send("/quit\r")
        self.assertEqual(chat.status(), 0)

    def test_control_c_twice_at_the_prompt_leaves(self):
        chat = Terminal()
        chat.prompt()
        chat.send(b"half a li\x03")
        chat.read_until(rb"Ctrl-C again")
        chat.prompt()
        chat.send(b"\x03")
        self.assertEqual(chat.status(), 0)

    def test_control_d_leaves(self):
        chat = Terminal()
        chat.prompt()
        chat.send(b"\x04")
        self.assertEqual(chat.status(), 0)

    def test_colours_only_where_wanted(self):
        colour = re.compile(rb"\x1b\[\d+m")
        for environment, wanted in [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)]:
            chat = Terminal(**environment)
            shown = chat.prompt()
            chat.send(b"\x04")
            self.assertEqual(chat.status(), 0)
            self.assertEqual(bool(colour.search(shown)), wanted, (environment, shown))

    def test_control_c_ends_a_single_reply_by_the_signal(self):
        model = make_slow_model(os.path.join(self.folder, "slow"))
        process = subprocess.Popen([path_of("chat"), "--model", model, "--prompt", "hello",
                                    "--temperature", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, -signal.SIGINT, errors)


if __name__ == "__main__":
    unittest.main()
