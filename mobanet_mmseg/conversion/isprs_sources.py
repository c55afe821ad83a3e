"""Which rasters of an ISPRS archive are converted, and which of the files found they are."""

from dataclasses import dataclass

from mobanet_mmseg.classes import Classes
from mobanet_mmseg.conversion.archives import Member
from mobanet_mmseg.datasets.isprs import (
    ISPRSArchiveDataset,
    ISPRSPotsdamDataset,
    ISPRSVaihingenDataset,
    Source,
)

ARCHIVES: dict[str, type[ISPRSArchiveDataset]] = {
    'potsdam': ISPRSPotsdamDataset,
    'vaihingen': ISPRSVaihingenDataset,
}

Found = dict[str, dict[str, Member]]  # files of each tile, by the folder they are written to


@dataclass(frozen=True)
class Choice:
    """Which rasters of which archive are converted.

    Args:
        archive: ``'potsdam'`` or ``'vaihingen'``.
        optical: Which optical raster, a key of the archive's ``OPTICAL``.
        height: Which auxiliary raster, a key of its ``HEIGHT``.
        labels: ``'eroded'`` or ``'full'``.

    Raises:
        ValueError: If the archive has no such raster.
    """

    archive: str
    optical: str
    height: str
    labels: str

    def __post_init__(self) -> None:  # noqa: D105  (the class's docstring says what it raises)
        for option, choices in self.tables.items():
            if getattr(self, option) not in choices:
                raise ValueError(
                    f'--{option} is {getattr(self, option)}, but {self.archive} has '
                    f'{" and ".join(choices)} only: give one of these.'
                )

    @property
    def dataset(self) -> type[ISPRSArchiveDataset]:
        """The archive's names, splits and classes."""
        return ARCHIVES[self.archive]

    @property
    def tables(self) -> dict[str, dict[str, Source]]:
        """What the archive holds, by the option that chooses of it."""
        dataset = self.dataset
        return {'optical': dataset.OPTICAL, 'height': dataset.HEIGHT, 'labels': dataset.LABELS}

    @property
    def classes(self) -> Classes:
        """The archive's classes."""
        return Classes.of(self.dataset.METAINFO)

    @property
    def bands(self) -> dict[str, tuple[int, ...]]:
        """Bands that are converted, by the folder they are written to."""
        optical = self.dataset.IMG_BANDS.get(self.optical, (1, 2, 3))
        return {'img': optical, 'aux': (1,), 'label': (1, 2, 3)}

    @property
    def sources(self) -> dict[str, Source]:
        """Where each folder that is written comes from."""
        chosen = (table[getattr(self, option)] for option, table in self.tables.items())
        return dict(zip(('img', 'aux', 'label'), chosen, strict=True))

    @property
    def splits(self) -> dict[str, tuple[str, ...]]:
        """Tiles of each split."""
        return {'train': self.dataset.TRAIN_TILES, 'test': self.dataset.TEST_TILES}

    @property
    def files(self) -> dict[str, dict[str, str]]:
        """Per tile, the name of the file that each folder's raster comes from."""
        names = {}
        for tile in (*self.dataset.TRAIN_TILES, *self.dataset.TEST_TILES):
            row, _, col = tile.partition('_')
            names[tile] = {
                kind: source.name.format(tile=tile, row=row, col=col)
                for kind, source in self.sources.items()
            }
        return names

    @property
    def unwanted(self) -> set[str]:
        """Folders, in lower case, that hold only what was not chosen."""
        every = {folder for source in self.all_sources for folder in _folders(source)}
        return every - {folder for source in self.sources.values() for folder in _folders(source)}

    @property
    def all_sources(self) -> list[Source]:
        """Everything that the archive holds, chosen or not."""
        return [source for table in self.tables.values() for source in table.values()]


def match_tiles(choice: Choice, members: list[Member]) -> tuple[Found, dict[str, list[str]]]:
    """Find each tile's files among the members.

    Args:
        choice: What is converted.
        members: What was found.

    Returns:
        The files of each whole tile, and the names that each other tile lacks.
    """
    by_name: dict[str, list[Member]] = {}
    for member in members:
        by_name.setdefault(member.name.lower(), []).append(member)
    found, missing = {}, {}
    for tile, names in choice.files.items():
        files = {}
        for kind, name in names.items():
            candidates = by_name.get(name.lower(), [])
            ranked = [(_rank(choice, kind, member), member.place, member) for member in candidates]
            ranked = [entry for entry in ranked if entry[0] is not None]
            if ranked:
                files[kind] = min(ranked, key=lambda entry: entry[:2])[-1]
            else:
                missing.setdefault(tile, []).append(name)
        if tile not in missing:
            found[tile] = files
    return found, missing


def _rank(choice: Choice, kind: str, member: Member) -> int | None:
    """Say how usual a member's folder is for a source, 0 most; None if it is another source's.

    Vaihingen's labels have the names of its optical rasters: there the folder decides.
    """
    source = choice.sources[kind]
    same = [other for other in choice.all_sources if other.name == source.name]
    for folder in map(str.lower, member.folders):
        if folder in _folders(source):
            return _folders(source).index(folder)
        if any(folder in _folders(other) for other in same):
            return None
    return len(source.folders) if len(same) == 1 else None


def _folders(source: Source) -> list[str]:
    return [folder.rpartition('/')[2].lower() for folder in source.folders]
