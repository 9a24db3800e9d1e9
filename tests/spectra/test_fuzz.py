# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Random changes of files of surveys: they are read, or refused in one sentence."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from survey_files import SURVEYS

from astropayne import read_spectra
from astropayne.spectra.observation import observe

CARDS = ["CRVAL1", "CDELT1", "CTYPE1", "CUNIT1", "DC-FLAG", "VACUUM", "TELESCOP", "SPEC_RES", "RA",
         "DATE-OBS", "TUNIT1", "TUNIT2", "WCSDIM", "BUNIT", "EXTNAME"]  # fmt: skip
VALUES = [None, "", 0, -1, 1e30, "x", "vac", True, 5160.0, "nm", "Hz", "km/s", "mag", "MULTISPE"]
NAMES = ["flux", "err", "mask", "wave", "loglam", "ivar", "model", "x", "wave_nm", "weight"]
BUILDERS = [survey[0] for survey in SURVEYS if survey[0].__name__ not in ("gaia", "narval")]


def _changed_table(hdu, rng):
    """Return a table with a column that is renamed, spoilt or moved."""
    table = Table(hdu.data)
    name = str(rng.choice(table.colnames))
    kind = rng.integers(4)
    if kind == 0:
        other = str(rng.choice(NAMES))
        if other not in table.colnames:
            table.rename_column(name, other)
    elif kind == 1:
        table.remove_column(name)
    elif kind == 2 and table[name].dtype.kind == "f":
        table[name] *= rng.choice([0, -1, np.nan, 1e-10])
    else:
        table = table[[str(n) for n in rng.permutation(table.colnames)]]
    return fits.table_to_hdu(table, name=hdu.name) if table.colnames else hdu


def _change(path, rng):
    """Change a file at one to three places."""
    with fits.open(path, memmap=False) as opened:
        hdus = [hdu.copy() for hdu in opened]
    for _ in range(rng.integers(1, 4)):
        i, kind = int(rng.integers(len(hdus))), rng.integers(5)
        if kind == 0 and isinstance(hdus[i], fits.BinTableHDU):
            hdus[i] = _changed_table(hdus[i], rng)
        elif kind == 1 and i and len(hdus) > 2:
            del hdus[i]
        elif kind == 2:
            hdus[i].name = str(rng.choice(["FLUX", "ERR", "WAVE", "COADD", "X"]))
        elif kind == 3 and hdus[i].is_image and hdus[i].size:
            hdus[i].data = hdus[i].data[..., :-3]
        else:
            card, value = str(rng.choice(CARDS)), VALUES[rng.integers(len(VALUES))]
            if value is None:
                hdus[i].header.remove(card, ignore_missing=True)
            else:
                hdus[i].header[card] = value
    fits.HDUList(hdus).writeto(path, overwrite=True, output_verify="ignore")


def _read(path):
    """Return the stars of a file, or the message of the only error that it may raise."""
    try:
        return read_spectra(path), ""
    except ValueError as error:
        return [], str(error)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.filterwarnings("ignore")
def test_changed_files_are_read_or_refused_in_a_sentence(tmp_path, seed):
    rng = np.random.default_rng(seed)
    n_read = 0
    for i, build in enumerate(rng.choice(BUILDERS, 20)):
        path = build(tmp_path / f"{i}.fits")
        _change(path, rng)
        stars, message = _read(path)
        assert "\n" not in message
        assert not message or str(path) in message
        n_read += not message
        for star in stars:
            for arm in star if isinstance(star, list) else [star]:
                observe(arm, "vacuum")
    assert 5 < n_read < 20
