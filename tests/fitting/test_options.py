import inspect
import pickle
from dataclasses import FrozenInstanceError, fields, replace

import numpy as np
import pytest

from astropayne import Posterior, fit_abundances, fit_spectra, fit_spectrum
from astropayne.evaluation import evaluate, recover_labels
from astropayne.fitting.options import FitOptions
from astropayne.workflows.fit_files import fit_files


@pytest.fixture(scope="module")
def star(model):
    return model(teff=5600, logg=4.2, feh=-0.3, vmic=1.2, vsini=9, resolution=16000)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (fit_spectrum, (None,)),
        (fit_spectra, ([],)),
        (Posterior, (None,)),
        (fit_files, ([],)),
    ],
)
def test_a_misspelled_option_names_the_function_and_the_nearest_option(model, function, arguments):
    name = function.__name__
    message = rf"^{name}\(\) has no option 'contiuum'; did you mean 'continuum'\?$"
    with pytest.raises(TypeError, match=message):
        function(*arguments, model, contiuum=2)


@pytest.mark.parametrize("function", [evaluate, recover_labels])
def test_misspelled_options_of_evaluation_are_named_too(model, function):
    message = rf"^{function.__name__}\(\) has no option 'n_star'; did you mean 'n_stars'\?$"
    with pytest.raises(TypeError, match=message):
        function(model, None, n_star=2)


def test_options_of_the_function_itself_are_suggested_too(model):
    with pytest.raises(TypeError, match=r"fit_spectra\(\).*did you mean 'progress'\?"):
        fit_spectra([], model, progres=True)
    with pytest.raises(TypeError, match=r"fit_abundances\(\).*did you mean 'convention'\?"):
        fit_abundances([], model, ["Mg"], conventions="X_H")
    with pytest.raises(TypeError, match=r"fit_spectra\(\) has no option 'qqq'; it has progress, "):
        fit_spectra([], model, qqq=1)


@pytest.mark.parametrize("function", [fit_spectrum, fit_spectra, Posterior, fit_abundances])
def test_signatures_list_every_option(function):
    parameters = inspect.signature(function).parameters
    assert {field.name for field in fields(FitOptions)} <= parameters.keys()
    assert parameters["loss"].default == "linear"
    assert "keywords" not in parameters


def test_options_and_keywords_are_the_same(model, star):
    options = FitOptions(resolution=16000, fixed={"vmic": 1.2})
    one = fit_spectrum(star, model, options=options)
    other = fit_spectrum(star, model, resolution=16000, fixed={"vmic": 1.2})
    assert one.labels == other.labels
    assert one.chi2 == other.chi2
    changed = fit_spectrum(star, model, options=options, fixed={"vmic": 1.0})
    assert changed.labels["vmic"].value == 1.0
    with pytest.raises(TypeError, match=r"fit_spectrum\(\): options must be FitOptions, got {"):
        fit_spectrum(star, model, options={"resolution": 16000})


def test_options_do_not_change():
    fixed = {"vmic": 1.2}
    options = FitOptions(fixed=fixed, report="A(Mg)")
    fixed["teff"] = 5000
    assert options.fixed == {"vmic": 1.2}
    assert options.report == ("A(Mg)",)
    with pytest.raises(FrozenInstanceError):
        options.continuum = 2
    with pytest.raises(TypeError, match="item assignment"):
        options.fixed["teff"] = 5000
    assert replace(options, continuum=np.int64(2)).degree == 2
    assert FitOptions(continuum=np.ones(3)).degree is None


def test_options_are_pickled():
    options = FitOptions(fixed={"vmic": 1.2}, priors={"teff": (5000, 50)}, continuum=2)
    other = pickle.loads(pickle.dumps(options))
    for field in fields(FitOptions):
        assert getattr(other, field.name) == getattr(options, field.name)


@pytest.mark.parametrize(
    ("keywords", "error", "match"),
    [
        ({"exclude_at_rest": (5000, 6000)}, TypeError, "exclude_at_rest must be a specutils"),
        ({"medium": "water"}, ValueError, "medium is 'water'"),
        ({"tied": {"Ca_Fe": 0.1}}, TypeError, "tied: Ca_Fe has to be a function"),
        ({"priors": [1]}, TypeError, "priors has to be a mapping"),
        ({"bounds": []}, TypeError, "bounds has to be a mapping"),
        ({"macroturbulence": "joined"}, ValueError, "not one of joint, product, fwhm"),
    ],
)
def test_options_are_checked_when_they_are_made(keywords, error, match):
    with pytest.raises(error, match=match):
        FitOptions(**keywords)
