"""Challenge in, response out: what the authentication methods compute, from values alone."""
