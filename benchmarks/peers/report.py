"""Medians, ratios and the Markdown table of what was measured."""

from statistics import median

from peers import plan
from peers.shapes import SHAPES


# Share of the cores' time that others may take of a run: the programs that spin at barriers lose far more
# than that share to a rival.
QUIET = 0.06


def value_of(run, cell):
    """Of one run: tokens a second, or bytes for "memory"; None where it failed."""
    if run is None or "error" in run:
        return None
    return run.get("peak_rss_bytes") if cell == "memory" else run["values"].get(cell)


class Cell:
    """One job's cell over all turns."""

    def __init__(self, job, cell, turns):
        self.job, self.cell, self.turns = job, cell, turns
        labels = {label for turn in turns for label in turn["runs"]}
        self.values = {}  # label to the values of its turns
        for label in labels:
            values = [value_of(turn["runs"].get(label), cell) for turn in turns]
            self.values[label] = [v for v in values if v is not None]

    @property
    def ours(self):
        return self.values.get("llmcore", [])

    def best_peer(self):
        """Label of the best median (the least memory), or None."""
        peers = {label: median(v) for label, v in self.values.items() if label != "llmcore" and v}
        choose = min if self.cell == "memory" else max
        return choose(peers, key=peers.get) if peers else None

    def ratios(self):
        """llmcore's to the best peer's of the same turn."""
        peer = self.best_peer()
        ratios = []
        for turn in self.turns:
            ours = value_of(turn["runs"].get("llmcore"), self.cell)
            theirs = value_of(turn["runs"].get(peer), self.cell)
            if ours and theirs:
                ratios.append(ours / theirs)
        return ratios

    def of_ceiling(self):
        """What llmcore's linears reach of the ceilings that were probed around them: the peak of their
        dot product for prompts, the read bandwidth for generation. Values of the turns."""
        shape, parts = SHAPES[self.job.shape], []
        for turn in self.turns:
            speed = value_of(turn["runs"].get("llmcore"), self.cell)
            probes = turn.get("ceilings", [])
            if not speed or not probes or self.job.kind != "single":
                continue
            if self.cell == "prompt":
                kind = "bf16_dot" if self.job.weights == "bf16" else "int8_dot"
                ceiling = median(p[kind]["ops_per_second"] for p in probes)
                work = shape.prompt_ops()
            elif self.cell == "generation":
                key = "read_bytes_per_second"
                ceiling = median(p[key if self.job.threads > 1 else f"{key}_one_thread"] for p in probes)
                work = shape.generation_bytes(self.job.weights)
            else:
                continue
            if ceiling:
                parts.append(speed * work / ceiling)
        return parts

    def verdict(self):
        """(what is wanted, whether it is reached); ("", None) without a target."""
        if not self.ours:
            return "", None
        if self.cell == "memory":
            if self.job.weights != "int4":
                return "", None
            limit = self.job.memory_target()
            return f"<= {limit / 1e6:.0f} MB", median(self.ours) <= limit
        target, ratios = self.job.target(self.cell), self.ratios()
        if target is None or not ratios:
            return "", None
        return f">= {target}", median(ratios) >= target


def spread(values, form="{:.1f}"):
    if not values:
        return "-"
    text = form.format(median(values))
    return text if len(values) == 1 else f"{text} [{form.format(min(values))}-{form.format(max(values))}]"


def cells_of(results, jobs):
    for job in jobs:
        turns = list(results["turns"].get(job.id, {}).values())
        if turns:
            for cell in job.cells:
                yield Cell(job, cell, turns)


def _amount(cell, values):
    return spread([v / 1e6 for v in values], "{:.0f} MB") if cell == "memory" else spread(values)


def table(cells):
    """The comparison as Markdown."""
    lines = ["| shape | weights | threads | measured | llmcore | best peer | ratio | target | of the "
             "ceiling | other peers |", "|---|---|---|---|---|---|---|---|---|---|"]
    for c in cells:
        best = c.best_peer()
        name = {"prompt": f"prompt {plan.PROMPT}", "generation": f"generate {plan.GENERATION}",
                "memory": "peak memory"}[c.cell]
        if c.job.kind == "batch":
            name = f"{c.job.sequences} sequences"
        if c.job.kind == "context":
            name = f"{c.cell} at {plan.LONG}"
        wanted, reached = c.verdict()
        mark = "" if reached is None else (", met" if reached else ", missed")
        others = "; ".join(f"{label} {_amount(c.cell, v)}" for label, v in sorted(c.values.items())
                           if label not in ("llmcore", best))
        peer = f"{best} {_amount(c.cell, c.values[best])}" if best else "-"
        lines.append(
            f"| {c.job.shape} | {c.job.weights} | {c.job.threads} | {name} | "
            f"{_amount(c.cell, c.ours)} | {peer} | {spread(c.ratios(), '{:.2f}')} | {wanted}{mark} | "
            f"{spread([100 * v for v in c.of_ceiling()], '{:.0f}%')} | {others} |")
    return "\n".join(lines)


def ceilings(results):
    """Range of each ceiling over all probes, as Markdown lines."""
    probes = {}
    for turns in results["turns"].values():
        for turn in turns.values():
            for probe in turn.get("ceilings", []):
                probes.setdefault(probe["threads"], []).append(probe)
    lines = []
    for threads, found in sorted(probes.items()):
        def of(read, unit):
            return spread([read(p) / 1e9 for p in found], "{:.0f}") + " " + unit

        parts = [f"read bandwidth {of(lambda p: p['read_bytes_per_second'], 'GB/s')}"]
        for key, name in (("int8_dot", "int8 dot"), ("bf16_dot", "bf16 dot"), ("f32_fma", "f32")):
            if found[0][key]["ops_per_second"]:
                parts.append(f"{name} {of(lambda p, key=key: p[key]['ops_per_second'], 'GOP/s')} "
                             f"({found[0][key]['instruction']})")
        lines.append(f"- {threads} thread{'s' if threads > 1 else ''}, {len(found)} probes: "
                     + ", ".join(parts))
    return "\n".join(lines)


def failures(results):
    lines = []
    for job, turns in results["turns"].items():
        for number, turn in turns.items():
            for label, run in turn["runs"].items():
                if "error" in run:
                    lines.append(f"- {job}, turn {number}, {label}: {run['error']}")
    return "\n".join(lines)


def disturbed(results):
    lines = []
    for job, turns in results["turns"].items():
        for number, turn in turns.items():
            for label, run in turn["runs"].items():
                if run.get("rivals", 0) > QUIET:
                    lines.append(f"- {job}, turn {number}, {label}: {run['rivals']:.0%}")
    return "\n".join(lines)


def markdown(results, jobs):
    measured = {run["at"][:10] for turns in results["turns"].values() for turn in turns.values()
                for run in turn["runs"].values()}
    machine = results["machine"]
    parts = [f"{', '.join(sorted(measured))}. {machine['processor']}, {machine['cores']} cores used, "
             f"{machine['system']}. Medians [least-most] of the turns, tokens/s; a ratio is taken within a "
             "turn. Peers: " + ", ".join(f"{label} {version}".strip() for label, version
                                         in results["versions"].items()) + ".",
             table(cells_of(results, jobs)), "Ceilings, probed before and after each job of a turn:\n\n"
             + ceilings(results)]
    failed = failures(results)
    if failed:
        parts.append("Runs that failed:\n\n" + failed)
    rivals = disturbed(results)
    if rivals:
        parts.append("Runs whose cores others took a share of:\n\n" + rivals)
    return "\n\n".join(parts) + "\n"
