"""The rules of docs/design.md, read off the syntax trees: imports, fences, sizes."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "amber_jax"
MODULES = sorted(PACKAGE.rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
COMMANDS = sorted([*(ROOT / "launch").glob("*.py"), *(ROOT / "configs").glob("*.py")])

# A package, or a file of the ground floor, and all that it may import besides itself.
# The order is that of the floors: whatever a set names stands before its key.
MAY_IMPORT = {
    "errors": set(),
    "stopping": set(),
    "types": set(),
    "progress": set(),
    "reductions": {"types"},
    "ranges": {"errors"},
    "remote_path": {"errors"},
    "storage": {"errors", "remote_path"},
    "files": {"errors", "storage"},
    "tasks": set(),
    "tokenization": {"errors", "files", "ranges", "storage"},
    "losses": {"types"},
    "model": {"types"},
    "search": {"errors", "tasks", "types"},
    "training": {"errors", "files", "reductions", "stopping", "storage", "types"},
    "corpora": {"errors", "files", "ranges", "storage", "tokenization"},
    "convert": {
        *("errors", "files", "storage", "tasks", "types", "model", "tokenization"),
    },
    "data": {"errors", "corpora", "tokenization"},
    "datasets": {"errors", "storage", "tasks", "corpora"},
    "config": {
        *("errors", "ranges", "tasks", "losses", "model", "search", "training"),
        "corpora",
    },
    "inference": {
        *("errors", "progress", "ranges", "storage", "types", "tokenization", "model"),
        *("search", "training", "corpora", "convert", "data", "config"),
    },
    "evaluation": {
        *(
            "errors",
            "files",
            "ranges",
            "storage",
            "tasks",
            "types",
            "tokenization",
            "model",
        ),
        *("search", "training", "datasets", "config", "inference"),
    },
    "report": {
        *("errors", "files", "storage", "tasks", "tokenization", "training", "corpora"),
        "evaluation",
    },
    "pretraining": {
        *(
            "errors",
            "reductions",
            "storage",
            "types",
            "tokenization",
            "losses",
            "model",
        ),
        *("training", "corpora", "data", "config", "inference", "evaluation"),
    },
    "finetuning": {
        *(
            "errors",
            "files",
            "ranges",
            "storage",
            "tasks",
            "types",
            "tokenization",
            "losses",
        ),
        *("model", "training", "data", "datasets", "config", "inference", "evaluation"),
        "report",
    },
    "commands": {
        *(
            "errors",
            "files",
            "storage",
            "progress",
            "ranges",
            "tasks",
            "model",
            "search",
        ),
        "training",
        *("corpora", "convert", "datasets", "config", "inference", "evaluation"),
        *("finetuning", "stopping"),
    },
    "verbs": {
        *(
            "errors",
            "ranges",
            "storage",
            "stopping",
            "tokenization",
            "training",
            "corpora",
        ),
        "config",
        *("inference", "evaluation", "pretraining", "finetuning", "report"),
        "commands",
    },
    "__main__": {"errors", "stopping", "commands"},
    "__init__": {"inference"},
}

FENCES = {  # third-party package -> the only places that may import it
    "tensorflow": {"data/pipeline.py", "convert/tensorflow_bert.py"},
    "orbax": {"training/checkpoint.py", "training/object_storage.py"},
    "etils": {"remote_path.py"},
    "fsspec": {"remote_path.py"},
    "ml_collections": {
        *("config/pretraining.py", "config/evaluation.py", "config/finetuning.py"),
        *("config/__init__.py", "config/optimizer.py", "config/kernels.py"),
        "config/corpus.py",
        *("pretraining/preparation.py", "pretraining/describe.py"),
        *("pretraining/forecast.py", "pretraining/stand_in.py"),
        *(
            "pretraining/run.py",
            "pretraining/beginning.py",
            "finetuning/run.py",
            "finetuning/zero_shot.py",
        ),
        *("finetuning/preparation.py", "finetuning/examples.py"),
        *("evaluation/retrieve.py", "evaluation/word_alignment.py"),
        *("commands/evaluate.py", "commands/config_flag.py", "verbs/build_corpus.py"),
    },
    "absl": {
        *("commands/command_line.py", "commands/config_flag.py"),
        "commands/distributed_flag.py",
        *(
            f"verbs/{path.stem.rstrip('_')}.py"
            for path in (ROOT / "launch").glob("*.py")
        ),
    },
    "matplotlib": {
        *("report/figures.py", "report/panels.py", "report/score_panels.py"),
    },
    "rich": {
        *("training/console.py", "corpora/summary.py", "report/terminal.py"),
        *("progress.py", "verbs/build_corpus.py"),
    },
    "apache_beam": {"corpora/beam.py"},
    "jinja2": {"report/pages.py"},
    "faiss": {"search/faiss_index.py"},
    "tensorflow_datasets": {"corpora/formats/tfds.py", "datasets/tfds_source.py"},
    "pyarrow": {"corpora/text.py", "corpora/formats/columns.py"},
    "safetensors": {"convert/weights.py"},
    "torch": {"convert/weights.py"},
    "wandb": {"training/trackers.py"},
    "mlflow": {"training/trackers.py"},
    "trackio": {"training/trackers.py"},
    "transformers": set(),
    "pickle": set(),
}


def name_of(path):
    return path.relative_to(PACKAGE if path in MODULES else ROOT).as_posix()


def room_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def room_of_module(module):
    return module.split(".")[1]


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def imports_of(path):
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "amber_jax":
                yield from (f"amber_jax.{alias.name}" for alias in node.names)


def functions_of(path):
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, kinds)]


def neighbors_of(room):
    """Which other rooms the modules of a room import."""
    return {
        room_of_module(module)
        for path in MODULES
        if room_of(path) == room
        for module in imports_of(path)
        if module.startswith("amber_jax.")
    } - {room}


@pytest.mark.parametrize("room", sorted({room_of(path) for path in MODULES}))
def test_a_package_imports_its_neighbors_and_no_others(room):
    assert neighbors_of(room) == MAY_IMPORT[room]


def test_of_evaluation_the_report_knows_the_files_alone():
    known = {
        module
        for path in (PACKAGE / "report").rglob("*.py")
        for module in imports_of(path)
        if module.startswith("amber_jax.evaluation")
    }
    assert known == {
        "amber_jax.evaluation.results",
        "amber_jax.evaluation.typed_json",
    }


def test_imports_run_downward():
    floors = list(MAY_IMPORT)
    for room, neighbors in MAY_IMPORT.items():
        assert all(floors.index(other) < floors.index(room) for other in neighbors)


@pytest.mark.parametrize("package", FENCES)
def test_each_library_stays_behind_its_fence(package):
    users = {
        name_of(path)
        for path in MODULES
        if package in {module.split(".")[0] for module in imports_of(path)}
    }
    assert users == FENCES[package]


def test_text_is_prepared_without_jax():
    for room in ("tokenization", "corpora"):
        for path in (PACKAGE / room).rglob("*.py"):
            libraries = {module.split(".")[0] for module in imports_of(path)}
            assert not libraries & {"jax", "flax", "tensorflow"}, path


def test_only_reductions_talk_to_other_devices():
    collectives = {"psum", "pmean", "all_gather", "axis_index", "psum_scatter"}
    for path in MODULES:
        used = {n.attr for n in ast.walk(tree_of(path)) if isinstance(n, ast.Attribute)}
        assert name_of(path) == "reductions.py" or not used & collectives, path


def test_only_files_give_something_written_its_name():
    renames = {"rename", "renames", "replace"}
    writers = {"files.py", "storage.py"}
    for path in (*MODULES, *COMMANDS, *BENCHMARKS):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Attribute) and node.attr in renames:
                of_path = node.attr != "replace" or ast.unparse(node.value) == "os"
                assert name_of(path) in writers or not of_path, path
        if name_of(path) not in writers:
            assert "PARTIAL" not in path.read_text("utf-8"), path


# Where a path is made of what no user names: a temporary folder, one of the system's, a
# config, which is Python, and the seam itself.
OWN_PATHS = {
    *("storage.py", "files.py", "corpora/dry_run.py", "training/allocator.py"),
    *("training/session.py", "commands/command_line.py", "commands/config_flag.py"),
    *("training/loop.py", "commands/mine.py"),
}


def test_what_a_user_names_may_lie_in_object_storage():
    """It becomes a path by `storage.location`, in verbs and configs above all."""
    own_paths = set()
    for path in (*MODULES, *COMMANDS):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and node.args:
                names = [ast.unparse(part) for part in (node.func, *node.args)]
                if "Path" in names and "__file__" not in names:
                    own_paths.add(name_of(path))
    assert own_paths == OWN_PATHS


def test_nothing_below_the_wiring_asks_the_machine():
    """The forms of the arithmetic are a value, see `inference/devices.py`."""
    asking = {"default_backend", "devices", "local_devices", "platform", "environ"}
    below = {"model", "losses", "search", "data"}
    for path in MODULES:
        if room_of(path) in below or name_of(path) == "training/step.py":
            named = {
                node.attr if isinstance(node, ast.Attribute) else node.id
                for node in ast.walk(tree_of(path))
                if isinstance(node, ast.Attribute | ast.Name)
            }
            assert not named & asking, path


def test_layers_are_run_by_the_encoder_alone():
    for path in MODULES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.ImportFrom) and room_of(path) != "model":
                names = {alias.name for alias in node.names}
                assert not names & {"Layer", "Embeddings"}, path


def test_importing_the_package_loads_neither_tensorflow_nor_torch():
    script = (
        "import sys, benchmarks.own_step; print('ml_collections' in sys.modules); "
        "import amber_jax, amber_jax.pretraining.run, amber_jax.commands.mine; "
        "import amber_jax.inference.model, amber_jax.datasets.readers; "
        "heavy = ('tensorflow', 'tensorflow_datasets', 'torch'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    # A step can be measured on machines without the library of configs.
    assert done.stdout.split("\n")[:2] == ["False", "[]"], done.stderr


def test_no_function_is_longer_than_a_screen_and_a_half():
    long = [
        f"{path.name}:{node.name} {node.end_lineno - node.lineno + 1}"
        for path in (*MODULES, *COMMANDS)
        for node in functions_of(path)
        if node.end_lineno - node.lineno + 1 > 80
    ]
    assert not long


# The objective is read from top to bottom, and so are the two sides of files and
# checkpoints; the rest holds one idea a file.
ROOMY = {
    *("pretraining/objectives.py", "files.py", "training/checkpoint.py"),
    "remote_path.py",
}


def test_no_file_holds_too_much():
    lengths = {
        name_of(path): len(path.read_text("utf-8").split("\n")) for path in MODULES
    }
    assert {name for name, lines in lengths.items() if lines > 350} <= ROOMY


def test_a_config_knows_names_and_no_machinery():
    ours = {
        module
        for path in (PACKAGE / "config").glob("*.py")
        for module in imports_of(path)
        if module.startswith("amber_jax.") and room_of_module(module) != "config"
    }
    assert ours == {
        "amber_jax.corpora.cleaning.options",
        "amber_jax.errors",
        "amber_jax.model.kernels",
        "amber_jax.model.sentence_vector",
        "amber_jax.losses",
        "amber_jax.ranges",
        "amber_jax.search.similarities",
        "amber_jax.search.symmetrization",
        "amber_jax.tasks",
        "amber_jax.training.optimizer",
        "amber_jax.training.parallel",
    }


def test_no_drawer_modules():
    banned = {"utils", "util", "helpers", "common", "misc", "manager", "base"}
    assert not [path for path in MODULES if path.stem in banned]


def test_nothing_can_run_foreign_code():
    for path in (*MODULES, *COMMANDS):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec", "__import__"}, path
        text = path.read_text("utf-8")
        for phrase in ("shell=True", "yaml.load(", "allow_pickle=True"):
            assert phrase not in text, path


def test_public_functions_say_what_they_return():
    for path in MODULES:
        for node in functions_of(path):
            if not node.name.startswith("_") and node.name != "setup":
                assert node.returns is not None, f"{path}: {node.name}"


def test_no_setting_has_a_default_at_the_point_of_use():
    for path in (*MODULES, *COMMANDS):
        for node in ast.walk(tree_of(path)):
            is_get = isinstance(node, ast.Attribute) and node.attr == "get"
            owner = node.value if is_get else None
            if isinstance(owner, ast.Name):
                assert owner.id not in {"config", "settings"}, path
