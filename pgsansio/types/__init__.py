"""What the user holds in the end and what is not a row: values that Python has no type for, and descriptions."""

from pgsansio.types.description import Attribute, Type
from pgsansio.types.server import Notification, ServerVersion, parse_server_version

__all__ = [
    "Attribute",
    "Notification",
    "ServerVersion",
    "Type",
    "parse_server_version",
]
