# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""What was observed, where and when, from headers to tables of results."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from astropayne import fit_spectra, read_spectrum
from astropayne.spectra.identity import Identity

WAVE = np.linspace(5160.0, 5163.0, 50)


@pytest.mark.parametrize(("cards", "identity"), [
    ({"OBJECT": " HD 1 ", "RA": 150.5, "DEC": -20.25},
     {"object": "HD 1", "ra": 150.5, "dec": -20.25}),
    ({"RA": "10:02:00", "DEC": "-20:15:00"}, {"ra": 150.5, "dec": -20.25}),
    ({"MJD-OBS": 59000.5, "EXPTIME": 300}, {"mjd": 59000.5, "exposure_time": 300.0}),
    ({"DATE-OBS": "2020-05-31T12:00:00"}, {"mjd": 59000.5}),
    ({"SPECSYS": "BARYCENT", "SNR": 80.0}, {"rv_frame": "barycentric", "snr": 80.0}),
    ({"SPECSYS": "TOPOCENT"}, {"rv_frame": "topocentric"}),
    ({"HELIO": True}, {"rv_frame": "heliocentric"}),
    ({"RA": "unknown", "DEC": 99.0, "EXPTIME": 0, "DATE-OBS": "night", "OBJECT": ""}, {}),
])  # fmt: skip
def test_headers_state_what_was_observed(cards, identity):
    assert Identity.of_headers([cards]).as_meta() == pytest.approx(identity)


def test_tables_of_results_have_the_identity(model, tmp_path):
    star = model(teff=5600, logg=4.2, feh=0, vmic=1)
    hdu = fits.table_to_hdu(Table({"wave_air": star.spectral_axis.value, "flux": star.flux.value}))
    header = fits.Header({"OBJECT": "HD 1", "RA": 10.0, "SPECSYS": "BARYCENT"})
    fits.HDUList([fits.PrimaryHDU(header=header), hdu]).writeto(tmp_path / "a.fits")
    table = fit_spectra([read_spectrum(tmp_path / "a.fits"), star], model)
    assert table.colnames[:4] == ["name", "object", "ra", "rv_frame"]
    assert list(table["object"]) == ["HD 1", ""]
    assert table["ra"][0].to_value("deg") == 10
    assert np.isnan(table["ra"][1])
    assert "object" not in fit_spectra([star], model).colnames
