# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`PayneSpectrum`: a stellar spectrum as an `astropy.modeling` model."""

import astropy.units as u
import numpy as np
from astropy.modeling import Fittable1DModel, Parameter

from astropayne.forward.parameters import velocities_of, velocity_of
from astropayne.forward.sampling import a_row
from astropayne.forward.transfer import instrument_fwhm
from astropayne.labels.columns import one_star
from astropayne.labels.solar import solar_scale
from astropayne.models.model import require_model
from astropayne.utils.quantities import one_value, strip_unit
from astropayne.utils.torch_state import without_gradients
from astropayne.wavelengths.media import spectral_equivalencies, to_vacuum
from astropayne.wavelengths.resolution import resolution_at
from astropayne.wavelengths.velocity import FASTEST, VELOCITIES, checked_velocity

__all__ = ["PayneSpectrum"]

_KMS = u.km / u.s
_VELOCITY_BOUNDS = {"rv": (None, None), **{name: (0.0, most) for name, most in FASTEST.items()}}
_VELOCITY_DEFAULT = {"rv": 0.0, "vsini": 5.0, "vmac": 0.0}


class PayneSpectrum(Fittable1DModel):
    """A stellar spectrum to fit with astropy's fitters: one leaf, with exact derivatives.

    Its parameters are the model's labels, and ``rv``, ``vsini`` and ``vmac``; the ranges of the
    labels are their bounds, and ``vmac`` is fixed at first. It takes wavelengths in the model's
    medium, as a `~astropy.units.Quantity` in any spectral unit or as plain numbers in Å, and
    gives normalised flux.

    Near the edges of the model's windows, and beyond, flux depends on wavelengths that the model
    does not hold. It is computed, because fitters need finite numbers, but it is not right:
    `supported` says where it is, and weights of zero leave the rest out.

    Its parameters have units. In a product with another model, such as a
    `~astropy.modeling.polynomial.Chebyshev1D` for the continuum, they are plain numbers in K and
    km/s, because astropy cannot fit such products with units; that works only if the
    `PayneSpectrum` comes first. Where that model has a ``domain``,
    fit with ``estimate_jacobian=True``: astropy's derivatives of polynomials leave it out.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    resolution : float or callable, optional
        λ/FWHM of the spectrum; the model's own by default. Where it varies, a function of the
        wavelengths in Å.
    limb_darkening : float
        Linear coefficient ε.
    macroturbulence : {"joint", "product", "fwhm"}
        What vmac is, as for `~astropayne.fit_spectrum`.
    **values
        Initial values of parameters, in any spelling; others start in the middle of the range,
        abundances solar-scaled.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropayne import PayneModel, SpectralGrid
    >>> from astropayne.modeling import PayneSpectrum
    >>> model = PayneModel(hidden_layers=(32, 32), components=16)
    >>> history = model.train(SpectralGrid.sample(), max_epochs=2)
    >>> star = PayneSpectrum(model, resolution=18000, teff=5777 * u.K, logg=4.44)
    >>> star.teff
    Parameter('teff', value=5777.0, unit=K, bounds=(4507.41, 6747.13))
    >>> star([5200, 5201] * u.AA).unit
    Unit(dimensionless)
    """

    _input_units_allow_dimensionless = True
    _param_names = ()

    def __init__(
        self, model, *, resolution=None, limb_darkening=0.6, macroturbulence="joint", **values
    ):
        require_model(model)
        space = model.labels
        model.forward_model(limb_darkening=limb_darkening, macroturbulence=macroturbulence)
        if not callable(resolution):
            instrument_fwhm(resolution, model.resolution)  # complains if it is too high
        model.warn_if_taken_for_sharp(resolution)
        self.__dict__["_param_names"] = (*space.names, *VELOCITIES)
        self.model, self.resolution = model, resolution
        self.limb_darkening, self.macroturbulence = limb_darkening, macroturbulence
        velocities = {
            name: one_value(checked_velocity(values.pop(name, default), name), name)
            for name, default in _VELOCITY_DEFAULT.items()
        }
        start = self._start(values)
        ranges = zip(space, space.minimum, space.maximum, start, strict=True)
        for label, low, high, value in ranges:
            self._add(label.name, value, (float(low), float(high)), label.column_unit, False)
        for name, value in velocities.items():
            self._add(name, value, _VELOCITY_BOUNDS[name], _KMS, fixed=name == "vmac")
        super().__init__()

    def _start(self, values):
        """Return initial label values: given ones, solar-scaled abundances, middles of ranges."""
        space = self.model.labels
        given = {space.names[space.index(name)]: value for name, value in values.items()}
        start = one_star(space.start_from(given, solar_scale(self.model.solar_scale)))
        space.warn_outside(start)
        return start

    def _add(self, name, value, bounds, unit, fixed):
        parameter = Parameter(name, default=value, unit=unit, bounds=bounds, fixed=fixed)
        parameter.model = self
        self.__dict__[name] = parameter

    @property
    def param_names(self):
        """Labels, then rv, vsini and vmac."""
        return self._param_names

    @property
    def input_units(self):
        """Å, to which other spectral units are converted."""
        return {"x": u.AA}

    @property
    def input_units_equivalencies(self):
        """Frequencies, energies and wave numbers are vacuum's, whatever the model's medium."""
        return {"x": spectral_equivalencies(self.model.medium)}

    @property
    def return_units(self):
        """Normalised flux has no unit."""
        return {"y": u.dimensionless_unscaled}

    def _parameter_units_for_data_units(self, inputs_unit, outputs_unit):
        units = {label.name: label.column_unit for label in self.model.labels}
        return {**units, **dict.fromkeys(VELOCITIES, _KMS)}

    def evaluate(self, x, *parameters):
        """Return the flux at wavelengths ``x``."""
        theta = self._theta(parameters)
        forward, *placed = self._placed(x, self._near(theta))
        with without_gradients():
            flux = forward.forward(theta, *placed)[0].numpy()
        flux = flux.reshape(np.shape(x))
        return flux * u.dimensionless_unscaled if isinstance(x, u.Quantity) else flux

    def fit_deriv(self, x, *parameters):
        """Return the derivatives of the flux by each parameter, a list of arrays."""
        theta = self._theta(parameters)
        forward, *placed = self._placed(x, self._near(theta))
        with without_gradients():
            _, jacobian = forward.forward_and_jacobian(theta, *placed)
        return list(jacobian[0].numpy().T)

    def supported(self, x):
        """Say at which wavelengths the flux is right, with the present parameters.

        Parameters
        ----------
        x : `~astropy.units.Quantity` or array_like
            Wavelengths.

        Returns
        -------
        numpy.ndarray of bool
        """
        theta = self._theta([getattr(self, name).quantity for name in self.param_names])
        forward, pixels, resolution = self._placed(x, velocity_of(theta, "rv"))
        _, vsini, vmac = velocities_of(theta)
        good = forward.supported(pixels, vsini, vmac, resolution)[0]
        return good.reshape(np.shape(x))

    def _theta(self, parameters):
        """Strip units: a parameter may have been given another one, such as kK."""
        labels, n = self.model.labels, len(self.model.labels)
        values = [label.to_value(p) for label, p in zip(labels, parameters[:n], strict=True)]
        for name, p in zip(VELOCITIES, parameters[n:], strict=True):
            values.append(strip_unit(p, name, _KMS))
        return np.array([float(np.squeeze(value)) for value in values])

    @staticmethod
    def _near(theta):
        """Return a velocity near the star's that stays as it changes a little.

        What is left is a phase, with an exact derivative; to place pixels anew is not as exact.
        """
        return np.round(velocity_of(theta, "rv"))

    def _placed(self, x, rv):
        """Return the forward model, the pixels placed on it at a velocity, and their R."""
        forward = self.model.forward_model(
            limb_darkening=self.limb_darkening, macroturbulence=self.macroturbulence
        )
        x = u.Quantity(x, u.AA if getattr(x, "unit", None) is None else None)
        wavelength = np.ravel(x.to_value(u.AA, self.input_units_equivalencies["x"]))
        resolution = a_row(resolution_at(self.resolution, wavelength * u.AA))
        pixels = forward.pixels(to_vacuum(wavelength, self.model.medium), rv)
        return forward, pixels, resolution


def _multiply(self, other):
    """Multiply by another model, such as a continuum; the product's parameters have no units.

    astropy's polynomials cannot be fitted together with parameters that have units:
    `~astropy.modeling.polynomial.Chebyshev1D` raises, and
    `~astropy.modeling.polynomial.Polynomial1D` comes back as it was.
    """
    plain = self.without_units_for_data(x=None, y=None)
    return super(PayneSpectrum, plain).__mul__(other)


# Not in the class, because astropy's metaclass replaces the operators of every class it makes.
PayneSpectrum.__mul__ = _multiply
