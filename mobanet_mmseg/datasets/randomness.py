"""Lets what is drawn follow from numbers that are known again when a training resumes."""

import random

import numpy as np
import torch


def derive_seed(*numbers: int) -> int:
    """Make one seed of several numbers; any other numbers give an unrelated one.

    Args:
        *numbers: Not negative: for example a training's seed and its iteration.
    """
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def seed_generators(seed: int) -> None:
    """Seed Python's, NumPy's and torch's generators on the CPU, in some 50 microseconds.

    Args:
        seed: Below 2^32, as of :func:`derive_seed`.
    """
    random.seed(seed)
    np.random.seed(seed)
    # torch.manual_seed asks every kind of accelerator, which takes 20 times as long
    torch.default_generator.manual_seed(seed)
