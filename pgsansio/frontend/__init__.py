"""Frontend: the client's end of one connection, still without any I/O.

It joins the two machines (start-up, session), the statement cache and the codecs, in layers that each have the ones
before: `start_up`, `names`, `statements`, `learning`, and `frontend`, which is all of it.
"""

from pgsansio.frontend.frontend import Frontend

__all__ = ["Frontend"]
