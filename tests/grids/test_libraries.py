# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Published libraries of spectra: files built from their layouts."""

import gzip

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits

from astropayne import SpectralGrid
from astropayne.grids import GridWarning

WAVELENGTH = np.linspace(4990.0, 5050.0, 121)


@pytest.fixture
def flux(rng):
    return rng.uniform(0.3, 1.0, (4, len(WAVELENGTH)))


def write_phoenix(folder, flux, points):
    """Flux images with labels in their headers; wavelengths in a file of the folder above."""
    inside = folder / "PHOENIX-ACES-AGSS-COND-2011" / "Z-0.0"
    inside.mkdir(parents=True)
    fits.PrimaryHDU(WAVELENGTH).writeto(folder / "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits")
    for row, (teff, logg, metals, alpha) in zip(flux, points, strict=True):
        image = fits.PrimaryHDU((1e14 * row).astype(">f4"))
        image.header.update(PHXTEFF=teff, PHXLOGG=logg, PHXM_H=metals, PHXALPHA=alpha, PHXXI_L=1.1)
        image.header["BUNIT"] = "erg/s/cm^2/cm"
        name = f"lte{teff:05d}-{logg:.2f}{metals:+.1f}.PHOENIX-ACES-AGSS-COND-2011-HiRes.fits"
        image.writeto(inside / name)
    return inside


POINTS = [(5000, 4.5, 0.0, 0.0), (5500, 4.0, -0.5, 0.2), (6000, 3.5, -1.0, 0.4), (6100, 4, 0, 0)]


def test_phoenix(flux, tmp_path):
    folder = write_phoenix(tmp_path / "HiResFITS", flux, POINTS)
    (folder / "lte_note-HiRes.fits").write_bytes(b"")
    with pytest.warns(GridWarning, match=r"1 spectra .* has no labels in its header"):
        grid = SpectralGrid.read(folder, wavelength_range=(5000, 5040))
    assert grid.meta["reader"] == "phoenix"
    assert grid.labels.colnames == ["teff", "logg", "M_H", "alpha_M"]
    assert grid.meta["constant_labels"] == {"vmic": 1.1}
    assert grid.labels["M_H"].tolist() == [0, -0.5, -1, 0]
    inside = (WAVELENGTH >= 5000) & (WAVELENGTH <= 5040)
    assert grid.wavelength.value == pytest.approx(WAVELENGTH[inside])
    assert grid.flux == pytest.approx(1e14 * flux[:, inside], rel=1e-6)
    assert (grid.info.medium, grid.meta["normalized"]) == ("vacuum", False)
    assert u.Unit(grid.info.flux_unit) == u.erg / u.s / u.cm**3
    (tmp_path / "HiResFITS" / "WAVE_PHOENIX-ACES-AGSS-COND-2011.fits").rename(tmp_path / "w.fits")
    with pytest.raises(FileNotFoundError, match=r"no file of wavelengths .*give wavelength="):
        SpectralGrid.read(folder, format="phoenix")


@pytest.mark.parametrize("suffix", ["flx", "flx.gz"])
def test_marcs(flux, tmp_path, suffix):
    opened = gzip.open if suffix.endswith("gz") else open
    np.savetxt(tmp_path / "flx_wavelengths.vac", WAVELENGTH)
    for row, (teff, logg, metals, alpha) in zip(flux, POINTS, strict=True):
        name = (
            f"p{teff}_g{logg:+.1f}_m0.0_t01_st_z{metals:+.2f}_a{alpha:+.2f}_c+0.00_n+0.00"
            f"_o{alpha:+.2f}_r+0.00_s+0.00.{suffix}"
        )
        with opened(tmp_path / name, "wt") as file:
            file.writelines(f"{value:.6e}\n" for value in 1e6 * row)
    grid = SpectralGrid.read(tmp_path)
    assert grid.meta["reader"] == "marcs"
    assert grid.labels.colnames == ["teff", "logg", "feh", "alpha_Fe"]
    assert grid.labels["alpha_Fe"].tolist() == [0, 0.2, 0.4, 0]
    assert grid.meta["constant_labels"] == {"vmic": 1, "C_Fe": 0, "N_Fe": 0}
    assert grid.flux == pytest.approx(1e6 * flux, rel=1e-5)
    assert u.Unit(grid.info.flux_unit) == u.Unit("erg / (s cm2 Angstrom)")
    assert (grid.info.medium, grid.info.resolution) == ("vacuum", None)


@pytest.mark.parametrize("kind", ["resam", "noresam"])
def test_bosz_of_2024(flux, tmp_path, kind):
    folder = tmp_path / "m+0.00"
    folder.mkdir()
    np.savetxt(tmp_path / "bosz2024_wave_r10000.txt", WAVELENGTH)
    resolution = "10000" if kind == "resam" else "orig"
    for row, (teff, logg, metals, alpha) in zip(flux, POINTS, strict=True):
        name = (
            f"bosz2024_mp_t{teff}_g{logg:+.1f}_m{metals:+.2f}_a{alpha:+.2f}_c+0.00_v2"
            f"_r{resolution}_{kind}.txt.gz"
        )
        columns = [3e6 * row, np.full_like(row, 3e6)]
        columns = columns if kind == "resam" else [WAVELENGTH, *columns]
        np.savetxt(folder / name, np.transpose(columns), fmt="%.7e")
    grid = SpectralGrid.read(folder)
    assert grid.meta["reader"] == "bosz"
    assert grid.labels.colnames == ["teff", "logg", "M_H", "alpha_M"]
    assert grid.meta["constant_labels"] == {"C_M": 0, "vmic": 2}
    assert grid.flux == pytest.approx(flux, rel=1e-5)
    assert grid.info.resolution == (10000 if kind == "resam" else None)
    absolute = SpectralGrid.read(folder, format="bosz", flux="absolute")
    assert absolute.flux == pytest.approx(3e6 * flux, rel=1e-5)
    assert absolute.meta["normalized"] is False
    with pytest.raises(ValueError, match="flux='surface' is not one of normalized, absolute"):
        SpectralGrid.read(folder, format="bosz", flux="surface")


def test_bosz_of_2017(flux, tmp_path):
    names = ["mm03cp00om03t5000g45", "mp00cp03op05t5500g40", "mm08cp00op00t6000g35"]
    for row, name in zip(flux, names, strict=False):
        columns = {"Wavelength": WAVELENGTH, "SpecificIntensity": 4 * row}
        columns["Continuum"] = np.full_like(row, 4.0)
        fits.BinTableHDU.from_columns(
            [fits.Column(key, "D", array=values) for key, values in columns.items()]
        ).writeto(tmp_path / f"a{name}v20modrt0b5000rs.fits")
    grid = SpectralGrid.read(tmp_path)
    order = [0, 2, 1]  # of names
    assert grid.labels["M_H"].tolist() == [-0.25, -0.75, 0.0]
    assert grid.labels["C_M"].tolist() == [0.0, 0.0, 0.25]
    assert grid.labels["alpha_M"].tolist() == [-0.25, 0.0, 0.5]
    assert grid.labels["logg"].tolist() == [4.5, 3.5, 4.0]
    assert grid.flux == pytest.approx(flux[order], rel=1e-6)
    assert (grid.info.resolution, grid.info.medium) == (5000, "vacuum")


def test_atlases_of_synphot(flux, tmp_path):
    for code, teff in (("m05", 5750), ("p02", 6000)):
        folder = tmp_path / f"ck{code}"
        folder.mkdir()
        columns = [fits.Column("WAVELENGTH", "D", unit="ANGSTROMS", array=WAVELENGTH)]
        for name, row in (("g00", 0 * flux[0]), ("g40", flux[0]), ("g45", flux[1])):
            columns.append(fits.Column(name, "E", unit="FLAM", array=teff * row))
        fits.BinTableHDU.from_columns(columns).writeto(folder / f"ck{code}_{teff}.fits")
    grid = SpectralGrid.read(tmp_path)
    assert grid.meta["reader"] == "synphot"
    assert grid.names[0] == "ckm05/ckm05_5750.fits[g40]"
    assert grid.labels["M_H"].tolist() == [-0.5, -0.5, 0.2, 0.2]
    assert grid.labels["logg"].tolist() == [4.0, 4.5, 4.0, 4.5]
    assert grid.flux[2] == pytest.approx(6000 * flux[0], rel=1e-6)
    with pytest.raises(ValueError, match="has no wavelength in 9000 to 9100"):
        SpectralGrid.read(tmp_path, wavelength_range=(9000, 9100))
