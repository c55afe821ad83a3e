"""Whether a launcher has started this process, as the command was told."""

import os

from torch import distributed

# what each launcher says in the environment
LAUNCHERS = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'MASTER_ADDR', 'MASTER_PORT'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_LOCAL_RANK', 'MASTER_ADDR'),
}


def check_launcher(launcher: str) -> None:
    """Refuse a launcher that has not started this process, and none where one has.

    Args:
        launcher: ``'none'``, or one of ``LAUNCHERS``.

    Raises:
        ValueError: If another launcher, or none, has started this process.
    """
    if distributed.is_initialized():  # by whoever has called this
        return
    if launcher == 'none':
        count = int(os.environ.get('WORLD_SIZE', 1))
        if count > 1 and distributed.is_torchelastic_launched():
            raise ValueError(
                f'torchrun has started {count} processes, each of which would do all the work: '
                'give --launcher pytorch.'
            )
        return
    if launcher not in LAUNCHERS:
        raise ValueError(f'There is no launcher {launcher!r}: give none, {", ".join(LAUNCHERS)}.')
    missing = [name for name in LAUNCHERS[launcher] if name not in os.environ]
    if missing:
        raise ValueError(
            f'--launcher {launcher} finds no {", ".join(missing)} in the environment: start the '
            'processes with torchrun (pytorch), srun (slurm) or mpirun (mpi), or leave it out.'
        )
