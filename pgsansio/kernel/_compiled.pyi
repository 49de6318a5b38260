"""The kernel in C: see `pgsansio.kernel.contract` for its functions, which are called by `pgsansio.kernel`."""

CONTRACT_VERSION: int
