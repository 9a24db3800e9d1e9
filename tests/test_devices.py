# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""Training and fits on a device that is not the CPU, where there is none.

Tensors `There` say that they are on torch's "meta" device, but hold their numbers on the CPU. As on
a GPU, they go with no tensor of the CPU in one operation, numpy cannot have them, and on request
there is no double precision. What comes out has to be the same to the last bit.
"""

import functools

import astropy.units as u
import numpy as np
import pytest
import torch
from astropy.nddata import StdDevUncertainty
from specutils import SpectralRegion, Spectrum
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from astropayne import PayneModel, fit_abundances, fit_spectra
from astropayne.abundances.planning import plan
from astropayne.abundances.sensitivities import sensitivity
from astropayne.modeling import PayneSpectrum

# Spectra made by the model are normalized, and its lines are exact.
EXACT = {
    "continuum": None, "inadequacy": None, "exclude_at_rest": None, "resolution_error": 0
}  # fmt: skip
exact_fit_spectra = functools.partial(fit_spectra, **EXACT)
exact_fit_abundances = functools.partial(fit_abundances, **EXACT)

aten = torch.ops.aten
MOVES = {aten.copy_.default, aten._to_copy.default}
AT = {"teff": 5700, "logg": 4.4, "feh": 0, "vmic": 1}
TAKES_INDICES = {aten.index.Tensor, aten.index_put_.default, aten._index_put_impl_.default}


class There(torch.Tensor):
    """A tensor on the other device."""

    @staticmethod
    def __new__(cls, inside):
        return torch.Tensor._make_wrapper_subclass(
            cls, inside.shape, strides=inside.stride(), storage_offset=inside.storage_offset(),
            dtype=inside.dtype, device="meta",
        )  # fmt: skip

    def __init__(self, inside):
        self.inside = inside

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return compute(function, args, kwargs or {})


def compute(function, args, kwargs):
    """Do what torch is asked for, and put the result where it belongs."""
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
    there = [isinstance(t, There) for t in tensors]
    assert not any(t.is_meta for t in tensors if not isinstance(t, There)), "made unseen"
    if function in TAKES_INDICES:
        assert there[0] or not any(there), "indices are there, the tensor is here"
    elif function not in MOVES and any(there):
        assert all(t.ndim == 0 for t in tensors if not isinstance(t, There)), f"both: {function}"
    device = kwargs.get("device")
    result_there = any(there) if device is None else torch.device(device).type == "meta"

    def inside(value):
        return value.inside if isinstance(value, There) else value

    def outside(value):
        if not isinstance(value, torch.Tensor) or id(value) in known:
            return known.get(id(value), value)
        return There(value) if result_there else value

    known = {id(inside(t)): t for t in tensors}
    if function is aten._conj.default:  # what conjugates lazily is resolved above this level
        function = aten.conj_physical.default
    args, kwargs = tree_map(inside, (args, kwargs))
    if device is not None:
        kwargs["device"] = torch.device("cpu")
    return tree_map(outside, function(*args, **kwargs))


class OtherDevice(TorchDispatchMode):
    """Makes ``device="meta"`` the other device."""

    def __init__(self, double):
        super().__init__()
        self.double = double

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = compute(function, args, kwargs or {})
        for tensor in tree_leaves(result):
            exact = isinstance(tensor, There) and tensor.dtype in (torch.double, torch.cdouble)
            assert self.double or not exact, "double precision there"
        return result


def stars(model, rng):
    """Return three stars with noise."""
    values = model.labels.minimum + np.array([[0.3], [0.5], [0.6]]) * model.labels.width
    spectra = model.predict(values, rv=[20, -50, 0], vsini=[5, 12, 0], resolution=15000)
    return [
        Spectrum(
            flux=(flux + rng.normal(0, 0.01, len(flux))) * u.one, mask=~np.isfinite(flux),
            spectral_axis=model.wavelength, uncertainty=StdDevUncertainty(0.01 + 0 * flux),
        )
        for flux in spectra.flux.value
    ]  # fmt: skip


def assert_same(one, other):
    for name in one.colnames:
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), name)


@pytest.mark.parametrize(
    "options",
    [
        {"covariances": True},
        {"continuum": 2, "models": True},
        {"continuum": 1, "loss": "huber"},
        {"tied": {"Ba_Fe": lambda found: 0.1 * found["feh"]}, "priors": {"teff": (5500, 100)}},
    ],
)
def test_fits_are_the_same_on_another_device(model, rng, options):
    observed = stars(model, rng)
    fit = functools.partial(fit_spectra, observed, model, resolution=15000, **options)
    here = fit()
    with OtherDevice(double=False):
        there = fit(device="meta")
    assert_same(here, there)


def test_abundances_are_the_same_on_another_device(model, rng):
    fit = functools.partial(fit_abundances, stars(model, rng), model, ["Mg", "Li"])
    here = fit(resolution=15000)
    with OtherDevice(double=False):
        there = fit(resolution=15000, device="meta")
    assert_same(here, there)


@pytest.fixture
def default_device():
    """The caller's, which is set as `torch.set_default_device` does, to what has no numbers."""
    torch.set_default_device("meta")
    yield
    torch.set_default_device(None)


def test_the_callers_default_device_does_not_matter(model, sample, rng, tmp_path, default_device):
    model.write(tmp_path / "model.asdf")
    model = PayneModel.read(tmp_path / "model.asdf")
    observed = stars(model, rng)
    assert len(exact_fit_abundances(observed[:1], model, ["Mg"], resolution=15000)) == 1
    table = exact_fit_spectra(observed, model, resolution=15000)
    assert np.isfinite(table["teff_err"]).all()
    small = PayneModel(hidden_layers=(8,), components=4, members=1, parts=1)
    options = {"max_epochs": 1, "device": "cpu", "checkpoint": tmp_path / "run.npz"}
    small.train(sample[:60], **options)
    small.train(sample[:60], resume=True, **options)
    narrow = sample[:60].cut(SpectralRegion(*sample.wavelength[[5, 500]]))
    PayneModel().train(narrow, start=small, max_epochs=1, device="cpu")
    assert np.isfinite(plan(model, AT, snr=100)["error_alone"][:4]).all()
    assert np.isfinite(sensitivity(model, AT)[2]).all()
    assert np.isfinite(PayneSpectrum(model)(model.wavelength)).any()
    assert torch.get_default_device().type == "meta"


@pytest.mark.parametrize(
    "architecture",
    [
        {"hidden_layers": (16,), "components": 24},
        {"hidden_layers": (16,), "components": 24, "output": "sigmoid"},
        {"hidden_layers": (16,), "components": None},
    ],
)
def test_training_is_the_same_on_another_device(sample, monkeypatch, tmp_path, architecture):
    # torch knows the devices that it works on by name
    plain = torch.optim.AdamW
    monkeypatch.setattr(torch.optim, "AdamW", lambda *a, fused, **options: plain(*a, **options))

    def train(**options):
        model = PayneModel(**architecture)
        model.train(sample[:100], max_epochs=4, check_interval=2, **options)
        return model.network.state_dict()

    here = train()
    with OtherDevice(double=True):
        there = train(device="meta", checkpoint=tmp_path / "run.npz")
    for name, value in here.items():
        assert torch.equal(value, there[name]), name
