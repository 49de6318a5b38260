"""From a ParameterDescription to the kernel's ParameterPlan."""

from collections.abc import Sequence

from pgsansio.codecs.registry import Registry
from pgsansio.kernel import parameter_plan
from pgsansio.kernel.contract import ParameterPlan

__all__ = ["plan_parameters"]


def plan_parameters(registry: Registry, oids: Sequence[int]) -> ParameterPlan:
    """How arguments of these types are encoded; those of unknown types are text, from str.

    Args:
        oids: pg_type.oid of each parameter in order.
    """
    return parameter_plan(tuple([registry.codec(oid) or registry.text_codec(oid) for oid in oids]))
