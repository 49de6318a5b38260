"""What pyproject.toml cannot say: PGSANSIO_KERNEL, as when running, chooses the kernel when building, too.

`pure` leaves the extension out, so that the wheel is of no platform; with `compiled`, it is an error if the extension
cannot be built; unset, it is built if it can be.
"""

import os
from typing import Any

from setuptools import Distribution, setup

WANTED = os.environ.get("PGSANSIO_KERNEL") or None
if WANTED not in (None, "pure", "compiled"):
    raise SystemExit(f"PGSANSIO_KERNEL={WANTED}: expected 'pure' or 'compiled'")


class WithWantedKernel(Distribution):
    def parse_config_files(self, *arguments: Any, **options: Any) -> None:
        super().parse_config_files(*arguments, **options)  # pyproject.toml, too
        if WANTED == "pure":
            self.ext_modules = None
        elif WANTED == "compiled":
            for extension in self.ext_modules:
                extension.optional = False


setup(distclass=WithWantedKernel)
