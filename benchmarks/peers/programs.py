"""Runs one measuring program at a time and reads what it prints: llmcore's and the peers'."""

import json
import os
import re
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


class ProgramError(Exception):
    """A program failed, ran too long or printed something else than results."""


@dataclass
class Finished:
    """A program that ran to its end."""

    stdout: str
    stderr: str
    peak_rss_bytes: int
    rivals: float  # share of the cores' time that others took, the host of a virtual machine included


def _busy_seconds(cores):
    """What the cores have spent on anything so far, and what the host took from them."""
    names = {f"cpu{core}" for core in cores}
    ticks = 0
    with open("/proc/stat", encoding="ascii") as file:
        for line in file:
            name, *values = line.split()
            if name in names:  # user, nice, system, idle, iowait, irq, softirq, steal
                ticks += sum(int(values[i]) for i in (0, 1, 2, 5, 6, 7))
    return ticks / os.sysconf("SC_CLK_TCK")


def run(command, cores, environment, timeout):
    """Runs a program on `cores` to its end; ProgramError unless it ends well and in time."""
    with tempfile.TemporaryDirectory() as directory, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, cwd=directory,
            env={**os.environ, **environment}, start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, cores))
        late = threading.Event()

        def stop():
            late.set()
            process.kill()

        busy, begin = _busy_seconds(cores), time.monotonic()
        timer = threading.Timer(timeout, stop)
        timer.start()
        try:
            # wait4 rather than wait: it says what this child, and no other, had resident at most.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            process.wait()
            raise
        finally:
            timer.cancel()
        others = _busy_seconds(cores) - busy - usage.ru_utime - usage.ru_stime
        rivals = max(others, 0) / ((time.monotonic() - begin) * len(set(cores)))
        out.seek(0)
        err.seek(0)
        stdout = out.read().decode(errors="replace")
        stderr = err.read().decode(errors="replace")
    if late.is_set():
        raise ProgramError(f"took more than {timeout} s")
    if process.returncode != 0:
        lines = (stderr.strip() or stdout.strip()).splitlines()
        raise ProgramError(f"ended with {process.returncode}: {' / '.join(lines[-3:])}")
    return Finished(stdout, stderr, usage.ru_maxrss * 1024, rivals)  # Linux counts KiB


def parse(text, what):
    try:
        return json.loads(text)
    except ValueError as error:
        raise ProgramError(f"{what} printed no JSON: {error}") from error


def _number(value, what):
    if not isinstance(value, (int, float)) or not value > 0:
        raise ProgramError(f"{what} is {value!r}")
    return float(value)


def llmcore_values(stdout):
    """What llmcore_bench --json printed."""
    result = parse(stdout, "llmcore_bench")
    values = {"load_seconds": _number(result.get("load_seconds"), "load_seconds"),
              "plan_bytes": _number(result.get("plan_bytes"), "plan_bytes")}
    for name, samples in (("prompt", "prompt_tokens_per_second"),
                          ("generation", "generation_tokens_per_second")):
        if result.get(f"{samples}_samples"):
            values[name] = _number(result.get(samples), samples)
    return values


def llama_bench_values(stdout):
    """What llama-bench -o json printed: one entry a test."""
    values = {}
    start = stdout.find("[")  # some print a line about themselves first
    for entry in parse(stdout[max(start, 0):], "llama-bench"):
        name = "generation" if entry.get("n_gen") else "prompt"
        values[name] = _number(entry.get("avg_ts"), f"avg_ts of {name}")
    return values


# |    PP |     TG |    B |   N_KV |   T_PP s | S_PP t/s |   T_TG s | S_TG t/s | ...
_BATCH_ROW = re.compile(r"^\|\s*\d+ \|\s*\d+ \|\s*(\d+) \|\s*\d+ \|[^|]*\|[^|]*\|[^|]*\|\s*([0-9.]+) \|", re.M)


def batched_bench_values(text, sequences):
    """What llama-batched-bench printed: generation of so many sequences together."""
    for batch, speed in _BATCH_ROW.findall(text):
        if int(batch) == sequences:
            return {"generation": _number(float(speed), "S_TG t/s")}
    raise ProgramError(f"llama-batched-bench printed no row of {sequences} sequences")
