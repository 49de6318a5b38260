"""Every message of protocol 3.0 and 3.2, both ways and for both roles: bytes to values and back ("Message Formats")."""
