"""Programs run in turns, and one table of what they measured."""

import dataclasses
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from benchmarks import tables, tuned

ROOT = Path(__file__).resolve().parents[1]
_LIMIT_S = 3600  # for one program
Results = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True)
class Program:
    """A command whose last line on stdout is one JSON object, see `timing.measure`."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def shown(self) -> str:
        """Returns the command with its environment, as one would type it."""
        variables = [f"{name}={value}" for name, value in self.environment.items()]
        return shlex.join([*variables, *self.command])


def run(
    programs: Sequence[Program],
    rounds: int,
    *,
    environment: Mapping[str, str],
    log: IO[str] | None,
) -> dict[str, list[dict[str, Any]]]:
    """Returns the results of every program, in the order of the rounds.

    Programs take turns within a round, so a busy machine hits them alike. One that
    fails is told on stderr and has a result less.

    Args:
        programs: what to run, from the repository's root.
        rounds: how often.
        environment: of all of them; each adds its own.
        log: gets every result as a line of JSON, at once.
    """
    results: dict[str, list[dict[str, Any]]] = {
        program.name: [] for program in programs
    }
    for number in range(rounds):
        for program in programs:
            print(f"round {number + 1}: {program.name}", file=sys.stderr, flush=True)
            result = _result(program, tuned.plain(environment))
            if result is None:
                continue
            results[program.name].append(result)
            if log:
                line = {"name": program.name, "round": number + 1, **result}
                log.write(json.dumps(line) + "\n")
                log.flush()
    return results


def _result(program: Program, environment: Mapping[str, str]) -> dict[str, Any] | None:
    try:
        done = subprocess.run(
            program.command,
            cwd=ROOT,
            env={**environment, **program.environment},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
        )
        return json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        reason = f"not done after {_LIMIT_S} s"
    except OSError as error:
        reason = f"it cannot be started ({error.strerror})"
    except json.JSONDecodeError:
        said = done.stderr.strip().rpartition("\n")[2]
        reason = f"exit status {done.returncode}, {said or 'nothing on stderr'}"
    print(f"{program.name} gave no result: {reason}", file=sys.stderr, flush=True)
    return None


def table(results: Results, reference: str) -> str:
    """Returns medians over the rounds as a Markdown table, one line a program.

    The two columns that name the reference say how many times as fast it is as the
    program of the line, by the clock and by CPU time. A dash: not measured.
    """
    facts = {name: _facts(every) for name, every in results.items()}
    for key in _RATES:
        rates = {
            name: medians[key] for name, medians in facts.items() if key in medians
        }
        for name in rates:
            if reference in rates:
                facts[name][_ratio(key)] = rates[reference] / rates[name]
    shown = [
        (key, heading.format(reference=reference), form)
        for key, heading, form in _COLUMNS
        if any(key in medians for medians in facts.values())
    ]
    return tables.table(
        [
            {"program": name}
            | {
                heading: form.format(medians[key]) if key in medians else "-"
                for key, heading, form in shown
            }
            for name, medians in facts.items()
        ]
    )


def _facts(every: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns the medians of what is a number, and what is shown of the rest."""
    if not every:
        return {}
    facts: dict[str, Any] = {
        key: statistics.median(result[key] for result in every)
        for key, value in every[0].items()
        if isinstance(value, int | float)
    }
    losses = every[0]["losses"]
    facts["losses"] = f"{losses[0]:.3f} to {losses[-1]:.3f}"
    first, last = every[0]["first_step_s"], every[-1]["first_step_s"]
    facts["first_step_s"] = f"{first:.1f}, {last:.1f}"
    return facts


def _ratio(key: str) -> str:
    return f"{key} of the reference"


_RATES = ("tokens_per_s", "tokens_per_cpu_s")
_COLUMNS = (  # key, heading, format
    ("tokens_per_s", "real tokens/s", "{:,.0f}"),
    (_ratio("tokens_per_s"), "{reference} is x", "{:.2f}"),
    ("tokens_per_cpu_s", "real tokens/CPU-s", "{:,.0f}"),
    (_ratio("tokens_per_cpu_s"), "{reference} is x by CPU", "{:.2f}"),
    ("step_ms", "step ms", "{:,.0f}"),
    ("cpu_ms", "CPU ms", "{:,.0f}"),
    ("tokens_per_step", "real tokens a step", "{:,.0f}"),
    ("real_share", "of positions", "{:.1%}"),
    ("gflops", "useful GFLOP/s", "{:,.0f}"),
    ("mfu", "MFU", "{:.1%}"),
    ("peak_rss_mb", "peak MB", "{:,.0f}"),
    ("peak_device_mb", "peak device MB", "{:,.0f}"),
    ("first_step_s", "first step s, first and last round", "{}"),
    ("losses", "loss", "{}"),
    ("others_share", "others' load", "{:.0%}"),
)
