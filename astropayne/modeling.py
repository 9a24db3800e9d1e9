# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""`PayneSpectrum`: a stellar spectrum as an `astropy.modeling` model."""

from collections.abc import Callable, Sequence
from typing import Any

import astropy.units as u
import numpy as np
import numpy.typing as npt
from astropy.modeling import Fittable1DModel, Parameter

from astropayne.forward.broadener import Pixels
from astropayne.forward.model import ForwardModel
from astropayne.forward.parameters import velocities_of, velocity_of
from astropayne.forward.sampling import as_row
from astropayne.forward.transfer import instrument_fwhm
from astropayne.labels.columns import one_star
from astropayne.labels.solar import solar_scale
from astropayne.models.model import PayneModel, require_model
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
    """A stellar spectrum as an astropy model, with exact derivatives for astropy's fitters.

    The parameters are the labels of the model, ``rv``, ``vsini`` and ``vmac``. Labels are bounded
    by their ranges, and ``vmac`` is fixed initially. The input is wavelengths in the medium of the
    model, as a `~astropy.units.Quantity` in any spectral unit or as plain numbers in Å; the output
    is normalized flux.

    Near the edges of the model's windows and beyond them, the flux depends on wavelengths that the
    model does not cover. It is computed there, because fitters need finite numbers, but it is not
    valid: `supported` returns where it is valid, and weights of zero exclude other pixels.

    Parameters have units. In a product with another model, such as a
    `~astropy.modeling.polynomial.Chebyshev1D` for the continuum, they are plain numbers in K and
    km/s, because astropy cannot fit such products with units. The `PayneSpectrum` must be the first
    factor of the product. If the other model has a ``domain``, fit with
    ``estimate_jacobian=True``: astropy's derivatives of polynomials ignore the domain.

    Parameters
    ----------
    model : `~astropayne.PayneModel`
    resolution : float or callable, optional
        λ/FWHM of the spectrum, or a function of the wavelength in Å that returns it; that of the
        model by default.
    limb_darkening : float
        Linear coefficient ε.
    macroturbulence : {"joint", "product", "fwhm"}
        Meaning of vmac, as for `~astropayne.fit_spectrum`.
    **values
        Initial values of parameters; labels in any spelling. Other labels start in the middle of
        their ranges, and abundances solar-scaled.

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
        self,
        model: PayneModel,
        *,
        resolution: float | Callable[[np.ndarray], npt.ArrayLike] | None = None,
        limb_darkening: float = 0.6,
        macroturbulence: str = "joint",
        **values: Any,
    ) -> None:
        require_model(model)
        space = model.labels
        model.forward_model(limb_darkening=limb_darkening, macroturbulence=macroturbulence)
        if not callable(resolution):
            instrument_fwhm(resolution, model.resolution)  # raises if it is too high
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

    def _start(self, values: dict[str, Any]) -> np.ndarray:
        """Return initial labels: given values, solar-scaled abundances, middles of ranges."""
        space = self.model.labels
        own = {space.names[space.index(name)]: value for name, value in values.items()}
        start = one_star(space.start_from(own, solar_scale(self.model.solar_scale)))
        space.warn_outside(start)
        return start

    def _add(
        self,
        name: str,
        value: float,
        bounds: tuple[float | None, float | None],
        unit: u.UnitBase | None,
        fixed: bool,
    ) -> None:
        parameter = Parameter(name, default=value, unit=unit, bounds=bounds, fixed=fixed)
        parameter.model = self
        self.__dict__[name] = parameter

    @property
    def param_names(self) -> tuple[str, ...]:
        """Names of the parameters: labels, then rv, vsini and vmac."""
        return self._param_names

    @property
    def input_units(self) -> dict[str, u.UnitBase]:
        """Unit of the wavelengths: Å, to which other spectral units are converted."""
        return {"x": u.AA}

    @property
    def input_units_equivalencies(self) -> dict[str, list]:
        """Conversions of frequencies, energies and wavenumbers, which are those in vacuum."""
        return {"x": spectral_equivalencies(self.model.medium)}

    @property
    def return_units(self) -> dict[str, u.UnitBase]:
        """Unit of the normalized flux, which is dimensionless."""
        return {"y": u.dimensionless_unscaled}

    def _parameter_units_for_data_units(
        self, inputs_unit: Any, outputs_unit: Any
    ) -> dict[str, u.UnitBase | None]:
        units = {label.name: label.column_unit for label in self.model.labels}
        return {**units, **dict.fromkeys(VELOCITIES, _KMS)}

    def evaluate(self, x: npt.ArrayLike, *parameters: npt.ArrayLike) -> np.ndarray:
        """Return the normalized flux at the wavelengths ``x``, with the given parameters."""
        theta = self._theta(parameters)
        forward, pixels, resolution = self._placed(x, self._near(theta))
        with without_gradients():
            flux = forward.forward(theta, pixels, resolution)[0].numpy()
        flux = flux.reshape(np.shape(x))
        return flux * u.dimensionless_unscaled if isinstance(x, u.Quantity) else flux

    def fit_deriv(self, x: npt.ArrayLike, *parameters: npt.ArrayLike) -> list[np.ndarray]:
        """Return the derivatives of the flux by each parameter."""
        theta = self._theta(parameters)
        forward, pixels, resolution = self._placed(x, self._near(theta))
        with without_gradients():
            _, jacobian = forward.forward_and_jacobian(theta, pixels, resolution)
        return list(jacobian[0].numpy().T)

    def supported(self, x: npt.ArrayLike) -> np.ndarray:
        """Return at which wavelengths the flux is valid, with the current parameters.

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

    def _theta(self, parameters: Sequence[Any]) -> np.ndarray:
        """Return parameters as plain numbers: they may have other units than labels, such as kK."""
        labels, n = self.model.labels, len(self.model.labels)
        values = [label.to_value(p) for label, p in zip(labels, parameters[:n], strict=True)]
        for name, p in zip(VELOCITIES, parameters[n:], strict=True):
            values.append(strip_unit(p, name, _KMS))
        return np.array([float(np.squeeze(value)) for value in values])

    @staticmethod
    def _near(theta: np.ndarray) -> np.ndarray:
        """Return a velocity close to the star's that small changes of it do not affect.

        Pixels are placed there. The difference is a phase with an exact derivative, which is more
        accurate than placing the pixels again.
        """
        return np.round(velocity_of(theta, "rv"))

    def _placed(
        self, x: npt.ArrayLike, rv: npt.ArrayLike
    ) -> tuple[ForwardModel, Pixels, npt.ArrayLike | None]:
        """Return the forward model, its pixels placed at a velocity, and their resolution."""
        forward = self.model.forward_model(
            limb_darkening=self.limb_darkening, macroturbulence=self.macroturbulence
        )
        axis = u.Quantity(x, u.AA if getattr(x, "unit", None) is None else None)
        wavelength = np.ravel(axis.to_value(u.AA, self.input_units_equivalencies["x"]))
        resolution = as_row(resolution_at(self.resolution, wavelength * u.AA))
        pixels = forward.pixels(to_vacuum(wavelength, self.model.medium), rv)
        return forward, pixels, resolution


def _multiply(self: PayneSpectrum, other: Any) -> Any:
    """Return the product with another model, such as a continuum, with parameters without units.

    astropy's polynomials cannot be fitted together with parameters that have units:
    `~astropy.modeling.polynomial.Chebyshev1D` raises, and
    `~astropy.modeling.polynomial.Polynomial1D` is returned unchanged.
    """
    plain = self.without_units_for_data(x=None, y=None)
    return super(PayneSpectrum, plain).__mul__(other)


# Not in the class, because astropy's metaclass replaces the operators of every class it makes.
PayneSpectrum.__mul__ = _multiply
