"""Values on the wire <-> Python values: a module per family of types, the registry, and the plans made from it."""

from pgsansio.codecs.array import array_codec
from pgsansio.codecs.parameter_plan import plan_parameters
from pgsansio.codecs.registry import Registry
from pgsansio.codecs.row_plan import plan_rows, result_formats, with_formats

__all__ = ["Registry", "array_codec", "plan_parameters", "plan_rows", "result_formats", "with_formats"]
