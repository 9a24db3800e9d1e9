# Licensed under a 3-clause BSD style license - see licenses/LICENSE.rst
"""The report on a model: one page of HTML that holds its pictures, and their data beside it."""

import base64
import datetime
import html
import io
from dataclasses import fields
from pathlib import Path

import astropy.units as u
import matplotlib.pyplot as plt
import numpy as np

from astropayne import __version__, plotting
from astropayne.evaluation.evaluate import evaluate, held_out
from astropayne.evaluation.recovery import true_labels
from astropayne.evaluation.verdict import limits_of
from astropayne.io.result_tables import write_table
from astropayne.plotting.axes import number_text
from astropayne.spectra.files import file_names

__all__ = ["write_report"]

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 66rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.25rem; margin-top: 2.5rem; }
img { max-width: 100%; height: auto; } figure { margin: 1rem 0; }
figcaption, .note { color: #555; font-size: .9rem; }
table { border-collapse: collapse; font-size: .9rem; } .wide { overflow-x: auto; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #ddd; }
th { border-bottom: 2px solid #888; } td:first-child, th:first-child { text-align: left; }
td { font-variant-numeric: tabular-nums; } .text td { text-align: left; vertical-align: top; }
.good { color: #00694c; font-weight: 600; } .poor { color: #b03a00; font-weight: 600; }
.verdict { font-size: 1.1rem; border-left: .4rem solid; padding: .4rem 1rem; }
"""


def write_report(models, grid, folder, *, held_out_only=True, **options):
    """Write a page that says what a model is worth, or what several are.

    Parameters
    ----------
    models : `~astropayne.PayneModel` or mapping of str to `~astropayne.PayneModel`
        One, or several that are compared with the same spectra, by what they are called.
    grid : `~astropayne.SpectralGrid`
        Spectra to compare them with.
    folder : path-like
        Where ``index.html`` goes, and the data of its figures: ``pixels.ecsv``,
        ``spectra.ecsv``, ``recovery.ecsv``, ``summary.ecsv`` and ``verdict.ecsv``; of several
        models, with their names before: ``one-pixels.ecsv``.
    held_out_only : bool
        Whether to leave out spectra that any of the models was trained on.
    **options
        Of `~astropayne.evaluation.evaluate.evaluate`.

    Returns
    -------
    dict of str to `~astropayne.evaluation.evaluate.Evaluation`
        What was found for each model.

    Raises
    ------
    ValueError
        If no spectrum is left to compare with, or an option makes no sense.
    """
    if not hasattr(models, "items"):
        models = {"the model": models}
    for model in models.values():
        limits_of(model.labels.names, options.get("thresholds"))  # complains before the work
    compared = grid
    for model in models.values() if held_out_only else ():
        compared = held_out(model, compared)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: evaluate(model, compared, **options) for name, model in models.items()}
    for short, evaluation in zip(file_names(found), found.values(), strict=True):
        for field in fields(evaluation):
            name = field.name if len(found) == 1 else f"{short}-{field.name}"
            write_table(getattr(evaluation, field.name), folder / f"{name}.ecsv", overwrite=True)
    shown = _shown_names(found)
    body = list(_comparison(found, shown)) if len(found) > 1 else []
    for (name, evaluation), short in zip(found.items(), shown, strict=True):
        used = {
            "model": name,
            "network": repr(models[name]),
            "compared with": f"{len(compared)} of the {len(grid)} spectra of "
            f"{grid.meta.get('source', 'a grid')}" + _which(models[name], held_out_only),
            **{key: value for key, value in options.items() if key != "progress"},
            "written by": f"astropayne {__version__}, {datetime.datetime.now():%Y-%m-%d %H:%M}",
        }
        if len(found) > 1:
            body.append(f"<h1>{html.escape(short)}</h1>")
        body += [
            *_verdict(evaluation.verdict),
            *_flux(evaluation.pixels, evaluation.spectra),
            *_recovery(evaluation.recovery, evaluation.summary),
            *_training(models[name]),
            "<h2>Provenance</h2>",
            _facts({**used, **models[name].meta}),
        ]
    title = f"What {' and '.join(shown)} {'is' if len(found) == 1 else 'are'} worth"
    (folder / "index.html").write_text(_page(title, body), encoding="utf-8")
    return found


def _shown_names(models):
    """Return the names of models' files; their paths where files in folders have one name."""
    names = [Path(name).name for name in models]
    return names if len(set(names)) == len(names) else list(models)


def _comparison(found, shown):
    """Put the models side by side."""
    short = [html.escape(name) for name in shown]
    n = len(next(iter(found.values())).spectra)
    yield f"<p>Compared with the same {n} spectra; the better value of each line is bold.</p>"
    values, criteria = {}, {}
    for i, evaluation in enumerate(found.values()):
        for row in evaluation.verdict:
            criteria.setdefault(row["text"], (row["name"], row["limit"]))
            values.setdefault(row["text"], np.full(len(found), np.nan))[i] = row["value"]
    rows = []
    for text, (name, limit) in criteria.items():
        # Errors are to be small, but pulls to be one.
        distance = np.abs(np.log(values[text])) if name == "pulls" else values[text]
        best = distance == np.min(np.nan_to_num(distance, nan=np.inf))
        cells = [f"<b>{_number(v)}</b>" if b else _number(v)
                 for v, b in zip(values[text], best, strict=True)]  # fmt: skip
        rows.append((text, *cells, _number(limit)))
    yield _table(("criterion", *short, "limit"), rows)
    pixels = {name: one.pixels for name, one in zip(shown, found.values(), strict=True)}
    yield _figure(plotting.plot_pixel_comparison(pixels), "Errors of each pixel.")
    summaries = {name: one.summary for name, one in zip(shown, found.values(), strict=True)}
    yield _figure(plotting.plot_scatter(summaries), "Robust scatter of fitted labels, by S/N.")


def _which(model, held_out_only):
    """Say how strict the comparison is."""
    if not held_out_only:
        return ", also those it was trained on"
    if model.training_labels is None:
        return "; whether it was trained on some of them is not known"
    n = model.meta.get("n_validation")
    among = f"; the {n} that its best state was chosen by may be among them" if n else ""
    return f", which it was not trained on{among}"


def _verdict(verdict):
    failed = int(np.sum(~verdict["passed"]))
    word, sentence = (
        ("good", f"All {len(verdict)} limits are kept.")
        if not failed
        else ("poor", f"{failed} of {len(verdict)} limits are not kept.")
    )
    yield f'<p class="verdict {word}">{word.capitalize()}: {sentence}</p>'
    if without := verdict.meta["no_information"]:
        yield (
            f"<p>Not judged, as noise and the emulator's own error hide them: "
            f"{html.escape(', '.join(without))}.</p>"
        )
    if once := verdict.meta["measured_once"]:
        yield (
            "<p>Not judged, as they were measured in one spectrum only: "
            f"{html.escape(', '.join(once))}.</p>"
        )
    marks = '<span class="poor">not kept</span>', '<span class="good">kept</span>'
    rows = [
        (row["text"], _number(row["value"]), _number(row["limit"]), marks[int(row["passed"])])
        for row in verdict
    ]
    yield _table(("criterion", "value", "limit", ""), rows)


def _flux(pixels, spectra):
    n, n_percentiles = pixels.meta["n_spectra"], pixels.meta["n_percentiles"]
    part = f" Percentiles are those of {n_percentiles} of them." if n_percentiles < n else ""
    yield "<h2>Flux</h2>"
    yield _figure(
        plotting.plot_pixel_errors(pixels), f"Errors of each pixel over {n} spectra.{part}"
    )
    if {"teff", "logg"} <= set(spectra.colnames):
        yield _figure(plotting.plot_error_planes(spectra), "A point a spectrum, worst on top.")
    yield _figure(
        plotting.plot_error_trends(spectra), "The same against each label, and running medians."
    )
    worst = spectra[np.argsort(spectra["rms"])[::-1][:5]]
    names = ("name", *[n for n in ("teff", "logg", "feh") if n in spectra.colnames], "rms", "worst")
    rows = [
        [_cell(row[name]) for name in names] + [f"{row['worst_wavelength'].value:.2f}"]
        for row in worst
    ]
    yield "<p>The five worst spectra, with their largest error and where it is (Å):</p>"
    yield _table((*names, "at"), rows)


def _recovery(recovery, summary):
    yield "<h2>Labels</h2>"
    yield (
        '<p class="note">Spectra are fitted by the package itself. Bias and scatter are robust: '
        "the median of fitted minus true, and 1.4826 median absolute deviations. Pulls are "
        "differences over stated errors; their scatter is 1 if these are right.</p>"
    )
    for snr in np.unique(recovery["snr"])[::-1]:
        chosen = recovery["snr"] == snr
        text = f"S/N {snr:g}" if np.isfinite(snr) else "Without noise"
        yield f"<h3>{text}</h3>"
        truth = true_labels(recovery)[chosen]
        colour = "feh" if "feh" in truth.colnames else None
        yield _figure(
            plotting.plot_recovery(truth, recovery[chosen], truth.colnames, colour=colour),
            "Fitted against true labels.",
        )
        if colour:
            yield _figure(
                plotting.plot_differences(truth, recovery[chosen], truth.colnames),
                "Fitted minus true along [Fe/H]: medians and robust scatter of equal parts.",
            )
        if np.isfinite(snr):
            yield _figure(
                plotting.plot_pulls(truth, recovery[chosen], truth.colnames),
                "Pulls, median ± robust scatter; the curve is what right errors give.",
            )
        columns = "bias scatter error pull_bias pull_scatter".split()
        rows = [
            (row["label"], f"{u.Unit(row['unit']):unicode}", *(_number(row[c]) for c in columns),
             f"{100 * row['measured']:.0f} %", row["information"])
            for row in summary[summary["snr"] == snr]
        ]  # fmt: skip
        heads = (
            "label",
            "unit",
            *(c.replace("_", " ") for c in columns),
            "measured",
            "information",
        )
        yield _table(heads, rows)

    yield "<h3>All of them</h3>"
    yield _figure(
        plotting.plot_scatter(summary), "Robust scatter, and the median error that fits state."
    )


def _training(model):
    if model.history is None or not len(model.history):
        return
    yield "<h2>Training</h2>"
    yield _figure(plotting.plot_history(model.history), "How it was trained.")


def _figure(axes, caption):
    figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    file = io.BytesIO()
    width = round(96 * figure.get_figwidth())  # what it is on paper
    figure.savefig(file, format="png", dpi=144)
    plt.close(figure)
    data = base64.b64encode(file.getvalue()).decode()
    text = html.escape(caption)
    return (
        f'<figure><img width="{width}" alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _table(heads, rows):
    """Return a table; cells are HTML already."""
    lines = ["<tr>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows]
    return '<div class="wide"><table>' + "".join(lines) + "</table></div>"


def _facts(facts):
    rows = [(html.escape(str(k)), _fact(v)) for k, v in facts.items() if not _is_nothing(v)]
    return _table(("", ""), rows).replace("<table>", '<table class="text">')


def _is_nothing(value):
    # Metadata may be arrays, too, which are neither equal to something nor true.
    return value is None or (isinstance(value, dict | list) and not value)


def _fact(value):
    """Return a value as HTML; what has parts, a line a part."""
    if not isinstance(value, dict):
        return html.escape(str(value))
    return "<br>".join(f"{html.escape(str(k))}: {_fact(v)}" for k, v in value.items())


def _cell(value):
    value = getattr(value, "value", value)
    if isinstance(value, str):
        return html.escape(value)
    return f"{value:.0f}" if abs(value) >= 1000 else _number(value)


def _number(value):
    return number_text(value, ".3g") if np.isfinite(value) else "–"


def _page(title, body):
    title = html.escape(title)
    return "\n".join([
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>",
        *body,
        "</body></html>\n",
    ])  # fmt: skip
