"""The architecture, as far as it can be read from the source: who imports whom, who does what.

    seams ← distributions, networks ← learners, rewards ← imitation, tabular ← shaping ← running
          ← environments, demonstrations                ← evaluation                  ← experiments

Each rule reads one parsed file and yields what it finds wrong. Each has its counterexamples below,
so that no rule passes because it cannot fail.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The import direction. A part may import itself and what stands here, nothing else of evil.
BASE = {
    "atomic",
    "config",
    "descent",
    "errors",
    "normalise",
    "parallel",
    "pytrees",
    "registry",
    "schedules",
    "seams",
}
WORLD = {"environments", "demonstrations"}
MODELS = {"distributions", "networks"}
LEARNING = {"learners", "rewards"}
ALGORITHMS = {"imitation", "tabular", "evaluation"}
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "atomic": {"errors"},
    "pytrees": {"errors"},
    "config": {"errors", "pytrees"},
    "registry": set(),
    "schedules": {"errors"},
    "normalise": {"pytrees"},
    "parallel": {"pytrees"},
    "seams": {"errors", "pytrees", "config", "parallel"},
    "descent": {"seams"},
    "environments": BASE,
    "demonstrations": BASE,
    "distributions": BASE,
    "networks": BASE | {"distributions"},
    "learners": BASE | WORLD | MODELS,
    "rewards": BASE | WORLD | MODELS,
    "imitation": BASE | WORLD | MODELS | LEARNING,
    "tabular": BASE | WORLD | MODELS | LEARNING,
    "evaluation": BASE | WORLD | MODELS | LEARNING,
    "shaping": BASE | WORLD | MODELS | LEARNING | ALGORITHMS,
    "running": BASE | WORLD | MODELS | LEARNING | ALGORITHMS | {"shaping"},
    "experiments": BASE | WORLD | MODELS | LEARNING | ALGORITHMS | {"shaping", "running"},
    "benchmarks": BASE
    | WORLD
    | MODELS
    | LEARNING
    | ALGORITHMS
    | {"shaping", "running", "experiments"},
}

# Whoever may do what the runner does.
COMPILES_AND_PRINTS = ("evil/running/", "evil/experiments/", "evil/benchmarks/", "scripts/")
WRITES_FILES = (
    *COMPILES_AND_PRINTS,
    "evil/atomic.py",
    "evil/demonstrations/files.py",
    "evil/demonstrations/minari.py",
    "evil/demonstrations/catalogue.py",
)

MAX_LINES = 300
MAX_IMPORT_SECONDS = 0.3
HEAVY = ("brax", "gymnax", "distrax", "flax", "matplotlib")


@dataclasses.dataclass(frozen=True)
class Source:
    """One parsed file, and what the names that it imports stand for."""

    path: str  # from the repository's root, with forward slashes
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """`learners` for evil/learners/ppo.py, `seams` for evil/seams.py, `` outside evil."""
        first, *rest = self.path.removesuffix(".py").split("/")
        return rest[0] if first == "evil" else ""

    def imports(self) -> Iterator[tuple[str, str]]:
        """(local name, full dotted name) of every import, wherever in the file it stands."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield alias.asname or alias.name.split(".")[0], alias.name
            elif isinstance(node, ast.ImportFrom):
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    yield alias.asname or alias.name, f"{module}.{alias.name}"

    def uses(self) -> Iterator[str]:
        """Full dotted names of what is imported or referred to: `jnp.empty` → jax.numpy.empty."""
        known = {}
        for local, full in self.imports():
            known[local] = full if "." not in full or local != full.split(".")[0] else local
            yield full
        for node in ast.walk(self.tree):
            parts, head = [], node
            while isinstance(head, ast.Attribute):
                parts.append(head.attr)
                head = head.value
            if parts and isinstance(head, ast.Name) and head.id in known:
                yield ".".join([known[head.id], *reversed(parts)])

    def calls(self) -> Iterator[ast.Call]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.Call))


def starts_with(name: str, *prefixes: str) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def called(call: ast.Call) -> str:
    """The last part of a called name: `savez` for np.savez(...), `open` for open(...)."""
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


# The rules.


def imports_point_down(source: Source) -> Iterator[str]:
    """A part of evil imports only what stands below it; plotting imports nothing of evil."""
    if source.path == "evil/__init__.py":
        return  # the table of contents names everything; the import test below keeps it lazy
    for _, name in source.imports():
        if name.startswith("."):
            yield f"relative import {name}"
        elif starts_with(name, "evil") and source.path.startswith("plotting/"):
            yield f"plotting imports {name}: it reads run directories only"
        elif starts_with(name, "plotting", "scripts", "tests") and source.part:
            yield f"evil imports {name}"
        elif starts_with(name, "evil") and source.part:
            part = [*name.split("."), ""][1]
            if source.part not in MAY_IMPORT:
                yield f"{source.part} has no place in MAY_IMPORT"
            elif part != source.part and part not in MAY_IMPORT[source.part]:
                yield f"{source.part} imports {name}"


def only_the_runner_compiles(source: Source) -> Iterator[str]:
    """jit, donation, sharding and device placement belong to the runner and the scripts."""
    if source.path.startswith(COMPILES_AND_PRINTS) or not source.part:
        return
    compiling = ("jax.jit", "jax.pmap", "jax.sharding", "jax.shard_map", "jax.make_mesh")
    placing = ("jax.lax.with_sharding_constraint", "jax.device_put", "jax.distributed")
    for name in source.uses():
        if starts_with(name, *compiling, *placing):
            yield f"uses {name}"
    for call in source.calls():
        for keyword in call.keywords:
            if keyword.arg in ("donate_argnums", "donate_argnames"):
                yield f"donates: {keyword.arg}"


def only_the_runner_prints(source: Source) -> Iterator[str]:
    """Nothing else in evil prints, and nothing calls back to the host from compiled code."""
    if source.path.startswith(COMPILES_AND_PRINTS) or not source.part:
        return
    for call in source.calls():
        if isinstance(call.func, ast.Name) and call.func.id == "print":
            yield "prints"
    for name in source.uses():
        if starts_with(name, "jax.debug", "jax.experimental.io_callback", "jax.pure_callback"):
            yield f"uses {name}"


def only_the_runner_writes(source: Source) -> Iterator[str]:
    """Files are written by the runner, the scripts, and the two modules for demonstrations."""
    if source.path.startswith(WRITES_FILES) or not source.part:
        return
    writers = {"write_text", "write_bytes", "mkdir", "makedirs", "touch", "unlink", "rmtree"}
    writers |= {"save", "savez", "savez_compressed", "savetxt", "tofile", "dump", "save_file"}
    for call in source.calls():
        if called(call) in writers:
            yield f"writes with {called(call)}"
        if called(call) == "open":
            # open(path, mode) may not hide its mode; path.open(mode), archive.open(name, mode)
            is_builtin = isinstance(call.func, ast.Name)
            modes = call.args[1:2] if is_builtin else call.args[:2]
            modes = [*modes, *(keyword.value for keyword in call.keywords if keyword.arg == "mode")]
            for mode in modes:
                text = str(mode.value) if isinstance(mode, ast.Constant) else "w" * is_builtin
                if set(text) & set("wax+") and set(text) <= set("rwaxbt+"):
                    yield f"opens with mode {ast.unparse(mode)}"


def no_trap(source: Source) -> Iterator[str]:
    """No uninitialised arrays, untyped keys, or files that could execute what they contain."""
    for name in source.uses():
        if name in ("jax.numpy.empty", "jax.numpy.empty_like", "jax.random.PRNGKey"):
            yield f"uses {name}"
        if starts_with(name, "pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"):
            yield f"imports {name}"
    for call in source.calls():
        for keyword in call.keywords:
            is_false = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "allow_pickle" and not is_false:
                yield "allows pickle"


def no_long_module(source: Source) -> Iterator[str]:
    """One idea per file; past 300 lines it is two files."""
    if (lines := len(source.text.splitlines())) > MAX_LINES:
        yield f"{lines} lines"


Rule = Callable[[Source], Iterator[str]]
COUNTEREXAMPLES: dict[Rule, list[tuple[str, str]]] = {
    imports_point_down: [
        ("evil/learners/ppo.py", "from evil.imitation import irl"),
        ("evil/learners/ppo.py", "from evil import rewards"),
        ("evil/rewards/kernel.py", "def f():\n    import evil.learners.ppo"),
        ("evil/environments/brax.py", "from evil.networks import mlp"),
        ("evil/evaluation/returns.py", "from evil.running import runner"),
        ("evil/pytrees.py", "from evil import seams"),
        ("evil/seams.py", "import evil"),
        ("evil/seams.py", "from . import pytrees"),
        ("evil/running/runner.py", "from plotting import learning"),
        ("evil/unknown/new.py", "from evil import seams"),
        ("plotting/curves.py", "from evil import seams"),
    ],
    only_the_runner_compiles: [
        ("evil/learners/ppo.py", "import jax\n@jax.jit\ndef f(): ..."),
        ("evil/learners/ppo.py", "from jax import jit"),
        ("evil/learners/ppo.py", "import jax as j\nf = j.jit(abs)"),
        ("evil/learners/ppo.py", "from jax.sharding import Mesh"),
        ("evil/learners/ppo.py", "f = compile(g, donate_argnums=0)"),
    ],
    only_the_runner_prints: [
        ("evil/learners/ppo.py", "print(1)"),
        ("evil/learners/ppo.py", "import jax\njax.debug.print('x')"),
    ],
    only_the_runner_writes: [
        ("evil/learners/ppo.py", "open('x', 'w')"),
        ("evil/learners/ppo.py", "open('x', mode='ab')"),
        ("evil/learners/ppo.py", "open('x', mode)"),
        ("evil/learners/ppo.py", "path.open('w')"),
        ("evil/learners/ppo.py", "archive.open(name, 'w')"),
        ("evil/learners/ppo.py", "path.write_text('x')"),
        ("evil/demonstrations/collect.py", "import numpy as np\nnp.savez('x')"),
    ],
    no_trap: [
        ("evil/learners/ppo.py", "import jax.numpy as jnp\njnp.empty(3)"),
        ("evil/learners/ppo.py", "import jax\njax.numpy.empty_like(x)"),
        ("evil/learners/ppo.py", "from jax import random\nrandom.PRNGKey(0)"),
        ("evil/learners/ppo.py", "import pickle"),
        ("evil/learners/ppo.py", "from pickle import loads"),
        ("scripts/run_irl.py", "np.load('x', allow_pickle=True)"),
    ],
    no_long_module: [("evil/learners/ppo.py", "\n" * (MAX_LINES + 1))],
}
CASES = [(rule, *case) for rule, cases in COUNTEREXAMPLES.items() for case in cases]


@pytest.mark.parametrize("rule", COUNTEREXAMPLES, ids=lambda rule: rule.__name__)
def test_rule_holds(rule: Rule) -> None:
    sources = [
        Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
        for folder in ("evil", "plotting", "scripts")
        for path in sorted((ROOT / folder).rglob("*.py"))
    ]
    assert sources
    wrong = [f"{source.path}: {what}" for source in sources for what in rule(source)]
    assert not wrong, f"{rule.__doc__}\n" + "\n".join(wrong)


@pytest.mark.parametrize(("rule", "path", "text"), CASES)
def test_rule_can_fail(rule: Rule, path: str, text: str) -> None:
    assert list(rule(Source(path, text)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (
            "evil/imitation/irl.py",
            "import jax\nfrom evil import pytrees\nfrom evil.learners import x",
        ),
        ("evil/learners/ppo.py", "from evil.learners import returns\nfrom evil import seams"),
        ("evil/learners/ppo.py", "import numpy as np\nnp.empty(3)\nopen('x')\nz.open('a.npy')"),
        ("evil/running/runner.py", "import jax\nprint(jax.jit(f, donate_argnums=0))"),
        ("evil/demonstrations/files.py", "import numpy as np\nnp.savez('x', allow_pickle=False)"),
    ],
)
def test_rules_allow_what_is_right(path: str, text: str) -> None:
    assert not [what for rule in COUNTEREXAMPLES for what in rule(Source(path, text))]


def test_import_direction_has_no_cycle() -> None:
    place = list(MAY_IMPORT)
    for part, below in MAY_IMPORT.items():
        allowed = {name for name in below if place.index(name) >= place.index(part)}
        assert not allowed, f"{part} may import {allowed}, which stands above it"


def test_import_is_light() -> None:
    """`import evil` loads no heavy package, and takes next to no time beyond `import jax`."""
    program = (
        "import jax, json, sys, time; start = time.perf_counter(); import evil; "
        "print(json.dumps([time.perf_counter() - start, sorted(sys.modules)]))"
    )
    fastest = float("inf")
    for _ in range(5):  # the machine may be busy: one fast import is proof enough
        run = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
        )
        seconds, modules = json.loads(run.stdout)
        assert not [name for name in modules if starts_with(name, *HEAVY)]
        fastest = min(fastest, seconds)
        if fastest < MAX_IMPORT_SECONDS:
            break
    assert fastest < MAX_IMPORT_SECONDS
