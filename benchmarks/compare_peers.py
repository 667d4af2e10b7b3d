#!/usr/bin/env python3
"""Compares llmcore's speed and memory on the CPU with built llama.cpp-like peers.

Every competitor runs the same random-weight shapes, in turns, on the same pinned cores, with the machine's
ceilings probed before and after. Prints a Markdown table of medians, spreads, ratios and targets. What was
measured is kept in --out after every run: the same command goes on where it was interrupted, and a larger
--turns adds turns. A run is measured again when its command or its program changed.

  compare_peers.py --build build --models /tmp/models --out results.json \\
      --peer llama.cpp=/src/llama.cpp/build/bin \\
      --peer ik=/src/ik_llama.cpp/build/bin \\
      --peer ik-rtr=/src/ik_llama.cpp/build/bin --bench-args 'ik-rtr=-rtr 1' --batched-args ik-rtr=-rtr \\
      --peer ik-iq4_ks=/src/ik_llama.cpp/build/bin --int4 ik-iq4_ks=iq4_ks
"""

import argparse
import datetime
import glob
import json
import os
import platform
import re
import shlex
import sys
import time

from peers import gguf, plan, programs, report
from peers.shapes import SHAPES


def note(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


def arguments(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build", metavar="DIR",
                        help="llmcore's build directory, with llmcore_bench and ceilings (default: build)")
    parser.add_argument("--models", metavar="DIR", default="peer-models",
                        help="where GGUF files are written once and kept; up to 15 GB (default: peer-models)")
    parser.add_argument("--out", metavar="FILE", default="peers.json",
                        help="measurements, read and added to (default: peers.json)")
    parser.add_argument("--markdown", metavar="FILE", help="write the table there too")
    parser.add_argument("--peer", action="append", default=[], metavar="LABEL=DIR",
                        help="a peer and the directory of its llama-bench and llama-batched-bench; repeatable")
    parser.add_argument("--bench-args", action="append", default=[], metavar="LABEL=ARGS",
                        help="further arguments of a peer's llama-bench")
    parser.add_argument("--batched-args", action="append", default=[], metavar="LABEL=ARGS",
                        help="further arguments of a peer's llama-batched-bench")
    parser.add_argument("--int4", action="append", default=[], metavar="LABEL=FORMAT",
                        help="the format that stands for int4 with a peer: q4_0, the default, or iq4_ks; a peer "
                             "with another one than q4_0 runs int4 alone")
    parser.add_argument("--version-of", action="append", default=[], metavar="LABEL=TEXT",
                        help="what to call a peer's version in the table")
    parser.add_argument("--turns", type=int, default=5, help="turns in all (default: 5)")
    parser.add_argument("--cores", metavar="LIST",
                        help="cores to pin to, as 0,1 (default: those that this process may use)")
    parser.add_argument("--only", metavar="REGEX", help="only jobs whose name this is found in; see --list")
    parser.add_argument("--timeout", type=float, default=900, metavar="SECONDS", help="of one run (default: 900)")
    parser.add_argument("--retries", type=int, default=2, metavar="N",
                        help=f"times that a run is repeated while other programs take more than "
                             f"{report.QUIET:.0%}% of its cores (default: 2); the least disturbed counts")
    parser.add_argument("--list", action="store_true", help="list the jobs and end")
    parser.add_argument("--prepare", action="store_true", help="only write the GGUF files")
    parser.add_argument("--report", action="store_true", help="only print the table of what was measured")
    args = parser.parse_args(argv)

    def labelled(option, known=None):
        pairs = {}
        for text in getattr(args, option):
            label, equals, value = text.partition("=")
            if not label or not equals or (known is not None and label not in known):
                parser.error(f"--{option.replace('_', '-')} {text!r}: LABEL=VALUE of a --peer is expected")
            pairs[label] = value
        return pairs

    directories = labelled("peer")
    if len(directories) != len(args.peer) or any(label.startswith("llmcore") for label in directories):
        parser.error("every --peer needs a label of its own, and llmcore is not one")
    bench, batched = labelled("bench_args", directories), labelled("batched_args", directories)
    int4, args.versions = labelled("int4", directories), labelled("version_of", directories)
    for label, format in int4.items():
        if format not in ("q4_0", "iq4_ks"):
            parser.error(f"--int4 {label}={format}: q4_0 and iq4_ks are known")
    args.peers = [plan.Peer(label, os.path.abspath(directory), int4.get(label, "q4_0"),
                            tuple(shlex.split(bench.get(label, ""))),
                            tuple(shlex.split(batched.get(label, ""))))
                  for label, directory in directories.items()]
    try:
        args.core_list = ([int(core) for core in args.cores.split(",")] if args.cores
                          else sorted(os.sched_getaffinity(0)))
    except ValueError:
        parser.error(f"--cores {args.cores!r}: numbers and commas are expected")
    if args.retries < 0:
        parser.error("--retries: at least 0")
    if args.turns < 1:
        parser.error("--turns: at least 1")
    args.jobs = plan.jobs(len(args.core_list))
    if args.only:
        try:
            args.jobs = [job for job in args.jobs if re.search(args.only, job.id)]
        except re.error as error:
            parser.error(f"--only {args.only!r}: {error}")
        if not args.jobs:
            parser.error(f"--only {args.only!r}: no job has such a name; --list lists them")
    return args


def model_file(args, job, format):
    """Path of a GGUF file, written if it is not there; None where the format does not fit the shape."""
    shape = SHAPES[job.shape]
    if shape.hidden % gguf.FORMATS[format].block:
        return None
    os.makedirs(args.models, exist_ok=True)
    path = os.path.abspath(os.path.join(args.models, f"{job.shape}-{format}.gguf"))
    if not os.path.exists(path):
        def progress(done, total):
            note(f"\rwriting {path}: {100 * done // total}% of {total / 1e9:.1f} GB", end="")

        gguf.write(path, shape, format, progress)
        note("")
    return path


def stamp(path):
    """Tells a program from what it is after it is built anew; of llmcore, its library too."""
    files = [path]
    if os.path.basename(path) == "llmcore_bench":
        root = os.path.dirname(os.path.dirname(path))
        files += glob.glob(f"{root}/**/libllmcore.so*", recursive=True)
    return max(os.path.getmtime(file) for file in files)


class Comparison:
    def __init__(self, args):
        self.args = args
        self.bench = os.path.abspath(os.path.join(args.build, "benchmarks", "llmcore_bench"))
        self.ceilings = os.path.abspath(os.path.join(args.build, "benchmarks", "kernels", "ceilings"))
        self.results = {"format": 1, "machine": machine(args), "versions": {}, "turns": {}}
        if os.path.exists(args.out):
            with open(args.out, encoding="utf-8") as file:
                self.results = json.load(file)
            if self.results.get("format") != 1:
                raise ValueError(f"{args.out} was not written by this program")
            here = machine(args)
            if self.results["machine"] != here:
                raise ValueError(f"{args.out} is of another machine or other cores: "
                                 f"{self.results['machine']}, not {here}")
        for peer in args.peers:
            self.results["versions"][peer.label] = args.versions.get(
                peer.label, self.results["versions"].get(peer.label, ""))

    def save(self):
        partial = self.args.out + ".partial"
        with open(partial, "w", encoding="utf-8") as file:
            json.dump(self.results, file, indent=1)
            file.write("\n")
        os.replace(partial, self.args.out)

    def commands(self, job):
        """Label to (command, reader of what it prints)."""
        found = {label: (command, lambda out, err: programs.llmcore_values(out))
                 for label, command in plan.llmcore_commands(job, self.bench).items()}
        for peer in self.args.peers if job.kind != "context" else []:
            format = peer.format(job.weights)
            model = format and model_file(self.args, job, format)
            if not model:
                continue
            if job.kind == "single":
                read = lambda out, err: programs.llama_bench_values(out)
            else:
                read = lambda out, err: programs.batched_bench_values(out + "\n" + err, job.sequences)
            found[peer.label] = (peer.command(job, model), read)
        return found

    def measure(self, job, command, read):
        cores = self.args.core_list[:job.threads]
        # OpenMP programs leave their threads where the system puts them unless they are told.
        places = " ".join(str(core) for core in cores)
        environment = {"GOMP_CPU_AFFINITY": places, "OMP_PROC_BIND": "true"}
        begin = time.monotonic()
        best = None
        for attempt in range(1 + self.args.retries):
            run = {"command": command, "stamp": stamp(command[0]),
                   "at": datetime.datetime.now().isoformat(timespec="seconds")}
            try:
                done = programs.run(command, cores, environment, self.args.timeout)
                run["values"] = read(done.stdout, done.stderr)
                run["peak_rss_bytes"], run["rivals"] = done.peak_rss_bytes, round(done.rivals, 4)
            except programs.ProgramError as error:
                run["error"] = str(error)
                return run
            if best is None or run["rivals"] < best["rivals"]:
                best = run
            if best["rivals"] <= report.QUIET:
                break
            if attempt < self.args.retries:
                note(f"(others took {100 * run['rivals']:.0f}%: again) ", end="")
        best["seconds"] = round(time.monotonic() - begin, 2)
        return best

    def probe(self, threads):
        done = programs.run([self.ceilings, "--threads", str(threads)],
                            self.args.core_list[:threads], {}, 60)
        return programs.parse(done.stdout, "ceilings")

    def pending(self, job, number):
        """What this turn still lacks, everyone beginning once."""
        commands = list(self.commands(job).items())
        turn = self.results["turns"].get(job.id, {}).get(str(number), {"runs": {}})
        shift = (number - 1) % len(commands)
        for label, (command, read) in commands[shift:] + commands[:shift]:
            old = turn["runs"].get(label)
            if old is None or "error" in old or (old["command"], old["stamp"]) != (
                    command, stamp(command[0])):
                yield label, command, read

    def turn(self, job, number):
        left = list(self.pending(job, number))
        if not left:
            return
        turn = self.results["turns"].setdefault(job.id, {}).setdefault(str(number), {"runs": {}})
        probes = [self.probe(job.threads)]
        for label, command, read in left:
            note(f"turn {number}/{self.args.turns}  {job.id:34} {label:16} ", end="")
            run = self.measure(job, command, read)
            turn["runs"][label] = run
            self.save()
            note(run["error"] if "error" in run else "  ".join(
                f"{key} {value:.1f}" for key, value in run["values"].items()
                if key in ("prompt", "generation")) + f"  {run['peak_rss_bytes'] / 1e6:.0f} MB")
        turn["ceilings"] = probes + [self.probe(job.threads)]
        self.save()

    def run(self):
        total = self.args.turns * len(self.args.jobs)
        begin, done, worked = time.monotonic(), 0, 0
        for number in range(1, self.args.turns + 1):
            for job in self.args.jobs:
                before = time.monotonic()
                self.turn(job, number)
                done += 1
                worked += time.monotonic() - before > 1
                if worked and done < total:
                    left = (time.monotonic() - begin) / worked * (total - done)
                    note(f"{done} of {total} done, about {left / 60:.0f} min to go")


def machine(args):
    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            fields = dict(line.split(":", 1) for line in file.read().split("\n\n")[0].splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in fields.items()}
        processor = (f"{fields['model name']} (family {fields['cpu family']} model {fields['model']})"
                     + (", virtual machine" if "hypervisor" in fields["flags"].split() else ""))
    except (OSError, KeyError):
        pass  # not Linux on x86: the plain name will do
    return {"processor": processor, "cores": len(args.core_list), "system": f"{platform.system()} {platform.machine()}"}


def main(argv):
    args = arguments(argv)
    if args.list:
        print("\n".join(job.id for job in args.jobs))
        return 0
    comparison = Comparison(args)
    if args.prepare:
        for job in args.jobs:
            comparison.commands(job)
        return 0
    if not args.report:
        for peer in args.peers:
            for program in ("llama-bench", "llama-batched-bench"):
                if not os.access(f"{peer.directory}/{program}", os.X_OK):
                    raise ValueError(f"--peer {peer.label}: there is no {program} in {peer.directory}")
        for program in (comparison.bench, comparison.ceilings):
            if not os.access(program, os.X_OK):
                raise ValueError(f"{program} is not built")
        comparison.run()
    text = report.markdown(comparison.results, args.jobs)
    print(text, end="")
    if args.markdown:
        with open(args.markdown, "w", encoding="utf-8") as file:
            file.write(text)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        note("\ninterrupted; the same command goes on from here")
        sys.exit(130)
    except (OSError, ValueError, programs.ProgramError) as error:
        note(f"compare_peers.py: {error}")
        sys.exit(1)
