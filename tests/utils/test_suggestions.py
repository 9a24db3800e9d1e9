# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
import pytest

from astropayne.utils.suggestions import require_choice, unknown_name_message


def test_the_nearest_name_is_suggested():
    message = unknown_name_message("Tef", ["teff", "logg"], "label")
    assert message == "label 'Tef' is not one of teff, logg; did you mean 'teff'?"
    assert unknown_name_message("xyz", ["teff"], "label") == "label 'xyz' is not one of teff"


def test_known_names_pass():
    require_choice("teff", ["teff"], "label")
    with pytest.raises(ValueError, match="label 'tef' is not one of teff; did you mean"):
        require_choice("tef", ["teff"], "label")
