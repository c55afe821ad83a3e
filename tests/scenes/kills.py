"""Kills trainings at random moments, resumes them, and compares how they end.

PYTHONPATH=.:tests python tests/scenes/kills.py FOLDER KILLS SEED

FOLDER gets the toy training of ``scenes.training``. Every other kill hits the middle of a save.
Each training runs in a fork of this process.
"""

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner
from pytest import MonkeyPatch
from scenes.training import run, write_training

import mobanet_mmseg  # noqa: F401  (imported once, not in each fork)

EPOCHS = 4
SETTINGS = (
    f'train_cfg.max_epochs={EPOCHS}',
    'train_cfg.val_interval=2',
    'train_dataloader.sampler.num_samples=6',  # in batches of two
    'model.data_preprocessor.mcrm.ratio=0.5',
    'default_hooks.checkpoint.interval=1',
    'default_hooks.checkpoint.max_keep_ckpts=1',
    'default_hooks.checkpoint.save_best=OA',
)


def start(folder: Path, work_dir: str, prepare: Callable[[], None]) -> tuple[int, int]:
    """Start, or resume, a training in a process of its own.

    Returns:
        Its number, and a pipe that can be read once the training has begun.
    """
    begun, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        return child, begun
    try:
        log = os.open(folder / f'{work_dir}.log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        torch.set_num_threads(1)
        prepare()
        call_hook = Runner.call_hook

        def begin(runner: Runner, name: str, **kwargs: object) -> None:
            if name == 'before_train':
                os.write(tell, b'!')
            call_hook(runner, name, **kwargs)

        Runner.call_hook = begin
        options = ('--work-dir', work_dir, '--resume', '--cfg-options', *SETTINGS)
        run(MonkeyPatch(), folder, 'train', *options)
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def status_of(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def train(folder: Path, work_dir: str, prepare: Callable[[], None] = lambda: None) -> int:
    """Train until the end, or until it dies; gives its exit status."""
    return status_of(start(folder, work_dir, prepare)[0])


def kill_after(folder: Path, work_dir: str, seconds: float) -> int:
    """Kill a training some time after it has begun; gives its exit status."""
    child, begun = start(folder, work_dir, lambda: None)
    os.read(begun, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return status_of(child)


def die_saving(save: int, share: float) -> Callable[[], None]:
    """Let a training die in a save, when a share of the file is written.

    Args:
        save: Number of the save.
        share: 1 is before the file is renamed, 2 after it.
    """

    def prepare() -> None:
        put, replace, saves = LocalBackend.put, Path.replace, iter(range(1000))

        def put_some(backend: LocalBackend, content: bytes, path: str) -> None:
            hit = next(saves) == save
            put(backend, content[: int(share * len(content))] if hit else content, path)
            if hit and share > 1:
                Path.replace = replace_and_die
            elif hit:
                os.kill(os.getpid(), signal.SIGKILL)

        def replace_and_die(path: Path, target: Path) -> None:
            replace(path, target)
            os.kill(os.getpid(), signal.SIGKILL)

        LocalBackend.put = put_some

    return prepare


def differs(one: Path, other: Path) -> str:
    """Say in which part two checkpoints differ; empty where their numbers are the same."""
    ends = [torch.load(path, weights_only=True) for path in (one, other)]
    parts = {
        'weights': [end['state_dict'] for end in ends],
        'optimizer': [end['optimizer']['state'] for end in ends],
    }
    for name, states in parts.items():
        try:
            torch.testing.assert_close(*states, rtol=0, atol=0)
        except AssertionError as error:
            return f'{name}: {error}'
    return ''


def main(folder: Path, kills: int, seed: int) -> str:
    """Kill that many trainings; gives what went wrong first, or nothing."""
    write_training(folder, pretrained=True)
    draw, began = random.Random(seed), time.monotonic()
    child, begun = start(folder, 'whole', lambda: None)
    os.read(begun, 1)
    began = time.monotonic()
    if status_of(child) != 0:
        return f'the training does not end: {folder}/whole.log'
    duration, end = time.monotonic() - began, f'epoch_{EPOCHS}.pth'
    killed = attempt = 0
    while killed < kills:
        attempt += 1
        work_dir = f'killed_{attempt}'
        if killed % 2:
            save, share = draw.randrange(EPOCHS), draw.choice([0, draw.random(), 1, 2])
            how = f'in save {save}, {share:.0%} written'
            status = train(folder, work_dir, die_saving(save, share))
        else:
            seconds = draw.uniform(0, duration)
            how = f'after {seconds:.2f} of {duration:.2f} s'
            status = kill_after(folder, work_dir, seconds)
        if status != -signal.SIGKILL:
            if status != 0 or attempt > 3 * kills:
                return f'{work_dir}, to be killed {how}, ended with {status}'
            continue  # it was over by then
        killed += 1
        left = sorted(path.name for path in (folder / work_dir).glob('*.pth'))
        status = train(folder, work_dir)
        wrong = status or differs(folder / 'whole' / end, folder / work_dir / end)
        print(f'{work_dir}: killed {how}, with {left}: {wrong or "the same end"}', flush=True)
        if wrong:
            return f'{work_dir}, killed {how}, ended otherwise: {wrong}'
    return ''


if __name__ == '__main__':
    sys.exit(main(Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3])) or 0)
