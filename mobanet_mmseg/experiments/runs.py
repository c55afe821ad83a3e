"""Works off runs, each in a process of its own; what is done is kept, what was cut goes on.

A run is one config with one seed in one folder, which ends up with

    config.py     the whole config; another one is never put in its place
    log.txt       what the processes of the run have printed
    cost.json     parameters, multiply-adds, latency and memory
    work/         logs and checkpoints, as of tools/train.py
    result.json   all numbers, written when all else is done
"""

import json
import os
import queue
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from pprint import pformat
from typing import Any

from mmengine.config import Config

from mobanet_mmseg.folders import locked
from mobanet_mmseg.writing import prepare_place, reporting, write_text

CONFIG, LOG, COST, WORK, RESULT = 'config.py', 'log.txt', 'cost.json', 'work', 'result.json'
CHILD = 'mobanet_mmseg.experiments.child'
ERROR = re.compile(r'error: |[\w.]*(Error|Exception)\b')  # how the line that says why begins
LOG_END = 20_000  # bytes of a log that are looked through
# what a place is, and not what is measured there
PLACES = ('work_dir', 'resume', 'launcher')
# the last checkpoint counts: to choose one by the test tiles would flatter, and to look costs time
UNVALIDATED = {'val_dataloader': None, 'val_evaluator': None, 'val_cfg': None}


@dataclass(frozen=True)
class Run:
    """One config with one seed, trained, tested and costed in one folder.

    Args:
        name: Name of the row that the run belongs to; those of other seeds have the same.
        seed: All that is drawn follows from it.
        folder: Where it goes; see the module's description.
        text: The whole config, as Python.
        modalities: What the network gets in the tests, of ``'both'``, ``'rgb'`` and ``'aux'``.
    """

    name: str
    seed: int
    folder: Path
    text: str
    modalities: tuple[str, ...] = ('both',)

    @classmethod
    def of(
        cls,
        name: str,
        config: Config,
        seed: int,
        folder: Path,
        modalities: Sequence[str] = ('both',),
    ) -> 'Run':
        """Make the run of a config, which is not validated.

        Args:
            name: Name of the row that the run belongs to.
            config: With its overrides; it stays as it is.
            seed: Takes the place of the config's.
            folder: Where it goes.
            modalities: See :class:`Run`.
        """
        config = deepcopy(config)
        config.merge_from_dict({**UNVALIDATED, 'randomness.seed': seed})
        hooks = config.get('default_hooks') or {}
        if (hooks.get('checkpoint') or {}).get('save_best') is not None:
            hooks['checkpoint']['save_best'] = None
        settings = {key: value for key, value in config.to_dict().items() if key not in PLACES}
        lines = [
            f'{key} = {pformat(value, width=100, sort_dicts=False)}\n'  # hooks run in their order
            for key, value in settings.items()
        ]
        return cls(name, seed, folder, ''.join(lines), tuple(modalities))

    @property
    def title(self) -> str:
        """Names the run in a sentence."""
        return f'{self.name}, seed {self.seed}'

    def prepare(self) -> None:
        """Put the config into the folder.

        Raises:
            OSError: If it cannot be written.
            ValueError: If the folder holds a run of another config that has begun.
        """
        path = self.folder / CONFIG
        if path.exists() and path.read_bytes() == self.text.encode():
            return
        if (self.folder / RESULT).exists() or any((self.folder / WORK).glob('*.pth')):
            raise ValueError(
                f'{self.folder} holds a run of another config: give another folder, or move that '
                'one away.'
            )
        (self.folder / COST).unlink(missing_ok=True)
        write_text(path, self.text)

    def kept(self) -> dict[str, Any] | None:
        """Give the numbers of the run if it has been done before, with this very config."""
        path = self.folder / CONFIG
        same = path.is_file() and path.read_bytes() == self.text.encode()
        return self.result() if same else None

    def result(self) -> dict[str, Any] | None:
        """Give the run's numbers; None if it is not done, or other tests were asked for."""
        found = read_json(self.folder / RESULT)
        done = found is not None and {*self.modalities} <= found['metrics'].keys()
        return found if done else None


@dataclass(frozen=True)
class Outcome:
    """What has become of a run.

    Args:
        run: The run.
        result: Its numbers; None if it has failed.
        failure: Why it has failed, one sentence.
        repeated: Whether it was worked off now, and not found done.
    """

    run: Run
    result: dict[str, Any] | None = None
    failure: str = ''
    repeated: bool = False


def run_all(
    runs: Sequence[Run], place: Path, workers: int, repeats: int, jobs: int = 1
) -> Iterator[Outcome]:
    """Work runs off; one that fails lets the others go on.

    Args:
        runs: In this order.
        place: Folder that holds all of them; it is held against other processes meanwhile.
        workers: Processes that load the windows of a training; no number depends on them.
        repeats: Forward passes whose median is the latency.
        jobs: Runs side by side, which share the processor's cores out among them.

    Yields:
        What has become of each, once it is over: in their order if there is one job.

    Raises:
        OSError: If the folder cannot be written.
        ValueError: If two runs share a folder, or another process works in the place.
    """
    shared = [folder for folder, times in Counter(run.folder for run in runs).items() if times > 1]
    if shared:
        raise ValueError(f'Two runs would be written to {shared[0]}: give each another name.')
    with locked(place, place):
        if jobs > 1:
            yield from _side_by_side(runs, workers, repeats, jobs)
            return
        for run in runs:
            yield run_one(run, workers, repeats)


def _side_by_side(runs: Sequence[Run], workers: int, repeats: int, jobs: int) -> Iterator[Outcome]:
    """Work runs off by threads that each wait for one process; they end with this one."""
    waiting: queue.SimpleQueue[Run] = queue.SimpleQueue()
    over: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
    for run in runs:
        waiting.put(run)

    def work() -> None:
        try:
            while True:
                run = waiting.get_nowait()
                over.put(run_one(run, workers, repeats, max(1, (os.cpu_count() or 1) // jobs)))
        except queue.Empty:
            return
        except BaseException as error:  # to be raised where the outcomes are awaited
            over.put(error)

    for _ in range(jobs):
        threading.Thread(target=work, daemon=True).start()
    try:
        for _ in runs:
            outcome = over.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:  # whoever stops to listen wants no further run
        while not waiting.empty():
            with suppress(queue.Empty):
                waiting.get_nowait()


def run_one(run: Run, workers: int, repeats: int, threads: int | None = None) -> Outcome:
    """Work a run off, if it is not done.

    Args:
        run: The run.
        workers: See :func:`run_all`.
        repeats: See :func:`run_all`.
        threads: Threads that its process calculates with; None leaves that to torch.
    """
    try:
        run.prepare()
        result = run.result()
        if result is not None:
            return Outcome(run, result)
        status = _start(run, workers, repeats, threads)
        result = run.result()
    except (OSError, ValueError) as error:
        return Outcome(run, failure=str(error), repeated=True)
    if status or result is None:
        return Outcome(run, failure=_failure(run, status), repeated=True)
    return Outcome(run, result, repeated=True)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a file of numbers; None where there is none, or it is not whole.

    Args:
        path: The file.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _start(run: Run, workers: int, repeats: int, threads: int | None) -> int:
    """Let a process work the run off; it ends when this one does, whose end of a pipe it holds."""
    command = [sys.executable, '-m', CHILD, run.folder, '--workers', workers, '--repeats', repeats]
    command += ['--name', run.name, '--seed', run.seed, '--modalities', *run.modalities]
    environment = {**os.environ} if threads is None else _limited(threads)
    log = run.folder / LOG
    prepare_place(log)
    with (
        reporting(log),
        log.open('ab') as file,
        subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as child,
    ):
        return child.wait()


def _limited(threads: int) -> dict[str, str]:
    """The environment of a process that calculates with so many threads."""
    names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def _failure(run: Run, status: int) -> str:
    """Say in one sentence why a process has ended: by the line of its log that says so."""
    with (run.folder / LOG).open('rb') as file:
        file.seek(max(0, file.seek(0, 2) - LOG_END))
        text = file.read().decode(errors='replace')
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    why = next((line for line in reversed(lines) if ERROR.match(line)), None)
    if status < 0:
        why = f'killed by signal {-status}'
    elif why is None:
        why = lines[-1] if lines else 'it has printed nothing'
    return f'{why.removeprefix("error: ").rstrip(".")} ({run.folder / LOG}).'
