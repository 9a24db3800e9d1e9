"""Where the sample's grid does not describe the Sun: makes data/sample_untrusted.ecsv.

python docs/scripts/find_untrusted.py sun_HARPS_ganymede.fits sample_untrusted.ecsv

The observed Sun (HARPS, reflected by Ganymede; ESO archive) is compared at R = 20000 with the model
at the labels of the literature (Heiter et al. 2015, A&A 582, A49); only velocity and continuum are
fitted. Listed is where they differ by more than twice the rms difference that the grid's makers
found, with half a resolution element around it; the lines that its makers say are too strong; and
the band head of C2, which the grid does not have.
"""

import sys

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.table import QTable
from scipy.ndimage import binary_dilation
from specutils import Spectrum

from astropayne import PayneModel, degrade_spectrum, fit_spectrum
from astropayne.wavelengths.axis import find_windows

SUN = {
    "teff": 5771,
    "logg": 4.44,
    "feh": 0.0,
    "vmic": 1.06,
    "A_Li": 1.05,
    "vsini": 1.6,
    "vmac": 3.5,
}
TOO_STRONG = (5165.41, 6107.32, 6129.58, 6159.37, 6711.82)
C2_HEAD = (5160.0, 5165.4)
LIMIT, AROUND, LINE = 0.044, 0.15, 0.4  # of the continuum; Angstrom


def read_sun(path, model):
    """Return the Sun's spectrum at R = 20000, from 5 Angstrom before each window to 5 after it."""
    with fits.open(path) as hdus:
        header, flux = hdus[0].header, hdus[0].data.astype(float)
    wavelength = header["CRVAL1"] + header["CDELT1"] * np.arange(len(flux))
    near = np.zeros(len(flux), dtype=bool)
    for window in find_windows(model.wavelength.value):
        first, last = model.wavelength.value[window][[0, -1]]
        near |= (wavelength > first - 5) & (wavelength < last + 5)
    spectrum = Spectrum(spectral_axis=wavelength[near] * u.AA, flux=flux[near] * u.one)
    return degrade_spectrum(spectrum, 20000, resolution=115000)


def untrusted(sun, model):
    """Return where the model is not to be believed: (n, 2), in Angstrom."""
    abundances = {name: 0.0 for name in model.labels.names if name.endswith("_Fe")}
    fit = fit_spectrum(sun, model, fixed={**abundances, **SUN}, continuum=3, loss="huber")
    rest = fit.observed.spectral_axis.value / (1 + fit.labels["rv"].value / 299792.458)
    level = (
        fit.best_fit.flux
        / model(
            **{**SUN, "rv": fit.labels["rv"]}, wavelength=sun.spectral_axis, resolution=20000
        ).flux
    )
    difference = np.nan_to_num(((sun.flux - fit.best_fit.flux) / level).value)
    step = np.median(np.diff(rest))
    bad = binary_dilation(np.abs(difference) > LIMIT, iterations=round(AROUND / step))
    for low, high in [C2_HEAD, *((line - LINE, line + LINE) for line in TOO_STRONG)]:
        bad |= (rest > low) & (rest < high)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], bad, [0]])))
    return rest[edges.reshape(-1, 2) - [0, 1]]


if __name__ == "__main__":
    model = PayneModel.sample()
    found = untrusted(read_sun(sys.argv[1], model), model)
    table = QTable({"lower": found[:, 0].round(2) * u.AA, "upper": found[:, 1].round(2) * u.AA})
    table.meta = {"medium": "air", "source": __doc__.split("\n\n")[2].replace("\n", " ")}
    table.write(sys.argv[2], format="ascii.ecsv", overwrite=True)
    print(f"{len(table)} regions, {np.sum(table['upper'] - table['lower']):.1f}")
