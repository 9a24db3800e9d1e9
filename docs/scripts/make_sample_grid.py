# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Make ``astropayne/data/sample_grid.asdf`` from a folder of the full grid.

python docs/scripts/make_sample_grid.py FOLDER
"""

import sys
from pathlib import Path

import astropayne
from astropayne import SpectralGrid

N_SPECTRA = 300  # the labels are a Sobol sequence: any first part of it fills the ranges evenly

DESCRIPTION = (
    "The first 300 of 2146 synthetic spectra of FGK stars: Turbospectrum 20.1 (Plez 2012, ASCL "
    "1205.004; Gerber et al. 2023, A&A 669, A43) in LTE, plane-parallel; Gaia-ESO atomic lines "
    "(Heiter et al. 2021, A&A 645, A106), MgH and CN from linemake (Placco et al. 2021, RNAAS 5, "
    "92); C3K/ATLAS12 atmospheres; solar abundances of Magg et al. 2022 (A&A 661, A140) over "
    "Asplund et al. 2009. Written in TSFitPy's format. Convolved to R = 20000 (Gaussian), 0.05 "
    "Angstrom a pixel, no rotation or macroturbulence. teff 4500-6750 K, logg 1.5-5.0 (> 3 above "
    "5500 K), feh -2.0-0.5, vmic 0.5-2.5 km/s, Mg Ca Ti Na Al Ni -0.4-0.6, Ba -0.6-0.8, A(Li) "
    "0.5-3.5. Flux rounded to half precision."
)


def main(folder):
    """Read the folder, keep the first spectra, write the file."""
    grid = SpectralGrid.read(folder, format="tsfitpy")[:N_SPECTRA]
    grid = grid.replace(meta={"description": DESCRIPTION, "source": "fgk-r20000"})
    path = Path(astropayne.__file__).parent / "data" / "sample_grid.asdf"
    grid.write(path, dtype="float16", overwrite=True)


if __name__ == "__main__":
    main(sys.argv[1])
