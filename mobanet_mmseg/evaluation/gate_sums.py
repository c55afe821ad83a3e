"""What gates take from the auxiliary image, class by class."""

from dataclasses import dataclass

import numpy as np


@dataclass
class GateSums:
    """What the gates took from the auxiliary image, summed class by class.

    Args:
        pixels: (K,) labelled pixels of each class.
        weight: (K, S) sums of its weight over them.
        share: (K, S) sums of its share.
    """

    pixels: np.ndarray
    weight: np.ndarray
    share: np.ndarray

    @classmethod
    def of_nothing(cls, classes: int, stages: int) -> 'GateSums':
        """Begin with no pixel.

        Args:
            classes: K.
            stages: S.
        """
        sums = (np.zeros((classes, stages)) for _ in range(2))
        return cls(np.zeros(classes, np.int64), *sums)

    def add(
        self, truth: np.ndarray, valid: np.ndarray, weight: np.ndarray, share: np.ndarray
    ) -> None:
        """Add pixels.

        Args:
            truth: Class indices (h, w); what is no class does not count.
            valid: (h, w) bool, where there is optical data; the rest does not count.
            weight: Weight of the auxiliary stream (S, h, w).
            share: Its share (S, h, w).
        """
        count = len(self.pixels)
        labelled = (truth < count) & valid
        codes = truth[labelled]
        self.pixels += np.bincount(codes, minlength=count)
        for sums, values in ((self.weight, weight), (self.share, share)):
            for stage, of_stage in enumerate(values):
                sums[:, stage] += np.bincount(codes, of_stage[labelled], count)

    def __add__(self, other: 'GateSums') -> 'GateSums':
        """The sums of both."""
        return GateSums(
            self.pixels + other.pixels, self.weight + other.weight, self.share + other.share
        )

    def means(self, kind: str) -> np.ndarray:
        """Mean of each class, and of all their pixels in the last row: (K + 1, S).

        Args:
            kind: ``'weight'`` or ``'share'``.
        """
        sums = getattr(self, kind)
        sums = np.vstack([sums, sums.sum(axis=0)])
        pixels = np.append(self.pixels, self.pixels.sum())[:, None]
        return np.divide(sums, pixels, out=np.full(sums.shape, np.nan), where=pixels > 0)
