"""The scenes of DroneDeploy's Segmentation Dataset: their files, and the benchmark's split.

Source of the split: val_ids and test_ids of
https://github.com/dronedeploy/dd-ml-segmentation-benchmark/blob/master/libs/config.py
"""

from pathlib import Path
from typing import NamedTuple

ORTHO, ELEVATION, LABEL = '-ortho.tif', '-elev.tif', '-label.png'
VAL_SCENES = frozenset(
    {
        '12c3372a95_7EF127EDCFINSPIRE',
        '137f4dfb89_C966B12B4EOPENPIPELINE',
        '1476907971_CHADGRISMOPENPIPELINE',
        '264c36d368_C988C95F03INSPIRE',
        '32052d9b97_9ABAFDAA93OPENPIPELINE',
        '3731e901b0_9464BAFE8AOPENPIPELINE',
        '37cf2e5706_74D898C7C3OPENPIPELINE',
        '3bb457cde8_D336A13367INSPIRE',
        '42ab9f9e27_3CB2E8FC73INSPIRE',
        '46b27f92c2_06BA0AF311OPENPIPELINE',
        '551063e3c5_8FCB044F58INSPIRE',
        '57426ebe1e_84B52814D2OPENPIPELINE',
        '600023a2df_F4A3C2E777INSPIRE',
        '679850f980_27920CBE78OPENPIPELINE',
        '6b82bcd67b_2EBB40A325OPENPIPELINE',
        '74d7796531_EB81FE6E2BOPENPIPELINE',
        '9170479165_625EDFBAB6OPENPIPELINE',
        '941cb687d3_48FE7F729BINSPIRE',
        '954a8c814c_267994885AINSPIRE',
        '97c4dd388d_4C51642B86OPENPIPELINE',
        'a1199a489f_6ABE00F5A1OPENPIPELINE',
        'a11d963a7d_EF73EE9CCDOPENPIPELINE',
        'aef48b9aca_0226FDD487OPENPIPELINE',
        'c8a7031e5f_32156F5DC2INSPIRE',
        'cc4b443c7d_A9CBEF2C97INSPIRE',
        'cd5a0d3ce4_2F98B8FC82INSPIRE',
        'ea607f191d_582C2A2F47OPENPIPELINE',
        'ec09336a6f_06BA0AF311OPENPIPELINE',
        'f0c32df5a8_0406E6C238OPENPIPELINE',
        'f78c4e5748_3572E1D9BBOPENPIPELINE',
    }
)
TEST_SCENES = frozenset(
    {
        '107f24d6e9_F1BE1D4184INSPIRE',
        '12fa5e614f_53197F206FOPENPIPELINE',
        '1553539551_APIGENERATED',
        '168ac179d9_31328BCCC4OPENPIPELINE',
        '1726eb08ef_60693DB04DINSPIRE',
        '18072ccb69_B2AE5C54EBOPENPIPELINE',
        '25f1c24f30_EB81FE6E2BOPENPIPELINE',
        '2f7aabb6e5_0C2B5F6CABOPENPIPELINE',
        '36d5956a21_8F4CE60B77OPENPIPELINE',
        '39e77bedd0_729FB913CDOPENPIPELINE',
        '3ff76e84d5_0DD77DFCD7OPENPIPELINE',
        '420d6b69b8_84B52814D2OPENPIPELINE',
        '546f85625a_39E021DC32INSPIRE',
        '55ca10d9f1_E8C8441957INSPIRE',
        '5ab849ec40_2F98B8FC82INSPIRE',
        '632de91030_9ABAFDAA93OPENPIPELINE',
        '6f93b9026b_F1BFB8B17DOPENPIPELINE',
        '7310356a1b_7EAE3AC26AOPENPIPELINE',
        '8710b98ea0_06E6522D6DINSPIRE',
        '8b0ac1fc28_6688905E16OPENPIPELINE',
        '9254c82db0_9C194DD066OPENPIPELINE',
        'a0a6f46099_F93BAE5403OPENPIPELINE',
        'c2e8370ca3_3340CAC7AEOPENPIPELINE',
        'd06b2c67d2_2A62B67B52OPENPIPELINE',
        'dabec5e872_E8AD935CEDINSPIRE',
        'e1d3e6f6ba_B4DE0FB544INSPIRE',
        'e87da4ebdb_29FEA32BC7INSPIRE',
        'eee7d707d4_6DC1FE1DDCOPENPIPELINE',
        'fb74c54103_6ABE00F5A1INSPIRE',
        'feb7a50f10_JAREDINSPIRE',
    }
)


class Scene(NamedTuple):
    """The files of one scene.

    Args:
        name: What their names begin with.
        ortho: Optical raster.
        elevation: Heights, metres.
        label: Classes in colours, on the optical raster's pixels.
    """

    name: str
    ortho: Path
    elevation: Path
    label: Path

    @property
    def split(self) -> str:
        """The benchmark's split that the scene is in."""
        return 'test' if self.name in TEST_SCENES else 'val' if self.name in VAL_SCENES else 'train'


def find_scenes(source: Path) -> list[Scene]:
    """Find the scenes of an unpacked download.

    Args:
        source: Its folder, or the one around it.

    Raises:
        FileNotFoundError: If there are none, or one lacks its elevation or label.
    """
    roots = [source, source / 'dataset-medium', source / 'dataset-sample']
    root = next((root for root in roots if (root / 'images').is_dir()), None)
    orthos = [] if root is None else sorted((root / 'images').glob(f'*{ORTHO}'))
    if not orthos:
        raise FileNotFoundError(
            f'{source} holds no images/*{ORTHO}: give the folder with images, elevations and '
            'labels that the download (dataset-medium.tar.gz) unpacks to.'
        )
    # the README says 'elevation', the download has 'elevations'
    heights = root / ('elevations' if (root / 'elevations').is_dir() else 'elevation')
    scenes = []
    for ortho in orthos:
        name = ortho.name.removesuffix(ORTHO)
        files = heights / (name + ELEVATION), root / 'labels' / (name + LABEL)
        scenes.append(Scene(name, ortho, *files))
    missing = [path for scene in scenes for path in scene[1:] if not path.is_file()]
    if missing:
        shown = ', '.join(map(str, missing[:8])) + (', ...' if len(missing) > 8 else '')
        raise FileNotFoundError(
            f'{len(missing)} files of {len(scenes)} scenes are missing: {shown}; unpack the '
            'download again, or move the orthos of these scenes away.'
        )
    return scenes
