"""Run commands of astropayne in tests, and interrupt them."""

import os
import pkgutil
import signal

from click.testing import CliRunner

from astropayne.cli.main import main

SUN = ("teff=5777", "logg=4.44", "feh=0", "vmic=1")


def run(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def signal_at(monkeypatch, name, *, after=0):
    """Send this process SIGTERM where a function is called, after so many calls of it."""
    true, calls = pkgutil.resolve_name(name), []

    def signalled(*args, **kwargs):
        calls.append(1)
        if len(calls) == after + 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return true(*args, **kwargs)

    monkeypatch.setattr(name, signalled)
