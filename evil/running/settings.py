"""Process-wide settings of JAX, made once by every command before it computes anything."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

import jax

from evil.errors import UserError, unknown
from evil.running import processes

DETERMINISTIC = "xla_gpu_deterministic_ops"
KINDS = {"cpu": "cpu", "gpu": "cuda", "tpu": "tpu"}  # of devices, and what JAX calls them


def prepare(
    devices: str | None = None, *, is_shared: bool = False, is_deterministic: bool = False
) -> None:
    """Use all cores, keep compiled programs between processes, and multiply in full float32.

    `devices` says which to use instead, as `cpu:2`, `gpu:4` or `gpu`: in each process, if there are
    several, which only a command that `is_shared` may have.
    """
    if is_deterministic:
        use_deterministic_operations()
    if processes.asked_for():
        if not is_shared:
            raise UserError(
                "this command runs in one process, but the environment asks for several: unset "
                f"{', '.join(processes.VARIABLES)}, or start it without srun."
            )
        processes.join()
    if devices is None:
        use_all_cores()
    else:
        use_devices(devices)
    use_compilation_cache()
    use_full_precision()


def use_devices(wanted: str) -> None:
    """Use so many devices of a kind, all without a number; UserError if they are not there."""
    kind, colon, number = wanted.partition(":")
    if kind not in KINDS:
        raise unknown("kind of device", kind, KINDS)
    if colon and not (number.isdecimal() and int(number) > 0):
        raise UserError(f"--devices {wanted}: expected a number above 0, like {kind}:2.")
    jax.config.update("jax_platforms", KINDS[kind])
    count = int(number) if number else None
    if kind == "cpu":
        jax.config.update("jax_num_cpu_devices", count or usable_cores())
    elif kind == "gpu" and count is not None:
        # The first of those that a scheduler has left to us.
        seen = os.environ.get("CUDA_VISIBLE_DEVICES")
        mine = seen.split(",") if seen else [str(index) for index in range(count)]
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(mine[:count])
    elif count is not None:
        raise UserError(f"--devices {wanted}: of TPUs, all are used: expected tpu.")
    try:
        there = jax.local_device_count()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"--devices {wanted}: JAX finds no {kind} here.") from error
    if count is not None and there < count:
        raise UserError(f"--devices {wanted}: expected {count} devices, found {there}.")


def use_deterministic_operations() -> None:
    """Give up GPU operations whose sums come out in another order every time; before JAX starts.

    Scatters and reductions are then slower. A CPU has no such operations.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{DETERMINISTIC}=true".strip()


def use_all_cores() -> None:
    """Make every core of a CPU a device, over which lanes can be spread.

    One device steps the small arrays of a physics engine on a single core. More devices than cores
    would share out odd numbers of lanes more evenly, and were found to cost more than that gains.
    XLA_FLAGS and JAX_NUM_CPU_DEVICES take precedence; once JAX has its devices it is too late.
    """
    if "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", usable_cores())


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_compilation_cache() -> Path | None:
    """Keep compiled programs on disk, in `~/.cache/evil/xla` unless the environment says where.

    `JAX_COMPILATION_CACHE_DIR` names the folder itself, `EVIL_CACHE` the one that holds `xla/`.
    A folder that cannot be written is not an error: programs are then compiled every time.
    """
    chosen = jax.config.values["jax_compilation_cache_dir"]
    if chosen:
        return Path(chosen)
    try:
        root = os.environ.get("EVIL_CACHE") or Path.home() / ".cache" / "evil"
        folder = Path(root).expanduser().absolute() / "xla"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    return folder


def use_full_precision() -> None:
    """Stop accelerators from rounding float32 products to TF32 or bfloat16.

    Physics, golden numbers and value targets do not survive ten bits of mantissa. This is the whole
    policy: what may be less precise says so in its own config, as discriminators do, which then
    multiply in bfloat16 whatever is said here.
    """
    if jax.default_backend() != "cpu":
        jax.config.update("jax_default_matmul_precision", "highest")


def compiler_options(*, runs_once: bool = False) -> dict[str, Any] | None:
    """What XLA is told when it compiles a large program; None: nothing.

    On a CPU, fusions made by the older emitters compile in half the time and run as fast, and sums
    taken in whatever order is quickest save a tenth of the time of a game. Divisions and functions
    remain exact, and what is not finite remains so. What runs once is not worth optimising.
    """
    if jax.default_backend() != "cpu":
        return None
    quickly = {"xla_cpu_use_fusion_emitters": False, "xla_cpu_enable_fast_math": True}
    honoured = ("nans", "infs", "division", "functions")
    quickly |= {f"xla_cpu_fast_math_honor_{what}": True for what in honoured}
    return quickly | ({"xla_backend_optimization_level": 0} if runs_once else {})
