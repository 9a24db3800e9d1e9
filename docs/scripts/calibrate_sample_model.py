"""Calibrate the sample model with the Sun, 18 Sco and Procyon.

    python docs/scripts/calibrate_sample_model.py FOLDER

FOLDER holds the four spectra named below. Labels: Heiter et al. (2015, A&A 582, A49) and Jofré et
al. (2014, A&A 564, A133); the Sun defines the zero of [Fe/H].
"""

import lzma
import sys
import tempfile
from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.table import QTable

import astropayne
from astropayne import FitOptions, PayneModel, calibrate, read_spectrum

SPECTRA = [  # file, star, λ/FWHM, teff, logg, feh, vmic
    ("sun_HARPS_ganymede.fits", "Sun", 115000, 5772, 4.438, 0.0, 1.06),
    ("UVES_Sun-1_cleaned_norm.txt.xz", "Sun", 66000, 5772, 4.438, 0.0, 1.06),
    ("18sco_HARPS_R32K.fits", "18 Sco", 32000, 5810, 4.44, 0.03, 1.07),
    ("procyon_HARPS_GBOG.fits", "Procyon", 115000, 6554, 4.00, 0.01, 1.66),
]


def read(path, resolution):
    """Read a spectrum, also one that is compressed."""
    if path.suffix == ".xz":
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder) / path.stem
            plain.write_bytes(lzma.decompress(path.read_bytes()))
            spectrum = read_spectrum(plain)
    else:
        spectrum = read_spectrum(path)
    spectrum.meta["resolution"] = resolution
    return spectrum


def main(folder):
    """Write the calibration into the package, and the sizes of what was found."""
    observed = [read(Path(folder) / name, resolution) for name, _, resolution, *_ in SPECTRA]
    names = [star for _, star, *_ in SPECTRA]
    columns = zip(*(row[3:] for row in SPECTRA), strict=True)
    labels = QTable(dict(zip(("teff", "logg", "feh", "vmic"), map(np.array, columns), strict=True)))
    labels["teff"].unit, labels["vmic"].unit = u.K, u.km / u.s
    model = calibrate(
        PayneModel.sample(), observed, labels, names=names,
        options=FitOptions(continuum="auto", inadequacy="auto"),
    )  # fmt: skip
    found = model.calibration
    scatter = np.sqrt(np.diag(found.covariance)) * model.labels.width
    for name, value in zip(model.labels.names, scatter, strict=True):
        print(f"{name:6s} {value:.3f}")
    print("strength", found.strength.std(), "missing", found.missing.std())
    table = found.to_table(model.wavelength)
    for name in ("strength", "missing"):
        table[name] = np.round(table[name], 5)
    path = Path(astropayne.__file__).parent / "data" / "sample_calibration.ecsv"
    table.write(path, format="ascii.ecsv", overwrite=True)


if __name__ == "__main__":
    main(sys.argv[1])
